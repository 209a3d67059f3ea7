//! Reads metrics from CloudWatch.

use std::time::SystemTime;

use aws_config::SdkConfig;
use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Datapoint, Dimension, Statistic};
use chrono::TimeDelta;

use crate::cli::doctor::check_result::{QueryError, QueryResult};
use crate::detect::Timestamp;

/// A metric to read.
#[derive(Debug, Clone)]
pub(super) struct Metric<'a> {
    /// The namespace, such as `AWS/SQS`.
    pub(super) namespace: &'a str,
    /// The metric's name.
    pub(super) name: &'a str,
    /// The name of the dimension, and its value.
    pub(super) of: (&'a str, &'a str),
    /// Sum or maximum.
    pub(super) statistic: Statistic,
    /// The length of one point.
    pub(super) period_seconds: i32,
    /// How far back to read.
    pub(super) since: TimeDelta,
}

/// The points of `metric` up to `now`, the oldest first.
pub(super) async fn points(
    config: &SdkConfig,
    metric: Metric<'_>,
    now: Timestamp,
) -> QueryResult<Vec<(Timestamp, f64)>> {
    let time = |at: Timestamp| DateTime::from(SystemTime::from(at));
    let (name, value) = metric.of;
    let answer = Client::new(config)
        .get_metric_statistics()
        .namespace(metric.namespace)
        .metric_name(metric.name)
        .dimensions(Dimension::builder().name(name).value(value).build())
        .statistics(metric.statistic.clone())
        .period(metric.period_seconds)
        .start_time(time(now - metric.since))
        .end_time(time(now))
        .send()
        .await
        .map_err(|error| QueryError::of("cloudwatch:GetMetricStatistics", &error))?;
    let point = |point: Datapoint| {
        let value = match metric.statistic {
            Statistic::Maximum => point.maximum,
            _ => point.sum,
        };
        Some((
            Timestamp::from_timestamp(point.timestamp?.secs(), 0)?,
            value?,
        ))
    };
    let mut points: Vec<(Timestamp, f64)> = answer
        .datapoints
        .unwrap_or_default()
        .into_iter()
        .filter_map(point)
        .collect();
    points.sort_by_key(|(at, _)| *at);
    Ok(points)
}
