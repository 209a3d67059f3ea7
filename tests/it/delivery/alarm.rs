//! An alarm of the template, evaluated on metrics in CloudWatch's embedded format.
//!
//! Source: CloudWatch user guide, *Alarm evaluation* and *Alarm evaluation window*: an alarm looks
//! at the last N periods, which end at the moment of the evaluation unless it says otherwise, and
//! is in ALARM if M of them breach.

use chrono::{DateTime, TimeDelta};
use secondkey::detect::Timestamp;
use serde_json::{Value, json};

use crate::stack::cloudformation::Template;

/// One value of a metric without dimensions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    pub at: Timestamp,
    pub value: f64,
}

/// The points of the metric `name` in lines of the embedded format, without those that have
/// dimensions: each set of dimensions is a separate metric.
pub fn points(lines: &str, name: &str) -> Vec<Point> {
    let lines = lines.lines().map(|line| -> Value {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    });
    lines
        .filter(|line| {
            let metric = &line["_aws"]["CloudWatchMetrics"][0];
            metric["Namespace"] == "secondkey"
                && metric["Dimensions"] == json!([[]])
                && metric["Metrics"][0]["Name"] == name
        })
        .map(|line| Point {
            at: DateTime::from_timestamp_millis(line["_aws"]["Timestamp"].as_i64().unwrap())
                .unwrap(),
            value: line[name].as_f64().unwrap(),
        })
        .collect()
}

/// An alarm on one metric.
#[derive(Debug, Clone)]
pub struct Alarm {
    pub metric: String,
    pub action: Value,
    is_sum: bool,
    period: TimeDelta,
    periods: i32,
    needed: usize,
    threshold: f64,
}

impl Alarm {
    /// The alarm `logical` of `infra/template.yaml`.
    pub fn read(logical: &str) -> Self {
        let template = Template::read("infra/template.yaml");
        let alarm = &template.0["Resources"][logical]["Properties"];
        assert_eq!(alarm["Namespace"], "secondkey", "{logical}");
        assert_eq!(alarm["Dimensions"], Value::Null, "{logical}");
        assert_eq!(alarm["ComparisonOperator"], "GreaterThanThreshold");
        assert_eq!(alarm["TreatMissingData"], "notBreaching", "{logical}");
        let periods = alarm["EvaluationPeriods"].as_i64().unwrap();
        // All periods, unless the alarm sets a number.
        let needed = alarm["DatapointsToAlarm"].as_i64().unwrap_or(periods);
        Self {
            metric: alarm["MetricName"].as_str().unwrap().to_owned(),
            action: alarm["AlarmActions"].clone(),
            is_sum: match alarm["Statistic"].as_str() {
                Some("Sum") => true,
                Some("Maximum") => false,
                other => panic!("{logical}: {other:?}"),
            },
            period: TimeDelta::seconds(alarm["Period"].as_i64().unwrap()),
            periods: i32::try_from(periods).unwrap(),
            needed: usize::try_from(needed).unwrap(),
            threshold: alarm["Threshold"].as_f64().unwrap(),
        }
    }

    /// Whether the alarm is in ALARM when it is evaluated at `now` on `points`, oldest first.
    pub fn rings(&self, points: &[Point], now: Timestamp) -> bool {
        let breaching = (0..self.periods).filter(|back| {
            let end = now - self.period * *back;
            let start = end - self.period;
            let from = points.partition_point(|point| point.at < start);
            let to = points.partition_point(|point| point.at < end);
            let values = points[from..to].iter().map(|point| point.value);
            // A period without a point does not breach.
            let statistic = if self.is_sum {
                values.reduce(|sum, value| sum + value)
            } else {
                values.reduce(f64::max)
            };
            statistic.is_some_and(|value| value > self.threshold)
        });
        breaching.count() >= self.needed
    }

    /// The minutes from `start` to `end` in which the alarm is in ALARM. It is evaluated every
    /// minute.
    pub fn minutes_in_alarm(
        &self,
        points: &[Point],
        start: Timestamp,
        end: Timestamp,
    ) -> Vec<Timestamp> {
        minutes_between(start, end)
            .filter(|minute| self.rings(points, *minute))
            .collect()
    }
}

/// Every minute from `start` to `end`.
pub fn minutes_between(start: Timestamp, end: Timestamp) -> impl Iterator<Item = Timestamp> {
    let count = i32::try_from((end - start).num_minutes()).unwrap();
    (0..=count).map(move |minute| start + TimeDelta::minutes(1) * minute)
}

fn at(second: i64) -> Timestamp {
    DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
}

fn at_seconds(seconds: impl IntoIterator<Item = i64>) -> Vec<Point> {
    let point = |second| Point {
        at: at(second),
        value: 1.0,
    };
    seconds.into_iter().map(point).collect()
}

#[test]
fn points_by_dimension_are_another_metric() {
    let line = |dimensions: Value, value: i64| {
        let about = json!({"Timestamp": 1_800_000_000_000_i64, "CloudWatchMetrics": [{
            "Namespace": "secondkey", "Dimensions": [dimensions], "Metrics": [{"Name": "Failed", "Unit": "Count"}]}]});
        json!({"_aws": about, "Failed": value, "Sink": "sns"}).to_string()
    };
    let lines = [line(json!([]), 1), line(json!(["Sink"]), 2)].join("\n");
    assert_eq!(points(&lines, "Failed"), at_seconds([0]));
    assert_eq!(points(&lines, "Other"), []);
}

#[test]
fn an_alarm_needs_m_of_the_last_n_periods() {
    let alarm = Alarm {
        metric: "Failed".to_owned(),
        action: Value::Null,
        is_sum: true,
        period: TimeDelta::seconds(60),
        periods: 3,
        needed: 2,
        threshold: 1.0,
    };
    // Two points in a period make the sum breach.
    let points = at_seconds([0, 1, 70, 130, 131]);
    let rings: Vec<bool> = [60, 120, 180, 240]
        .map(|second| alarm.rings(&points, at(second)))
        .into();
    assert_eq!(rings, [false, false, true, false]);
    // The windows slide: at 191 the first pair is outside.
    assert!(alarm.rings(&points, at(180)));
    assert!(!alarm.rings(&points, at(191)));
}

/// A failed message stays invisible for as long as the template says, and then fails again.
#[test]
fn an_outage_of_re_checks_raises_the_alarm_and_one_failure_does_not() {
    let template = Template::read("infra/template.yaml");
    let queue = &template.0["Resources"]["ChangesQueue"]["Properties"];
    let every = queue["VisibilityTimeout"].as_i64().unwrap();
    let alarm = Alarm::read("FailedRechecksAlarm");
    assert_eq!(alarm.metric, "FailedRechecks");
    let failing_for = |seconds: i64| {
        let times = (0..).map(|time| time * every);
        at_seconds(times.take_while(|second| *second <= seconds))
    };
    let rings = |points: &[Point]| alarm.minutes_in_alarm(points, at(0), at(3 * 3_600));
    assert!(rings(&failing_for(0)).is_empty());
    assert!(rings(&failing_for(2 * every)).is_empty());
    let outage = failing_for(7_200);
    let minutes = rings(&outage);
    assert!(minutes[0] <= at(900), "{}", minutes[0]);
    // The alarm stays on as long as messages fail.
    let throughout = minutes_between(minutes[0], at(7_200));
    assert!(throughout.eq(minutes.iter().copied().take_while(|at_| *at_ <= at(7_200))));
}

/// This does not depend on exact timing: each retry may be up to five minutes late.
#[test]
fn repeated_refusals_raise_the_alarm_and_one_does_not() {
    let alarm = Alarm::read("DeliveriesFailedAlarm");
    let rings = |points: &[Point]| alarm.minutes_in_alarm(points, at(0), at(86_400));
    assert!(rings(&at_seconds([0])).is_empty());
    for retry_after in [900, 1_000, 1_200] {
        let first = [0, 30, 60, 120, 240, 480, 960];
        let later = (1..80).map(|time| 960 + time * retry_after);
        let points = at_seconds(first.into_iter().chain(later));
        let last = points.last().unwrap().at.min(at(86_400));
        let minutes: Vec<Timestamp> = rings(&points);
        assert!(minutes[0] <= at(900), "{retry_after}");
        let throughout = minutes_between(minutes[0], last);
        assert!(
            throughout.eq(minutes.iter().copied().take_while(|minute| *minute <= last)),
            "{retry_after}"
        );
    }
}
