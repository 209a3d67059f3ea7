//! The audit trail: what happened to a user's keys and findings. Each entry carries the hash of the
//! previous one.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::SecondsFormat;
use thiserror::Error;

use crate::detect::Timestamp;
use crate::detect::events::text::sha256_hex;
use crate::detect::user::UserId;

/// The version of the hashed encoding, and its first field.
const ENCODING: &str = "secondkey-audit-v1";

/// One entry of a user's audit trail. It never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// The user of the trail.
    pub user: UserId,
    /// The position in the trail, from 1, without gaps.
    pub sequence: u64,
    /// What happened.
    pub draft: AuditDraft,
    /// The hash of the previous entry; empty for the first.
    pub previous_hash: String,
    /// SHA-256 over everything else in this entry.
    pub hash: String,
}

/// The content of an entry, before it is appended to the trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditDraft {
    /// When it happened, in whole milliseconds.
    pub at: Timestamp,
    /// When secondkey recorded it.
    pub recorded_at: Timestamp,
    /// What happened.
    pub kind: AuditKind,
    /// The finding it is about.
    pub finding_id: Option<String>,
    /// CloudTrail's `eventID`, if an event led to the entry.
    pub event_id: Option<String>,
    /// Who did it.
    pub actor: Option<String>,
    /// More details, by name.
    pub details: BTreeMap<String, String>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AuditKind {
    /// An event: a key was created.
    KeyCreated,
    /// An event: a key's status was set.
    KeyUpdated,
    /// An event: a key was deleted.
    KeyDeleted,
    /// An event: the user was deleted.
    UserDeleted,
    /// An event: the user was renamed.
    UserRenamed,
    /// AWS reported that a key of the user leaked.
    KeyLeaked,
    /// A finding was opened.
    FindingOpened,
    /// A settled listing confirmed the finding.
    FindingConfirmed,
    /// Something about an open finding changed.
    FindingUpdated,
    /// The finding was closed.
    FindingClosed,
    /// An exemption suppresses the finding now.
    FindingSuppressed,
    /// The exemption that suppressed the finding no longer does.
    ExemptionEnded,
    /// An entry that secondkey did not write was found in place of the next one. The trail
    /// continues after it.
    ForeignEntry,
}

impl AuditKind {
    /// Every kind.
    pub const ALL: [Self; 13] = [
        Self::KeyCreated,
        Self::KeyUpdated,
        Self::KeyDeleted,
        Self::UserDeleted,
        Self::UserRenamed,
        Self::KeyLeaked,
        Self::FindingOpened,
        Self::FindingConfirmed,
        Self::FindingUpdated,
        Self::FindingClosed,
        Self::FindingSuppressed,
        Self::ExemptionEnded,
        Self::ForeignEntry,
    ];

    /// The word that is stored and hashed.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::KeyCreated => "key_created",
            Self::KeyUpdated => "key_updated",
            Self::KeyDeleted => "key_deleted",
            Self::UserDeleted => "user_deleted",
            Self::UserRenamed => "user_renamed",
            Self::KeyLeaked => "key_leaked",
            Self::FindingOpened => "finding_opened",
            Self::FindingConfirmed => "finding_confirmed",
            Self::FindingUpdated => "finding_updated",
            Self::FindingClosed => "finding_closed",
            Self::FindingSuppressed => "finding_suppressed",
            Self::ExemptionEnded => "exemption_ended",
            Self::ForeignEntry => "foreign_entry",
        }
    }

    /// The kind with this `word`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// The end of a trail, to which the next entry is appended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChainHead {
    /// The sequence number of the last entry; 0 for an empty trail.
    pub sequence: u64,
    /// The hash of the last entry; empty for an empty trail.
    pub hash: String,
}

impl ChainHead {
    /// Appends `draft` to the trail of `user`; this head moves to the new entry.
    #[must_use]
    pub fn append(&mut self, user: &UserId, draft: AuditDraft) -> AuditEntry {
        let sequence = self.sequence + 1;
        let previous_hash = std::mem::take(&mut self.hash);
        let hash = entry_hash(user, sequence, &draft, &previous_hash);
        *self = Self {
            sequence,
            hash: hash.clone(),
        };
        AuditEntry {
            user: user.clone(),
            sequence,
            draft,
            previous_hash,
            hash,
        }
    }
}

/// Where a trail is broken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BrokenTrailError {
    /// An entry is missing.
    #[error("entry {0} is missing")]
    Missing(u64),
    /// An entry belongs to another user's trail.
    #[error("entry {0} belongs to another user's trail")]
    Foreign(u64),
    /// An entry's hash does not match its content.
    #[error("entry {0} was changed: its hash does not match its content")]
    Changed(u64),
    /// An entry does not carry the hash of the previous one.
    #[error("entry {0} does not follow the one before it: that one was replaced, or this one was")]
    Unlinked(u64),
    /// The record and the trail disagree about the last entry.
    #[error(
        "the trail ends at entry {found}, but the user's record says that the last entry is {expected}"
    )]
    Truncated {
        /// Where the trail ends.
        found: u64,
        /// Where the record says it ends.
        expected: u64,
    },
    /// The last entry is not the one in the record.
    #[error("the last entry, {0}, does not match the user's record: the trail was rewritten")]
    OtherHead(u64),
}

/// Verifies the trail of `user`, in order of sequence: its own consistency, and the `head` in the
/// user's record.
pub fn verify_trail(
    user: &UserId,
    entries: &[AuditEntry],
    head: &ChainHead,
) -> Result<(), BrokenTrailError> {
    let mut last_hash = "";
    for entry in joined(user, entries) {
        last_hash = &entry?.hash;
    }
    let found = entries.last().map_or(0, |entry| entry.sequence);
    if found != head.sequence {
        return Err(BrokenTrailError::Truncated {
            found,
            expected: head.sequence,
        });
    }
    if last_hash != head.hash {
        return Err(BrokenTrailError::OtherHead(found));
    }
    Ok(())
}

/// The position of the entry with `hash` in the trail of `user`. `None` if it is missing, or behind
/// a break, where an attacker may have written it.
#[must_use]
pub(crate) fn place_of(user: &UserId, entries: &[AuditEntry], hash: &str) -> Option<u64> {
    joined(user, entries)
        .map_while(Result::ok)
        .find(|entry| entry.hash == hash)
        .map(|entry| entry.sequence)
}

/// Each entry, if it follows the previous one in the trail of `user`.
fn joined<'a>(
    user: &'a UserId,
    entries: &'a [AuditEntry],
) -> impl Iterator<Item = Result<&'a AuditEntry, BrokenTrailError>> {
    let hashes_before = std::iter::once("").chain(entries.iter().map(|entry| entry.hash.as_str()));
    let places = entries.iter().zip(1..).zip(hashes_before);
    places.map(move |((entry, place), hash_before)| {
        if entry.sequence != place {
            return Err(BrokenTrailError::Missing(place));
        }
        if entry.user != *user {
            return Err(BrokenTrailError::Foreign(place));
        }
        if entry.previous_hash != hash_before {
            return Err(BrokenTrailError::Unlinked(place));
        }
        if entry_hash(user, place, &entry.draft, hash_before) != entry.hash {
            return Err(BrokenTrailError::Changed(place));
        }
        Ok(entry)
    })
}

/// SHA-256 over the encoding: every field in a fixed order as `<length in bytes>:<text>,`, so that
/// no two entries have the same encoding. An absent field is `-,`.
fn entry_hash(user: &UserId, sequence: u64, draft: &AuditDraft, previous_hash: &str) -> String {
    let mut encoding = String::new();
    let mut field = |text: Option<&str>| match text {
        // Writing to a String cannot fail.
        Some(text) => drop(write!(encoding, "{}:{text},", text.len())),
        None => encoding.push_str("-,"),
    };
    let time = |at: Timestamp| at.to_rfc3339_opts(SecondsFormat::Millis, true);
    field(Some(ENCODING));
    field(Some(user.account()));
    field(Some(user.name()));
    field(Some(&sequence.to_string()));
    field(Some(&time(draft.at)));
    field(Some(&time(draft.recorded_at)));
    field(Some(draft.kind.word()));
    field(draft.finding_id.as_deref());
    field(draft.event_id.as_deref());
    field(draft.actor.as_deref());
    field(Some(&draft.details.len().to_string()));
    for (name, value) in &draft.details {
        field(Some(name));
        field(Some(value));
    }
    field(Some(previous_hash));
    sha256_hex(encoding.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{at, user};

    fn draft(number: i64) -> AuditDraft {
        AuditDraft {
            at: at(number),
            recorded_at: at(number),
            kind: AuditKind::KeyCreated,
            finding_id: None,
            event_id: Some(format!("event-{number}")),
            actor: None,
            details: BTreeMap::from([("key".to_owned(), "AKIA1".to_owned())]),
        }
    }

    fn trail(length: i64) -> (Vec<AuditEntry>, ChainHead) {
        let mut head = ChainHead::default();
        let entries = (1..=length)
            .map(|number| head.append(&user(), draft(number)))
            .collect();
        (entries, head)
    }

    #[test]
    fn an_untouched_trail_is_whole() {
        let (entries, head) = trail(5);
        assert_eq!(verify_trail(&user(), &entries, &head), Ok(()));
        assert_eq!(verify_trail(&user(), &[], &ChainHead::default()), Ok(()));
    }

    #[test]
    fn a_changed_entry_is_named() {
        let (mut entries, head) = trail(5);
        entries[2].draft.actor = Some("somebody else".to_owned());
        assert_eq!(
            verify_trail(&user(), &entries, &head),
            Err(BrokenTrailError::Changed(3))
        );
    }

    #[test]
    fn a_removed_entry_is_named() {
        let (mut entries, head) = trail(5);
        entries.remove(1);
        assert_eq!(
            verify_trail(&user(), &entries, &head),
            Err(BrokenTrailError::Missing(2))
        );
    }

    #[test]
    fn a_replaced_entry_breaks_the_join_with_the_next() {
        let (mut entries, head) = trail(5);
        let mut forged = ChainHead {
            sequence: 1,
            hash: entries[0].hash.clone(),
        };
        entries[1] = forged.append(&user(), draft(99));
        assert_eq!(
            verify_trail(&user(), &entries, &head),
            Err(BrokenTrailError::Unlinked(3))
        );
    }

    #[test]
    fn the_record_reveals_a_cut_trail() {
        let (mut entries, head) = trail(5);
        entries.pop();
        let expected = BrokenTrailError::Truncated {
            found: 4,
            expected: 5,
        };
        assert_eq!(verify_trail(&user(), &entries, &head), Err(expected));
    }

    #[test]
    fn the_record_reveals_a_rewritten_trail() {
        let (mut entries, head) = trail(3);
        let mut forged = ChainHead {
            sequence: 2,
            hash: entries[1].hash.clone(),
        };
        entries[2] = forged.append(&user(), draft(99));
        assert_eq!(
            verify_trail(&user(), &entries, &head),
            Err(BrokenTrailError::OtherHead(3))
        );
    }

    #[test]
    fn the_trail_of_another_user_is_detected() {
        let (entries, head) = trail(3);
        let other = UserId::new("111122223333", "mallory");
        assert_eq!(verify_trail(&user(), &entries, &head), Ok(()));
        let foreign = verify_trail(&other, &entries, &head);
        assert_eq!(foreign, Err(BrokenTrailError::Foreign(1)));
        assert_eq!(place_of(&other, &entries, &entries[1].hash), None);
    }

    #[test]
    fn an_entry_is_found_by_its_hash_as_long_as_nothing_before_it_is_broken() {
        let (mut entries, _) = trail(5);
        let hashes: Vec<String> = entries.iter().map(|entry| entry.hash.clone()).collect();
        let places = |entries: &[AuditEntry]| -> Vec<Option<u64>> {
            hashes
                .iter()
                .map(|hash| place_of(&user(), entries, hash))
                .collect()
        };
        assert_eq!(
            places(&entries),
            [Some(1), Some(2), Some(3), Some(4), Some(5)]
        );
        assert_eq!(place_of(&user(), &entries, &hashes[0][..63]), None);
        entries[2].draft.actor = Some("somebody else".to_owned());
        assert_eq!(places(&entries), [Some(1), Some(2), None, None, None]);
    }

    #[test]
    fn moving_text_from_one_field_to_the_next_changes_the_hash() {
        let mut one = draft(1);
        one.event_id = Some("ab".to_owned());
        one.actor = Some("c".to_owned());
        let mut two = draft(1);
        two.event_id = Some("a".to_owned());
        two.actor = Some("bc".to_owned());
        assert_ne!(
            entry_hash(&user(), 1, &one, ""),
            entry_hash(&user(), 1, &two, "")
        );
    }

    #[test]
    fn hashed_encoding_never_changes() {
        let encoding = concat!(
            "18:secondkey-audit-v1,12:111122223333,5:alice,1:2,",
            "24:2023-11-14T22:13:21.000Z,24:2023-11-14T22:13:21.000Z,",
            "11:key_created,-,7:event-1,-,1:1,3:key,5:AKIA1,6:before,"
        );
        assert_eq!(
            entry_hash(&user(), 2, &draft(1), "before"),
            sha256_hex(encoding.as_bytes())
        );
    }

    #[test]
    fn every_kind_is_read_back_from_its_word() {
        for kind in AuditKind::ALL {
            assert_eq!(AuditKind::parse(kind.word()), Some(kind));
        }
        assert_eq!(AuditKind::parse("key_lost"), None);
    }
}
