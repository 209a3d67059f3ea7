//! The report in a headless Chromium: `page.mjs` does each check.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::OnceLock;

use chrono::Utc;
use serde_json::{Value, json};

use secondkey::detect::decision::exemption::Exemption;
use secondkey::local::sqlite::SqliteStore;
use secondkey::pipeline::finding_store::FindingReader;

use super::{report, secondkey, store_of};
use crate::hostile::story;
use crate::hostile_texts::HOSTILE_TEXTS;
use crate::report::logs::records;
use crate::stack::{browser, fetch};

/// How long a page may take to load and to react, in milliseconds. On an idle machine it takes far
/// less.
const WITHIN_MS: u32 = 10_000;

/// The page of `findings` findings, as a file. Created once per test process.
async fn page(findings: usize) -> PathBuf {
    static FILES: [OnceLock<PathBuf>; 4] = [const { OnceLock::new() }; 4];
    let place = [0, 1, 50, 5_000]
        .iter()
        .position(|&known| known == findings)
        .unwrap();
    let make = move || FILES[place].get_or_init(|| make(findings)).clone();
    tokio::task::spawn_blocking(make).await.unwrap()
}

fn make(findings: usize) -> PathBuf {
    let folder = tempfile::TempDir::new().unwrap();
    let db = folder.path().join("db");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = SqliteStore::open(&db).unwrap();
    for exemption in exemptions(findings) {
        runtime.block_on(store.put_exemption(&exemption)).unwrap();
    }
    drop(store);
    let mut records = records(findings, Utc::now());
    // A log without any key change.
    records.push(
        json!({"eventName": "ListUsers", "eventSource": "iam.amazonaws.com",
        "eventTime": "2024-01-01T00:00:00Z", "recipientAccountId": "111122223333"}),
    );
    let logs = json!({"Records": records}).to_string();
    fs::write(folder.path().join("log.json"), logs).unwrap();
    let (exit, _, said) = secondkey(
        folder.path(),
        &["replay", "log.json", "--quiet", "--db", "db"],
    );
    assert_eq!(exit, if findings == 0 { 0 } else { 10 }, "{said}");
    let (page, _) = report(folder.path(), &[]);
    kept(&format!("report-{findings}.html"), &page)
}

/// One exemption in force that suppresses some findings, one that expired, and one that covers no
/// user. None if there are few findings.
fn exemptions(findings: usize) -> Vec<Exemption> {
    if findings < 10 {
        return vec![];
    }
    let now = Utc::now();
    let days = chrono::TimeDelta::days;
    let exemption = |id: &str, users: &str, from, until| Exemption {
        id: id.to_owned(),
        account: "333344445555".to_owned(),
        user_pattern: users.to_owned(),
        actor_pattern: "*".to_owned(),
        owner: "platform team".to_owned(),
        reason: "the build farm is migrated account by account".to_owned(),
        created_at: now - days(from),
        until: now + days(until),
    };
    vec![
        exemption("build-farm", "*5", 200, 40),
        exemption("old-exporter", "svc-data-export-*", 300, -60),
        exemption("nobody", "nobody", 10, 30),
    ]
}

/// `page` as a file that a browser can open, and that is kept for inspection.
fn kept(name: &str, page: &str) -> PathBuf {
    let file = fetch::stack_folder().join(name);
    fs::create_dir_all(fetch::stack_folder()).unwrap();
    fs::write(&file, page).unwrap();
    file
}

/// Runs `check` of `page.mjs` on `file` and returns what it printed.
async fn check(check: &'static str, file: PathBuf, expected: Value) -> String {
    let run = move || {
        let mut node = browser::node("tests/it/report/page.mjs");
        node.arg(check).arg(&file).arg(expected.to_string());
        node.stdin(Stdio::piped());
        node.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut node = node
            .spawn()
            .expect("the tests need Node.js: `node` cannot be run");
        // The check ends when its input closes, which happens when this process ends, however it
        // ends.
        let input = node.stdin.take();
        let output = node.wait_with_output().unwrap();
        drop(input);
        output
    };
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{check}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn pages_of_zero_to_five_thousand_findings_are_usable() {
    for findings in [0, 1, 50, 5_000] {
        let file = page(findings).await;
        let bytes = fs::metadata(&file).unwrap().len();
        let expected = json!({"findings": findings, "within_ms": WITHIN_MS});
        let times = check("renders", file, expected).await;
        let line = format!("report: {findings} findings, {bytes} bytes, ms {times}");
        std::io::stdout().write_all(line.as_bytes()).unwrap();
    }
}

#[tokio::test]
async fn nothing_leaves_its_place_on_any_screen_or_on_paper() {
    for findings in [0, 1, 50] {
        check("fits", page(findings).await, json!({})).await;
    }
}

#[tokio::test]
async fn filters_show_what_matches_and_say_how_many() {
    let expected = json!({"findings": 50, "key": "AKIAEXAMPLE000071"});
    check("filters", page(50).await, expected).await;
}

#[tokio::test]
async fn every_column_sorts_both_ways() {
    check("sorts", page(50).await, json!({"findings": 50})).await;
}

#[tokio::test]
async fn everything_is_reachable_by_keyboard() {
    check("keyboard", page(50).await, json!({})).await;
}

#[tokio::test]
async fn the_page_has_no_serious_accessibility_problem() {
    for findings in [0, 1, 50] {
        check("accessible", page(findings).await, json!({})).await;
    }
}

#[tokio::test]
async fn the_printed_page_is_complete_or_says_what_it_omits() {
    for findings in [50, 5_000] {
        check(
            "prints",
            page(findings).await,
            json!({"findings": findings}),
        )
        .await;
    }
}

#[tokio::test]
async fn every_finding_is_shown_without_javascript() {
    check("without_script", page(50).await, json!({"findings": 50})).await;
}

#[tokio::test]
async fn hostile_text_is_shown_and_not_executed() {
    let records: Vec<Value> = HOSTILE_TEXTS
        .iter()
        .flat_map(|hostile| story(&hostile.text, &hostile.text, 0))
        .collect();
    let folder = store_of(&records);
    let (html, said) = report(folder.path(), &[]);
    let findings: usize = said
        .split_once(": ")
        .and_then(|(_, rest)| rest.split(' ').next()?.parse().ok())
        .unwrap();
    let texts = [
        "<script>alert(1)</script>",
        "</textarea></title></style></script>",
        r"\u{202e}",
    ];
    let file = kept("report-hostile.html", &html);
    let expected = json!({"findings": findings, "texts": texts});
    check("hostile", file.clone(), expected).await;
    check("fits", file, json!({})).await;
}
