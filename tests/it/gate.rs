//! `secondkey gate` as the real binary, on plans of Terraform itself.

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use serde_json::{Value, json};

fn plans() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guardrails/plans")
}

fn plan(name: &str) -> PathBuf {
    plans().join(name)
}

/// The exit code, stdout and stderr of `secondkey gate` with `args` and `stdin`.
fn gate(args: &[&str], stdin: &[u8]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_secondkey"))
        .arg("gate")
        .args(args)
        .write_stdin(stdin)
        .output()
        .unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

/// Checks that `text` fails as a plan, with a message that contains `because`.
#[track_caller]
fn check_failure(text: &[u8], because: &str) {
    let (code, stdout, stderr) = gate(&["-"], text);
    assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
    assert!(stderr.starts_with("secondkey: standard input"), "{stderr}");
    assert!(stderr.contains(because), "`{because}`: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
}

#[test]
fn each_plan_has_the_result_in_its_text_file() {
    let (mut denied, mut passed) = (0, 0);
    for entry in fs::read_dir(plans()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let expected = fs::read_to_string(path.with_extension("txt")).unwrap();
        let path = path.to_str().unwrap();
        let (code, stdout, stderr) = gate(&[path], b"");
        assert_eq!(stderr, "", "{path}");
        if expected.is_empty() {
            assert_eq!(code, 0, "{path}: {stdout}");
            assert!(
                stdout.starts_with("Nothing is denied: "),
                "{path}: {stdout}"
            );
            passed += 1;
        } else {
            let expected: Vec<String> = (1..)
                .zip(expected.lines())
                .map(|(number, line)| format!("{number}. {line}"))
                .collect();
            let told: Vec<&str> = stdout.lines().collect();
            assert_eq!(
                (code, told),
                (10, expected.iter().map(String::as_str).collect()),
                "{path}"
            );
            denied += 1;
        }
    }
    assert!(
        denied >= 12 && passed >= 12,
        "{denied} denied, {passed} passed"
    );
}

#[test]
fn a_plan_is_read_from_stdin_and_reported_as_json() {
    let two = fs::read(plan("two-existing-keys.json")).unwrap();
    let (code, stdout, stderr) = gate(&["-", "--format", "json"], &two);
    assert_eq!((code, stderr.as_str()), (10, ""));
    let told: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(told["version"], "1");
    let denied = told["denied"].as_array().unwrap();
    assert_eq!(denied.len(), 1);
    let message = denied[0]["message"].as_str().unwrap();
    let expected = fs::read_to_string(plan("two-existing-keys.txt")).unwrap();
    assert_eq!(message, expected.trim_end());

    let one = fs::read(plan("one-key.json")).unwrap();
    let (code, stdout, _) = gate(&["-", "--format", "json"], &one);
    assert_eq!(code, 0);
    let told: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(told, json!({"version": "1", "denied": []}));

    // As written on Windows.
    let marked = [b"\xef\xbb\xbf", two.as_slice()].concat();
    assert_eq!(gate(&["-"], &marked).0, 10);
}

#[test]
fn options_allow_create_before_destroy() {
    let folder = tempfile::tempdir().unwrap();
    let options = folder.path().join("options.json");
    let options = options.to_str().unwrap();
    let replaced = plan("replaced-create-first.json");
    let replaced = replaced.to_str().unwrap();
    for (written, expected) in [(true, 0), (false, 10)] {
        let secondkey = json!({"secondkey": {"allow_create_before_destroy": written}});
        fs::write(options, secondkey.to_string()).unwrap();
        assert_eq!(gate(&[replaced, "--data", options], b"").0, expected);
    }
    for bad in [
        "secondkey:\n  allow_create_before_destroy: true\n",
        "[]",
        "",
        r#"{"secondkey": {"allow_create_before_destory": true}}"#,
        r#"{"secondKey": {"allow_create_before_destroy": true}}"#,
        r#"{"secondkey": {"allow_create_before_destroy": "true"}}"#,
    ] {
        fs::write(options, bad).unwrap();
        let (code, stdout, stderr) = gate(&[replaced, "--data", options], b"");
        assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
        assert!(
            stderr.contains("options.json`: the options cannot be used"),
            "{stderr}"
        );
    }
    let (code, _, stderr) = gate(&[replaced, "--data", "missing.json"], b"");
    assert_eq!(code, 1);
    assert!(stderr.contains("`missing.json` cannot be read"), "{stderr}");
}

#[test]
fn input_that_is_not_a_plan_does_not_pass() {
    let no_plan = "the input is not a Terraform plan of format 1.x, so no access key was counted; pass the output of \
                   `terraform show -json PLANFILE`";
    let two: Value =
        serde_json::from_slice(&fs::read(plan("two-existing-keys.json")).unwrap()).unwrap();
    let mut next_format = two.clone();
    next_format["format_version"] = json!("2.0");
    let mut cut = two.clone();
    cut.as_object_mut().unwrap().remove("planned_values");
    for other in [
        json!({}),
        json!([]),
        json!(null),
        json!("plan"),
        json!([two]),
        two["prior_state"].clone(),
        next_format,
        cut,
    ] {
        check_failure(other.to_string().as_bytes(), no_plan);
    }
    check_failure(b"", "the input is not JSON");
    check_failure(
        b"Terraform will perform the following actions:",
        "terraform show -json",
    );
    check_failure(
        &two.to_string().as_bytes()[..2_000],
        "the input is not JSON",
    );
    let utf_16: Vec<u8> = "\u{feff}{}"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    check_failure(&utf_16, "is not UTF-8");

    let (code, stdout, stderr) = gate(&["missing.json"], b"");
    assert_eq!((code, stdout.as_str()), (1, ""));
    assert!(stderr.contains("`missing.json` cannot be read"), "{stderr}");
}

#[test]
fn a_plan_that_terraform_did_not_finish_does_not_pass() {
    let whole = fs::read(plan("replaced-destroy-first.json")).unwrap();
    let mut errored: Value = serde_json::from_slice(&whole).unwrap();
    errored["errored"] = json!(true);
    check_failure(
        errored.to_string().as_bytes(),
        "Terraform did not finish this plan because of an error",
    );
}

#[test]
fn wrong_usage_is_not_a_verdict() {
    for args in [&[][..], &["-", "--format", "jsonl"], &["-", "-"]] {
        let (code, stdout, stderr) = gate(args, b"");
        assert_eq!((code, stdout.as_str()), (2, ""), "{args:?}: {stderr}");
    }
}
