//! The readable parts of a finding in ASFF. It is not known where people read them, so they are
//! escaped like plain text: invisible characters are shown, and nothing becomes a link.

use crate::detect::decision::severity::SeverityReason;
use crate::output::asff::alert_json::{Actor, Alert, Finding};
use crate::output::asff::wire::Recommendation;
use crate::output::escape::{OutputContext, for_plain_text, free_text_for_plain_text};
use crate::output::number::in_words;
use crate::output::overlap_start::since;
use crate::output::time::readable;
use crate::output::verdict_text::sentence;

/// The longest name, ID or account that is shown, in characters.
pub(super) const MAX_NAME_CHARS: usize = 100;

/// The longest free text that is shown, in characters.
const MAX_TEXT_CHARS: usize = 200;

/// The longest command that is shown, in characters.
const MAX_COMMAND_CHARS: usize = 200;

const MAX_TITLE_CHARS: usize = 256;
const MAX_DESCRIPTION_CHARS: usize = 1_024;
const MAX_RECOMMENDATION_CHARS: usize = 512;

const ABOUT_ROTATION: &str =
    "https://docs.aws.amazon.com/IAM/latest/UserGuide/id-credentials-access-keys-update.html";

/// `text` made safe, cut to `longest` characters. It is never blank, which Security Hub rejects.
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
        shown(&finding.user, MAX_NAME_CHARS)
    };
    let account = shown(&finding.account, MAX_NAME_CHARS);
    within(
        MAX_TITLE_CHARS,
        format!("Second active access key: {user} ({account})"),
    )
}

/// What is known, the most important first. Sentences that do not fit are left out.
pub(super) fn description(alert: &Alert) -> String {
    let finding = &alert.finding;
    let sentences = if finding.status == "closed" {
        closed(finding)
    } else {
        open(alert)
    };
    fitting(MAX_DESCRIPTION_CHARS, sentences)
}

fn open(alert: &Alert) -> Vec<String> {
    let finding = &alert.finding;
    let active: Vec<String> = finding
        .keys
        .iter()
        .filter(|key| key.status == "Active")
        .map(|key| shown(&key.id, MAX_NAME_CHARS))
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
            format!("{whose} has had {many} active access keys, at least two {since}{keys}.")
        }
        _ => format!("{whose} has had two active access keys {since}{keys}."),
    }];
    if finding.status == "suppressed" {
        sentences.push("It is suppressed by an exemption.".to_owned());
    }
    if !finding.confirmed {
        let why = finding.could_not_list.as_deref();
        sentences.push(why.map_or_else(
            || "Not confirmed by a listing yet.".to_owned(),
            |why| {
                format!(
                    "Not confirmed: the keys could not be listed ({}).",
                    shown(why, MAX_TEXT_CHARS)
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
        let severity = shown(&finding.severity, MAX_NAME_CHARS);
        sentences.push(format!("{severity} because {}.", reasons.join("; ")));
    }
    if let (Some(opener), Some(actor)) = (&finding.opener, &finding.actor) {
        sentences.push(format!(
            "{} was {} by {}.",
            shown(&opener.key, MAX_NAME_CHARS),
            shown(&opener.how, MAX_NAME_CHARS),
            who(actor)
        ));
    }
    sentences.extend(finding.joined.iter().map(|event| {
        format!(
            "{} was {} by {}.",
            shown(&event.key, MAX_NAME_CHARS),
            shown(&event.how, MAX_NAME_CHARS),
            who(&event.actor)
        )
    }));
    sentences.extend(
        alert
            .window_ends_at
            .map(|at| format!("The rotation window ends at {}.", readable(at))),
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
            .map(|actor| format!("It was closed by {}.", who(actor))),
    );
    sentences
}

fn since_words(finding: &Finding) -> String {
    let opened_at = readable(finding.opened_at);
    since(finding.opened_at_is_estimate, &opened_at)
}

fn whose(finding: &Finding) -> String {
    let account = shown(&finding.account, MAX_NAME_CHARS);
    if finding.is_root {
        format!("The root user of account {account}")
    } else {
        let user = shown(&finding.user, MAX_NAME_CHARS);
        format!("IAM user {user} of account {account}")
    }
}

fn who(actor: &Actor) -> String {
    let name = [&actor.arn, &actor.invoked_by, &actor.name, &actor.kind];
    let name = name.into_iter().flatten().next();
    let name = name.map_or("an unknown actor".to_owned(), |name| {
        shown(name, MAX_TEXT_CHARS)
    });
    let from = actor.source_ip.as_deref().map_or_else(String::new, |ip| {
        format!(" from {}", shown(ip, MAX_NAME_CHARS))
    });
    let agent = actor
        .user_agent
        .as_deref()
        .map_or_else(String::new, |agent| {
            let shown = never_blank(free_text_for_plain_text(agent, MAX_TEXT_CHARS));
            format!(" with {shown}")
        });
    format!("{name}{from}{agent}")
}

/// What to do, with the commands that are safe to paste.
pub(super) fn remediation(alert: &Alert) -> Recommendation {
    let finding = &alert.finding;
    let mut sentences = vec![];
    if let Some(verdict) = &alert.verdict {
        let sentence = sentence(verdict, &|key| shown(key, MAX_NAME_CHARS));
        sentences.push(format!("{sentence}."));
    } else if finding.status != "closed" {
        sentences.push("Ask who uses the keys; deactivate one, never both.".to_owned());
    }
    if finding.is_root {
        sentences.push(
            "Only root can change root's keys: sign in as root, Security credentials.".to_owned(),
        );
    }
    for command in &alert.commands {
        let purpose = match command.purpose.as_str() {
            "deactivate" => "Deactivate it",
            "roll_back" => "If something fails without it",
            "delete" => "Once nothing has failed for some days",
            _ => continue,
        };
        let is_short = command.command.chars().count() <= MAX_COMMAND_CHARS;
        if is_short && OutputContext::PlainText.command(&command.command).is_some() {
            sentences.push(format!("{purpose}: `{}`.", command.command));
        }
    }
    if sentences.is_empty() {
        sentences.push("Nothing is left to do.".to_owned());
    }
    Recommendation {
        text: fitting(MAX_RECOMMENDATION_CHARS, sentences),
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

/// A JSON word as readable words.
fn words(word: &str) -> String {
    shown(&word.replace('_', " "), MAX_NAME_CHARS)
}

/// As many of `sentences` as fit in `longest` bytes, in order. The first one is always there, cut
/// if needed.
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

/// `text` within `longest` bytes. The documented limits count characters without saying which kind.
/// No kind is shorter than a byte.
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
