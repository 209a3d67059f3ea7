//! The facts of an alert in words, escaped for the place where they land; every readable output is made of these.

use crate::detect::Timestamp;
use crate::detect::alert::{Alert, AlertKind};
use crate::detect::finding::{Finding, FindingKey, FindingStatus, FoundBy};
use crate::detect::retire::{LastUsed, LastUses};
use crate::detect::severity::Severity;
use crate::output::escape::{LONGEST_ID, LONGEST_TEXT, Place};
use crate::output::invocation::{Invocation, KeysFrom};
use crate::output::number::in_words;
use crate::output::since::since;
use crate::output::time::{duration, readable};

mod actor;
mod closing;
mod verdict;

#[cfg(feature = "cli")]
pub(super) use self::actor::did;
pub(super) use self::actor::user_arn;

/// An alert, about to be told in a place.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) alert: &'a Alert,
    pub(super) last_uses: &'a LastUses,
    pub(super) place: Place,
    pub(super) invocation: &'a Invocation,
}

/// The name to show for the user of `finding`, hostile still.
pub(super) fn user_name(finding: &Finding) -> &str {
    if finding.user().is_root() {
        return "root";
    }
    &finding.display_name
}

/// What the alert is about, before the name: the beginning of headlines and subjects.
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

/// How many active keys `finding` has, where that is more than the two that it is named for.
pub(super) fn more_than_two(finding: &Finding) -> Option<String> {
    let active = finding.active_keys().count();
    (active > 2).then(|| in_words(active))
}

fn capitalized(text: &str) -> String {
    let mut rest = text.chars();
    let first = rest.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(rest).collect()
}

/// The word in front of it all: the severity, as long as it matters.
pub(super) fn tag(alert: &Alert) -> &'static str {
    match alert.kind {
        AlertKind::Opened | AlertKind::Updated(_)
            if alert.finding.status == FindingStatus::Suppressed =>
        {
            "EXEMPT"
        }
        AlertKind::Opened | AlertKind::Updated(_) => alert.finding.severity.word(),
        AlertKind::Closed => "CLOSED",
    }
}

impl Facts<'_> {
    pub(super) fn id(&self, id: &str) -> String {
        self.place.escape(id, LONGEST_ID)
    }

    pub(super) fn text(&self, text: &str) -> String {
        self.place.escape(text, LONGEST_TEXT)
    }

    /// A text that its writer chose freely.
    pub(super) fn free_text(&self, text: &str) -> String {
        self.place.escape_free_text(text, LONGEST_TEXT)
    }

    fn finding(&self) -> &Finding {
        &self.alert.finding
    }

    /// Whether two active keys are certain, and if not, why not.
    pub(super) fn standing(&self) -> Vec<String> {
        let finding = self.finding();
        let are_listed = self.invocation.keys_from == KeysFrom::Listings;
        let source = if are_listed {
            "a listing shows"
        } else {
            "the logs show"
        };
        let mut lines = match (&finding.could_not_list, &finding.opener) {
            _ if finding.confirmed => {
                let keys = match more_than_two(finding) {
                    Some(many) => format!("all {many} keys"),
                    None => "both keys".to_owned(),
                };
                vec![format!("Confirmed: {source} {keys} active.")]
            }
            (Some(reason), _) => vec![
                "Not confirmed: could not list the user's keys; opened on the event's word."
                    .to_owned(),
                format!("The reason: {}", self.id(reason)),
                "This cannot close until the keys can be listed.".to_owned(),
            ],
            (None, Some(_)) if are_listed => vec![
                "Not confirmed: opened on the event's word; a listing has not confirmed it yet."
                    .to_owned(),
            ],
            (None, Some(_)) => vec!["Not confirmed: opened on the event's word.".to_owned()],
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

    /// What found it, if it was no event; and the exemption that hides it or did.
    pub(super) fn circumstances(&self) -> Vec<String> {
        let finding = self.finding();
        let found_by = (finding.found_by != FoundBy::Event)
            .then(|| format!("Found by {}.", finding.found_by.words()));
        let exemption = finding.exemption.as_ref().map(|exemption| {
            let what = if finding.status == FindingStatus::Suppressed {
                "Exempt"
            } else {
                "Was exempt"
            };
            format!(
                "{what} until {}, because: {}. {} answers for it (exemption {}).",
                readable(exemption.until),
                self.text(&exemption.reason),
                self.text(&exemption.owner),
                self.id(&exemption.id)
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

    /// Since when two keys are active, how late that was seen, and how many are active by now.
    pub(super) fn opened(&self) -> String {
        let opened = self.opened_with_two();
        match more_than_two(self.finding()) {
            Some(many) => format!("{opened} By now, {many} keys are active."),
            None => opened,
        }
    }

    fn opened_with_two(&self) -> String {
        let finding = self.finding();
        if finding.is_since_estimated {
            return format!(
                "Two active keys {}, seen {}. No event told when the second one became active.",
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

    /// How long the rotation window still runs, or for how long it has been over.
    pub(super) fn window(&self) -> String {
        let (now, end) = (self.alert.at, self.alert.window_ends_at);
        if now >= end {
            return format!(
                "The rotation window is over since {} ({}).",
                readable(end),
                duration(now - end)
            );
        }
        let then = match self.finding().severity {
            Severity::Medium => "; after that, this is HIGH",
            Severity::High | Severity::Critical => "",
        };
        format!(
            "The rotation window runs {} more, until {}{then}.",
            duration(end - now),
            readable(end)
        )
    }

    /// When `key` was created.
    pub(super) fn created(&self, key: &FindingKey) -> String {
        key.created
            .map_or("not known".to_owned(), |at| self.moment(at))
    }

    /// When, by which service and where `key` was last used.
    pub(super) fn last_used(&self, key: &FindingKey) -> String {
        match self.last_uses.get(&key.id) {
            None => "not known".to_owned(),
            Some(LastUsed::Never) => "never".to_owned(),
            Some(LastUsed::At {
                at,
                service,
                region,
            }) => {
                let by = service
                    .as_ref()
                    .map(|service| format!(", by {}", self.text(service)));
                let place = region
                    .as_ref()
                    .map(|region| format!(", in {}", self.text(region)));
                [Some(self.moment(*at)), by, place]
                    .into_iter()
                    .flatten()
                    .collect()
            }
        }
    }

    fn moment(&self, at: Timestamp) -> String {
        format!("{}, {} ago", readable(at), duration(self.alert.at - at))
    }
}
