//! Whether the report can be trusted: every trail of the store is checked and compared with the
//! findings.

use std::collections::HashSet;

use crate::output::number::{count, entry_count};
use crate::output::report::Report;
use crate::output::report::audit_trail::{Trail, TrailEvidence, TrailState, not_kept};

/// The result of the checks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Integrity {
    /// How many trails were checked.
    pub trails: usize,
    /// How many entries they have.
    pub entries: usize,
    /// How many trails are broken.
    pub broken: usize,
    /// How many items could not be read, trails and others.
    pub unread: usize,
    /// How many times a finding and a trail disagree.
    pub differing: usize,
    /// Each problem, in the order of users.
    pub troubles: Vec<IntegrityProblem>,
}

/// One problem. Its texts are not escaped yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IntegrityProblem {
    /// `BROKEN`, `UNREAD` or `DIFFERS`.
    pub word: &'static str,
    /// What it is about.
    pub subject: String,
    /// What is wrong.
    pub reason: String,
}

impl Integrity {
    /// Checks everything in `report`, whatever its period.
    #[must_use]
    pub(crate) fn of(report: &Report) -> Self {
        // A user with nothing ever recorded has no trail.
        let has_trail =
            |trail: &&Trail| !trail.entries.is_empty() || trail.state != TrailState::Whole;
        let mut integrity = Self {
            trails: report.trails.values().filter(has_trail).count(),
            ..Self::default()
        };
        for reason in &report.unread {
            integrity.unread += 1;
            integrity.add("UNREAD", "the store", reason);
        }
        let ids = report
            .findings
            .iter()
            .map(|one| one.alert.finding.id.to_string());
        let kept: HashSet<String> = ids.collect();
        let now = report.period.now;
        for (user, trail) in &report.trails {
            let subject = format!("trail of {user}");
            integrity.entries += trail.entries.len();
            match &trail.state {
                TrailState::Broken(chain_break) => {
                    integrity.broken += 1;
                    integrity.add("BROKEN", &subject, &chain_break.to_string());
                }
                TrailState::Unread(reason) => {
                    integrity.unread += 1;
                    integrity.add("UNREAD", &subject, reason);
                }
                TrailState::Whole => {
                    for id in not_kept(&trail.entries, |id| kept.contains(id), now) {
                        integrity.differing += 1;
                        let reason = "the trail opens it, but the store has no such finding";
                        integrity.add("DIFFERS", &format!("finding {id}"), reason);
                    }
                }
            }
        }
        for snapshot in &report.findings {
            let finding = &snapshot.alert.finding;
            let evidence = TrailEvidence::of(finding, report.trails.get(finding.user()), now);
            if let TrailEvidence::Differs(reason) = evidence {
                integrity.differing += 1;
                integrity.add("DIFFERS", &format!("finding {}", finding.id), reason);
            }
        }
        integrity
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub(crate) fn is_whole(&self) -> bool {
        self.troubles.is_empty()
    }

    /// The result of the checks, in a sentence.
    #[must_use]
    pub(crate) fn words(&self) -> String {
        let Self {
            trails, entries, ..
        } = self;
        let checked = format!(
            "{} checked, {}",
            count(*trails, "trail"),
            entry_count(*entries)
        );
        match (self.is_whole(), trails) {
            (true, 0) => return "no audit trail to check".to_owned(),
            (true, _) => return format!("{checked}: all intact"),
            (false, _) => {}
        }
        format!(
            "{checked}: {} broken, {} not readable, {} that differ from a finding",
            self.broken, self.unread, self.differing
        )
    }

    fn add(&mut self, word: &'static str, subject: &str, reason: &str) {
        self.troubles.push(IntegrityProblem {
            word,
            subject: subject.to_owned(),
            reason: reason.to_owned(),
        });
    }
}
