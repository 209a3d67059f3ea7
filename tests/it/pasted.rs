//! Commands that the output shows, when pasted: each names the store and the AWS account that the
//! run used.

use std::collections::BTreeSet;
use std::process::Command;

use chrono::Utc;
use clap::{ArgMatches, CommandFactory};
use secondkey::cli::Cli;
use serde_json::Value;

use crate::rotate::world::{Said, World};
use crate::stack::clients::{ACCESS_KEY, REGION};
use crate::table::new_table;

/// The profile that the runs use.
const PROFILE: &str = "security";

/// The secondkey and AWS commands that a run showed, split like a shell does.
fn shown(said: &Said) -> Vec<Vec<String>> {
    let mut lines = BTreeSet::new();
    for text in [&said.stdout, &said.stderr] {
        if let Ok(document) = serde_json::from_str::<Value>(text) {
            strings(&document, &mut |text| collect(text, &mut lines));
        } else {
            collect(text, &mut lines);
        }
    }
    lines.iter().map(|line| words(line)).collect()
}

fn strings(value: &Value, take: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => take(text),
        Value::Array(values) => values.iter().for_each(|value| strings(value, take)),
        Value::Object(fields) => fields.values().for_each(|value| strings(value, take)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Adds the commands in `text`: the rest of a line, or the content of backticks or a CSV field.
fn collect(text: &str, lines: &mut BTreeSet<String>) {
    for line in text.lines() {
        for name in ["secondkey ", "aws iam "] {
            for (start, _) in line.match_indices(name) {
                let (before, rest) = line.split_at(start);
                let end = match before.chars().next_back() {
                    Some('`') => rest.find('`'),
                    Some(',') => rest.find(','),
                    Some(' ') | None => None,
                    Some(_) => continue,
                };
                lines.insert(rest[..end.unwrap_or(rest.len())].trim().to_owned());
            }
        }
    }
}

/// `line`, split like a shell does.
fn words(line: &str) -> Vec<String> {
    let split = Command::new("sh")
        .args(["-c", &format!("printf '%s\\n' {line}")])
        .output()
        .unwrap();
    assert!(split.status.success(), "{line}");
    let words = String::from_utf8(split.stdout).unwrap();
    words.lines().map(str::to_owned).collect()
}

/// The options of the innermost subcommand.
fn leaf(matches: &ArgMatches) -> &ArgMatches {
    match matches.subcommand() {
        Some((_, inner)) => leaf(inner),
        None => matches,
    }
}

fn given(matches: &ArgMatches, option: &str) -> Option<String> {
    let mut raw = matches.try_get_raw(option).ok()??;
    raw.next().map(|value| value.to_str().unwrap().to_owned())
}

/// Where a run stored its findings.
#[derive(Clone, Copy)]
enum Store<'a> {
    File(&'a str),
    Table(&'a str),
}

/// Checks every command that a run with `store`, the profile and the region showed. Returns how
/// many there are.
#[track_caller]
fn check_shown(name: &str, said: &Said, store: Store<'_>) -> usize {
    let commands = shown(said);
    for words in &commands {
        let what = format!("{name}: {words:?}");
        if words[0] == "aws" {
            let options = ["--profile", PROFILE, "--region", REGION];
            assert!(words.windows(4).any(|some| some == options), "{what}");
            continue;
        }
        let matches = Cli::command()
            .try_get_matches_from(words)
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        let matches = leaf(&matches);
        let asks_aws = match store {
            Store::File(path) => {
                assert_eq!(given(matches, "db").as_deref(), Some(path), "{what}");
                // With a file these take no AWS options, because they make no AWS calls.
                !["verify", "history"].contains(&words[1].as_str())
            }
            Store::Table(table) => {
                assert_eq!(given(matches, "table").as_deref(), Some(table), "{what}");
                true
            }
        };
        if asks_aws {
            assert_eq!(
                given(matches, "profile").as_deref(),
                Some(PROFILE),
                "{what}"
            );
            assert_eq!(given(matches, "region").as_deref(), Some(REGION), "{what}");
        }
    }
    commands.len()
}

/// A user with `keys` keys, and the profile.
async fn world(keys: usize) -> (World, Vec<String>) {
    let (world, keys) = World::with_keys(keys).await;
    std::fs::create_dir_all(world.path("aws")).unwrap();
    let (id, secret) = ACCESS_KEY;
    let profile = format!("[{PROFILE}]\naws_access_key_id={id}\naws_secret_access_key={secret}\n");
    std::fs::write(world.path("aws/credentials"), profile).unwrap();
    (world, keys)
}

fn of_profile<'a>(options: &[&'a str]) -> Vec<&'a str> {
    [options, &["--profile", PROFILE, "--region", REGION]].concat()
}

#[tokio::test]
async fn every_shown_command_names_the_file_the_profile_and_the_region() {
    let (world, keys) = world(2).await;
    world.front.last_used(&keys[1], Utc::now());
    // A shell takes it as two words unless it is quoted.
    let path = world.path("other findings.db");
    let db = path.to_str().unwrap();
    let store = Store::File(db);
    let user = world.user.as_str();
    let run = async |name: &str, least: usize, words: &[&str]| {
        let words = of_profile(&[words, &["--db", db]].concat());
        let said = world.run(&words).await;
        let count = check_shown(name, &said, store);
        assert!(
            count >= least,
            "{name} shows {count}: {}\n{}",
            said.stdout,
            said.stderr
        );
        said
    };
    run("check", 5, &["check", user]).await;
    run("check json", 4, &["check", user, "--format", "json"]).await;
    for format in ["table", "json", "jsonl", "csv", "asff", "ocsf", "sarif"] {
        run(format, 2, &["scan", "--restart", "--format", format]).await;
    }
    run("status", 1, &["rotate", "status", user]).await;
    run("start", 1, &["rotate", "start", user, "--show-once"]).await;
    run("undo", 1, &["rotate", "undo", user]).await;
    run("finish", 1, &["rotate", "finish", user, "--key", &keys[0]]).await;
    run("exempt remove", 1, &["exempt", "remove", "none"]).await;
    let exempted = ["exempt", "add", user, "--reason", "x", "--until", "1h"];
    run("exempt add", 2, &exempted).await;
    let apply = ["rotate", "finish", user, "--key", &keys[0], "--apply"];
    run("finished", 2, &apply).await;
    let cleanup = ["rotate", "cleanup", user, "--soak-hours", "0"];
    run("cleanup", 1, &cleanup).await;
    run("undo, dry", 1, &["rotate", "undo", user]).await;
    run("check, finished", 2, &["check", user]).await;
    for command in ["verify", "history"] {
        let said = world.run(&[command, "nobody", "--db", db]).await;
        assert_eq!(check_shown(command, &said, store), 1, "{}", said.stderr);
    }
}

#[tokio::test]
async fn every_shown_command_names_the_table_the_profile_and_the_region() {
    let (world, keys) = world(2).await;
    // So that one key should be retired, with commands to do it.
    let now = chrono::Utc::now();
    world
        .front
        .last_used(&keys[0], now - chrono::TimeDelta::hours(5));
    world.front.last_used(&keys[1], now);
    let (_, table) = new_table().await;
    let store = Store::Table(&table);
    let user = world.user.as_str();
    for (least, words) in [
        (4, &["check", user][..]),
        (4, &["check", user, "--format", "json"]),
        (1, &["rotate", "status", user]),
        (1, &["rotate", "start", user, "--show-once"]),
        (1, &["rotate", "finish", user, "--key", &keys[0]]),
        (2, &["rotate", "finish", user, "--key", &keys[0], "--apply"]),
        (0, &["rotate", "undo", user, "--apply"]),
        // Now the user has a trail to verify.
        (5, &["check", user]),
        (1, &["exempt", "remove", "none"]),
        (1, &["verify", "nobody"]),
        (1, &["history", "nobody"]),
    ] {
        let said = world
            .run_typing(
                &of_profile(&[words, &["--table", &table]].concat()),
                &keys[0],
            )
            .await;
        let count = check_shown(&words.join(" "), &said, store);
        assert!(
            count >= least,
            "{words:?} shows {count}: {}\n{}",
            said.stdout,
            said.stderr
        );
    }
}

#[tokio::test]
async fn the_shown_verify_command_works_when_pasted() {
    let (world, _) = world(2).await;
    let path = world.path("other.db");
    let db = path.to_str().unwrap();
    let said = world
        .run(&of_profile(&["check", &world.user, "--db", db]))
        .await;
    assert_eq!(said.code, 10, "{}", said.stderr);
    let commands = shown(&said);
    let verify = commands
        .iter()
        .find(|words| words[1] == "verify")
        .expect("it shows how to verify");
    let verify: Vec<&str> = verify.iter().skip(1).map(String::as_str).collect();
    let verified = world.run(&verify).await;
    verified.succeeded().prints("holds   ");
    // What it reports without the file.
    let elsewhere: Vec<&str> = verify
        .iter()
        .copied()
        .filter(|word| *word != "--db")
        .collect();
    let elsewhere: Vec<&str> = elsewhere.into_iter().filter(|word| *word != db).collect();
    assert_ne!(world.run(&elsewhere).await.code, 0);
    for words in commands.iter().filter(|words| words[1] == "rotate") {
        let words: Vec<&str> = words.iter().skip(1).map(String::as_str).collect();
        let said = world.run(&words).await;
        assert!([0, 1].contains(&said.code), "{words:?}: {}", said.stderr);
        assert!(!said.stderr.contains("no IAM user"), "{}", said.stderr);
    }
}

#[tokio::test]
async fn a_replay_without_a_file_shows_no_store_commands() {
    let world = World::new().await;
    let events = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/events/scenarios/backdoor-key.json"
    );
    for options in [
        &["--alerts"][..],
        &["--alerts", "--format", "json"],
        &["--alerts", "--format", "jsonl"],
    ] {
        let said = world.run(&[&["replay", events], options].concat()).await;
        assert_eq!(said.code, 10, "{}", said.stderr);
        let commands = shown(&said);
        assert!(
            commands.iter().any(|words| words[0] == "aws"),
            "{commands:?}"
        );
        assert!(
            commands.iter().all(|words| words[0] == "aws"),
            "{commands:?}"
        );
    }
    let path = world.path("kept here.db");
    let db = path.to_str().unwrap();
    let said = world.run(&["replay", events, "--alerts", "--db", db]).await;
    let commands = shown(&said);
    let verify: Vec<&Vec<String>> = commands
        .iter()
        .filter(|words| words[1] == "verify")
        .collect();
    assert!(verify.len() >= 2, "{commands:?}");
    for words in verify {
        let words: Vec<&str> = words.iter().skip(1).map(String::as_str).collect();
        world.run(&words).await.succeeded();
    }
}
