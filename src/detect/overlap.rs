//! Which keys were active beside another one without a finding to name them: a key may be made and deleted before anybody
//! has looked, and what it signed meanwhile may outlive it.

use std::collections::BTreeSet;

use crate::detect::Timestamp;
use crate::detect::evidence::{Activity, KeyEvidence, UserState};
use crate::detect::finding::Finding;
use crate::detect::listing::{Answer, KeyStatus};
use crate::detect::situation::Seen;
use crate::detect::view::is_in_a_slot;

/// A key that became active, and is not any more or was beside one that is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Overlap {
    /// The key.
    pub(super) key: String,
    /// The other key, which was active then; none where the keys could not be listed, and any may have been.
    pub(super) beside: Option<String>,
}

/// From when until when a key is known to have been active without interruption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    from: Timestamp,
    /// None while it is active.
    until: Option<Timestamp>,
}

impl Seen<'_> {
    /// The keys that became active beside another one, that no finding has named, where one of the two is over.
    pub(super) fn overlaps(&self) -> Vec<Overlap> {
        if self.situation.is_history {
            return vec![];
        }
        let others: BTreeSet<&String> = self
            .view
            .keys
            .keys()
            .chain(self.evidence.keys.keys())
            .collect();
        // What an open finding says of a key that is still active has been told.
        let open = self.situation.record.open_finding();
        let is_told = |key: &str| {
            let is_named = |open: &Finding| open.active_keys().any(|named| named == key);
            self.view.status(key) == KeyStatus::Active && open.is_some_and(is_named)
        };
        let keys = self.evidence.keys.iter();
        let keys = keys.filter(|(key, _)| !is_told(key));
        keys.filter_map(|(key, known)| {
            let own: Vec<Span> = self.unreported_spans(key, known);
            let meets = |other: &Span| {
                // Two that are active are seen without this.
                let is_over = |one: &Span| one.until.is_some() || other.until.is_some();
                own.iter().any(|one| is_over(one) && one.meets(*other))
            };
            let mut others = others.iter().filter(|other| **other != key);
            let beside = others.find(|other| self.spans(other).iter().any(meets));
            let is_blind_news = || {
                let is_brief = own.iter().any(|one| one.until.is_some());
                let is_unseen = || own.iter().any(|one| self.is_unseen(*one));
                self.is_blind() && is_brief && (is_unseen() || self.may_be_beside(key))
            };
            (beside.is_some() || is_blind_news()).then(|| Overlap {
                key: key.clone(),
                beside: beside.map(|beside| (*beside).clone()),
            })
        })
        .collect()
    }

    /// When `key` was active by activations that no finding has named. One that may have changed nothing shows nothing new.
    fn unreported_spans(&self, key: &str, known: &KeyEvidence) -> Vec<Span> {
        let is_elsewhere = self.is_renamed();
        // A report names slots, so only events tell that a key is no longer active.
        let is_report = matches!(self.situation.listing.answer(), Answer::Report { .. });
        let in_slot = is_report && is_in_a_slot(known, self.situation.listing);
        let news = known.activities().into_iter().filter(|activity| {
            let is_over = activity.ended.is_some();
            let is_open = !is_over && (is_elsewhere || is_report);
            let began = activity.began.as_ref();
            !is_open
                && !in_slot
                && began.is_some_and(|began| began.is_proven() && known.is_unreported(began))
        });
        news.map(|activity| self.span(key, &activity)).collect()
    }

    /// Whether the last listing cannot have shown whether the key was alone: it is over, and began after that.
    fn is_unseen(&self, span: Span) -> bool {
        let last = self.situation.record.last_listing.as_ref();
        span.until.is_some()
            && last.is_none_or(|last| span.from > last.requested_at - self.policy.settle)
    }

    /// Whether the last listing showed another key as active of which no event tells since when.
    fn may_be_beside(&self, key: &str) -> bool {
        let last = self.situation.record.last_listing.iter();
        let mut listed = last.flat_map(|last| &last.keys);
        listed.any(|(other, status)| {
            let known = self.evidence.keys.get(other);
            let began = known.and_then(KeyEvidence::activation);
            other != key && *status == KeyStatus::Active && began.is_none()
        })
    }

    /// Each time for which `key` was active, as far as events and listings show.
    fn spans(&self, key: &str) -> Vec<Span> {
        let is_active = self.view.status(key) == KeyStatus::Active;
        let known = self.evidence.keys.get(key);
        let activities = known.map_or_else(Vec::new, KeyEvidence::activities);
        let is_told = activities.last().is_some_and(|last| last.ended.is_none());
        let mut spans: Vec<Span> = activities
            .iter()
            .map(|activity| self.span(key, activity))
            .collect();
        if is_active && !is_told {
            // No event told that it became so: active from the beginning, unless an event says that it was not.
            let seen_at = self.situation.listing.requested_at();
            let since = self.active_since(key).filter(|_| activities.is_empty());
            spans.push(Span {
                from: since.unwrap_or(seen_at),
                until: None,
            });
        }
        spans
    }

    fn span(&self, key: &str, activity: &Activity) -> Span {
        let is_active = self.view.status(key) == KeyStatus::Active;
        let end = activity.ended.as_ref().map(|end| end.at);
        let began = activity.began.as_ref().map(|began| began.at);
        let seen_at = self.situation.listing.requested_at();
        let from = began
            .or_else(|| self.active_since(key))
            .or(end)
            .unwrap_or(seen_at);
        // Where its end is not known it was active when it was last seen.
        let last_seen = self.last_listed_active(key).map_or(from, |at| at.max(from));
        Span {
            from,
            until: end.or((!is_active).then_some(last_seen)),
        }
    }

    /// Whether the user has another name now. Its keys went along, and are looked at there.
    fn is_renamed(&self) -> bool {
        let user = self.evidence.user.as_ref();
        user.is_some_and(|user| matches!(user.state, Some(UserState::RenamedTo(_))))
    }

    /// The earliest time at which `key` is known to have been active without an event: it is born active, and listings show it.
    fn active_since(&self, key: &str) -> Option<Timestamp> {
        let created = self.view.keys.get(key).and_then(|key| key.created);
        let before = self.evidence.keys.get(key).and_then(|known| known.before);
        let before = before
            .filter(|before| before.status == KeyStatus::Active)
            .map(|before| before.at);
        let listed = self.last_listed_active(key);
        created.into_iter().chain(before).chain(listed).min()
    }

    /// When the last listing showed `key` as active.
    fn last_listed_active(&self, key: &str) -> Option<Timestamp> {
        let last = self.situation.record.last_listing.as_ref()?;
        let is_active = last.keys.get(key) == Some(&KeyStatus::Active);
        is_active.then_some(last.requested_at)
    }
}

impl Span {
    /// Whether both were active at one moment. A span of no length is that of a key whose end is not known, or that
    /// became active and ended within one second.
    fn meets(self, other: Self) -> bool {
        let ends_before = |at: Option<Timestamp>, from: Timestamp| at.is_some_and(|at| at <= from);
        if self.until == Some(self.from) {
            return other.from <= self.from && !ends_before(other.until, self.from);
        }
        if other.until == Some(other.from) {
            return self.from <= other.from && !ends_before(self.until, other.from);
        }
        !ends_before(self.until, other.from) && !ends_before(other.until, self.from)
    }
}
