//! Which keys were active beside another one without a finding to name them: a key may be made and deleted before anybody
//! has looked, and what it signed meanwhile may outlive it.

use crate::detect::Timestamp;
use crate::detect::evidence::{Activation, KeyEvidence, UserState};
use crate::detect::listing::{Answer, KeyStatus};
use crate::detect::situation::Seen;
use crate::detect::view::is_in_a_slot;

/// A key that became active beside another one, where both are not active any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Overlap {
    /// The key.
    pub(super) key: String,
    /// What made it active.
    pub(super) activation: Activation,
    /// The other key, which was active then.
    pub(super) beside: String,
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
        let keys = self.evidence.keys.iter();
        let is_active = |key: &String| self.view.status(key) == KeyStatus::Active;
        keys.filter_map(|(key, known)| {
            let activation = known.unreported_activation()?;
            // One that may have changed nothing shows nothing new; and a report names slots, so only events tell
            // that a key is no longer active.
            let is_over = !self.is_of_report() || (known.end().is_some() && !self.has_slot(known));
            let is_elsewhere = known.end().is_none() && self.is_renamed();
            (activation.is_proven() && is_over && !is_elsewhere).then_some(())?;
            let own = self.span(key)?;
            let mut others = self.view.keys.keys().chain(self.evidence.keys.keys());
            let beside = others.find(|other| {
                *other != key
                        // Two that are active are seen without this.
                        && !(is_active(key) && is_active(other))
                        && self.span(other).is_some_and(|other| own.meets(other))
            })?;
            Some(Overlap {
                key: key.clone(),
                beside: beside.clone(),
                activation,
            })
        })
        .collect()
    }

    fn is_of_report(&self) -> bool {
        matches!(self.situation.listing.answer(), Answer::Report { .. })
    }

    /// Whether the user has another name now. Its keys went along, and are looked at there.
    fn is_renamed(&self) -> bool {
        let user = self.evidence.user.as_ref();
        user.is_some_and(|user| matches!(user.state, Some(UserState::RenamedTo(_))))
    }

    fn has_slot(&self, known: &KeyEvidence) -> bool {
        is_in_a_slot(known, self.situation.listing)
    }

    /// When `key` was active for the last time, as far as events and listings show.
    fn span(&self, key: &str) -> Option<Span> {
        let known = self.evidence.keys.get(key);
        let is_active = self.view.status(key) == KeyStatus::Active;
        let end = known.and_then(KeyEvidence::end).map(|end| end.at);
        let listed = self.listed_active(key);
        if let Some(activation) = known.and_then(KeyEvidence::activation) {
            let from = activation.at;
            let last_seen = listed.into_iter().chain([from]).max();
            let until = end.or(last_seen.filter(|_| !is_active));
            return Some(Span { from, until });
        }
        // Active from the beginning, as far as is known: no event told that it became so.
        let until = end.filter(|_| !is_active);
        if until.is_none() && !is_active {
            return None;
        }
        let created = self.view.keys.get(key).and_then(|key| key.created);
        let from = created.into_iter().chain(listed).min();
        let seen_at = self.situation.listing.requested_at();
        Some(Span {
            from: from.or(until).unwrap_or(seen_at),
            until,
        })
    }

    /// When the last listing, or what is known from before the events, showed `key` as active.
    fn listed_active(&self, key: &str) -> Option<Timestamp> {
        let last = self.situation.record.last_listing.as_ref();
        let listed = last
            .filter(|last| last.keys.get(key) == Some(&KeyStatus::Active))
            .map(|last| last.requested_at);
        let before = self.evidence.keys.get(key).and_then(|known| known.before);
        let before = before
            .filter(|before| before.status == KeyStatus::Active)
            .map(|before| before.at);
        listed.into_iter().chain(before).min()
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
