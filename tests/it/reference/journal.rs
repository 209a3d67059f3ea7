//! What really happened: what was committed and what the sinks accepted. The journal outlives the
//! workers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use secondkey::detect::Timestamp;
use secondkey::detect::findings::alert::Alert;
use secondkey::detect::findings::finding::{Finding, FindingStatus};
use secondkey::detect::user::UserId;
use secondkey::pipeline::commit::Commit;
use secondkey::pipeline::error::ServiceError;

/// The journal of one world.
#[derive(Clone, Default)]
pub struct Journal(Arc<Mutex<Entries>>);

#[derive(Default)]
pub struct Entries {
    /// How many commits of each user were written.
    pub commits: BTreeMap<UserId, u64>,
    /// How many commits of each user began and were stopped before the answer: they may have been
    /// written.
    pub unanswered: BTreeMap<UserId, u64>,
    /// What the sinks accepted, in order.
    pub received: Vec<(&'static str, Alert)>,
    /// The sinks that are down, and whether they report that as permanent.
    pub down: BTreeMap<&'static str, Down>,
    /// The events whose messages were given up as done, by ID, and their users.
    pub done: BTreeMap<String, Vec<UserId>>,
    /// The opened findings, each with the time of its opening.
    pub opened: Vec<(Timestamp, Finding)>,
    /// The confirmed findings, each with the time of its confirmation.
    pub confirmed: Vec<(Timestamp, Finding)>,
    /// The closed findings, each with the time of its closing.
    pub closed: Vec<(Timestamp, Finding)>,
    /// The sinks that refused an alert permanently, after which later alerts may come first.
    pub refused_by: BTreeSet<&'static str>,
    open: BTreeMap<UserId, Finding>,
}

/// How a sink is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Down {
    /// It reports a temporary failure.
    ForNow,
    /// It reports that it will not accept the alert.
    ForGood,
}

impl Journal {
    /// The entries, to read or to change.
    pub fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap()
    }

    /// Notes that a commit of `user` has begun.
    pub fn began(&self, user: &UserId) {
        *self.entries().unanswered.entry(user.clone()).or_default() += 1;
    }

    /// Notes that the commit was answered.
    pub fn ended(&self, user: &UserId) {
        if let Some(unanswered) = self.entries().unanswered.get_mut(user) {
            *unanswered -= 1;
        }
    }

    /// Notes a commit that was written.
    pub fn committed(&self, commit: &Commit) {
        let mut entries = self.entries();
        let user = &commit.record.user;
        *entries.commits.entry(user.clone()).or_default() += 1;
        let before = entries.open.remove(user);
        let Some(finding) = &commit.record.finding else {
            return;
        };
        let was_confirmed = before.as_ref().is_some_and(|before| before.confirmed);
        match finding.status {
            FindingStatus::Closed if before.is_some() => {
                entries.closed.push((commit.at, finding.clone()));
            }
            FindingStatus::Closed => {}
            FindingStatus::Open | FindingStatus::Suppressed => {
                if before.is_none() {
                    entries.opened.push((commit.at, finding.clone()));
                }
                if finding.confirmed && !was_confirmed {
                    entries.confirmed.push((commit.at, finding.clone()));
                }
                entries.open.insert(user.clone(), finding.clone());
            }
        }
    }

    /// Accepts an alert for the sink `name` if that is up.
    pub fn received(&self, name: &'static str, alert: &Alert) -> Result<(), ServiceError> {
        let mut entries = self.entries();
        match entries.down.get(name) {
            None => {
                entries.received.push((name, alert.clone()));
                Ok(())
            }
            Some(Down::ForNow) => Err(ServiceError::retryable(format!("{name} is down"))),
            Some(Down::ForGood) => Err(ServiceError::permanent(format!("{name} refuses"))),
        }
    }
}
