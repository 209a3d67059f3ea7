//! A scan that is interrupted by the keyboard, by a kill or by expired credentials, and resumed: it
//! has the same result as an uninterrupted scan, and repeats no answered request. `SCAN_USERS` sets
//! the number of users.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Child, Command, Output};
use std::time::{Duration, Instant};

use super::world::{World, kept};
use crate::doctor::world::Said;

/// The default number of users.
const USERS: usize = 600;

/// One in so many users has two active keys.
const ONE_PAIR_IN: usize = 50;

/// How many users are checked in parallel, and so how many calls may be lost when a scan is killed.
const AT_ONCE: usize = 8;

/// How long a scan may take to reach the middle, and to end.
const PATIENCE: Duration = Duration::from_mins(10);

#[tokio::test]
async fn a_resumed_scan_equals_an_uninterrupted_one() {
    let users = std::env::var("SCAN_USERS").ok().map_or(USERS, |users| {
        users.parse().expect("SCAN_USERS is a number")
    });
    let world = World::new().await;
    let names = (0..users).map(|number| {
        (
            format!("user-{number:04}"),
            1 + usize::from(number % ONE_PAIR_IN == 0),
        )
    });
    world.users(names).await;

    let began = Instant::now();
    let said = world.run(&scan("whole.db")).await;
    assert_eq!(said.code, 10, "{}", said.stderr);
    let seconds = began.elapsed().as_secs_f64();
    let whole = world.take_calls();
    let findings = kept(&world.path("whole.db")).await;
    assert_eq!(findings.len(), users.div_ceil(ONE_PAIR_IN));
    assert!(
        whole.values().all(|times| *times <= 1),
        "nothing is asked twice in one go"
    );

    // By the keyboard: requests in progress are completed.
    let mut child = started(world.command(&scan("interrupted.db")));
    let mut calls = until_half_way(&world, users).await;
    signal("-INT", &child);
    let said = ended(child).await;
    assert_eq!(said.code, 130, "{}", said.stderr);
    assert!(
        said.stderr.contains("to continue where it stopped"),
        "{}",
        said.stderr
    );
    assert_eq!(said.stdout, "");
    let aloud = ["scan", "--mode", "list", "--db", "interrupted.db"];
    let said = world.run(&aloud).await;
    assert_eq!(said.code, 10, "{}", said.stderr);
    assert!(
        said.stderr.contains("of them in an earlier run"),
        "{}",
        said.stderr
    );
    add(&mut calls, world.take_calls());
    assert_eq!(calls, whole, "interrupted and gone on with");
    assert_eq!(kept(&world.path("interrupted.db")).await, findings);

    // By expired credentials.
    child = started(world.command(&scan("expired.db")));
    let mut calls = until_half_way(&world, users).await;
    world.expire_credentials(true);
    let said = ended(child).await;
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert!(said.stderr.contains("sign in again"), "{}", said.stderr);
    assert!(
        said.stderr.contains("to continue where it stopped"),
        "{}",
        said.stderr
    );
    world.expire_credentials(false);
    let said = world.run(&scan("expired.db")).await;
    assert_eq!(said.code, 10, "{}", said.stderr);
    add(&mut calls, world.take_calls());
    assert_eq!(calls, whole, "expired and gone on with");
    assert_eq!(kept(&world.path("expired.db")).await, findings);

    // By a kill: only requests in progress are repeated.
    child = started(world.command(&scan("killed.db")));
    let mut calls = until_half_way(&world, users).await;
    signal("-KILL", &child);
    ended(child).await;
    assert_eq!(world.run(&scan("killed.db")).await.code, 10);
    add(&mut calls, world.take_calls());
    assert!(calls.keys().eq(whole.keys()));
    let again = calls.values().sum::<usize>() - whole.values().sum::<usize>();
    assert!(again <= AT_ONCE, "{again} calls were made again");
    assert_eq!(kept(&world.path("killed.db")).await, findings);

    let line = format!(
        "scan: {users} users, {} findings, {} calls, {seconds:.1} s; stopped in 3 ways and gone on with: the same findings, \
         {again} calls again after a kill, 0 else",
        findings.len(),
        whole.values().sum::<usize>()
    );
    writeln!(std::io::stdout(), "{line}").expect("stdout can be written to");
}

fn scan(db: &str) -> [&str; 6] {
    ["scan", "--mode", "list", "--quiet", "--db", db]
}

fn started(mut command: Command) -> Child {
    command.spawn().expect("the command line starts")
}

/// The calls until half of the users were requested.
async fn until_half_way(world: &World, users: usize) -> BTreeMap<String, usize> {
    let began = Instant::now();
    let mut calls = BTreeMap::new();
    while calls.len() < users / 2 {
        assert!(began.elapsed() < PATIENCE, "only {} calls", calls.len());
        tokio::time::sleep(Duration::from_millis(20)).await;
        add(&mut calls, world.take_calls());
    }
    calls
}

fn add(calls: &mut BTreeMap<String, usize>, more: BTreeMap<String, usize>) {
    for (call, times) in more {
        *calls.entry(call).or_default() += times;
    }
}

fn signal(signal: &str, child: &Child) {
    let sent = Command::new("kill")
        .args([signal, &child.id().to_string()])
        .status();
    assert!(sent.expect("there is a `kill`").success());
}

async fn ended(child: Child) -> Said {
    let output: std::io::Result<Output> = tokio::task::spawn_blocking(|| child.wait_with_output())
        .await
        .unwrap();
    Said::of(&output.expect("it ends"))
}
