//! A user's record as it is stored.

use serde::{Deserialize, Serialize};

use crate::detect::keys::listing::KeyStatus;
use crate::detect::records::user_record::{FormerName, LastListing, ListedInactive, UserRecord};
use crate::detect::trail::audit::ChainHead;
use crate::detect::user::UserId;
use crate::stored::actor::UserV1;
use crate::stored::evidence::EvidenceV1;
use crate::stored::finding::FindingV1;
use crate::stored::word::{Stored, Time};

/// A [`UserRecord`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct UserRecordV1 {
    account: String,
    user: String,
    display_name: String,
    version: u64,
    episodes: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    finding: Option<FindingV1>,
    evidence: EvidenceV1,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_listing: Option<LastListingV1>,
    // A list rather than a map: a key id is untrusted text and must not be an attribute name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    listed_inactive: Vec<ListedInactiveV1>,
    #[serde(skip_serializing_if = "Option::is_none")]
    no_such_user_since: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    settle_after: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    below_two_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    below_two_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    renamed_from: Option<UserV1>,
    #[serde(skip_serializing_if = "Option::is_none")]
    former_name: Option<FormerNameV1>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recheck_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refreshed_at: Option<Time>,
    audit_sequence: u64,
    audit_hash: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct LastListingV1 {
    requested_at: Time,
    keys: Vec<ListedKeyV1>,
}

#[derive(Debug, Serialize, Deserialize)]
struct ListedKeyV1 {
    id: String,
    status: Stored<KeyStatus>,
}

#[derive(Debug, Serialize, Deserialize)]
struct FormerNameV1 {
    user: UserV1,
    until: Time,
}

#[derive(Debug, Serialize, Deserialize)]
struct ListedInactiveV1 {
    id: String,
    since: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    active_at: Option<Time>,
}

impl From<&UserRecord> for UserRecordV1 {
    fn from(record: &UserRecord) -> Self {
        Self {
            account: record.user.account().to_owned(),
            user: record.user.name().to_owned(),
            display_name: record.display_name.clone(),
            version: record.version,
            episodes: record.episodes,
            finding: record.finding.as_ref().map(Into::into),
            evidence: (&record.evidence).into(),
            last_listing: record.last_listing.as_ref().map(Into::into),
            listed_inactive: record.listed_inactive.iter().map(Into::into).collect(),
            no_such_user_since: record.no_such_user_since.map(Time),
            settle_after: record.last_unsettled_at.map(Time),
            below_two_at: record.below_two_at.map(Time),
            below_two_key: record.below_two_key.clone(),
            renamed_from: record.renamed_from.as_ref().map(Into::into),
            former_name: record.former_name.as_ref().map(|former| FormerNameV1 {
                user: (&former.user).into(),
                until: Time(former.until),
            }),
            recheck_at: record.recheck_at.map(Time),
            refreshed_at: record.refreshed_at.map(Time),
            audit_sequence: record.audit.sequence,
            audit_hash: record.audit.hash.clone(),
        }
    }
}

impl From<UserRecordV1> for UserRecord {
    fn from(stored: UserRecordV1) -> Self {
        Self {
            user: UserId::new(&stored.account, &stored.user),
            display_name: stored.display_name,
            version: stored.version,
            episodes: stored.episodes,
            finding: stored.finding.map(Into::into),
            evidence: stored.evidence.into(),
            last_listing: stored.last_listing.map(Into::into),
            listed_inactive: stored.listed_inactive.into_iter().map(Into::into).collect(),
            no_such_user_since: stored.no_such_user_since.map(|since| since.0),
            last_unsettled_at: stored.settle_after.map(|after| after.0),
            below_two_at: stored.below_two_at.map(|at| at.0),
            below_two_key: stored.below_two_key,
            renamed_from: stored.renamed_from.map(Into::into),
            former_name: stored.former_name.map(|former| FormerName {
                user: former.user.into(),
                until: former.until.0,
            }),
            recheck_at: stored.recheck_at.map(|at| at.0),
            refreshed_at: stored.refreshed_at.map(|at| at.0),
            audit: ChainHead {
                sequence: stored.audit_sequence,
                hash: stored.audit_hash,
            },
        }
    }
}

impl From<&LastListing> for LastListingV1 {
    fn from(listing: &LastListing) -> Self {
        Self {
            requested_at: Time(listing.requested_at),
            keys: listing
                .keys
                .iter()
                .map(|(id, status)| ListedKeyV1 {
                    id: id.clone(),
                    status: Stored(*status),
                })
                .collect(),
        }
    }
}

impl From<LastListingV1> for LastListing {
    fn from(stored: LastListingV1) -> Self {
        Self {
            requested_at: stored.requested_at.0,
            keys: stored
                .keys
                .into_iter()
                .map(|key| (key.id, key.status.0))
                .collect(),
        }
    }
}

impl From<(&String, &ListedInactive)> for ListedInactiveV1 {
    fn from((id, inactive): (&String, &ListedInactive)) -> Self {
        Self {
            id: id.clone(),
            since: Time(inactive.since),
            active_at: inactive.active_at.map(Time),
        }
    }
}

impl From<ListedInactiveV1> for (String, ListedInactive) {
    fn from(stored: ListedInactiveV1) -> Self {
        let inactive = ListedInactive {
            since: stored.since.0,
            active_at: stored.active_at.map(|at| at.0),
        };
        (stored.id, inactive)
    }
}
