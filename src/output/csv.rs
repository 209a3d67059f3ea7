//! Findings as CSV, for spreadsheets: a header and one row per finding.
//!
//! Every text from AWS or an event passes through `for_csv`: IAM allows user names such as
//! `=cmd()`, `-1` and `@x`, and an account, a key or an actor comes from an event. Our own words
//! and times never start like a formula.

use csv::{Terminator, WriterBuilder};

use crate::detect::findings::finding::{Finding, FindingKey};
use crate::detect::keys::listing::KeyStatus;
use crate::detect::usage::last_use::LastUsed;
use crate::output::commands::{Purpose, recommended};
use crate::output::escape::for_csv;
use crate::output::json_v1::{advice::retire_of, verdict::verdict_v1, words::CloseReasonV1};
use crate::output::snapshot::FindingSnapshot;
use crate::output::time::rfc3339;

/// The columns. New ones are added at the end; no column changes its meaning or its place.
const HEADER: [&str; 32] = [
    "change",
    "status",
    "severity",
    "account",
    "user",
    "finding_id",
    "confirmed",
    "opened_at",
    "detected_at",
    "closed_at",
    "close_reason",
    "key_1_id",
    "key_1_status",
    "key_1_created",
    "key_1_last_used_at",
    "key_1_last_used_service",
    "key_1_last_used_region",
    "key_2_id",
    "key_2_status",
    "key_2_created",
    "key_2_last_used_at",
    "key_2_last_used_service",
    "key_2_last_used_region",
    "other_keys",
    "retire_key",
    "retire_reason",
    "deactivate_command",
    "opened_by",
    "opened_at_is_estimate",
    "verdict",
    "verdict_reason",
    "not_before",
];

/// How many keys have their own columns.
const KEYS_WITH_COLUMNS: usize = 2;

/// `snapshots` as CSV (RFC 4180, but lines end with a line feed). An absent value is empty, and
/// times are RFC 3339 in UTC. `key_…_last_used_at` is `never` for a key that was never used, and
/// empty if not known.
pub fn document(snapshots: &[FindingSnapshot]) -> Result<String, csv::Error> {
    with_header(&HEADER, snapshots.iter().map(row))
}

/// A document of `rows`, each with one field per column of `header`. The texts are already safe.
pub(crate) fn with_header(
    header: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> Result<String, csv::Error> {
    let mut writer = WriterBuilder::new()
        .terminator(Terminator::Any(b'\n'))
        .from_writer(vec![]);
    writer.write_record(header)?;
    for row in rows {
        writer.write_record(row)?;
    }
    let bytes = writer
        .into_inner()
        .map_err(|error| csv::Error::from(error.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn row(snapshot: &FindingSnapshot) -> Vec<String> {
    let finding = &snapshot.alert.finding;
    let closing = finding.closing.as_ref();
    let keys = in_order(finding);
    let mut row = vec![
        snapshot.change().to_owned(),
        finding.status.word().to_owned(),
        finding.severity.word().to_owned(),
        for_csv(finding.user().account()),
        for_csv(&finding.display_name),
        for_csv(&finding.id.to_string()),
        finding.confirmed.to_string(),
        rfc3339(finding.opened_at),
        rfc3339(finding.detected_at),
        closing.map_or_else(String::new, |closing| rfc3339(closing.at)),
        closing.map_or_else(String::new, |closing| {
            CloseReasonV1::from(closing.reason).word().to_owned()
        }),
    ];
    for place in 0..KEYS_WITH_COLUMNS {
        row.extend(of_key(keys.get(place).copied(), snapshot));
    }
    let others: Vec<&str> = keys
        .iter()
        .skip(KEYS_WITH_COLUMNS)
        .map(|key| key.id.as_str())
        .collect();
    let verdict = snapshot.verdict();
    let retire = verdict.as_ref().and_then(retire_of);
    let (retire_key, retire_reason) = retire.map_or_else(Default::default, |retire| {
        (for_csv(&retire.key), retire.reason.to_owned())
    });
    row.extend([
        for_csv(&others.join(" ")),
        retire_key,
        retire_reason,
        deactivate_command(snapshot),
        finding
            .opener
            .as_ref()
            .map_or_else(String::new, |opener| for_csv(opener.actor.label())),
        finding.is_opened_at_estimated.to_string(),
    ]);
    let verdict = verdict.as_ref().map(verdict_v1);
    row.extend(verdict.map_or_else(Default::default, |verdict| {
        [
            verdict.code.to_owned(),
            verdict.reason.to_owned(),
            verdict.not_before.map(String::from).unwrap_or_default(),
        ]
    }));
    row
}

/// The keys, the most important first: active, inactive, deleted.
fn in_order(finding: &Finding) -> Vec<&FindingKey> {
    let mut keys: Vec<&FindingKey> = finding.keys.iter().collect();
    keys.sort_by_key(|key| match key.status {
        KeyStatus::Active => 0,
        KeyStatus::Inactive => 1,
        KeyStatus::Gone => 2,
    });
    keys
}

fn of_key(key: Option<&FindingKey>, snapshot: &FindingSnapshot) -> [String; 6] {
    let Some(key) = key else {
        return Default::default();
    };
    let (at, service, region) = match snapshot.last_uses.get(&key.id) {
        None => (String::new(), None, None),
        Some(LastUsed::Never) => ("never".to_owned(), None, None),
        Some(LastUsed::At {
            at,
            service,
            region,
        }) => (rfc3339(*at), service.as_deref(), region.as_deref()),
    };
    [
        for_csv(&key.id),
        key.status.word().to_owned(),
        key.created.map_or_else(String::new, rfc3339),
        at,
        service.map_or_else(String::new, for_csv),
        region.map_or_else(String::new, for_csv),
    ]
}

/// The command that deactivates the key to retire. Empty if escaping would change what it does.
fn deactivate_command(snapshot: &FindingSnapshot) -> String {
    let verdict = snapshot.verdict();
    let finding = &snapshot.alert.finding;
    recommended(finding, verdict.as_ref(), &snapshot.invocation)
        .into_iter()
        .find(|command| command.purpose == Purpose::Deactivate)
        .map(|command| command.line)
        .filter(|line| for_csv(line) == *line)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::hostile::first_unseen;
    use crate::output::invocation::Invocation;
    use crate::output::testing::{HOSTILE, closed, snapshots, snapshots_with, updated};

    /// The rows of `snapshots`, as a CSV reader parses them.
    fn rows(snapshots: &[FindingSnapshot]) -> Vec<Vec<String>> {
        let document = document(snapshots).unwrap();
        csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(document.as_bytes())
            .records()
            .map(|record| record.unwrap().iter().map(ToOwned::to_owned).collect())
            .collect()
    }

    /// The field `name` of the only row.
    #[track_caller]
    fn field(snapshot: FindingSnapshot, name: &str) -> String {
        let place = HEADER.iter().position(|column| *column == name).unwrap();
        rows(&[snapshot])[1][place].clone()
    }

    fn snapshot(alert: crate::detect::findings::alert::Alert) -> FindingSnapshot {
        FindingSnapshot {
            alert,
            last_uses: crate::output::testing::last_uses(),
            invocation: Invocation::default(),
        }
    }

    #[test]
    fn findings_as_csv() {
        expect_test::expect![[r"
            change,status,severity,account,user,finding_id,confirmed,opened_at,detected_at,closed_at,close_reason,key_1_id,key_1_status,key_1_created,key_1_last_used_at,key_1_last_used_service,key_1_last_used_region,key_2_id,key_2_status,key_2_created,key_2_last_used_at,key_2_last_used_service,key_2_last_used_region,other_keys,retire_key,retire_reason,deactivate_command,opened_by,opened_at_is_estimate,verdict,verdict_reason,not_before
            new,open,MEDIUM,111122223333,Alice,111122223333/alice/1,true,2023-11-14T22:13:22Z,2023-11-14T22:13:34Z,,,AKIAOLD,Active,2022-10-10T22:13:20Z,2023-11-14T20:13:20Z,s3,us-east-1,AKIANEW,Active,2023-11-14T22:13:22Z,never,,,,,,,arn:aws:iam::111122223333:user/bob,false,rotation_in_progress,new_key_not_used,2023-11-15T22:13:22Z
            open,open,HIGH,111122223333,Alice,111122223333/alice/1,true,2023-11-14T22:13:22Z,2023-11-14T22:13:34Z,,,AKIAOLD,Active,2022-10-10T22:13:20Z,2023-11-14T20:13:20Z,s3,us-east-1,AKIANEW,Active,2023-11-14T22:13:22Z,never,,,,AKIANEW,never_used,aws iam update-access-key --user-name Alice --access-key-id AKIANEW --status Inactive,arn:aws:iam::111122223333:user/bob,false,retire,never_used,
            closed,closed,MEDIUM,111122223333,Alice,111122223333/alice/1,true,2023-11-14T22:13:22Z,2023-11-14T22:13:34Z,2023-11-15T01:33:22Z,deactivated,AKIANEW,Active,2023-11-14T22:13:22Z,never,,,AKIAOLD,Inactive,2022-10-10T22:13:20Z,2023-11-14T20:13:20Z,s3,us-east-1,,,,,arn:aws:iam::111122223333:user/bob,false,,,
            open,suppressed,MEDIUM,111122223333,Alice,111122223333/alice/1,true,2023-11-14T22:13:22Z,2023-11-14T22:13:34Z,,,AKIAOLD,Active,2022-10-10T22:13:20Z,2023-11-14T20:13:20Z,s3,us-east-1,AKIANEW,Active,2023-11-14T22:13:22Z,never,,,,,,,arn:aws:iam::111122223333:user/bob,false,rotation_in_progress,exempt,2023-12-14T22:13:20Z
            new,open,CRITICAL,111122223333,<root_account>,111122223333/<root_account>/1,true,2023-11-14T22:13:22Z,2023-11-14T22:13:34Z,,,access_key_1,Active,2022-10-10T22:13:20Z,,,,access_key_2,Active,2023-11-14T22:13:22Z,,,,,,,,,false,ask,root,
        "]].assert_eq(&document(&snapshots()).unwrap());
    }

    #[test]
    fn no_findings_give_only_a_header() {
        assert_eq!(rows(&[]), [HEADER]);
    }

    #[test]
    fn every_row_has_all_fields() {
        for keys in [
            vec![],
            vec![("ONE", KeyStatus::Active)],
            vec![
                ("GONE", KeyStatus::Gone),
                ("THREE", KeyStatus::Inactive),
                ("ONE", KeyStatus::Active),
                ("TWO", KeyStatus::Active),
            ],
        ] {
            let mut alert = closed();
            alert.finding.keys = keys
                .iter()
                .map(|(id, status)| FindingKey {
                    id: (*id).to_owned(),
                    status: *status,
                    created: None,
                })
                .collect();
            let rows = rows(&[snapshot(alert.clone())]);
            assert_eq!(rows[1].len(), HEADER.len(), "{keys:?}");
            let first = keys.iter().any(|(id, _)| *id == "ONE");
            let first = if first { "ONE" } else { "" };
            assert_eq!(field(snapshot(alert.clone()), "key_1_id"), first);
            let others = if keys.len() > 2 { "THREE GONE" } else { "" };
            assert_eq!(field(snapshot(alert), "other_keys"), others);
        }
    }

    #[test]
    fn user_named_like_a_formula_is_escaped() {
        for (name, shown) in [
            ("=cmd()", "'=cmd()"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM", "'@SUM"),
            ("a=b", "a=b"),
            ("a,b", "a,b"),
        ] {
            let mut alert = updated();
            name.clone_into(&mut alert.finding.display_name);
            assert_eq!(field(snapshot(alert.clone()), "user"), shown);
            let command = field(snapshot(alert), "deactivate_command");
            assert!(command.starts_with("aws iam update-access-key --user-name"));
            assert!(command.contains(name), "{command}");
        }
    }

    #[test]
    fn hostile_text_makes_no_formula_row_or_field() {
        for text in HOSTILE.iter() {
            let snapshots = snapshots_with(text);
            assert_eq!(first_unseen(&document(&snapshots).unwrap()), None);
            let rows = rows(&snapshots);
            assert_eq!(rows.len(), snapshots.len() + 1);
            for row in &rows {
                assert_eq!(row.len(), HEADER.len(), "{row:?}");
                for field in row {
                    assert!(!field.starts_with(['=', '+', '-', '@']), "{field}");
                    assert!(!field.contains(['\n', ';']), "{field}");
                }
            }
        }
    }
}
