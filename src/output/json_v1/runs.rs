//! What commands print beside findings, and what `verify` prints, in version 1.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::output::json_v1::wire::TimeV1;

/// A scan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct ScanV1 {
    /// When it started.
    pub started_at: TimeV1,
    /// When it finished.
    pub finished_at: TimeV1,
    /// The accounts that it checked.
    pub accounts: Vec<ScannedAccountV1>,
}

/// An account in a scan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct ScannedAccountV1 {
    /// The account's ID.
    pub account: String,
    /// How its users were checked: `list` or `report`.
    #[schemars(extend("enum" = ["list", "report"]))]
    pub mode: String,
    /// How many users there are to check.
    pub users: usize,
    /// How many of them were checked before the scan was interrupted.
    pub users_before_interruption: usize,
    /// How many users need another check, because IAM may not show their latest changes yet.
    pub unsettled: usize,
    /// The users that could not be checked.
    pub unchecked: Vec<UncheckedUserV1>,
    /// Why no user of the account could be checked, if so.
    pub refused: Option<String>,
    /// When the previous scan finished; `null` for the first one.
    pub former_scan_at: Option<TimeV1>,
}

/// A user that could not be checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct UncheckedUserV1 {
    /// The user's name.
    pub user: String,
    /// Why.
    pub reason: String,
}

/// What a replay read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct ReplaySummaryV1 {
    /// `logs`: IAM was not asked, so `confirmed` means confirmed by the logs.
    #[schemars(extend("const" = "logs"))]
    pub keys_from: &'static str,
    /// Whether every record was read, so that the absence of findings can be trusted.
    pub complete: bool,
    /// The files.
    pub files: FilesV1,
    /// How many records there were.
    pub records: u64,
    /// How many key changes there were, without duplicates.
    pub key_changes: usize,
    /// How many records were ignored on purpose, by reason.
    pub ignored: BTreeMap<&'static str, u64>,
    /// How many records could not be read.
    pub malformed: u64,
    /// The first of them.
    pub malformed_records: Vec<MalformedRecordV1>,
    /// The keys from before the logs begin. Each counts from its first change or use in the logs.
    pub known_only_from_first_change: Vec<KeyOfUserV1>,
    /// The users with a new key who may have had an older one from before the logs begin.
    pub may_have_had_another_key: Vec<UserV1>,
    /// The logs that could be read only once, so that uses of keys were not looked for in them.
    pub read_once: Vec<String>,
}

/// How many files a replay read, by kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct FilesV1 {
    /// How many were read as what, for example as `CloudTrail`.
    pub read_as: BTreeMap<&'static str, u64>,
    /// How many could not be read.
    pub not_readable: u64,
    /// How many are not logs.
    pub not_a_log: u64,
}

/// A record that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct MalformedRecordV1 {
    /// The log.
    pub file: String,
    /// Which record in the log, from 1; `null` if the log itself could not be read.
    pub record: Option<u64>,
    /// Why.
    pub reason: String,
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct UserV1 {
    /// The account's ID.
    pub account: String,
    /// The user's name in lower case.
    pub user: String,
}

/// A key and its user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct KeyOfUserV1 {
    /// The account's ID.
    pub account: String,
    /// The user's name in lower case.
    pub user: String,
    /// The key.
    pub key: String,
}

/// Whether audit trails are intact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct VerificationV1 {
    /// `1`.
    #[schemars(extend("const" = "1"))]
    pub version: &'static str,
    /// Whether every trail is intact and no hash of `--head` is missing.
    pub intact: bool,
    /// The trails.
    pub trails: Vec<CheckedTrailV1>,
    /// How many entries the readable trails have.
    pub entries: usize,
    /// How many trails are broken or could not be read.
    pub broken: usize,
    /// The hashes of `--head` that no trail has: a trail was rewritten or cut.
    pub missing_heads: Vec<String>,
}

/// A user's audit trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct CheckedTrailV1 {
    /// The account's ID.
    pub account: String,
    /// The user's name in lower case, as stored in the trail.
    pub user: String,
    /// Its state.
    pub state: TrailStateV1,
    /// How many entries it has; `null` if it could not be read.
    pub entries: Option<usize>,
    /// What is wrong, if the trail is not intact.
    pub problem: Option<String>,
    /// The hashes of `--head` that it has.
    pub heads: Vec<HeadV1>,
}

/// The state of an audit trail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TrailStateV1 {
    /// No entry was changed, removed, inserted or cut off.
    Intact,
    /// An entry was.
    Broken,
    /// It could not be read.
    Unread,
}

/// The entry of an alert in a trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct HeadV1 {
    /// Its hash.
    pub hash: String,
    /// Its place in the trail, from 1.
    pub entry: u64,
    /// Whether a replay of older logs replaced the entry since. The old entries are kept.
    pub replaced: bool,
}
