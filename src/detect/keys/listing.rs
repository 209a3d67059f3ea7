//! A user's access keys, as listed by a key source.

use std::collections::BTreeMap;

use chrono::SubsecRound;

use crate::detect::Timestamp;
use crate::detect::events::text::bounded;

/// A key's status. A key that was deleted or is not in a listing is `Gone`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyStatus {
    /// The key can sign requests.
    Active,
    /// The key exists but cannot sign requests.
    Inactive,
    /// The key does not exist.
    Gone,
}

impl KeyStatus {
    /// Parses IAM's word for a status. An `Expired` key cannot sign requests, so it counts as
    /// inactive.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "active" => Some(Self::Active),
            "inactive" | "expired" => Some(Self::Inactive),
            _ => None,
        }
    }

    /// IAM's word for the status, or `Deleted`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Active => "Active",
            Self::Inactive => "Inactive",
            Self::Gone => "Deleted",
        }
    }
}

/// An access key in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// Active or inactive.
    pub status: KeyStatus,
    /// When it was created, if the source knows.
    pub created: Option<Timestamp>,
}

/// A complete list of a user's keys, or the reason why there is none. It can only be built from the
/// last page: see [`PartialListing`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyListing {
    requested_at: Timestamp,
    answer: ListingAnswer,
}

/// `time` in whole milliseconds, as stored, so that a decision does not change when it is read
/// back.
fn truncated_to_millis(time: Timestamp) -> Timestamp {
    time.trunc_subsecs(3)
}

/// The key source's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListingAnswer {
    /// The user's keys by id.
    Keys {
        /// The user's name as spelled by IAM, if the source knows it.
        display_name: Option<String>,
        /// All keys, by id.
        keys: BTreeMap<String, AccessKey>,
    },
    /// The keys in a credential report, which has no key ids and is indexed by slot. `requested_at`
    /// is the time at which the report was generated.
    Report {
        /// The used slots, by name.
        slots: BTreeMap<String, AccessKey>,
    },
    /// The user does not exist.
    NoSuchUser,
    /// The source cannot list the keys, and trying again does not help.
    Refused {
        /// The source's reason.
        reason: String,
    },
}

impl KeyListing {
    /// The answer that the user does not exist.
    #[must_use]
    pub fn no_such_user(requested_at: Timestamp) -> Self {
        Self {
            requested_at: truncated_to_millis(requested_at),
            answer: ListingAnswer::NoSuchUser,
        }
    }

    /// The answer that the keys cannot be listed, with the reason.
    #[must_use]
    pub fn refused(requested_at: Timestamp, reason: impl AsRef<str>) -> Self {
        Self {
            requested_at: truncated_to_millis(requested_at),
            answer: ListingAnswer::Refused {
                // It may contain a name from an event.
                reason: bounded(reason.as_ref()),
            },
        }
    }

    /// The keys in a credential report that was generated at `generated_at`.
    #[must_use]
    pub fn from_report(generated_at: Timestamp, slots: BTreeMap<String, AccessKey>) -> Self {
        Self {
            requested_at: truncated_to_millis(generated_at),
            answer: ListingAnswer::Report { slots },
        }
    }

    /// When the listing was requested (before the first page), or when its report was generated.
    #[must_use]
    pub fn requested_at(&self) -> Timestamp {
        self.requested_at
    }

    /// The answer.
    #[must_use]
    pub fn answer(&self) -> &ListingAnswer {
        &self.answer
    }

    /// The keys in the answer; empty if there is no user or no listing.
    pub fn keys(&self) -> impl Iterator<Item = (&String, &AccessKey)> {
        match &self.answer {
            ListingAnswer::Keys { keys, .. } => Some(keys.iter()),
            ListingAnswer::Report { slots } => Some(slots.iter()),
            ListingAnswer::NoSuchUser | ListingAnswer::Refused { .. } => None,
        }
        .into_iter()
        .flatten()
    }
}

/// A listing without its last page. A short page may be followed by more, so only the page that
/// says it is the last one completes a [`KeyListing`].
#[derive(Debug, Clone)]
pub struct PartialListing {
    requested_at: Timestamp,
    display_name: Option<String>,
    keys: BTreeMap<String, AccessKey>,
}

/// The result of adding a page to a [`PartialListing`].
#[derive(Debug)]
pub enum PageResult {
    /// There are more pages.
    More(PartialListing),
    /// That was the last page.
    Complete(KeyListing),
}

impl PartialListing {
    /// An empty listing, requested at `requested_at`.
    #[must_use]
    pub fn requested(requested_at: Timestamp) -> Self {
        Self {
            requested_at: truncated_to_millis(requested_at),
            display_name: None,
            keys: BTreeMap::new(),
        }
    }

    /// Adds one page.
    #[must_use]
    pub fn page(
        mut self,
        display_name: Option<String>,
        keys: impl IntoIterator<Item = (String, AccessKey)>,
        is_truncated: bool,
    ) -> PageResult {
        self.keys.extend(keys);
        self.display_name = self.display_name.or(display_name);
        if is_truncated {
            return PageResult::More(self);
        }
        PageResult::Complete(KeyListing {
            requested_at: self.requested_at,
            answer: ListingAnswer::Keys {
                display_name: self.display_name,
                keys: self.keys,
            },
        })
    }
}
