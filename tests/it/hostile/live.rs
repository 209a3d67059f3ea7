//! The output of the commands that call AWS, if every answer is hostile.

mod commands;

use std::path::Path;
use std::process::{Command, Stdio};

use chrono::{TimeDelta, Utc};
use secondkey::detect::decision::exemption::Exemption;
use secondkey::detect::events::text::bounded;
use secondkey::local::sqlite::SqliteStore;
use secondkey::pipeline::finding_store::FindingReader;
use serde_json::Value;

use self::commands::COMMANDS;
use super::aws::Aws;
use super::command_line::{WIDTH, around_tables};
use super::{HARMLESS, Outputs, cut, without_hash};
use crate::hostile_texts::HOSTILE_TEXTS;

/// An account whose exemptions anyone may have written.
const ACCOUNT: &str = "111122223333";

/// How many texts are tried in parallel. Commands spend most of their time waiting for answers and
/// for the disk.
const AT_ONCE: usize = 4;

/// The output of a command.
struct Said {
    name: &'static str,
    stdout: String,
    stderr: String,
}

/// Checks the output of the commands for every text.
pub(super) fn check_all() -> Outputs {
    let harmless = said(&Aws::start(), HARMLESS);
    let check_some = &|first: usize| {
        let mut outputs = Outputs::default();
        let aws = Aws::start();
        for hostile in HOSTILE_TEXTS.iter().skip(first).step_by(AT_ONCE) {
            for (one, expected) in said(&aws, &hostile.text).iter().zip(&harmless) {
                check(&mut outputs, one, expected);
            }
        }
        outputs
    };
    std::thread::scope(|scope| {
        let parts: Vec<_> = (0..AT_ONCE)
            .map(|first| scope.spawn(move || check_some(first)))
            .collect();
        let mut outputs = Outputs::default();
        for part in parts {
            outputs.0.extend(part.join().unwrap().0);
        }
        outputs
    })
}

/// Runs every command while every text from AWS is `text`.
fn said(aws: &Aws, text: &str) -> Vec<Said> {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    // An argument contains no NUL, an account ID before a slash is not part of the name, and IAM
    // answers in the user's own spelling.
    let typeable = |text: &str| text.replace('\0', "_").replace(&format!("{ACCOUNT}/"), "_");
    let named = typeable(&bounded(&cut(text)));
    let mut said = vec![];
    let mut run = |name, exit, words: &[&str]| {
        let (code, stdout, stderr) = secondkey(at, &aws.url, words);
        assert_eq!(code, exit, "{name}: {stdout:.500} {stderr:.2000}");
        said.push(Said {
            name,
            stdout,
            stderr,
        });
    };
    for (name, state, exit, command) in COMMANDS {
        // A named user is reported by the given name.
        let of_user = typeable(text);
        let is_of_user = command.ends_with("USER");
        aws.set(if is_of_user { &of_user } else { text }, *state);
        let user = |word| if word == "USER" { named.as_str() } else { word };
        run(
            name,
            *exit,
            &command.split(' ').map(user).collect::<Vec<_>>(),
        );
    }
    exempt(at, text, &named, &mut run);
    said
}

/// Runs the commands for exemptions, which anyone may have written.
fn exempt(at: &Path, text: &str, named: &str, run: &mut impl FnMut(&'static str, i32, &[&str])) {
    // Short enough to be stored without truncation.
    let id: String = named.chars().take(100).collect();
    let exemption = Exemption {
        id: id.clone(),
        account: ACCOUNT.to_owned(),
        user_pattern: text.to_owned(),
        actor_pattern: text.to_owned(),
        owner: text.to_owned(),
        reason: text.to_owned(),
        created_at: Utc::now(),
        until: Utc::now() + TimeDelta::days(30),
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = SqliteStore::open(&at.join("exempt")).unwrap();
    runtime.block_on(store.put_exemption(&exemption)).unwrap();
    drop(store);
    let common = ["--db", "exempt", "--account", ACCOUNT];
    let list = [&["exempt", "list"], &common[..]].concat();
    run("exempt list", 0, &list);
    run(
        "exempt list json",
        0,
        &[&list[..], &["--format", "json"]].concat(),
    );
    run(
        "exempt remove",
        0,
        &[&["exempt", "remove"], &common[..], &["--", &id]].concat(),
    );
    let (reason, owner, actor) = (
        format!("--reason=x{named}"),
        format!("--owner=x{named}"),
        format!("--actor=x{named}"),
    );
    let texts = [&reason, &owner, &actor].map(String::as_str);
    let pattern = format!("x{named}");
    let add = |until| {
        [
            &["exempt", "add", until],
            &texts[..],
            &common[..],
            &["--", &pattern],
        ]
        .concat()
    };
    run("exempt add", 0, &add("--until=30d"));
    run("exempt add, too long", 1, &add("--until=9999d"));
    let until = format!("--until=x{named}");
    run("exempt add, no date", 2, &add(&until));
    run(
        "exempt remove, nobody",
        1,
        &[&["exempt", "remove"], &common[..], &["--", &pattern]].concat(),
    );
}

/// Compares a command's output with its output for harmless text.
fn check(outputs: &mut Outputs, said: &Said, harmless: &Said) {
    let (name, stdout) = (said.name, said.stdout.as_str());
    outputs.check(name, stdout);
    let is_json = |text: &str| serde_json::from_str::<Value>(text).is_ok();
    if name.ends_with("json") {
        assert!(is_json(stdout), "{name}: {stdout:.5000}");
    } else if name.ends_with("jsonl") {
        assert!(stdout.lines().all(is_json), "{name}: {stdout:.5000}");
    } else if name.ends_with("csv") {
        assert_eq!(
            stdout.lines().count(),
            harmless.stdout.lines().count(),
            "{stdout:.5000}"
        );
    } else {
        outputs.check_lines(name, &around(stdout), &around(&harmless.stdout));
    }
    let errors = format!("{name}, stderr");
    outputs.check_lines(&errors, &around(&said.stderr), &around(&harmless.stderr));
}

/// The lines outside tables with all numbers made equal, because the ages in two runs may differ by
/// seconds.
fn around(text: &str) -> String {
    let lines: Vec<String> = around_tables(text)
        .into_iter()
        .map(|line| {
            let mut same =
                without_hash(line).replace(|character: char| character.is_ascii_digit(), "0");
            while same.contains("00") {
                same = same.replace("00", "0");
            }
            // Columns are as wide as their texts.
            while same.contains("   ") {
                same = same.replace("   ", "  ");
            }
            same.replace("0 min 0 s", "0 s").replace("0 min", "0 s")
        })
        .collect();
    lines.join("\n")
}

fn secondkey(folder: &Path, url: &str, args: &[&str]) -> (i32, String, String) {
    // A finding or an exemption has the same number of lines for every text only where none is
    // wrapped.
    let wraps = ["scan", "exempt"];
    let width = if args.first().is_some_and(|command| wraps.contains(command)) {
        "100000"
    } else {
        WIDTH
    };
    let output = Command::new(env!("CARGO_BIN_EXE_secondkey"))
        .args(args)
        .current_dir(folder)
        .env("AWS_ENDPOINT_URL", url)
        .env("AWS_ACCESS_KEY_ID", "AKIATEST")
        .env("AWS_SECRET_ACCESS_KEY", "secret")
        .env("AWS_REGION", "us-east-1")
        .env("HOME", folder)
        .env("COLUMNS", width)
        .env("AWS_SHARED_CREDENTIALS_FILE", "credentials")
        .env_remove("AWS_PROFILE")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}
