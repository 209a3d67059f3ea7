//! Checks the functions: deployed, connected to their queue, and without errors.

use aws_config::SdkConfig;
use aws_sdk_cloudwatch::types::Statistic;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::types::FunctionResponseType;
use chrono::TimeDelta;

use crate::cli::doctor::check_result::{CheckResult, QueryError, QueryResult, evaluate};
use crate::cli::doctor::metrics::{Metric, points};
use crate::cli::doctor::stack::DeployedStack;
use crate::detect::Timestamp;
use crate::output::shell::quoted;
use crate::output::time::readable;

/// The facts about one function.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FunctionFacts {
    /// The state, such as `Active`.
    pub(super) state: String,
    /// Why it is not active.
    pub(super) state_reason: String,
    /// The status of the last update, such as `Successful`.
    pub(super) last_update: String,
    /// Why the last update was not successful.
    pub(super) last_update_reason: String,
    /// The reserved concurrency, if it is set.
    pub(super) reserved: Option<i32>,
}

/// The facts about one event source mapping.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct MappingFacts {
    /// Its id.
    pub(super) id: String,
    /// The ARN of the queue.
    pub(super) queue_arn: String,
    /// The state, such as `Enabled`.
    pub(super) state: String,
    /// Whether the function can report single failed messages.
    pub(super) reports_failures: bool,
}

/// Checks the functions.
pub(super) async fn check(
    config: &SdkConfig,
    stack: &DeployedStack,
    now: Timestamp,
) -> Vec<CheckResult> {
    let functions = [
        ("Detector", Some("ChangesQueue")),
        ("Sweeper", Some("SweepQueue")),
        ("SecurityHub", None),
    ];
    let checked = functions
        .iter()
        .filter(|(function, _)| *function != "SecurityHub" || stack.has(function))
        .map(|&(function, queue)| one(config, stack, function, queue, now));
    futures::future::join_all(checked).await.concat()
}

async fn one(
    config: &SdkConfig,
    stack: &DeployedStack,
    function: &str,
    queue: Option<&str>,
    now: Timestamp,
) -> Vec<CheckResult> {
    let name = match stack.physical(function) {
        Ok(name) => name,
        Err(missing) => return vec![missing],
    };
    let client = Client::new(config);
    let mut checks = vec![evaluate(function, facts(&client, name).await, |facts| {
        judge_function(function, name, &facts)
    })];
    if let Some(queue) = queue {
        let what = format!("{function}: event source");
        let arn = stack.queue_arn(queue).unwrap_or_default();
        checks.push(evaluate(&what, mappings(&client, name).await, |mappings| {
            judge_mappings(&what, name, &arn, &mappings)
        }));
    }
    let what = format!("{function}: errors");
    let log = stack.resources.get(&format!("{function}Log"));
    let log = log
        .cloned()
        .unwrap_or_else(|| format!("/aws/lambda/{name}"));
    let metric = Metric {
        namespace: "AWS/Lambda",
        name: "Errors",
        of: ("FunctionName", name),
        statistic: Statistic::Sum,
        period_seconds: 3_600,
        since: TimeDelta::hours(24),
    };
    checks.push(evaluate(
        &what,
        points(config, metric, now).await,
        |points| judge_errors(&what, &log, &points),
    ));
    checks
}

async fn facts(client: &Client, name: &str) -> QueryResult<FunctionFacts> {
    let answer = client
        .get_function()
        .function_name(name)
        .send()
        .await
        .map_err(|error| QueryError::of("lambda:GetFunction", &error))?;
    let reserved = answer
        .concurrency
        .and_then(|limit| limit.reserved_concurrent_executions);
    let Some(found) = answer.configuration else {
        return Ok(FunctionFacts::default());
    };
    Ok(FunctionFacts {
        state: found
            .state
            .map(|word| word.as_str().to_owned())
            .unwrap_or_default(),
        state_reason: found.state_reason.unwrap_or_default(),
        last_update: found
            .last_update_status
            .map(|word| word.as_str().to_owned())
            .unwrap_or_default(),
        last_update_reason: found.last_update_status_reason.unwrap_or_default(),
        reserved,
    })
}

async fn mappings(client: &Client, name: &str) -> QueryResult<Vec<MappingFacts>> {
    let listed = client
        .list_event_source_mappings()
        .function_name(name)
        .into_paginator()
        .items()
        .send()
        .collect::<Result<Vec<_>, _>>()
        .await
        .map_err(|error| QueryError::of("lambda:ListEventSourceMappings", &error))?;
    Ok(listed
        .into_iter()
        .map(|mapping| MappingFacts {
            id: mapping.uuid.unwrap_or_default(),
            queue_arn: mapping.event_source_arn.unwrap_or_default(),
            state: mapping.state.unwrap_or_default(),
            reports_failures: mapping
                .function_response_types
                .unwrap_or_default()
                .contains(&FunctionResponseType::ReportBatchItemFailures),
        })
        .collect())
}

/// Checks that a function can run.
#[must_use]
pub(super) fn judge_function(what: &str, name: &str, facts: &FunctionFacts) -> CheckResult {
    let found = format!(
        "{name} is {}, its last update {}",
        facts.state.to_lowercase(),
        facts.last_update.to_lowercase()
    );
    let again = "deploy again: sam build && sam deploy".to_owned();
    if facts.reserved == Some(0) {
        return CheckResult::failed(
            what,
            format!("{name} cannot run: its reserved concurrency is 0"),
            format!(
                "aws lambda delete-function-concurrency --function-name {}",
                quoted(name)
            ),
        );
    }
    match (facts.state.as_str(), facts.last_update.as_str()) {
        // Lambda activates an inactive function at the next message.
        ("Active" | "Inactive", "Successful") => CheckResult::ok(what, found),
        ("Failed", _) => {
            CheckResult::failed(what, format!("{found}: {}", facts.state_reason), again)
        }
        (_, "Failed") => CheckResult::failed(
            what,
            format!("{found}: {}", facts.last_update_reason),
            again,
        ),
        ("Pending", _) | (_, "InProgress") => {
            CheckResult::warning(what, found, "run doctor again in a minute")
        }
        _ => CheckResult::failed(what, format!("{found}: {}", facts.state_reason), again),
    }
}

/// Checks that the function `name` reads the queue `queue_arn`.
#[must_use]
pub(super) fn judge_mappings(
    what: &str,
    name: &str,
    queue_arn: &str,
    mappings: &[MappingFacts],
) -> CheckResult {
    let Some(mapping) = mappings.iter().find(|one| one.queue_arn == queue_arn) else {
        return CheckResult::failed(
            what,
            "no event source mapping connects the queue to the function",
            format!(
                "aws lambda create-event-source-mapping --function-name {} --event-source-arn {} \
                 --function-response-types ReportBatchItemFailures",
                quoted(name),
                quoted(queue_arn)
            ),
        );
    };
    let update = format!(
        "aws lambda update-event-source-mapping --uuid {}",
        quoted(&mapping.id)
    );
    match mapping.state.as_str() {
        "Enabled" | "Updating" | "Enabling" | "Creating" => (),
        state => {
            return CheckResult::failed(what, state.to_lowercase(), format!("{update} --enabled"));
        }
    }
    if !mapping.reports_failures {
        return CheckResult::failed(
            what,
            "enabled, but without ReportBatchItemFailures: failed messages are lost",
            format!("{update} --function-response-types ReportBatchItemFailures"),
        );
    }
    CheckResult::ok(what, "enabled, with ReportBatchItemFailures")
}

/// Checks that the function had no errors in the last 24 hours. `points` are its errors per hour.
#[must_use]
pub(super) fn judge_errors(what: &str, log: &str, points: &[(Timestamp, f64)]) -> CheckResult {
    let errors: f64 = points.iter().map(|(_, count)| count).sum();
    let last = points.iter().rfind(|(_, count)| *count > 0.0);
    let Some((last, _)) = last else {
        return CheckResult::ok(what, "none in 24 hours");
    };
    CheckResult::warning(
        what,
        format!(
            "{errors:.0} in 24 hours, the last in the hour from {}",
            readable(*last)
        ),
        format!("see why: aws logs tail {} --since 24h", quoted(log)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::check_result::CheckStatus;

    #[test]
    fn a_function_must_be_active_updated_and_have_concurrency() {
        let of = |state: &str, last_update: &str, reserved| {
            let facts = FunctionFacts {
                state: state.to_owned(),
                last_update: last_update.to_owned(),
                reserved,
                ..FunctionFacts::default()
            };
            judge_function("Detector", "secondkey-detector", &facts).state
        };
        assert_eq!(of("Active", "Successful", None), CheckStatus::Ok);
        assert_eq!(of("Inactive", "Successful", Some(5)), CheckStatus::Ok);
        assert_eq!(of("Active", "InProgress", None), CheckStatus::Warning);
        assert_eq!(of("Active", "Failed", None), CheckStatus::Failed);
        assert_eq!(of("Failed", "Successful", None), CheckStatus::Failed);
        assert_eq!(of("Active", "Successful", Some(0)), CheckStatus::Failed);
        assert_eq!(of("", "", None), CheckStatus::Failed);
    }

    #[test]
    fn a_queue_needs_an_enabled_mapping_that_reports_failures() {
        let of = |state: &str, queue: &str, reports_failures| {
            let mapping = MappingFacts {
                id: "1".to_owned(),
                queue_arn: queue.to_owned(),
                state: state.to_owned(),
                reports_failures,
            };
            judge_mappings("x", "secondkey-detector", "arn:q", &[mapping]).state
        };
        assert_eq!(of("Enabled", "arn:q", true), CheckStatus::Ok);
        assert_eq!(of("Disabled", "arn:q", true), CheckStatus::Failed);
        assert_eq!(of("Enabled", "arn:q", false), CheckStatus::Failed);
        assert_eq!(of("Enabled", "arn:other", true), CheckStatus::Failed);
        assert_eq!(
            judge_mappings("x", "f", "arn:q", &[]).state,
            CheckStatus::Failed
        );
    }

    #[test]
    fn errors_of_the_last_day_are_reported_with_their_time() {
        let at = |hour: i64| Timestamp::from_timestamp(hour * 3_600, 0).unwrap();
        assert_eq!(judge_errors("x", "log", &[]).state, CheckStatus::Ok);
        assert_eq!(
            judge_errors("x", "log", &[(at(1), 0.0)]).state,
            CheckStatus::Ok
        );
        let check = judge_errors("x", "log", &[(at(1), 2.0), (at(2), 1.0), (at(3), 0.0)]);
        assert_eq!(check.state, CheckStatus::Warning);
        assert!(check.found.contains("3 in 24 hours"), "{}", check.found);
        assert!(
            check.found.contains("1970-01-01 02:00:00"),
            "{}",
            check.found
        );
    }
}
