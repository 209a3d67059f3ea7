//! The settings of the forwarder, read from its environment.

use tracing::level_filters::LevelFilter;

use crate::aws::accounts::MemberRole;
use crate::aws::settings::{SettingsError, log_level, member_role, required, trimmed};

/// Which Security Hub receives findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Import {
    /// All go to the central account's Security Hub, which records the member in the finding.
    Central,
    /// Each goes to its own account's Security Hub through the member role.
    Members,
}

/// The settings of the Security Hub forwarder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityHubSettings {
    /// `ACCOUNT_ID`: the central account, in which the function runs.
    pub account: String,
    /// `AWS_REGION`, which Lambda sets.
    pub region: String,
    /// `LOG_LEVEL`: the minimum level to log.
    pub log_level: LevelFilter,
    /// `SECURITY_HUB_IMPORT`: `central` or `members`.
    pub import: Import,
    /// `MEMBER_ROLE_ARN`, `MEMBER_EXTERNAL_ID`: the role in other accounts. Empty or absent for
    /// none.
    pub member_role: Option<MemberRole>,
}

impl SecurityHubSettings {
    /// Reads the settings from the environment. Reports all problems at once.
    pub fn from_env() -> Result<Self, SettingsError> {
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    /// Reads the settings from `lookup`.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let lookup = trimmed(lookup);
        let mut problems = Vec::new();
        let settings = Self {
            account: required(&lookup, &mut problems, "ACCOUNT_ID"),
            region: required(&lookup, &mut problems, "AWS_REGION"),
            import: import(&lookup, &mut problems),
            member_role: member_role(&lookup, &mut problems),
            log_level: log_level(&lookup, &mut problems),
        };
        if problems.is_empty() {
            Ok(settings)
        } else {
            Err(SettingsError { problems })
        }
    }
}

fn import(lookup: &impl Fn(&str) -> Option<String>, problems: &mut Vec<String>) -> Import {
    match required(lookup, problems, "SECURITY_HUB_IMPORT").as_str() {
        "members" => Import::Members,
        "central" | "" => Import::Central,
        other => {
            problems.push(format!(
                "environment variable `SECURITY_HUB_IMPORT` is `{other}`; it must be `central` or `members`"
            ));
            Import::Central
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> Result<SecurityHubSettings, SettingsError> {
        SecurityHubSettings::from_lookup(|name| {
            variables
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn a_deployed_forwarder_finds_its_settings() {
        let settings = settings(&[
            ("ACCOUNT_ID", "111122223333"),
            ("AWS_REGION", "us-east-1"),
            ("SECURITY_HUB_IMPORT", "members"),
            ("MEMBER_ROLE_ARN", "arn:aws:iam::{account}:role/audit"),
            ("MEMBER_EXTERNAL_ID", ""),
        ])
        .unwrap();
        assert_eq!(settings.import, Import::Members);
        let role = settings.member_role.unwrap();
        assert_eq!(role.arn, "arn:aws:iam::{account}:role/audit");
        assert_eq!(role.external_id, None);
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let error = settings(&[
            ("SECURITY_HUB_IMPORT", "everywhere"),
            ("MEMBER_ROLE_ARN", "arn:aws:iam::111122223333:role/audit"),
            ("LOG_LEVEL", "loud"),
        ])
        .unwrap_err()
        .to_string();
        let expected = [
            "`ACCOUNT_ID` is not set",
            "`AWS_REGION` is not set",
            "`SECURITY_HUB_IMPORT` is `everywhere`; it must be `central` or `members`",
            "`MEMBER_ROLE_ARN` is `arn:aws:iam::111122223333:role/audit`; it must be an ARN with {account}",
            "`LOG_LEVEL` is `loud`",
        ];
        assert_eq!(error.lines().count(), expected.len(), "{error}");
        for (line, part) in error.lines().zip(expected) {
            assert!(line.contains(part), "{line}");
        }
    }
}
