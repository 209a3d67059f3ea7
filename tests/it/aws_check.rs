//! `infra/aws-check`, as far as it can be tested without an AWS account: its plan, its functions, and
//! a whole run against moto with the real AWS CLI.

mod conditions;
mod emulated;
mod plan;
mod world;

use std::process::{Command, Output, Stdio};

use self::world::{path_with, write_program};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/infra/aws-check");

/// The exit code and the standard output.
fn code_and_text(output: &Output) -> (i32, String) {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code().unwrap_or(-1), text)
}

/// Runs the script with these arguments and `input`, and with `aws` as a program of one account,
/// which fails for what contains `refused`. Also returns the calls, each with its access key.
fn run_with_fake_aws(arguments: &[&str], input: &str, refused: &str) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let calls = folder.path().join("calls");
    let fake = format!(
        r#"echo "${{AWS_ACCESS_KEY_ID:-no key}} ${{AWS_PROFILE:-no profile}}: $*" >>'{}'
        case "$*" in
          *'{refused}'*) echo 'AccessDenied' >&2 && exit 254 ;;
          'sts get-caller-identity'*) echo 123456789012 ;;
        esac"#,
        calls.display()
    );
    write_program(folder.path(), "aws", &fake);
    for tool in ["sam", "cargo-lambda", "secondkey", "sleep"] {
        write_program(folder.path(), tool, "");
    }
    let script = format!("printf '%s' \"$0\" | bash '{SCRIPT}' \"$@\"");
    let output = Command::new("bash")
        .args(["-c", &script, input])
        .args(arguments)
        .env("PATH", path_with(folder.path()))
        .env("AWS_ACCESS_KEY_ID", "AKIAELSEWHERE")
        .env("AWS_SESSION_TOKEN", "token")
        .env_remove("AWS_PROFILE")
        .stdin(Stdio::null())
        .output();
    let (code, text) = code_and_text(&output.unwrap());
    let calls = std::fs::read_to_string(calls).unwrap_or_default();
    (code, text, calls)
}

const STACK: &str = "secondkey-check-20260102030405";

#[test]
fn wrong_options_are_usage_errors() {
    for arguments in [
        &["--no-such"][..],
        &["--profile"],
        &["--email", ""],
        &["--member-profile", "m", "--organization-id", "o-abcdefghij"],
        &["--profile", "p", "--member-profile", "m"],
        &["--remove", "secondkey"],
    ] {
        let (code, text, calls) = run_with_fake_aws(arguments, "", "never");
        assert_eq!((code, calls.as_str()), (2, ""), "{arguments:?}: {text}");
    }
    assert_eq!(run_with_fake_aws(&["--help"], "", "never").0, 0);
}

#[test]
fn nothing_is_changed_before_the_account_is_typed() {
    for input in ["", "yes\n", "123456789013\n"] {
        let (code, text, calls) = run_with_fake_aws(&[], input, "never");
        assert_eq!(code, 1, "{text}");
        assert!(text.contains("account 123456789012"), "{text}");
        assert_eq!(calls.lines().count(), 1, "{calls}");
    }
    let (code, text, calls) = run_with_fake_aws(&["--remove", STACK], "123456789012\n", "never");
    assert_eq!(code, 0, "{text}");
    assert!(calls.contains(&format!("delete-stack --stack-name {STACK} ")));
}

#[test]
fn two_profiles_of_one_account_are_refused() {
    let arguments = [
        &["--profile", "p", "--member-profile", "m", "--yes"][..],
        &["--organization-id", "o-abcdefghij"],
    ]
    .concat();
    let (code, text, calls) = run_with_fake_aws(&arguments, "", "never");
    assert_eq!(code, 2, "{text}");
    assert_eq!(calls.lines().count(), 2, "{calls}");
}

#[test]
fn a_profile_overrides_keys_in_the_environment() {
    let remove = ["--remove", STACK, "--yes"];
    let (_, _, calls) = run_with_fake_aws(&remove, "", "never");
    assert!(calls.contains("AKIAELSEWHERE no profile: sts"), "{calls}");
    let with_profile = [&remove[..], &["--profile", "p"]].concat();
    let (_, _, calls) = run_with_fake_aws(&with_profile, "", "never");
    assert!(calls.lines().count() > 5, "{calls}");
    assert!(
        calls.lines().all(|call| call.starts_with("no key p: ")),
        "{calls}"
    );
}

#[test]
fn a_removal_that_fails_is_reported_and_the_others_go_on() {
    let remove = ["--remove", STACK, "--yes"];
    let (code, text, _) = run_with_fake_aws(&remove, "", "never");
    assert_eq!(code, 0, "{text}");
    assert!(!text.contains("FAILED"), "{text}");
    for (refused, failed) in [
        ("delete-user", "the user"),
        ("delete-stack", "the central stack"),
        ("update-table", "the table"),
        ("list-buckets", "the buckets"),
        ("list-users", "no user is left"),
        ("get-queue-url", "the queue"),
    ] {
        let (code, text, calls) = run_with_fake_aws(&remove, "", refused);
        assert_eq!(code, 1, "{refused}: {text}");
        let line = format!("FAILED: {failed}");
        assert!(text.contains(&line), "{refused}: {text}");
        assert!(text.contains("    AccessDenied"), "{refused}: {text}");
        let last = calls.lines().last().unwrap();
        assert!(last.contains("list-users"), "{refused}: {calls}");
    }
}
