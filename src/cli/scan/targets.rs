//! Which accounts are scanned, and with which role.

use std::sync::Arc;

use anyhow::{Context, bail};
use aws_config::SdkConfig;

use crate::aws::accounts::{ACCOUNT_PLACEHOLDER, Accounts, MemberRole};
use crate::aws::organization::active_accounts;
use crate::cli::caller::Caller;
use crate::cli::user_name::is_account_id;
use crate::detect::arn::Arn;

/// An account to scan.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// Its id.
    pub(super) account: String,
    /// The clients for it.
    pub(super) accounts: Arc<Accounts<aws_sdk_iam::Client>>,
}

/// A role in another account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RoleArn {
    arn: String,
    account: String,
}

/// The accounts to scan instead of the caller's.
#[derive(Debug, clap::Args)]
pub(super) struct OtherAccountsArgs {
    /// The ARN of a role to assume in another account. Can be repeated. Scans only the accounts of these
    /// roles
    #[arg(long = "role-arn", value_name = "ARN", value_parser = role_arn, conflicts_with = "org_role")]
    role_arns: Vec<RoleArn>,

    /// The name of a role that exists in every account of the organization, such as
    /// `OrganizationAccountAccessRole`. Scans all active accounts, and your own account with your own
    /// credentials. Needs organizations:ListAccounts
    #[arg(long, value_name = "NAME", value_parser = role_name)]
    org_role: Option<String>,

    /// The external ID that the trust policies of the roles require
    #[arg(long, value_name = "ID")]
    external_id: Option<String>,
}

/// The accounts that `others` names, or the caller's if it names none.
pub(super) async fn targets(
    config: &SdkConfig,
    caller: &Caller,
    others: &OtherAccountsArgs,
) -> anyhow::Result<Vec<Target>> {
    let accounts = |arn: Option<String>| {
        let external_id = others.external_id.clone();
        let role = arn.map(|arn| MemberRole { arn, external_id });
        Arc::new(Accounts::new(
            config.clone(),
            caller.account.clone(),
            role,
            aws_sdk_iam::Client::new,
        ))
    };
    if let Some(name) = &others.org_role {
        let partition = caller.partition();
        let arn = format!("arn:{partition}:iam::{ACCOUNT_PLACEHOLDER}:role/{name}");
        let all = accounts(Some(arn));
        let members = active_accounts(config).await.context(
            "the organization's accounts cannot be listed; use the management account or a delegated administrator, or \
             name roles with --role-arn",
        )?;
        return Ok(members
            .into_iter()
            .map(|account| Target {
                account,
                accounts: all.clone(),
            })
            .collect());
    }
    let mut targets: Vec<Target> = vec![];
    for role in &others.role_arns {
        if targets.iter().any(|target| target.account == role.account) {
            bail!(
                "--role-arn names two roles in account `{}`; name only one",
                role.account
            );
        }
        targets.push(Target {
            account: role.account.clone(),
            accounts: accounts(Some(role.arn.clone())),
        });
    }
    if targets.is_empty() {
        targets.push(Target {
            account: caller.account.clone(),
            accounts: accounts(None),
        });
    }
    Ok(targets)
}

fn role_arn(text: &str) -> Result<RoleArn, String> {
    let mistake = "use an ARN like arn:aws:iam::ACCOUNT:role/NAME, with 12 digits for the account";
    match Arn::parse(text) {
        Some(arn)
            if (arn.service, arn.region) == ("iam", "")
                && is_account_id(arn.account)
                && arn.resource.starts_with("role/") =>
        {
            Ok(RoleArn {
                arn: text.to_owned(),
                account: arn.account.to_owned(),
            })
        }
        _ => Err(mistake.to_owned()),
    }
}

/// Parses a role's name, with its path if it has one. Source: IAM API reference, `CreateRole`.
fn role_name(text: &str) -> Result<String, String> {
    let is_name = !text.is_empty()
        && text
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || "+=,.@-_/".contains(character));
    if !is_name {
        return Err(
            "a role name has only letters, digits and +=,.@-_; for an ARN, use --role-arn"
                .to_owned(),
        );
    }
    Ok(text.trim_start_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_named_by_its_whole_arn() {
        let role = role_arn("arn:aws-cn:iam::444455556666:role/team/Audit").unwrap();
        assert_eq!(role.account, "444455556666");
        for other in [
            "Audit",
            "arn:aws:iam::4444:role/Audit",
            "arn:aws:iam::444455556666:user/Audit",
            "arn:aws:sts::444455556666:assumed-role/Audit/x",
        ] {
            assert!(role_arn(other).is_err(), "{other}");
        }
    }

    #[test]
    fn an_arn_is_not_a_name() {
        assert_eq!(role_name("/team/Audit"), Ok("team/Audit".to_owned()));
        assert!(role_name("arn:aws:iam::444455556666:role/Audit").is_err());
        assert!(role_name("").is_err());
    }
}
