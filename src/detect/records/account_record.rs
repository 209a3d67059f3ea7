//! What is stored about an account from one sweep to the next.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::decision::policy::Policy;
use crate::detect::findings::digest::DigestKind;
use crate::detect::findings::finding::{Finding, FindingStatus, FoundBy};

/// How long ago an account's last sweep may have been. One is queued every hour.
pub(crate) const SWEPT_WITHIN: TimeDelta = TimeDelta::hours(2);

/// How long the organization must have omitted an account. Sweeps are about an hour apart.
pub(crate) const LEFT_AFTER: TimeDelta = TimeDelta::minutes(50);

/// What is stored about one account. Each write is conditional on no other write since it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRecord {
    /// The account's id.
    pub account: String,
    /// The number of writes; 0 for a record that has not been stored.
    pub version: u64,
    /// When an event first mentioned the account, if that was before its first sweep.
    pub registered_at: Option<Timestamp>,
    /// When the first sweep finished.
    pub baseline_at: Option<Timestamp>,
    /// When the latest sweep finished.
    pub swept_at: Option<Timestamp>,
    /// When the account last had a digest.
    pub digest_at: Option<Timestamp>,
    /// The digests to send, by sink. Their content is computed when they are sent.
    pub pending_digests: BTreeMap<String, DigestKind>,
    /// Why the account cannot be read, if it cannot.
    pub unreachable: Option<Unreachable>,
    /// Since when the organization has not listed the account.
    pub left_at: Option<Timestamp>,
}

/// Why an account cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreachable {
    /// The first sweep that failed.
    pub since: Timestamp,
    /// The reason.
    pub reason: String,
}

/// The result of a sweep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepResult<'a> {
    /// The open findings, suppressed ones included.
    pub open: &'a [Finding],
    /// Why the account's users could not be listed, if they could not.
    pub refused: Option<&'a str>,
}

impl AccountRecord {
    /// An empty record.
    #[must_use]
    pub fn new(account: &str) -> Self {
        Self {
            account: account.to_owned(),
            version: 0,
            registered_at: None,
            baseline_at: None,
            swept_at: None,
            digest_at: None,
            pending_digests: BTreeMap::new(),
            unreachable: None,
            left_at: None,
        }
    }

    /// The record of an account that the organization does not list at `now`; `None` if nothing
    /// changes.
    #[must_use]
    pub fn marked_missing(&self, now: Timestamp) -> Option<Self> {
        self.left_at.is_none().then(|| Self {
            version: self.version + 1,
            left_at: Some(now),
            ..self.clone()
        })
    }

    /// Whether the organization listed the account neither at `now` nor an hour earlier. A single
    /// answer may be stale.
    #[must_use]
    pub fn has_left(&self, now: Timestamp) -> bool {
        self.left_at
            .is_some_and(|left_at| now - left_at >= LEFT_AFTER)
    }

    /// The first record of an account that an event mentioned at `now`.
    #[must_use]
    pub fn registered(account: &str, now: Timestamp) -> Self {
        Self {
            version: 1,
            registered_at: Some(now),
            ..Self::new(account)
        }
    }

    /// Whether the account's sweep is overdue. An account that cannot be read is reported as such
    /// and not counted here.
    #[must_use]
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        let since = self.swept_at.or(self.registered_at);
        self.unreachable.is_none() && since.is_some_and(|since| now - since > SWEPT_WITHIN)
    }

    /// The record after a sweep that finished at `now`. Each of `sinks` gets a digest if there is
    /// something to report: what the first sweep found, and then every `remind_every`, findings
    /// that have outlived their rotation window.
    #[must_use]
    pub fn after_sweep(
        &self,
        swept: &SweepResult<'_>,
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
        let open: Vec<&Finding> = swept
            .open
            .iter()
            .filter(|finding| finding.status == FindingStatus::Open)
            .collect();
        // Computed from the records rather than from whether this is the first sweep: an earlier
        // one may have died.
        let is_unreported = |finding: &&Finding| {
            finding.found_by == FoundBy::Baseline
                // A suppressed finding gets an alert of its own when its exemption ends.
                && finding.exemption.is_none()
                && self
                    .digest_at
                    .is_none_or(|digest_at| finding.detected_at > digest_at)
        };
        let kind = if open.iter().any(is_unreported) {
            DigestKind::Baseline
        } else if self.is_reminder_due(&open, policy, remind_every, now) {
            DigestKind::Reminder
        } else {
            return next;
        };
        next.digest_at = Some(now);
        for sink in sinks {
            // A digest that is already pending is sent with the latest content.
            next.pending_digests
                .entry((*sink).to_owned())
                .or_insert(kind);
        }
        next
    }

    /// Whether the account was swept after `sent_at` and has no pending digests.
    #[must_use]
    pub fn is_swept_since(&self, sent_at: Option<Timestamp>) -> bool {
        let is_later = |sent_at| self.swept_at.is_some_and(|swept_at| swept_at > sent_at);
        self.pending_digests.is_empty() && sent_at.is_some_and(is_later)
    }

    /// The record after the digest was delivered to `sink`.
    #[must_use]
    pub fn with_digest_delivered(&self, sink: &str) -> Self {
        let mut next = self.clone();
        next.version += 1;
        next.pending_digests.remove(sink);
        next
    }

    fn is_reminder_due(
        &self,
        open: &[&Finding],
        policy: &Policy,
        remind_every: TimeDelta,
        now: Timestamp,
    ) -> bool {
        open.iter().any(|finding| {
            // If the window ended before the detection, the opening reported it.
            let over_at = finding.window_ends_at(policy.rotation_window);
            let over_at = over_at.max(finding.detected_at);
            let Some(digest_at) = self.digest_at else {
                return now - over_at >= remind_every;
            };
            // There was no separate alert for the end of such a finding's window.
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
        let swept = SweepResult {
            open,
            refused: None,
        };
        let (policy, day) = (Policy::default(), TimeDelta::days(1));
        record.after_sweep(&swept, &policy, day, &["sns", "bus"], at(now))
    }

    fn told(mut record: AccountRecord) -> AccountRecord {
        for sink in ["sns", "bus"] {
            record = record.with_digest_delivered(sink);
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
        assert_eq!(first.pending_digests["sns"], DigestKind::Baseline);
    }

    #[test]
    fn window_that_ended_before_detection_is_no_immediate_reminder() {
        let swept = told(after(&AccountRecord::new("1"), &[], 0));
        let old = Finding {
            opened_at: at(-790 * DAY),
            detected_at: at(100),
            ..finding(FoundBy::Sweep, 0)
        };
        let open = [old];
        assert!(after(&swept, &open, 100).pending_digests.is_empty());
        let next_day = after(&swept, &open, 100 + DAY);
        assert_eq!(next_day.pending_digests["sns"], DigestKind::Reminder);
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
    fn first_sweep_with_findings_is_announced_once() {
        let new = AccountRecord::new("1");
        let found = [finding(FoundBy::Baseline, 0)];
        let first = after(&new, &found, 0);
        assert_eq!(first.pending_digests.len(), 2);
        assert_eq!(first.pending_digests["sns"], DigestKind::Baseline);
        assert_eq!(after(&told(first), &found, 3_600).pending_digests.len(), 0);
        assert_eq!(after(&new, &[], 0).pending_digests.len(), 0);
    }

    #[test]
    fn next_sweep_announces_what_a_dead_first_sweep_found() {
        let found = [finding(FoundBy::Baseline, 0)];
        let empty = after(&AccountRecord::new("1"), &[], 5);
        assert_eq!(empty.pending_digests.len(), 0);
        assert_eq!(
            after(&empty, &found, 3_600).pending_digests["sns"],
            DigestKind::Baseline
        );
    }

    #[test]
    fn undelivered_alert_stays_pending() {
        let found = [finding(FoundBy::Baseline, 0)];
        let first = after(&AccountRecord::new("1"), &found, 0).with_digest_delivered("bus");
        let second = after(&first, &found, 3_600);
        assert_eq!(second.pending_digests["sns"], DigestKind::Baseline);
        assert_eq!(second.pending_digests.len(), 1);
    }

    #[test]
    fn window_end_of_first_sweep_findings_goes_into_a_digest() {
        let found = [finding(FoundBy::Baseline, 0)];
        let first = told(after(&AccountRecord::new("1"), &found, 0));
        assert_eq!(after(&first, &found, DAY - 1).pending_digests.len(), 0);
        let second = after(&first, &found, DAY + 5);
        assert_eq!(second.pending_digests["sns"], DigestKind::Reminder);
        let third = after(&told(second), &found, DAY + 3_605);
        assert_eq!(third.pending_digests.len(), 0, "at most daily");
    }

    #[test]
    fn a_reminder_comes_a_day_after_the_window_and_then_daily() {
        let open = [finding(FoundBy::Event, 0)];
        let mut record = after(&AccountRecord::new("1"), &[], 0);
        let mut reminded = vec![];
        for hour in 0..110 {
            record = after(&record, &open, hour * 3_600);
            if !record.pending_digests.is_empty() {
                reminded.push(hour);
            }
            record = told(record);
        }
        assert_eq!(reminded, [48, 72, 96]);
    }

    #[test]
    fn suppressed_findings_lead_to_no_reminder() {
        let mut hidden = finding(FoundBy::Event, 0);
        hidden.status = FindingStatus::Suppressed;
        let record = after(&AccountRecord::new("1"), &[], 0);
        assert_eq!(after(&record, &[hidden], 9 * DAY).pending_digests.len(), 0);
    }

    #[test]
    fn unreachable_account_keeps_its_first_sweep_for_later() {
        let swept = SweepResult {
            open: &[],
            refused: Some("AccessDenied"),
        };
        let (policy, day) = (Policy::default(), TimeDelta::days(1));
        let refused =
            |record: &AccountRecord, now| record.after_sweep(&swept, &policy, day, &[], at(now));
        let once = refused(&AccountRecord::new("1"), 10);
        let twice = refused(&once, 20);
        assert_eq!(twice.unreachable.as_ref().unwrap().since, at(10));
        assert_eq!((twice.swept_at, twice.baseline_at), (None, None));
        let well_again = after(&twice, &[finding(FoundBy::Baseline, 25)], 30);
        assert_eq!(well_again.unreachable, None);
        assert_eq!(well_again.pending_digests["sns"], DigestKind::Baseline);
    }
}
