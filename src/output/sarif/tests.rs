use serde_json::{Value, json};

use super::*;
use crate::output::hostile::{first_link, first_unseen};
use crate::output::testing::{HOSTILE, last_uses, opened, snapshots, snapshots_with};

fn results(snapshots: &[FindingSnapshot]) -> Vec<Value> {
    let log: Value = serde_json::from_str(&document(snapshots).unwrap()).unwrap();
    log["runs"][0]["results"].as_array().unwrap().clone()
}

#[test]
fn opened_finding_in_sarif() {
    let snapshot = FindingSnapshot {
        alert: opened(),
        last_uses: last_uses(),
        invocation: crate::output::invocation::Invocation::default(),
    };
    let document = document(&[snapshot]).unwrap() + "\n";
    expect_test::expect_file!["opening.json"].assert_eq(&document);
}

#[test]
fn rule_level_and_baseline_match_the_finding() {
    let results = results(&snapshots());
    let described: Vec<String> = results
        .iter()
        .map(|result| {
            let field = |name: &str| result[name].as_str().unwrap().to_owned();
            [field("level"), field("baselineState"), field("ruleId")].join(" ")
        })
        .collect();
    assert_eq!(
        described,
        [
            "warning new second-active-access-key",
            "error unchanged second-active-access-key",
            "note absent second-active-access-key",
            "note unchanged second-active-access-key",
            "error new second-active-access-key-of-root",
        ]
    );
    let rules = rules();
    for result in &results {
        let index = result["ruleIndex"].as_u64().unwrap();
        assert_eq!(result["ruleId"], rules[usize::try_from(index).unwrap()].id);
    }
    assert_eq!(
        results[0]["partialFingerprints"],
        results[1]["partialFingerprints"]
    );
    assert_ne!(
        results[0]["partialFingerprints"],
        results[4]["partialFingerprints"]
    );
}

#[test]
fn exemption_is_a_suppression_with_its_reason() {
    let results = results(&snapshots());
    assert_eq!(results[0]["suppressions"], json!([]));
    let suppressions = results[3]["suppressions"].as_array().unwrap();
    assert_eq!(suppressions.len(), 1);
    let why = suppressions[0]["justification"].as_str().unwrap();
    assert!(why.contains("migration of the build farm"), "{why}");
    assert!(why.contains("platform team"), "{why}");
}

#[test]
fn hostile_text_makes_no_link_placeholder_or_path() {
    for text in HOSTILE.iter() {
        let snapshots = snapshots_with(text);
        let document = document(&snapshots).unwrap();
        assert_eq!(first_unseen(&document), None, "{document}");
        let results = results(&snapshots);
        assert_eq!(results.len(), snapshots.len());
        for result in &results {
            let location = &result["locations"][0];
            assert_eq!(location["logicalLocations"][1]["name"], **text);
            let uri = &location["physicalLocation"]["artifactLocation"]["uri"];
            let uri = uri.as_str().unwrap();
            assert_eq!(uri.matches('/').count(), 3, "{uri}");
            assert!(
                !uri.contains([':', '?', '#', ' ']) && uri.is_ascii(),
                "{uri}"
            );
            for format in ["text", "markdown"] {
                let shown = result["message"][format].as_str().unwrap();
                assert_eq!(first_unseen(shown), None, "{shown}");
                assert!(!shown.contains("](") && !shown.contains("://"), "{shown}");
                let words = shown.lines().filter(|line| !line.contains("aws iam "));
                for line in words.filter(|_| format == "text") {
                    assert_eq!(first_link(line), None, "{line}");
                }
                let outside = shown.replace("{{", "").replace("}}", "");
                assert!(!outside.contains(['{', '}']), "{shown}");
            }
            let markdown = result["message"]["markdown"].as_str().unwrap();
            let outside: String = markdown.split('`').step_by(2).collect();
            assert!(!outside.contains(['<', '>', '*', '[', '@']), "{markdown}");
        }
    }
}
