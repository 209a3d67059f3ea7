//! Metrics in CloudWatch's embedded format: lines on stdout that CloudWatch turns into metrics
//! without an API call. Source: CloudWatch user guide, embedded metric format specification.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Value, json};

use crate::detect::Timestamp;
use crate::detect::findings::alert::{Alert, AlertKind};
use crate::detect::keys::view::UnsettledReason;
use crate::pipeline::recheck::RecheckOutcome;

const NAMESPACE: &str = "secondkey";

/// The one metric that is written twice: per sink and in total.
const DELIVERIES_FAILED: &str = "DeliveriesFailed";

/// The most values of one metric in one line, according to the specification.
const MAX_VALUES: usize = 100;

/// The names of all metrics that alarms and the dashboard use.
pub const NAMES: [&str; 18] = [
    "AlertsDelivered",
    "Conflicts",
    "DeliveriesFailed",
    "Duplicates",
    "Events",
    "FailedRechecks",
    "FoundBySweep",
    "IamCalls",
    "Ignored",
    "OldestPendingAlertSeconds",
    "OpenFindings",
    "OverdueAccounts",
    "RefusedListings",
    "SecondsToAlert",
    "StaleListings",
    "Sweeps",
    "UncheckedUsers",
    "UnreachableAccounts",
];

/// The counts of one invocation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metrics {
    /// Messages by outcome.
    pub events_by_outcome: BTreeMap<&'static str, u64>,
    /// Messages that were intentionally ignored, by reason.
    pub ignored_by_reason: BTreeMap<&'static str, u64>,
    /// Seconds from the event that opened or closed a finding to the delivered alert.
    pub seconds_to_alert: Vec<f64>,
    /// Alerts that a sink accepted.
    pub alerts_delivered: u64,
    /// Failed deliveries of alerts and digests, by sink.
    pub deliveries_failed: BTreeMap<String, u64>,
    /// The age in seconds of the oldest pending alert that was read.
    pub oldest_pending_alert_seconds: Option<f64>,
    /// Messages that will be retried, because their re-check failed or because they can neither be
    /// read yet nor be set aside.
    pub failed_rechecks: u64,
    /// How often a record had been written concurrently.
    pub conflicts: u64,
    /// Events that were already in the audit trail.
    pub duplicates: u64,
    /// Re-checks whose listing lagged behind its events, or went back.
    pub stale_listings: u64,
    /// Re-checks whose listing was refused.
    pub refused_listings: u64,
    /// Accounts whose sweep finished.
    pub sweeps: u64,
    /// Findings that were opened by a sweep, because no event had reported them.
    pub found_by_sweep: u64,
    /// Calls to IAM that sweeps made to find suspects.
    pub iam_calls: u64,
    /// Users whom a sweep could not re-check and left to the detector.
    pub unchecked_users: u64,
    /// How many accounts have not been swept in time, if they were counted.
    pub overdue_accounts: Option<u64>,
    /// How many findings are open, if they were counted.
    pub open_findings: Option<u64>,
    /// How many accounts could not be swept because access failed, if any was to be swept.
    pub unreachable_accounts: Option<u64>,
}

impl Metrics {
    /// Counts the outcome of a re-check that ended at `now`.
    pub fn count_recheck(&mut self, rechecked: &RecheckOutcome, now: Timestamp) {
        self.conflicts += u64::from(rechecked.conflicts);
        self.duplicates += rechecked.duplicates as u64;
        self.alerts_delivered += rechecked.delivered.len() as u64;
        for failed in &rechecked.failed_deliveries {
            self.count_failed_delivery(&failed.sink);
            self.note_pending_alert(failed.pending_since, now);
        }
        self.seconds_to_alert.extend(
            rechecked
                .delivered
                .iter()
                .filter_map(|(alert, _)| event_time(alert))
                .map(|at| (now - at).as_seconds_f64()),
        );
        let is_stale = |why: &UnsettledReason| {
            matches!(
                why,
                UnsettledReason::ListingBehindEvents | UnsettledReason::ListingChangedUnexplained
            )
        };
        self.stale_listings += u64::from(rechecked.unsettled.iter().any(is_stale));
        self.refused_listings += u64::from(
            rechecked
                .unsettled
                .contains(&UnsettledReason::ListingRefused),
        );
    }

    /// Counts an alert or digest that `sink` did not accept.
    pub fn count_failed_delivery(&mut self, sink: &str) {
        *self.deliveries_failed.entry(sink.to_owned()).or_default() += 1;
    }

    /// Notes at `now` that an alert has been pending since `owed_since`.
    pub fn note_pending_alert(&mut self, owed_since: Timestamp, now: Timestamp) {
        let age = (now - owed_since).as_seconds_f64().max(0.0);
        let oldest = self.oldest_pending_alert_seconds.unwrap_or_default();
        self.oldest_pending_alert_seconds = Some(oldest.max(age));
    }

    /// Writes the metrics at `now` in a single write, so that nothing appears between their lines.
    pub fn write(&self, out: &mut impl Write, now: Timestamp) -> io::Result<()> {
        let mut lines = Vec::new();
        self.write_lines(&mut lines, now)?;
        out.write_all(&lines)
    }

    fn write_lines(&self, out: &mut impl Write, now: Timestamp) -> io::Result<()> {
        for (dimension, counts) in [
            ("Outcome", &self.events_by_outcome),
            ("Reason", &self.ignored_by_reason),
        ] {
            let name = if dimension == "Outcome" {
                "Events"
            } else {
                "Ignored"
            };
            for (value, count) in counts {
                line(
                    out,
                    now,
                    &[(dimension, value)],
                    name,
                    "Count",
                    &json!(count),
                )?;
            }
        }
        for (name, count) in [
            ("AlertsDelivered", self.alerts_delivered),
            ("Conflicts", self.conflicts),
            ("Duplicates", self.duplicates),
            ("FailedRechecks", self.failed_rechecks),
            ("StaleListings", self.stale_listings),
            ("RefusedListings", self.refused_listings),
            ("Sweeps", self.sweeps),
            ("FoundBySweep", self.found_by_sweep),
            ("IamCalls", self.iam_calls),
            ("UncheckedUsers", self.unchecked_users),
        ] {
            if count > 0 {
                line(out, now, &[], name, "Count", &json!(count))?;
            }
        }
        // For these metrics, zero is worth reporting.
        for (name, count) in [
            ("OpenFindings", self.open_findings),
            ("OverdueAccounts", self.overdue_accounts),
            ("UnreachableAccounts", self.unreachable_accounts),
        ] {
            if let Some(count) = count {
                line(out, now, &[], name, "Count", &json!(count))?;
            }
        }
        let failed: u64 = self.deliveries_failed.values().sum();
        if failed > 0 {
            // The alarm uses the total; the dashboard shows the individual sinks.
            line(out, now, &[], DELIVERIES_FAILED, "Count", &json!(failed))?;
        }
        for (sink, count) in &self.deliveries_failed {
            let dimensions = [("Sink", sink.as_str())];
            line(
                out,
                now,
                &dimensions,
                DELIVERIES_FAILED,
                "Count",
                &json!(count),
            )?;
        }
        if let Some(age) = self.oldest_pending_alert_seconds {
            let name = "OldestPendingAlertSeconds";
            line(out, now, &[], name, "Seconds", &json!(age))?;
        }
        for values in self.seconds_to_alert.chunks(MAX_VALUES) {
            line(out, now, &[], "SecondsToAlert", "Seconds", &json!(values))?;
        }
        Ok(())
    }
}

/// The time of the event that triggered an alert, if there was one.
fn event_time(alert: &Alert) -> Option<Timestamp> {
    match alert.kind {
        AlertKind::Opened => alert.finding.opener.as_ref().map(|opener| opener.at),
        AlertKind::Closed => alert
            .finding
            .closing
            .as_ref()
            .filter(|closing| closing.actor.is_some())
            .map(|closing| closing.at),
        AlertKind::Updated(_) => None,
    }
}

fn line(
    out: &mut impl Write,
    now: Timestamp,
    dimensions: &[(&str, &str)],
    name: &str,
    unit: &str,
    value: &Value,
) -> io::Result<()> {
    let names: Vec<&str> = dimensions.iter().map(|(name, _)| *name).collect();
    let mut document = json!({
        "_aws": {
            "Timestamp": now.timestamp_millis(),
            "CloudWatchMetrics": [{
                "Namespace": NAMESPACE,
                "Dimensions": [names],
                "Metrics": [{"Name": name, "Unit": unit}],
            }],
        },
        name: value,
    });
    if let Some(document) = document.as_object_mut() {
        for (name, value) in dimensions {
            document.insert((*name).to_owned(), json!(value));
        }
    }
    writeln!(out, "{document}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::at;
    use crate::pipeline::outbox::deliver::FailedDelivery;

    fn lines(metrics: &Metrics) -> Vec<Value> {
        let mut out = Vec::new();
        metrics.write(&mut out, at(0)).unwrap();
        String::from_utf8(out)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn every_metric_line_has_its_value_and_dimensions() {
        let metrics = Metrics {
            events_by_outcome: BTreeMap::from([("opened", 2), ("failed", 1)]),
            ignored_by_reason: BTreeMap::from([("failed call", 3)]),
            seconds_to_alert: vec![1.5; 150],
            conflicts: 4,
            ..Metrics::default()
        };
        let lines = lines(&metrics);
        assert_eq!(lines.len(), 6);
        for line in &lines {
            let directive = &line["_aws"]["CloudWatchMetrics"][0];
            let name = directive["Metrics"][0]["Name"].as_str().unwrap();
            assert!(!line[name].is_null(), "{line}");
            for dimension in directive["Dimensions"][0].as_array().unwrap() {
                assert!(line[dimension.as_str().unwrap()].is_string(), "{line}");
            }
        }
        assert_eq!(lines[1]["Outcome"], "opened");
        assert_eq!(lines[1]["Events"], 2);
    }

    #[test]
    fn every_metric_is_among_the_names() {
        let metrics = Metrics {
            events_by_outcome: BTreeMap::from([("opened", 1)]),
            ignored_by_reason: BTreeMap::from([("failed call", 1)]),
            seconds_to_alert: vec![1.5],
            alerts_delivered: 1,
            conflicts: 1,
            duplicates: 1,
            stale_listings: 1,
            refused_listings: 1,
            sweeps: 1,
            found_by_sweep: 1,
            iam_calls: 1,
            unchecked_users: 1,
            overdue_accounts: Some(0),
            open_findings: Some(0),
            unreachable_accounts: Some(0),
            deliveries_failed: BTreeMap::from([("sns".to_owned(), 1)]),
            oldest_pending_alert_seconds: Some(0.0),
            failed_rechecks: 1,
        };
        let mut written: Vec<String> = lines(&metrics)
            .iter()
            .map(|line| line["_aws"]["CloudWatchMetrics"][0]["Metrics"][0]["Name"].clone())
            .filter_map(|name| name.as_str().map(ToOwned::to_owned))
            .collect();
        written.sort();
        written.dedup();
        assert_eq!(written, NAMES);
    }

    #[test]
    fn a_failed_delivery_counts_per_sink_and_in_total() {
        let undelivered = |sink: &str, second| FailedDelivery {
            sink: sink.to_owned(),
            pending_since: at(second),
        };
        let rechecked = RecheckOutcome {
            failed_deliveries: vec![
                undelivered("sns", 40),
                undelivered("eventbridge", 10),
                undelivered("sns", 90),
            ],
            ..RecheckOutcome::default()
        };
        let mut metrics = Metrics::default();
        metrics.count_recheck(&rechecked, at(100));
        let lines = lines(&metrics);
        let counts: Vec<(&Value, &Value)> = lines
            .iter()
            .map(|line| (&line["Sink"], &line["DeliveriesFailed"]))
            .collect();
        assert_eq!(
            counts,
            [
                (&Value::Null, &json!(3)),
                (&json!("eventbridge"), &json!(1)),
                (&json!("sns"), &json!(2)),
                (&Value::Null, &Value::Null),
            ]
        );
        assert_eq!(lines[3]["OldestPendingAlertSeconds"], 90.0);
    }

    #[test]
    fn nothing_counted_writes_nothing() {
        assert!(lines(&Metrics::default()).is_empty());
    }
}
