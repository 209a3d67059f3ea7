//! The table: there, indexed, encrypted, and kept from harm.

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    IndexStatus, KeySchemaElement, KeyType, PointInTimeRecoveryStatus, ProjectionType, SseStatus,
    TableDescription, TableStatus, TimeToLiveStatus,
};

use crate::cli::doctor::check::{Asked, Check, Unasked, judged};
use crate::cli::doctor::stack::Deployed;
use crate::output::shell::quoted;

/// The attribute by which items expire.
const EXPIRES_AT: &str = "expires_at";

/// The indexes, with their keys.
const INDEXES: [(&str, [&str; 2]); 2] = [
    ("findings", ["finding_status", "opened_at"]),
    ("due", ["due", "due_at"]),
];

/// Looks at the table.
pub(super) async fn check(config: &SdkConfig, stack: &Deployed) -> Vec<Check> {
    let name = match stack.physical("Table") {
        Ok(name) => name,
        Err(missing) => return vec![missing],
    };
    let client = Client::new(config);
    let described = client.describe_table().table_name(name).send().await;
    let table = match described {
        Ok(answer) => answer
            .table
            .unwrap_or_else(|| TableDescription::builder().build()),
        Err(error) => return vec![Unasked::of("dynamodb:DescribeTable", &error).check("Table")],
    };
    let (recovery, expiry) = futures::join!(recovery(&client, name), expiry(&client, name));
    vec![
        judge_keys(name, &table),
        judge_indexes(&table),
        judge_encryption(&table, stack.parameter("TableKeyArn")),
        judge_protection(name, table.deletion_protection_enabled == Some(true)),
        judged("Table: recovery", recovery, |is_on| {
            judge_recovery(name, is_on)
        }),
        judged("Table: expiry", expiry, |expiry| {
            judge_expiry(name, expiry.as_ref())
        }),
    ]
}

async fn recovery(client: &Client, name: &str) -> Asked<bool> {
    let answer = client
        .describe_continuous_backups()
        .table_name(name)
        .send()
        .await
        .map_err(|error| Unasked::of("dynamodb:DescribeContinuousBackups", &error))?;
    Ok(answer
        .continuous_backups_description
        .and_then(|backups| backups.point_in_time_recovery_description)
        .and_then(|recovery| recovery.point_in_time_recovery_status)
        == Some(PointInTimeRecoveryStatus::Enabled))
}

/// The attribute by which items expire, and whether they do.
async fn expiry(client: &Client, name: &str) -> Asked<Option<(String, bool)>> {
    let answer = client
        .describe_time_to_live()
        .table_name(name)
        .send()
        .await
        .map_err(|error| Unasked::of("dynamodb:DescribeTimeToLive", &error))?;
    Ok(answer.time_to_live_description.and_then(|expiry| {
        let status = expiry.time_to_live_status;
        let is_on = matches!(
            status,
            Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)
        );
        Some((expiry.attribute_name?, is_on))
    }))
}

fn is_keyed_by(schema: Option<&[KeySchemaElement]>, names: [&str; 2]) -> bool {
    let [hash, range] = names;
    let wanted = [(hash, &KeyType::Hash), (range, &KeyType::Range)];
    let schema = schema.unwrap_or_default();
    schema.len() == wanted.len()
        && wanted.iter().all(|(name, kind)| {
            schema
                .iter()
                .any(|key| key.attribute_name == *name && key.key_type == **kind)
        })
}

/// Whether the table is active and has our keys.
#[must_use]
pub(super) fn judge_keys(name: &str, table: &TableDescription) -> Check {
    let status = table
        .table_status
        .as_ref()
        .map_or("unknown", TableStatus::as_str);
    let found = format!("{name} is {}", status.to_lowercase());
    if !is_keyed_by(table.key_schema.as_deref(), ["PK", "SK"]) {
        return Check::failed(
            "Table",
            format!("{found}, and its keys are not PK and SK"),
            "it is another table; deploy with another TableName",
        );
    }
    match table.table_status {
        // While it is updated it takes everything.
        Some(TableStatus::Active | TableStatus::Updating) => Check::ok("Table", found),
        _ => Check::failed(
            "Table",
            found,
            format!(
                "see why: aws dynamodb describe-table --table-name {}",
                quoted(name)
            ),
        ),
    }
}

/// Whether both indexes are there and whole.
#[must_use]
pub(super) fn judge_indexes(table: &TableDescription) -> Check {
    let what = "Table: indexes";
    let indexes = table
        .global_secondary_indexes
        .as_deref()
        .unwrap_or_default();
    let wrong: Vec<String> = INDEXES
        .into_iter()
        .filter_map(|(name, keys)| {
            let index = indexes
                .iter()
                .find(|index| index.index_name.as_deref() == Some(name));
            let Some(index) = index else {
                return Some(format!("{name} is missing"));
            };
            let projected = index
                .projection
                .as_ref()
                .and_then(|all| all.projection_type.as_ref());
            if !is_keyed_by(index.key_schema.as_deref(), keys)
                || projected != Some(&ProjectionType::All)
            {
                return Some(format!(
                    "{name} has other keys or holds less than everything"
                ));
            }
            match &index.index_status {
                Some(IndexStatus::Active | IndexStatus::Updating) => None,
                status => Some(format!(
                    "{name} is {}",
                    status
                        .as_ref()
                        .map_or("unknown", IndexStatus::as_str)
                        .to_lowercase()
                )),
            }
        })
        .collect();
    if wrong.is_empty() {
        return Check::ok(what, "findings and due");
    }
    Check::failed(
        what,
        wrong.join("; "),
        "wait if one is being created; otherwise delete what is wrong with aws dynamodb update-table and make it as in \
         infra/template.yaml",
    )
}

/// Whether the table is encrypted by the key that was asked for; `key` is empty where DynamoDB's own will do.
#[must_use]
pub(super) fn judge_encryption(table: &TableDescription, key: &str) -> Check {
    let what = "Table: encryption";
    let of_kms = table.sse_description.as_ref();
    if of_kms.is_some_and(|of_kms| of_kms.inaccessible_encryption_date_time.is_some()) {
        return Check::failed(
            what,
            "DynamoDB cannot use the table's KMS key any more",
            "enable the key again, or give DynamoDB back its grant; the table is archived after seven days",
        );
    }
    let by = of_kms
        .filter(|of_kms| {
            matches!(
                of_kms.status,
                Some(SseStatus::Enabled | SseStatus::Updating)
            )
        })
        .and_then(|of_kms| of_kms.kms_master_key_arn.as_deref());
    match (by, key) {
        (Some(by), key) if by == key => Check::ok(what, format!("by your key {by}")),
        (None, "") => Check::ok(what, "by DynamoDB's own key"),
        (Some(by), "") => Check::warning(
            what,
            format!("by the key {by}, of which the stack does not know"),
            format!(
                "deploy with TableKeyArn={}, or the functions cannot read the table",
                quoted(by)
            ),
        ),
        (by, key) => Check::failed(
            what,
            format!(
                "by {} and not by the key of the parameter TableKeyArn",
                by.unwrap_or("DynamoDB's own key")
            ),
            format!(
                "aws dynamodb update-table --table-name {} --sse-specification Enabled=true,SSEType=KMS,KMSMasterKeyId={}",
                quoted(table.table_name.as_deref().unwrap_or("TABLE")),
                quoted(key)
            ),
        ),
    }
}

/// Whether nobody deletes the table by mistake.
#[must_use]
pub(super) fn judge_protection(name: &str, is_on: bool) -> Check {
    let what = "Table: deletion protection";
    if is_on {
        return Check::ok(what, "on");
    }
    Check::failed(
        what,
        "off",
        format!(
            "aws dynamodb update-table --table-name {} --deletion-protection-enabled",
            quoted(name)
        ),
    )
}

/// Whether the table can be brought back to an earlier time.
#[must_use]
pub(super) fn judge_recovery(name: &str, is_on: bool) -> Check {
    let what = "Table: recovery";
    if is_on {
        return Check::ok(what, "to any point in time");
    }
    Check::failed(
        what,
        "point-in-time recovery is off",
        format!(
            "aws dynamodb update-continuous-backups --table-name {} --point-in-time-recovery-specification \
             PointInTimeRecoveryEnabled=true",
            quoted(name)
        ),
    )
}

/// Whether what is done with is removed.
#[must_use]
pub(super) fn judge_expiry(name: &str, expiry: Option<&(String, bool)>) -> Check {
    let what = "Table: expiry";
    let mend = format!(
        "aws dynamodb update-time-to-live --table-name {} --time-to-live-specification \
         Enabled=true,AttributeName={EXPIRES_AT}",
        quoted(name)
    );
    match expiry {
        Some((attribute, true)) if attribute == EXPIRES_AT => {
            Check::ok(what, format!("by {EXPIRES_AT}"))
        }
        Some((attribute, true)) => Check::failed(
            what,
            format!("by {attribute} and not by {EXPIRES_AT}"),
            mend,
        ),
        _ => Check::failed(what, "off, so marks of events pile up", mend),
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
