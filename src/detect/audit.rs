//! The audit trail: what happened to a user's keys and findings, entry by entry, each with the hash of the one before.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::SecondsFormat;
use thiserror::Error;

use crate::detect::Timestamp;
use crate::detect::text::sha256_hex;
use crate::detect::user::UserId;

/// The version of the encoding that is hashed; it is the first thing in it.
const ENCODING: &str = "secondkey-audit-v1";

/// One entry of a user's audit trail. Never changed once written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Whose trail.
    pub user: UserId,
    /// Place in the trail, from 1, without gaps.
    pub sequence: u64,
    /// What happened.
    pub draft: AuditDraft,
    /// The hash of the entry before; empty for the first.
    pub previous_hash: String,
    /// The hash of this entry: SHA-256 over all the rest.
    pub hash: String,
}

/// What an entry says, before it has its place in the trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditDraft {
    /// When it happened; whole milliseconds count.
    pub at: Timestamp,
    /// When secondkey wrote it down.
    pub recorded_at: Timestamp,
    /// What happened.
    pub kind: AuditKind,
    /// The finding it is about.
    pub finding_id: Option<String>,
    /// CloudTrail's `eventID`, for what an event told.
    pub event_id: Option<String>,
    /// Who did it.
    pub actor: Option<String>,
    /// The rest, by name.
    pub details: BTreeMap<String, String>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AuditKind {
    /// An event told of a new key.
    KeyCreated,
    /// An event told of a key's new status.
    KeyUpdated,
    /// An event told of a key's end.
    KeyDeleted,
    /// An event told of the user's end.
    UserDeleted,
    /// An event told of the user's new name.
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
    /// An exemption hides the finding from now on.
    FindingSuppressed,
    /// The exemption that hid the finding does so no longer.
    ExemptionEnded,
    /// An entry that secondkey did not write stood where the next one belonged; the trail goes on behind it.
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

    /// The kind that `word` stands for.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// The end of a trail, where the next entry is joined on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChainHead {
    /// The sequence number of the last entry; 0 for an empty trail.
    pub sequence: u64,
    /// The hash of the last entry; empty for an empty trail.
    pub hash: String,
}

impl ChainHead {
    /// Joins `draft` onto the trail of `user`; this head moves to the new entry.
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
pub enum ChainBreak {
    /// An entry is not there.
    #[error("entry {0} is missing")]
    Missing(u64),
    /// An entry belongs to the trail of somebody else.
    #[error("entry {0} is of another user's trail")]
    Foreign(u64),
    /// An entry does not hash to what it says.
    #[error("entry {0} was changed: its content does not have the hash that it carries")]
    Changed(u64),
    /// An entry does not carry the hash of the one before.
    #[error("entry {0} does not follow the one before it: that one was replaced, or this one was")]
    Unjoined(u64),
    /// The record knows another end than the trail has.
    #[error(
        "the trail ends at entry {found}, but the user's record says that entry {expected} is the last"
    )]
    Truncated {
        /// Where the trail ends.
        found: u64,
        /// Where the record says that it ends.
        expected: u64,
    },
    /// The last entry is not the one that the record knows.
    #[error(
        "the last entry, {0}, is not the one that the user's record names: the trail was written again"
    )]
    OtherHead(u64),
}

/// Checks the trail of `user`, in order of sequence, against itself and against the `head` that the user's record
/// knows.
pub fn verify_trail(
    user: &UserId,
    entries: &[AuditEntry],
    head: &ChainHead,
) -> Result<(), ChainBreak> {
    let mut last_hash = "";
    for entry in joined(user, entries) {
        last_hash = &entry?.hash;
    }
    let found = entries.last().map_or(0, |entry| entry.sequence);
    if found != head.sequence {
        return Err(ChainBreak::Truncated {
            found,
            expected: head.sequence,
        });
    }
    if last_hash != head.hash {
        return Err(ChainBreak::OtherHead(found));
    }
    Ok(())
}

/// The place at which the trail of `user` holds the entry with `hash`; none if it does not, or only after a break,
/// where anybody may have written it.
#[must_use]
pub fn place_of(user: &UserId, entries: &[AuditEntry], hash: &str) -> Option<u64> {
    joined(user, entries)
        .map_while(Result::ok)
        .find(|entry| entry.hash == hash)
        .map(|entry| entry.sequence)
}

/// Each entry, if it is the one that follows the one before it in the trail of `user`.
fn joined<'a>(
    user: &'a UserId,
    entries: &'a [AuditEntry],
) -> impl Iterator<Item = Result<&'a AuditEntry, ChainBreak>> {
    let hashes_before = std::iter::once("").chain(entries.iter().map(|entry| entry.hash.as_str()));
    let places = entries.iter().zip(1..).zip(hashes_before);
    places.map(move |((entry, place), hash_before)| {
        if entry.sequence != place {
            return Err(ChainBreak::Missing(place));
        }
        if entry.user != *user {
            return Err(ChainBreak::Foreign(place));
        }
        if entry.previous_hash != hash_before {
            return Err(ChainBreak::Unjoined(place));
        }
        if entry_hash(user, place, &entry.draft, hash_before) != entry.hash {
            return Err(ChainBreak::Changed(place));
        }
        Ok(entry)
    })
}

/// SHA-256 over the encoding: every field in a fixed order as `<length in bytes>:<text>,`, so that no two entries
/// encode alike; an absent field is `-,`.
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
            Err(ChainBreak::Changed(3))
        );
    }

    #[test]
    fn a_removed_entry_is_named() {
        let (mut entries, head) = trail(5);
        entries.remove(1);
        assert_eq!(
            verify_trail(&user(), &entries, &head),
            Err(ChainBreak::Missing(2))
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
            Err(ChainBreak::Unjoined(3))
        );
    }

    #[test]
    fn a_cut_trail_is_told_by_the_record() {
        let (mut entries, head) = trail(5);
        entries.pop();
        let expected = ChainBreak::Truncated {
            found: 4,
            expected: 5,
        };
        assert_eq!(verify_trail(&user(), &entries, &head), Err(expected));
    }

    #[test]
    fn a_trail_written_again_from_its_middle_is_told_by_the_record() {
        let (mut entries, head) = trail(3);
        let mut forged = ChainHead {
            sequence: 2,
            hash: entries[1].hash.clone(),
        };
        entries[2] = forged.append(&user(), draft(99));
        assert_eq!(
            verify_trail(&user(), &entries, &head),
            Err(ChainBreak::OtherHead(3))
        );
    }

    #[test]
    fn the_trail_of_another_user_is_not_taken_for_this_one_s() {
        let (entries, head) = trail(3);
        let other = UserId::new("111122223333", "mallory");
        assert_eq!(verify_trail(&user(), &entries, &head), Ok(()));
        let foreign = verify_trail(&other, &entries, &head);
        assert_eq!(foreign, Err(ChainBreak::Foreign(1)));
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
    fn what_is_hashed_never_changes_or_older_trails_would_look_tampered_with() {
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
