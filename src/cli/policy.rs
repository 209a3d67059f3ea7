//! The options by which a command is told how to judge.

use chrono::TimeDelta;

use crate::detect::policy::Policy;

/// How findings are judged.
#[derive(Debug, clap::Args)]
pub struct PolicyArgs {
    /// How long two active keys count as a rotation, in hours; a finding that outlives it has the severity HIGH
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=8760))]
    rotation_window_hours: u32,

    /// The ARN of somebody who may make keys for others, with `*` and `?`; may be given more than once. Where one is given,
    /// a key that somebody else makes for another user has the severity HIGH at once
    #[arg(long = "trusted-actor", value_name = "PATTERN")]
    trusted_actors: Vec<String>,

    /// Leave the severity alone where an unfamiliar actor makes a key for a user. Without this it is HIGH at once: the
    /// actor is not the user, not trusted, and has completed no rotation in the account before
    #[arg(long)]
    ignore_unfamiliar_actors: bool,
}

impl PolicyArgs {
    /// The policy that the options describe.
    #[must_use]
    pub fn policy(&self) -> Policy {
        Policy {
            rotation_window: TimeDelta::hours(i64::from(self.rotation_window_hours)),
            trusted_actors: self.trusted_actors.clone(),
            raises_unfamiliar: !self.ignore_unfamiliar_actors,
            ..Policy::default()
        }
    }
}
