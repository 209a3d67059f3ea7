//! What a CloudTrail record means for a user's access keys.

use chrono::NaiveDateTime;
use thiserror::Error;

use crate::detect::Timestamp;
use crate::detect::events::actor::Actor;
use crate::detect::events::affected_user::{AffectedUser, affected_user};
use crate::detect::events::cloudtrail_record::{CloudTrailRecord, account_id};
use crate::detect::events::leak::{LeakSignal, is_quarantine};
use crate::detect::events::text::{bounded, sha256_hex};
use crate::detect::keys::listing::KeyStatus;
use crate::detect::user::UserId;

/// A successful call that changed a user's access keys or the user, or a report that a key leaked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyChange {
    /// Identifies this change: the event id and a fingerprint of the content, so that an event id
    /// that a relay lost or made constant does not hide a change.
    pub id: String,
    /// CloudTrail's `eventID`, or the ARN of the AWS Health event, if there is one.
    pub event_id: Option<String>,
    /// The `eventID` of the record that this one corrects.
    pub corrects: Option<String>,
    /// When the call was made, in whole seconds and never later than the message was sent.
    pub at: Timestamp,
    /// The user whose keys changed.
    pub user: UserId,
    /// The user's name as spelled in the record.
    pub user_name: String,
    /// What was done.
    pub kind: ChangeKind,
    /// Who did it.
    pub actor: Actor,
    /// The region that recorded the call.
    pub region: Option<String>,
}

/// What a successful call did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeKind {
    /// `CreateAccessKey`.
    KeyCreated {
        /// The key's id.
        key: String,
        /// Its status, `Active` in all records known so far.
        status: KeyStatus,
    },
    /// `UpdateAccessKey`.
    KeyUpdated {
        /// The key's id.
        key: String,
        /// Its new status.
        status: KeyStatus,
    },
    /// `DeleteAccessKey`.
    KeyDeleted {
        /// The key's id.
        key: String,
    },
    /// `DeleteUser`.
    UserDeleted,
    /// `UpdateUser` with a new name.
    UserRenamed {
        /// The user under its new name.
        to: UserId,
        /// The new name as spelled in the record.
        to_name: String,
    },
    /// AWS quarantined the user (`AttachUserPolicy`), or AWS Health reported a key. The keys do not
    /// change.
    KeyLeaked {
        /// The key, if the report names it.
        key: Option<String>,
        /// The kind of report.
        signal: LeakSignal,
    },
}

/// The result of reading a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordReading {
    /// A change; its user is to be re-checked.
    Change(Box<KeyChange>),
    /// A change of known users, in a record that lacks something.
    Incomplete(IncompleteChange),
    /// Nothing to do.
    Ignored(IgnoredReason),
}

/// A change that is not evidence, because its record is incomplete. The record still says whose
/// keys to check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncompleteChange {
    /// The users to re-check, in this order.
    pub users: Vec<UserId>,
    /// What is missing from the record.
    pub why: RecordError,
}

/// Why a record is ignored on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IgnoredReason {
    /// Neither one of the five API calls that change keys or users, nor AWS's quarantine.
    OtherCall,
    /// Not from IAM.
    OtherService,
    /// The call failed, so it changed nothing.
    FailedCall,
    /// An `UpdateUser` without a new name.
    NoRename,
    /// An AWS Health event that is not about exposed credentials.
    OtherHealthEvent,
}

impl IgnoredReason {
    /// The reason, as metrics and summaries show it.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::OtherCall => "not a key change",
            Self::OtherService => "not from IAM",
            Self::FailedCall => "failed call",
            Self::NoRename => "user update without a new name",
            Self::OtherHealthEvent => "AWS Health event about something else",
        }
    }
}

/// Why a record of a key change cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RecordError {
    /// There is no `eventName`, so it is not a CloudTrail record.
    #[error("not a CloudTrail record: it has no `eventName`")]
    NoEventName,
    /// Neither the envelope nor the record contains an account.
    #[error(
        "`{0}` does not name an account: the envelope's `account`, `recipientAccountId`, \
         `userIdentity.accountId` and `userIdentity.arn` are missing or do not contain one"
    )]
    NoAccount(String),
    /// The record does not say whose key it is.
    #[error(
        "`{0}` does not name a user: `requestParameters.userName` is missing and the caller is not an IAM user"
    )]
    NoUser(String),
    /// The request, which alone names the user, is not JSON.
    #[error("`{0}` does not name a user: its `requestParameters` are not JSON")]
    UnreadableRequest(String),
    /// The time is missing.
    #[error("`{0}` has no `eventTime`")]
    NoTime(String),
    /// The time is invalid.
    #[error(
        "`{event}` has the `eventTime` `{time}`, which is not an RFC 3339 time or Unix seconds or milliseconds"
    )]
    BadTime {
        /// The event's name.
        event: String,
        /// The invalid time.
        time: String,
    },
    /// The key id is missing.
    #[error("`{0}` does not name an access key")]
    NoKey(String),
    /// The status is invalid.
    #[error("`{event}` has the status `{status}`, which is neither Active nor Inactive")]
    BadStatus {
        /// The event's name.
        event: String,
        /// The invalid status; empty if missing.
        status: String,
    },
}

/// What is known about a record apart from its content.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReadContext<'a> {
    /// The envelope's account, which overrides the record's.
    pub account: Option<&'a str>,
    /// The account for a record without one; the default is the caller's account.
    pub account_if_missing: Option<&'a str>,
    /// When the message with the record was sent. A later event time is set to it.
    pub sent_at: Option<Timestamp>,
}

/// Reads `record` as a change of a user's keys.
pub fn read_key_change(
    record: &CloudTrailRecord,
    context: ReadContext<'_>,
) -> Result<RecordReading, RecordError> {
    let Some(event) = record.event_name.as_deref().filter(|name| !name.is_empty()) else {
        return Err(RecordError::NoEventName);
    };
    let is_relevant = match event {
        "CreateAccessKey" | "UpdateAccessKey" | "DeleteAccessKey" | "UpdateUser" | "DeleteUser" => {
            true
        }
        "AttachUserPolicy" => record
            .request_parameters
            .policy_arn
            .as_deref()
            .is_some_and(is_quarantine),
        _ => false,
    };
    if !is_relevant {
        return Ok(RecordReading::Ignored(IgnoredReason::OtherCall));
    }
    if record
        .event_source
        .as_deref()
        .is_some_and(|source| !source.is_empty() && !source.starts_with("iam."))
    {
        return Ok(RecordReading::Ignored(IgnoredReason::OtherService));
    }
    if record.is_failure() {
        return Ok(RecordReading::Ignored(IgnoredReason::FailedCall));
    }
    let parameters = &record.request_parameters;
    // A request without a user was not recorded: IAM does not accept an `UpdateUser` without a
    // user.
    if event == "UpdateUser"
        && non_empty(parameters.new_user_name.as_deref()).is_none()
        && non_empty(parameters.user_name.as_deref()).is_some()
    {
        return Ok(RecordReading::Ignored(IgnoredReason::NoRename));
    }

    let affected = affected_user(record);
    let is_root = record.user_identity.kind.as_deref() == Some("Root");
    let (roots_account, callers_account) = match affected {
        // Root only has keys in its own account, so the caller's account is the right one.
        AffectedUser::Root if is_root => (record.callers_account(), None),
        // Such a record is damaged: a session of root has the type `Root`.
        AffectedUser::Root => (None, None),
        AffectedUser::Named(_) | AffectedUser::Unknown => (None, record.callers_account()),
    };
    let account = context
        .account
        .and_then(account_id)
        .or_else(|| record.recipient_account_id.clone())
        .or(roots_account)
        .or_else(|| context.account_if_missing.map(str::to_owned))
        .or(callers_account)
        .map(|account| bounded(&account))
        .ok_or_else(|| RecordError::NoAccount(event.to_owned()))?;
    let (user, user_name) = match affected {
        AffectedUser::Root => (UserId::root(&account), "root".to_owned()),
        AffectedUser::Named(name) => {
            let name = bounded(&name);
            (UserId::new(&account, &name), name)
        }
        AffectedUser::Unknown if parameters.is_unreadable => {
            return Err(RecordError::UnreadableRequest(event.to_owned()));
        }
        AffectedUser::Unknown => return Err(RecordError::NoUser(event.to_owned())),
    };
    // INVARIANT (nothing is dropped in silence): the user is known from here on, so the user is
    // re-checked even if something else is missing.
    let incomplete = |users, why| Ok(RecordReading::Incomplete(IncompleteChange { users, why }));
    let kind = match change_kind(event, record, &account) {
        Ok(kind) => kind,
        Err(why) => return incomplete(vec![user], why),
    };
    let event_time = match event_time(event, record.event_time.as_deref()) {
        Ok(event_time) => event_time,
        Err(why) => return incomplete(affected_users(&user, &kind), why),
    };

    let event_id = non_empty(record.event_id.as_deref()).map(bounded);
    Ok(RecordReading::Change(Box::new(KeyChange {
        id: change_id(event_id.as_deref(), record, event_time, &user),
        event_id,
        corrects: non_empty(record.addendum.original_event_id.as_deref()).map(bounded),
        at: context
            .sent_at
            .map_or(event_time, |sent_at| event_time.min(sent_at)),
        user,
        user_name,
        kind,
        actor: Actor::of(record),
        region: record.aws_region.as_deref().map(bounded),
    })))
}

impl KeyChange {
    /// The users to re-check for this change, in this order. After a rename the new name comes
    /// first, so that the finding exists there before it is closed under the old name.
    #[must_use]
    pub fn affected_users(&self) -> Vec<UserId> {
        affected_users(&self.user, &self.kind)
    }
}

fn affected_users(user: &UserId, kind: &ChangeKind) -> Vec<UserId> {
    match kind {
        ChangeKind::UserRenamed { to, .. } if to != user => vec![to.clone(), user.clone()],
        _ => vec![user.clone()],
    }
}

fn change_kind(
    event: &str,
    record: &CloudTrailRecord,
    account: &str,
) -> Result<ChangeKind, RecordError> {
    let created = &record.response_elements.access_key;
    let parameters = &record.request_parameters;
    let key = |id: &Option<String>| {
        non_empty(id.as_deref())
            .map(bounded)
            .ok_or_else(|| RecordError::NoKey(event.to_owned()))
    };
    let status = |text: &str| {
        KeyStatus::parse(text).ok_or_else(|| RecordError::BadStatus {
            event: event.to_owned(),
            status: bounded(text),
        })
    };
    Ok(match event {
        "CreateAccessKey" => ChangeKind::KeyCreated {
            key: key(&created.access_key_id)?,
            // A new key is active (IAM API reference, CreateAccessKey). The response says so too,
            // if present.
            status: non_empty(created.status.as_deref()).map_or(Ok(KeyStatus::Active), status)?,
        },
        "UpdateAccessKey" => ChangeKind::KeyUpdated {
            key: key(&parameters.access_key_id)?,
            status: status(parameters.status.as_deref().unwrap_or_default())?,
        },
        "DeleteAccessKey" => ChangeKind::KeyDeleted {
            key: key(&parameters.access_key_id)?,
        },
        "DeleteUser" => ChangeKind::UserDeleted,
        "AttachUserPolicy" => ChangeKind::KeyLeaked {
            key: None,
            signal: LeakSignal::Quarantine,
        },
        _ => {
            let to_name = bounded(parameters.new_user_name.as_deref().unwrap_or_default());
            ChangeKind::UserRenamed {
                to: UserId::new(account, &to_name),
                to_name,
            }
        }
    })
}

/// Reads an `eventTime`: RFC 3339, and the forms that relays write: without the `Z` or the `T`,
/// with ` UTC` at the end, with an offset without colon, or as Unix seconds or milliseconds.
/// CloudTrail times are UTC, in whole seconds.
#[must_use]
pub(crate) fn read_event_time(text: &str) -> Option<Timestamp> {
    if let Some(time) = epoch(text) {
        return Some(time);
    }
    let text = text.strip_suffix(" UTC").unwrap_or(text);
    let with_t = text.replacen(' ', "T", 1);
    let without_zone = NaiveDateTime::parse_from_str(&with_t, "%Y-%m-%dT%H:%M:%S%.f");
    let rfc_3339 = || chrono::DateTime::parse_from_rfc3339(text);
    let with_offset = || chrono::DateTime::parse_from_str(&with_t, "%Y-%m-%dT%H:%M:%S%.f%#z");
    without_zone
        .map(|time| time.and_utc())
        .or_else(|_| {
            rfc_3339()
                .or_else(|_| with_offset())
                .map(|time| time.to_utc())
        })
        .ok()
        // A leap second becomes the second before, which both stores can hold.
        .and_then(|time| chrono::DateTime::from_timestamp(time.timestamp(), 0))
        .filter(|time| (0..=9999).contains(&chrono::Datelike::year(time)))
}

/// Unix seconds or milliseconds, by the number of digits: until 2286 seconds have ten and
/// milliseconds thirteen. Any other number is not a time.
fn epoch(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) || fraction.is_empty() {
        return None;
    }
    let seconds = match whole.len() {
        10 => whole.parse().ok()?,
        13 => whole.parse::<i64>().ok()? / 1_000,
        _ => return None,
    };
    chrono::DateTime::from_timestamp(seconds, 0)
}

fn event_time(event: &str, text: Option<&str>) -> Result<Timestamp, RecordError> {
    let text = non_empty(text).ok_or_else(|| RecordError::NoTime(event.to_owned()))?;
    read_event_time(text).ok_or_else(|| RecordError::BadTime {
        event: event.to_owned(),
        time: bounded(text),
    })
}

fn change_id(
    event_id: Option<&str>,
    record: &CloudTrailRecord,
    event_time: Timestamp,
    user: &UserId,
) -> String {
    let parameters = &record.request_parameters;
    let created = &record.response_elements.access_key;
    let event_time = event_time.to_rfc3339();
    let mut content = vec![
        record.event_name.as_deref(),
        Some(event_time.as_str()),
        Some(user.account()),
        Some(user.name()),
        parameters.access_key_id.as_deref(),
        parameters.status.as_deref(),
        parameters.new_user_name.as_deref(),
        created.access_key_id.as_deref(),
    ];
    // Ids are stored, so those of the other kinds of change must stay the same.
    content.extend(parameters.policy_arn.as_ref().map(|arn| Some(arn.as_str())));
    let content: Vec<&str> = content.into_iter().map(Option::unwrap_or_default).collect();
    id_of(event_id, &content)
}

/// The id of a change: the event's id and a fingerprint of `content`.
pub(in crate::detect) fn id_of(event_id: Option<&str>, content: &[&str]) -> String {
    let content = content.join("\n");
    let fingerprint: String = sha256_hex(content.as_bytes()).chars().take(16).collect();
    match event_id {
        Some(event_id) => format!("{event_id}.{fingerprint}"),
        None => fingerprint,
    }
}

fn non_empty(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}
