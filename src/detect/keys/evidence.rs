//! What events say about a user's keys. It is part of the user's record.
//!
//! Per key, the record keeps all events that can still matter. Everything else is derived from
//! them: the latest status, what made the key active, what ended that. So the result does not
//! depend on the order or number of deliveries. Events of the same second that contradict each
//! other cancel out, because `CloudTrail` times have whole seconds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::events::actor::Actor;
use crate::detect::events::key_change::{ChangeKind, KeyChange};
use crate::detect::events::leak::{self, Leak};
use crate::detect::keys::listing::KeyStatus;
use crate::detect::user::UserId;

/// For how many unlisted keys evidence is kept. With every text at its maximum length, the record
/// stays below DynamoDB's limit of 400 KB per item.
pub(crate) const MAX_UNLISTED: usize = 3;

/// For how many keys the latest use is kept. A user has at most two keys at a time.
pub(crate) const MAX_USES: usize = 4;

/// How many events are kept per key.
pub(crate) const MAX_KEY_EVENTS: usize = 6;

/// What events say about one user.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// By key id.
    pub keys: BTreeMap<String, KeyEvidence>,
    /// About the user itself.
    pub user: Option<UserEvidence>,
    /// The reports that a key of the user leaked, earliest first.
    pub leaks: Vec<Leak>,
    /// When each key last signed a key change of its own user, by key id. The key was active then.
    pub uses: BTreeMap<String, Timestamp>,
}

/// What events say about one key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyEvidence {
    /// The events in order of time; never empty in a record.
    pub events: Vec<KeyEvent>,
    /// The status before the first event, if known.
    pub prior: Option<PriorStatus>,
    /// The time of the latest activation that a finding has named.
    pub announced: Option<Timestamp>,
    /// The status after a second in which the key was both activated and deactivated, as a listing
    /// showed it.
    pub status_after_conflict: Option<PriorStatus>,
}

/// What one event said about a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyEvent {
    /// When.
    pub at: Timestamp,
    /// The key's status from then on.
    pub status: KeyStatus,
    /// Whether the event created the key.
    pub created: bool,
    /// Who did it.
    pub by: EventOrigin,
}

/// A key's status at a time without a kept event, from a listing or a pruned event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PriorStatus {
    /// When.
    pub at: Timestamp,
    /// The status.
    pub status: KeyStatus,
}

/// An event that made a key active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activation {
    /// When.
    pub at: Timestamp,
    /// Whether the event created the key; otherwise it reactivated it.
    pub created: bool,
    /// Who did it.
    pub by: EventOrigin,
    /// Since when the key had been inactive, if an event or a listing showed that.
    pub inactive_since: Option<Timestamp>,
}

impl Activation {
    /// Whether the event is known to have changed something. An `UpdateAccessKey` to `Active` is
    /// not if nothing is known of the key before it: the key may have been active all along.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.created || self.inactive_since.is_some()
    }
}

/// An event that deactivated or deleted a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// When.
    pub at: Timestamp,
    /// Inactive or gone.
    pub status: KeyStatus,
    /// Who did it.
    pub by: EventOrigin,
}

/// A period during which a key was active.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActivePeriod {
    /// What began it, if an event is known.
    pub began: Option<Activation>,
    /// What ended it, if it ended.
    pub ended: Option<Removal>,
}

impl KeyEvent {
    fn removal(&self) -> Removal {
        Removal {
            at: self.at,
            status: self.status,
            by: self.by.clone(),
        }
    }
}

/// The source of a piece of evidence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventOrigin {
    /// CloudTrail's `eventID`, if the record had one.
    pub event_id: Option<String>,
    /// Who made the change. Shared, because the record is copied at each check and actors are most
    /// of it.
    pub actor: Arc<Actor>,
}

/// What events say about the user itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserEvidence {
    /// The user's state; `None` if events of the same second contradict each other.
    pub state: Option<UserState>,
    /// The time of the latest event.
    pub at: Timestamp,
    /// Who did it.
    pub by: EventOrigin,
}

/// What happened to a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserState {
    /// The user existed at the time.
    Exists,
    /// The user existed when one of its keys was deleted. If the user was deleted or renamed in the
    /// same second, that happened later: IAM does not delete a user that has keys.
    KeyDeleted,
    /// The user was deleted.
    Deleted,
    /// The user was renamed; this name is free.
    RenamedTo(UserId),
}

impl UserEvidence {
    /// Whether the user was gone under this name.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(
            self.state,
            Some(UserState::Deleted | UserState::RenamedTo(_))
        )
    }
}

impl Evidence {
    /// This evidence on `user` with that of `change` added.
    #[must_use]
    pub fn with_change(mut self, user: &UserId, change: &KeyChange) -> Self {
        if let Some(leak) = Leak::of(change) {
            // A leak report says nothing about a key's status, and a late one nothing about the
            // user.
            leak::add(&mut self.leaks, leak);
            return self;
        }
        let source = EventOrigin {
            event_id: change.event_id.clone(),
            actor: Arc::new(change.actor.clone()),
        };
        let state = match &change.kind {
            ChangeKind::UserDeleted => UserState::Deleted,
            ChangeKind::UserRenamed { to, .. } if to != user => UserState::RenamedTo(to.clone()),
            ChangeKind::KeyDeleted { .. } => UserState::KeyDeleted,
            _ => UserState::Exists,
        };
        if let Some((key, status)) = change.key_status() {
            let event = KeyEvent {
                at: change.at,
                status,
                created: matches!(change.kind, ChangeKind::KeyCreated { .. }),
                by: source.clone(),
            };
            self.keys.entry(key.to_owned()).or_default().add(event);
        }
        self.user = Some(merged_user(self.user, state, change.at, source));
        if let Some((signer, key)) = change.actor.long_term_key()
            && signer == change.user
        {
            self.record_use(key, change.at);
        }
        self
    }

    /// Records that `key` signed a call at `at`.
    pub(in crate::detect) fn record_use(&mut self, key: &str, at: Timestamp) {
        let used_at = self.uses.entry(key.to_owned()).or_insert(at);
        *used_at = at.max(*used_at);
    }

    /// Removes what can no longer matter. An actor who creates and deletes keys in a loop would
    /// fill the record otherwise.
    ///
    /// - Unlisted keys: the newest [`MAX_UNLISTED`] stay, keys that may exist before keys that are
    ///   gone. None stays longer than `keep_for`, unless an open finding names it.
    /// - Events: [`MAX_KEY_EVENTS`] per key.
    /// - Uses: the latest of [`MAX_USES`] keys, for `keep_for`.
    #[must_use]
    pub fn pruned(
        mut self,
        is_listed: impl Fn(&str) -> bool,
        is_named: impl Fn(&str) -> bool,
        now: Timestamp,
        keep_for: TimeDelta,
    ) -> Self {
        let mut unlisted: Vec<(bool, Timestamp, String)> = self
            .keys
            .iter()
            .filter(|(key, known)| {
                !is_listed(key) && (is_named(key) || now - known.at() < keep_for)
            })
            .map(|(key, known)| {
                let may_exist = known.status() != Some(KeyStatus::Gone);
                (may_exist, known.at(), key.clone())
            })
            .collect();
        unlisted.sort();
        let kept: BTreeSet<String> = unlisted
            .into_iter()
            .rev()
            .take(MAX_UNLISTED)
            .map(|(_, _, key)| key)
            .collect();
        self.keys
            .retain(|key, _| is_listed(key) || kept.contains(key));
        for known in self.keys.values_mut() {
            known.prune_events();
        }
        self.uses.retain(|_, used_at| now - *used_at < keep_for);
        while self.uses.len() > MAX_USES {
            let oldest = self.uses.iter().min_by_key(|(key, at)| (**at, *key));
            let Some((oldest, _)) = oldest.map(|(key, at)| (key.clone(), *at)) else {
                break;
            };
            self.uses.remove(&oldest);
        }
        self
    }
}

impl KeyChange {
    /// Whether this change created `key`.
    #[must_use]
    pub fn creates(&self, key: &str) -> bool {
        matches!(&self.kind, ChangeKind::KeyCreated { key: made, .. } if made == key)
    }

    /// The key that the change is about, and its new status.
    #[must_use]
    pub fn key_status(&self) -> Option<(&str, KeyStatus)> {
        match &self.kind {
            ChangeKind::KeyCreated { key, status } | ChangeKind::KeyUpdated { key, status } => {
                Some((key, *status))
            }
            ChangeKind::KeyDeleted { key } => Some((key, KeyStatus::Gone)),
            ChangeKind::UserDeleted
            | ChangeKind::UserRenamed { .. }
            | ChangeKind::KeyLeaked { .. } => None,
        }
    }
}

impl KeyEvidence {
    /// The time of the latest event.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.events
            .last()
            .map_or(Timestamp::MIN_UTC, |latest| latest.at)
    }

    /// The latest status; `None` if events of the same second contradict each other.
    #[must_use]
    pub fn status(&self) -> Option<KeyStatus> {
        let latest = self.events.last()?;
        let mut of_that_second = self.events.iter().rev();
        of_that_second
            .by_ref()
            .take_while(|event| event.at == latest.at)
            .all(|event| event.status == latest.status)
            .then_some(latest.status)
    }

    /// What last made the key active, if known. An update to `Active` of a key that was active
    /// already does not count: its actor would replace the one who really made the key active.
    #[must_use]
    pub fn activation(&self) -> Option<Activation> {
        self.active_periods().pop()?.began
    }

    /// The earliest event after that activation that ended it.
    #[must_use]
    pub fn end(&self) -> Option<Removal> {
        match self.active_periods().pop() {
            Some(period) => period.ended,
            // Whatever the status was before, the key was not active afterwards.
            None => self
                .events_in_order()
                .first()
                .map(|(event, _)| event.removal()),
        }
    }

    /// The known periods during which the key was active, latest last.
    #[must_use]
    pub fn active_periods(&self) -> Vec<ActivePeriod> {
        let before = self.prior_status();
        let mut status = before.map(|before| before.status);
        // An update cannot create a key: if the key was gone, a creation event is missing.
        let mut inactive_since = before
            .filter(|before| before.status == KeyStatus::Inactive)
            .map(|before| before.at);
        let mut periods = Vec::new();
        if status == Some(KeyStatus::Active) {
            periods.push(ActivePeriod::default());
        }
        let mut unknown_since = None;
        for (event, has_place) in self.events_in_order() {
            if unknown_since.is_some_and(|second| second < event.at) {
                (status, inactive_since) = (None, None);
            }
            unknown_since = Some(event.at).filter(|_| !has_place);
            let is_active = event.status == KeyStatus::Active;
            if is_active && (status != Some(KeyStatus::Active) || event.created) {
                periods.push(ActivePeriod {
                    began: Some(Activation {
                        at: event.at,
                        created: event.created,
                        by: event.by.clone(),
                        // The order of events within a second is unknown.
                        inactive_since: inactive_since
                            .filter(|since| !event.created && *since < event.at),
                    }),
                    ended: None,
                });
                inactive_since = None;
            } else if !is_active {
                inactive_since = inactive_since.or(Some(event.at).filter(|_| has_place));
                match periods.last_mut() {
                    Some(period) if period.ended.is_none() => {
                        period.ended = Some(event.removal());
                    }
                    None if status.is_none() => periods.push(ActivePeriod {
                        began: None,
                        ended: Some(event.removal()),
                    }),
                    _ => {}
                }
            }
            status = Some(event.status);
        }
        periods
    }

    /// Whether no finding has named `activation` or a later one.
    #[must_use]
    pub fn is_unannounced(&self, activation: &Activation) -> bool {
        self.announced.is_none_or(|named| named < activation.at)
    }

    /// The latest activation, if no finding has named it.
    #[must_use]
    pub fn unannounced_activation(&self) -> Option<Activation> {
        self.activation()
            .filter(|activation| self.is_unannounced(activation))
    }

    /// Records that a finding names the key as it is.
    pub fn mark_announced(&mut self) {
        let activation = self.activation().map(|activation| activation.at);
        self.announced = self.announced.max(activation);
    }

    /// The status before the first event. An earlier event may have arrived since.
    fn prior_status(&self) -> Option<PriorStatus> {
        let first = self.events.first()?;
        self.prior.filter(|before| before.at < first.at)
    }

    /// The events in a possible order, each with whether its place is certain. Events of the same
    /// second get an order that IAM allows: creation first, deletion last, and a change before what
    /// undoes it. A call that changes nothing may be among them, so only a listing shows the order
    /// of an activation and a deactivation.
    fn events_in_order(&self) -> Vec<(&KeyEvent, bool)> {
        let mut ordered: Vec<(&KeyEvent, bool)> = Vec::with_capacity(self.events.len());
        let mut before = self.prior_status().map(|before| before.status);
        for second in self.events.chunk_by(|one, other| one.at == other.at) {
            // A new key is active.
            let is_born = second.iter().any(|event| event.created);
            let settled = self.listed_status_after(second);
            let last = settled.or(if is_born {
                Some(KeyStatus::Active)
            } else {
                before
            });
            let rank = |event: &&KeyEvent| match event.status {
                _ if event.created => 0,
                KeyStatus::Gone => 3,
                status if Some(status) == last => 2,
                _ => 1,
            };
            let has_order = settled.is_some() || !has_opposites(second);
            let mut second: Vec<&KeyEvent> = second.iter().collect();
            second.sort_by_key(rank);
            let last = second.last().map(|event| event.status);
            before = last.filter(|status| has_order || *status == KeyStatus::Gone);
            ordered.extend(second.into_iter().map(|event| (event, has_order)));
        }
        ordered
    }

    fn listed_status_after(&self, second: &[KeyEvent]) -> Option<KeyStatus> {
        let at = second.first()?.at;
        let settled = self
            .status_after_conflict
            .filter(|settled| settled.at == at)?;
        Some(settled.status)
    }

    /// Inserts `event` at its place, once.
    pub(crate) fn add(&mut self, event: KeyEvent) {
        let order = |event: &KeyEvent| (event.at, !event.created, event.status, event.by.clone());
        if let Err(place) = self.events.binary_search_by_key(&order(&event), order) {
            self.events.insert(place, event);
        }
    }

    /// Adds evidence on the same key under a former name of its user.
    pub(in crate::detect) fn merge(&mut self, former: &Self) {
        for event in &former.events {
            self.add(event.clone());
        }
        if let Some(before) = former.prior {
            self.record_listed_status(before.at, before.status);
        }
        self.announced = self.announced.max(former.announced);
        self.status_after_conflict = self.status_after_conflict.or(former.status_after_conflict);
    }

    /// Records that a listing showed `status` at `at`, if that is before the first event.
    pub(in crate::detect) fn record_listed_status(&mut self, at: Timestamp, status: KeyStatus) {
        let is_before = self.events.first().is_some_and(|first| at < first.at);
        if is_before && self.prior_status().is_none_or(|before| before.at < at) {
            self.prior = Some(PriorStatus { at, status });
        }
    }

    /// Records that a listing showed `status` at `at`. This counts if it was requested
    /// `consistency_window` or more after a second in which the key was both activated and
    /// deactivated, and before the next event.
    pub(in crate::detect) fn record_listed_status_after(
        &mut self,
        at: Timestamp,
        status: KeyStatus,
        consistency_window: TimeDelta,
    ) {
        let seconds = self.events.chunk_by(|one, other| one.at == other.at);
        let latest = seconds
            .rev()
            .find(|second| second.first().is_some_and(|event| event.at <= at));
        if let Some(second) = latest
            && let Some(event) = second.first()
            && event.at + consistency_window <= at
            && has_opposites(second)
        {
            let at = event.at;
            self.status_after_conflict = Some(PriorStatus { at, status });
        }
    }

    /// Removes events beyond [`MAX_KEY_EVENTS`]: first those that changed nothing, then the oldest.
    fn prune_events(&mut self) {
        while self.events.len() > MAX_KEY_EVENTS {
            let latest_at = self.at();
            let changes_nothing = self.events.windows(2).position(|pair| match pair {
                [one, other] => {
                    let is_latest = other.at == latest_at && one.at < latest_at;
                    one.status == other.status && !other.created && !is_latest
                }
                _ => false,
            });
            if let Some(place) = changes_nothing {
                self.events.remove(place + 1);
            } else {
                let oldest = self.events.remove(0);
                self.prior = Some(PriorStatus {
                    at: oldest.at,
                    status: oldest.status,
                });
            }
        }
    }
}

/// Whether a key was both activated and deactivated in `second`, in any order.
fn has_opposites(second: &[KeyEvent]) -> bool {
    let switched = |status| {
        let mut events = second.iter().filter(|event| !event.created);
        events.any(|event| event.status == status)
    };
    switched(KeyStatus::Active) && switched(KeyStatus::Inactive)
}

fn merged_user(
    before: Option<UserEvidence>,
    state: UserState,
    at: Timestamp,
    by: EventOrigin,
) -> UserEvidence {
    match before {
        Some(known) if known.at > at => known,
        Some(known) if known.at == at && state == UserState::KeyDeleted => known,
        Some(known)
            if known.at == at
                && known.state != Some(UserState::KeyDeleted)
                && known.state.as_ref() != Some(&state) =>
        {
            UserEvidence {
                state: None,
                ..known
            }
        }
        _ => UserEvidence {
            state: Some(state),
            at,
            by,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{at, created, deleted, updated, user, user_deleted};

    fn merged(changes: &[KeyChange]) -> Evidence {
        changes
            .iter()
            .fold(Evidence::default(), |evidence, change| {
                evidence.with_change(&user(), change)
            })
    }

    #[test]
    fn the_latest_event_wins_in_any_order_and_number() {
        let one = created("K", 1);
        let two = updated("K", KeyStatus::Inactive, 2);
        let three = deleted("K", 3);
        let expected = merged(&[one.clone(), two.clone(), three.clone()]);
        for order in [
            [&three, &two, &one],
            [&two, &three, &one],
            [&two, &one, &three],
        ] {
            let evidence = merged(&order.map(Clone::clone));
            assert_eq!(evidence.keys["K"].status(), Some(KeyStatus::Gone));
            assert_eq!(evidence.keys["K"].at(), expected.keys["K"].at());
            assert_eq!(evidence.keys["K"].end().unwrap().at, at(2));
            assert_eq!(evidence.user, expected.user);
        }
        assert_eq!(
            merged(&[one.clone(), one.clone(), two.clone(), three, one, two]),
            expected
        );
    }

    #[test]
    fn contradicting_events_of_the_same_second_cancel_out() {
        let one = created("K", 1);
        let two = updated("K", KeyStatus::Inactive, 1);
        for order in [[&one, &two], [&two, &one]] {
            assert_eq!(merged(&order.map(Clone::clone)).keys["K"].status(), None);
        }
        assert_eq!(
            merged(&[created("K", 1), user_deleted(1)])
                .user
                .unwrap()
                .state,
            None
        );
    }

    #[test]
    fn contradicting_events_cancel_out_until_a_later_event() {
        let contradiction = [
            created("K", 1),
            updated("K", KeyStatus::Inactive, 1),
            created("K", 1),
        ];
        assert_eq!(merged(&contradiction).keys["K"].status(), None);
        let mut resolved = contradiction.to_vec();
        resolved.push(updated("K", KeyStatus::Active, 2));
        assert_eq!(
            merged(&resolved).keys["K"].status(),
            Some(KeyStatus::Active)
        );
    }

    #[test]
    fn a_reactivation_knows_since_when_the_key_was_inactive() {
        let evidence = merged(&[
            created("K", 1),
            updated("K", KeyStatus::Inactive, 5),
            updated("K", KeyStatus::Active, 9),
        ]);
        let activation = evidence.keys["K"].activation().unwrap();
        assert_eq!(activation.inactive_since, Some(at(5)));
        assert!(!activation.created);
        assert_eq!(evidence.keys["K"].end(), None);
    }

    /// Deactivated and activated within a second: no later event shows which came last.
    #[test]
    fn an_update_after_a_second_of_unknown_order_may_have_changed_nothing() {
        let second = [
            updated("K", KeyStatus::Inactive, 1),
            updated("K", KeyStatus::Active, 1),
        ];
        let again = updated("K", KeyStatus::Active, 9);
        let evidence = merged(&[&second[..], &[again]].concat());
        assert!(!evidence.keys["K"].activation().unwrap().is_proven());
        let off = updated("K", KeyStatus::Inactive, 5);
        let on = updated("K", KeyStatus::Active, 9);
        let evidence = merged(&[&second[..], &[off, on]].concat());
        assert!(evidence.keys["K"].activation().unwrap().is_proven());
    }

    #[test]
    fn listing_shows_the_order_within_a_second() {
        let consistency_window = TimeDelta::seconds(60);
        for (second, status, began) in [
            (61, KeyStatus::Active, Some(1)),
            (60, KeyStatus::Active, Some(9)),
            (61, KeyStatus::Inactive, Some(9)),
            (90, KeyStatus::Active, Some(9)),
        ] {
            let mut known = merged(&[
                updated("K", KeyStatus::Inactive, 1),
                updated("K", KeyStatus::Active, 1),
            ]);
            let known = known.keys.get_mut("K").unwrap();
            let again = merged(&[updated("K", KeyStatus::Active, 90)]);
            known.merge(&again.keys["K"]);
            known.record_listed_status_after(at(second), status, consistency_window);
            let began = began.map(|second| if second == 9 { at(90) } else { at(second) });
            assert_eq!(known.activation().map(|event| event.at), began, "{second}");
        }
    }

    #[test]
    fn endless_creations_and_deletions_do_not_fill_the_record() {
        let changes: Vec<KeyChange> = (0..200)
            .flat_map(|round| {
                let key = format!("K{round}");
                [created(&key, 2 * round), deleted(&key, 2 * round + 1)]
            })
            .chain([created("LISTED", 1), created("UNSEEN", 2)])
            .collect();
        let kept = merged(&changes).pruned(
            |key| key == "LISTED",
            |_| false,
            at(400),
            TimeDelta::days(1),
        );
        assert_eq!(kept.keys.len(), MAX_UNLISTED + 1);
        for key in ["LISTED", "UNSEEN", "K199"] {
            assert!(kept.keys.contains_key(key), "{key}");
        }
        let later = kept.pruned(
            |key| key == "LISTED",
            |_| false,
            at(399) + TimeDelta::days(1),
            TimeDelta::days(1),
        );
        assert_eq!(later.keys.len(), 1);
    }

    #[test]
    fn a_user_deleted_in_the_second_of_its_last_key_is_gone() {
        for order in [
            [deleted("K", 1), user_deleted(1)],
            [user_deleted(1), deleted("K", 1)],
        ] {
            assert!(merged(&order).user.unwrap().is_gone());
        }
    }

    #[test]
    fn the_user_is_gone_only_by_the_latest_event() {
        assert!(
            merged(&[created("K", 1), user_deleted(2)])
                .user
                .unwrap()
                .is_gone()
        );
        assert!(
            !merged(&[created("K", 3), user_deleted(2)])
                .user
                .unwrap()
                .is_gone()
        );
    }
}
