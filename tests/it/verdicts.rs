//! Labelled stories, and what every output says of each: the same verdict, the right severity, and no command that shuts out
//! the legitimate owner and leaves the intruder.

mod said;
mod stories;

use std::collections::BTreeSet;
use std::sync::Arc;

use secondkey::detect::alert::AlertKind;
use secondkey::detect::finding::{Finding, FindingStatus};
use secondkey::detect::policy::Policy;
use secondkey::detect::retire::LastUses;
use secondkey::local::log_reading::LogReading;
use secondkey::local::replay::replay;
use secondkey::local::sqlite::SqliteStore;
use secondkey::output::standing::Standing;
use secondkey::pipeline::finding_store::FindingReader;

use self::said::{Said, said};
use self::stories::{Story, story};

/// How many stories are told; of each kind there are as many.
const STORIES: usize = 24 * 25;

/// The finding that the pipeline makes of `story`, as it stands when somebody looks.
async fn told(story: &Story) -> Finding {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(&folder.path().join("findings.db")).unwrap());
    if let Some(exemption) = &story.exemption {
        store.put_exemption(exemption).await.unwrap();
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
    replay(&reading, store.clone(), vec![], &policy)
        .await
        .unwrap();
    let mut findings = store.findings(FindingStatus::Open).await.unwrap();
    findings.extend(store.findings(FindingStatus::Suppressed).await.unwrap());
    let [finding] = &findings[..] else {
        panic!("{}, {}: {findings:?}", story.kind, story.user);
    };
    let is_root = finding.user().is_root();
    assert!(is_root || finding.display_name == story.user, "{finding:?}");
    finding.clone()
}

fn standing(finding: Finding, story: &Story, uses: &LastUses) -> Standing {
    Standing::of(
        finding,
        AlertKind::Opened,
        &Default::default(),
        &Policy::default(),
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
        let all = said(&standing(finding, &story, &story.uses));
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
    println!(
        "verdicts: {STORIES} stories, {} wrong first commands, {} disagreements between {} outputs",
        wrong.len(),
        disagreements.len(),
        outputs.len()
    );
    let none: [&str; 0] = [];
    assert_eq!(mislabeled, none);
    assert_eq!(wrong, none);
    assert_eq!(disagreements, none);
}
