//! Reads the credential report: root's row, and the users with two active keys. Source: IAM user
//! guide, credential reports.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_iam::Client;
use aws_sdk_iam::types::ReportStateType;
use chrono::DateTime;
use serde::Deserialize;
use thiserror::Error;

use crate::aws::accounts::AccountError;
use crate::aws::suspects::Suspects;
use crate::detect::Timestamp;
use crate::detect::keys::listing::{AccessKey, KeyStatus};
use crate::pipeline::error::ServiceError;

/// How long to wait between requests for a report that IAM is still generating.
const REPORT_WAIT: Duration = Duration::from_secs(1);

/// The name of root's row.
const ROOT_ROW: &str = "<root_account>";

/// Why a report does not show root's keys.
#[derive(Debug, Error)]
pub(crate) enum ReportError {
    /// It is not the expected CSV.
    #[error("the credential report cannot be read: {0}")]
    NotCsv(#[from] csv::Error),
    /// It has no row for root.
    #[error("the credential report has no row for root")]
    NoRoot,
}

#[derive(Debug, Deserialize)]
struct Row {
    user: String,
    access_key_1_active: String,
    access_key_1_last_rotated: String,
    access_key_2_active: String,
    access_key_2_last_rotated: String,
}

/// The result of requesting a report.
#[derive(Debug)]
pub(crate) enum FetchedReport {
    /// The report.
    Ready {
        /// When IAM generated it: up to four hours ago.
        generated_at: Timestamp,
        /// The CSV.
        content: Vec<u8>,
        /// How many requests it took.
        tries: u32,
    },
    /// IAM is still generating it.
    NotYet,
}

/// Requests the credential report of the account of `client` up to `tries` times, a second apart.
pub(crate) async fn fetch(client: &Client, tries: u32) -> Result<FetchedReport, AccountError> {
    for tried in 1..=tries {
        // IAM returns the same report again until it is four hours old (IAM API reference,
        // GenerateCredentialReport).
        let answer = client.generate_credential_report().send().await;
        let state = answer
            .map_err(|error| AccountError::of_call("iam:GenerateCredentialReport", &error))?
            .state;
        if state == Some(ReportStateType::Complete) {
            let report = client.get_credential_report().send().await;
            let report =
                report.map_err(|error| AccountError::of_call("iam:GetCredentialReport", &error))?;
            let generated_at = report
                .generated_time
                .and_then(|time| DateTime::from_timestamp(time.secs(), 0));
            let (Some(content), Some(generated_at)) = (report.content, generated_at) else {
                return Err(AccountError::Failed(ServiceError::retryable(
                    "the credential report is empty",
                )));
            };
            return Ok(FetchedReport::Ready {
                generated_at,
                content: content.into_inner(),
                tries: tried,
            });
        }
        tokio::time::sleep(REPORT_WAIT).await;
    }
    Ok(FetchedReport::NotYet)
}

/// The users with two active keys, and whether root has two.
pub(crate) fn suspects_of(report: &[u8]) -> Result<Suspects, ReportError> {
    let mut reader = csv::Reader::from_reader(report);
    let mut suspects = Suspects::default();
    for row in reader.deserialize() {
        let row: Row = row?;
        let is_active = |text: &str| text.eq_ignore_ascii_case("true");
        let has_two = is_active(&row.access_key_1_active) && is_active(&row.access_key_2_active);
        if row.user == ROOT_ROW {
            suspects.root = has_two;
        } else if has_two {
            suspects.names.push(row.user);
        } else {
            suspects.cleared += 1;
        }
    }
    Ok(suspects)
}

/// Root's key slots that were used. A report contains no key IDs; a slot that was never used has no
/// date.
pub(crate) fn parse_root(report: &[u8]) -> Result<BTreeMap<String, AccessKey>, ReportError> {
    let mut reader = csv::Reader::from_reader(report);
    for row in reader.deserialize() {
        let row: Row = row?;
        if row.user == ROOT_ROW {
            let slots = [
                (
                    "access key 1",
                    row.access_key_1_active,
                    row.access_key_1_last_rotated,
                ),
                (
                    "access key 2",
                    row.access_key_2_active,
                    row.access_key_2_last_rotated,
                ),
            ];
            return Ok(slots
                .into_iter()
                .filter_map(|(name, active, rotated)| {
                    Some((name.to_owned(), slot(&active, &rotated)?))
                })
                .collect());
        }
    }
    Err(ReportError::NoRoot)
}

fn slot(active: &str, last_rotated: &str) -> Option<AccessKey> {
    let created = chrono::DateTime::parse_from_rfc3339(last_rotated)
        .ok()
        .map(Timestamp::from);
    let is_active = active.eq_ignore_ascii_case("true");
    let status = if is_active {
        KeyStatus::Active
    } else {
        KeyStatus::Inactive
    };
    (is_active || created.is_some()).then_some(AccessKey { status, created })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "user,arn,user_creation_time,password_enabled,password_last_used,password_last_changed,\
        password_next_rotation,mfa_active,access_key_1_active,access_key_1_last_rotated,\
        access_key_1_last_used_date,access_key_1_last_used_region,access_key_1_last_used_service,\
        access_key_2_active,access_key_2_last_rotated,access_key_2_last_used_date,\
        access_key_2_last_used_region,access_key_2_last_used_service,cert_1_active,cert_1_last_rotated,\
        cert_2_active,cert_2_last_rotated";

    fn report(user: &str, first: (&str, &str), second: (&str, &str)) -> String {
        format!(
            "{HEADER}\n{user},arn:aws:iam::1:root,2020-01-01T00:00:00+00:00,not_supported,no_information,\
            not_supported,not_supported,true,{},{},N/A,N/A,N/A,{},{},N/A,N/A,N/A,false,N/A,false,N/A\n",
            first.0, first.1, second.0, second.1
        )
    }

    #[test]
    fn an_unused_slot_is_not_a_key() {
        let report = report(
            ROOT_ROW,
            ("true", "2024-05-01T10:00:00+00:00"),
            ("false", "N/A"),
        );
        let slots = parse_root(report.as_bytes()).unwrap();
        assert_eq!(slots.len(), 1);
        assert_eq!(slots["access key 1"].status, KeyStatus::Active);
        assert_eq!(
            slots["access key 1"].created.unwrap().to_rfc3339(),
            "2024-05-01T10:00:00+00:00"
        );
    }

    #[test]
    fn only_users_with_two_active_keys_are_suspects() {
        let active = ("true", "2024-05-01T10:00:00+00:00");
        let inactive = ("false", "2024-05-01T10:00:00+00:00");
        let rows: String = [
            ("Alice", active, active),
            ("bob", active, inactive),
            ("carol", inactive, active),
            ("dave", inactive, inactive),
            (ROOT_ROW, active, active),
            ("eve, the \"second\"", active, active),
        ]
        .map(|(user, one, two)| {
            let user = format!("\"{}\"", user.replace('"', "\"\""));
            let report = report(&user, one, two);
            report.split_once('\n').unwrap().1.to_owned()
        })
        .concat();
        let suspects = suspects_of(format!("{HEADER}\n{rows}").as_bytes()).unwrap();
        assert_eq!(suspects.names, ["Alice", "eve, the \"second\""]);
        assert_eq!((suspects.root, suspects.cleared), (true, 3));
    }

    #[test]
    fn an_inactive_key_has_a_date_and_an_empty_slot_has_none() {
        let report = report(
            ROOT_ROW,
            ("true", "2024-05-01T10:00:00+00:00"),
            ("false", "2024-05-02T10:00:00+00:00"),
        );
        let slots = parse_root(report.as_bytes()).unwrap();
        assert_eq!(slots["access key 2"].status, KeyStatus::Inactive);
    }

    #[test]
    fn a_report_without_root_or_with_bad_rows_is_an_error() {
        let other = report("alice", ("true", "N/A"), ("true", "N/A"));
        assert!(matches!(
            parse_root(other.as_bytes()),
            Err(ReportError::NoRoot)
        ));
        assert!(matches!(
            parse_root(b"user,arn\n<root_account>,x\n"),
            Err(ReportError::NotCsv(_))
        ));
    }
}
