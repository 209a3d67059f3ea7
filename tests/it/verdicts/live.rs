//! The verdict of the commands that call AWS: `check`, `scan` in three formats, `rotate status` and
//! `rotate finish` agree about one user.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::said::{by_fields, by_text};
use crate::rotate::world::World;
use crate::stack::server::{Server, start_moto};

/// A user with an old and a new key of the given ages, alone in an account.
async fn pair(old: TimeDelta, new: TimeDelta) -> (World, [String; 2], Server) {
    let server = tokio::task::spawn_blocking(|| start_moto(&[]));
    let server = server.await.expect("moto starts");
    let world = World::on(&server.url).await;
    let keys = [world.make_key().await, world.make_key().await];
    let now = Utc::now();
    let made = [(keys[0].as_str(), now - old), (keys[1].as_str(), now - new)];
    world.front.list_keys(&world.user, &made);
    (world, keys, server)
}

/// Checks what each command says about the user, and the severity.
async fn check(world: &World, verdict: &str, severity: &str) {
    let db = world.db();
    let run = |arguments: &'static [&'static str], with_user: bool| {
        let user = with_user.then_some(world.user.as_str());
        let words: Vec<String> = arguments
            .iter()
            .copied()
            .chain(user)
            .chain(["--db", db.to_str().unwrap()])
            .map(str::to_owned)
            .collect();
        async move {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            world.run(&words).await
        }
    };
    let json =
        |text: &str| serde_json::from_str::<Value>(text).unwrap_or_else(|_| panic!("{text}"));
    // `check` asks CloudTrail who created the keys, and stores the answer for the others.
    let looked = json(&run(&["check", "--format", "json"], true).await.stdout);
    let told = run(&["check"], true).await.stdout;
    let scanned = json(&run(&["scan", "--format", "json"], false).await.stdout);
    let rows = run(&["scan", "--format", "csv"], false).await.stdout;
    let table = run(&["scan"], false).await.stdout;
    let status = json(
        &run(&["rotate", "status", "--format", "json"], true)
            .await
            .stdout,
    );
    let finish = run(&["rotate", "finish"], true).await;
    let finish = format!("{}{}", finish.stdout, finish.stderr);

    let mut rows = csv::Reader::from_reader(rows.as_bytes());
    let row: std::collections::BTreeMap<String, String> =
        rows.deserialize().next().unwrap().unwrap();
    let of_row = format!("{} {}", row["verdict"], row["retire_key"]);
    let one_line = table.replace('\n', " ");
    let said = [
        (
            "check JSON",
            by_fields(&looked["open"]["verdict"], "code", "key").verdict,
        ),
        ("check", by_text(&told).verdict),
        (
            "scan JSON",
            by_fields(&scanned["findings"][0]["verdict"], "code", "key").verdict,
        ),
        ("scan CSV", of_row.trim().to_owned()),
        ("scan", by_text(&one_line).verdict),
        (
            "rotate status",
            by_fields(&status["verdict"], "code", "key").verdict,
        ),
        ("rotate finish", by_text(&finish).verdict),
    ];
    for (command, said) in &said {
        assert_eq!(said, verdict, "{command}: {said:?}\n{finish}\n{table}");
    }
    assert_eq!(looked["open"]["severity"], severity);
    assert_eq!(scanned["findings"][0]["severity"], severity);
}

fn ago(minutes: i64) -> DateTime<Utc> {
    Utc::now() - TimeDelta::minutes(minutes)
}

#[tokio::test]
async fn two_used_keys_past_their_window_need_a_human_decision() {
    let (world, [old, new], _server) = pair(TimeDelta::days(300), TimeDelta::days(20)).await;
    world.front.last_used(&old, ago(14));
    world.front.last_used(&new, ago(14));
    check(&world, "ask", "HIGH").await;
}

#[tokio::test]
async fn an_unknown_last_use_retires_no_key() {
    let (world, _, _server) = pair(TimeDelta::days(300), TimeDelta::days(20)).await;
    world.front.deny(&["Action=GetAccessKeyLastUsed"]);
    check(&world, "ask", "HIGH").await;
}

#[tokio::test]
async fn the_new_key_of_a_clean_rotation_is_not_retired() {
    let (world, [old, _], _server) = pair(TimeDelta::days(300), TimeDelta::minutes(2)).await;
    world.front.last_used(&old, ago(1));
    check(&world, "rotation_in_progress", "MEDIUM").await;
}

#[tokio::test]
async fn every_command_contains_a_key_that_a_stranger_created() {
    let (world, [old, new], _server) = pair(TimeDelta::days(300), TimeDelta::minutes(30)).await;
    world.front.last_used(&old, ago(1));
    world.history.add_created(&world.user, &new, ago(30));
    check(&world, &format!("contain {new}"), "HIGH").await;
}

#[tokio::test]
async fn an_idle_old_key_is_retired() {
    let (world, [old, new], _server) = pair(TimeDelta::days(300), TimeDelta::hours(9)).await;
    world.front.last_used(&old, ago(300));
    world.front.last_used(&new, ago(1));
    check(&world, &format!("retire {old}"), "MEDIUM").await;
}
