//! The queues: nothing waits too long, and no message was given up.

use std::collections::HashMap;

use aws_config::SdkConfig;
use aws_sdk_cloudwatch::types::Statistic;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::QueueAttributeName;
use chrono::TimeDelta;

use crate::cli::doctor::check::{Asked, Check, Unasked, judged};
use crate::cli::doctor::metrics::{Metric, points};
use crate::cli::doctor::stack::Deployed;
use crate::detect::Timestamp;
use crate::output::shell::quoted;
use crate::output::time::duration;

/// How old a metric of a queue may be; SQS tells some minutes late.
const METRIC_AGE: TimeDelta = TimeDelta::minutes(15);

/// A queue that a function reads, and how long a message may wait in it.
const READ: [(&str, &str, TimeDelta); 2] = [
    ("ChangesQueue", "Detector", TimeDelta::minutes(5)),
    // Accounts wait for one another, and each may take minutes.
    ("SweepQueue", "Sweeper", TimeDelta::hours(1)),
];

/// The queues of what was given up, and the queue into which SQS can move their messages back. The
/// destination is named, for what the detector itself sent there has no queue of origin.
const DEAD_LETTERS: [(&str, Option<&str>); 4] = [
    ("RuleDeadLetters", None),
    ("ChangesDeadLetters", Some("ChangesQueue")),
    ("SweepDeadLetters", Some("SweepQueue")),
    ("SecurityHubDeadLetters", None),
];

/// How many messages a queue holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Depth {
    /// They can be taken now.
    pub(super) waiting: u64,
    /// Somebody took them and did not finish yet.
    pub(super) taken: u64,
    /// They wait on purpose.
    pub(super) delayed: u64,
}

/// Looks at the queues.
pub(super) async fn check(config: &SdkConfig, stack: &Deployed, now: Timestamp) -> Vec<Check> {
    let read = READ
        .iter()
        .map(|&(queue, function, patience)| one(config, stack, (queue, function), patience, now));
    let mut checks = futures::future::join_all(read).await;
    let dead = DEAD_LETTERS
        .iter()
        // Security Hub is a choice.
        .filter(|(queue, _)| *queue != "SecurityHubDeadLetters" || stack.has(queue))
        .map(|&(queue, origin)| dead_letters(config, stack, queue, origin));
    checks.extend(futures::future::join_all(dead).await);
    checks
}

async fn one(
    config: &SdkConfig,
    stack: &Deployed,
    (queue, function): (&str, &str),
    patience: TimeDelta,
    now: Timestamp,
) -> Check {
    let url = match stack.physical(queue) {
        Ok(url) => url,
        Err(missing) => return missing,
    };
    let depth = match depth(config, url).await {
        Ok(depth) => depth,
        Err(unasked) => return unasked.check(queue),
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
    judged(queue, age, |points| {
        #[expect(clippy::cast_possible_truncation, reason = "whole seconds are enough")]
        let age = points
            .last()
            .map(|(_, seconds)| TimeDelta::seconds(*seconds as i64));
        judge_queue(queue, function, depth, age, patience)
    })
}

async fn dead_letters(
    config: &SdkConfig,
    stack: &Deployed,
    queue: &str,
    origin: Option<&str>,
) -> Check {
    let url = match stack.physical(queue) {
        Ok(url) => url,
        Err(missing) => return missing,
    };
    let origin = origin.and_then(|origin| stack.queue_arn(origin));
    let way_back = stack.queue_arn(queue).zip(origin);
    judged(queue, depth(config, url).await, |depth| {
        judge_dead_letters(queue, depth, url, way_back.as_ref())
    })
}

/// The policy of the queue at `url`, if it has one.
pub(super) async fn policy(config: &SdkConfig, url: &str) -> Asked<Option<String>> {
    let mut attributes = attributes(config, url).await?;
    Ok(attributes.remove(&QueueAttributeName::Policy))
}

async fn depth(config: &SdkConfig, url: &str) -> Asked<Depth> {
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

async fn attributes(config: &SdkConfig, url: &str) -> Asked<HashMap<QueueAttributeName, String>> {
    let answer = Client::new(config)
        .get_queue_attributes()
        .queue_url(url)
        .attribute_names(QueueAttributeName::All)
        .send()
        .await
        .map_err(|error| Unasked::of("sqs:GetQueueAttributes", &error))?;
    Ok(answer.attributes.unwrap_or_default())
}

/// Whether the messages of a queue are read. `age` is that of the oldest, if CloudWatch told one lately.
#[must_use]
pub(super) fn judge_queue(
    queue: &str,
    function: &str,
    depth: Depth,
    age: Option<TimeDelta>,
    patience: TimeDelta,
) -> Check {
    let Depth {
        waiting,
        taken,
        delayed,
    } = depth;
    let mut found = format!("{waiting} waiting, {taken} being read, {delayed} delayed");
    if let Some(age) = age {
        found = format!("{found}; the oldest is {} old", duration(age));
    }
    // Re-checks are delayed on purpose, so an age says something only while a message waits to be taken.
    if waiting > 0 && age.is_some_and(|age| age > patience) {
        return Check::failed(
            queue,
            found,
            format!(
                "see below whether {function} runs and its event source is enabled, and look into its log"
            ),
        );
    }
    Check::ok(queue, found)
}

/// Whether no message was given up. `way_back` holds the ARNs of the queue and of the one that its
/// messages belong in, if SQS can move them back.
#[must_use]
pub(super) fn judge_dead_letters(
    queue: &str,
    depth: Depth,
    url: &str,
    way_back: Option<&(String, String)>,
) -> Check {
    let count = depth.waiting + depth.taken + depth.delayed;
    if count == 0 {
        return Check::ok(queue, "empty");
    }
    let back = match way_back {
        Some((from, to)) => format!(
            "fix the cause that the function's log gives, then: aws sqs start-message-move-task --source-arn {} \
             --destination-arn {}",
            quoted(from),
            quoted(to)
        ),
        None => format!(
            "aws sqs receive-message --queue-url {} --message-attribute-names All --visibility-timeout 5; then see \
             infra/README.md, *A dead-letter queue holds something*",
            quoted(url)
        ),
    };
    Check::failed(queue, format!("{count} messages were given up"), back)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::check::State;

    fn waiting(waiting: u64) -> Depth {
        Depth {
            waiting,
            ..Depth::default()
        }
    }

    #[test]
    fn messages_that_wait_too_long_are_told_and_those_that_are_delayed_on_purpose_are_not() {
        let patience = TimeDelta::minutes(5);
        let of = |depth, seconds: Option<i64>| {
            let age = seconds.map(TimeDelta::seconds);
            judge_queue("ChangesQueue", "Detector", depth, age, patience).state
        };
        assert_eq!(of(waiting(3), Some(301)), State::Failed);
        assert_eq!(of(waiting(3), Some(20)), State::Ok);
        assert_eq!(of(waiting(3), None), State::Ok);
        let delayed = Depth {
            delayed: 2,
            ..Depth::default()
        };
        assert_eq!(of(delayed, Some(900)), State::Ok);
    }

    #[test]
    fn any_message_that_was_given_up_is_told_with_the_way_back() {
        let url = "https://sqs.us-east-1.amazonaws.com/1/dead";
        let of = |depth, way| judge_dead_letters("ChangesDeadLetters", depth, url, way);
        assert_eq!(of(waiting(0), None).state, State::Ok);
        let taken = Depth {
            taken: 1,
            ..Depth::default()
        };
        assert_eq!(of(taken, None).state, State::Failed);
        let arn = |name: &str| format!("arn:aws:sqs:us-east-1:1:{name}");
        let way_back = (arn("dead"), arn("changes"));
        let mend = of(waiting(1), Some(&way_back)).mend.unwrap();
        let command = format!(
            "move-task --source-arn {} --destination-arn {}",
            way_back.0, way_back.1
        );
        assert!(mend.contains(&command), "{mend}");
        assert!(of(waiting(1), None).mend.unwrap().contains(url));
    }
}
