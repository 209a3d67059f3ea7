//! What to believe about a user's keys: the listing, overlaid with evidence that is too fresh for
//! the listing to include reliably. IAM is eventually consistent; a later listing may show an older
//! state.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::decision::policy::Policy;
use crate::detect::events::key_change::{ChangeKind, KeyChange};
use crate::detect::keys::evidence::{Evidence, KeyEvidence, UserEvidence};
use crate::detect::keys::listing::{KeyListing, KeyStatus, ListingAnswer};
use crate::detect::records::user_record::UserRecord;

/// By how much the time of a change may differ between a report and the event.
const SAME_CHANGE: TimeDelta = TimeDelta::seconds(5);

/// What to believe about a user's keys, and whether a later listing may contradict it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The keys by id, including keys that are gone if evidence or a listing mentions them.
    pub keys: BTreeMap<String, ViewedKey>,
    /// Why the view is unsettled; empty if it is settled.
    pub unsettled: BTreeSet<UnsettledReason>,
}

/// One key of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ViewedKey {
    /// The status to believe.
    pub status: KeyStatus,
    /// When it was created, if a listing shows it.
    pub created: Option<Timestamp>,
}

/// Why a view is unsettled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum UnsettledReason {
    /// A fresh event contradicts the listing.
    ListingBehindEvents,
    /// Two events of the same second contradict each other.
    EventsContradict,
    /// The listing differs from one shortly before, and no event explains the difference.
    ListingChangedUnexplained,
    /// IAM says that the user does not exist, and no fresh event says that it is gone.
    NoSuchUser,
    /// The keys cannot be listed.
    ListingRefused,
    /// The user was renamed so recently that a listing under the new name may be stale.
    JustRenamed,
}

impl UnsettledReason {
    /// The reason, as logs and metrics show it.
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
    /// The active keys.
    pub fn active_keys(&self) -> impl Iterator<Item = &str> {
        self.keys
            .iter()
            .filter(|(_, key)| key.status == KeyStatus::Active)
            .map(|(id, _)| id.as_str())
    }

    /// Whether at least two keys are active.
    #[must_use]
    pub fn has_two_active(&self) -> bool {
        self.active_keys().nth(1).is_some()
    }

    /// The status of `key`; `Gone` if the view does not have it.
    #[must_use]
    pub fn status(&self, key: &str) -> KeyStatus {
        self.keys.get(key).map_or(KeyStatus::Gone, |key| key.status)
    }

    fn set_status(&mut self, key: &str, status: KeyStatus) {
        self.keys
            .entry(key.to_owned())
            .or_insert(ViewedKey {
                status,
                created: None,
            })
            .status = status;
    }
}

/// The view of a user, from the `listing`, the `evidence` (with the events of this re-check) and
/// the last listing in the `record`. A listing may miss changes for up to `consistency_window`.
#[must_use]
pub fn view(
    record: &UserRecord,
    evidence: &Evidence,
    listing: &KeyListing,
    consistency_window: TimeDelta,
) -> View {
    let freshness = Freshness::of(record, listing, consistency_window);
    let mut view = listed(record, listing);
    if matches!(listing.answer(), ListingAnswer::Refused { .. }) {
        view.unsettled.insert(UnsettledReason::ListingRefused);
    }
    overlay_user(&mut view, evidence, &freshness);
    overlay_keys(&mut view, evidence, listing, &freshness);
    overlay_uses(&mut view, evidence, listing, &freshness);
    match listing.answer() {
        ListingAnswer::Keys { .. } | ListingAnswer::NoSuchUser => {
            compare_with_last_listing(&mut view, record, evidence, listing, consistency_window);
        }
        // Reports are hours apart and do not name key ids. A refusal is not a listing.
        ListingAnswer::Report { .. } | ListingAnswer::Refused { .. } => {}
    }
    if *listing.answer() == ListingAnswer::NoSuchUser
        && !no_such_user_is_settled(record, evidence, listing, consistency_window, &freshness)
    {
        view.unsettled.insert(UnsettledReason::NoSuchUser);
    }
    view
}

/// Whether the listing or later evidence accounts for `change`. If neither does, the listing is
/// suspect, however old the change is.
#[must_use]
pub(crate) fn is_explained(change: &KeyChange, evidence: &Evidence, listing: &KeyListing) -> bool {
    let Some((key, status)) = change.key_status() else {
        let is_latest_end = evidence
            .user
            .as_ref()
            .is_some_and(|user| user.is_gone() && user.at == change.at);
        return !is_latest_end || listing.keys().next().is_none();
    };
    if matches!(listing.answer(), ListingAnswer::Report { .. }) {
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

/// Whether the user was renamed so recently that the listing may be stale, or the keys could not be
/// listed since. The new name has neither evidence on the keys nor a last listing to compare with.
#[must_use]
pub(crate) fn is_just_renamed(
    record: &UserRecord,
    changes: &[KeyChange],
    evidence: &Evidence,
    listing: &KeyListing,
    consistency_window: TimeDelta,
) -> bool {
    let renamed_now = changes.iter().any(|change| {
        matches!(&change.kind, ChangeKind::UserRenamed { to, .. } if *to == record.user && change.user != *to)
    });
    let is_behind = || {
        let user = evidence.user.as_ref();
        matches!(listing.answer(), ListingAnswer::Refused { .. })
            || user.is_some_and(|user| listing.requested_at() - user.at < consistency_window)
    };
    (renamed_now || record.renamed_from.is_some()) && is_behind()
}

/// Decides which evidence a listing may not include yet.
struct Freshness {
    /// Evidence later than this is fresh.
    after: Timestamp,
}

impl Freshness {
    // INVARIANT (freshness at the request): age is measured at the time of the request. A worker
    // that paused between listing and deciding would otherwise trust a stale listing.
    fn of(record: &UserRecord, listing: &KeyListing, consistency_window: TimeDelta) -> Self {
        let after = match listing.answer() {
            ListingAnswer::Keys { .. } | ListingAnswer::NoSuchUser => {
                listing.requested_at() - consistency_window
            }
            ListingAnswer::Report { .. } => {
                listing.requested_at() - consistency_window.max(Policy::REPORT_CONSISTENCY_WINDOW)
            }
            ListingAnswer::Refused { .. } => record
                .last_listing
                .as_ref()
                .map_or(Timestamp::MIN_UTC, |last| {
                    last.requested_at - consistency_window
                }),
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
    if matches!(listing.answer(), ListingAnswer::Refused { .. })
        && let Some(last) = &record.last_listing
    {
        for (id, status) in &last.keys {
            view.set_status(id, *status);
        }
    }
    view
}

fn overlay_user(view: &mut View, evidence: &Evidence, freshness: &Freshness) {
    let Some(user) = fresh_user(evidence, freshness) else {
        return;
    };
    if user.state.is_none() {
        view.unsettled.insert(UnsettledReason::EventsContradict);
    }
    if user.is_gone() {
        let existing: Vec<String> = view
            .keys
            .iter()
            .filter(|(_, key)| key.status != KeyStatus::Gone)
            .map(|(id, _)| id.clone())
            .collect();
        for id in existing {
            view.set_status(&id, KeyStatus::Gone);
            view.unsettled.insert(UnsettledReason::ListingBehindEvents);
        }
    }
}

fn overlay_keys(view: &mut View, evidence: &Evidence, listing: &KeyListing, freshness: &Freshness) {
    let gone_at = fresh_user(evidence, freshness)
        .filter(|user| user.is_gone())
        .map(|user| user.at);
    let is_report = matches!(listing.answer(), ListingAnswer::Report { .. });
    for (id, known) in &evidence.keys {
        // The latest event on the user is at least as recent as any on a key, so a key that is gone
        // with its user stays gone.
        if !freshness.is_fresh(known.at()) || gone_at.is_some_and(|gone_at| gone_at >= known.at()) {
            continue;
        }
        let Some(status) = known.status() else {
            view.unsettled.insert(UnsettledReason::EventsContradict);
            continue;
        };
        // A report does not say which key is in which slot, so a removed key cannot be taken out.
        if is_report && (status != KeyStatus::Active || is_in_report_slot(known, listing)) {
            view.unsettled.insert(UnsettledReason::ListingBehindEvents);
        } else if status != view.status(id) {
            view.set_status(id, status);
            view.unsettled.insert(UnsettledReason::ListingBehindEvents);
        }
    }
}

/// A key that signed a call was active then, even if a stale listing says otherwise.
///
/// INVARIANT (use only adds): a use never makes a key inactive, and adding one leaves the view
/// unsettled. A use within [`Policy::USE_GRACE_PERIOD`] of the key's own end is ignored.
fn overlay_uses(view: &mut View, evidence: &Evidence, listing: &KeyListing, freshness: &Freshness) {
    // A report does not say which key is in which slot.
    if matches!(listing.answer(), ListingAnswer::Report { .. }) {
        return;
    }
    // The signed call was about the user, so the user's end is later.
    if evidence.user.as_ref().is_some_and(UserEvidence::is_gone) {
        return;
    }
    for (id, used_at) in &evidence.uses {
        let is_over = evidence.keys.get(id).is_some_and(|known| {
            known.status() != Some(KeyStatus::Active)
                && *used_at < known.at() + Policy::USE_GRACE_PERIOD
        });
        let is_news = freshness.is_fresh(*used_at) && view.status(id) != KeyStatus::Active;
        if is_news && !is_over {
            view.set_status(id, KeyStatus::Active);
            view.unsettled.insert(UnsettledReason::ListingBehindEvents);
        }
    }
}

/// Whether the report includes the key: one of its slots was last changed when the key was
/// activated.
pub(in crate::detect) fn is_in_report_slot(known: &KeyEvidence, listing: &KeyListing) -> bool {
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
    consistency_window: TimeDelta,
) {
    let Some(last) = record
        .last_listing
        .as_ref()
        .filter(|last| listing.requested_at() - last.requested_at < consistency_window)
    else {
        return;
    };
    let ids: BTreeSet<&String> = view.keys.keys().chain(last.keys.keys()).collect();
    let is_unexplained = ids.into_iter().any(|id| {
        let status = view.status(id);
        let before = last.keys.get(id).copied().unwrap_or(KeyStatus::Gone);
        // INVARIANT (only later events explain): an earlier event may have been undone before the
        // last listing.
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
        view.unsettled
            .insert(UnsettledReason::ListingChangedUnexplained);
    }
}

fn no_such_user_is_settled(
    record: &UserRecord,
    evidence: &Evidence,
    listing: &KeyListing,
    consistency_window: TimeDelta,
    freshness: &Freshness,
) -> bool {
    let is_known_gone = fresh_user(evidence, freshness).is_some_and(UserEvidence::is_gone);
    let since = record.no_such_user_since.unwrap_or(listing.requested_at());
    is_known_gone || listing.requested_at() - since >= consistency_window
}

fn fresh_user<'a>(evidence: &'a Evidence, freshness: &Freshness) -> Option<&'a UserEvidence> {
    evidence
        .user
        .as_ref()
        .filter(|user| freshness.is_fresh(user.at))
}
