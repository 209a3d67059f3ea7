//! What must be so at rest of who is blamed, what is hidden, since when, and what was announced:
//! as the calls were, whatever order and delay their events had.

use std::collections::BTreeSet;

use chrono::TimeDelta;

use secondkey::detect::Timestamp;
use secondkey::detect::alert::{Alert, AlertKind, Update};
use secondkey::detect::finding::{Finding, FindingStatus};
use secondkey::detect::policy::Policy;
use secondkey::detect::severity::SeverityReason;
use secondkey::detect::user::UserId;

use super::iam::active_keys;
use super::story::SINKS;
use super::world::{Exempted, Made, World};

/// Fails with the words if it does not hold.
macro_rules! hold {
    ($condition:expr, $($words:tt)+) => {
        if !$condition {
            return Err(format!($($words)+));
        }
    };
}

impl World {
    /// What must be so once all is delivered, and a sweep was last.
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
        let told = opening.filter(|made| made.is_told);
        let makers = finding.makers();
        if let Some(made) = told {
            hold!(
                makers.contains(&Some(&made.by)),
                "{} made {keys:?} of {user} two at {since}, and the makers are {makers:?}",
                made.by
            );
            let opener = finding.opener.as_ref();
            let event = opener.and_then(|opener| opener.event_id.as_deref());
            hold!(
                event == Some(&made.event_id),
                "{} made {keys:?} of {user} two at {since}, and the opener is {opener:?}",
                made.by
            );
        }
        if finding.status == FindingStatus::Suppressed {
            let maker = told.map(|made| made.by.as_str());
            let now = self.iam.now();
            let mut exempted = self.exempted.iter();
            hold!(
                exempted.any(|known| known.covers(user, maker, now)),
                "{} is hidden, and no exemption covers {maker:?}",
                finding.id
            );
        }
        self.check_since(&keys, since, finding)
    }

    /// The call that made `keys` two at `since`.
    fn opening_call(&self, keys: &[&str], since: Timestamp) -> Option<&Made> {
        self.made.iter().find(|made| {
            made.at == since
                && made.is_activation
                && made.call.activates().is_some_and(|key| keys.contains(&key))
        })
    }

    /// The window runs from the first opening, whatever names the user had since.
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
        let Some((_, first)) = first else {
            return Err(format!("{} was never opened", finding.id));
        };
        let mut renames = self.made.iter().filter(|made| {
            made.at >= since && matches!(made.call, super::calls::Call::Rename(..))
        });
        if !renames.all(|made| made.is_told) {
            return Ok(());
        }
        hold!(
            finding.opened_at <= first.opened_at,
            "{} opened at {}, and {} at {}, with two keys active all the time",
            first.id,
            first.opened_at,
            finding.id,
            finding.opened_at
        );
        let has_outlived =
            self.iam.now() - first.opened_at >= Policy::default().rotation_window;
        let outlived = SeverityReason::OutlivedWindow;
        hold!(
            !has_outlived || finding.severity_reasons.contains(&outlived),
            "{} has been open since {}, and is {:?}",
            finding.id,
            first.opened_at,
            finding.severity
        );
        Ok(())
    }

    /// Every key that was made active beside another one was named to every sink.
    fn check_activations(&self) -> Result<(), String> {
        let entries = self.journal.entries();
        let activations = self.made.iter().filter(|made| made.is_activation && made.is_told);
        for made in activations {
            let (Some(key), [user]) = (made.call.activates(), &made.call.users()[..]) else {
                continue;
            };
            let after = self.iam.users_at(made.at);
            let is_beside = active_keys(&after, user).len() >= 2;
            let may_be_hidden = self.exempted.iter().any(|known| known.may_hide(&made.by));
            if !is_beside || may_be_hidden {
                continue;
            }
            for sink in SINKS {
                hold!(
                    entries
                        .received
                        .iter()
                        .any(|(name, alert)| *name == sink && alert.at >= made.at && names(alert, key)),
                    "{sink} was not told that {key} of {user} was made active at {} beside another",
                    made.at
                );
            }
        }
        Ok(())
    }

    /// The end of a finding's window is announced once.
    fn check_windows(&self) -> Result<(), String> {
        let entries = self.journal.entries();
        for sink in SINKS {
            let ended: BTreeSet<_> = entries
                .received
                .iter()
                .filter(|(name, alert)| *name == sink && tells_of_window(alert))
                .map(|(_, alert)| (&alert.finding.id, alert.sequence))
                .collect();
            let findings: BTreeSet<_> = ended.iter().map(|(finding, _)| finding).collect();
            hold!(
                findings.len() == ended.len(),
                "{sink} was told of the end of a window more than once: {ended:?}"
            );
        }
        Ok(())
    }
}

impl Exempted {
    /// Whether it covers two keys of `user` at `now`, made by `maker`.
    fn covers(&self, user: &UserId, maker: Option<&str>, now: Timestamp) -> bool {
        let exemption = &self.exemption;
        let is_user = ["*", user.name()].contains(&exemption.user_pattern.as_str());
        let is_maker = exemption.actor_pattern == "*" || maker == Some(&exemption.actor_pattern);
        is_user && is_maker && self.ended.is_none() && now < exemption.until
    }

    /// Whether it may ever have covered what `maker` made.
    fn may_hide(&self, maker: &str) -> bool {
        ["*", maker].contains(&self.exemption.actor_pattern.as_str())
    }
}

fn names(alert: &Alert, key: &str) -> bool {
    let finding = &alert.finding;
    let mut events = finding.opener.iter().chain(&finding.joined);
    finding.keys.iter().any(|known| known.id == key) || events.any(|event| event.key == key)
}

fn tells_of_window(alert: &Alert) -> bool {
    let of_window = |update: &Update| matches!(update, Update::Severity | Update::OutlivedWindow);
    matches!(&alert.kind, AlertKind::Updated(updates) if updates.iter().any(of_window))
}
