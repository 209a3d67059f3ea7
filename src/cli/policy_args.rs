//! The options for the policy by which findings are judged.

use chrono::TimeDelta;

use crate::detect::decision::policy::Policy;

/// How findings are judged.
#[derive(Debug, clap::Args)]
pub(crate) struct PolicyArgs {
    /// How long two active keys count as a rotation, in hours. A finding that stays open longer has the
    /// severity HIGH
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=8760))]
    rotation_window_hours: u32,

    /// A pattern (`*`, `?`) for the ARNs of actors that may create keys for other users. Can be repeated.
    /// With at least one pattern, a key that any other actor creates for another user is HIGH at once
    #[arg(long = "trusted-actor", value_name = "PATTERN")]
    trusted_actors: Vec<String>,

    /// Do not raise the severity when an unfamiliar actor creates a key. By default that is HIGH at once.
    /// An actor is unfamiliar if it is not the user, is not trusted, and has not completed a rotation
    /// for another user in the account within the last 180 days
    #[arg(long)]
    ignore_unfamiliar_actors: bool,
}

impl PolicyArgs {
    #[must_use]
    pub(crate) fn policy(&self) -> Policy {
        Policy {
            rotation_window: TimeDelta::hours(i64::from(self.rotation_window_hours)),
            trusted_actors: self.trusted_actors.clone(),
            unfamiliar_actor_raises_severity: !self.ignore_unfamiliar_actors,
            ..Policy::default()
        }
    }
}
