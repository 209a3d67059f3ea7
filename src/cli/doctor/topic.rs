//! The topics: people get the alerts, and by a second way the alarms about what keeps alerts from
//! them.

use aws_config::SdkConfig;
use aws_sdk_sns::Client;
use aws_sdk_sns::types::Subscription;

use crate::cli::doctor::check::{Asked, Check, Unasked, judged};
use crate::cli::doctor::stack::Deployed;
use crate::output::shell::quoted;

/// What stands in place of the ARN until somebody confirms. Source: SNS API reference, `ListSubscriptionsByTopic`.
const PENDING: &str = "PendingConfirmation";

/// What is known of one subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SubscriptionFacts {
    /// `email` or another word.
    pub(super) protocol: String,
    /// Where it leads.
    pub(super) endpoint: String,
    /// Whether somebody confirmed it.
    pub(super) is_confirmed: bool,
}

/// A topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topic {
    /// Our alerts.
    Alerts,
    /// CloudWatch's alarms about us.
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

/// Looks at the topics.
pub(super) async fn check(config: &SdkConfig, stack: &Deployed) -> Vec<Check> {
    let client = Client::new(config);
    let (alerts, alarms) = futures::join!(
        one(&client, stack, Topic::Alerts),
        one(&client, stack, Topic::Alarms)
    );
    [alerts, alarms].concat()
}

async fn one(client: &Client, stack: &Deployed, topic: Topic) -> Vec<Check> {
    let arn = match stack.physical(topic.logical()) {
        Ok(arn) => arn,
        Err(missing) => return vec![missing],
    };
    let (key, subscriptions) = futures::join!(key(client, arn), subscriptions(client, arn));
    let what = format!("{}: encryption", topic.logical());
    let key = judged(&what, key, |key| judge_key(topic, arn, key.as_deref()));
    let what = format!("{}: subscriptions", topic.logical());
    let subscriptions = judged(&what, subscriptions, |subscriptions| {
        judge_subscriptions(topic, arn, &subscriptions)
    });
    vec![key, subscriptions]
}

async fn key(client: &Client, arn: &str) -> Asked<Option<String>> {
    let answer = client
        .get_topic_attributes()
        .topic_arn(arn)
        .send()
        .await
        .map_err(|error| Unasked::of("sns:GetTopicAttributes", &error))?;
    Ok(answer
        .attributes
        .unwrap_or_default()
        .remove("KmsMasterKeyId")
        .filter(|key| !key.is_empty()))
}

async fn subscriptions(client: &Client, arn: &str) -> Asked<Vec<SubscriptionFacts>> {
    let listed = client
        .list_subscriptions_by_topic()
        .topic_arn(arn)
        .into_paginator()
        .items()
        .send()
        .collect::<Result<Vec<_>, _>>()
        .await
        .map_err(|error| Unasked::of("sns:ListSubscriptionsByTopic", &error))?;
    let facts = |one: Subscription| {
        let arn = one.subscription_arn.unwrap_or_default();
        // One that was deleted is listed for a while too, with another word.
        let is_confirmed = arn.starts_with("arn:");
        (is_confirmed || arn == PENDING).then(|| SubscriptionFacts {
            protocol: one.protocol.unwrap_or_default(),
            endpoint: one.endpoint.unwrap_or_default(),
            is_confirmed,
        })
    };
    Ok(listed.into_iter().filter_map(facts).collect())
}

/// Whether alarms can publish to the topic: not under the key that AWS manages. Source: CloudWatch
/// user guide, alarms, and SNS developer guide, key management.
#[must_use]
pub(super) fn judge_key(topic: Topic, arn: &str, key: Option<&str>) -> Check {
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
        (Some(key), _) if key.contains("alias/aws/sns") => Check::failed(
            what,
            "by the key that AWS manages, under which CloudWatch alarms cannot publish",
            fix,
        ),
        (Some(key), Topic::Alerts) => Check::ok(what, format!("by the key {key}")),
        (None, Topic::Alerts) => Check::warning(what, "by no key", fix),
        (Some(key), Topic::Alarms) => Check::warning(
            what,
            format!("by the key {key}; where it fails, no alarm arrives"),
            fix,
        ),
        (None, Topic::Alarms) => Check::ok(what, "by no key, so that no key can keep alarms back"),
    }
}

/// Whether somebody gets what the topic carries.
#[must_use]
pub(super) fn judge_subscriptions(
    topic: Topic,
    arn: &str,
    subscriptions: &[SubscriptionFacts],
) -> Check {
    let what = format!("{}: subscriptions", topic.logical());
    let carries = topic.carries();
    let (confirmed, pending): (Vec<_>, Vec<_>) =
        subscriptions.iter().partition(|one| one.is_confirmed);
    let names: Vec<String> = pending
        .iter()
        .map(|one| format!("{} ({})", one.endpoint, one.protocol))
        .collect();
    let pending = names.join(", ");
    let confirm = "confirm it by the link in the e-mail from AWS; a link is good for 3 days, then subscribe again";
    let count = confirmed.len();
    if count > 0 && names.is_empty() {
        return Check::ok(what, format!("{count} confirmed"));
    }
    if count > 0 {
        return Check::warning(
            what,
            format!("{count} confirmed; not confirmed: {pending}"),
            confirm,
        );
    }
    if names.is_empty() {
        return Check::failed(
            what,
            format!("nobody gets the {carries}"),
            format!(
                "aws sns subscribe --topic-arn {} --protocol email --notification-endpoint YOU@EXAMPLE.COM",
                quoted(arn)
            ),
        );
    }
    Check::failed(
        what,
        format!("nobody gets the {carries}; not confirmed: {pending}"),
        confirm,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::check::State;

    fn subscription(endpoint: &str, is_confirmed: bool) -> SubscriptionFacts {
        SubscriptionFacts {
            protocol: "email".to_owned(),
            endpoint: endpoint.to_owned(),
            is_confirmed,
        }
    }

    #[test]
    fn somebody_has_to_have_confirmed() {
        let (one, two) = (
            subscription("a@example.com", true),
            subscription("b@example.com", false),
        );
        let of = |subscriptions: &[SubscriptionFacts]| {
            judge_subscriptions(Topic::Alerts, "arn:t", subscriptions)
        };
        assert_eq!(of(std::slice::from_ref(&one)).state, State::Ok);
        let both = of(&[one, two.clone()]);
        assert_eq!(both.state, State::Warning);
        assert!(
            both.found.contains("b@example.com (email)"),
            "{}",
            both.found
        );
        let pending = of(&[two]);
        assert_eq!(pending.state, State::Failed);
        assert!(pending.found.contains("b@example.com"), "{}", pending.found);
        assert!(
            of(&[])
                .mend
                .unwrap()
                .starts_with("aws sns subscribe --topic-arn arn:t")
        );
    }

    #[test]
    fn the_alarm_topic_needs_a_subscriber_of_its_own() {
        let check = judge_subscriptions(Topic::Alarms, "arn:alarms", &[]);
        assert_eq!(check.state, State::Failed);
        assert_eq!(check.what, "AlarmTopic: subscriptions");
        assert_eq!(check.found, "nobody gets the alarms");
        assert!(check.mend.unwrap().contains("--topic-arn arn:alarms"));
    }

    #[test]
    fn alarms_cannot_use_the_key_that_aws_manages() {
        for (topic, key, state) in [
            (Topic::Alerts, Some("alias/aws/sns"), State::Failed),
            (Topic::Alerts, Some("1234-key"), State::Ok),
            (Topic::Alerts, None, State::Warning),
            (Topic::Alarms, Some("alias/aws/sns"), State::Failed),
            (Topic::Alarms, Some("1234-key"), State::Warning),
            (Topic::Alarms, None, State::Ok),
        ] {
            let check = judge_key(topic, "arn:t", key);
            assert_eq!(check.state, state, "{topic:?}, {key:?}");
        }
    }
}
