//! The settings that an operator may change.

use chrono::TimeDelta;

/// The settings that a decision depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// How long a listing may miss a change. Zero for a key source that is never behind its events.
    pub consistency_window: TimeDelta,
    /// How long two active keys count as a rotation, before the severity becomes high.
    pub rotation_window: TimeDelta,
    /// ARN patterns (`*` and `?`) of the actors who may create keys for others. If empty, this rule
    /// does not raise the severity of any finding, because administrators and pipelines create most
    /// keys.
    pub trusted_actors: Vec<String>,
    /// Whether an unfamiliar actor who creates a key for a user raises the severity.
    pub unfamiliar_actor_raises_severity: bool,
    /// How often an open finding is sent again to sinks that forget findings. `None` if there are
    /// no such sinks.
    pub refresh_every: Option<TimeDelta>,
}

impl Policy {
    /// The delay of the first re-check after an unsettled view.
    pub const FIRST_RECHECK: TimeDelta = TimeDelta::seconds(5);

    /// The delay of the last re-check after a finding was closed as never confirmed.
    pub const NEVER_CONFIRMED_RECHECK: TimeDelta = TimeDelta::minutes(10);

    /// The delay of a re-check after a refused listing, or for a root report that is too old: the
    /// longest delay that SQS allows. A report is generated at most every four hours, and a missing
    /// role is not restored within seconds.
    pub const SLOW_RECHECK: TimeDelta = TimeDelta::minutes(15);

    /// How long a credential report may miss a change of root's keys, counted from the report's own
    /// time: its rows are read before it is finished. AWS documents no bound. A report is generated
    /// at most every four hours, so an hour costs little.
    pub const REPORT_CONSISTENCY_WINDOW: TimeDelta = TimeDelta::hours(1);

    /// How long a key must have been inactive for its reactivation to raise the severity.
    pub const DORMANT: TimeDelta = TimeDelta::days(30);

    /// For how long a reactivation by the actor who deactivated the key counts as a rollback. Old
    /// keys are usually deleted a few days after their deactivation.
    pub const ROLLBACK: TimeDelta = TimeDelta::days(7);

    /// How long IAM may still accept a key that was deactivated or deleted: it is eventually
    /// consistent (IAM user guide, "Changes that I make are not always immediately visible"). AWS
    /// documents no bound; it takes seconds. A later use shows that the key is active.
    pub const USE_GRACE_PERIOD: TimeDelta = TimeDelta::minutes(5);

    /// How long the worker that committed an alert has to deliver it before other workers may.
    pub const DELIVERY_GRACE: TimeDelta = TimeDelta::seconds(30);

    /// How long after an unsettled view the listing can be trusted again.
    #[must_use]
    pub fn settled_recheck(&self) -> TimeDelta {
        self.consistency_window + Self::FIRST_RECHECK
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            consistency_window: TimeDelta::seconds(60),
            rotation_window: TimeDelta::hours(24),
            trusted_actors: Vec::new(),
            unfamiliar_actor_raises_severity: true,
            refresh_every: None,
        }
    }
}
