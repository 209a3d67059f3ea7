//! JSON Schemas of the documents of version 1, made from the structs that write them.

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde_json::Value;

use crate::output::json_v1::runs::{ReplaySummaryV1, ScanV1, VerificationV1};
use crate::output::json_v1::wire::{AlertV1, AuditEntryV1, DigestV1, FindingSnapshotV1};

/// A document of version 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Document {
    /// A finding as every command prints it.
    Finding,
    /// What `scan`, `findings` and `replay` print.
    Findings,
    /// An alert.
    Alert,
    /// The open findings of an account in one message.
    Digest,
    /// What `history` prints.
    History,
    /// What `verify` prints.
    Verification,
}

/// What `scan`, `findings` and `replay` print with `--format json`. With `--format jsonl`, each
/// finding is a line, and `scan` or `summary` is on the last line.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "findings are written one by one")]
struct FindingsV1 {
    /// `1`.
    #[schemars(extend("const" = "1"))]
    version: String,
    /// The findings.
    findings: Vec<FindingSnapshotV1>,
    /// What was scanned, only from `scan`.
    #[schemars(skip_serializing_if = "Option::is_none")]
    scan: Option<ScanV1>,
    /// What was read, only from `replay`.
    #[schemars(skip_serializing_if = "Option::is_none")]
    summary: Option<ReplaySummaryV1>,
}

/// What `history` prints with `--format json`. With `--format jsonl`, each entry is a line.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "the entries are written one by one")]
struct HistoryV1 {
    /// `1`.
    #[schemars(extend("const" = "1"))]
    version: String,
    /// The entries, in order of sequence.
    entries: Vec<AuditEntryV1>,
}

/// The JSON Schema (draft 2020-12) of `document`. New fields may be added to version 1, so the
/// schema permits fields that it does not name.
#[must_use]
pub fn schema(document: Document) -> Value {
    match document {
        Document::Finding => of::<FindingSnapshotV1>("finding"),
        Document::Findings => of::<FindingsV1>("findings"),
        Document::Alert => of::<AlertV1>("alert"),
        Document::Digest => of::<DigestV1>("digest"),
        Document::History => of::<HistoryV1>("audit trail"),
        Document::Verification => of::<VerificationV1>("check of audit trails"),
    }
}

fn of<T: JsonSchema>(name: &str) -> Value {
    let mut schema = SchemaSettings::draft2020_12()
        .for_serialize()
        .with_transform(RecursiveTransform(join_lines))
        .into_generator()
        .into_root_schema_for::<T>();
    let title = format!("secondkey {name}, version 1");
    schema.insert("title".to_owned(), title.into());
    schema.into()
}

/// Joins the lines of a description, which are wrapped in the code.
fn join_lines(schema: &mut Schema) {
    if let Some(Value::String(description)) = schema.get_mut("description") {
        *description = description.replace('\n', " ");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::output::json_v1::{alert, digest_to_line, snapshot, to_line};
    use crate::output::testing::{
        HOSTILE, digest_of, every_alert, filled_with, last_uses, last_uses_with, opened, snapshots,
        snapshots_with,
    };

    #[track_caller]
    fn check(document: Document, value: &Value) {
        let schema = schema(document);
        let validator = jsonschema::options()
            .should_validate_formats(true)
            .build(&schema)
            .unwrap();
        let problems = validator.iter_errors(value);
        let problems: Vec<String> = problems
            .map(|problem| format!("{}: {problem}", problem.instance_path()))
            .collect();
        assert!(problems.is_empty(), "{document:?}: {problems:?}");
    }

    #[test]
    fn every_kind_of_finding_and_alert_matches_its_schema() {
        let hostile = snapshots_with(&HOSTILE[0]);
        for one in snapshots().iter().chain(&hostile) {
            check(
                Document::Finding,
                &serde_json::to_value(snapshot(one)).unwrap(),
            );
        }
        for one in every_alert() {
            let hostile = alert(&filled_with("x", one.clone()), &last_uses_with("x"));
            for alert in [alert(&one, &last_uses()), hostile] {
                check(Document::Alert, &serde_json::to_value(alert).unwrap());
            }
        }
    }

    #[test]
    fn a_digest_and_a_cut_alert_match_their_schemas() {
        let digest = digest_of(&every_alert());
        let line = digest_to_line(&digest, 100_000, |document| document).unwrap();
        check(Document::Digest, &serde_json::from_str(&line).unwrap());
        let text = "x".repeat(1_100);
        let long = alert(&filled_with(&text, opened()), &last_uses_with(&text));
        let line = to_line(&long, 20_000).unwrap();
        let cut: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(cut["commands"], Value::Null);
        check(Document::Alert, &cut);
    }

    #[test]
    fn descriptions_are_one_line_and_every_word_has_one() {
        let schema = schema(Document::Findings);
        assert!(!schema.to_string().contains("\\n"));
        let words = &schema["$defs"]["StatusV1"]["oneOf"];
        let first =
            json!({"const": "open", "description": "Two keys are active.", "type": "string"});
        assert_eq!(words[0], first);
    }
}
