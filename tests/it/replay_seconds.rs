//! Replays of changes that share a second: CloudTrail does not give their order, and IAM allows
//! only a few.

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use secondkey::detect::findings::finding::{CloseReason, FindingStatus};
use secondkey::local::ledger::LedgerUser;
use secondkey::local::ledger_table;
use serde_json::Value;

use crate::replay_world::{ACCOUNT, Call, File, create, delete, delete_user, record, rename, set};

const HISTORIES: u64 = 150;

/// The open findings after `calls`, each in its second, and how the closed ones ended.
async fn found(calls: &[(i64, Call)]) -> (Vec<String>, Vec<(String, CloseReason)>) {
    let mut results = BTreeSet::new();
    let mut last = None;
    for salt in 0..6 {
        let mut rng = Rng::with_seed(salt);
        let records: Vec<Value> = calls
            .iter()
            .map(|(second, call)| record(*second, call, ACCOUNT, &rng.u64(..).to_string()))
            .collect();
        let file = File::new();
        file.replay(&records).await.expect("it can be replayed");
        let open: Vec<String> = file.open().await.into_iter().collect();
        let closed = file.findings(FindingStatus::Closed).await;
        let closed: Vec<(String, CloseReason)> = closed
            .iter()
            .map(|finding| {
                let closing = finding.closing.as_ref().expect("it is closed");
                (finding.user().name().to_owned(), closing.reason)
            })
            .collect();
        results.insert(format!("{open:?} {closed:?}"));
        last = Some((open, closed));
    }
    assert_eq!(
        results.len(),
        1,
        "the event ids decide nothing: {results:?}"
    );
    last.expect("it was replayed")
}

#[tokio::test]
async fn a_rename_and_a_creation_of_one_second_make_a_pair() {
    let (open, _) = found(&[
        (0, create("alice", "K1")),
        (60, rename("alice", "bert")),
        (60, create("bert", "K2")),
    ])
    .await;
    assert_eq!(open, ["bert: K1 K2"]);
}

#[tokio::test]
async fn a_finding_follows_a_chain_of_renames() {
    let chain = [
        (0, create("zoe", "K1")),
        (1, create("zoe", "K2")),
        (60, rename("zoe", "mia")),
        (60, rename("mia", "bert")),
        (60, rename("bert", "carl")),
    ];
    let (open, closed) = found(&chain).await;
    assert_eq!(open, ["carl: K1 K2"]);
    assert_eq!(closed.len(), 3, "{closed:?}");
    let ended = [&chain[..], &[(90, delete("carl", "K1"))]].concat();
    let (open, closed) = found(&ended).await;
    assert_eq!(open, [""; 0]);
    assert!(
        closed.contains(&("carl".to_owned(), CloseReason::Deleted)),
        "{closed:?}"
    );
}

#[tokio::test]
async fn a_user_recreated_in_one_second_has_its_new_keys() {
    let (open, _) = found(&[
        (0, create("alice", "K1")),
        (60, delete("alice", "K1")),
        (60, delete_user("alice")),
        (60, create("alice", "K2")),
        (90, create("alice", "K3")),
    ])
    .await;
    assert_eq!(open, ["alice: K2 K3"]);
}

#[tokio::test]
async fn users_that_swap_names_in_one_second_keep_their_keys() {
    let (open, _) = found(&[
        (0, create("alice", "A1")),
        (1, create("alice", "A2")),
        (2, create("bob", "B1")),
        (60, rename("bob", "alice")),
        (60, rename("tmp", "bob")),
        (60, rename("alice", "tmp")),
    ])
    .await;
    assert_eq!(open, ["bob: A1 A2"]);
}

#[tokio::test]
async fn a_second_with_too_many_changes_to_search_is_replayed() {
    let mut calls = vec![(0, create("alice", "K0"))];
    for number in 0..300 {
        calls.push((60, create("alice", &format!("K{}", number + 1))));
        calls.push((60, delete("alice", &format!("K{number}"))));
    }
    let (open, _) = found(&calls).await;
    assert_eq!(open, [""; 0]);
}

// ------------------------------------------------------------------------------------------------------
// the histories

/// The keys of each existing user, and which of them are active.
type Iam = BTreeMap<String, BTreeMap<String, bool>>;

/// The state after `call`, or `None` if IAM refuses it. A key creation also creates its user if
/// necessary.
fn called(iam: &Iam, call: &Call) -> Option<Iam> {
    let mut after = iam.clone();
    match call {
        Call::Create(user, key) => {
            let keys = after.entry(user.clone()).or_default();
            let is_new = !iam.values().any(|keys| keys.contains_key(key));
            (keys.len() < 2 && is_new).then_some(())?;
            keys.insert(key.clone(), true);
        }
        Call::Set(user, key, active) => *after.get_mut(user)?.get_mut(key)? = *active,
        Call::Delete(user, key) => drop(after.get_mut(user)?.remove(key)?),
        Call::Rename(user, to) => {
            let keys = after.remove(user)?;
            after.insert(to.clone(), keys).is_none().then_some(())?;
        }
        Call::DeleteUser(user) => after.remove(user)?.is_empty().then_some(())?,
    }
    Some(after)
}

/// The users with two active keys, and the keys.
fn pairs(iam: &Iam) -> BTreeSet<String> {
    iam.iter()
        .filter_map(|(user, keys)| {
            let active = keys.iter().filter(|(_, active)| **active);
            let active: Vec<&str> = active.map(|(key, _)| key.as_str()).collect();
            (active.len() == 2).then(|| format!("{user}: {}", active.join(" ")))
        })
        .collect()
}

/// Every final state that IAM allows for `calls` in any order, with the pairs that occurred on the
/// way.
fn ends(iam: &Iam, calls: &[Call], seen: &BTreeSet<String>) -> Vec<(Iam, BTreeSet<String>)> {
    if calls.is_empty() {
        return vec![(iam.clone(), seen.clone())];
    }
    let mut all = vec![];
    for place in 0..calls.len() {
        let mut rest = calls.to_vec();
        let Some(after) = called(iam, &rest.remove(place)) else {
            continue;
        };
        let seen: BTreeSet<String> = seen.union(&pairs(&after)).cloned().collect();
        all.extend(ends(&after, &rest, &seen));
    }
    all
}

fn random_call(rng: &mut Rng, iam: &Iam, key_number: &mut u32) -> Call {
    const NAMES: [&str; 6] = ["alice", "bob", "carl", "dora", "eve", "zoe"];
    let name = NAMES[rng.usize(..NAMES.len())];
    let key = iam.get(name).and_then(|keys| rng.choice(keys.keys()));
    match (rng.u8(..12), key) {
        (0..=3, Some(key)) => set(name, key, rng.bool()),
        (4..=5, Some(key)) => delete(name, key),
        (6..=8, _) => rename(name, NAMES[rng.usize(..NAMES.len())]),
        (9, None) => delete_user(name),
        _ => {
            *key_number += 1;
            create(name, &format!("K{key_number:03}"))
        }
    }
}

/// The result of a history.
enum End {
    /// Every second has one possible final state.
    Certain(Iam),
    /// The last second has several, and these pairs occur in every possible order.
    Open(BTreeSet<String>),
}

fn history(rng: &mut Rng) -> (Vec<(i64, Call)>, End) {
    let (mut iam, mut key_number, mut calls) = (Iam::new(), 0, vec![]);
    for second in 0..rng.i64(4..14) {
        let (begin, mut of_second) = (iam.clone(), vec![]);
        for _ in 0..rng.usize(1..16) {
            let call = random_call(rng, &iam, &mut key_number);
            if of_second.len() < 6
                && let Some(after) = called(&iam, &call)
                && !of_second.contains(&call)
            {
                iam = after;
                of_second.push(call);
            }
        }
        calls.extend(of_second.iter().map(|call| (second, call.clone())));
        let ends = ends(&begin, &of_second, &BTreeSet::new());
        let seen_always = ends
            .iter()
            .map(|(_, seen)| seen.clone())
            .reduce(|one, other| one.intersection(&other).cloned().collect());
        let distinct: BTreeSet<&Iam> = ends.iter().map(|(end, _)| end).collect();
        if distinct.len() > 1 {
            return (calls, End::Open(seen_always.expect("there is an end")));
        }
    }
    (calls, End::Certain(iam))
}

#[tokio::test]
async fn replay_of_any_shuffling_ends_as_the_history_did() {
    let (mut certain, mut open) = (0, 0);
    for seed in 0..HISTORIES {
        let mut rng = Rng::with_seed(seed);
        let (calls, end) = history(&mut rng);
        for _ in 0..2 {
            let file = File::new();
            let mut records: Vec<Value> = calls
                .iter()
                .map(|(second, call)| record(*second, call, ACCOUNT, &rng.u64(..).to_string()))
                .collect();
            rng.shuffle(&mut records);
            file.replay(&records).await.expect("it can be replayed");
            match &end {
                End::Certain(iam) => {
                    certain += 1;
                    assert_eq!(file.open().await, pairs(iam), "seed {seed}: {calls:#?}");
                    let with_keys = iam.iter().filter(|(_, keys)| !keys.is_empty());
                    let with_keys: Iam = with_keys
                        .map(|(user, keys)| (user.clone(), keys.clone()))
                        .collect();
                    assert_eq!(kept(&file), with_keys, "seed {seed}: {calls:#?}");
                }
                End::Open(seen_always) => {
                    open += 1;
                    let mut found = file.open().await;
                    for finding in file.findings(FindingStatus::Closed).await {
                        let keys: Vec<&str> =
                            finding.keys.iter().map(|key| key.id.as_str()).collect();
                        found.insert(format!("{}: {}", finding.user().name(), keys.join(" ")));
                    }
                    let lost: Vec<_> = seen_always.difference(&found).collect();
                    assert!(lost.is_empty(), "seed {seed}: {lost:?} of {calls:#?}");
                }
            }
        }
    }
    assert!(certain > 40 && open > 40, "{certain} certain, {open} open");
}

/// The keys that the file stores for users with keys.
fn kept(file: &File) -> Iam {
    let replayed = file
        .store
        .write(ledger_table::load)
        .expect("it can be read");
    let mut kept = Iam::new();
    for (user, known) in replayed.users {
        if let LedgerUser::Listed { keys, .. } = known
            && !keys.is_empty()
        {
            let active = keys
                .into_iter()
                .map(|(id, key)| (id, key.status.word() == "Active"));
            kept.insert(user.name().to_owned(), active.collect());
        }
    }
    kept
}
