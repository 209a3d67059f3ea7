//! The settings of a function, read from its environment.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::str::FromStr;

use chrono::TimeDelta;
use tracing::level_filters::LevelFilter;

use crate::aws::accounts::{ACCOUNT_PLACEHOLDER, MemberRole, is_account_id};
use crate::aws::suspects::SweepMode;
use crate::detect::decision::policy::Policy;

/// The values of `LOG_LEVEL`. A lower level would log request bodies.
const LOG_LEVELS: [&str; 4] = ["error", "warn", "info", "debug"];
const DEFAULT_LOG_LEVEL: LevelFilter = LevelFilter::INFO;

/// How often Security Hub gets an open finding again. It drops a finding 90 days after the last
/// update (Security Hub user guide, creating and updating findings).
const REFRESH_EVERY: TimeDelta = TimeDelta::days(7);

/// The settings of the detector, which the sweeper shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `ACCOUNT_ID`: the account that the function runs in and whose users it lists.
    pub account: String,
    /// `LOG_LEVEL`: the minimum level to log.
    pub log_level: LevelFilter,
    /// `TABLE_NAME`: the DynamoDB table.
    pub table: String,
    /// `CHANGES_QUEUE_URL`: the queue for re-checks.
    pub changes_queue_url: String,
    /// `DEAD_LETTER_QUEUE_URL`: where the detector sends a message that cannot be read. If empty or
    /// absent, such a message is retried until SQS gives it up.
    pub dead_letter_queue_url: Option<String>,
    /// `ALERT_TOPIC_ARN`: the SNS topic for alerts. Empty or absent for none.
    pub alert_topic_arn: Option<String>,
    /// `EVENT_BUS_NAME`: the event bus for alerts. Empty or absent for none.
    pub event_bus_name: Option<String>,
    /// `MEMBER_ROLE_ARN`, `MEMBER_EXTERNAL_ID`: the role in other accounts. Empty or absent for
    /// none.
    pub member_role: Option<MemberRole>,
    /// `EXCLUDED_ACCOUNTS`: the IDs of the member accounts that are not watched, separated by
    /// commas.
    pub excluded_accounts: BTreeSet<String>,
    /// `SETTLE_SECONDS`, `ROTATION_WINDOW_HOURS`, `TRUSTED_ACTORS` (patterns of ARNs, separated by
    /// commas), `UNFAMILIAR_ACTORS` (whether a key that an unfamiliar actor created raises the
    /// severity), `SECURITY_HUB_IMPORT` (if it is not `off`, open findings are refreshed).
    pub policy: Policy,
}

impl Settings {
    /// Reads the settings from the environment. Reports all problems at once.
    pub fn from_env() -> Result<Self, SettingsError> {
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    /// Reads the settings from `lookup`.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let lookup = trimmed(lookup);
        let mut problems = Vec::new();
        let mut required = |name: &str| required(&lookup, &mut problems, name);
        let account = required("ACCOUNT_ID");
        let table = required("TABLE_NAME");
        let changes_queue_url = required("CHANGES_QUEUE_URL");
        let dead_letter_queue_url = lookup("DEAD_LETTER_QUEUE_URL");
        let alert_topic_arn = lookup("ALERT_TOPIC_ARN");
        let event_bus_name = lookup("EVENT_BUS_NAME");
        if alert_topic_arn.is_none() && event_bus_name.is_none() {
            problems.push(
                "neither `ALERT_TOPIC_ARN` nor `EVENT_BUS_NAME` is set, so no alert would be delivered; set at least one of them"
                    .to_owned(),
            );
        }
        let default = Policy::default();
        let settle_seconds = number(
            &lookup,
            &mut problems,
            "SETTLE_SECONDS",
            // The late re-check follows it, within the longest delay of an SQS message.
            0..=890,
            default.consistency_window.num_seconds(),
        );
        let rotation_window_hours = number(
            &lookup,
            &mut problems,
            "ROTATION_WINDOW_HOURS",
            1..=8_760,
            default.rotation_window.num_hours(),
        );
        let log_level = log_level(&lookup, &mut problems);
        let member_role = member_role(&lookup, &mut problems);
        let excluded_accounts = listed(&lookup, "EXCLUDED_ACCOUNTS").into_iter().collect();
        if let Some(problem) = problem_of_excluded(&excluded_accounts, &account) {
            problems.push(problem);
        }
        let trusted_actors = listed(&lookup, "TRUSTED_ACTORS");
        let raises_unfamiliar = one_of(
            &lookup,
            &mut problems,
            "UNFAMILIAR_ACTORS",
            default.unfamiliar_actor_raises_severity,
            &[false, true],
        );
        let import = one_of(
            &lookup,
            &mut problems,
            "SECURITY_HUB_IMPORT",
            "off",
            &["off", "central", "members"],
        );
        if !problems.is_empty() {
            return Err(SettingsError { problems });
        }
        Ok(Self {
            account,
            log_level,
            table,
            changes_queue_url,
            dead_letter_queue_url,
            alert_topic_arn,
            event_bus_name,
            member_role,
            excluded_accounts,
            policy: Policy {
                consistency_window: TimeDelta::seconds(settle_seconds),
                rotation_window: TimeDelta::hours(rotation_window_hours),
                trusted_actors,
                unfamiliar_actor_raises_severity: raises_unfamiliar,
                refresh_every: (import != "off").then_some(REFRESH_EVERY),
            },
        })
    }
}

/// The values of a variable, separated by commas.
fn listed(lookup: &impl Fn(&str) -> Option<String>, name: &str) -> Vec<String> {
    let values = lookup(name).unwrap_or_default();
    let values = values.split(',').map(|value| value.trim().to_owned());
    values.filter(|value| !value.is_empty()).collect()
}

/// Why `excluded` cannot be excluded, if so. A mistyped ID would leave its account watched, and
/// without its own account the deployment could not be probed.
fn problem_of_excluded(excluded: &BTreeSet<String>, own_account: &str) -> Option<String> {
    if let Some(invalid) = excluded.iter().find(|account| !is_account_id(account)) {
        return Some(format!(
            "environment variable `EXCLUDED_ACCOUNTS` contains `{invalid}`; an account ID has 12 digits"
        ));
    }
    excluded.contains(own_account).then(|| {
        format!(
            "environment variable `EXCLUDED_ACCOUNTS` contains `{own_account}`, the account of this function; remove it"
        )
    })
}

/// Additional settings of the sweeper.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepSettings {
    /// `SWEEP_QUEUE_URL`: the sweeper's own queue.
    pub queue_url: String,
    /// `SWEEP_MODE`: how an account's suspects are found.
    pub mode: SweepMode,
    /// `LIST_ACCOUNTS`: whether the sweeper also sweeps the organization's accounts.
    pub lists_accounts: bool,
    /// `REMINDER_HOURS`: how often reminders of findings past their rotation window are sent.
    pub remind_every: TimeDelta,
}

impl SweepSettings {
    /// Reads the settings from the environment. Reports all problems at once.
    pub fn from_env() -> Result<Self, SettingsError> {
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    /// Reads the settings from `lookup`.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let lookup = trimmed(lookup);
        let mut problems = Vec::new();
        let settings = Self {
            queue_url: required(&lookup, &mut problems, "SWEEP_QUEUE_URL"),
            mode: one_of(
                &lookup,
                &mut problems,
                "SWEEP_MODE",
                SweepMode::Auto,
                &SweepMode::ALL,
            ),
            lists_accounts: one_of(
                &lookup,
                &mut problems,
                "LIST_ACCOUNTS",
                false,
                &[false, true],
            ),
            // At most daily, because more frequent reminders are not read.
            remind_every: TimeDelta::hours(number(
                &lookup,
                &mut problems,
                "REMINDER_HOURS",
                24..=8_760,
                24,
            )),
        };
        if problems.is_empty() {
            Ok(settings)
        } else {
            Err(SettingsError { problems })
        }
    }
}

/// The value of `known` that the variable names.
fn one_of<T: Display + Copy>(
    lookup: &impl Fn(&str) -> Option<String>,
    problems: &mut Vec<String>,
    name: &str,
    default: T,
    known: &[T],
) -> T {
    let Some(text) = lookup(name) else {
        return default;
    };
    let found = known
        .iter()
        .copied()
        .find(|known| known.to_string().eq_ignore_ascii_case(&text));
    found.unwrap_or_else(|| {
        let words: Vec<String> = known.iter().map(ToString::to_string).collect();
        problems.push(format!(
            "environment variable `{name}` is `{text}`; it must be one of {}",
            words.join(", ")
        ));
        default
    })
}

/// All problems with the settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", problems.join("\n"))]
pub struct SettingsError {
    pub(super) problems: Vec<String>,
}

/// Wraps `lookup` so that a blank value counts as not set.
pub(super) fn trimmed(lookup: impl Fn(&str) -> Option<String>) -> impl Fn(&str) -> Option<String> {
    move |name| {
        lookup(name)
            .map(|text| text.trim().to_owned())
            .filter(|text| !text.is_empty())
    }
}

pub(super) fn required(
    lookup: &impl Fn(&str) -> Option<String>,
    problems: &mut Vec<String>,
    name: &str,
) -> String {
    lookup(name).unwrap_or_else(|| {
        problems.push(format!(
            "environment variable `{name}` is not set; sam deploy sets it, or export it"
        ));
        String::new()
    })
}

/// `MEMBER_ROLE_ARN` and `MEMBER_EXTERNAL_ID`: the role in other accounts. Empty or absent for
/// none.
pub(super) fn member_role(
    lookup: &impl Fn(&str) -> Option<String>,
    problems: &mut Vec<String>,
) -> Option<MemberRole> {
    let arn = lookup("MEMBER_ROLE_ARN")?;
    if !arn.starts_with("arn:") || !arn.contains(ACCOUNT_PLACEHOLDER) {
        problems.push(format!(
            "environment variable `MEMBER_ROLE_ARN` is `{arn}`; it must be an ARN with {ACCOUNT_PLACEHOLDER} for the account, such as arn:aws:iam::{ACCOUNT_PLACEHOLDER}:role/secondkey-audit"
        ));
    }
    Some(MemberRole {
        arn,
        external_id: lookup("MEMBER_EXTERNAL_ID"),
    })
}

pub(super) fn log_level(
    lookup: &impl Fn(&str) -> Option<String>,
    problems: &mut Vec<String>,
) -> LevelFilter {
    let Some(text) = lookup("LOG_LEVEL") else {
        return DEFAULT_LOG_LEVEL;
    };
    let known = LOG_LEVELS
        .into_iter()
        .find(|level| level.eq_ignore_ascii_case(&text))
        .and_then(|level| level.parse().ok());
    known.unwrap_or_else(|| {
        problems.push(format!(
            "environment variable `LOG_LEVEL` is `{text}`; it must be one of {}",
            LOG_LEVELS.join(", ")
        ));
        DEFAULT_LOG_LEVEL
    })
}

fn number<N: FromStr + PartialOrd + Display>(
    lookup: &impl Fn(&str) -> Option<String>,
    problems: &mut Vec<String>,
    name: &str,
    range: std::ops::RangeInclusive<N>,
    default: N,
) -> N {
    let Some(text) = lookup(name) else {
        return default;
    };
    match text.parse() {
        Ok(number) if range.contains(&number) => number,
        _ => {
            problems.push(format!(
                "environment variable `{name}` is `{text}`; it must be a whole number from {} to {}",
                range.start(),
                range.end()
            ));
            default
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
        Settings::from_lookup(|name| {
            variables
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn unset_variables_have_defaults() {
        let settings = settings(&[
            ("ACCOUNT_ID", "111122223333"),
            ("TABLE_NAME", "t"),
            ("CHANGES_QUEUE_URL", "q"),
            ("ALERT_TOPIC_ARN", "a"),
            ("EVENT_BUS_NAME", ""),
            (
                "TRUSTED_ACTORS",
                "arn:aws:iam::*:role/ci, ,arn:aws:sts::*:assumed-role/admin/*",
            ),
        ])
        .unwrap();
        assert_eq!(settings.policy.consistency_window, TimeDelta::seconds(60));
        assert_eq!(settings.policy.rotation_window, TimeDelta::hours(24));
        assert_eq!(settings.policy.trusted_actors.len(), 2);
        assert!(settings.policy.unfamiliar_actor_raises_severity);
        assert_eq!(settings.event_bus_name, None);
        assert_eq!(settings.policy.refresh_every, None);
        assert!(settings.excluded_accounts.is_empty());
        assert_eq!(settings.log_level, LevelFilter::INFO);
    }

    #[test]
    fn only_accounts_of_others_can_be_excluded() {
        for (list, problem) in [
            ("222233334444, 333344445555", None),
            ("222233334444,3333", Some("contains `3333`; an account ID")),
            (
                "111122223333",
                Some("contains `111122223333`, the account of this function"),
            ),
        ] {
            let settings = settings(&[
                ("ACCOUNT_ID", "111122223333"),
                ("TABLE_NAME", "t"),
                ("CHANGES_QUEUE_URL", "q"),
                ("ALERT_TOPIC_ARN", "a"),
                ("EXCLUDED_ACCOUNTS", list),
            ]);
            match problem {
                None => assert_eq!(settings.unwrap().excluded_accounts.len(), 2),
                Some(problem) => {
                    let error = settings.unwrap_err().to_string();
                    assert!(error.contains(problem), "{error}");
                }
            }
        }
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let error = settings(&[
            ("SETTLE_SECONDS", "soon"),
            ("ROTATION_WINDOW_HOURS", "0"),
            ("SECURITY_HUB_IMPORT", "on"),
            ("LOG_LEVEL", "WARNING"),
        ])
        .unwrap_err()
        .to_string();
        let expected = [
            "`ACCOUNT_ID` is not set",
            "`TABLE_NAME` is not set",
            "`CHANGES_QUEUE_URL` is not set",
            "neither `ALERT_TOPIC_ARN` nor",
            "`SETTLE_SECONDS` is `soon`; it must be a whole number from 0 to 890",
            "`ROTATION_WINDOW_HOURS` is `0`",
            "`LOG_LEVEL` is `WARNING`; it must be one of error, warn, info, debug",
            "`SECURITY_HUB_IMPORT` is `on`; it must be one of off, central, members",
        ];
        assert_eq!(error.lines().count(), expected.len(), "{error}");
        for (line, part) in error.lines().zip(expected) {
            assert!(line.contains(part), "{line}");
        }
    }
}
