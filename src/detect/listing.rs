//! A user's access keys, as a key source listed them.

use std::collections::BTreeMap;

use chrono::SubsecRound;

use crate::detect::Timestamp;
use crate::detect::text::bounded;

/// A key's status. `Gone` is the status of a key that a listing does not name or that was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyStatus {
    /// The key can sign requests.
    Active,
    /// The key exists and cannot sign requests.
    Inactive,
    /// The key does not exist.
    Gone,
}

impl KeyStatus {
    /// Reads IAM's word for a status. `Expired` cannot sign requests, so it counts as inactive.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "active" => Some(Self::Active),
            "inactive" | "expired" => Some(Self::Inactive),
            _ => None,
        }
    }

    /// The word for the status: IAM's, and `Deleted`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Active => "Active",
            Self::Inactive => "Inactive",
            Self::Gone => "Deleted",
        }
    }
}

/// One access key of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessKey {
    /// Active or not.
    pub status: KeyStatus,
    /// When it was created, if the source knows.
    pub created: Option<Timestamp>,
}

/// A whole answer to "which keys has this user now?". Made only from the last page on: see [`PartialListing`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyListing {
    requested_at: Timestamp,
    answer: Answer,
}

/// `time` in whole milliseconds, as it is stored: what is decided on must equal what is read back.
fn stored(time: Timestamp) -> Timestamp {
    time.trunc_subsecs(3)
}

/// What the key source answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The user's keys by id.
    Keys {
        /// The user's name in IAM's spelling, where the source tells it.
        display_name: Option<String>,
        /// All keys, by id.
        keys: BTreeMap<String, AccessKey>,
    },
    /// The keys that a credential report tells of, which has no key ids: the slots stand in their place.
    /// `requested_at` is then the time at which the report was generated.
    Report {
        /// The used slots, by name.
        slots: BTreeMap<String, AccessKey>,
    },
    /// There is no such user.
    NoSuchUser,
    /// The source will not say, however often it is asked.
    Refused {
        /// Why, in the source's words.
        reason: String,
    },
}

impl KeyListing {
    /// The answer that there is no such user.
    #[must_use]
    pub fn no_such_user(requested_at: Timestamp) -> Self {
        Self {
            requested_at: stored(requested_at),
            answer: Answer::NoSuchUser,
        }
    }

    /// The answer that the keys cannot be listed for good, and why.
    #[must_use]
    pub fn refused(requested_at: Timestamp, reason: impl AsRef<str>) -> Self {
        Self {
            requested_at: stored(requested_at),
            answer: Answer::Refused {
                // It may repeat a name out of an event.
                reason: bounded(reason.as_ref()),
            },
        }
    }

    /// The keys in a credential report that was generated at `generated_at`.
    #[must_use]
    pub fn from_report(generated_at: Timestamp, slots: BTreeMap<String, AccessKey>) -> Self {
        Self {
            requested_at: stored(generated_at),
            answer: Answer::Report { slots },
        }
    }

    /// When the listing was asked for (before the first page), or when the report it comes from was generated.
    #[must_use]
    pub fn requested_at(&self) -> Timestamp {
        self.requested_at
    }

    /// What was answered.
    #[must_use]
    pub fn answer(&self) -> &Answer {
        &self.answer
    }

    /// The keys in the answer; none where there is no user or no answer.
    pub fn keys(&self) -> impl Iterator<Item = (&String, &AccessKey)> {
        match &self.answer {
            Answer::Keys { keys, .. } => Some(keys.iter()),
            Answer::Report { slots } => Some(slots.iter()),
            Answer::NoSuchUser | Answer::Refused { .. } => None,
        }
        .into_iter()
        .flatten()
    }
}

/// A listing whose last page has not come yet. A short page may be followed by more, so only the page that says it is
/// the last one makes a [`KeyListing`] of it.
#[derive(Debug, Clone)]
pub struct PartialListing {
    requested_at: Timestamp,
    display_name: Option<String>,
    keys: BTreeMap<String, AccessKey>,
}

/// What a page makes of a [`PartialListing`].
#[derive(Debug)]
pub enum AfterPage {
    /// More pages are to come.
    More(PartialListing),
    /// That was the last one.
    Complete(KeyListing),
}

impl PartialListing {
    /// A listing of which nothing has come yet, asked for at `requested_at`.
    #[must_use]
    pub fn requested(requested_at: Timestamp) -> Self {
        Self {
            requested_at: stored(requested_at),
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
    ) -> AfterPage {
        self.keys.extend(keys);
        self.display_name = self.display_name.or(display_name);
        if is_truncated {
            return AfterPage::More(self);
        }
        AfterPage::Complete(KeyListing {
            requested_at: self.requested_at,
            answer: Answer::Keys {
                display_name: self.display_name,
                keys: self.keys,
            },
        })
    }
}
