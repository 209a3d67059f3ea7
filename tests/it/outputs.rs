//! What programs of others make of our outputs: each document is held against the format's published schema or reader, and a
//! broken one is refused, so that the check is seen to check.

pub mod standings;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use secondkey::output::{asff, csv, ocsf, sarif};
use serde_json::{Value, json};

use self::standings::standings;
use crate::hostile_texts::HOSTILE_TEXTS;
use crate::stack::fetch;

/// Names that IAM allows and that a spreadsheet would take for formulas, or a reader for more than one field.
const ALLOWED: [&str; 6] = ["=cmd()", "+1", "-1", "@SUM", "a,b", "=1,=2"];

/// The checks, one Python program for each format: it reads a document, and says what is wrong with it.
struct Check {
    script: &'static str,
    arguments: Vec<PathBuf>,
}

impl Check {
    /// What the check says of `document`: what it read, or what is wrong.
    fn says(&self, document: &str) -> Result<String, String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/outputs");
        // Its Python has botocore and jsonschema, which moto needs itself, held to known versions.
        let mut child = Command::new(fetch::moto())
            .arg(folder.join(self.script))
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let document = document.to_owned();
        let writer = std::thread::spawn(move || stdin.write_all(document.as_bytes()));
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        // A program that fails on its own account has checked nothing.
        assert_eq!(errors, "", "{}", self.script);
        writer.join().unwrap().unwrap();
        match output.status.code() {
            Some(0) => Ok(said),
            Some(1) => Err(said),
            other => panic!("{}: {other:?}: {said}", self.script),
        }
    }

    /// Sees to it that `document` is whole.
    #[track_caller]
    fn takes(&self, document: &str) {
        if let Err(problems) = self.says(document) {
            panic!("{}: {problems:.3000}", self.script);
        }
    }

    /// Sees to it that `whole` is refused once `change` has changed its first item, for the reason that holds `because`.
    #[track_caller]
    fn refuses(&self, whole: &str, because: &str, change: impl FnOnce(&mut Value)) {
        let mut document: Value = serde_json::from_str(whole).unwrap();
        change(&mut document);
        let problems = self.says(&document.to_string()).unwrap_err();
        assert!(problems.contains(because), "`{because}`: {problems:.2000}");
    }
}

/// Every kind of finding with every text of the table, and with a harmless one first.
fn every_standing() -> Vec<secondkey::output::standing::Standing> {
    ["Alice"]
        .into_iter()
        .chain(ALLOWED)
        .chain(HOSTILE_TEXTS.iter().map(|hostile| hostile.text.as_str()))
        .flat_map(standings)
        .collect()
}

#[test]
fn security_hubs_own_model_takes_our_findings() {
    let check = Check {
        script: "asff.py",
        arguments: vec![],
    };
    check.takes(&asff::document(&every_standing(), "us-east-1").unwrap());
    let whole = asff::document(&standings("Alice"), "us-east-1").unwrap();
    check.takes("[]");
    check.refuses(&whole, "Missing required parameter", |findings| {
        findings[0].as_object_mut().unwrap().remove("Title");
    });
    check.refuses(&whole, "Unknown parameter", |findings| {
        findings[0]["Severety"] = json!({"Label": "HIGH"});
    });
    check.refuses(&whole, "RecordState", |findings| {
        findings[0]["RecordState"] = json!("OPEN");
    });
    check.refuses(&whole, "Title", |findings| {
        findings[0]["Title"] = json!(" ");
    });
    check.refuses(&whole, "UpdatedAt", |findings| {
        findings[0]["UpdatedAt"] = json!("2023-11-14 22:13:34");
    });
}

#[test]
fn the_schema_of_ocsf_takes_a_create_an_update_and_a_close() {
    let check = Check {
        script: "ocsf.py",
        arguments: vec![fetch::ocsf_schema()],
    };
    check.takes(&ocsf::document(&every_standing()).unwrap());
    let whole = ocsf::document(&standings("Alice")).unwrap();
    let events: Value = serde_json::from_str(&whole).unwrap();
    for activity in 1..=3 {
        let mut events = events.as_array().unwrap().iter();
        assert!(events.any(|event| event["activity_id"] == activity));
    }
    check.refuses(&whole, "'time' is a required property", |events| {
        events[0].as_object_mut().unwrap().remove("time");
    });
    check.refuses(&whole, "severity_id", |events| {
        events[0]["severity_id"] = json!(7);
    });
    check.refuses(&whole, "status_id", |events| {
        events[0]["status_id"] = json!("New");
    });
    check.refuses(&whole, "type_uid", |events| {
        events[0]["type_uid"] = json!(200_402);
    });
    check.refuses(&whole, "severity", |events| {
        events[0]["severity"] = json!("Critical");
    });
    check.refuses(&whole, "finding", |events| {
        events[0]["finding"] = json!({});
    });
    check.refuses(&whole, "cloud", |events| {
        events[0].as_object_mut().unwrap().remove("cloud");
    });
}

#[test]
fn the_schema_of_sarif_takes_our_log() {
    let check = Check {
        script: "sarif.py",
        arguments: vec![fetch::sarif_schema()],
    };
    check.takes(&sarif::document(&every_standing()).unwrap());
    let whole = sarif::document(&standings("Alice")).unwrap();
    check.takes(&sarif::document(&[]).unwrap());
    check.refuses(&whole, "'version' is a required property", |log| {
        log.as_object_mut().unwrap().remove("version");
    });
    for (field, value) in [
        ("level", json!("fatal")),
        ("baselineState", json!("gone")),
        ("ruleId", json!("another-rule")),
        ("locations", json!([])),
        ("message", json!({"text": "see {0}"})),
    ] {
        check.refuses(&whole, field, |log| {
            log["runs"][0]["results"][0][field] = value;
        });
    }
    check.refuses(&whole, "uri", |log| {
        let location = &mut log["runs"][0]["results"][0]["locations"][0];
        location["physicalLocation"]["artifactLocation"]["uri"] = json!("a b://c");
    });
}

#[test]
fn a_strict_reader_of_csv_gets_every_text_back() {
    let check = Check {
        script: "csv_reader.py",
        arguments: vec![],
    };
    let standings = every_standing();
    let whole = csv::document(&standings).unwrap();
    let rows = check.says(&whole).unwrap_or_else(|error| panic!("{error}"));
    let rows: Vec<Vec<String>> = serde_json::from_str(&rows).unwrap();
    assert_eq!(rows.len(), standings.len() + 1);
    let column = |name: &str| rows[0].iter().position(|column| column == name).unwrap();
    let (user, first, by) = (column("user"), column("key_1_id"), column("opened_by"));
    for (row, standing) in rows[1..].iter().zip(&standings) {
        let finding = &standing.alert.finding;
        assert_eq!(told_back(&row[user]), finding.display_name);
        let keys: Vec<&str> = finding.keys.iter().map(|key| key.id.as_str()).collect();
        assert!(keys.contains(&told_back(&row[first]).as_str()), "{row:?}");
        let opener = finding.opener.as_ref();
        assert_eq!(
            told_back(&row[by]),
            opener.map_or("", |opener| opener.actor.label())
        );
    }

    let (header, _) = whole.split_once('\n').unwrap();
    for (broken, because) in [
        ("\"new\"x", "expected after"),
        ("\"new", "unexpected end"),
        ("new,open", "fields"),
        (&format!("=1+1{}", ",x".repeat(27)), "formula"),
        (&format!("new{},\t@x", ",x".repeat(26)), "formula"),
    ] {
        let problems = check.says(&format!("{header}\n{broken}\n")).unwrap_err();
        assert!(problems.contains(because), "`{because}`: {problems}");
    }
}

/// What `cell` says, with what could not be seen as it was.
fn told_back(cell: &str) -> String {
    let shown = cell.strip_prefix('\'').unwrap_or(cell);
    let mut text = String::new();
    let mut rest = shown;
    while let Some((before, after)) = rest.split_once("\\u{") {
        text.push_str(before);
        let (code, after) = after.split_once('}').unwrap();
        let code = u32::from_str_radix(code, 16).unwrap();
        write!(text, "{}", char::from_u32(code).unwrap()).unwrap();
        rest = after;
    }
    text + rest
}
