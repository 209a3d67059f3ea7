//! A finding: one user with two active keys, from opening to closing.

use std::fmt;

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::decision::relation::Relation;
use crate::detect::decision::severity::{Severity, SeverityReason};
use crate::detect::events::actor::Actor;
use crate::detect::events::leak::Leak;
use crate::detect::keys::age::age_order;
use crate::detect::keys::listing::KeyStatus;
use crate::detect::keys::overlap_start::OverlapStart;
use crate::detect::user::UserId;

/// One episode of two active keys.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a separate fact about the finding"
)]
pub struct Finding {
    /// The user and the episode.
    pub id: FindingId,
    /// The user's name in IAM's spelling.
    pub display_name: String,
    /// Open, suppressed or closed.
    pub status: FindingStatus,
    /// Whether a settled listing has shown two active keys; in `replay`, whether the logs do.
    pub confirmed: bool,
    /// The level of harm.
    pub severity: Severity,
    /// Why the severity is above medium.
    pub severity_reasons: Vec<SeverityReason>,
    /// Since when two keys have been active: the time of the opening event. Without one, the
    /// earliest possible time; if that is unknown too, the time of detection.
    pub opened_at: Timestamp,
    /// Whether `opened_at` is an estimate: the earliest time at which two keys can have been
    /// active.
    pub is_opened_at_estimated: bool,
    /// When secondkey detected it.
    pub detected_at: Timestamp,
    /// What made the second key active, if an event is known.
    pub opener: Option<KeyActivation>,
    /// Why the keys could not be listed at the opening, if they could not.
    pub listing_refusal: Option<String>,
    /// The user's keys when the finding was last updated.
    pub keys: Vec<FindingKey>,
    /// The finding that this one continues, under a former name of the user.
    pub continues: Option<FindingId>,
    /// How it was found.
    pub found_by: FoundBy,
    /// The other known events that made its keys active: since fewer than two were active, and
    /// while it was open.
    pub other_activations: Vec<KeyActivation>,
    /// Whether the activator of at least one key is unknown, so that only a `*` exemption covers
    /// the finding.
    pub has_unknown_activator: bool,
    /// The reports from AWS that a key of the user leaked, earliest first.
    pub leaks: Vec<Leak>,
    /// Whether an alert said that it is open. A finding that was suppressed from the start is not
    /// announced.
    pub announced: bool,
    /// The exemption that suppresses it, or the last one that did.
    pub exemption: Option<AppliedExemption>,
    /// How it ended.
    pub closing: Option<Closing>,
}

/// The id of a finding: `<account>/<user>/<episode>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FindingId {
    /// The user.
    pub user: UserId,
    /// Counts from 1 per user.
    pub episode: u32,
}

impl fmt::Display for FindingId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.user, self.episode)
    }
}

/// The state of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingStatus {
    /// Two keys are active, as far as known.
    Open,
    /// Two keys are active, and an exemption suppresses the finding.
    Suppressed,
    /// It has ended; see [`Closing`].
    Closed,
}

impl FindingStatus {
    /// The status in outputs.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Suppressed => "suppressed",
            Self::Closed => "closed",
        }
    }
}

/// How a finding was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FoundBy {
    /// By an event, or by a re-check that an event led to.
    Event,
    /// By a sweep, without an event.
    Sweep,
    /// By the first sweep of the account, so it may be older than the deployment.
    Baseline,
}

impl FoundBy {
    /// How the finding was found, in words. Stored in the audit trail, so they must not change.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Event => "an event",
            Self::Sweep => "a sweep; no event had told of it",
            Self::Baseline => "the first sweep of the account",
        }
    }
}

/// The exemption that covers a finding, as it was when applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedExemption {
    /// The id of the exemption.
    pub id: String,
    /// Who is responsible for it.
    pub owner: String,
    /// Why it was granted.
    pub reason: String,
    /// When it was written.
    pub created_at: Timestamp,
    /// When it ends.
    pub until: Timestamp,
}

/// One of the keys that a finding is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FindingKey {
    /// The key's id, or the slot's name in a credential report.
    pub id: String,
    /// Its status when the finding was last updated.
    pub status: KeyStatus,
    /// When it was created, if known.
    pub created: Option<Timestamp>,
}

/// What made the second key active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyActivation {
    /// The key.
    pub key: String,
    /// Whether the event created the key; otherwise it reactivated it.
    pub created: bool,
    /// When.
    pub at: Timestamp,
    /// Since when the key had been inactive, if known.
    pub inactive_since: Option<Timestamp>,
    /// Who did it.
    pub actor: Actor,
    /// The actor's relation to the user; `None` if it was not judged.
    pub relation: Option<Relation>,
    /// CloudTrail's `eventID`.
    pub event_id: Option<String>,
}

impl KeyActivation {
    /// Whether the event is known to have made the key active. An unproven one may have changed
    /// nothing.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.created || self.inactive_since.is_some()
    }
}

/// How a finding ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closing {
    /// Why it was closed.
    pub reason: CloseReason,
    /// When fewer than two keys were active again: the time of the event if known, else of the
    /// listing.
    pub at: Timestamp,
    /// Who did it, if an event is known.
    pub actor: Option<Actor>,
    /// CloudTrail's `eventID`, if an event is known.
    pub event_id: Option<String>,
}

/// Why a finding was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CloseReason {
    /// A key was deactivated.
    Deactivated,
    /// A key was deleted.
    Deleted,
    /// The user was deleted.
    UserDeleted,
    /// The user was renamed; the finding continues under the new name.
    Renamed,
    /// No listing ever showed two active keys.
    NeverConfirmed,
    /// The account left the organization or was closed, so its keys can no longer be listed.
    AccountLeft,
    /// The operator excluded the account, so its keys are not listed any more.
    AccountExcluded,
}

impl CloseReason {
    /// The reason in words. Stored in the audit trail, so they must not change.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Deactivated => "key deactivated",
            Self::Deleted => "key deleted",
            Self::UserDeleted => "user deleted",
            Self::Renamed => "user renamed",
            Self::NeverConfirmed => "never confirmed",
            Self::AccountLeft => "account left the organization",
            Self::AccountExcluded => "account excluded",
        }
    }
}

impl Finding {
    /// The user.
    #[must_use]
    pub fn user(&self) -> &UserId {
        &self.id.user
    }

    /// The ids of its keys.
    #[must_use]
    pub fn key_ids(&self) -> Vec<String> {
        self.keys.iter().map(|key| key.id.clone()).collect()
    }

    /// When its rotation window of length `window` ends.
    #[must_use]
    pub fn window_ends_at(&self, window: TimeDelta) -> Timestamp {
        OverlapStart::of(self).window_ends_at(window)
    }

    /// Who made its keys active, by name. `None` is an unknown actor.
    #[must_use]
    pub fn activators(&self) -> Vec<Option<&str>> {
        let is_proven = self.opener.as_ref().is_some_and(KeyActivation::is_proven);
        let known = self.opener.iter().chain(&self.other_activations);
        let unknown = (self.has_unknown_activator || !is_proven).then_some(None);
        known
            .map(|event| Some(event.actor.label()))
            .chain(unknown)
            .collect()
    }

    /// The events that the severity is based on. An unproven event counts only as the opener.
    /// There, no other event explains the two keys, and ignoring it would let an attacker
    /// reactivate an old key unnoticed. Elsewhere it would blame an actor whose tool repeats an
    /// existing state.
    pub fn judged_activations(&self) -> impl Iterator<Item = &KeyActivation> {
        let joined = self
            .other_activations
            .iter()
            .filter(|event| event.is_proven());
        self.opener.iter().chain(joined)
    }

    /// When `key`, which is one of its keys, was created.
    #[must_use]
    pub fn created_at(&self, key: &FindingKey) -> Option<Timestamp> {
        created_at(key, self.opener.iter().chain(&self.other_activations))
    }

    /// Its keys, the oldest first.
    #[must_use]
    pub fn keys_by_age(&self) -> Vec<&FindingKey> {
        let mut keys: Vec<&FindingKey> = self.keys.iter().collect();
        keys.sort_by_key(|key| age_order(self.created_at(key), &key.id));
        keys
    }

    /// The ids of the active keys when the finding was last updated.
    pub fn active_keys(&self) -> impl Iterator<Item = &str> {
        self.keys
            .iter()
            .filter(|key| key.status == KeyStatus::Active)
            .map(|key| key.id.as_str())
    }
}

/// When `key` was created, according to the listing or else to the event among `activations`.
pub(in crate::detect) fn created_at<'a>(
    key: &FindingKey,
    mut activations: impl Iterator<Item = &'a KeyActivation>,
) -> Option<Timestamp> {
    key.created.or_else(|| {
        activations
            .find(|activation| activation.created && activation.key == key.id)
            .map(|activation| activation.at)
    })
}
