//! A change that we made ourselves, written into the trail without deciding anything.

use crate::detect::Timestamp;
use crate::detect::audit::AuditEntry;
use crate::detect::key_change::KeyChange;
use crate::detect::trail;
use crate::detect::user_record::UserRecord;

/// The record after `change` was written down at `now`, and the entry that tells of it. Evidence, listing and finding stay
/// as they are: nothing is decided on a note.
#[must_use]
pub fn note(record: &UserRecord, change: &KeyChange, now: Timestamp) -> (UserRecord, AuditEntry) {
    let mut next = record.clone();
    next.version += 1;
    if record.version == 0 {
        next.display_name.clone_from(&change.user_name);
    }
    let entry = next
        .audit
        .append(&record.user, trail::of_change(change, now));
    (next, entry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::audit::{AuditKind, verify_trail};
    use crate::detect::testing::{at, created, deleted, user};

    #[test]
    fn a_note_grows_the_trail_and_changes_nothing_that_is_decided_on() {
        let (first, one) = note(&UserRecord::new(user()), &created("K1", 5), at(6));
        let (second, two) = note(&first, &deleted("K1", 7), at(8));
        assert_eq!((first.version, second.version), (1, 2));
        assert_eq!(two.draft.kind, AuditKind::KeyDeleted);
        assert_eq!(verify_trail(&user(), &[one, two], &second.audit), Ok(()));
        let untouched = UserRecord {
            version: 2,
            display_name: "Alice".to_owned(),
            audit: second.audit.clone(),
            ..UserRecord::new(user())
        };
        assert_eq!(second, untouched);
    }
}
