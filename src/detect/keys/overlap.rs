//! Which keys were active at the same time as another one without being in a finding. A key may be
//! created and deleted before the first check, and what it signed may outlive it.

use std::collections::BTreeSet;

use crate::detect::Timestamp;
use crate::detect::decision::situation::Assessment;
use crate::detect::findings::finding::Finding;
use crate::detect::keys::evidence::{ActivePeriod, KeyEvidence, UserState};
use crate::detect::keys::listing::{KeyStatus, ListingAnswer};
use crate::detect::keys::view::is_in_report_slot;

/// Two keys that were active together, at least one of which no longer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::detect) struct Overlap {
    /// The key that became active.
    pub(in crate::detect) key: String,
    /// The other active key; `None` if the keys could not be listed, so that it could be any.
    pub(in crate::detect) other_key: Option<String>,
}

/// A time span during which a key was continuously active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    from: Timestamp,
    /// `None` while it is active.
    until: Option<Timestamp>,
}

impl Assessment<'_> {
    /// The keys that became active beside another one and are in no finding, if one of the two has
    /// ended.
    pub(in crate::detect) fn overlaps(&self) -> Vec<Overlap> {
        if self.situation.is_history {
            return vec![];
        }
        let others: BTreeSet<&String> = self
            .view
            .keys
            .keys()
            .chain(self.evidence.keys.keys())
            .collect();
        // An open finding has already announced the keys that are still active.
        let open = self.situation.record.open_finding();
        let is_announced = |key: &str| {
            let is_named = |open: &Finding| open.active_keys().any(|named| named == key);
            self.view.status(key) == KeyStatus::Active && open.is_some_and(is_named)
        };
        let keys = self.evidence.keys.iter();
        let keys = keys.filter(|(key, _)| !is_announced(key));
        keys.filter_map(|(key, known)| {
            let own: Vec<Span> = self.unannounced_spans(key, known);
            let meets = |other: &Span| {
                // Two keys that are still active are visible without this.
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
                other_key: beside.map(|beside| (*beside).clone()),
            })
        })
        .collect()
    }

    /// The time spans during which `key` was active by unannounced activations. An activation that
    /// may have changed nothing is not news.
    fn unannounced_spans(&self, key: &str, known: &KeyEvidence) -> Vec<Span> {
        let is_elsewhere = self.is_renamed();
        // A report does not name key ids, so only events show that a key is no longer active.
        let is_report = matches!(
            self.situation.listing.answer(),
            ListingAnswer::Report { .. }
        );
        let in_slot = is_report && is_in_report_slot(known, self.situation.listing);
        let news = known.active_periods().into_iter().filter(|period| {
            let is_over = period.ended.is_some();
            let is_open = !is_over && (is_elsewhere || is_report);
            let began = period.began.as_ref();
            !is_open
                && !in_slot
                && began.is_some_and(|began| began.is_proven() && known.is_unannounced(began))
        });
        news.map(|period| self.span(key, &period)).collect()
    }

    /// Whether the last listing cannot show if the key was alone: the span began after it, and has
    /// ended.
    fn is_unseen(&self, span: Span) -> bool {
        let last = self.situation.record.last_listing.as_ref();
        span.until.is_some()
            && last
                .is_none_or(|last| span.from > last.requested_at - self.policy.consistency_window)
    }

    /// Whether the last listing showed another active key whose activation time is unknown.
    fn may_be_beside(&self, key: &str) -> bool {
        let last = self.situation.record.last_listing.iter();
        let mut listed = last.flat_map(|last| &last.keys);
        listed.any(|(other, status)| {
            let known = self.evidence.keys.get(other);
            let began = known.and_then(KeyEvidence::activation);
            other != key && *status == KeyStatus::Active && began.is_none()
        })
    }

    /// The known time spans during which `key` was active.
    fn spans(&self, key: &str) -> Vec<Span> {
        let is_active = self.view.status(key) == KeyStatus::Active;
        let known = self.evidence.keys.get(key);
        let periods = known.map_or_else(Vec::new, KeyEvidence::active_periods);
        let has_open_period = periods.last().is_some_and(|last| last.ended.is_none());
        let mut spans: Vec<Span> = periods
            .iter()
            .map(|period| self.span(key, period))
            .collect();
        if is_active && !has_open_period {
            // The activation event is unknown: the key was active from the start, unless an event
            // says otherwise.
            let seen_at = self.situation.listing.requested_at();
            let since = self.active_since(key).filter(|_| periods.is_empty());
            spans.push(Span {
                from: since.unwrap_or(seen_at),
                until: None,
            });
        }
        spans
    }

    fn span(&self, key: &str, period: &ActivePeriod) -> Span {
        let is_active = self.view.status(key) == KeyStatus::Active;
        let end = period.ended.as_ref().map(|end| end.at);
        let began = period.began.as_ref().map(|began| began.at);
        let seen_at = self.situation.listing.requested_at();
        let from = began
            .or_else(|| self.active_since(key))
            .or(end)
            .unwrap_or(seen_at);
        // If the end is unknown, the key was active until it was last seen.
        let last_seen = self.last_listed_active(key).map_or(from, |at| at.max(from));
        Span {
            from,
            until: end.or((!is_active).then_some(last_seen)),
        }
    }

    /// Whether the user has been renamed. Its keys are checked under the new name.
    fn is_renamed(&self) -> bool {
        let user = self.evidence.user.as_ref();
        user.is_some_and(|user| matches!(user.state, Some(UserState::RenamedTo(_))))
    }

    /// The earliest time at which `key` is known to have been active without an event: its creation
    /// or a listing.
    fn active_since(&self, key: &str) -> Option<Timestamp> {
        let created = self.view.keys.get(key).and_then(|key| key.created);
        let before = self.evidence.keys.get(key).and_then(|known| known.prior);
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
    /// Whether both keys were active at the same moment. A span of length zero belongs to a key
    /// whose end is unknown, or that became active and ended within one second.
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
