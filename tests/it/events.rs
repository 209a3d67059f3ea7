//! Every file under `events/` leads to the decision that its page documents.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secondkey::detect::decision::policy::Policy;
use secondkey::detect::events::health::LeakReport;
use secondkey::detect::events::key_change::{ChangeKind, IgnoredReason, KeyChange};
use secondkey::detect::events::leak::Leak;
use secondkey::detect::findings::finding::{Finding, FindingStatus};
use secondkey::detect::keys::listing::KeyStatus;
use secondkey::local::ledger::Ledger;
use secondkey::local::log_reading::LogReading;
use secondkey::local::replay::replay;
use secondkey::local::sqlite::SqliteStore;
use secondkey::output::time::duration;
use secondkey::pipeline::finding_store::FindingReader;
use secondkey::pipeline::key_source::KeySource;
use secondkey::pipeline::message::{Message, read_message};
use secondkey::pipeline::recheck::{Dependencies, RecheckRequest, recheck};
use serde_json::Value;

fn events() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("events")
}

fn names_in(folder: &str, ending: &str) -> BTreeSet<String> {
    fs::read_dir(events().join(folder))
        .expect("the folder is there")
        .map(|entry| {
            entry
                .expect("it can be read")
                .file_name()
                .into_string()
                .expect("it is UTF-8")
        })
        .filter_map(|name| name.strip_suffix(ending).map(ToOwned::to_owned))
        .collect()
}

/// The decision for `body`: a change to a user who had one active key before.
async fn decision(body: &str) -> String {
    let change = match read_message(body, None) {
        Ok(Message::Change(change)) => *change,
        Ok(Message::Leaked(report)) => {
            let Some(change) = owned(&report).await else {
                let keys = report.keys.join(", ");
                return format!("leaked: {keys} in {}, which no user has", report.account);
            };
            change
        }
        Ok(Message::Incomplete(incomplete)) => {
            let users: Vec<String> = incomplete.users.iter().map(ToString::to_string).collect();
            return format!(
                "malformed: {}; re-check {}",
                incomplete.why,
                users.join(", ")
            );
        }
        Ok(Message::Ignored(reason)) => return format!("ignored: {}", reason.reason()),
        Ok(Message::Recheck(_)) => return "re-check".to_owned(),
        Ok(Message::Probe(_)) => return "probe".to_owned(),
        Err(error) => return format!("malformed: {error}"),
    };
    let folder = tempfile::tempdir().expect("a folder can be created");
    let store =
        SqliteStore::open(&folder.path().join("findings.db")).expect("a store can be created");
    let ledger = Arc::new(Ledger::new(std::collections::BTreeMap::new()));
    if !change.user.is_root() {
        ledger.apply(&first_key(&change));
    }
    ledger.apply(&change);
    let parts = Dependencies {
        store: Arc::new(store),
        keys: ledger,
        sinks: vec![],
        policy: Policy {
            consistency_window: chrono::TimeDelta::zero(),
            ..Policy::default()
        },
    };
    let mut outcomes = vec![];
    let request = RecheckRequest {
        changes: vec![change.clone()],
        ..RecheckRequest::default()
    };
    for user in change.affected_users() {
        let rechecked = recheck(&parts, &user, &request, change.at)
            .await
            .expect("the store answers");
        outcomes.extend(rechecked.outcomes.iter().map(|outcome| outcome.word()));
    }
    let record = parts.store.record(&change.user).await;
    let record = record.expect("the store answers");
    format!(
        "{}{}",
        outcomes.join(", "),
        leaked("; ", &record.evidence.leaks)
    )
}

/// Appends `; leaked: quarantine KEY` to `before` if a key leaked.
fn leaked(before: &str, leaks: &[Leak]) -> String {
    let leaks: Vec<String> = leaks
        .iter()
        .map(|leak| {
            format!(
                "{} {}",
                leak.signal.word(),
                leak.key.as_deref().unwrap_or("?")
            )
        })
        .collect();
    if leaks.is_empty() {
        return String::new();
    }
    format!("{before}leaked: {}", leaks.join(", "))
}

/// The change for alice, who has one key, if the report is about that key.
async fn owned(report: &LeakReport) -> Option<KeyChange> {
    let ledger = Ledger::new(std::collections::BTreeMap::new());
    let [key] = report.keys.as_slice() else {
        panic!("a sample names one key: {report:?}");
    };
    ledger.apply(&first_key(&report.change(key, "alice")));
    let owner = ledger.owner(&report.account, key).await;
    let owner = owner.expect("the ledger answers");
    owner.map(|name| report.change(key, &name))
}

fn first_key(change: &KeyChange) -> KeyChange {
    KeyChange {
        at: change.at - chrono::TimeDelta::days(90),
        kind: ChangeKind::KeyCreated {
            key: "AKIAEXAMPLEFIRST".to_owned(),
            status: KeyStatus::Active,
        },
        ..change.clone()
    }
}

#[tokio::test]
async fn every_sample_leads_to_the_decision_on_its_page() {
    let page = fs::read_to_string(events().join("README.md")).expect("the page is there");
    let mut promised = BTreeSet::new();
    for row in page.lines().filter(|line| line.starts_with("| [`")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let name = cells[1].split('`').nth(1).expect("a row names its file");
        let body =
            fs::read_to_string(events().join("samples").join(name)).expect("the sample is there");
        assert_eq!(decision(&body).await, cells[3], "{name}");
        promised.insert(name.trim_end_matches(".json").to_owned());
    }
    assert_eq!(
        promised,
        names_in("samples", ".json"),
        "every sample has its row"
    );
}

#[tokio::test]
async fn every_scenario_gives_the_findings_on_its_page() {
    let pages = names_in("scenarios", ".md");
    assert!(pages.len() >= 3);
    assert_eq!(
        pages,
        names_in("scenarios", ".json"),
        "every scenario has its page"
    );
    for name in pages {
        let page = fs::read_to_string(events().join(format!("scenarios/{name}.md")))
            .expect("the page is there");
        let (_, rest) = page
            .split_once("```findings\n")
            .expect("the page promises findings");
        let (promised, _) = rest.split_once("\n```").expect("the block ends");
        assert_eq!(findings_of(&name).await, promised, "{name}");
    }
}

async fn findings_of(scenario: &str) -> String {
    let log = fs::read(events().join(format!("scenarios/{scenario}.json")))
        .expect("the scenario is there");
    let mut reading = LogReading::default();
    reading.read(scenario, log.as_slice(), chrono::Utc::now());
    assert_eq!(reading.malformed, 0);
    let folder = tempfile::tempdir().expect("a folder can be created");
    let store = Arc::new(
        SqliteStore::open(&folder.path().join("findings.db")).expect("a store can be created"),
    );
    replay(&reading, store.clone(), vec![], &Policy::default())
        .await
        .expect("the scenario can be replayed");
    let mut findings = store
        .findings(FindingStatus::Open)
        .await
        .expect("the store answers");
    findings.extend(
        store
            .findings(FindingStatus::Closed)
            .await
            .expect("the store answers"),
    );
    findings.sort_by_key(|finding| finding.opened_at);
    let newest = reading.newest.expect("a scenario has records");
    let lines: Vec<String> = findings
        .iter()
        .map(|finding| line(finding, newest))
        .collect();
    lines.join("\n")
}

fn line(finding: &Finding, now: secondkey::detect::Timestamp) -> String {
    let opener = finding
        .opener
        .as_ref()
        .expect("the scenarios name the user");
    let until = finding.closing.as_ref().map_or(now, |closing| closing.at);
    format!(
        "{} {} {} {} | {} by {}{}",
        match finding.status {
            FindingStatus::Open => "open",
            FindingStatus::Suppressed => "suppressed",
            FindingStatus::Closed => "closed",
        },
        finding.severity.word(),
        finding.display_name,
        duration(until - finding.opened_at),
        if opener.created {
            "created"
        } else {
            "reactivated"
        },
        opener.actor.label(),
        finding
            .closing
            .as_ref()
            .map_or_else(String::new, |closing| format!(
                " | {}",
                closing.reason.words()
            ))
            + &leaked(" | ", &finding.leaks),
    )
}

/// Whether EventBridge's rules match `event`. Covers only the comparison operators that the pattern
/// uses. Source: EventBridge user guide, "Comparison operators for use in event patterns".
fn is_let_through(pattern: &Value, event: Option<&Value>) -> bool {
    match pattern {
        Value::Object(fields) => fields.iter().all(|(name, wanted)| match name.as_str() {
            "$or" => {
                let any = wanted.as_array().expect("`$or` has a list");
                any.iter().any(|one| is_let_through(one, event))
            }
            name => is_let_through(wanted, event.and_then(|event| event.get(name))),
        }),
        Value::Array(values) => values.iter().any(|value| match value {
            Value::Object(operator) => {
                let (name, wanted) = operator.iter().next().expect("an operator has a name");
                match (name.as_str(), event) {
                    ("exists", found) => wanted.as_bool() == Some(found.is_some()),
                    ("prefix", Some(Value::String(text))) => {
                        text.starts_with(wanted.as_str().expect("a prefix is a text"))
                    }
                    ("prefix", _) => false,
                    (other, _) => panic!("the operator `{other}` is not known here"),
                }
            }
            exact => event == Some(exact),
        }),
        other => panic!("a pattern is of objects and lists: {other}"),
    }
}

#[test]
fn the_rules_match_only_events_that_are_read() {
    let pattern = include_str!("../../infra/event-pattern.json");
    let pattern: Value = serde_json::from_str(pattern).expect("it is JSON");
    for name in names_in("samples", ".json") {
        let path = events().join(format!("samples/{name}.json"));
        let body = fs::read_to_string(path).expect("the sample is there");
        let event: Value = serde_json::from_str(&body).expect("it is JSON");
        let is_to_pass = match read_message(&body, None) {
            // Whether an update is a rename depends on its content.
            Ok(Message::Ignored(reason)) => reason == IgnoredReason::NoRename,
            _ => true,
        };
        let is_through = is_let_through(&pattern, Some(&event));
        assert_eq!(is_through, is_to_pass, "{name}");
    }
}

#[tokio::test]
async fn the_real_records_contain_two_key_changes_and_no_pair() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/cloudtrail");
    // A checkout of the project alone does not contain them; the samples cover what they showed.
    if !folder.exists() {
        eprintln!(
            "{} is not there: its records are not replayed",
            folder.display()
        );
        return;
    }
    let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_secondkey"));
    let output = command
        .args(["replay", "--format", "json"])
        .arg(folder)
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(0));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    assert_eq!(document["summary"]["records"], 7);
    assert_eq!(document["summary"]["key_changes"], 2);
    assert_eq!(document["findings"], serde_json::json!([]));
}

#[test]
fn the_alert_in_the_readme_is_the_one_that_replay_prints() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_secondkey"))
        .args(["replay", "--alerts", "events/scenarios/backdoor-key.json"])
        .current_dir(folder)
        .output()
        .expect("it runs");
    let printed = String::from_utf8(output.stderr).expect("it is UTF-8");
    let readme = fs::read_to_string(folder.join("README.md")).expect("the page is there");
    let shown = readme.split("```\n").nth(1).expect("it shows an alert");
    let mut lines = printed.lines();
    for line in shown.lines().filter(|line| line.trim() != "…") {
        assert!(lines.any(|printed| printed == line), "{line}\n{printed}");
    }
}
