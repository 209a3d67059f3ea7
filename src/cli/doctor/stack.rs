//! Reads the deployed stack: its status, parameters and resources.

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::error::ProvideErrorMetadata;
use aws_sdk_cloudformation::types::ResourceStatus;

use crate::cli::doctor::check_result::{CheckResult, QueryError, QueryErrorKind, QueryResult};
use crate::detect::arn::Arn;
use crate::output::partition::Partition;
use crate::output::shell::quoted;

/// A deployed stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DeployedStack {
    /// Its name.
    pub(super) name: String,
    /// Its status, as CloudFormation reports it.
    pub(super) status: String,
    /// Its partition, region and account.
    pub(super) location: StackLocation,
    /// Its parameters.
    pub(super) parameters: BTreeMap<String, String>,
    /// Its outputs.
    pub(super) outputs: BTreeMap<String, String>,
    /// Physical ids by logical ids.
    pub(super) resources: BTreeMap<String, String>,
}

/// Where a stack is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StackLocation {
    /// The name of the partition, such as `aws` or `aws-eusc`.
    pub(super) partition: String,
    /// The region.
    pub(super) region: String,
    /// The account's id.
    pub(super) account: String,
}

impl StackLocation {
    /// Parses the location from an ARN.
    #[must_use]
    pub(super) fn of_arn(arn: &str) -> Option<Self> {
        let arn = Arn::parse(arn)?;
        Some(Self {
            partition: arn.partition.to_owned(),
            region: arn.region.to_owned(),
            account: arn.account.to_owned(),
        })
    }
}

impl DeployedStack {
    /// The physical id of `logical`, or a failed check if the stack does not have it.
    pub(super) fn physical(&self, logical: &str) -> Result<&str, CheckResult> {
        let physical = self.resources.get(logical);
        physical.map(String::as_str).ok_or_else(|| {
            CheckResult::failed(
                logical,
                "the stack has no such resource",
                format!(
                    "deploy infra/template.yaml of this release: sam build && sam deploy --stack-name {}",
                    quoted(&self.name)
                ),
            )
        })
    }

    /// The parameter `name`, or an empty text if it is not set.
    #[must_use]
    pub(super) fn parameter(&self, name: &str) -> &str {
        self.parameters.get(name).map_or("", String::as_str)
    }

    /// Whether the stack has the resource `logical`.
    #[must_use]
    pub(super) fn has(&self, logical: &str) -> bool {
        self.resources.contains_key(logical)
    }

    /// The organization that it is deployed for, if any.
    #[must_use]
    pub(super) fn organization(&self) -> Option<&str> {
        Some(self.parameter("OrganizationId")).filter(|id| !id.is_empty())
    }

    /// Whether the operator excluded `account`, so that it is not swept.
    #[must_use]
    pub(super) fn excludes(&self, account: &str) -> bool {
        let mut excluded = self.parameter("ExcludedAccounts").split(',');
        excluded.any(|excluded| excluded == account)
    }

    /// The region from which IAM's events are forwarded to this stack, if they do not arrive here.
    #[must_use]
    pub(super) fn forwarded_from(&self) -> Option<&str> {
        Some(self.parameter("IamEventsRegion")).filter(|from| !["", "here"].contains(from))
    }

    /// The ARN of the queue `logical`, whose physical id is its URL.
    #[must_use]
    pub(super) fn queue_arn(&self, logical: &str) -> Option<String> {
        let url = self.resources.get(logical)?;
        let name = url.rsplit('/').next()?;
        let StackLocation {
            partition,
            region,
            account,
        } = &self.location;
        Some(format!("arn:{partition}:sqs:{region}:{account}:{name}"))
    }
}

/// Reads the stack `name`. Returns `None` if it does not exist.
pub(super) async fn read(config: &SdkConfig, name: &str) -> QueryResult<Option<DeployedStack>> {
    let client = Client::new(config);
    let described = client.describe_stacks().stack_name(name).send().await;
    let stack = match described {
        Ok(answer) => answer.stacks.unwrap_or_default().into_iter().next(),
        Err(error) if is_missing(&error) => None,
        Err(error) => return Err(QueryError::of("cloudformation:DescribeStacks", &error)),
    };
    let Some(stack) = stack else {
        return Ok(None);
    };
    let place = stack.stack_id.as_deref().and_then(StackLocation::of_arn);
    let Some(place) = place else {
        return Err(QueryError {
            kind: QueryErrorKind::Failed,
            permission: "cloudformation:DescribeStacks",
            text: "CloudFormation returned no ARN of the stack".to_owned(),
        });
    };
    // Use the ARN: if the stack is replaced meanwhile, the two must not be mixed.
    let id = stack.stack_id.as_deref().unwrap_or(name);
    let mut resources = resources(&client, id).await?;
    let outputs: BTreeMap<String, String> = stack
        .outputs
        .unwrap_or_default()
        .into_iter()
        .filter_map(|one| Some((one.output_key?, one.output_value?)))
        .collect();
    // The name of the bus is also an output, in case the resource has no physical id.
    if let Some(bus) = outputs.get("EventBusName") {
        let bus = bus.clone();
        resources.entry("EventBus".to_owned()).or_insert(bus);
    }
    Ok(Some(DeployedStack {
        name: name.to_owned(),
        status: stack
            .stack_status
            .map(|status| status.as_str().to_owned())
            .unwrap_or_default(),
        location: place,
        parameters: stack
            .parameters
            .unwrap_or_default()
            .into_iter()
            .filter_map(|one| Some((one.parameter_key?, one.parameter_value.unwrap_or_default())))
            .collect(),
        outputs,
        resources,
    }))
}

/// Whether `error` says that there is no such stack. CloudFormation has no error code of its own for that.
#[must_use]
pub(super) fn is_missing(error: &impl ProvideErrorMetadata) -> bool {
    let says_so = |text: &str| text.contains("does not exist");
    error.code() == Some("ValidationError") && error.message().is_some_and(says_so)
}

/// Lists all resources, page by page. `DescribeStackResources` returns only the first hundred.
async fn resources(client: &Client, stack: &str) -> QueryResult<BTreeMap<String, String>> {
    let listed = client
        .list_stack_resources()
        .stack_name(stack)
        .into_paginator()
        .items()
        .send()
        .collect::<Result<Vec<_>, _>>()
        .await
        .map_err(|error| QueryError::of("cloudformation:ListStackResources", &error))?;
    Ok(listed
        .into_iter()
        .filter(|one| one.resource_status != Some(ResourceStatus::DeleteComplete))
        .filter_map(|one| Some((one.logical_resource_id?, one.physical_resource_id?)))
        .filter(|(_, physical)| !physical.is_empty())
        .collect())
}

/// Checks that the stack was deployed completely.
#[must_use]
pub(super) fn judge_stack(stack: &DeployedStack) -> CheckResult {
    let what = format!("stack {}", stack.name);
    let found = format!(
        "{} in account {}, region {}",
        stack.status, stack.location.account, stack.location.region
    );
    let events = format!(
        "see why: aws cloudformation describe-stack-events --stack-name {}",
        quoted(&stack.name)
    );
    match stack.status.as_str() {
        "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "IMPORT_COMPLETE" => CheckResult::ok(what, found),
        // The stack still works as before the update.
        "UPDATE_ROLLBACK_COMPLETE" | "IMPORT_ROLLBACK_COMPLETE" => {
            CheckResult::warning(what, found, events)
        }
        status if status.ends_with("_IN_PROGRESS") && !status.starts_with("DELETE") => {
            CheckResult::warning(
                what,
                found,
                "run doctor again after the deployment has finished",
            )
        }
        _ => CheckResult::failed(what, found, events),
    }
}

/// Checks that IAM's events arrive in `region`, or that `stack` expects them from where they arrive.
#[must_use]
pub(super) fn judge_region(region: &str, stack: Option<&DeployedStack>) -> CheckResult {
    let partition = Partition::of(region);
    let right = partition.region_of_iam;
    let arrives_here = region == right;
    let (found, fix) = match stack.and_then(DeployedStack::forwarded_from) {
        None if arrives_here => {
            return CheckResult::ok("region", format!("{region}, where IAM's events arrive"));
        }
        Some(from) if from == right && !arrives_here => {
            let found =
                format!("{region}, the home region; IAM's events are forwarded from {from}");
            return CheckResult::ok("region", found);
        }
        None => (
            format!("{region}; IAM's events never arrive here"),
            format!(
                "check the stack in the right region with --region {right}; if it is not there, deploy it there, or \
                 set IamEventsRegion={right} and deploy infra/member.yaml there"
            ),
        ),
        Some(from) if arrives_here => (
            format!("{region}, where IAM's events arrive, but the stack expects them from {from}"),
            "deploy with IamEventsRegion=here".to_owned(),
        ),
        Some(from) => (
            format!(
                "{region}; the stack expects IAM's events from {from} in the partition {}, but those of its own \
                 partition, {}, arrive in {right}",
                Partition::of(from).name,
                partition.name
            ),
            format!("deploy with IamEventsRegion={right}, and deploy infra/member.yaml in {right}"),
        ),
    };
    CheckResult::failed("region", found, fix)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::cli::doctor::check_result::CheckStatus;

    /// A stack with the parameters and resources given.
    pub(crate) fn stack(parameters: &[(&str, &str)], resources: &[(&str, &str)]) -> DeployedStack {
        let owned = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect()
        };
        DeployedStack {
            name: "secondkey".to_owned(),
            status: "CREATE_COMPLETE".to_owned(),
            location: StackLocation::of_arn(
                "arn:aws:cloudformation:us-east-1:111122223333:stack/secondkey/1",
            )
            .unwrap(),
            parameters: owned(parameters),
            outputs: BTreeMap::new(),
            resources: owned(resources),
        }
    }

    /// A stack in eu-central-1 to which IAM's events are forwarded from us-east-1.
    pub(crate) fn home_stack(
        parameters: &[(&str, &str)],
        resources: &[(&str, &str)],
    ) -> DeployedStack {
        let from = ("IamEventsRegion", "us-east-1");
        let mut stack = stack(&[parameters, &[from]].concat(), resources);
        "eu-central-1".clone_into(&mut stack.location.region);
        stack
    }

    #[test]
    fn each_partition_has_one_region_where_the_events_arrive() {
        for (region, right) in [
            ("us-east-1", true),
            ("eu-west-1", false),
            ("cn-north-1", true),
            ("cn-northwest-1", false),
            ("us-gov-west-1", true),
            ("us-gov-east-1", false),
            ("eusc-de-east-1", true),
            ("eusc-de-west-1", false),
        ] {
            let state = if right {
                CheckStatus::Ok
            } else {
                CheckStatus::Failed
            };
            assert_eq!(judge_region(region, None).state, state, "{region}");
        }
        let fix = judge_region("cn-northwest-1", None).fix.unwrap();
        assert!(fix.contains("--region cn-north-1"), "{fix}");
    }

    #[test]
    fn a_home_region_needs_the_right_region_of_the_events() {
        for (region, from, state, fix) in [
            ("eu-central-1", "us-east-1", CheckStatus::Ok, ""),
            ("us-gov-east-1", "us-gov-west-1", CheckStatus::Ok, ""),
            ("eusc-de-west-1", "eusc-de-east-1", CheckStatus::Ok, ""),
            (
                "eu-central-1",
                "here",
                CheckStatus::Failed,
                "set IamEventsRegion=us-east-1",
            ),
            // In the region of another partition, or of none.
            (
                "eu-central-1",
                "eusc-de-east-1",
                CheckStatus::Failed,
                "IamEventsRegion=us-east-1",
            ),
            (
                "eusc-de-west-1",
                "us-east-1",
                CheckStatus::Failed,
                "IamEventsRegion=eusc-de-east-1",
            ),
            (
                "eu-central-1",
                "eu-west-1",
                CheckStatus::Failed,
                "IamEventsRegion=us-east-1",
            ),
            // Events arrive here, but the stack has no rule for them.
            (
                "us-east-1",
                "cn-north-1",
                CheckStatus::Failed,
                "IamEventsRegion=here",
            ),
            (
                "us-east-1",
                "us-east-1",
                CheckStatus::Failed,
                "IamEventsRegion=here",
            ),
        ] {
            let stack = stack(&[("IamEventsRegion", from)], &[]);
            let judged = judge_region(region, Some(&stack));
            assert_eq!(judged.state, state, "{region}, {from}");
            let shown = judged.fix.unwrap_or_default();
            assert!(shown.contains(fix), "{region}, {from}: {shown}");
        }
    }

    #[test]
    fn a_stack_is_judged_by_its_status() {
        for (status, state) in [
            ("CREATE_COMPLETE", CheckStatus::Ok),
            ("UPDATE_COMPLETE", CheckStatus::Ok),
            ("UPDATE_ROLLBACK_COMPLETE", CheckStatus::Warning),
            ("UPDATE_IN_PROGRESS", CheckStatus::Warning),
            ("DELETE_IN_PROGRESS", CheckStatus::Failed),
            ("ROLLBACK_COMPLETE", CheckStatus::Failed),
            ("UPDATE_ROLLBACK_FAILED", CheckStatus::Failed),
            ("", CheckStatus::Failed),
        ] {
            let mut stack = stack(&[], &[]);
            status.clone_into(&mut stack.status);
            assert_eq!(judge_stack(&stack).state, state, "{status}");
        }
    }

    #[test]
    fn a_missing_resource_is_a_failed_check() {
        let url = "https://sqs.us-east-1.amazonaws.com/111122223333/changes";
        let stack = stack(&[], &[("ChangesQueue", url)]);
        assert_eq!(stack.physical("ChangesQueue"), Ok(url));
        assert_eq!(
            stack.physical("Table").unwrap_err().state,
            CheckStatus::Failed
        );
        assert_eq!(
            stack.queue_arn("ChangesQueue").unwrap(),
            "arn:aws:sqs:us-east-1:111122223333:changes"
        );
    }
}
