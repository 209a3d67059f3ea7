//! How other programs read our outputs: each document is validated against the format's published
//! schema or reader. A broken document must be refused, which proves that the check works.

pub mod snapshots;

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use secondkey::output::{asff, csv, ocsf, sarif};
use serde_json::{Value, json};

use self::snapshots::snapshots;
use crate::hostile_texts::HOSTILE_TEXTS;
use crate::stack::fetch;

/// Names that IAM allows and that a spreadsheet might read as formulas, or a reader as several
/// fields.
const ALLOWED: [&str; 6] = ["=cmd()", "+1", "-1", "@SUM", "a,b", "=1,=2"];

/// The checks, one Python program per format: it reads a document and reports what is wrong with
/// it.
struct Check {
    script: &'static str,
    arguments: Vec<PathBuf>,
}

impl Check {
    /// The result of checking `document`: what was read, or what is wrong.
    fn says(&self, document: &str) -> Result<String, String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/outputs");
        // Moto's Python has botocore and jsonschema, which moto itself needs, in pinned versions.
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
        // A program that fails by itself has checked nothing.
        assert_eq!(errors, "", "{}", self.script);
        writer.join().unwrap().unwrap();
        match output.status.code() {
            Some(0) => Ok(said),
            Some(1) => Err(said),
            other => panic!("{}: {other:?}: {said}", self.script),
        }
    }

    /// Checks that `document` is valid.
    #[track_caller]
    fn takes(&self, document: &str) {
        if let Err(problems) = self.says(document) {
            panic!("{}: {problems:.3000}", self.script);
        }
    }

    /// Checks that `whole` is refused after `change` has changed its first item, for a reason that
    /// contains `because`.
    #[track_caller]
    fn refuses(&self, whole: &str, because: &str, change: impl FnOnce(&mut Value)) {
        let mut document: Value = serde_json::from_str(whole).unwrap();
        change(&mut document);
        let problems = self.says(&document.to_string()).unwrap_err();
        assert!(problems.contains(because), "`{because}`: {problems:.2000}");
    }
}

/// Every kind of finding with every text of the table, a harmless text first.
fn every_standing() -> Vec<secondkey::output::snapshot::FindingSnapshot> {
    ["Alice"]
        .into_iter()
        .chain(ALLOWED)
        .chain(HOSTILE_TEXTS.iter().map(|hostile| hostile.text.as_str()))
        .flat_map(snapshots)
        .collect()
}

#[test]
fn findings_match_security_hubs_own_model() {
    let check = Check {
        script: "asff.py",
        arguments: vec![],
    };
    check.takes(&asff::document(&every_standing(), "us-east-1").unwrap());
    let whole = asff::document(&snapshots("Alice"), "us-east-1").unwrap();
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
fn ocsf_create_update_and_close_match_the_schema() {
    let check = Check {
        script: "ocsf.py",
        arguments: vec![fetch::ocsf_schema()],
    };
    check.takes(&ocsf::document(&every_standing()).unwrap());
    let whole = ocsf::document(&snapshots("Alice")).unwrap();
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
fn sarif_matches_the_schema() {
    let check = Check {
        script: "sarif.py",
        arguments: vec![fetch::sarif_schema()],
    };
    check.takes(&sarif::document(&every_standing()).unwrap());
    let whole = sarif::document(&snapshots("Alice")).unwrap();
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
fn a_strict_csv_reader_recovers_every_text() {
    let check = Check {
        script: "csv_reader.py",
        arguments: vec![],
    };
    let snapshots = every_standing();
    let whole = csv::document(&snapshots).unwrap();
    let rows = check.says(&whole).unwrap_or_else(|error| panic!("{error}"));
    let rows: Vec<Vec<String>> = serde_json::from_str(&rows).unwrap();
    assert_eq!(rows.len(), snapshots.len() + 1);
    let column = |name: &str| rows[0].iter().position(|column| column == name).unwrap();
    let (user, first, by) = (column("user"), column("key_1_id"), column("opened_by"));
    for (row, snapshot) in rows[1..].iter().zip(&snapshots) {
        let finding = &snapshot.alert.finding;
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

/// The content of `cell`, with escapes for what could not be seen.
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
