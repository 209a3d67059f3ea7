//! Checks that each role has the permissions that its function needs, and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use super::cases::Case;
use super::invoke::OTHER_TOPIC;
use super::needed::{ACTIONS, Needed, PARTITIONS, RESOURCES, UNTRIED};
use super::policies::{CENTRAL, EXTERNAL_ID, FUNCTIONS, MEMBER, Statement, role_name};
use super::world::{World, deployed_statements, enforcing_moto};

/// A role, one of its statements, and one element of it: an action, or a partition of the table.
type Permission = (String, String, String);

/// The result of a case.
struct Played {
    held: Result<(), String>,
    /// The calls that moto denied, one per line.
    denied: Vec<String>,
}

/// Runs each case in its own world, with the given permissions.
async fn play(plays: Vec<(Vec<Statement>, Case)>) -> Vec<Played> {
    let on_one_server = async |plays: Vec<(usize, (Vec<Statement>, Case))>| {
        let mut played = vec![];
        if plays.is_empty() {
            return played;
        }
        let moto = enforcing_moto().await;
        for (place, (allowed, case)) in plays {
            let world = Box::pin(World::new(&moto, &allowed)).await;
            let before = moto.printed().len();
            let held = Box::pin(case.hold(&world)).await;
            let denied = moto.printed()[before..]
                .lines()
                .filter(|line| line.starts_with("denied: "))
                .map(ToOwned::to_owned)
                .collect();
            played.push((place, Played { held, denied }));
        }
        played
    };
    // Two servers, because only one world at a time can be on each.
    let (even, odd) = plays
        .into_iter()
        .enumerate()
        .partition(|(place, _)| place % 2 == 0);
    let (mut played, others) = futures::future::join(on_one_server(even), on_one_server(odd)).await;
    played.extend(others);
    played.sort_by_key(|(place, _)| *place);
    played.into_iter().map(|(_, played)| played).collect()
}

/// The roles' permissions without what `remove` removes from the statement `sid` of `role`.
fn without(role: &str, sid: &str, remove: impl Fn(&mut Statement)) -> Vec<Statement> {
    let mut allowed = deployed_statements();
    let mut statements = allowed
        .iter_mut()
        .filter(|statement| statement.role == role && statement.sid == sid);
    remove(statements.next().unwrap());
    assert!(statements.next().is_none(), "{role}: two are called {sid}");
    allowed
}

/// Each permission of `table`, with its case.
fn named(table: &[Needed]) -> BTreeMap<Permission, Case> {
    let mut all = BTreeMap::new();
    for (role, sid, needed) in table {
        for (what, case) in *needed {
            let permission = ((*role).to_owned(), (*sid).to_owned(), (*what).to_owned());
            assert_eq!(all.insert(permission, *case), None, "{role}, {sid}, {what}");
        }
    }
    all
}

/// Each permission that `what` finds in the roles' statements.
fn deployed(what: impl Fn(&Statement) -> BTreeSet<String>) -> BTreeSet<Permission> {
    let statements = deployed_statements();
    let of_statement = |statement: &Statement| -> Vec<Permission> {
        let (role, sid) = (&statement.role, &statement.sid);
        let all = what(statement).into_iter();
        all.map(|one| (role.clone(), sid.clone(), one)).collect()
    };
    statements.iter().flat_map(of_statement).collect()
}

/// Fails unless each case succeeds with the roles' permissions, and only expected calls are denied.
async fn check_sufficient(mut cases: Vec<Case>) {
    // Some tasks have a time limit, which has nothing to do with permissions, so a busy machine
    // gets a second attempt.
    for is_last_try in [false, true] {
        let plays = cases.iter().map(|case| (deployed_statements(), *case));
        let played = play(plays.collect()).await;
        let mut otherwise = vec![];
        for (case, Played { held, denied }) in cases.into_iter().zip(played) {
            let is_meant = |line: &String| line.contains(OTHER_TOPIC);
            assert!(denied.iter().all(is_meant), "{case:?}: {denied:?}");
            if let Err(found) = held {
                assert!(!is_last_try, "{case:?}: {found}");
                otherwise.push(case);
            }
        }
        cases = otherwise;
    }
}

/// Fails unless the case of each permission fails without it, and that permission was requested.
async fn check_necessary(
    needed: &BTreeMap<Permission, Case>,
    remove: impl Fn(&mut Statement, &str),
) {
    let plays = needed.iter().map(|((role, sid, what), case)| {
        let allowed = without(role, sid, |statement| remove(statement, what));
        (allowed, *case)
    });
    let all = play(plays.collect()).await;
    for (((role, sid, what), case), played) in needed.iter().zip(all) {
        assert!(
            played.held.is_err(),
            "{case:?} holds although {role} has no {what} in {sid}"
        );
        let caller = format!("assumed-role/{}/", role_name(role));
        let asked_for =
            |line: &String| line.contains(&caller) && line.contains(what.trim_end_matches('*'));
        assert!(
            played.denied.iter().any(asked_for),
            "{role} was not refused {what} in {case:?}: {:?}",
            played.denied
        );
    }
}

#[tokio::test]
async fn every_role_suffices_and_every_action_is_needed() {
    let needed = named(ACTIONS);
    let tried = deployed(|statement| {
        let is_tried =
            |action: &&String| !UNTRIED.iter().any(|(prefix, _)| action.starts_with(prefix));
        statement.actions.iter().filter(is_tried).cloned().collect()
    });
    assert!(tried.iter().eq(needed.keys()), "{tried:#?}");

    check_sufficient(Case::ALL.to_vec()).await;
    check_necessary(&needed, |statement, action| {
        assert!(statement.actions.remove(action));
    })
    .await;
    let roles: BTreeSet<&String> = needed.keys().map(|(role, ..)| role).collect();
    let (actions, roles) = (needed.len(), roles.len());
    writeln!(
        io::stdout(),
        "roles: {actions} actions in {roles} roles, {actions} sufficient, {actions} necessary"
    )
    .unwrap();
}

#[tokio::test]
async fn every_partition_and_index_of_a_role_is_needed() {
    let needed = named(PARTITIONS);
    let tried = deployed(|statement| {
        let keys = statement.leading_keys().unwrap_or_default();
        if keys.len() > 1 {
            keys
        } else {
            BTreeSet::new()
        }
    });
    assert!(tried.iter().eq(needed.keys()), "{tried:#?}");
    check_necessary(&needed, |statement, partition| {
        let keys = &mut statement.condition["ForAllValues:StringLike"]["dynamodb:LeadingKeys"];
        let keys = keys.as_array_mut().unwrap();
        keys.retain(|key| key != partition);
    })
    .await;

    let needed = named(RESOURCES);
    let tried = deployed(|statement| {
        let is_one = statement.resources.len() == 1;
        let resources = statement.resources.iter().filter(|_| !is_one);
        resources.cloned().collect()
    });
    assert!(tried.iter().eq(needed.keys()), "{tried:#?}");
    check_necessary(&needed, |statement, resource| {
        statement.resources.retain(|one| one != resource);
    })
    .await;
}

#[tokio::test]
async fn the_members_role_requires_its_callers_and_external_id() {
    let moto = enforcing_moto().await;
    let world = World::new(&moto, &deployed_statements()).await;
    let arn = format!("arn:aws:iam::{MEMBER}:role/secondkey-audit");
    let enter = async |config, external_id: Option<&str>| {
        let sts = aws_sdk_sts::Client::new(config);
        let assume = sts.assume_role().role_arn(&arn).role_session_name("test");
        let assume = assume.set_external_id(external_id.map(ToOwned::to_owned));
        assume.send().await.is_ok()
    };
    for (function, role) in world.functions.iter().zip(FUNCTIONS) {
        assert!(enter(function, Some(EXTERNAL_ID)).await, "{role}");
        assert!(!enter(function, Some("another")).await, "{role}");
        assert!(!enter(function, None).await, "{role}");
    }
    let may_everything = &world.admin;
    assert!(!enter(may_everything, Some(EXTERNAL_ID)).await, "{CENTRAL}");
}
