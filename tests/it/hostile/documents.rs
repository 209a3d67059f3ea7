//! What is written for other programs of findings as they stand.

use secondkey::output::escape::for_json;
use secondkey::output::{asff, csv, json_v1, ocsf, sarif};
use serde_json::Value;

use super::Outputs;
use crate::outputs::standings::standings;

/// Checks every document of findings that hold `text`.
pub(super) fn check(outputs: &mut Outputs, text: &str) {
    let standings = standings(text);
    let rows = csv::document(&standings).unwrap();
    outputs.check("CSV", &rows);
    assert_eq!(rows.lines().count(), standings.len() + 1, "{rows}");

    let in_version_1: Vec<_> = standings.iter().map(json_v1::standing).collect();
    for (name, document) in [
        (
            "standings json",
            for_json(&serde_json::to_string(&in_version_1).unwrap()),
        ),
        ("ASFF", asff::document(&standings, "us-east-1").unwrap()),
        ("OCSF", ocsf::document(&standings).unwrap()),
        ("SARIF", sarif::document(&standings).unwrap()),
    ] {
        outputs.check(name, &document);
        assert!(serde_json::from_str::<Value>(&document).is_ok(), "{name}");
    }
}
