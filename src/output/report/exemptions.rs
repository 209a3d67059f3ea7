//! The exemptions of a report: the stored ones, and removed ones that findings still name.

use std::collections::BTreeMap;

use crate::detect::Timestamp;
use crate::detect::decision::exemption::Exemption;
use crate::detect::findings::finding::Finding;

/// One exemption, and what it suppresses or suppressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row<'a> {
    pub(super) account: &'a str,
    pub(super) id: &'a str,
    /// Whose keys; not known for a removed exemption.
    pub(super) user_pattern: Option<&'a str>,
    /// Who may have made them active; not known for a removed exemption.
    pub(super) actor_pattern: Option<&'a str>,
    pub(super) owner: &'a str,
    pub(super) reason: &'a str,
    pub(super) created_at: Timestamp,
    pub(super) until: Timestamp,
    pub(super) state: ExemptionState,
    /// How many findings of the period it suppresses or suppressed.
    pub(super) findings: usize,
}

/// The state of an exemption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ExemptionState {
    /// It suppresses what it covers.
    InForce,
    /// It is stored but suppresses nothing: it is incomplete, lasts too long, or has not begun.
    NotValid,
    /// It has reached its end.
    Ended,
    /// It was removed or replaced before its end.
    Removed,
}

impl ExemptionState {
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::InForce => "in force",
            Self::NotValid => "not valid",
            Self::Ended => "ended",
            Self::Removed => "removed",
        }
    }
}

/// The exemptions at `now`: those in force first, and among them the one that ends first.
pub(super) fn rows<'a>(
    kept: &'a [Exemption],
    findings: &[&'a Finding],
    now: Timestamp,
) -> Vec<Row<'a>> {
    let kept = kept.iter().map(|one| {
        let row = Row {
            account: &one.account,
            id: &one.id,
            user_pattern: Some(&one.user_pattern),
            actor_pattern: Some(&one.actor_pattern),
            owner: &one.owner,
            reason: &one.reason,
            created_at: one.created_at,
            until: one.until,
            state: match (one.is_in_force(now), one.until <= now) {
                (true, _) => ExemptionState::InForce,
                (false, true) => ExemptionState::Ended,
                (false, false) => ExemptionState::NotValid,
            },
            findings: 0,
        };
        ((row.account, row.id, row.created_at), row)
    });
    let mut rows: BTreeMap<(&str, &str, Timestamp), Row<'a>> = kept.collect();
    for finding in findings {
        let Some(one) = &finding.exemption else {
            continue;
        };
        let account = finding.user().account();
        let row = rows
            .entry((account, &one.id, one.created_at))
            .or_insert(Row {
                account,
                id: &one.id,
                user_pattern: None,
                actor_pattern: None,
                owner: &one.owner,
                reason: &one.reason,
                created_at: one.created_at,
                until: one.until,
                state: if one.until <= now {
                    ExemptionState::Ended
                } else {
                    ExemptionState::Removed
                },
                findings: 0,
            });
        row.findings += 1;
    }
    let mut rows: Vec<Row<'a>> = rows.into_values().collect();
    rows.sort_by_key(|row| (row.state, row.until));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{at, exemption};
    use crate::output::testing;

    #[test]
    fn exemption_is_in_force_ended_or_not_valid() {
        let one = exemption("one");
        let kept = [
            Exemption {
                id: "no-owner".to_owned(),
                owner: String::new(),
                ..one.clone()
            },
            one.clone(),
        ];
        let states = |now| -> Vec<(&str, ExemptionState)> {
            let rows = rows(&kept, &[], now);
            rows.iter().map(|row| (row.id, row.state)).collect()
        };
        assert_eq!(
            states(one.until - chrono::TimeDelta::seconds(1)),
            [
                ("one", ExemptionState::InForce),
                ("no-owner", ExemptionState::NotValid)
            ]
        );
        assert_eq!(
            states(one.until),
            [
                ("no-owner", ExemptionState::Ended),
                ("one", ExemptionState::Ended)
            ]
        );
    }

    #[test]
    fn removed_exemption_is_known_from_the_finding_it_suppressed() {
        let finding = testing::exempt().finding;
        let hidden = finding.exemption.clone().unwrap();
        let rows_at = |now| rows(&[], &[&finding, &finding], now);
        let rows = rows_at(at(10));
        let [row] = &rows[..] else { panic!("{rows:?}") };
        assert_eq!((row.state, row.findings), (ExemptionState::Removed, 2));
        assert_eq!((row.id, row.owner), ("build-farm", "platform team"));
        assert_eq!(row.user_pattern, None);
        assert_eq!(rows_at(hidden.until)[0].state, ExemptionState::Ended);
    }

    #[test]
    fn stored_exemption_has_one_row_with_what_it_suppresses() {
        let finding = testing::exempt().finding;
        let hidden = finding.exemption.clone().unwrap();
        let kept = Exemption {
            id: hidden.id,
            account: finding.user().account().to_owned(),
            created_at: hidden.created_at,
            until: hidden.until,
            ..exemption("any")
        };
        let kept = [kept];
        let rows = rows(&kept, &[&finding], at(10));
        assert_eq!(rows.len(), 1);
        assert_eq!(
            (rows[0].state, rows[0].findings),
            (ExemptionState::InForce, 1)
        );
    }
}
