//! The functions of `infra/aws-check.bash`, with commands that answer as a test says.

use std::process::Command;

use super::code_and_text;

/// Runs `call` after `stubs`, which may replace `aws` and `secondkey`. Returns its exit code and what
/// it prints.
fn run(stubs: &str, call: &str) -> (i32, String) {
    let script = format!(
        r#"set -euo pipefail
        dry=no keep=no hub=no failures=0 was_gone=no stack=s central=1 region=r home=r partition=aws
        dead_letters=arn:aws:sqs:r:1:s-member-dead-letters elsewhere=x
        work=$(mktemp -d)
        trap 'rm -rf "$work"' EXIT
        . infra/aws-check.bash
        sleep() {{ :; }}
        {stubs}
        {call}"#
    );
    let output = Command::new("bash")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["-c", &script])
        .output();
    code_and_text(&output.unwrap())
}

fn holds(stubs: &str, call: &str) -> bool {
    run(stubs, &format!("if {call}; then exit 0; else exit 1; fi")).0 == 0
}

/// `secondkey findings` that prints a finding of alice for each status, and exits with `code`.
fn findings(statuses: &[&str], code: i32) -> String {
    let findings: Vec<String> = statuses
        .iter()
        .map(|status| format!(r#"{{"user": "alice", "account": "1", "status": "{status}"}}"#))
        .collect();
    format!(
        "secondkey() {{ echo '{{\"findings\": [{}]}}'; return {code}; }}",
        findings.join(", ")
    )
}

#[test]
fn a_finding_is_open_or_closed_only_if_it_was_read() {
    for (statuses, code, is_open, is_closed) in [
        (&["open"][..], 10, true, false),
        (&["closed"], 10, false, true),
        (&["closed", "closed"], 10, false, true),
        (&["open", "closed"], 10, true, false),
        (&["suppressed", "closed"], 10, false, false),
        (&[], 0, false, false),
        (&["open"], 1, false, false),
        (&["closed"], 1, false, false),
        (&["closed"], 2, false, false),
    ] {
        let stub = findings(statuses, code);
        assert_eq!(
            holds(&stub, "is_open alice"),
            is_open,
            "{statuses:?} {code}"
        );
        assert_eq!(
            holds(&stub, "is_closed alice"),
            is_closed,
            "{statuses:?} {code}"
        );
        assert!(!holds(&stub, "is_open bob"), "{statuses:?}");
        assert!(!holds(&stub, "is_closed bob"), "{statuses:?}");
        assert!(!holds(&stub, "is_closed alice 2"), "{statuses:?}");
    }
    for call in ["is_open alice", "is_closed alice"] {
        assert!(!holds("secondkey() { echo 'no JSON'; }", call));
        assert!(!holds("secondkey() { :; }", call));
    }
}

#[test]
fn doctor_passes_only_without_failed_checks() {
    let doctor = |checks: &str, code: i32| {
        format!("secondkey() {{ echo '{{\"checks\": [{checks}]}}'; return {code}; }}")
    };
    let check = |what: &str, state: &str| format!(r#"{{"what": "{what}", "state": "{state}"}}"#);
    let (ok, warning) = (check("a", "ok"), check("b", "warning"));
    let sweep = |state| check("sweep of this account", state);
    for (checks, code, passes, is_swept) in [
        (format!("{ok}, {warning}"), 0, true, false),
        (format!("{ok}, {}", sweep("ok")), 0, true, true),
        (format!("{ok}, {}", sweep("failed")), 1, false, false),
        (
            format!("{}, {}", check("a", "not_checked"), sweep("ok")),
            1,
            false,
            true,
        ),
        (
            format!("{}, {ok}", check("organization: accounts", "failed")),
            1,
            true,
            false,
        ),
        (ok, 2, false, false),
    ] {
        let stub = doctor(&checks, code);
        assert_eq!(holds(&stub, "doctor_passes"), passes, "{checks} {code}");
        assert_eq!(holds(&stub, "is_swept"), is_swept, "{checks} {code}");
    }
    for stub in ["secondkey() { return 1; }", "secondkey() { echo '{}'; }"] {
        assert!(!holds(stub, "doctor_passes"), "{stub}");
        assert!(!holds(stub, "is_swept"), "{stub}");
    }
}

#[test]
fn a_refusal_counts_only_with_its_text() {
    let deploy = |text: &str, code: i32| format!("aws() {{ echo '{text}' >&2; return {code}; }}");
    let guard = "Assertion: IAM events never arrive in this region.";
    let lookup = "Unable to get mapping for DeployWhereIamEventsArrive::x::IamEvents";
    for (text, code, is_refused) in [
        (guard, 254, true),
        (lookup, 255, true),
        (guard, 0, false),
        ("AccessDenied", 254, false),
        ("Unable to locate credentials", 255, false),
    ] {
        assert_eq!(
            holds(&deploy(text, code), "is_refused_elsewhere"),
            is_refused,
            "{text}"
        );
    }
}

#[test]
fn an_alarm_has_acted_only_if_an_action_succeeded() {
    let history = |text: &str, code: i32| format!("aws() {{ echo '{text}'; return {code}; }}");
    for (text, code, has_acted) in [
        (
            "Successfully executed action arn:aws:sns:r:1:s-alarms",
            0,
            true,
        ),
        (
            "Failed to execute action arn:aws:sns:r:1:s-alarms",
            0,
            false,
        ),
        ("Successfully executed action", 254, false),
        ("", 0, false),
    ] {
        assert_eq!(
            holds(&history(text, code), "has_acted alarm"),
            has_acted,
            "{text}"
        );
    }
}

#[test]
fn the_members_target_must_be_as_in_the_template() {
    let target = |target: &str| {
        format!(
            "aws() {{ case $1 in events) echo '{{\"Targets\": [{target}]}}' ;; *) echo rule ;; esac; }}"
        )
    };
    let bus = r#""Arn": "arn:aws:events:r:1:event-bus/s""#;
    let queue = r#""DeadLetterConfig": {"Arn": "arn:aws:sqs:r:1:s-member-dead-letters"}"#;
    for (json, is_right) in [
        (format!("{{{bus}, {queue}}}"), true),
        (format!("{{{bus}, {queue}, \"RetryPolicy\": {{}}}}"), false),
        (format!("{{{bus}}}"), false),
        (
            format!("{{{queue}, \"Arn\": \"arn:aws:events:r:2:event-bus/s\"}}"),
            false,
        ),
        (String::new(), false),
    ] {
        assert_eq!(
            holds(&target(&json), "has_bus_as_target"),
            is_right,
            "{json}"
        );
    }
}

#[test]
fn a_key_of_a_new_user_is_tried_again() {
    let stub = "tries=0; aws() { tries=$((tries + 1)); [ $tries -ge 3 ] || { echo NoSuchEntity >&2; return 254; }; }";
    assert!(holds(stub, "create_key alice"));
    assert!(!holds("aws() { return 254; }", "create_key alice"));
}

#[test]
fn what_does_not_exist_need_not_be_removed() {
    let fails = |text: &str| format!("aws() {{ echo '{text}' >&2; return 254; }}");
    for (text, is_gone) in [
        (
            "An error occurred (NoSuchEntity) when calling the DeleteUser operation",
            true,
        ),
        ("(ResourceNotFoundException)", true),
        (
            "(AWS.SimpleQueueService.NonExistentQueue): The specified queue does not exist.",
            true,
        ),
        ("(AccessDenied)", false),
        ("(DeleteConflict)", false),
        ("The config profile (p) could not be found", false),
    ] {
        assert_eq!(holds(&fails(text), "gone aws x"), is_gone, "{text}");
    }
    // A table that does not exist is not waited for.
    let (code, calls) = run(
        "aws() { echo \"$2\" >>\"$work/calls\"; echo ResourceNotFoundException >&2; return 254; }",
        "remove_table; cat \"$work/calls\"",
    );
    assert_eq!((code, calls.as_str()), (0, "update-table\n"));
}
