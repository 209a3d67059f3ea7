//! What must hold at rest about who is blamed, what is suppressed, since when, and what was
//! announced: it must match the calls, whatever the order and delay of their events.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use secondkey::detect::Timestamp;
use secondkey::detect::decision::policy::Policy;
use secondkey::detect::decision::severity::{Severity, SeverityReason};
use secondkey::detect::findings::alert::{Alert, AlertKind, FindingUpdate};
use secondkey::detect::findings::finding::{Finding, FindingStatus};
use secondkey::detect::keys::listing::KeyStatus;
use secondkey::detect::user::UserId;

use super::calls::Call;
use super::iam::active_keys;
use super::story::SINKS;
use super::world::{Exempted, Made, World};

/// Fails with the message if the condition is false.
macro_rules! hold {
    ($condition:expr, $($words:tt)+) => {
        if !$condition {
            return Err(format!($($words)+));
        }
    };
}

impl World {
    /// What must hold once everything is delivered, after a final sweep.
    pub async fn check_blame(&self) -> Result<(), String> {
        for user in self.names() {
            let record = self
                .store
                .record(&user)
                .await
                .map_err(|error| error.to_string())?;
            if let Some(finding) = record.open_finding() {
                self.check_open(&user, finding)?;
            }
        }
        self.check_activations()?;
        self.check_windows()
    }

    fn check_open(&self, user: &UserId, finding: &Finding) -> Result<(), String> {
        let users = self.iam.users();
        let keys = active_keys(&users, user);
        let since = self.iam.active_together_since(&keys);
        let opening = self.opening_call(&keys, since);
        // If the event of a rename is lost, nothing leads from the new name to the call.
        let told = opening.filter(|made| made.is_told && self.all_renames_are_told(since));
        // The order of several calls in one second is unknown, so any of them may be named, or
        // none.
        let candidates = opening.map_or_else(Vec::new, |made| self.calls_beside(made, &keys));
        // A key that was deactivated and activated in one second may have stayed active. Then the
        // pair, and the blame, may be older.
        let is_off = |made: &&Made| matches!(made.call, Call::SetStatus(_, _, KeyStatus::Inactive));
        if candidates.iter().any(is_off) {
            return self.check_since(&keys, since, finding);
        }
        // A reactivation shows nothing if the event of the deactivation is lost: the key may have
        // been active all along.
        let is_on = |made: &Made| matches!(made.call, Call::SetStatus(_, _, KeyStatus::Active));
        if self.has_lost && opening.is_some_and(is_on) {
            return self.check_since(&keys, since, finding);
        }
        // A late event under a name that the user has lost meanwhile does not lead to the new name.
        // The actor is then unknown.
        let is_renamed = self.renames(since).next().is_some();
        let may_be_unknown = candidates.len() > 1 || is_renamed || self.has_lost;
        let makers = finding.activators();
        if let Some(made) = told {
            let mut named = candidates.iter().map(|made| Some(made.by.as_str()));
            hold!(
                named.any(|maker| makers.contains(&maker))
                    || (may_be_unknown && makers.contains(&None)),
                "{} made {keys:?} of {user} two at {since}, and the makers are {makers:?}",
                made.by
            );
        }
        // The finding of an earlier pair, whose end was not seen in time, keeps its opener.
        let is_of_pair = !self.has_lost && !is_renamed && self.first_detected_at(finding) >= since;
        if let Some(made) = told.filter(|_| is_of_pair) {
            let opener = finding.opener.as_ref();
            let event = opener.and_then(|opener| opener.event_id.as_deref());
            // Or of a pair whose opener may itself have activated a key beside another one, as far
            // as was known in time.
            let is_of_earlier_pair = self.made.iter().any(|made| {
                let user = &made.call.users()[0];
                event == Some(&made.event_id)
                    && made.is_activation
                    && (self.is_out_of_order || self.iam.had_two_active_within(user, made.at))
            });
            let mut of_second = self.of_second_of(made);
            hold!(
                ((may_be_unknown || self.is_out_of_order) && event.is_none())
                    || of_second.any(|made| event == Some(&made.event_id))
                    || is_of_earlier_pair,
                "{} made {keys:?} of {user} two at {since}, and the opener is {event:?}",
                made.by
            );
        }
        if finding.status == FindingStatus::Suppressed {
            let now = self.iam.now();
            let covers = |made: &&Made| {
                let mut exempted = self.exempted.iter();
                exempted.any(|known| known.covers(user, &made.by, now))
            };
            hold!(
                candidates.iter().any(covers),
                "{} is hidden, and no exemption covers {:?}",
                finding.id,
                opening.map(|made| &made.by)
            );
        }
        self.check_since(&keys, since, finding)
    }

    /// The call that made `keys` two at `since`.
    fn opening_call(&self, keys: &[&str], since: Timestamp) -> Option<&Made> {
        self.activations_of(keys).find(|made| made.at == since)
    }

    /// When `finding`, or the first finding that it continues, was detected.
    fn first_detected_at(&self, finding: &Finding) -> Timestamp {
        let entries = self.journal.entries();
        let mut first = finding;
        while let Some((_, former)) = first.continues.as_ref().and_then(|continued| {
            let mut opened = entries.opened.iter();
            opened.find(|(_, opened)| opened.id == *continued)
        }) {
            first = former;
        }
        first.detected_at
    }

    /// `opening`, and the other calls in the same second about one of `keys`.
    fn calls_beside(&self, opening: &Made, keys: &[&str]) -> Vec<&Made> {
        let is_one = |made: &&Made| made.call.key().is_some_and(|key| keys.contains(&key));
        self.of_second_of(opening).filter(is_one).collect()
    }

    fn of_second_of(&self, made: &Made) -> impl Iterator<Item = &Made> {
        let second = made.at.timestamp();
        self.made
            .iter()
            .filter(move |other| other.at.timestamp() == second)
    }

    /// The calls that activated one of `keys`.
    fn activations_of(&self, keys: &[&str]) -> impl Iterator<Item = &Made> {
        self.made.iter().filter(|made| {
            made.is_activation && made.call.activates().is_some_and(|key| keys.contains(&key))
        })
    }

    /// The window starts at the first opening, whatever names the user had since.
    fn check_since(
        &self,
        keys: &[&str],
        since: Timestamp,
        finding: &Finding,
    ) -> Result<(), String> {
        let entries = self.journal.entries();
        let first = entries.opened.iter().find(|(at, opened)| {
            let named: BTreeSet<&str> = opened.active_keys().collect();
            *at >= since && keys.iter().all(|key| named.contains(key))
        });
        let mut opened_at = finding.opened_at;
        // If there is none, the finding of an earlier pair continues, whose end was not seen.
        if let Some((_, first)) = first.filter(|_| self.all_renames_are_told(since)) {
            let event_of = |finding: &Finding| {
                let opener = finding.opener.as_ref();
                opener.map(|event| (event.key.clone(), event.at))
            };
            hold!(
                // An event that arrives late replaces an estimate, and corrects an opener.
                finding.opened_at <= first.opened_at
                    || (first.is_opened_at_estimated && !finding.is_opened_at_estimated)
                    || (event_of(finding) != event_of(first)
                        && finding.opened_at <= first.detected_at),
                "{} opened at {}, and {} at {}, with two keys active all the time",
                first.id,
                first.opened_at,
                finding.id,
                finding.opened_at
            );
            opened_at = first.opened_at;
        }
        let has_outlived = self.iam.now() - opened_at >= Policy::default().rotation_window;
        let outlived = SeverityReason::OutlivedWindow;
        hold!(
            !has_outlived
                || (finding.severity >= Severity::High
                    && finding.severity_reasons.contains(&outlived)),
            "{} has been open since {opened_at}, and is {:?}",
            finding.id,
            finding.severity
        );
        Ok(())
    }

    fn all_renames_are_told(&self, since: Timestamp) -> bool {
        self.renames(since).all(|made| made.is_told)
    }

    fn renames(&self, since: Timestamp) -> impl Iterator<Item = &Made> {
        let is_rename = |made: &&Made| matches!(made.call, Call::Rename(..));
        self.made
            .iter()
            .filter(is_rename)
            .filter(move |made| made.at >= since)
    }

    /// Every key that was activated beside another one was named to every sink.
    fn check_activations(&self) -> Result<(), String> {
        let entries = self.journal.entries();
        let activations = self
            .made
            .iter()
            .filter(|made| made.is_activation && made.is_told);
        for made in activations {
            let (Some(key), [user]) = (made.call.activates(), &made.call.users()[..]) else {
                continue;
            };
            let after = self.iam.users_at(made.at);
            let keys = active_keys(&after, user);
            // Whatever begins and ends within one second may never have been visible. And an event
            // under a name that the user has lost meanwhile does not lead to the new name.
            let is_beside = keys.len() >= 2 && self.iam.were_seen_together(user, &keys, made.at);
            // If no event activated a key, nothing may show that it was active beside the other.
            let are_told = keys.iter().all(|key| {
                let calls = self.activations_of(std::slice::from_ref(key));
                let mut before = calls.filter(|call| call.at <= made.at).peekable();
                before.peek().is_some() && before.all(|call| call.is_told)
            });
            // A key that was deactivated and activated in one second may have stayed active, as may
            // one whose deactivation was lost. A key that signed a later call before the event of
            // its deactivation arrived was named as active then.
            let is_certain = matches!(made.call, Call::CreateKey(..))
                || (!self.has_lost
                    && self.calls_beside(made, &[key]).len() == 1
                    && self.was_surely_inactive(key, made)
                    && !self.was_used_after_its_end(key));
            let may_be_hidden = self.exempted.iter().any(|known| known.may_hide(&made.by));
            if !is_beside || !are_told || !is_certain || may_be_hidden {
                continue;
            }
            // The key that signed the call was active as well, unless it was deactivated just
            // before.
            let signer = made.signer.as_deref().filter(|key| keys.contains(key));
            let are_named = |alert: &Alert| {
                names(alert, key) && signer.is_none_or(|signer| names(alert, signer))
            };
            for sink in SINKS {
                hold!(
                    entries.received.iter().any(|(name, alert)| *name == sink
                        && alert.at >= made.at
                        && are_named(alert)),
                    "{sink} was not told that {key} of {user} was made active at {} beside another, by {signer:?}; \
                     its alerts: {:?}",
                    made.at,
                    entries
                        .received
                        .iter()
                        .filter(|(name, _)| *name == sink)
                        .map(|(_, alert)| {
                            let keys: Vec<&str> = alert.finding.active_keys().collect();
                            (alert.at, &alert.kind, keys)
                        })
                        .collect::<Vec<_>>()
                );
            }
        }
        Ok(())
    }

    /// Whether the events show that `key` was inactive before `activation`: the call before it was
    /// the only one about the key in its second, whose order is unknown.
    fn was_surely_inactive(&self, key: &str, activation: &Made) -> bool {
        let mut before = self.made.iter().rev().filter(|made| {
            made.call.key() == Some(key) && made.at.timestamp() < activation.at.timestamp()
        });
        before
            .next()
            .is_some_and(|last| self.calls_beside(last, &[key]).len() == 1)
    }

    /// Whether `key` signed a call after it was deactivated.
    fn was_used_after_its_end(&self, key: &str) -> bool {
        self.made.iter().any(|made| {
            let users = self.iam.users_at(made.at - TimeDelta::milliseconds(1));
            let owner = &made.call.users()[0];
            made.signer.as_deref() == Some(key) && !active_keys(&users, owner).contains(&key)
        })
    }

    /// The end of a finding's window is announced once. If the beginning was an estimate and an
    /// event showed a later one, the later window has its own end.
    fn check_windows(&self) -> Result<(), String> {
        let entries = self.journal.entries();
        for sink in SINKS {
            let ended: BTreeSet<_> = entries
                .received
                .iter()
                .filter(|(name, alert)| *name == sink && tells_of_window(alert))
                .map(|(_, alert)| {
                    let finding = &alert.finding;
                    let window = (&finding.id, finding.is_opened_at_estimated);
                    (window, alert.sequence)
                })
                .collect();
            let windows: BTreeSet<_> = ended.iter().map(|(window, _)| window).collect();
            hold!(
                windows.len() == ended.len(),
                "{sink} was told of the end of a window more than once: {ended:?}"
            );
        }
        Ok(())
    }
}

impl Exempted {
    /// Whether it covers two keys of `user` at `now` that `maker` created.
    fn covers(&self, user: &UserId, maker: &str, now: Timestamp) -> bool {
        let exemption = &self.exemption;
        let is_user = ["*", user.name()].contains(&exemption.user_pattern.as_str());
        let is_maker = exemption.actor_pattern == "*" || maker == exemption.actor_pattern;
        is_user && is_maker && self.ended.is_none() && now < exemption.until
    }

    /// Whether it may ever have covered keys that `maker` created.
    fn may_hide(&self, maker: &str) -> bool {
        ["*", maker].contains(&self.exemption.actor_pattern.as_str())
    }
}

fn names(alert: &Alert, key: &str) -> bool {
    let finding = &alert.finding;
    let mut events = finding.opener.iter().chain(&finding.other_activations);
    finding.keys.iter().any(|known| known.id == key) || events.any(|event| event.key == key)
}

fn tells_of_window(alert: &Alert) -> bool {
    let reasons = &alert.finding.severity_reasons;
    let has_outlived = reasons.contains(&SeverityReason::OutlivedWindow);
    let of_window = |update: &FindingUpdate| match update {
        FindingUpdate::OutlivedWindow => true,
        // An actor who became known later may have raised it as well.
        FindingUpdate::Severity => has_outlived,
        _ => false,
    };
    matches!(&alert.kind, AlertKind::Updated(updates) if updates.iter().any(of_window))
}
