//! What `--dry-run` prints.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use clap::CommandFactory;
use secondkey::cli::Cli;
use serde_json::{Value, json};

use super::{SCRIPT, STACK, code_and_text};
use crate::docs::shell;
use crate::stack::cloudformation::Template;
use crate::stack::{build, fetch};

const ORGANIZATION: [&str; 6] = [
    "--profile",
    "p",
    "--member-profile",
    "m",
    "--organization-id",
    "o-abcdefghij",
];

/// The options with which the script runs every command that it has.
const ALL: [&[&str]; 3] = [
    &ORGANIZATION,
    &["--home-region", "eu-central-1"],
    &["--security-hub", "--email", "a@example.com"],
];

/// The words of each command in the plan for these options. A profile is the first word.
fn plan(options: &[&str]) -> Vec<Vec<String>> {
    let output = Command::new("bash")
        .args([SCRIPT, "--dry-run"])
        .args(options)
        .env_remove("AWS_PROFILE")
        .output();
    let (code, text) = code_and_text(&output.unwrap());
    assert_eq!(code, 0, "{options:?}: {text}");
    let commands = text.lines().filter(|line| line.starts_with("  "));
    let commands: Vec<_> = commands.flat_map(shell::commands).collect();
    assert!(commands.len() > 20, "{options:?}: {text}");
    commands
}

/// The commands of `program` in `plan`, without the program.
fn of(program: &str, plan: &[Vec<String>]) -> Vec<Vec<String>> {
    let commands = plan.iter().map(|words| {
        let has_profile = words[0].starts_with("AWS_PROFILE=");
        &words[usize::from(has_profile)..]
    });
    let commands = commands.filter(|words| words[0] == program);
    commands.map(|words| words[1..].to_vec()).collect()
}

/// The value of `option`.
fn value<'a>(words: &'a [String], option: &str) -> Option<&'a str> {
    let at = words.iter().position(|word| word == option)?;
    words.get(at + 1).map(String::as_str)
}

/// The place of the first command that contains `text`.
fn place(plan: &[Vec<String>], text: &str) -> usize {
    let found = plan.iter().position(|words| words.join(" ").contains(text));
    found.unwrap_or_else(|| panic!("{text}: {plan:#?}"))
}

#[test]
fn the_plan_has_every_kind_of_event() {
    let plan = plan(&[]);
    for call in [
        "create-access-key",
        "--status Inactive",
        "--status Active",
        "delete-access-key",
        "attach-user-policy",
        "update-user",
        "delete-user",
    ] {
        assert!(place(&plan, call) > place(&plan, "sam deploy"), "{call}");
    }
}

#[test]
fn the_plan_removes_everything_that_it_creates() {
    let plan = plan(&ALL.concat());
    let deployed = place(&plan, "sam deploy");
    let removed = |text: &str| {
        let at = place(&plan, text);
        assert!(at > deployed, "{text}");
        at
    };
    for ending in ["", "-member", "-forward", "-elsewhere"] {
        let ending = format!("{ending} --region");
        let deletions = plan.iter().enumerate().filter(|(_, words)| {
            let text = words.join(" ");
            text.contains("delete-stack") && text.contains(&ending)
        });
        let deletions: Vec<usize> = deletions.map(|(at, _)| at).collect();
        assert!(!deletions.is_empty(), "{ending}");
        for at in deletions {
            let next = plan[at + 1].join(" ");
            assert!(next.contains("wait stack-delete-complete"), "{next}");
        }
    }
    // DynamoDB refuses to delete a table that is being updated.
    let table = removed("update-table --table-name");
    let following: Vec<String> = plan[table + 1..table + 4]
        .iter()
        .map(|words| words[2..4].join(" "))
        .collect();
    assert_eq!(
        following,
        ["dynamodb wait", "dynamodb delete-table", "dynamodb wait"]
    );
    for text in [
        "s3 rb",
        "sqs delete-queue",
        "events delete-rule",
        "iam delete-user",
        "iam list-users",
    ] {
        removed(text);
    }
}

#[test]
fn everything_that_the_stack_retains_is_removed() {
    let template = Template::read("infra/template.yaml");
    let resources = template.0["Resources"].as_object().unwrap();
    let retained = resources
        .iter()
        .filter(|(_, one)| one["DeletionPolicy"] == "Retain");
    let retained: Vec<&str> = retained
        .map(|(_, one)| one["Type"].as_str().unwrap())
        .collect();
    // The plan above deletes the table by its name, and the buckets by the stack's name.
    assert_eq!(retained, ["AWS::DynamoDB::Table", "AWS::S3::Bucket"]);
    let member = Template::read("infra/member.yaml");
    let resources = member.0["Resources"].as_object().unwrap();
    assert!(
        resources
            .values()
            .all(|one| one["DeletionPolicy"].is_null())
    );
}

#[test]
fn every_name_in_the_plan_begins_with_the_stacks() {
    let plan = plan(&ALL.concat());
    let stack = value(&of("sam", &plan)[1], "--stack-name")
        .unwrap()
        .to_owned();
    assert!(stack.starts_with("secondkey-check-"), "{stack}");
    let mut names = BTreeSet::new();
    for words in of("aws", &plan) {
        for option in [
            "--stack-name",
            "--user-name",
            "--new-user-name",
            "--table-name",
            "--queue-name",
            "--rule",
        ] {
            names.extend(value(&words, option).map(str::to_owned));
        }
        let buckets = words.iter().filter_map(|word| word.strip_prefix("s3://"));
        names.extend(buckets.map(str::to_owned));
    }
    // `ChangesRule` stands for the name that the stack has chosen.
    names.remove("ChangesRule");
    assert!(names.len() > 9, "{names:?}");
    let others: Vec<_> = names
        .iter()
        .filter(|name| !name.starts_with(&stack))
        .collect();
    assert!(others.is_empty(), "{others:?}");
}

#[test]
fn keeping_and_removing_leave_nothing_out() {
    let kept = plan(&[&ALL.concat()[..], &["--keep"]].concat());
    let text: Vec<String> = kept.iter().map(|words| words.join(" ")).collect();
    let ends = text
        .iter()
        .position(|call| call.contains("set-alarm-state"))
        .unwrap();
    let removal = &text[ends..];
    assert!(
        removal
            .iter()
            .any(|call| call.contains("AWS_PROFILE=m aws iam delete-user"))
    );
    assert!(
        removal
            .iter()
            .any(|call| call.contains("AWS_PROFILE=p aws iam delete-user"))
    );
    let stacks: Vec<_> = removal
        .iter()
        .filter(|call| call.contains("delete-stack"))
        .collect();
    assert_eq!(stacks.len(), 1, "{stacks:?}");
    assert!(stacks[0].contains("-elsewhere"), "{stacks:?}");

    // A later removal calls the same as one at the end of a run.
    let whole = plan(&ALL.concat());
    let own = value(&of("sam", &whole)[1], "--stack-name")
        .unwrap()
        .to_owned();
    let later = plan(&[&ALL.concat()[..], &["--remove", STACK]].concat());
    let count = later.len() - 2;
    let renamed = |words: &Vec<String>| words.join(" ").replace(&own, STACK);
    let end: Vec<String> = whole[whole.len() - count..].iter().map(renamed).collect();
    let later: Vec<String> = later[2..].iter().map(|words| words.join(" ")).collect();
    assert_eq!(end, later);
}

#[test]
fn the_plan_deploys_resources_and_parameters_that_exist() {
    let central = Template::read("infra/template.yaml").0;
    let member = Template::read("infra/member.yaml").0;
    let mut seen = 0;
    for options in [&[][..], &ORGANIZATION, &ALL.concat()] {
        let plan = plan(options);
        for words in [of("aws", &plan), of("sam", &plan)].concat() {
            let Some(stack) = value(&words, "--stack-name") else {
                continue;
            };
            let is_central = stack.rsplit('-').next().unwrap().starts_with("20");
            let template = if is_central { &central } else { &member };
            if let Some(logical) = value(&words, "--logical-resource-id") {
                assert!(template["Resources"][logical].is_object(), "{words:?}");
                seen += 1;
            }
            let given = words
                .iter()
                .position(|word| word == "--parameter-overrides");
            for pair in given.map_or(&[][..], |at| &words[at + 1..]) {
                let (name, text) = pair.split_once('=').unwrap();
                let parameter = &template["Parameters"][name];
                assert!(parameter.is_object(), "{pair}");
                assert!(!text.is_empty(), "{pair}");
                let allowed = parameter["AllowedValues"].as_array();
                assert!(
                    allowed.is_none_or(|values| values.contains(&json!(text))),
                    "{pair}"
                );
                seen += 1;
            }
        }
    }
    assert!(seen > 40, "{seen}");
}

#[test]
fn secondkey_accepts_every_command_of_the_plan() {
    let mut subcommands = BTreeSet::new();
    for options in [&[][..], &ALL.concat()] {
        for words in of("secondkey", &plan(options)) {
            let whole = [vec!["secondkey".to_owned()], words].concat();
            subcommands.insert(whole[1].clone());
            if let Err(error) = Cli::command().try_get_matches_from(&whole) {
                panic!("{}: {error}", whole.join(" "));
            }
        }
    }
    let found: Vec<&str> = subcommands.iter().map(String::as_str).collect();
    assert_eq!(found, ["doctor", "findings", "history", "verify"]);
}

/// The plan names a file for SAM's settings, which exists only while the script runs.
#[tokio::test]
async fn sam_accepts_every_command_of_the_plan() {
    // SAM exists once something was built.
    build::function("detector").await;
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("samconfig.toml");
    std::fs::write(&settings, "version = 0.1\n").unwrap();
    // SAM looks the profile up.
    let profiles = folder.path().join("profiles");
    std::fs::write(&profiles, "[profile p]\n").unwrap();
    let mut calls = of("sam", &plan(&ALL.concat()));
    let settings_shown = settings.display().to_string();
    for words in &mut calls {
        for (option, present) in [
            ("--config-file", settings_shown.as_str()),
            ("--template-file", "template.yaml"),
        ] {
            let at = words.iter().position(|word| word == option).unwrap();
            present.clone_into(&mut words[at + 1]);
        }
    }
    let input: Vec<String> = calls.iter().map(|words| json!(words).to_string()).collect();
    let mut reader = Command::new(fetch::sam_python())
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/it/aws_check/sam_options.py"
        ))
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/infra"))
        .env("SAM_CLI_TELEMETRY", "0")
        .env("AWS_CONFIG_FILE", &profiles)
        .env_remove("AWS_PROFILE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = reader.stdin.take().unwrap();
    stdin
        .write_all((input.join("\n") + "\n").as_bytes())
        .unwrap();
    drop(stdin);
    let output = reader.wait_with_output().unwrap();
    let (code, text) = code_and_text(&output);
    assert_eq!(code, 0, "{}", String::from_utf8_lossy(&output.stderr));
    let read: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(read.len(), 2, "{text}");
    let stack = &read[1]["stack_name"];
    assert_eq!(&read[1]["s3_prefix"], stack);
    assert_eq!(read[1]["resolve_s3"], false);
    assert_eq!(read[1]["confirm_changeset"], false);
    let bucket = read[1]["s3_bucket"].as_str().unwrap();
    assert!(bucket.starts_with(stack.as_str().unwrap()), "{bucket}");
    for one in read {
        assert_eq!(one["config_file"], json!(settings));
    }
}
