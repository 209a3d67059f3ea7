//! What each output says about a finding: the verdict, and the first command that deactivates a
//! key.

use std::collections::BTreeMap;

use secondkey::detect::findings::finding::FindingKey;
use secondkey::detect::rotation::stage::{DeactivationRefused, RotationKey, key_to_deactivate};
use secondkey::output::alert_text::alert_text;
use secondkey::output::chat::chat_notification;
use secondkey::output::escape::OutputContext;
use secondkey::output::invocation::NOWHERE;
use secondkey::output::snapshot::FindingSnapshot;
use secondkey::output::{asff, csv, json_v1, ocsf, sarif};
use serde_json::Value;

/// What one output says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Said {
    /// `contain KEY`, `retire KEY`, `rotation_in_progress` or `ask`.
    pub verdict: String,
    /// The key that the first command deactivates.
    pub first_command: Option<String>,
}

/// What each output says about `snapshot`, by the output's name.
pub fn said(snapshot: &FindingSnapshot) -> BTreeMap<&'static str, Said> {
    let alert = &snapshot.alert;
    let text = |place| alert_text(alert, &snapshot.last_uses, place, &NOWHERE).whole();
    let chat = chat_notification(alert, &snapshot.last_uses).text();
    let of_alert = serde_json::to_value(json_v1::alert(alert, &snapshot.last_uses)).unwrap();
    let of_standing = serde_json::to_value(json_v1::snapshot(snapshot)).unwrap();
    let one = std::slice::from_ref(snapshot);
    let parsed = |document: &str| serde_json::from_str::<Value>(document).unwrap();
    let sarif = parsed(&sarif::document(one).unwrap());
    let asff = parsed(&asff::document(one, "us-east-1").unwrap());
    let ocsf = parsed(&ocsf::document(one).unwrap());
    BTreeMap::from([
        ("terminal", by_text(&text(OutputContext::Terminal))),
        ("e-mail", by_text(&text(OutputContext::PlainText))),
        ("chat", by_text(&chat)),
        ("alert JSON", by_json(&of_alert)),
        ("JSON", by_json(&of_standing)),
        ("CSV", by_csv(&csv::document(one).unwrap())),
        (
            "SARIF",
            by_text(words(&sarif["runs"][0]["results"][0]["message"]["text"])),
        ),
        (
            "SARIF Markdown",
            by_text(words(
                &sarif["runs"][0]["results"][0]["message"]["markdown"],
            )),
        ),
        (
            "ASFF",
            by_text(words(&asff[0]["Remediation"]["Recommendation"]["Text"])),
        ),
        ("OCSF", by_text(words(&ocsf[0]["remediation"]["desc"]))),
        (
            "OCSF fields",
            by_fields(&ocsf[0]["unmapped"], "verdict", "verdict_key"),
        ),
        ("rotate finish", by_rotation(snapshot)),
    ])
}

fn words(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// Reads a text like a person: the first sentence that recommends something, and the first command.
pub fn by_text(text: &str) -> Said {
    let text = text.replace('`', "");
    let place = |start: &'static str| text.find(start).map(|place| (place, start));
    let starts = ["Nothing to deactivate", "Retire ", "Deactivate ", "Ask "];
    let (at, start) = starts
        .into_iter()
        .filter_map(place)
        .min()
        .unwrap_or_else(|| panic!("{text}"));
    let key = || {
        let rest = &text[at + start.len()..];
        rest.split([' ', ':']).next().unwrap().to_owned()
    };
    let verdict = match start {
        "Nothing to deactivate" => "rotation_in_progress".to_owned(),
        "Retire " => format!("retire {}", key()),
        "Deactivate " => format!("contain {}", key()),
        _ => "ask".to_owned(),
    };
    let commands = text.split("aws iam update-access-key ").skip(1);
    let first_command = commands
        .map(|command| command.lines().next().unwrap())
        .find(|command| command.contains("--status Inactive"))
        .and_then(|command| command.split("--access-key-id ").nth(1)?.split(' ').next())
        .map(str::to_owned);
    Said {
        verdict,
        first_command,
    }
}

fn by_json(document: &Value) -> Said {
    let deactivates = |command: &&Value| command["purpose"] == "deactivate";
    let first = document["commands"]
        .as_array()
        .unwrap()
        .iter()
        .find(deactivates);
    let retire = document["retire"]["key"].as_str();
    assert_eq!(
        retire,
        document["verdict"]["key"].as_str(),
        "`retire` agrees"
    );
    Said {
        first_command: first.map(|command| words(&command["key"]).to_owned()),
        ..by_fields(&document["verdict"], "code", "key")
    }
}

pub fn by_fields(fields: &Value, code: &str, key: &str) -> Said {
    let key = fields[key].as_str().map(str::to_owned);
    let verdict = key.as_ref().map_or_else(
        || words(&fields[code]).to_owned(),
        |key| format!("{} {key}", words(&fields[code])),
    );
    Said {
        verdict,
        first_command: key,
    }
}

fn by_csv(document: &str) -> Said {
    let mut rows = ::csv::Reader::from_reader(document.as_bytes());
    let row: BTreeMap<String, String> = rows.deserialize().next().unwrap().unwrap();
    let key = Some(row["retire_key"].clone()).filter(|key| !key.is_empty());
    let command = &row["deactivate_command"];
    let of_command = by_text(&format!("Ask {command}")).first_command;
    Said {
        verdict: key.map_or_else(
            || row["verdict"].clone(),
            |key| format!("{} {key}", row["verdict"]),
        ),
        first_command: of_command,
    }
}

/// What `rotate finish` does by itself, and what it says if it does nothing.
fn by_rotation(snapshot: &FindingSnapshot) -> Said {
    let keys: Vec<RotationKey> = snapshot
        .alert
        .finding
        .keys
        .iter()
        .map(|key: &FindingKey| RotationKey {
            key: key.clone(),
            last_used: snapshot.last_uses.get(&key.id).cloned(),
        })
        .collect();
    let verdict = snapshot.verdict();
    match key_to_deactivate(&keys, None, verdict.as_ref()) {
        Ok(retirement) => {
            let key = retirement.key.key.id.clone();
            Said {
                verdict: format!("retire {key}"),
                first_command: Some(key),
            }
        }
        Err(DeactivationRefused::Verdict(refused)) => {
            assert_eq!(Some(refused), verdict);
            let shown = serde_json::to_value(json_v1::snapshot(snapshot)).unwrap();
            // It deactivates nothing unless the key is named.
            by_fields(&shown["verdict"], "code", "key")
        }
        Err(other) => panic!("{other:?}"),
    }
}
