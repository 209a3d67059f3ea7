//! The command that deploys `infra/member.yaml`: in a member account, or in the central account to
//! forward events to a home region.

use crate::cli::doctor::stack::{DeployedStack, StackLocation};
use crate::output::shell::quoted;

/// The command that deploys `infra/member.yaml` for `stack` in `account`. It names the region,
/// which is the one where IAM's events arrive.
#[must_use]
pub(super) fn deploy_member(stack: &DeployedStack, account: &str) -> String {
    let StackLocation {
        region,
        account: central,
        ..
    } = &stack.location;
    let forwarded_from = stack.forwarded_from();
    let mut parameters = vec![
        ("CentralAccountId", central.as_str()),
        ("CentralStackName", stack.name.as_str()),
    ];
    if forwarded_from.is_some() {
        parameters.push(("HomeRegion", region));
    }
    let path = stack.parameter("RolePath");
    if !["", "/"].contains(&path) {
        parameters.push(("RolePath", path));
    }
    // The names that infra/README.md gives the two stacks.
    let name = if account == central {
        parameters.push(("ForwardsForCentralAccount", "true"));
        // The queue in the region of the events also serves the members.
        parameters.extend(stack.organization().map(|id| ("OrganizationId", id)));
        let email = ["AlarmEmail", "AlertEmail"].map(|name| stack.parameter(name));
        let email = email.into_iter().find(|email| !email.is_empty());
        parameters.extend(email.map(|email| ("AlarmEmail", email)));
        "secondkey-forward"
    } else {
        parameters.push(("MemberRoleName", stack.parameter("MemberRoleName")));
        let external_id = stack.outputs.get("MemberExternalId");
        let external_id = external_id.map_or("EXTERNAL_ID", String::as_str);
        parameters.push(("MemberExternalId", external_id));
        if stack.parameter("SecurityHubImport") == "members" {
            parameters.push(("SecurityHubImport", "true"));
        }
        "secondkey-member"
    };
    let parameters: Vec<String> = parameters
        .iter()
        .map(|(name, value)| format!("{name}={}", quoted(value)))
        .collect();
    format!(
        "in account {}: aws cloudformation deploy --stack-name {name} --template-file infra/member.yaml --region {} \
         --capabilities CAPABILITY_NAMED_IAM --parameter-overrides {}",
        quoted(account),
        quoted(forwarded_from.unwrap_or(region)),
        parameters.join(" "),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::stack::tests::{home_stack, stack};

    const DEPLOY: &str = "aws cloudformation deploy --stack-name";

    #[test]
    fn a_member_is_deployed_where_the_events_arrive() {
        let role = ("MemberRoleName", "secondkey-audit");
        let of = |stack: &DeployedStack| deploy_member(stack, "444455556666");
        assert_eq!(
            of(&stack(&[role], &[])),
            format!(
                "in account 444455556666: {DEPLOY} secondkey-member --template-file infra/member.yaml --region us-east-1 \
                 --capabilities CAPABILITY_NAMED_IAM --parameter-overrides CentralAccountId=111122223333 \
                 CentralStackName=secondkey MemberRoleName=secondkey-audit MemberExternalId=EXTERNAL_ID"
            )
        );
        let hub = ("SecurityHubImport", "members");
        let path = ("RolePath", "/security/");
        let mut away = home_stack(&[role, hub, path], &[]);
        let external_id = ("MemberExternalId".to_owned(), "5f0c9a30-3e6b".to_owned());
        away.outputs = [external_id].into();
        let away = of(&away);
        for part in [
            " --region us-east-1 ",
            " HomeRegion=eu-central-1 ",
            " SecurityHubImport=true",
            " RolePath=/security/ ",
            " MemberExternalId=5f0c9a30-3e6b ",
        ] {
            assert!(away.contains(part), "{part}: {away}");
        }
        assert!(!away.contains("--region eu-central-1"), "{away}");
    }

    #[test]
    fn the_central_account_forwards_to_its_home_region() {
        let central = home_stack(
            &[
                ("OrganizationId", "o-abcdefghij"),
                ("AlertEmail", "security@example.com"),
            ],
            &[],
        );
        assert_eq!(
            deploy_member(&central, "111122223333"),
            format!(
                "in account 111122223333: {DEPLOY} secondkey-forward --template-file infra/member.yaml --region us-east-1 \
                 --capabilities CAPABILITY_NAMED_IAM --parameter-overrides CentralAccountId=111122223333 \
                 CentralStackName=secondkey HomeRegion=eu-central-1 ForwardsForCentralAccount=true OrganizationId=o-abcdefghij \
                 AlarmEmail=security@example.com"
            )
        );
    }
}
