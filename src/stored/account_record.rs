//! An account's record as it is stored.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::detect::findings::digest::DigestKind;
use crate::detect::records::account_record::{AccountRecord, Unreachable};
use crate::stored::word::{Stored, Time};

/// An [`AccountRecord`].
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AccountRecordV1 {
    account: String,
    version: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    registered_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    swept_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest_at: Option<Time>,
    digests_owed: BTreeMap<String, Stored<DigestKind>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unreachable: Option<UnreachableV1>,
    #[serde(skip_serializing_if = "Option::is_none")]
    left_at: Option<Time>,
}

#[derive(Debug, Serialize, Deserialize)]
struct UnreachableV1 {
    since: Time,
    reason: String,
}

impl From<&AccountRecord> for AccountRecordV1 {
    fn from(record: &AccountRecord) -> Self {
        Self {
            account: record.account.clone(),
            version: record.version,
            registered_at: record.registered_at.map(Time),
            baseline_at: record.baseline_at.map(Time),
            swept_at: record.swept_at.map(Time),
            digest_at: record.digest_at.map(Time),
            digests_owed: record
                .pending_digests
                .iter()
                .map(|(sink, kind)| (sink.clone(), Stored(*kind)))
                .collect(),
            unreachable: record
                .unreachable
                .as_ref()
                .map(|unreachable| UnreachableV1 {
                    since: Time(unreachable.since),
                    reason: unreachable.reason.clone(),
                }),
            left_at: record.left_at.map(Time),
        }
    }
}

impl From<AccountRecordV1> for AccountRecord {
    fn from(stored: AccountRecordV1) -> Self {
        Self {
            account: stored.account,
            version: stored.version,
            registered_at: stored.registered_at.map(|at| at.0),
            baseline_at: stored.baseline_at.map(|at| at.0),
            swept_at: stored.swept_at.map(|at| at.0),
            digest_at: stored.digest_at.map(|at| at.0),
            pending_digests: stored
                .digests_owed
                .into_iter()
                .map(|(sink, kind)| (sink, kind.0))
                .collect(),
            unreachable: stored.unreachable.map(|unreachable| Unreachable {
                since: unreachable.since.0,
                reason: unreachable.reason,
            }),
            left_at: stored.left_at.map(|at| at.0),
        }
    }
}
