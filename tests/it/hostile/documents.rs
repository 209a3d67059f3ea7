//! The documents about findings for other programs.

use secondkey::output::escape::for_json;
use secondkey::output::{asff, csv, json_v1, ocsf, sarif};
use serde_json::Value;

use super::Outputs;
use crate::outputs::snapshots::snapshots;

/// Checks every document about findings that contain `text`.
pub(super) fn check(outputs: &mut Outputs, text: &str) {
    let snapshots = snapshots(text);
    let rows = csv::document(&snapshots).unwrap();
    outputs.check("CSV", &rows);
    assert_eq!(rows.lines().count(), snapshots.len() + 1, "{rows}");

    let in_version_1: Vec<_> = snapshots.iter().map(json_v1::snapshot).collect();
    for (name, document) in [
        (
            "standings json",
            for_json(&serde_json::to_string(&in_version_1).unwrap()),
        ),
        ("ASFF", asff::document(&snapshots, "us-east-1").unwrap()),
        ("OCSF", ocsf::document(&snapshots).unwrap()),
        ("SARIF", sarif::document(&snapshots).unwrap()),
    ] {
        outputs.check(name, &document);
        assert!(serde_json::from_str::<Value>(&document).is_ok(), "{name}");
    }
}
