//! What to believe of a user's keys: the listing, overlaid with the evidence that is too fresh for a listing to have
//! seen for certain. IAM is eventually consistent, and two listings may go backwards.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::evidence::{Evidence, KeyEvidence, UserEvidence};
use crate::detect::key_change::{ChangeKind, KeyChange};
use crate::detect::listing::{Answer, KeyListing, KeyStatus};
use crate::detect::policy::Policy;
use crate::detect::user_record::UserRecord;

/// How far a report's time of a change and the event's may be apart.
const SAME_CHANGE: TimeDelta = TimeDelta::seconds(5);

/// What to believe of a user's keys, and whether a later listing may say otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The keys by id; those that are gone too, where something spoke of them.
    pub keys: BTreeMap<String, ViewedKey>,
    /// Why the view is not settled; empty if it is.
    pub unsettled: BTreeSet<Unsettled>,
}

/// One key of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewedKey {
    /// Its status, as far as to be believed.
    pub status: KeyStatus,
    /// When it was created, if a listing told.
    pub created: Option<Timestamp>,
}

/// Why a view is not settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unsettled {
    /// A fresh event says otherwise than the listing.
    ListingBehindEvents,
    /// Two events of one second contradict each other.
    EventsContradict,
    /// The listing differs from one shortly before, and no event explains it.
    ListingChangedUnexplained,
    /// IAM says that there is no such user, and no fresh event says that the user is gone.
    NoSuchUser,
    /// The keys cannot be listed.
    ListingRefused,
    /// The user was given this name so shortly before that a listing under it may be behind.
    JustRenamed,
}

impl Unsettled {
    /// The reason in words, as logs and metrics show it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::ListingBehindEvents => "listing behind events",
            Self::EventsContradict => "events of one second contradict each other",
            Self::ListingChangedUnexplained => "listing changed without an event",
            Self::NoSuchUser => "no such user, unexplained",
            Self::ListingRefused => "listing refused",
            Self::JustRenamed => "renamed just now",
        }
    }
}

impl View {
    /// The keys that are active in the view.
    pub fn active_keys(&self) -> impl Iterator<Item = &str> {
        self.keys
            .iter()
            .filter(|(_, key)| key.status == KeyStatus::Active)
            .map(|(id, _)| id.as_str())
    }

    /// Whether a second key is active.
    #[must_use]
    pub fn has_two_active(&self) -> bool {
        self.active_keys().nth(1).is_some()
    }

    /// The status of the key in the view; gone if nothing speaks of it.
    #[must_use]
    pub fn status(&self, key: &str) -> KeyStatus {
        self.keys.get(key).map_or(KeyStatus::Gone, |key| key.status)
    }

    fn believe(&mut self, key: &str, status: KeyStatus) {
        self.keys
            .entry(key.to_owned())
            .or_insert(ViewedKey {
                status,
                created: None,
            })
            .status = status;
    }
}

/// The view of a user, from the `listing`, the `evidence` (this re-check's events merged in) and what the `record`
/// keeps of the last listing. A change may stay unseen by a listing for `settle`.
#[must_use]
pub fn view(
    record: &UserRecord,
    evidence: &Evidence,
    listing: &KeyListing,
    settle: TimeDelta,
) -> View {
    let freshness = Freshness::of(record, listing, settle);
    let mut view = listed(record, listing);
    if matches!(listing.answer(), Answer::Refused { .. }) {
        view.unsettled.insert(Unsettled::ListingRefused);
    }
    overlay_user(&mut view, evidence, &freshness);
    overlay_keys(&mut view, evidence, listing, &freshness);
    match listing.answer() {
        Answer::Keys { .. } | Answer::NoSuchUser => {
            compare_with_last_listing(&mut view, record, evidence, listing, settle);
        }
        // Reports are hours apart and their slots have no ids; a refusal is no listing.
        Answer::Report { .. } | Answer::Refused { .. } => {}
    }
    if *listing.answer() == Answer::NoSuchUser
        && !no_such_user_is_settled(record, evidence, listing, settle, &freshness)
    {
        view.unsettled.insert(Unsettled::NoSuchUser);
    }
    view
}

/// Whether `change` is accounted for: by the listing, which shows what it did, or by later evidence.
/// One that is not makes the listing suspect, whatever the change's age.
#[must_use]
pub fn is_explained(change: &KeyChange, evidence: &Evidence, listing: &KeyListing) -> bool {
    let Some((key, status)) = change.key_status() else {
        let is_latest_end = evidence
            .user
            .as_ref()
            .is_some_and(|user| user.is_gone() && user.at == change.at);
        return !is_latest_end || listing.keys().next().is_none();
    };
    if matches!(listing.answer(), Answer::Report { .. }) {
        return listing.requested_at() > change.at;
    }
    let listed = listing
        .keys()
        .find(|(id, _)| *id == key)
        .map_or(KeyStatus::Gone, |(_, key)| key.status);
    let is_superseded = evidence
        .keys
        .get(key)
        .is_some_and(|later| later.at() > change.at)
        || evidence
            .user
            .as_ref()
            .is_some_and(|user| user.is_gone() && user.at > change.at);
    listed == status || is_superseded
}

/// Whether the user was given this name so shortly before the listing that it may be behind, or since when nothing could
/// be listed: under the new name stands neither evidence on the keys nor a last listing that would tell.
#[must_use]
pub fn is_just_renamed(
    record: &UserRecord,
    changes: &[KeyChange],
    evidence: &Evidence,
    listing: &KeyListing,
    settle: TimeDelta,
) -> bool {
    let renamed_now = changes.iter().any(|change| {
        matches!(&change.kind, ChangeKind::UserRenamed { to, .. } if *to == record.user && change.user != *to)
    });
    let is_behind = || {
        let user = evidence.user.as_ref();
        matches!(listing.answer(), Answer::Refused { .. })
            || user.is_some_and(|user| listing.requested_at() - user.at < settle)
    };
    (renamed_now || record.renamed_from.is_some()) && is_behind()
}

/// Which evidence a listing may not have seen yet.
struct Freshness {
    /// Evidence later than this is fresh.
    after: Timestamp,
}

impl Freshness {
    // INVARIANT (freshness at the request): age is measured at the time the listing was requested. A worker that paused
    // between listing and deciding would take an old listing for the truth.
    fn of(record: &UserRecord, listing: &KeyListing, settle: TimeDelta) -> Self {
        let after = match listing.answer() {
            Answer::Keys { .. } | Answer::NoSuchUser => listing.requested_at() - settle,
            Answer::Report { .. } => listing.requested_at() - settle.max(Policy::REPORT_SETTLE),
            Answer::Refused { .. } => record
                .last_listing
                .as_ref()
                .map_or(Timestamp::MIN_UTC, |last| last.requested_at - settle),
        };
        Self { after }
    }

    fn is_fresh(&self, at: Timestamp) -> bool {
        at > self.after
    }
}

fn listed(record: &UserRecord, listing: &KeyListing) -> View {
    let mut view = View {
        keys: listing
            .keys()
            .map(|(id, key)| {
                let viewed = ViewedKey {
                    status: key.status,
                    created: key.created,
                };
                (id.clone(), viewed)
            })
            .collect(),
        unsettled: BTreeSet::new(),
    };
    if matches!(listing.answer(), Answer::Refused { .. })
        && let Some(last) = &record.last_listing
    {
        for (id, status) in &last.keys {
            view.believe(id, *status);
        }
    }
    view
}

fn overlay_user(view: &mut View, evidence: &Evidence, freshness: &Freshness) {
    let Some(user) = fresh_user(evidence, freshness) else {
        return;
    };
    if user.state.is_none() {
        view.unsettled.insert(Unsettled::EventsContradict);
    }
    if user.is_gone() {
        let existing: Vec<String> = view
            .keys
            .iter()
            .filter(|(_, key)| key.status != KeyStatus::Gone)
            .map(|(id, _)| id.clone())
            .collect();
        for id in existing {
            view.believe(&id, KeyStatus::Gone);
            view.unsettled.insert(Unsettled::ListingBehindEvents);
        }
    }
}

fn overlay_keys(view: &mut View, evidence: &Evidence, listing: &KeyListing, freshness: &Freshness) {
    let gone_at = fresh_user(evidence, freshness)
        .filter(|user| user.is_gone())
        .map(|user| user.at);
    let is_report = matches!(listing.answer(), Answer::Report { .. });
    for (id, known) in &evidence.keys {
        // The latest event on the user is no earlier than that on any key; what it took away stays away.
        if !freshness.is_fresh(known.at()) || gone_at.is_some_and(|gone_at| gone_at >= known.at()) {
            continue;
        }
        let Some(status) = known.status() else {
            view.unsettled.insert(Unsettled::EventsContradict);
            continue;
        };
        // A report does not say which key is in which slot, so what a later event took away cannot be taken out of it.
        if is_report && (status != KeyStatus::Active || is_in_a_slot(known, listing)) {
            view.unsettled.insert(Unsettled::ListingBehindEvents);
        } else if status != view.status(id) {
            view.believe(id, status);
            view.unsettled.insert(Unsettled::ListingBehindEvents);
        }
    }
}

/// Whether a report shows the key already: one of its slots was last changed when the key was made active.
pub(super) fn is_in_a_slot(known: &KeyEvidence, listing: &KeyListing) -> bool {
    known.activation().is_some_and(|activation| {
        listing
            .keys()
            .filter_map(|(_, slot)| slot.created)
            .any(|changed| (changed - activation.at).abs() <= SAME_CHANGE)
    })
}

fn compare_with_last_listing(
    view: &mut View,
    record: &UserRecord,
    evidence: &Evidence,
    listing: &KeyListing,
    settle: TimeDelta,
) {
    let Some(last) = record
        .last_listing
        .as_ref()
        .filter(|last| listing.requested_at() - last.requested_at < settle)
    else {
        return;
    };
    let ids: BTreeSet<&String> = view.keys.keys().chain(last.keys.keys()).collect();
    let is_unexplained = ids.into_iter().any(|id| {
        let status = view.status(id);
        let before = last.keys.get(id).copied().unwrap_or(KeyStatus::Gone);
        // INVARIANT (only later events explain): an event from before the last listing may have been undone before it.
        let by_key = evidence
            .keys
            .get(id)
            .is_some_and(|known| known.status() == Some(status) && known.at() > last.requested_at);
        let by_user = status == KeyStatus::Gone
            && evidence
                .user
                .as_ref()
                .is_some_and(|user| user.is_gone() && user.at > last.requested_at);
        status != before && !by_key && !by_user
    });
    if is_unexplained {
        view.unsettled.insert(Unsettled::ListingChangedUnexplained);
    }
}

fn no_such_user_is_settled(
    record: &UserRecord,
    evidence: &Evidence,
    listing: &KeyListing,
    settle: TimeDelta,
    freshness: &Freshness,
) -> bool {
    let is_known_gone = fresh_user(evidence, freshness).is_some_and(UserEvidence::is_gone);
    let since = record.no_such_user_since.unwrap_or(listing.requested_at());
    is_known_gone || listing.requested_at() - since >= settle
}

fn fresh_user<'a>(evidence: &'a Evidence, freshness: &Freshness) -> Option<&'a UserEvidence> {
    evidence
        .user
        .as_ref()
        .filter(|user| freshness.is_fresh(user.at))
}
