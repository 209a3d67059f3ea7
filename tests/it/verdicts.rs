//! Labeled stories and what every output says about each: the same verdict, the right severity, and
//! no command that locks out the legitimate owner and leaves the intruder.

mod live;
mod said;
mod stories;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use secondkey::detect::decision::policy::Policy;
use secondkey::detect::findings::alert::AlertKind;
use secondkey::detect::findings::finding::{Finding, FindingStatus};
use secondkey::detect::usage::last_use::LastUses;
use secondkey::local::log_reading::LogReading;
use secondkey::local::replay::replay;
use secondkey::local::sqlite::SqliteStore;
use secondkey::output::snapshot::FindingSnapshot;
use secondkey::pipeline::finding_store::FindingReader;
use serde_json::Value;

use self::said::{Said, by_fields, by_text, said};
use self::stories::{Story, story};

/// How many stories there are, the same number of each kind.
const STORIES: usize = 24 * 25;

/// The finding that the pipeline makes of `story`, at the time of its check.
async fn told(story: &Story) -> Finding {
    let folder = tempfile::tempdir().unwrap();
    let kept = Arc::new(SqliteStore::open(&folder.path().join("findings.db")).unwrap());
    if let Some(exemption) = &story.exemption {
        kept.put_exemption(exemption).await.unwrap();
    }
    let mut reading = LogReading::default();
    for record in &story.records {
        let is_cloudtrail = record.get("eventName").is_some();
        let log = if is_cloudtrail {
            serde_json::json!({"Records": [record]})
        } else {
            record.clone()
        };
        reading.read("log", log.to_string().as_bytes(), story.looked_at);
    }
    assert_eq!(reading.malformed, 0, "{}: {reading:?}", story.user);
    let policy = Policy::default();
    replay(&reading, kept.clone(), vec![], &policy)
        .await
        .unwrap();
    let mut findings = kept.findings(FindingStatus::Open).await.unwrap();
    findings.extend(kept.findings(FindingStatus::Suppressed).await.unwrap());
    let [finding] = &findings[..] else {
        panic!("{}, {}: {findings:?}", story.kind, story.user);
    };
    let is_root = finding.user().is_root();
    assert!(is_root || finding.display_name == story.user, "{finding:?}");
    finding.clone()
}

fn snapshot(finding: Finding, story: &Story, uses: &LastUses) -> FindingSnapshot {
    let window = Policy::default().rotation_window;
    FindingSnapshot::of(
        finding,
        AlertKind::Opened,
        window,
        uses.clone(),
        story.looked_at,
    )
}

#[tokio::test]
async fn every_output_gives_the_right_verdict_on_every_story() {
    let (mut wrong, mut disagreements, mut mislabeled) = (vec![], vec![], vec![]);
    let mut outputs = BTreeSet::new();
    for number in 0..STORIES {
        let story = story(number);
        let finding = told(&story).await;
        let label = &story.label;
        if finding.severity.word() != label.severity {
            mislabeled.push(format!(
                "{}, {}: {}",
                story.kind,
                story.user,
                finding.severity.word()
            ));
        }
        let all = said(&snapshot(finding, &story, &story.uses));
        let verdicts: BTreeSet<&str> = all.values().map(|said| said.verdict.as_str()).collect();
        if verdicts.len() > 1 {
            disagreements.push(format!("{}, {}: {all:?}", story.kind, story.user));
        }
        let code = verdicts.iter().next().unwrap().split(' ').next();
        if code != Some(label.verdict) {
            mislabeled.push(format!("{}, {}: {verdicts:?}", story.kind, story.user));
        }
        for (output, Said { first_command, .. }) in &all {
            let Some(key) = first_command else { continue };
            let leaves_the_intruder = label.hostile.as_ref().is_some_and(|hostile| hostile != key);
            if leaves_the_intruder || !label.may_go.contains(key) {
                wrong.push(format!("{}, {}, {output}: {key}", story.kind, story.user));
            }
        }
        outputs.extend(all.into_keys());
    }
    // Past the capture of the test harness, so that a script can read it.
    writeln!(
        std::io::stdout(),
        "verdicts: {STORIES} stories, {} wrong first commands, {} disagreements between {} outputs",
        wrong.len(),
        disagreements.len(),
        outputs.len()
    )
    .expect("standard output is writable");
    let none: [&str; 0] = [];
    assert_eq!(mislabeled, none);
    assert_eq!(wrong, none);
    assert_eq!(disagreements, none);
}

/// The output of `secondkey ARGUMENTS` in `folder`.
fn printed(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_secondkey"))
        .args(arguments)
        .current_dir(folder)
        .env("HOME", folder)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        matches!(output.status.code(), Some(0 | 10)),
        "{arguments:?}: {errors:.2000}"
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Commands without last uses agree with each other, and with the label where uses do not matter.
#[tokio::test]
async fn replay_findings_and_the_report_agree_on_the_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::create_dir(at.join("logs")).unwrap();
    let stories: Vec<Story> = (0..STORIES)
        .map(story)
        .filter(|story| story.exemption.is_none())
        .collect();
    for (number, story) in stories.iter().enumerate() {
        let (records, others): (Vec<_>, Vec<_>) = story
            .records
            .iter()
            .partition(|record| record.get("eventName").is_some());
        let log = serde_json::json!({"Records": records}).to_string();
        std::fs::write(at.join(format!("logs/{number}.json")), log).unwrap();
        for (place, other) in others.iter().enumerate() {
            std::fs::write(
                at.join(format!("logs/{number}-{place}.json")),
                other.to_string(),
            )
            .unwrap();
        }
    }
    let replayed = printed(
        at,
        &[
            "replay", "logs", "--quiet", "--db", "f.db", "--format", "json",
        ],
    );
    let listed = printed(at, &["findings", "--db", "f.db", "--format", "json"]);
    let page = printed(at, &["report", "--db", "f.db", "--html", "-"]);
    let by_id = |document: &str| -> BTreeMap<String, Value> {
        let document: Value = serde_json::from_str(document).unwrap();
        let findings = document["findings"].as_array().unwrap().iter();
        let open = findings.filter(|finding| finding["status"] == "open");
        open.map(|finding| (finding["id"].as_str().unwrap().to_owned(), finding.clone()))
            .collect()
    };
    let (replayed, listed, reported) = (by_id(&replayed), by_id(&listed), reported(&page));
    assert_eq!(replayed.len(), stories.len());
    for story in &stories {
        let is_its = |finding: &Value| {
            let is_root = finding["is_root"] == true && story.user == "<root_account>";
            let account = story.account.as_str();
            finding["account"] == account && (is_root || finding["user"] == story.user.as_str())
        };
        let (id, finding) = listed.iter().find(|(_, finding)| is_its(finding)).unwrap();
        let said = by_fields(&finding["verdict"], "code", "key").verdict;
        assert_eq!(by_text(&reported[id]).verdict, said, "{}", story.user);
        if story.label.verdict == "contain" {
            let key = story.label.may_go.first().unwrap();
            assert_eq!(said, format!("contain {key}"), "{}", story.user);
            assert_eq!(
                by_fields(&replayed[id]["verdict"], "code", "key").verdict,
                said
            );
        } else {
            assert!(
                said == "ask" || said == "rotation_in_progress",
                "{}: {said}",
                story.user
            );
        }
    }
}

/// What the report's `page` recommends, by finding ID.
fn reported(page: &str) -> BTreeMap<String, String> {
    let start = page.find(r#"id="details">"#).unwrap() + r#"id="details">"#.len();
    let end = start + page[start..].find("</script>").unwrap();
    let details: Value = serde_json::from_str(&page[start..end]).unwrap();
    let text = |place: &Value| {
        let place = usize::try_from(place.as_u64().unwrap()).unwrap();
        details["texts"][place].as_str().unwrap().to_owned()
    };
    let facts = |finding: &Value| -> BTreeMap<String, String> {
        let pairs = finding["facts"].as_array().unwrap().iter();
        pairs.map(|pair| (text(&pair[0]), text(&pair[1]))).collect()
    };
    let findings = details["findings"].as_array().unwrap().iter().map(facts);
    findings
        .filter_map(|facts| Some((facts["Finding"].clone(), facts.get("What to do")?.clone())))
        .collect()
}
