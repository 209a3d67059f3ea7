//! The facts of an alert in words, escaped for the output that shows them. Every readable
//! output is made of these.

use crate::detect::Timestamp;
use crate::detect::decision::severity::Severity;
use crate::detect::findings::alert::{Alert, AlertKind, FindingUpdate};
use crate::detect::findings::finding::{Finding, FindingKey, FindingStatus, FoundBy};
use crate::detect::usage::last_use::LastUses;
use crate::output::escape::{MAX_ID_CHARS, MAX_TEXT_CHARS, OutputContext};
use crate::output::invocation::{Invocation, KeysFrom};
use crate::output::last_use::{last_use, moment};
use crate::output::number::in_words;
use crate::output::overlap_start::since;
use crate::output::time::{duration, readable};

mod actor;
mod closing;
mod verdict;

#[cfg(feature = "cli")]
pub(super) use self::actor::did;
pub(super) use self::actor::user_arn;

/// An alert, and the output that will show it.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) alert: &'a Alert,
    pub(super) last_uses: &'a LastUses,
    pub(super) context: OutputContext,
    pub(super) invocation: &'a Invocation,
}

/// The name to show for the user of `finding`. It is not escaped yet.
pub(super) fn user_name(finding: &Finding) -> &str {
    if finding.user().is_root() {
        return "root";
    }
    &finding.display_name
}

/// What the alert is about, without the name: the start of headlines and subjects.
pub(super) fn topic(alert: &Alert) -> String {
    let still = match alert.kind {
        AlertKind::Opened => "",
        AlertKind::Updated(_) => "still ",
        AlertKind::Closed => return SECOND.to_owned(),
    };
    match (more_than_two(&alert.finding), still) {
        (None, "") => SECOND.to_owned(),
        (None, still) => capitalized(&format!("{still}two active access keys")),
        (Some(many), still) => capitalized(&format!("{still}{many} active access keys")),
    }
}

const SECOND: &str = "Second active access key";

/// How many keys of `finding` are active, if that is more than two.
pub(super) fn more_than_two(finding: &Finding) -> Option<String> {
    let active = finding.active_keys().count();
    (active > 2).then(|| in_words(active))
}

/// What changed about an open finding, as a sentence. The audit trail stores its own words.
pub(super) fn changed(updates: &[FindingUpdate]) -> String {
    let words: Vec<&str> = updates.iter().map(|update| update_words(*update)).collect();
    format!("Changed: {}.", words.join("; "))
}

fn update_words(update: FindingUpdate) -> &'static str {
    match update {
        FindingUpdate::Keys => "the active keys have changed",
        FindingUpdate::Opener => "it is now known who made the second key active",
        FindingUpdate::Continues => "it continues the finding under the user's former name",
        FindingUpdate::OpenedAt => "the start was corrected to the earliest possible time",
        FindingUpdate::Severity => "the severity was raised",
        FindingUpdate::OutlivedWindow => "the rotation window has ended",
        FindingUpdate::Exempted => "an exemption now covers it",
        FindingUpdate::ExemptionEnded => "no exemption covers it anymore",
        FindingUpdate::Leaked => "AWS reported that a key has leaked",
    }
}

/// What led to a finding. The audit trail stores its own words.
pub(super) fn found_by(found_by: FoundBy) -> &'static str {
    match found_by {
        FoundBy::Event => "an event",
        FoundBy::Sweep => "a check of all users; no event had reported it",
        FoundBy::Baseline => "the first check of all users",
    }
}

fn capitalized(text: &str) -> String {
    let mut rest = text.chars();
    let first = rest.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(rest).collect()
}

/// The word at the start of the headline: the severity while the finding is open.
pub(super) fn tag(alert: &Alert) -> &'static str {
    match alert.kind {
        AlertKind::Opened | AlertKind::Updated(_)
            if alert.finding.status == FindingStatus::Suppressed =>
        {
            "SUPPRESSED"
        }
        AlertKind::Opened | AlertKind::Updated(_) => alert.finding.severity.word(),
        AlertKind::Closed => "CLOSED",
    }
}

impl Facts<'_> {
    pub(super) fn id(&self, id: &str) -> String {
        self.context.escape(id, MAX_ID_CHARS)
    }

    pub(super) fn text(&self, text: &str) -> String {
        self.context.escape(text, MAX_TEXT_CHARS)
    }

    /// A text that its author could choose freely.
    pub(super) fn free_text(&self, text: &str) -> String {
        self.context.escape_free_text(text, MAX_TEXT_CHARS)
    }

    fn finding(&self) -> &Finding {
        &self.alert.finding
    }

    /// Whether two active keys are certain, and if not, why not.
    pub(super) fn current_state(&self) -> Vec<String> {
        let finding = self.finding();
        let are_listed = self.invocation.keys_from == KeysFrom::Listings;
        let source = if are_listed {
            "a listing shows"
        } else {
            "the logs show"
        };
        let mut lines = match (&finding.listing_refusal, &finding.opener) {
            _ if finding.confirmed => {
                let keys = match more_than_two(finding) {
                    Some(many) => format!("all {many} keys"),
                    None => "both keys".to_owned(),
                };
                vec![format!("Confirmed: {source} {keys} active.")]
            }
            (Some(reason), _) => vec![
                "Not confirmed: the user's keys could not be listed; this was opened from the \
                 event alone."
                    .to_owned(),
                format!("Reason: {}", self.id(reason)),
                "The finding cannot close until the keys can be listed.".to_owned(),
            ],
            (None, Some(_)) if are_listed => vec![
                "Not confirmed: opened from the event alone; no listing has confirmed it yet."
                    .to_owned(),
            ],
            (None, Some(_)) => vec!["Not confirmed: opened from the event alone.".to_owned()],
            (None, None) => vec![format!(
                "Not confirmed: {source} two active keys, but it may be out of date."
            )],
        };
        if finding.user().is_root() && are_listed {
            lines.push(
                "Root's keys are listed from the credential report, which may be up to 4 h old."
                    .to_owned(),
            );
        }
        lines
    }

    /// What found it, if not an event, and the exemption that suppresses it or last did.
    pub(super) fn circumstances(&self) -> Vec<String> {
        let finding = self.finding();
        let found_by = (finding.found_by != FoundBy::Event)
            .then(|| format!("Found by {}.", found_by(finding.found_by)));
        let exemption = finding.exemption.as_ref().map(|exemption| {
            let what = if finding.status == FindingStatus::Suppressed {
                "Suppressed"
            } else {
                "Was suppressed"
            };
            format!(
                "{what} by exemption {}, valid until {}. Reason: {}. Owner: {}.",
                self.id(&exemption.id),
                readable(exemption.until),
                self.text(&exemption.reason),
                self.text(&exemption.owner)
            )
        });
        found_by.into_iter().chain(exemption).collect()
    }

    /// Why the severity is above the usual.
    pub(super) fn severity_reasons(&self) -> Option<String> {
        let reasons: Vec<&str> = self
            .finding()
            .severity_reasons
            .iter()
            .map(|reason| reason.words())
            .collect();
        let word = self.finding().severity.word();
        (!reasons.is_empty()).then(|| format!("{word} because {}.", reasons.join("; ")))
    }

    /// Since when two keys have been active, how late that was seen, and how many are active
    /// now.
    pub(super) fn opened(&self) -> String {
        let opened = self.opened_with_two();
        match more_than_two(self.finding()) {
            Some(many) => format!("{opened} {many} keys are active now."),
            None => opened,
        }
    }

    fn opened_with_two(&self) -> String {
        let finding = self.finding();
        if finding.is_opened_at_estimated {
            return format!(
                "Two active keys {}, seen {}. No event shows when the second key became active.",
                since(true, &readable(finding.opened_at)),
                readable(finding.detected_at)
            );
        }
        if finding.detected_at <= finding.opened_at {
            return format!("Two active keys, seen {}.", readable(finding.detected_at));
        }
        format!(
            "Two active keys {}, seen {} later.",
            since(false, &readable(finding.opened_at)),
            duration(finding.detected_at - finding.opened_at)
        )
    }

    /// How long the rotation window still runs, or how long ago it ended.
    pub(super) fn window(&self) -> String {
        let (now, end) = (self.alert.at, self.alert.window_ends_at);
        if now >= end {
            return format!(
                "The rotation window ended at {} ({} ago).",
                readable(end),
                duration(now - end)
            );
        }
        let then = match self.finding().severity {
            Severity::Medium => "; after that, the severity is HIGH",
            Severity::High | Severity::Critical => "",
        };
        format!(
            "The rotation window ends in {}, at {}{then}.",
            duration(end - now),
            readable(end)
        )
    }

    /// When `key` was created.
    pub(super) fn created(&self, key: &FindingKey) -> String {
        key.created
            .map_or("not known".to_owned(), |at| self.moment(at))
    }

    /// When `key` was last used, by which service and in which Region.
    pub(super) fn last_used(&self, key: &FindingKey) -> String {
        let used = self.last_uses.get(&key.id);
        last_use(used, self.alert.at, &|text| self.text(text))
    }

    fn moment(&self, at: Timestamp) -> String {
        moment(at, self.alert.at)
    }
}
