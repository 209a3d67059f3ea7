//! Checks the queues: no message waits too long, and the dead-letter queues are empty.

use std::collections::HashMap;

use aws_config::SdkConfig;
use aws_sdk_cloudwatch::types::Statistic;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName;
use chrono::TimeDelta;

use crate::cli::doctor::check_result::{CheckResult, QueryError, QueryResult, evaluate};
use crate::cli::doctor::metrics::{Metric, points};
use crate::cli::doctor::stack::DeployedStack;
use crate::detect::Timestamp;
use crate::output::shell::quoted;
use crate::output::time::duration;

/// How old a queue metric may be. SQS reports it some minutes late.
const METRIC_AGE: TimeDelta = TimeDelta::minutes(15);

/// Each queue, the function that reads it, and how long a message may wait in it.
const READ: [(&str, &str, TimeDelta); 2] = [
    ("ChangesQueue", "Detector", TimeDelta::minutes(5)),
    // Accounts are swept one after the other, and each may take minutes.
    ("SweepQueue", "Sweeper", TimeDelta::hours(1)),
];

/// What the messages are that a rule of an account could not forward.
pub(super) const NOT_FORWARDED: &str = "events that the rule of an account could not forward here";

/// The dead-letter queues, what their messages are, and the queue into which SQS can move them back.
/// The destination must be named, because messages that the detector itself sent have no source queue.
const DEAD_LETTERS: [(&str, &str, Option<&str>); 5] = [
    (
        "RuleDeadLetters",
        "events that a rule could not deliver",
        None,
    ),
    ("MemberDeadLetters", NOT_FORWARDED, None),
    (
        "ChangesDeadLetters",
        "messages that could not be processed",
        Some("ChangesQueue"),
    ),
    (
        "SweepDeadLetters",
        "messages that could not be processed",
        Some("SweepQueue"),
    ),
    (
        "SecurityHubDeadLetters",
        "findings that did not reach Security Hub",
        None,
    ),
];

/// The dead-letter queues that a stack has only with certain parameters.
const OPTIONAL: [&str; 2] = ["MemberDeadLetters", "SecurityHubDeadLetters"];

/// A dead-letter queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DeadLetterQueue<'a> {
    /// The subject of its check.
    pub(super) what: &'a str,
    /// What its messages are.
    pub(super) holds: &'a str,
    /// Its URL.
    pub(super) url: &'a str,
    /// Its region, if that is not the one of the stack.
    pub(super) region: Option<&'a str>,
    /// The ARNs of this queue and of the queue that its messages belong to, if SQS can move them back.
    pub(super) way_back: Option<(String, String)>,
}

/// The number of messages in a queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Depth {
    /// Messages that can be received now.
    pub(super) waiting: u64,
    /// Messages that were received but not deleted yet.
    pub(super) taken: u64,
    /// Messages with a delay.
    pub(super) delayed: u64,
}

/// Checks the queues.
pub(super) async fn check(
    config: &SdkConfig,
    stack: &DeployedStack,
    now: Timestamp,
) -> Vec<CheckResult> {
    let read = READ
        .iter()
        .map(|&(queue, function, patience)| one(config, stack, (queue, function), patience, now));
    let mut checks = futures::future::join_all(read).await;
    let dead = DEAD_LETTERS
        .iter()
        .filter(|(queue, ..)| !OPTIONAL.contains(queue) || stack.has(queue))
        .map(|&(queue, holds, origin)| of_stack(config, stack, queue, holds, origin));
    checks.extend(futures::future::join_all(dead).await);
    checks
}

async fn one(
    config: &SdkConfig,
    stack: &DeployedStack,
    (queue, function): (&str, &str),
    patience: TimeDelta,
    now: Timestamp,
) -> CheckResult {
    let url = match stack.physical(queue) {
        Ok(url) => url,
        Err(missing) => return missing,
    };
    let depth = match depth(config, url).await {
        Ok(depth) => depth,
        Err(error) => return error.check(queue),
    };
    let metric = Metric {
        namespace: "AWS/SQS",
        name: "ApproximateAgeOfOldestMessage",
        of: ("QueueName", url.rsplit('/').next().unwrap_or_default()),
        statistic: Statistic::Maximum,
        period_seconds: 60,
        since: METRIC_AGE,
    };
    let age = points(config, metric, now).await;
    evaluate(queue, age, |points| {
        #[expect(clippy::cast_possible_truncation, reason = "whole seconds are enough")]
        let age = points
            .last()
            .map(|(_, seconds)| TimeDelta::seconds(*seconds as i64));
        judge_queue(queue, function, depth, age, patience)
    })
}

async fn of_stack(
    config: &SdkConfig,
    stack: &DeployedStack,
    queue: &str,
    holds: &str,
    origin: Option<&str>,
) -> CheckResult {
    let url = match stack.physical(queue) {
        Ok(url) => url,
        Err(missing) => return missing,
    };
    let origin = origin.and_then(|origin| stack.queue_arn(origin));
    let queue = DeadLetterQueue {
        what: queue,
        holds,
        url,
        region: None,
        way_back: stack.queue_arn(queue).zip(origin),
    };
    dead_letters(config, &queue).await
}

/// Checks that `queue` is empty.
pub(super) async fn dead_letters(config: &SdkConfig, queue: &DeadLetterQueue<'_>) -> CheckResult {
    evaluate(queue.what, depth(config, queue.url).await, |depth| {
        judge_dead_letters(queue, depth)
    })
}

/// The URL of the queue `name`.
pub(super) async fn url(config: &SdkConfig, name: &str) -> QueryResult<String> {
    let answer = Client::new(config)
        .get_queue_url()
        .queue_name(name)
        .send()
        .await
        .map_err(|error| QueryError::of("sqs:GetQueueUrl", &error))?;
    Ok(answer.queue_url.unwrap_or_default())
}

/// The policy of the queue at `url`, if it has one.
pub(super) async fn policy(config: &SdkConfig, url: &str) -> QueryResult<Option<String>> {
    let mut attributes = attributes(config, url).await?;
    Ok(attributes.remove(&QueueAttributeName::Policy))
}

async fn depth(config: &SdkConfig, url: &str) -> QueryResult<Depth> {
    let attributes = attributes(config, url).await?;
    let count = |name: QueueAttributeName| {
        attributes
            .get(&name)
            .and_then(|count| count.parse().ok())
            .unwrap_or(0)
    };
    Ok(Depth {
        waiting: count(QueueAttributeName::ApproximateNumberOfMessages),
        taken: count(QueueAttributeName::ApproximateNumberOfMessagesNotVisible),
        delayed: count(QueueAttributeName::ApproximateNumberOfMessagesDelayed),
    })
}

async fn attributes(
    config: &SdkConfig,
    url: &str,
) -> QueryResult<HashMap<QueueAttributeName, String>> {
    let answer = Client::new(config)
        .get_queue_attributes()
        .queue_url(url)
        .attribute_names(QueueAttributeName::All)
        .send()
        .await
        .map_err(|error| QueryError::of("sqs:GetQueueAttributes", &error))?;
    Ok(answer.attributes.unwrap_or_default())
}

/// Checks that the messages of a queue are read. `age` is the age of the oldest message, if CloudWatch
/// has a recent value.
#[must_use]
pub(super) fn judge_queue(
    queue: &str,
    function: &str,
    depth: Depth,
    age: Option<TimeDelta>,
    patience: TimeDelta,
) -> CheckResult {
    let Depth {
        waiting,
        taken,
        delayed,
    } = depth;
    let mut found = format!("{waiting} waiting, {taken} being read, {delayed} delayed");
    if let Some(age) = age {
        found = format!("{found}; the oldest is {} old", duration(age));
    }
    // Re-checks are delayed on purpose, so the age counts only if a message can be received now.
    if waiting > 0 && age.is_some_and(|age| age > patience) {
        return CheckResult::failed(
            queue,
            found,
            format!(
                "see below whether {function} runs and its event source is enabled, and see its log"
            ),
        );
    }
    CheckResult::ok(queue, found)
}

/// Checks that a dead-letter queue is empty.
#[must_use]
pub(super) fn judge_dead_letters(queue: &DeadLetterQueue, depth: Depth) -> CheckResult {
    let count = depth.waiting + depth.taken + depth.delayed;
    if count == 0 {
        return CheckResult::ok(queue.what, "empty");
    }
    let back = match &queue.way_back {
        Some((from, to)) => format!(
            "fix the cause, which is in the function's log, then: aws sqs start-message-move-task --source-arn {} \
             --destination-arn {}",
            quoted(from),
            quoted(to)
        ),
        None => format!(
            "aws sqs receive-message --queue-url {}{} --message-attribute-names All --visibility-timeout 5; then see \
             infra/README.md, *A dead-letter queue holds something*",
            quoted(queue.url),
            queue.region.map_or(String::new(), |region| format!(
                " --region {}",
                quoted(region)
            ))
        ),
    };
    CheckResult::failed(queue.what, format!("{count} {}", queue.holds), back)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::check_result::CheckStatus;

    fn waiting(waiting: u64) -> Depth {
        Depth {
            waiting,
            ..Depth::default()
        }
    }

    #[test]
    fn waiting_messages_fail_and_delayed_messages_do_not() {
        let patience = TimeDelta::minutes(5);
        let of = |depth, seconds: Option<i64>| {
            let age = seconds.map(TimeDelta::seconds);
            judge_queue("ChangesQueue", "Detector", depth, age, patience).state
        };
        assert_eq!(of(waiting(3), Some(301)), CheckStatus::Failed);
        assert_eq!(of(waiting(3), Some(20)), CheckStatus::Ok);
        assert_eq!(of(waiting(3), None), CheckStatus::Ok);
        let delayed = Depth {
            delayed: 2,
            ..Depth::default()
        };
        assert_eq!(of(delayed, Some(900)), CheckStatus::Ok);
    }

    fn dead_letters(region: Option<&'static str>) -> DeadLetterQueue<'static> {
        DeadLetterQueue {
            what: "ChangesDeadLetters",
            holds: "messages that could not be processed",
            url: "https://sqs.us-east-1.amazonaws.com/1/dead",
            region,
            way_back: None,
        }
    }

    #[test]
    fn a_dead_letter_fails_with_the_command_that_moves_it_back() {
        let mut queue = dead_letters(None);
        assert_eq!(
            judge_dead_letters(&queue, waiting(0)).state,
            CheckStatus::Ok
        );
        let taken = Depth {
            taken: 1,
            ..Depth::default()
        };
        let check = judge_dead_letters(&queue, taken);
        assert_eq!(check.state, CheckStatus::Failed);
        assert_eq!(check.found, "1 messages that could not be processed");
        assert!(check.fix.unwrap().contains(queue.url));
        let arn = |name: &str| format!("arn:aws:sqs:us-east-1:1:{name}");
        queue.way_back = Some((arn("dead"), arn("changes")));
        let fix = judge_dead_letters(&queue, waiting(1)).fix.unwrap();
        let command = format!(
            "move-task --source-arn {} --destination-arn {}",
            arn("dead"),
            arn("changes")
        );
        assert!(fix.contains(&command), "{fix}");
    }

    #[test]
    fn the_command_names_the_region_of_a_queue_elsewhere() {
        let queue = dead_letters(Some("us-east-1"));
        let fix = judge_dead_letters(&queue, waiting(1)).fix.unwrap();
        assert!(fix.contains("/1/dead --region us-east-1 "), "{fix}");
    }
}
