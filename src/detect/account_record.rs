//! What is kept of one account between one sweep and the next.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::digest::DigestKind;
use crate::detect::finding::{Finding, FindingStatus, FoundBy};
use crate::detect::policy::Policy;

/// How long ago an account's last sweep may be. One is queued every hour.
pub const SWEPT_WITHIN: TimeDelta = TimeDelta::hours(2);

/// For how long the organization must have left an account out. Sweeps are an hour apart, by a clock that is not exact.
pub const LEFT_AFTER: TimeDelta = TimeDelta::minutes(50);

/// What is kept of one account. Each write is on the condition that there was no other in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRecord {
    /// The account's id.
    pub account: String,
    /// Counts the writes; 0 for a record that is not stored yet.
    pub version: u64,
    /// When an event first told of the account, if that was before its first sweep.
    pub registered_at: Option<Timestamp>,
    /// When the first sweep was through.
    pub baseline_at: Option<Timestamp>,
    /// When the latest sweep was through.
    pub swept_at: Option<Timestamp>,
    /// When the account was last told of in a digest.
    pub digest_at: Option<Timestamp>,
    /// The digests that are still to be told, by sink. What they say is put together when they are told.
    pub digests_owed: BTreeMap<String, DigestKind>,
    /// Why nobody can look into the account, if nobody can.
    pub unreachable: Option<Unreachable>,
    /// Since when the organization has not listed the account any more.
    pub left_at: Option<Timestamp>,
}

/// Why nobody can look into an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreachable {
    /// The first sweep that could not.
    pub since: Timestamp,
    /// Why not.
    pub reason: String,
}

/// What a sweep of an account came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swept<'a> {
    /// The findings that are open, hidden or not.
    pub open: &'a [Finding],
    /// Why the account's users could not be told, if they could not.
    pub refused: Option<&'a str>,
}

impl AccountRecord {
    /// The record of an account of which nothing is known.
    #[must_use]
    pub fn new(account: &str) -> Self {
        Self {
            account: account.to_owned(),
            version: 0,
            registered_at: None,
            baseline_at: None,
            swept_at: None,
            digest_at: None,
            digests_owed: BTreeMap::new(),
            unreachable: None,
            left_at: None,
        }
    }

    /// The record of an account that the organization does not list at `now`; none if that is known already.
    #[must_use]
    pub fn missed(&self, now: Timestamp) -> Option<Self> {
        self.left_at.is_none().then(|| Self {
            version: self.version + 1,
            left_at: Some(now),
            ..self.clone()
        })
    }

    /// Whether the organization did not list the account at `now` nor an hour before: one answer may be behind.
    #[must_use]
    pub fn has_left(&self, now: Timestamp) -> bool {
        self.left_at
            .is_some_and(|left_at| now - left_at >= LEFT_AFTER)
    }

    /// The first record of an account that an event told of at `now`.
    #[must_use]
    pub fn registered(account: &str, now: Timestamp) -> Self {
        Self {
            version: 1,
            registered_at: Some(now),
            ..Self::new(account)
        }
    }

    /// Whether the account is not swept in time. One that cannot be entered is known as such and not counted here.
    #[must_use]
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        let since = self.swept_at.or(self.registered_at);
        self.unreachable.is_none() && since.is_some_and(|since| now - since > SWEPT_WITHIN)
    }

    /// The record after a sweep that was through at `now`. A digest is owed to each of `sinks`, where there is one to tell:
    /// of what the first sweep found, and then as long as findings outlive their rotation window, every `remind_every`.
    #[must_use]
    pub fn after(
        &self,
        swept: &Swept<'_>,
        policy: &Policy,
        remind_every: TimeDelta,
        sinks: &[&str],
        now: Timestamp,
    ) -> Self {
        let mut next = self.clone();
        next.version += 1;
        next.left_at = None;
        if let Some(reason) = swept.refused {
            let since = self.unreachable.as_ref().map_or(now, |known| known.since);
            next.unreachable = Some(Unreachable {
                since,
                reason: reason.to_owned(),
            });
        } else {
            next.unreachable = None;
            next.swept_at = Some(now);
            next.baseline_at = self.baseline_at.or(Some(now));
        }
        let told: Vec<&Finding> = swept
            .open
            .iter()
            .filter(|finding| finding.status == FindingStatus::Open)
            .collect();
        // From what is kept, and not from whether this is the first sweep: one before may have died.
        let is_untold = |finding: &&Finding| {
            finding.found_by == FoundBy::Baseline
                // What an exemption hid is told by itself at its end.
                && finding.exemption.is_none()
                && self
                    .digest_at
                    .is_none_or(|told_at| finding.detected_at > told_at)
        };
        let kind = if told.iter().any(is_untold) {
            DigestKind::Baseline
        } else if self.is_reminder_due(&told, policy, remind_every, now) {
            DigestKind::Reminder
        } else {
            return next;
        };
        next.digest_at = Some(now);
        for sink in sinks {
            // One that is owed already is told with what is known by then.
            next.digests_owed.entry((*sink).to_owned()).or_insert(kind);
        }
        next
    }

    /// Whether the account was swept after `sent_at`, and all that was to be told of it was.
    #[must_use]
    pub fn is_swept_since(&self, sent_at: Option<Timestamp>) -> bool {
        let is_later = |sent_at| self.swept_at.is_some_and(|swept_at| swept_at > sent_at);
        self.digests_owed.is_empty() && sent_at.is_some_and(is_later)
    }

    /// The record once `sink` has its digest.
    #[must_use]
    pub fn ticked_off(&self, sink: &str) -> Self {
        let mut next = self.clone();
        next.version += 1;
        next.digests_owed.remove(sink);
        next
    }

    fn is_reminder_due(
        &self,
        told: &[&Finding],
        policy: &Policy,
        remind_every: TimeDelta,
        now: Timestamp,
    ) -> bool {
        told.iter().any(|finding| {
            // What was over before anybody saw it was told of when it was seen.
            let over_at = finding.window_ends_at(policy.rotation_window);
            let over_at = over_at.max(finding.detected_at);
            let Some(digest_at) = self.digest_at else {
                return now - over_at >= remind_every;
            };
            // Nobody got an alert of its own when the window of such a one was over.
            let is_news = finding.found_by == FoundBy::Baseline && over_at > digest_at;
            now >= over_at && (is_news || now - over_at.max(digest_at) >= remind_every)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{at, finding_of};

    const DAY: i64 = 86_400;

    fn finding(found_by: FoundBy, opened: i64) -> Finding {
        Finding {
            found_by,
            opened_at: at(opened),
            detected_at: at(opened),
            ..finding_of(&[])
        }
    }

    fn after(record: &AccountRecord, open: &[Finding], now: i64) -> AccountRecord {
        let swept = Swept {
            open,
            refused: None,
        };
        let (policy, day) = (Policy::default(), TimeDelta::days(1));
        record.after(&swept, &policy, day, &["sns", "bus"], at(now))
    }

    fn told(mut record: AccountRecord) -> AccountRecord {
        for sink in ["sns", "bus"] {
            record = record.ticked_off(sink);
        }
        record
    }

    #[test]
    fn a_registered_account_gets_its_first_sweep_like_any_other() {
        let registered = AccountRecord::registered("1", at(0));
        assert_eq!(registered.version, 1);
        assert!(!registered.is_swept_since(Some(at(0))));
        let first = after(&registered, &[finding(FoundBy::Baseline, 5)], 10);
        assert_eq!(first.baseline_at, Some(at(10)));
        assert_eq!(first.digests_owed["sns"], DigestKind::Baseline);
    }

    #[test]
    fn a_window_that_was_over_when_it_was_seen_is_no_reminder_at_once() {
        let swept = told(after(&AccountRecord::new("1"), &[], 0));
        let old = Finding {
            opened_at: at(-790 * DAY),
            detected_at: at(100),
            ..finding(FoundBy::Sweep, 0)
        };
        let open = [old];
        assert!(after(&swept, &open, 100).digests_owed.is_empty());
        let next_day = after(&swept, &open, 100 + DAY);
        assert_eq!(next_day.digests_owed["sns"], DigestKind::Reminder);
    }

    #[test]
    fn an_account_is_overdue_two_hours_after_its_last_sweep_or_first_event() {
        const LIMIT: i64 = 7_200;
        let registered = AccountRecord::registered("1", at(0));
        let swept = after(&registered, &[], 100);
        for (record, since) in [(&registered, 0), (&swept, 100)] {
            assert!(!record.is_overdue(at(since + LIMIT)));
            assert!(record.is_overdue(at(since + LIMIT + 1)));
        }
        let unreachable = AccountRecord {
            unreachable: Some(Unreachable {
                since: at(0),
                reason: "AccessDenied".to_owned(),
            }),
            ..swept
        };
        assert!(!unreachable.is_overdue(at(9 * DAY)));
        assert!(!AccountRecord::new("1").is_overdue(at(9 * DAY)));
    }

    #[test]
    fn the_first_sweep_is_told_once_if_it_found_something() {
        let new = AccountRecord::new("1");
        let found = [finding(FoundBy::Baseline, 0)];
        let first = after(&new, &found, 0);
        assert_eq!(first.digests_owed.len(), 2);
        assert_eq!(first.digests_owed["sns"], DigestKind::Baseline);
        assert_eq!(after(&told(first), &found, 3_600).digests_owed.len(), 0);
        assert_eq!(after(&new, &[], 0).digests_owed.len(), 0);
    }

    #[test]
    fn what_a_first_sweep_found_that_died_before_it_told_is_told_by_the_next() {
        let found = [finding(FoundBy::Baseline, 0)];
        let empty = after(&AccountRecord::new("1"), &[], 5);
        assert_eq!(empty.digests_owed.len(), 0);
        assert_eq!(
            after(&empty, &found, 3_600).digests_owed["sns"],
            DigestKind::Baseline
        );
    }

    #[test]
    fn what_a_sink_did_not_take_stays_owed() {
        let found = [finding(FoundBy::Baseline, 0)];
        let first = after(&AccountRecord::new("1"), &found, 0).ticked_off("bus");
        let second = after(&first, &found, 3_600);
        assert_eq!(second.digests_owed["sns"], DigestKind::Baseline);
        assert_eq!(second.digests_owed.len(), 1);
    }

    #[test]
    fn what_the_first_sweep_found_is_told_in_a_digest_when_its_window_is_over() {
        let found = [finding(FoundBy::Baseline, 0)];
        let first = told(after(&AccountRecord::new("1"), &found, 0));
        assert_eq!(after(&first, &found, DAY - 1).digests_owed.len(), 0);
        let second = after(&first, &found, DAY + 5);
        assert_eq!(second.digests_owed["sns"], DigestKind::Reminder);
        let third = after(&told(second), &found, DAY + 3_605);
        assert_eq!(third.digests_owed.len(), 0, "at most daily");
    }

    #[test]
    fn a_reminder_comes_a_day_after_the_window_and_then_daily() {
        let open = [finding(FoundBy::Event, 0)];
        let mut record = after(&AccountRecord::new("1"), &[], 0);
        let mut reminded = vec![];
        for hour in 0..110 {
            record = after(&record, &open, hour * 3_600);
            if !record.digests_owed.is_empty() {
                reminded.push(hour);
            }
            record = told(record);
        }
        assert_eq!(reminded, [48, 72, 96]);
    }

    #[test]
    fn of_what_is_hidden_nobody_is_reminded() {
        let mut hidden = finding(FoundBy::Event, 0);
        hidden.status = FindingStatus::Suppressed;
        let record = after(&AccountRecord::new("1"), &[], 0);
        assert_eq!(after(&record, &[hidden], 9 * DAY).digests_owed.len(), 0);
    }

    #[test]
    fn an_account_that_cannot_be_looked_into_is_not_swept_and_keeps_its_first_sweep_for_later() {
        let swept = Swept {
            open: &[],
            refused: Some("AccessDenied"),
        };
        let (policy, day) = (Policy::default(), TimeDelta::days(1));
        let refused =
            |record: &AccountRecord, now| record.after(&swept, &policy, day, &[], at(now));
        let once = refused(&AccountRecord::new("1"), 10);
        let twice = refused(&once, 20);
        assert_eq!(twice.unreachable.as_ref().unwrap().since, at(10));
        assert_eq!((twice.swept_at, twice.baseline_at), (None, None));
        let well_again = after(&twice, &[finding(FoundBy::Baseline, 25)], 30);
        assert_eq!(well_again.unreachable, None);
        assert_eq!(well_again.digests_owed["sns"], DigestKind::Baseline);
    }
}
