//! The readable parts of a finding in ASFF. Who reads them where is not known, so they are made like plain text's: what
//! cannot be seen is shown, and nothing becomes a link.

use crate::detect::severity::SeverityReason;
use crate::output::asff::alert::{Actor, Alert, Finding};
use crate::output::asff::wire::Recommendation;
use crate::output::escape::{Place, for_plain_text, free_text_for_plain_text};
use crate::output::number::in_words;
use crate::output::since::since;
use crate::output::time::readable;
use crate::output::verdict_text::sentence;

/// The longest name, id or account that is shown, in characters.
pub(super) const LONGEST_NAME: usize = 100;

/// The longest text of no fixed form, in characters.
const LONGEST_TEXT: usize = 200;

/// The longest command that is shown, in characters.
const LONGEST_COMMAND: usize = 200;

const LONGEST_TITLE: usize = 256;
const LONGEST_DESCRIPTION: usize = 1_024;
const LONGEST_RECOMMENDATION: usize = 512;

const ABOUT_ROTATION: &str =
    "https://docs.aws.amazon.com/IAM/latest/UserGuide/id-credentials-access-keys-update.html";

/// `text` made safe, cut to `longest` characters, and never blank, which Security Hub refuses.
pub(super) fn shown(text: &str, longest: usize) -> String {
    never_blank(for_plain_text(text, longest))
}

fn never_blank(shown: String) -> String {
    if shown.trim().is_empty() {
        return "(empty)".to_owned();
    }
    shown
}

/// What it is about. The same in every alert of a finding.
pub(super) fn title(alert: &Alert) -> String {
    let finding = &alert.finding;
    let user = if finding.is_root {
        "root".to_owned()
    } else {
        shown(&finding.user, LONGEST_NAME)
    };
    let account = shown(&finding.account, LONGEST_NAME);
    within(
        LONGEST_TITLE,
        format!("Second active access key: {user} ({account})"),
    )
}

/// What is known, the most important first; what does not fit any more is left out.
pub(super) fn description(alert: &Alert) -> String {
    let finding = &alert.finding;
    let sentences = if finding.status == "closed" {
        closed(finding)
    } else {
        open(alert)
    };
    fitting(LONGEST_DESCRIPTION, sentences)
}

fn open(alert: &Alert) -> Vec<String> {
    let finding = &alert.finding;
    let active: Vec<String> = finding
        .keys
        .iter()
        .filter(|key| key.status == "Active")
        .map(|key| shown(&key.id, LONGEST_NAME))
        .collect();
    let keys = if active.is_empty() {
        String::new()
    } else {
        format!(": {}", active.join(", "))
    };
    let (whose, since) = (whose(finding), since_words(finding));
    let mut sentences = vec![match active.len() {
        many @ 3.. => {
            let many = in_words(many);
            format!("{whose} has {many} active access keys, at least two {since}{keys}.")
        }
        _ => format!("{whose} has two active access keys {since}{keys}."),
    }];
    if finding.status == "suppressed" {
        sentences.push("An exemption covers it.".to_owned());
    }
    if !finding.confirmed {
        let why = finding.could_not_list.as_deref();
        sentences.push(why.map_or_else(
            || "Not confirmed by a listing yet.".to_owned(),
            |why| {
                format!(
                    "Not confirmed: could not list the keys ({}).",
                    shown(why, LONGEST_TEXT)
                )
            },
        ));
    }
    let reasons: Vec<String> = finding
        .severity_reasons
        .iter()
        .map(|reason| severity_reason(reason))
        .collect();
    if !reasons.is_empty() {
        let severity = shown(&finding.severity, LONGEST_NAME);
        sentences.push(format!("{severity} because {}.", reasons.join("; ")));
    }
    if let (Some(opener), Some(actor)) = (&finding.opener, &finding.actor) {
        sentences.push(format!(
            "{} was {} by {}.",
            shown(&opener.key, LONGEST_NAME),
            shown(&opener.how, LONGEST_NAME),
            who(actor)
        ));
    }
    sentences.extend(finding.joined.iter().map(|event| {
        format!(
            "{} was {} by {}.",
            shown(&event.key, LONGEST_NAME),
            shown(&event.how, LONGEST_NAME),
            who(&event.actor)
        )
    }));
    sentences.extend(
        alert
            .window_ends_at
            .map(|at| format!("The rotation window ends {}.", readable(at))),
    );
    sentences
}

fn closed(finding: &Finding) -> Vec<String> {
    let reason = finding.close_reason.as_deref().unwrap_or("not known");
    let until = finding
        .closed_at
        .map(|at| format!(" until {}", readable(at)))
        .unwrap_or_default();
    let (whose, since) = (whose(finding), since_words(finding));
    let mut sentences = vec![if reason == "never_confirmed" {
        format!("{whose} was thought to have two active access keys {since}{until}.")
    } else {
        format!("{whose} had two active access keys {since}{until}.")
    }];
    sentences.push(format!("Closed: {}.", words(reason)));
    sentences.extend(
        finding
            .closed_by
            .as_ref()
            .map(|actor| format!("It was ended by {}.", who(actor))),
    );
    sentences
}

fn since_words(finding: &Finding) -> String {
    let opened_at = readable(finding.opened_at);
    since(finding.opened_at_is_estimate, &opened_at)
}

fn whose(finding: &Finding) -> String {
    let account = shown(&finding.account, LONGEST_NAME);
    if finding.is_root {
        format!("The root user of account {account}")
    } else {
        let user = shown(&finding.user, LONGEST_NAME);
        format!("IAM user {user} of account {account}")
    }
}

fn who(actor: &Actor) -> String {
    let name = [&actor.arn, &actor.invoked_by, &actor.name, &actor.kind];
    let name = name.into_iter().flatten().next();
    let name = name.map_or("somebody unknown".to_owned(), |name| {
        shown(name, LONGEST_TEXT)
    });
    let from = actor.source_ip.as_deref().map_or_else(String::new, |ip| {
        format!(" from {}", shown(ip, LONGEST_NAME))
    });
    let agent = actor
        .user_agent
        .as_deref()
        .map_or_else(String::new, |agent| {
            let shown = never_blank(free_text_for_plain_text(agent, LONGEST_TEXT));
            format!(" with {shown}")
        });
    format!("{name}{from}{agent}")
}

/// What to do, with the commands where they can be pasted as they stand.
pub(super) fn remediation(alert: &Alert) -> Recommendation {
    let finding = &alert.finding;
    let mut sentences = vec![];
    if let Some(verdict) = &alert.verdict {
        let sentence = sentence(verdict, &|key| shown(key, LONGEST_NAME));
        sentences.push(format!("{sentence}."));
    } else if finding.status != "closed" {
        sentences.push("Ask who uses the keys; deactivate one, never both.".to_owned());
    }
    if finding.is_root {
        sentences.push("Root's keys are reached only as root: Security credentials.".to_owned());
    }
    for command in &alert.commands {
        let purpose = match command.purpose.as_str() {
            "deactivate" => "Deactivate it",
            "roll_back" => "If something fails without it",
            "delete" => "Once nothing has failed for some days",
            _ => continue,
        };
        let is_short = command.command.chars().count() <= LONGEST_COMMAND;
        if is_short && Place::PlainText.command(&command.command).is_some() {
            sentences.push(format!("{purpose}: `{}`.", command.command));
        }
    }
    if sentences.is_empty() {
        sentences.push("Nothing is left to do.".to_owned());
    }
    Recommendation {
        text: fitting(LONGEST_RECOMMENDATION, sentences),
        url: ABOUT_ROTATION,
    }
}

fn severity_reason(word: &str) -> String {
    match word {
        "root" => SeverityReason::Root.words().to_owned(),
        "outlived_window" => SeverityReason::OutlivedWindow.words().to_owned(),
        "untrusted_actor" => SeverityReason::UntrustedActor.words().to_owned(),
        "dormant_key" => SeverityReason::DormantKey.words().to_owned(),
        "unfamiliar_actor" => SeverityReason::UnfamiliarActor.words().to_owned(),
        "leaked_key" => SeverityReason::LeakedKey.words().to_owned(),
        other => words(other),
    }
}

/// A word of JSON as words.
fn words(word: &str) -> String {
    shown(&word.replace('_', " "), LONGEST_NAME)
}

/// As many of `sentences` from the first on as have room in `longest` bytes; the first at any rate, cut.
fn fitting(longest: usize, sentences: Vec<String>) -> String {
    let mut sentences = sentences.into_iter();
    let mut text = within(longest, sentences.next().unwrap_or_default());
    for sentence in sentences {
        if text.len() + 1 + sentence.len() <= longest {
            text = format!("{text} {sentence}");
        }
    }
    text
}

/// `text` within `longest` bytes. The limits are in characters of an unknown kind, and no kind is shorter than a byte.
pub(super) fn within(longest: usize, text: String) -> String {
    if text.len() <= longest {
        return text;
    }
    let end = '…';
    let room = longest.saturating_sub(end.len_utf8());
    text.char_indices()
        .take_while(|(start, character)| start + character.len_utf8() <= room)
        .map(|(_, character)| character)
        .chain([end])
        .collect()
}
