//! Checks the topics: one delivers the alerts, the other the CloudWatch alarms about secondkey itself.

use aws_config::SdkConfig;
use aws_sdk_sns::Client;
use aws_sdk_sns::types::Subscription;

use crate::cli::doctor::check_result::{
    CheckResult, QueryError, QueryErrorKind, QueryResult, evaluate,
};
use crate::cli::doctor::stack::DeployedStack;
use crate::output::shell::quoted;

/// The value in place of the ARN until the subscription is confirmed. Source: SNS API reference,
/// `ListSubscriptionsByTopic`.
const PENDING: &str = "PendingConfirmation";

/// How many subscriptions of a topic are asked how they were confirmed, each with one call.
const MAX_ASKED: usize = 20;

/// The facts about one subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SubscriptionFacts {
    /// The protocol, such as `email`.
    pub(super) protocol: String,
    /// The endpoint.
    pub(super) endpoint: String,
    /// Its ARN, once it is confirmed.
    pub(super) arn: Option<String>,
}

impl SubscriptionFacts {
    /// Whether it is confirmed and delivers by email, so that each message has an unsubscribe link.
    fn has_unsubscribe_link(&self) -> bool {
        self.arn.is_some() && ["email", "email-json"].contains(&self.protocol.as_str())
    }
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
    let subscriptions = match subscriptions {
        Ok(subscriptions) => subscriptions,
        Err(error) => return vec![key, error.check(what)],
    };
    let mut checks = vec![key, judge_subscriptions(topic, arn, &subscriptions)];
    let by_email = subscriptions
        .iter()
        .filter(|one| one.has_unsubscribe_link());
    let by_email: Vec<&SubscriptionFacts> = by_email.collect();
    if !by_email.is_empty() {
        let what = format!("{}: unsubscribing", topic.logical());
        let asked = by_email.get(..MAX_ASKED).unwrap_or(&by_email);
        let open = open_to_anyone(client, asked).await;
        checks.push(evaluate(&what, open, |open| {
            judge_unsubscribing(topic, arn, &open, by_email.len() - asked.len())
        }));
    }
    checks
}

/// Those of `subscriptions` that anyone with the link in an email can end.
async fn open_to_anyone<'a>(
    client: &Client,
    subscriptions: &[&'a SubscriptionFacts],
) -> QueryResult<Vec<&'a SubscriptionFacts>> {
    let asked = subscriptions.iter().map(async |one| {
        let answer = client
            .get_subscription_attributes()
            .set_subscription_arn(one.arn.clone())
            .send()
            .await
            .map_err(|error| QueryError::of("sns:GetSubscriptionAttributes", &error));
        let answer = match answer {
            // It ended after it was listed.
            Err(error) if error.kind == QueryErrorKind::Gone => return Ok(None),
            answer => answer?,
        };
        // Only a confirmation with credentials can require credentials to unsubscribe. Source: SNS
        // API reference, `ConfirmSubscription` and `GetSubscriptionAttributes`.
        let was_authenticated = answer
            .attributes()
            .and_then(|attributes| attributes.get("ConfirmationWasAuthenticated"));
        let is_open = was_authenticated.is_some_and(|word| word.eq_ignore_ascii_case("false"));
        Ok(is_open.then_some(*one))
    });
    let asked = futures::future::try_join_all(asked).await?;
    Ok(asked.into_iter().flatten().collect())
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
            arn: is_confirmed.then_some(arn),
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
        subscriptions.iter().partition(|one| one.arn.is_some());
    let names: Vec<String> = pending
        .iter()
        .map(|one| format!("{} ({})", one.endpoint, one.protocol))
        .collect();
    let pending = names.join(", ");
    let confirm = format!(
        "{}; the token is valid for two days, after that subscribe again",
        confirm(arn)
    );
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
                "{}; then {}",
                subscribe(arn, "email", "YOU@EXAMPLE.COM"),
                confirm
            ),
        );
    }
    CheckResult::failed(
        what,
        format!("no one receives the {carries}; not confirmed: {pending}"),
        confirm,
    )
}

/// Checks that no one can end a subscription without credentials. `open` are those that anyone can end
/// with the link in an email, as mail scanners do; `not_asked` more were not looked at.
#[must_use]
pub(super) fn judge_unsubscribing(
    topic: Topic,
    arn: &str,
    open: &[&SubscriptionFacts],
    not_asked: usize,
) -> CheckResult {
    let what = format!("{}: unsubscribing", topic.logical());
    let Some(first) = open.first() else {
        let limit = match not_asked {
            0 => String::new(),
            more => format!("; {more} more subscriptions were not looked at"),
        };
        return CheckResult::ok(what, format!("requires AWS credentials{limit}"));
    };
    let endpoints: Vec<&str> = open.iter().map(|one| one.endpoint.as_str()).collect();
    CheckResult::warning(
        what,
        format!(
            "anyone with the link in an email, such as a mail scanner, can end the subscription of {}",
            endpoints.join(", ")
        ),
        format!(
            "aws sns unsubscribe --subscription-arn {}; {}; then {}; until then, the address gets no {}",
            quoted(first.arn.as_deref().unwrap_or_default()),
            subscribe(arn, &first.protocol, &first.endpoint),
            confirm(arn),
            topic.carries()
        ),
    )
}

fn subscribe(topic_arn: &str, protocol: &str, endpoint: &str) -> String {
    format!(
        "aws sns subscribe --topic-arn {} --protocol {} --notification-endpoint {}",
        quoted(topic_arn),
        quoted(protocol),
        quoted(endpoint)
    )
}

/// How to confirm a subscription such that only someone with credentials can end it.
fn confirm(topic_arn: &str) -> String {
    format!(
        "confirm with the token from the link in the email from AWS, without following the link: aws sns \
         confirm-subscription --topic-arn {} --authenticate-on-unsubscribe true --token TOKEN",
        quoted(topic_arn)
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
            arn: is_confirmed.then(|| format!("arn:s:{endpoint}")),
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
    fn a_pending_subscription_is_confirmed_with_credentials() {
        let fix = judge_subscriptions(
            Topic::Alerts,
            "arn:t",
            &[subscription("a@example.com", false)],
        )
        .fix
        .unwrap();
        let command = "aws sns confirm-subscription --topic-arn arn:t --authenticate-on-unsubscribe true --token";
        assert!(fix.contains(command), "{fix}");
    }

    #[test]
    fn a_subscription_that_anyone_can_end_is_a_warning() {
        let (one, two) = (
            subscription("a@example.com", true),
            subscription("b@example.com", true),
        );
        let of = |open: &[&SubscriptionFacts]| judge_unsubscribing(Topic::Alerts, "arn:t", open, 3);
        assert_eq!(of(&[]).state, CheckStatus::Ok);
        assert!(of(&[]).found.contains("; 3 more"), "{}", of(&[]).found);
        let check = of(&[&one, &two]);
        assert_eq!(check.state, CheckStatus::Warning);
        assert!(
            check.found.contains("a@example.com, b@example.com"),
            "{}",
            check.found
        );
        let fix = check.fix.unwrap();
        for command in [
            "unsubscribe --subscription-arn arn:s:a@example.com;",
            "subscribe --topic-arn arn:t --protocol email --notification-endpoint a@example.com;",
            "confirm-subscription --topic-arn arn:t --authenticate-on-unsubscribe true",
        ] {
            assert!(fix.contains(command), "{command}: {fix}");
        }
    }

    #[test]
    fn only_confirmed_email_has_an_unsubscribe_link() {
        let mut one = subscription("a@example.com", true);
        assert!(one.has_unsubscribe_link());
        "https".clone_into(&mut one.protocol);
        assert!(!one.has_unsubscribe_link());
        assert!(!subscription("a@example.com", false).has_unsubscribe_link());
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
