//! Text from an event in every field of an alert, checked in every output.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use regex::Regex;
use secondkey::detect::findings::alert::Alert;
use secondkey::detect::usage::last_use::LastUses;
use secondkey::output::alert_text::{alert_text, subject};
use secondkey::output::chat::chat_notification;
use secondkey::output::commands::recommended;
use secondkey::output::escape::{
    MAX_TEXT_CHARS, OutputContext, for_chat, for_csv, for_html, for_json, for_plain_text,
    for_subject, for_terminal, free_text_for_plain_text,
};
use secondkey::output::invocation::{Invocation, NOWHERE};
use secondkey::output::snapshot::FindingSnapshot;
use secondkey::output::{asff, csv, json_v1, ocsf, sarif};
use secondkey_fuzz::alert::{AlertWithUses, AnyAlert, FORGED};
use serde_json::{Value, json};

/// Characters that are invisible or that move other text, by Unicode's own properties: controls,
/// format characters without a glyph, default ignorable characters, and separators other than the
/// space.
static HIDDEN: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"[[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\p{White_Space}]--[\p{Prepended_Concatenation_Mark} ]]")
        .unwrap()
});

/// The longest JSON line that the alert topic requests.
const MAX_LINE_CHARS: usize = 64 * 1024;

/// The longest message that SNS accepts, for all protocols together (SNS API reference, `Publish`).
const MAX_MESSAGE_CHARS: usize = 262_144;

fuzz_target!(|any: AnyAlert| {
    let AlertWithUses { alert, last_uses } = any.alert_with_uses();
    let [text, ..] = &any.texts;
    check_escapes(text);
    check_texts(&alert, &last_uses);
    check_chat(&alert, &last_uses);
    check_json(&alert, &last_uses);
    check_commands(&alert, &last_uses);
    check_documents(FindingSnapshot {
        alert,
        last_uses,
        invocation: Invocation::default(),
    });
});

fn check_shown(shown: &str) {
    if let Some(found) = HIDDEN.find(shown) {
        panic!(
            "{} gets through: {shown:?}",
            found.as_str().escape_unicode()
        );
    }
    assert!(!shown.contains("  "), "{shown:?}");
}

fn check_escapes(text: &str) {
    for shown in [
        for_terminal(text, MAX_TEXT_CHARS),
        for_plain_text(text, MAX_TEXT_CHARS),
        free_text_for_plain_text(text, MAX_TEXT_CHARS),
        for_chat(text, MAX_TEXT_CHARS),
    ] {
        check_shown(&shown);
        // A code span adds two.
        assert!(shown.chars().count() <= MAX_TEXT_CHARS + 2, "{shown}");
    }
    for shown in [
        for_plain_text(text, MAX_TEXT_CHARS),
        free_text_for_plain_text(text, MAX_TEXT_CHARS),
    ] {
        assert!(!shown.contains("://"), "{shown}");
        let shown = shown.to_ascii_lowercase();
        assert!(
            !shown.starts_with("www.") && !shown.contains(" www."),
            "{shown}"
        );
    }

    let chat = for_chat(text, MAX_TEXT_CHARS);
    if text.is_empty() {
        assert_eq!(chat, "(empty)");
    } else {
        let inner = chat
            .strip_prefix('`')
            .and_then(|rest| rest.strip_suffix('`'))
            .unwrap();
        assert!(
            !inner.is_empty() && !inner.contains(['`', '<', '>', '&']),
            "{chat}"
        );
        assert!(
            !inner.contains("://") && !inner.starts_with('@') && !inner.contains(" @"),
            "{chat}"
        );
    }

    let subject = for_subject(text);
    assert!(
        subject.len() < 100 && !subject.starts_with(' '),
        "{subject:?}"
    );
    assert!(
        subject.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
        "{subject:?}"
    );

    let html = for_html(text);
    check_shown(&html);
    assert!(!html.contains(['<', '>', '"', '\'']), "{html}");
    let unescaped = ["&amp;", "&lt;", "&gt;", "&quot;", "&#39;"]
        .iter()
        .fold(html.clone(), |html, entity| html.replace(entity, ""));
    assert!(!unescaped.contains('&'), "{html}");

    check_csv(text);

    let document = serde_json::json!({ text: [text, text.len()] });
    for written in [document.to_string(), format!("{document:#}")] {
        let shown = for_json(&written);
        check_hidden_in_document(&shown);
        assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), document);
    }
}

/// A document may be indented and have several lines.
fn check_hidden_in_document(shown: &str) {
    let lines = shown.replace('\n', " ");
    if let Some(found) = HIDDEN.find(&lines) {
        panic!(
            "{} gets through: {shown:?}",
            found.as_str().escape_unicode()
        );
    }
}

fn check_csv(text: &str) {
    let value = for_csv(text);
    check_shown(&value);
    assert!(!value.contains(';'), "{value:?} is parted");
    assert!(
        !value
            .trim_start()
            .starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']),
        "{value:?} is a formula"
    );
}

fn deployed() -> Invocation {
    Invocation::deployed("secondkey", Some("us-east-1"))
}

fn check_texts(alert: &Alert, last_uses: &LastUses) {
    let invocation = deployed();
    for place in [OutputContext::Terminal, OutputContext::PlainText] {
        let text = alert_text(alert, last_uses, place, &invocation).whole();
        for line in text.lines() {
            if let Some(found) = HIDDEN.find(line) {
                panic!("{} gets through: {line:?}", found.as_str().escape_unicode());
            }
        }
        // Our own lines that begin with text from an event are indented.
        assert!(!text.lines().any(|line| line.starts_with(FORGED)), "{text}");
        assert!(
            place == OutputContext::Terminal || !text.contains("://"),
            "{text}"
        );
    }
    let subject = subject(alert);
    assert!(subject.len() < 100, "{subject}");
    assert!(
        subject.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
        "{subject:?}"
    );
    assert!(subject.starts_with('['));
}

fn check_chat(alert: &Alert, last_uses: &LastUses) {
    let notification = serde_json::to_value(chat_notification(alert, last_uses)).unwrap();
    let content = &notification["content"];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let (title, description) = (text(&content["title"]), text(&content["description"]));
    assert!(title.chars().count() <= 250, "{title}");
    assert!(description.chars().count() <= 8_000, "{description}");
    let steps = content["nextSteps"].as_array().unwrap().iter().map(text);
    for shown in [title, description].into_iter().chain(steps) {
        assert!(!shown.contains(['<', '>', '&']), "{shown}");
        for line in shown.lines() {
            // No code span crosses a line, and outside code spans there are only our own words.
            assert_eq!(line.matches('`').count() % 2, 0, "{line}");
            let outside: String = line.split('`').step_by(2).collect();
            assert!(
                !outside.contains(['@', '*', '[', '$', '~', '_', '|'].as_slice())
                    || line.contains(" | "),
                "{line}"
            );
            assert!(HIDDEN.find(line).is_none(), "{line:?}");
            assert!(!outside.contains(FORGED), "{line}");
        }
    }
}

fn check_json(alert: &Alert, last_uses: &LastUses) {
    let wire = json_v1::alert(alert, last_uses);
    let whole = json_v1::to_line(&wire, usize::MAX).unwrap();
    let line = json_v1::to_line(&wire, MAX_LINE_CHARS).unwrap();
    assert!(!line.contains('\n'));
    assert!(line.len() <= MAX_LINE_CHARS, "{} bytes", line.len());
    let chat = serde_json::to_string(&chat_notification(alert, last_uses)).unwrap();
    let email = alert_text(alert, last_uses, OutputContext::PlainText, &deployed()).whole();
    let message = json!({"default": &line, "email": email, "https": chat, "sms": subject(alert)});
    assert!(message.to_string().len() <= MAX_MESSAGE_CHARS);
    let read: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(read["version"], "1");
    assert_eq!(read["sequence"], alert.sequence);
    if whole.len() <= MAX_LINE_CHARS {
        assert_eq!(read["finding"]["user"], alert.finding.display_name);
        assert_eq!(line, whole);
    } else {
        assert!(read.get("commands").is_none());
    }
    let shown = for_json(&whole);
    check_hidden_in_document(&shown);
    assert_eq!(
        serde_json::from_str::<Value>(&shown).unwrap(),
        serde_json::from_str::<Value>(&whole).unwrap()
    );
}

/// A shell splits a command into exactly the intended words.
fn check_commands(alert: &Alert, last_uses: &LastUses) {
    for command in recommended(&alert.finding, alert.verdict(last_uses).as_ref(), &NOWHERE) {
        assert!(!alert.finding.user().is_root());
        let words = shlex::split(&command.line).unwrap_or_else(|| panic!("{}", command.line));
        let words: Vec<&str> = words
            .iter()
            .flat_map(|word| match word.split_once('=') {
                Some((option @ ("--user-name" | "--access-key-id"), value)) => vec![option, value],
                _ => vec![word.as_str()],
            })
            .collect();
        let [
            "aws",
            "iam",
            "update-access-key" | "delete-access-key",
            "--user-name",
            user,
            "--access-key-id",
            key,
            rest @ ..,
        ] = words.as_slice()
        else {
            panic!("{}", command.line);
        };
        assert_eq!(
            (*user, *key),
            (alert.finding.display_name.as_str(), command.key.as_str())
        );
        assert!(
            matches!(rest, [] | ["--status", "Active" | "Inactive"]),
            "{}",
            command.line
        );
    }
}

fn check_documents(snapshot: FindingSnapshot) {
    let snapshots = [snapshot];
    let rows = csv::document(&snapshots).unwrap();
    check_hidden_in_document(&rows);
    assert_eq!(rows.lines().count(), 2, "{rows}");
    for document in [
        asff::document(&snapshots, "us-east-1").unwrap(),
        ocsf::document(&snapshots).unwrap(),
        sarif::document(&snapshots).unwrap(),
    ] {
        check_hidden_in_document(&document);
        serde_json::from_str::<Value>(&document).unwrap();
    }
}
