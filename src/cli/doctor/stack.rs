//! The deployed stack: what it made, and with which parameters.

use std::collections::BTreeMap;

use aws_config::SdkConfig;
use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::error::ProvideErrorMetadata;
use aws_sdk_cloudformation::types::ResourceStatus;

use crate::cli::doctor::check::{Asked, Check, Unasked, Why};
use crate::output::shell::quoted;

/// A deployed stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Deployed {
    /// Its name.
    pub(super) name: String,
    /// Its status, in CloudFormation's word.
    pub(super) status: String,
    /// The partition, region and account that it is in.
    pub(super) place: Place,
    /// Its parameters.
    pub(super) parameters: BTreeMap<String, String>,
    /// Physical ids by logical ids.
    pub(super) resources: BTreeMap<String, String>,
}

/// Where a stack is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// `aws`, `aws-cn` or `aws-us-gov`.
    pub(super) partition: String,
    /// The region.
    pub(super) region: String,
    /// The account's id.
    pub(super) account: String,
}

impl Place {
    /// Reads it out of an ARN.
    #[must_use]
    pub(super) fn of_arn(arn: &str) -> Option<Self> {
        let mut parts = arn.split(':');
        (parts.next()? == "arn").then_some(())?;
        let partition = parts.next()?.to_owned();
        let _service = parts.next()?;
        Some(Self {
            partition,
            region: parts.next()?.to_owned(),
            account: parts.next()?.to_owned(),
        })
    }
}

impl Deployed {
    /// The physical id of `logical`, or the check that failed for lack of it.
    pub(super) fn physical(&self, logical: &str) -> Result<&str, Check> {
        let physical = self.resources.get(logical);
        physical.map(String::as_str).ok_or_else(|| {
            Check::failed(
                logical,
                "the stack has no such resource",
                format!(
                    "deploy infra/template.yaml of this release: sam build && sam deploy --stack-name {}",
                    quoted(&self.name)
                ),
            )
        })
    }

    /// The parameter `name`; empty where it is not set.
    #[must_use]
    pub(super) fn parameter(&self, name: &str) -> &str {
        self.parameters.get(name).map_or("", String::as_str)
    }

    /// Whether the stack made `logical`.
    #[must_use]
    pub(super) fn has(&self, logical: &str) -> bool {
        self.resources.contains_key(logical)
    }

    /// The organisation that it is deployed for, if it is for one.
    #[must_use]
    pub(super) fn organization(&self) -> Option<&str> {
        Some(self.parameter("OrganizationId")).filter(|id| !id.is_empty())
    }

    /// The ARN of the queue `logical`, whose physical id is its URL.
    #[must_use]
    pub(super) fn queue_arn(&self, logical: &str) -> Option<String> {
        let url = self.resources.get(logical)?;
        let name = url.rsplit('/').next()?;
        let Place {
            partition,
            region,
            account,
        } = &self.place;
        Some(format!("arn:{partition}:sqs:{region}:{account}:{name}"))
    }
}

/// Reads the stack called `name`; nothing if there is none.
pub(super) async fn read(config: &SdkConfig, name: &str) -> Asked<Option<Deployed>> {
    let client = Client::new(config);
    let described = client.describe_stacks().stack_name(name).send().await;
    let stack = match described {
        Ok(answer) => answer.stacks.unwrap_or_default().into_iter().next(),
        // CloudFormation has no code of its own for it.
        Err(error)
            if error.code() == Some("ValidationError")
                && error
                    .message()
                    .is_some_and(|text| text.contains("does not exist")) =>
        {
            None
        }
        Err(error) => return Err(Unasked::of("cloudformation:DescribeStacks", &error)),
    };
    let Some(stack) = stack else {
        return Ok(None);
    };
    let place = stack.stack_id.as_deref().and_then(Place::of_arn);
    let Some(place) = place else {
        return Err(Unasked {
            why: Why::Failed,
            permission: "cloudformation:DescribeStacks",
            text: "CloudFormation tells no ARN of the stack".to_owned(),
        });
    };
    // By the ARN, so that a stack that is replaced in between is not mixed with the new one.
    let id = stack.stack_id.as_deref().unwrap_or(name);
    let mut resources = resources(&client, id).await?;
    // The bus's name is an output too, should the resource come without one.
    let bus = stack
        .outputs
        .unwrap_or_default()
        .into_iter()
        .find(|output| output.output_key.as_deref() == Some("EventBusName"))
        .and_then(|output| output.output_value);
    if let Some(bus) = bus {
        resources.entry("EventBus".to_owned()).or_insert(bus);
    }
    Ok(Some(Deployed {
        name: name.to_owned(),
        status: stack
            .stack_status
            .map(|status| status.as_str().to_owned())
            .unwrap_or_default(),
        place,
        parameters: stack
            .parameters
            .unwrap_or_default()
            .into_iter()
            .filter_map(|one| Some((one.parameter_key?, one.parameter_value.unwrap_or_default())))
            .collect(),
        resources,
    }))
}

/// Page by page, where `DescribeStackResources` would end after a hundred.
async fn resources(client: &Client, stack: &str) -> Asked<BTreeMap<String, String>> {
    let listed = client
        .list_stack_resources()
        .stack_name(stack)
        .into_paginator()
        .items()
        .send()
        .collect::<Result<Vec<_>, _>>()
        .await
        .map_err(|error| Unasked::of("cloudformation:ListStackResources", &error))?;
    Ok(listed
        .into_iter()
        .filter(|one| one.resource_status != Some(ResourceStatus::DeleteComplete))
        .filter_map(|one| Some((one.logical_resource_id?, one.physical_resource_id?)))
        .filter(|(_, physical)| !physical.is_empty())
        .collect())
}

/// Whether the stack was deployed whole.
#[must_use]
pub(super) fn judge_stack(stack: &Deployed) -> Check {
    let what = format!("stack {}", stack.name);
    let found = format!(
        "{} in account {}, region {}",
        stack.status, stack.place.account, stack.place.region
    );
    let events = format!(
        "see why: aws cloudformation describe-stack-events --stack-name {}",
        quoted(&stack.name)
    );
    match stack.status.as_str() {
        "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "IMPORT_COMPLETE" => Check::ok(what, found),
        // It works as it did before the update.
        "UPDATE_ROLLBACK_COMPLETE" | "IMPORT_ROLLBACK_COMPLETE" => {
            Check::warning(what, found, events)
        }
        status if status.ends_with("_IN_PROGRESS") && !status.starts_with("DELETE") => {
            Check::warning(what, found, "run this again when the deployment is through")
        }
        _ => Check::failed(what, found, events),
    }
}

/// The one region of a partition in which IAM's events arrive.
#[must_use]
pub(super) fn region_of_iam_events(region: &str) -> &'static str {
    if region.starts_with("cn-") {
        "cn-north-1"
    } else if region.starts_with("us-gov-") {
        "us-gov-west-1"
    } else {
        "us-east-1"
    }
}

/// Whether IAM's events arrive in `region`.
#[must_use]
pub(super) fn judge_region(region: &str) -> Check {
    let right = region_of_iam_events(region);
    if region == right {
        return Check::ok("region", format!("{region}, where IAM's events arrive"));
    }
    Check::failed(
        "region",
        format!("{region}; IAM's events never arrive here"),
        format!("look where the stack is, with --region {right}; if it is here, deploy it there"),
    )
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::cli::doctor::check::State;

    /// A stack with the parameters and resources given.
    pub(crate) fn stack(parameters: &[(&str, &str)], resources: &[(&str, &str)]) -> Deployed {
        let owned = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect()
        };
        Deployed {
            name: "secondkey".to_owned(),
            status: "CREATE_COMPLETE".to_owned(),
            place: Place::of_arn("arn:aws:cloudformation:us-east-1:111122223333:stack/secondkey/1")
                .unwrap(),
            parameters: owned(parameters),
            resources: owned(resources),
        }
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
        ] {
            let state = if right { State::Ok } else { State::Failed };
            assert_eq!(judge_region(region).state, state, "{region}");
        }
        let mend = judge_region("cn-northwest-1").mend.unwrap();
        assert!(mend.contains("--region cn-north-1"), "{mend}");
    }

    #[test]
    fn a_stack_is_judged_by_its_status() {
        for (status, state) in [
            ("CREATE_COMPLETE", State::Ok),
            ("UPDATE_COMPLETE", State::Ok),
            ("UPDATE_ROLLBACK_COMPLETE", State::Warning),
            ("UPDATE_IN_PROGRESS", State::Warning),
            ("DELETE_IN_PROGRESS", State::Failed),
            ("ROLLBACK_COMPLETE", State::Failed),
            ("UPDATE_ROLLBACK_FAILED", State::Failed),
            ("", State::Failed),
        ] {
            let mut stack = stack(&[], &[]);
            status.clone_into(&mut stack.status);
            assert_eq!(judge_stack(&stack).state, state, "{status}");
        }
    }

    #[test]
    fn a_resource_that_the_stack_lacks_is_a_failed_check() {
        let url = "https://sqs.us-east-1.amazonaws.com/111122223333/changes";
        let stack = stack(&[], &[("ChangesQueue", url)]);
        assert_eq!(stack.physical("ChangesQueue"), Ok(url));
        assert_eq!(stack.physical("Table").unwrap_err().state, State::Failed);
        assert_eq!(
            stack.queue_arn("ChangesQueue").unwrap(),
            "arn:aws:sqs:us-east-1:111122223333:changes"
        );
    }
}
