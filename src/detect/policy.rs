//! What an operator may set.

use chrono::TimeDelta;

/// The settings that a decision depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// How long a change may stay unseen by a listing. Zero for a key source that is never behind its events.
    pub settle: TimeDelta,
    /// How long two active keys are a rotation and not yet a finding of high severity.
    pub rotation_window: TimeDelta,
    /// ARN patterns (`*` and `?`) of those who make keys for others as their job. Where none is given, nobody's making
    /// a key raises the severity by this, for an administrator or a pipeline makes most keys.
    pub trusted_actors: Vec<String>,
    /// Whether a key that an unfamiliar actor makes for a user raises the severity.
    pub raises_unfamiliar: bool,
}

impl Policy {
    /// How long after an unsettled view the user is looked at again for the first time.
    pub const FIRST_RECHECK: TimeDelta = TimeDelta::seconds(5);

    /// How long after a finding was closed as never confirmed the user is looked at once more.
    pub const NEVER_CONFIRMED_RECHECK: TimeDelta = TimeDelta::minutes(10);

    /// How long after a refused listing, or for a root report that is too old, the user is looked at again: SQS's
    /// longest delay. A report is rebuilt at most every four hours, and a lost role is not back in seconds.
    pub const PATIENT_RECHECK: TimeDelta = TimeDelta::minutes(15);

    /// How long a change of root's keys may stay unseen by a credential report, counted from the report's own time: its rows
    /// are read before it is finished. AWS documents no bound. A report is made at most every four hours, so an hour costs
    /// little.
    pub const REPORT_SETTLE: TimeDelta = TimeDelta::hours(1);

    /// How long a key has to be inactive for its reactivation to raise the severity.
    pub const DORMANT: TimeDelta = TimeDelta::days(30);

    /// For how long a reactivation by whoever deactivated the key is a rollback. An old key is deleted some days after its
    /// deactivation.
    pub const ROLLBACK: TimeDelta = TimeDelta::days(7);

    /// How long the worker that committed an alert has to deliver it before another one may.
    pub const DELIVERY_GRACE: TimeDelta = TimeDelta::seconds(30);

    /// How long after an unsettled view the listing can be trusted again.
    #[must_use]
    pub fn late_recheck(&self) -> TimeDelta {
        self.settle + Self::FIRST_RECHECK
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            settle: TimeDelta::seconds(60),
            rotation_window: TimeDelta::hours(24),
            trusted_actors: Vec::new(),
            raises_unfamiliar: true,
        }
    }
}
