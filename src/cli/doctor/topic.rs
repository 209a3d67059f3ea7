//! Checks the topics: one delivers the alerts, the other the CloudWatch alarms about secondkey itself.

use aws_config::SdkConfig;
use aws_sdk_sns::Client;
use aws_sdk_sns::types::Subscription;

use crate::cli::doctor::check_result::{CheckResult, QueryError, QueryResult, evaluate};
use crate::cli::doctor::stack::DeployedStack;
use crate::output::shell::quoted;

/// The value in place of the ARN until the subscription is confirmed. Source: SNS API reference,
/// `ListSubscriptionsByTopic`.
const PENDING: &str = "PendingConfirmation";

/// The facts about one subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SubscriptionFacts {
    /// The protocol, such as `email`.
    pub(super) protocol: String,
    /// The endpoint.
    pub(super) endpoint: String,
    /// Whether it is confirmed.
    pub(super) is_confirmed: bool,
}

/// A topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topic {
    /// The alerts.
    Alerts,
    /// The CloudWatch alarms about the deployment.
    Alarms,
}

impl Topic {
    /// Its logical id.
    fn logical(self) -> &'static str {
        match self {
            Self::Alerts => "AlertTopic",
            Self::Alarms => "AlarmTopic",
        }
    }

    /// What it carries.
    fn carries(self) -> &'static str {
        match self {
            Self::Alerts => "alerts",
            Self::Alarms => "alarms",
        }
    }
}

/// Checks the topics.
pub(super) async fn check(config: &SdkConfig, stack: &DeployedStack) -> Vec<CheckResult> {
    let client = Client::new(config);
    let (alerts, alarms) = futures::join!(
        one(&client, stack, Topic::Alerts),
        one(&client, stack, Topic::Alarms)
    );
    [alerts, alarms].concat()
}

async fn one(client: &Client, stack: &DeployedStack, topic: Topic) -> Vec<CheckResult> {
    let arn = match stack.physical(topic.logical()) {
        Ok(arn) => arn,
        Err(missing) => return vec![missing],
    };
    let (key, subscriptions) = futures::join!(key(client, arn), subscriptions(client, arn));
    let what = format!("{}: encryption", topic.logical());
    let key = evaluate(&what, key, |key| judge_key(topic, arn, key.as_deref()));
    let what = format!("{}: subscriptions", topic.logical());
    let subscriptions = evaluate(&what, subscriptions, |subscriptions| {
        judge_subscriptions(topic, arn, &subscriptions)
    });
    vec![key, subscriptions]
}

async fn key(client: &Client, arn: &str) -> QueryResult<Option<String>> {
    let answer = client
        .get_topic_attributes()
        .topic_arn(arn)
        .send()
        .await
        .map_err(|error| QueryError::of("sns:GetTopicAttributes", &error))?;
    Ok(answer
        .attributes
        .unwrap_or_default()
        .remove("KmsMasterKeyId")
        .filter(|key| !key.is_empty()))
}

async fn subscriptions(client: &Client, arn: &str) -> QueryResult<Vec<SubscriptionFacts>> {
    let listed = client
        .list_subscriptions_by_topic()
        .topic_arn(arn)
        .into_paginator()
        .items()
        .send()
        .collect::<Result<Vec<_>, _>>()
        .await
        .map_err(|error| QueryError::of("sns:ListSubscriptionsByTopic", &error))?;
    let facts = |one: Subscription| {
        let arn = one.subscription_arn.unwrap_or_default();
        // A deleted subscription is also listed for a while, with another value.
        let is_confirmed = arn.starts_with("arn:");
        (is_confirmed || arn == PENDING).then(|| SubscriptionFacts {
            protocol: one.protocol.unwrap_or_default(),
            endpoint: one.endpoint.unwrap_or_default(),
            is_confirmed,
        })
    };
    Ok(listed.into_iter().filter_map(facts).collect())
}

/// Checks that CloudWatch alarms can publish to the topic. With the AWS managed key they cannot.
/// Source: CloudWatch user guide, alarms, and SNS developer guide, key management.
#[must_use]
pub(super) fn judge_key(topic: Topic, arn: &str, key: Option<&str>) -> CheckResult {
    let what = format!("{}: encryption", topic.logical());
    let fix = match topic {
        Topic::Alerts => format!(
            "deploy again with or without AlertKeyArn, or: aws sns set-topic-attributes --topic-arn {} --attribute-name \
             KmsMasterKeyId --attribute-value YOUR_KEY",
            quoted(arn)
        ),
        Topic::Alarms => format!(
            "aws sns set-topic-attributes --topic-arn {} --attribute-name KmsMasterKeyId --attribute-value ''",
            quoted(arn)
        ),
    };
    match (key, topic) {
        (Some(key), _) if key.contains("alias/aws/sns") => CheckResult::failed(
            what,
            "with the AWS managed key, with which CloudWatch alarms cannot publish",
            fix,
        ),
        (Some(key), Topic::Alerts) => CheckResult::ok(what, format!("with the key {key}")),
        (None, Topic::Alerts) => CheckResult::warning(what, "not encrypted with a KMS key", fix),
        (Some(key), Topic::Alarms) => CheckResult::warning(
            what,
            format!("with the key {key}; if the key fails, no alarm arrives"),
            fix,
        ),
        (None, Topic::Alarms) => CheckResult::ok(
            what,
            "without a KMS key, so that a key problem cannot block alarms",
        ),
    }
}

/// Checks that the topic has a confirmed subscription.
#[must_use]
pub(super) fn judge_subscriptions(
    topic: Topic,
    arn: &str,
    subscriptions: &[SubscriptionFacts],
) -> CheckResult {
    let what = format!("{}: subscriptions", topic.logical());
    let carries = topic.carries();
    let (confirmed, pending): (Vec<_>, Vec<_>) =
        subscriptions.iter().partition(|one| one.is_confirmed);
    let names: Vec<String> = pending
        .iter()
        .map(|one| format!("{} ({})", one.endpoint, one.protocol))
        .collect();
    let pending = names.join(", ");
    let confirm = "confirm it with the link in the email from AWS; the link is valid for 3 days, after that subscribe again";
    let count = confirmed.len();
    if count > 0 && names.is_empty() {
        return CheckResult::ok(what, format!("{count} confirmed"));
    }
    if count > 0 {
        return CheckResult::warning(
            what,
            format!("{count} confirmed; not confirmed: {pending}"),
            confirm,
        );
    }
    if names.is_empty() {
        return CheckResult::failed(
            what,
            format!("no one receives the {carries}"),
            format!(
                "aws sns subscribe --topic-arn {} --protocol email --notification-endpoint YOU@EXAMPLE.COM",
                quoted(arn)
            ),
        );
    }
    CheckResult::failed(
        what,
        format!("no one receives the {carries}; not confirmed: {pending}"),
        confirm,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::check_result::CheckStatus;

    fn subscription(endpoint: &str, is_confirmed: bool) -> SubscriptionFacts {
        SubscriptionFacts {
            protocol: "email".to_owned(),
            endpoint: endpoint.to_owned(),
            is_confirmed,
        }
    }

    #[test]
    fn a_topic_needs_a_confirmed_subscription() {
        let (one, two) = (
            subscription("a@example.com", true),
            subscription("b@example.com", false),
        );
        let of = |subscriptions: &[SubscriptionFacts]| {
            judge_subscriptions(Topic::Alerts, "arn:t", subscriptions)
        };
        assert_eq!(of(std::slice::from_ref(&one)).state, CheckStatus::Ok);
        let both = of(&[one, two.clone()]);
        assert_eq!(both.state, CheckStatus::Warning);
        assert!(
            both.found.contains("b@example.com (email)"),
            "{}",
            both.found
        );
        let pending = of(&[two]);
        assert_eq!(pending.state, CheckStatus::Failed);
        assert!(pending.found.contains("b@example.com"), "{}", pending.found);
        assert!(
            of(&[])
                .fix
                .unwrap()
                .starts_with("aws sns subscribe --topic-arn arn:t")
        );
    }

    #[test]
    fn the_alarm_topic_needs_a_subscriber_of_its_own() {
        let check = judge_subscriptions(Topic::Alarms, "arn:alarms", &[]);
        assert_eq!(check.state, CheckStatus::Failed);
        assert_eq!(check.subject, "AlarmTopic: subscriptions");
        assert_eq!(check.found, "no one receives the alarms");
        assert!(check.fix.unwrap().contains("--topic-arn arn:alarms"));
    }

    #[test]
    fn alarms_cannot_use_the_aws_managed_key() {
        for (topic, key, state) in [
            (Topic::Alerts, Some("alias/aws/sns"), CheckStatus::Failed),
            (Topic::Alerts, Some("1234-key"), CheckStatus::Ok),
            (Topic::Alerts, None, CheckStatus::Warning),
            (Topic::Alarms, Some("alias/aws/sns"), CheckStatus::Failed),
            (Topic::Alarms, Some("1234-key"), CheckStatus::Warning),
            (Topic::Alarms, None, CheckStatus::Ok),
        ] {
            let check = judge_key(topic, "arn:t", key);
            assert_eq!(check.state, state, "{topic:?}, {key:?}");
        }
    }
}
