//! What the commands print and the functions send, against the schemas that `secondkey schema` prints.
//! A broken document must be refused, which proves that the schemas check something.

use std::fs;
use std::path::Path;
use std::process::Command;

use jsonschema::Validator;
use serde_json::{Value, json};

/// The stories of the README.
const SCENARIOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/events/scenarios");

/// What secondkey prints.
fn printed(at: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_secondkey"));
    command.env_remove("SECONDKEY_DB");
    let output = command.args(arguments).current_dir(at).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn json_of(at: &Path, arguments: &[&str]) -> Value {
    let text = printed(at, arguments);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
}

/// The schema of `document`.
fn validator(document: &str) -> Validator {
    let schema = json_of(Path::new("."), &["schema", document]);
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    jsonschema::options()
        .should_validate_formats(true)
        .build(&schema)
        .unwrap()
}

/// What is wrong with `value`, in one text.
fn problems(validator: &Validator, value: &Value) -> String {
    let problems = validator.iter_errors(value);
    let problems = problems.map(|problem| format!("{}: {problem}", problem.instance_path()));
    problems.collect::<Vec<_>>().join("\n")
}

/// Checks that `value` matches the schema of `document`.
#[track_caller]
pub fn check(document: &str, value: &Value) {
    let problems = problems(&validator(document), value);
    assert!(problems.is_empty(), "{document}: {problems:.3000}");
}

#[test]
fn what_replay_findings_history_and_verify_print_matches_the_schemas() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let replayed = json_of(at, &["replay", SCENARIOS, "--db=db", "--format=json"]);
    let listed = json_of(at, &["findings", "--db=db", "--all", "--format=json"]);
    for document in [&replayed, &listed] {
        check("findings", document);
        assert_eq!(document["findings"].as_array().unwrap().len(), 7);
    }
    let lines = printed(at, &["findings", "--db=db", "--all", "--format=jsonl"]);
    assert_eq!(lines.lines().count(), 7);
    for line in lines.lines() {
        check("finding", &serde_json::from_str(line).unwrap());
    }
    check(
        "history",
        &json_of(at, &["history", "bob", "--db=db", "--format=json"]),
    );
    check(
        "verify",
        &json_of(at, &["verify", "--db=db", "--format=json"]),
    );
    // A file without records.
    fs::write(at.join("notes.json"), "{\"a\": 1").unwrap();
    check(
        "findings",
        &json_of(at, &["replay", "notes.json", "--format=json"]),
    );
}

#[test]
fn a_broken_document_does_not_match_its_schema() {
    let folder = tempfile::tempdir().unwrap();
    let whole = json_of(folder.path(), &["replay", SCENARIOS, "--format=json"]);
    let validator = validator("findings");
    assert_eq!(problems(&validator, &whole), "");
    let refuses = |because: &str, change: &dyn Fn(&mut Value)| {
        let mut broken = whole.clone();
        change(&mut broken);
        let problems = problems(&validator, &broken);
        assert!(problems.contains(because), "`{because}`: {problems:.2000}");
    };
    refuses("\"user\" is a required property", &|document| {
        let finding = document["findings"][0].as_object_mut().unwrap();
        finding.remove("user");
    });
    refuses("/findings/0/verdict", &|document| {
        let verdict = document["findings"][0]["verdict"].as_object_mut().unwrap();
        verdict.remove("not_before");
    });
    for (field, value) in [
        ("severity", json!("LOW")),
        ("status", json!("gone")),
        ("change", Value::Null),
        ("close_reason", json!("ended")),
        ("severity_reasons", json!(["rain"])),
        ("opened_at", json!("yesterday")),
        (
            "keys",
            json!([{"id": "A", "status": "Open", "created": null}]),
        ),
    ] {
        refuses(&format!("/findings/0/{field}"), &|document| {
            document["findings"][0][field] = value.clone();
        });
    }
    refuses("/version", &|document| document["version"] = json!("2"));
    // The summary may be missing, so the problem is named by the place of both alternatives.
    refuses("/summary", &|document| {
        document["summary"]["keys_from"] = json!("IAM");
    });
}

#[test]
fn verify_tells_programs_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    printed(at, &["replay", SCENARIOS, "--db=db"]);
    let whole = json_of(at, &["verify", "--db=db", "--format=json"]);
    assert_eq!(whole["intact"], true);
    assert_eq!(whole["broken"], 0);
    let trails = whole["trails"].as_array().unwrap();
    let entries: u64 = trails
        .iter()
        .map(|trail| trail["entries"].as_u64().unwrap())
        .sum();
    assert_eq!(whole["entries"], entries);

    let trail = json_of(at, &["history", "bob", "--db=db", "--format=json"]);
    let known = trail["entries"][1]["hash"].as_str().unwrap();
    let unknown = "0".repeat(64);
    let heads = ["--head", known, "--head", &unknown];
    let command = [&["verify", "--db=db", "--format=json"][..], &heads].concat();
    let checked = json_of(at, &command);
    check("verify", &checked);
    assert_eq!(checked["intact"], false);
    assert_eq!(checked["missing_heads"], json!([unknown]));
    let holds = json!([{"hash": known, "entry": 2, "replaced": false}]);
    let bob = checked["trails"].as_array().unwrap().iter();
    let bob = bob.filter(|trail| trail["user"] == "bob");
    assert!(bob.clone().count() == 1, "{checked:#}");
    for trail in bob {
        assert_eq!(trail["heads"], holds);
    }
}
