//! A finding: one user with two active keys, from opening to closing.

use std::fmt;

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::actor::Actor;
use crate::detect::leak::Leak;
use crate::detect::listing::KeyStatus;
use crate::detect::relation::Relation;
use crate::detect::severity::{Severity, SeverityReason};
use crate::detect::since::Since;
use crate::detect::user::UserId;

/// One episode of two active keys.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each says one thing of its own about the finding"
)]
pub struct Finding {
    /// Which user and which episode.
    pub id: FindingId,
    /// The user's name in IAM's spelling.
    pub display_name: String,
    /// Open or closed.
    pub status: FindingStatus,
    /// Whether a settled listing has shown two active keys; in `replay`, whether the logs do.
    pub confirmed: bool,
    /// The level of harm.
    pub severity: Severity,
    /// Why the severity is above the usual.
    pub severity_reasons: Vec<SeverityReason>,
    /// Since when two keys have been active: the time of the event that opened the finding. Where no
    /// event told, the earliest possible time; where that is not known either, when it was seen.
    pub opened_at: Timestamp,
    /// Whether `opened_at` is an estimate: the earliest time at which two keys can have been active.
    pub is_since_estimated: bool,
    /// When secondkey saw it.
    pub detected_at: Timestamp,
    /// What made the second key active, if an event told.
    pub opener: Option<Opener>,
    /// Why the keys could not be listed when the finding was opened, if they could not.
    pub could_not_list: Option<String>,
    /// The user's keys as last noted.
    pub keys: Vec<FindingKey>,
    /// The finding of the same user under its former name.
    pub continues: Option<FindingId>,
    /// What led to it.
    pub found_by: FoundBy,
    /// What made other keys of it active, as far as events told: since fewer than two were active, and while it was open.
    pub joined: Vec<Opener>,
    /// Whether the actor of some key that joined is unknown, so that only a `*` exemption covers the finding.
    pub has_unknown_maker: bool,
    /// Signals from AWS that a key of the user has leaked, the earliest first.
    pub leaks: Vec<Leak>,
    /// Whether anybody was told that it is open. One that was exempt from the beginning nobody knows of.
    pub told: bool,
    /// The exemption that hides it, or that last did.
    pub exemption: Option<Exempted>,
    /// How it ended.
    pub closing: Option<Closing>,
}

/// Which finding: `<account>/<user>/<episode>`.
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

/// Where a finding is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingStatus {
    /// Two keys are active, as far as anybody knows.
    Open,
    /// The same, and an exemption hides it.
    Suppressed,
    /// The cleanup is done.
    Closed,
}

/// What led to a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FoundBy {
    /// An event, or a re-check that an event had asked for.
    Event,
    /// A sweep: no event had told by then.
    Sweep,
    /// The first sweep of the account: it may have been there before anybody looked.
    Baseline,
}

impl FoundBy {
    /// What led to the finding, in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Event => "an event",
            Self::Sweep => "a sweep; no event had told of it",
            Self::Baseline => "the first sweep of the account",
        }
    }
}

/// The exemption that a finding falls under, as it was then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exempted {
    /// Which exemption of the account.
    pub id: String,
    /// Who answers for it.
    pub owner: String,
    /// Why.
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
    /// Its status as last noted.
    pub status: KeyStatus,
    /// When it was created, if known.
    pub created: Option<Timestamp>,
}

/// What made the second key active.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opener {
    /// The key.
    pub key: String,
    /// Whether it was made then, and not switched on again.
    pub created: bool,
    /// When.
    pub at: Timestamp,
    /// Since when the key had been inactive, if an event told.
    pub inactive_since: Option<Timestamp>,
    /// Who did it.
    pub actor: Actor,
    /// How the actor relates to the user; none if it was not judged.
    pub relation: Option<Relation>,
    /// CloudTrail's `eventID`.
    pub event_id: Option<String>,
}

impl Opener {
    /// Whether the event is known to have made the key active, which may have been active all along.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.created || self.inactive_since.is_some()
    }
}

/// How a finding ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closing {
    /// Why it is closed.
    pub reason: CloseReason,
    /// When fewer than two keys were active again: the event's time where one told, else the listing's.
    pub at: Timestamp,
    /// Who did it, if an event told.
    pub actor: Option<Actor>,
    /// CloudTrail's `eventID`, if an event told.
    pub event_id: Option<String>,
}

/// Why a finding is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CloseReason {
    /// A key was deactivated.
    Deactivated,
    /// A key was deleted.
    Deleted,
    /// The user was deleted.
    UserDeleted,
    /// The user has another name now, under which its finding goes on.
    Renamed,
    /// No listing ever showed two active keys.
    NeverConfirmed,
    /// The account left the organization or was closed, so nothing about the keys can be learned any more.
    AccountLeft,
}

impl CloseReason {
    /// The reason in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Deactivated => "key deactivated",
            Self::Deleted => "key deleted",
            Self::UserDeleted => "user deleted",
            Self::Renamed => "user renamed",
            Self::NeverConfirmed => "never confirmed",
            Self::AccountLeft => "account left the organization",
        }
    }
}

impl Finding {
    /// The user.
    #[must_use]
    pub fn user(&self) -> &UserId {
        &self.id.user
    }

    /// When its rotation window of length `window` ends.
    #[must_use]
    pub fn window_ends_at(&self, window: TimeDelta) -> Timestamp {
        Since::of(self).window_ends_at(window)
    }

    /// Who made its keys active, by name: the second one, and those that joined. `None` stands for an unknown actor.
    #[must_use]
    pub fn makers(&self) -> Vec<Option<&str>> {
        let is_proven = self.opener.as_ref().is_some_and(Opener::is_proven);
        let known = self.opener.iter().chain(&self.joined);
        let unknown = (self.has_unknown_maker || !is_proven).then_some(None);
        known
            .map(|event| Some(event.actor.label()))
            .chain(unknown)
            .collect()
    }

    /// The events that its severity is judged by. One that may have changed nothing counts only as
    /// the opener: there nothing else tells how two keys came to be active, and to pass over it would
    /// let an attacker switch on an old key unnoticed. Beside an opener it would blame an actor whose
    /// tool repeats what is so already.
    pub fn judged_makers(&self) -> impl Iterator<Item = &Opener> {
        let joined = self.joined.iter().filter(|event| event.is_proven());
        self.opener.iter().chain(joined)
    }

    /// The ids of the keys that are active, as last noted.
    pub fn active_keys(&self) -> impl Iterator<Item = &str> {
        self.keys
            .iter()
            .filter(|key| key.status == KeyStatus::Active)
            .map(|key| key.id.as_str())
    }
}
