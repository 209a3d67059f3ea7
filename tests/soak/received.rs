//! The alerts that reached their recipients.

use std::collections::{BTreeMap, BTreeSet};

use secondkey::detect::trail::audit::{AuditEntry, AuditKind};
use secondkey::detect::user::UserId;
use serde_json::Value;

use crate::check::Problem;
use crate::truth::user_id;

/// Where alerts arrive.
pub const PLACES: [&str; 2] = ["topic", "bus"];

/// What arrived at each place, in order of arrival.
#[derive(Debug, Default)]
pub struct Received {
    by_place: BTreeMap<&'static str, Vec<Arrived>>,
}

/// The compared parts of an alert.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Arrived {
    user: UserId,
    sequence: u64,
    kind: String,
    finding_id: String,
    audit_hash: String,
}

impl Received {
    /// Adds what arrived at `place`.
    pub fn add(&mut self, place: &'static str, alerts: &[Value]) {
        let arrived = alerts.iter().map(|alert| {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            Arrived {
                user: user_id(alert["finding"]["user"].as_str().unwrap_or_default()),
                sequence: alert["sequence"].as_u64().unwrap_or_default(),
                kind: text(&alert["kind"]),
                finding_id: text(&alert["finding"]["id"]),
                audit_hash: text(&alert["audit_hash"]),
            }
        });
        self.by_place.entry(place).or_default().extend(arrived);
    }

    /// How many alerts arrived more than once.
    pub fn repeated(&self) -> usize {
        let repeated = |arrived: &Vec<Arrived>| {
            let distinct: BTreeSet<&Arrived> = arrived.iter().collect();
            arrived.len() - distinct.len()
        };
        self.by_place.values().map(repeated).sum()
    }

    /// Alerts about users who are not among `users`.
    pub fn of_nobody(&self, users: &BTreeSet<&UserId>) -> Vec<String> {
        self.by_place
            .values()
            .flatten()
            .filter(|arrived| !users.contains(&arrived.user))
            .map(|arrived| format!("{arrived:?}"))
            .collect()
    }

    /// Compares the alerts about `user` with its trail: how many alerts are correct, and what is
    /// wrong.
    pub fn compare(&self, user: &UserId, trail: &[AuditEntry]) -> (usize, Vec<Problem>) {
        let expected: Vec<Arrived> = trail.iter().filter_map(told_by).collect();
        let mut right = 0;
        let mut problems = vec![];
        for place in PLACES {
            let mut first: Vec<&Arrived> = vec![];
            for arrived in self.by_place.get(place).into_iter().flatten() {
                if arrived.user == *user && !first.contains(&arrived) {
                    first.push(arrived);
                }
            }
            for alert in &expected {
                if first.contains(&alert) {
                    right += 1;
                } else {
                    let lost = format!(
                        "{} {} did not reach the {place}",
                        alert.kind, alert.sequence
                    );
                    problems.push(Problem::Lost(lost));
                }
            }
            for (at, alert) in first.iter().enumerate() {
                if !expected.contains(alert) {
                    let wrong = format!("the {place} got what no entry tells: {alert:?}");
                    problems.push(Problem::Wrong(wrong));
                }
                // An opening does not wait for other alerts, and may overtake them.
                let overtaken = first[at + 1..]
                    .iter()
                    .find(|later| later.sequence < alert.sequence && alert.kind != "opened");
                if let Some(older) = overtaken {
                    let wrong = format!(
                        "at the {place} {} {} overtook {} {}",
                        alert.kind, alert.sequence, older.kind, older.sequence
                    );
                    problems.push(Problem::Wrong(wrong));
                }
            }
        }
        (right, problems)
    }
}

/// The alert for `entry`, if the entry is announced.
fn told_by(entry: &AuditEntry) -> Option<Arrived> {
    let kind = match entry.draft.kind {
        AuditKind::FindingOpened => "opened",
        AuditKind::FindingUpdated => "updated",
        AuditKind::FindingClosed => "closed",
        _ => return None,
    };
    Some(Arrived {
        user: entry.user.clone(),
        sequence: entry.sequence,
        kind: kind.to_owned(),
        finding_id: entry.draft.finding_id.clone().unwrap_or_default(),
        audit_hash: entry.hash.clone(),
    })
}
