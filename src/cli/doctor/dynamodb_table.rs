//! Checks the table: its keys, indexes, encryption and protection.

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    IndexStatus, KeySchemaElement, KeyType, PointInTimeRecoveryStatus, ProjectionType, SseStatus,
    TableDescription, TableStatus, TimeToLiveStatus,
};

use crate::cli::doctor::check_result::{CheckResult, QueryError, QueryResult, evaluate};
use crate::cli::doctor::stack::DeployedStack;
use crate::output::shell::quoted;

/// The time-to-live attribute of the items.
const EXPIRES_AT: &str = "expires_at";

/// The keys.
const KEYS: [&str; 2] = ["PK", "SK"];

/// The indexes with their keys.
const INDEXES: [(&str, [&str; 2]); 2] = [
    ("findings", ["finding_status", "opened_at"]),
    ("due", ["due", "due_at"]),
];

/// Checks the table.
pub(super) async fn check(config: &SdkConfig, stack: &DeployedStack) -> Vec<CheckResult> {
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
        Err(error) => return vec![QueryError::of("dynamodb:DescribeTable", &error).check("Table")],
    };
    let (recovery, expiry) = futures::join!(recovery(&client, name), expiry(&client, name));
    vec![
        judge_keys(name, &table),
        judge_indexes(&table),
        judge_encryption(&table, stack.parameter("TableKeyArn")),
        judge_protection(name, table.deletion_protection_enabled == Some(true)),
        evaluate("Table: recovery", recovery, |is_on| {
            judge_recovery(name, is_on)
        }),
        evaluate("Table: expiry", expiry, |expiry| {
            judge_expiry(name, expiry.as_ref())
        }),
    ]
}

async fn recovery(client: &Client, name: &str) -> QueryResult<bool> {
    let answer = client
        .describe_continuous_backups()
        .table_name(name)
        .send()
        .await
        .map_err(|error| QueryError::of("dynamodb:DescribeContinuousBackups", &error))?;
    Ok(answer
        .continuous_backups_description
        .and_then(|backups| backups.point_in_time_recovery_description)
        .and_then(|recovery| recovery.point_in_time_recovery_status)
        == Some(PointInTimeRecoveryStatus::Enabled))
}

/// The time-to-live attribute, and whether expiry is on.
async fn expiry(client: &Client, name: &str) -> QueryResult<Option<(String, bool)>> {
    let answer = client
        .describe_time_to_live()
        .table_name(name)
        .send()
        .await
        .map_err(|error| QueryError::of("dynamodb:DescribeTimeToLive", &error))?;
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

/// Whether `table` has the keys and indexes of secondkey's tables.
#[must_use]
pub(super) fn is_ours(table: &TableDescription) -> bool {
    let indexes = table
        .global_secondary_indexes
        .as_deref()
        .unwrap_or_default();
    is_keyed_by(table.key_schema.as_deref(), KEYS)
        && INDEXES.iter().all(|(name, keys)| {
            indexes.iter().any(|index| {
                index.index_name.as_deref() == Some(name)
                    && is_keyed_by(index.key_schema.as_deref(), *keys)
            })
        })
}

/// Checks that the table is active and has our keys.
#[must_use]
pub(super) fn judge_keys(name: &str, table: &TableDescription) -> CheckResult {
    let status = table
        .table_status
        .as_ref()
        .map_or("unknown", TableStatus::as_str);
    let found = format!("{name} is {}", status.to_lowercase());
    if !is_keyed_by(table.key_schema.as_deref(), KEYS) {
        return CheckResult::failed(
            "Table",
            format!("{found}, but its keys are not PK and SK"),
            "this is a different table; deploy with another TableName",
        );
    }
    match table.table_status {
        // A table that is being updated still accepts all requests.
        Some(TableStatus::Active | TableStatus::Updating) => CheckResult::ok("Table", found),
        _ => CheckResult::failed(
            "Table",
            found,
            format!(
                "see why: aws dynamodb describe-table --table-name {}",
                quoted(name)
            ),
        ),
    }
}

/// Checks that both indexes exist and are complete.
#[must_use]
pub(super) fn judge_indexes(table: &TableDescription) -> CheckResult {
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
                    "{name} has different keys, or does not project all attributes"
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
        return CheckResult::ok(what, "findings and due");
    }
    CheckResult::failed(
        what,
        wrong.join("; "),
        "wait if an index is being created; otherwise delete the wrong one with aws dynamodb update-table and create \
         it as in infra/template.yaml",
    )
}

/// Checks that the table is encrypted with `key`, or with DynamoDB's own key if `key` is empty.
#[must_use]
pub(super) fn judge_encryption(table: &TableDescription, key: &str) -> CheckResult {
    let what = "Table: encryption";
    let of_kms = table.sse_description.as_ref();
    if of_kms.is_some_and(|of_kms| of_kms.inaccessible_encryption_date_time.is_some()) {
        return CheckResult::failed(
            what,
            "DynamoDB can no longer use the table's KMS key",
            "enable the key again, or restore DynamoDB's grant; DynamoDB archives the table after seven days",
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
        (Some(by), key) if by == key => CheckResult::ok(what, format!("with your key {by}")),
        (None, "") => CheckResult::ok(what, "with DynamoDB's own key"),
        (Some(by), "") => CheckResult::warning(
            what,
            format!("with the key {by}, which is not the stack's parameter TableKeyArn"),
            format!(
                "deploy with TableKeyArn={}; otherwise the functions cannot read the table",
                quoted(by)
            ),
        ),
        (by, key) => CheckResult::failed(
            what,
            format!(
                "with {} instead of the key in the parameter TableKeyArn",
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

/// Checks that deletion protection is on.
#[must_use]
pub(super) fn judge_protection(name: &str, is_on: bool) -> CheckResult {
    let what = "Table: deletion protection";
    if is_on {
        return CheckResult::ok(what, "on");
    }
    CheckResult::failed(
        what,
        "off",
        format!(
            "aws dynamodb update-table --table-name {} --deletion-protection-enabled",
            quoted(name)
        ),
    )
}

/// Checks that point-in-time recovery is on.
#[must_use]
pub(super) fn judge_recovery(name: &str, is_on: bool) -> CheckResult {
    let what = "Table: recovery";
    if is_on {
        return CheckResult::ok(what, "point-in-time recovery is on");
    }
    CheckResult::failed(
        what,
        "point-in-time recovery is off",
        format!(
            "aws dynamodb update-continuous-backups --table-name {} --point-in-time-recovery-specification \
             PointInTimeRecoveryEnabled=true",
            quoted(name)
        ),
    )
}

/// Checks that old items expire.
#[must_use]
pub(super) fn judge_expiry(name: &str, expiry: Option<&(String, bool)>) -> CheckResult {
    let what = "Table: expiry";
    let fix = format!(
        "aws dynamodb update-time-to-live --table-name {} --time-to-live-specification \
         Enabled=true,AttributeName={EXPIRES_AT}",
        quoted(name)
    );
    match expiry {
        Some((attribute, true)) if attribute == EXPIRES_AT => {
            CheckResult::ok(what, format!("by {EXPIRES_AT}"))
        }
        Some((attribute, true)) => {
            CheckResult::failed(what, format!("by {attribute} instead of {EXPIRES_AT}"), fix)
        }
        _ => CheckResult::failed(
            what,
            "off, so the marks of processed events accumulate",
            fix,
        ),
    }
}

#[cfg(test)]
#[path = "dynamodb_table_tests.rs"]
mod tests;
