//! What must hold after every step, and what must be reached at rest.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use secondkey::detect::decision::policy::Policy;
use secondkey::detect::findings::alert::{AlertKind, FindingUpdate};
use secondkey::detect::findings::finding::FindingStatus;
use secondkey::detect::trail::audit::{AuditEntry, AuditKind, verify_trail};
use secondkey::detect::user::UserId;

use super::calls::has_two_active;
use super::iam::active_keys;
use super::story::SINKS;
use super::world::World;

/// Whether the entry is an event rather than a transition of a finding.
fn is_event(kind: AuditKind) -> bool {
    match kind {
        AuditKind::KeyCreated
        | AuditKind::KeyUpdated
        | AuditKind::KeyDeleted
        | AuditKind::UserDeleted
        | AuditKind::UserRenamed
        | AuditKind::KeyLeaked => true,
        AuditKind::FindingOpened
        | AuditKind::FindingConfirmed
        | AuditKind::FindingUpdated
        | AuditKind::FindingClosed
        | AuditKind::FindingSuppressed
        | AuditKind::ExemptionEnded
        | AuditKind::ForeignEntry => false,
    }
}

/// The trail entries that every sink must receive. Entries of a suppressed finding are not
/// announced, except for the suppression itself and the end of what was announced before.
fn told_entries(trail: &[AuditEntry]) -> Vec<&AuditEntry> {
    let (mut is_hidden, mut is_announced) = (false, false);
    let mut told = vec![];
    for (place, entry) in trail.iter().enumerate() {
        let is_told = match entry.draft.kind {
            AuditKind::FindingOpened => {
                // A finding that is suppressed from the beginning is suppressed in the same commit.
                let next = trail.get(place + 1).map(|next| next.draft.kind);
                is_hidden = next == Some(AuditKind::FindingSuppressed);
                is_announced = !is_hidden;
                is_announced
            }
            AuditKind::FindingSuppressed => {
                let was_hidden = std::mem::replace(&mut is_hidden, true);
                !was_hidden
            }
            AuditKind::ExemptionEnded => {
                (is_hidden, is_announced) = (false, true);
                true
            }
            AuditKind::FindingUpdated => !is_hidden,
            AuditKind::FindingClosed => is_announced,
            AuditKind::FindingConfirmed
            | AuditKind::ForeignEntry
            | AuditKind::KeyCreated
            | AuditKind::KeyUpdated
            | AuditKind::KeyDeleted
            | AuditKind::UserDeleted
            | AuditKind::UserRenamed
            | AuditKind::KeyLeaked => false,
        };
        told.extend(is_told.then_some(entry));
    }
    told
}

/// Whether an alert of `kind` may announce an entry of `entry`'s kind.
fn tells_of(kind: &AlertKind, entry: AuditKind) -> bool {
    match kind {
        // A finding that was suppressed from the beginning is announced as opened when its
        // exemption ends.
        AlertKind::Opened => {
            matches!(entry, AuditKind::FindingOpened | AuditKind::ExemptionEnded)
        }
        AlertKind::Updated(updates) if updates.contains(&FindingUpdate::Exempted) => {
            entry == AuditKind::FindingSuppressed
        }
        AlertKind::Updated(updates) if updates.contains(&FindingUpdate::ExemptionEnded) => {
            entry == AuditKind::ExemptionEnded
        }
        AlertKind::Updated(_) => entry == AuditKind::FindingUpdated,
        AlertKind::Closed => entry == AuditKind::FindingClosed,
    }
}

/// Fails with the message if the condition is false.
macro_rules! hold {
    ($condition:expr, $($words:tt)+) => {
        if !$condition {
            return Err(format!($($words)+));
        }
    };
}

impl World {
    /// What must hold at every moment.
    pub async fn check_always(&self) -> Result<(), String> {
        let mut trails = BTreeMap::new();
        for user in self.names() {
            let record = self
                .store
                .record(&user)
                .await
                .map_err(|error| error.to_string())?;
            let trail = self
                .store
                .history(&user)
                .await
                .map_err(|error| error.to_string())?;
            verify_trail(&user, &trail, &record.audit)
                .map_err(|broken| format!("the trail of {user}: {broken}"))?;
            let [commits, unanswered] = {
                let entries = self.journal.entries();
                [&entries.commits, &entries.unanswered]
                    .map(|counts| counts.get(&user).copied().unwrap_or_default())
            };
            // A worker that is stopped while DynamoDB writes never learns the result.
            hold!(
                (commits..=commits + unanswered).contains(&record.version),
                "{user} has version {} after {commits} commits",
                record.version
            );
            self.check_events(&user, &trail)?;
            check_episodes(&user, &trail)?;
            trails.insert(user, trail);
        }
        self.check_alerts(&trails)?;
        self.check_transitions()
    }

    /// Every event is in a trail once, and every event whose message was given up as done is in the
    /// trail.
    fn check_events(&self, user: &UserId, trail: &[AuditEntry]) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        for entry in trail.iter().filter(|entry| is_event(entry.draft.kind)) {
            let event = entry.draft.event_id.clone().unwrap_or_default();
            hold!(
                seen.insert(event.clone()),
                "{event} stands twice in the trail of {user}"
            );
        }
        let entries = self.journal.entries();
        let mut done = entries
            .done
            .iter()
            .filter(|(_, users)| users.contains(user));
        let missing = done.find(|(event, _)| !seen.contains(*event));
        hold!(
            missing.is_none(),
            "{missing:?} was given up and does not stand in the trail of {user}"
        );
        Ok(())
    }

    /// Every alert is in the trail, and only an opening may overtake an older alert of its sink.
    fn check_alerts(&self, trails: &BTreeMap<UserId, Vec<AuditEntry>>) -> Result<(), String> {
        let entries = self.journal.entries();
        let mut received = BTreeSet::new();
        for (sink, alert) in &entries.received {
            let user = alert.finding.user();
            let trail = &trails[user];
            let is_in_trail = trail.iter().any(|entry| {
                (entry.sequence, &entry.hash) == (alert.sequence, &alert.audit_hash)
                    && tells_of(&alert.kind, entry.draft.kind)
            });
            hold!(
                is_in_trail,
                "{sink} received {:?} {} of {user}, which is not in the trail",
                alert.kind,
                alert.sequence
            );
            let older = told_entries(trail)
                .into_iter()
                .find(|entry| {
                    entry.sequence < alert.sequence
                        && !received.contains(&(*sink, user, entry.sequence))
                })
                .filter(|_| alert.kind != AlertKind::Opened && !entries.refused_by.contains(sink));
            if let Some(older) = older {
                return Err(format!(
                    "{sink} received {:?} {} of {user} before {:?} {}",
                    alert.kind, alert.sequence, older.draft.kind, older.sequence
                ));
            }
            received.insert((*sink, user, alert.sequence));
        }
        Ok(())
    }

    /// What was confirmed was true, and what was closed did not have two active keys all the time.
    fn check_transitions(&self) -> Result<(), String> {
        let entries = self.journal.entries();
        // Changes are recorded in whole seconds.
        let settle = Policy::default().consistency_window + TimeDelta::seconds(1);
        for (at, finding) in &entries.confirmed {
            let keys: Vec<&str> = finding.active_keys().collect();
            hold!(
                keys.len() >= 2
                    && self
                        .iam
                        .were_active_together(finding.user(), &keys, *at - settle, *at),
                "{} was confirmed at {at}, but {keys:?} were never active together in the time before",
                finding.id
            );
        }
        for (at, finding) in &entries.closed {
            hold!(
                !self
                    .iam
                    .had_two_active_throughout(finding.user(), finding.detected_at, *at),
                "{} was closed at {at}, but two keys were active all the time since {}",
                finding.id,
                finding.detected_at
            );
        }
        Ok(())
    }

    /// What must hold once everything is delivered and nothing is left to do.
    pub async fn check_at_rest(&self) -> Result<(), String> {
        let users = self.iam.users();
        let mut open = vec![];
        for status in [FindingStatus::Open, FindingStatus::Suppressed] {
            let found = self.store.findings(status).await;
            open.extend(found.map_err(|error| error.to_string())?);
        }
        for user in self.names() {
            let record = self
                .store
                .record(&user)
                .await
                .map_err(|error| error.to_string())?;
            let keys = active_keys(&users, &user);
            let is_open = record.open_finding().is_some();
            hold!(
                is_open == has_two_active(&users, &user),
                "at rest {keys:?} of {user} are active, and a finding is {}",
                if is_open { "open" } else { "not open" }
            );
            let listed: Vec<_> = open
                .iter()
                .filter(|finding| finding.user() == &user)
                .collect();
            hold!(
                listed == Vec::from_iter(record.open_finding()),
                "at rest the open findings of {user} are {listed:?}, and the record has another"
            );
            if let Some(finding) = record.open_finding() {
                let noted: Vec<&str> = finding.active_keys().collect();
                hold!(
                    finding.confirmed && noted == keys,
                    "at rest {keys:?} of {user} are active, and the finding says {noted:?}, confirmed: {}",
                    finding.confirmed
                );
            }
            let owed = self
                .store
                .pending_alerts(&user)
                .await
                .map_err(|error| error.to_string())?;
            let owed: Vec<_> = owed
                .iter()
                .map(|owed| (&owed.sink, owed.alert.sequence, owed.due_at))
                .collect();
            hold!(owed.is_empty(), "at rest {owed:?} are still owed");
            self.check_told(&user).await?;
        }
        Ok(())
    }

    /// Every transition reached every sink.
    async fn check_told(&self, user: &UserId) -> Result<(), String> {
        let trail = self
            .store
            .history(user)
            .await
            .map_err(|error| error.to_string())?;
        let entries = self.journal.entries();
        for entry in told_entries(&trail) {
            for sink in SINKS {
                hold!(
                    entries.received.iter().any(|(name, alert)| {
                        *name == sink
                            && alert.finding.user() == user
                            && alert.sequence == entry.sequence
                    }),
                    "{sink} was never told of entry {} of {user}, {:?}",
                    entry.sequence,
                    entry.draft.kind
                );
            }
        }
        Ok(())
    }
}

/// Openings and closings alternate, and each belongs to the next episode.
fn check_episodes(user: &UserId, trail: &[AuditEntry]) -> Result<(), String> {
    let (mut episodes, mut is_open) = (0, false);
    for entry in trail {
        let kind = entry.draft.kind;
        let fits = match kind {
            AuditKind::FindingOpened => !is_open,
            AuditKind::FindingConfirmed | AuditKind::FindingUpdated | AuditKind::FindingClosed => {
                is_open
            }
            _ => continue,
        };
        hold!(
            fits,
            "entry {} of {user} is a {kind:?} out of turn",
            entry.sequence
        );
        episodes += u32::from(kind == AuditKind::FindingOpened);
        is_open = kind != AuditKind::FindingClosed;
        let expected = format!("{user}/{episodes}");
        let named = entry.draft.finding_id.as_deref();
        hold!(
            named == Some(&expected),
            "a {kind:?} of {expected} names {named:?}"
        );
    }
    Ok(())
}
