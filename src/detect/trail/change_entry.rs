//! A change that secondkey made itself, appended to the trail without a decision.

use crate::detect::Timestamp;
use crate::detect::events::key_change::KeyChange;
use crate::detect::records::user_record::UserRecord;
use crate::detect::trail::audit::AuditEntry;
use crate::detect::trail::audit_entries;

/// The record after `change` was recorded at `now`, and its audit entry. Evidence, listing and
/// finding do not change, because nothing is decided here.
#[must_use]
pub(crate) fn append_change(
    record: &UserRecord,
    change: &KeyChange,
    now: Timestamp,
) -> (UserRecord, AuditEntry) {
    let mut next = record.clone();
    next.version += 1;
    if record.version == 0 {
        next.display_name.clone_from(&change.user_name);
    }
    let entry = next
        .audit
        .append(&record.user, audit_entries::of_change(change, now));
    (next, entry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{at, created, deleted, user};
    use crate::detect::trail::audit::{AuditKind, verify_trail};

    #[test]
    fn note_extends_the_trail_and_changes_nothing_else() {
        let (first, one) = append_change(&UserRecord::new(user()), &created("K1", 5), at(6));
        let (second, two) = append_change(&first, &deleted("K1", 7), at(8));
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
