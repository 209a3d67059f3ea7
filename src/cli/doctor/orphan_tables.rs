//! Looks for tables of secondkey's that no stack owns any more. A new `TableName` starts an empty
//! table, and the old one remains with its findings and audit trail.

use aws_config::SdkConfig;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::describe_table::DescribeTableError;
use futures::{StreamExt, TryStreamExt};

use crate::cli::doctor::check_result::{CheckResult, QueryError, QueryResult, evaluate};
use crate::cli::doctor::dynamodb_table::is_ours;
use crate::cli::doctor::stack::{DeployedStack, is_missing};
use crate::output::shell::quoted;

const WHAT: &str = "Table: orphans";

/// How many tables of the region are looked at, each with one call.
const MAX_TABLES: usize = 500;

/// How many tables are looked at at the same time.
const AT_ONCE: usize = 10;

/// How many tables of secondkey's are looked up in CloudFormation, each with one call.
const MAX_OURS: usize = 20;

/// Another table of secondkey's in the region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OtherTable {
    /// Its name.
    pub(super) name: String,
    /// How many items it holds. DynamoDB counts them every six hours.
    pub(super) items: i64,
    /// Whether a stack owns it.
    pub(super) is_owned: bool,
}

/// The tables of a region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tables {
    /// Those of secondkey's, except the stack's own.
    pub(super) others: Vec<OtherTable>,
    /// Whether there are more tables than were looked at.
    pub(super) has_more: bool,
}

/// Checks that no table of secondkey's was left behind in the stack's region.
///
/// CloudFormation does not tag DynamoDB tables with their stack, so a table is recognized by its keys
/// and indexes. Source: aws-cloudformation/cloudformation-coverage-roadmap, issues 1360 and 2065.
pub(super) async fn check(config: &SdkConfig, stack: &DeployedStack) -> CheckResult {
    let own = stack.parameter("TableName");
    let own = stack.resources.get("Table").map_or(own, String::as_str);
    evaluate(WHAT, tables(config, own).await, |tables| {
        judge_orphans(&tables)
    })
}

async fn tables(config: &SdkConfig, own: &str) -> QueryResult<Tables> {
    let client = Client::new(config);
    let (names, has_more) = names(&client).await?;
    let ours: Vec<(String, i64)> = futures::stream::iter(names)
        .filter(|name| std::future::ready(name != own))
        .map(|name| items_if_ours(&client, name))
        .buffered(AT_ONCE)
        .try_filter_map(|found| std::future::ready(Ok(found)))
        .try_collect()
        .await?;
    let owners = aws_sdk_cloudformation::Client::new(config);
    let looked_up = ours.into_iter().take(MAX_OURS).map(async |(name, items)| {
        let is_owned = is_owned(&owners, &name).await?;
        Ok(OtherTable {
            name,
            items,
            is_owned,
        })
    });
    Ok(Tables {
        others: futures::future::try_join_all(looked_up).await?,
        has_more,
    })
}

/// The names of the first tables, and whether there are more.
async fn names(client: &Client) -> QueryResult<(Vec<String>, bool)> {
    let mut names = vec![];
    let mut after = None;
    while names.len() < MAX_TABLES {
        let page = client
            .list_tables()
            .set_exclusive_start_table_name(after)
            .send()
            .await
            .map_err(|error| QueryError::of("dynamodb:ListTables", &error))?;
        names.extend(page.table_names.unwrap_or_default());
        after = page.last_evaluated_table_name;
        if after.is_none() {
            return Ok((names, false));
        }
    }
    Ok((names, true))
}

/// The table and the number of its items, if its keys and indexes are those of secondkey's tables.
async fn items_if_ours(client: &Client, name: String) -> QueryResult<Option<(String, i64)>> {
    match client.describe_table().table_name(&name).send().await {
        Ok(answer) => Ok(answer
            .table
            .filter(is_ours)
            .map(|table| (name, table.item_count.unwrap_or(0)))),
        // It was deleted after it was listed.
        Err(error)
            if error
                .as_service_error()
                .is_some_and(DescribeTableError::is_resource_not_found_exception) =>
        {
            Ok(None)
        }
        Err(error) => Err(QueryError::of("dynamodb:DescribeTable", &error)),
    }
}

/// Whether a stack owns the table `name`.
async fn is_owned(client: &aws_sdk_cloudformation::Client, name: &str) -> QueryResult<bool> {
    let described = client
        .describe_stack_resources()
        .physical_resource_id(name)
        .send()
        .await;
    match described {
        // A resource of another type, such as the event bus, may have the same name.
        Ok(answer) => Ok(answer.stack_resources().iter().any(|resource| {
            resource.resource_type() == Some("AWS::DynamoDB::Table")
                && resource.physical_resource_id() == Some(name)
        })),
        Err(error) if is_missing(&error) => Ok(false),
        Err(error) => Err(QueryError::of(
            "cloudformation:DescribeStackResources",
            &error,
        )),
    }
}

/// Checks that none of `tables` is without a stack and holds records.
#[must_use]
pub(super) fn judge_orphans(tables: &Tables) -> CheckResult {
    let orphans: Vec<&OtherTable> = tables
        .others
        .iter()
        .filter(|table| !table.is_owned && table.items > 0)
        .collect();
    let Some(first) = orphans.first() else {
        let limit = if tables.has_more {
            format!(" among the first {MAX_TABLES} tables of the region")
        } else {
            String::new()
        };
        return CheckResult::ok(WHAT, format!("none with records{limit}"));
    };
    let named: Vec<String> = orphans
        .iter()
        .map(|table| format!("{} with about {} items", table.name, table.items))
        .collect();
    let name = quoted(&first.name);
    CheckResult::warning(
        WHAT,
        format!(
            "secondkey's records are in tables that no stack owns: {}. A new TableName starts an empty table, without \
             the findings and audit trails of the old one",
            named.join(", ")
        ),
        format!(
            "check its trails: secondkey verify --table {name}; to continue with it, delete this stack and adopt that \
             table with TableName={name} (infra/README.md, *Adopt the table again*); if its audit trails are no \
             longer needed, delete it (infra/README.md, *Remove*)"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::check_result::CheckStatus;

    fn table(name: &str, items: i64, is_owned: bool) -> OtherTable {
        OtherTable {
            name: name.to_owned(),
            items,
            is_owned,
        }
    }

    #[test]
    fn a_table_with_records_and_without_a_stack_is_named() {
        let others = vec![
            table("secondkey-test", 9, true),
            table("empty", 0, false),
            table("secondkey", 1_204, false),
        ];
        let check = judge_orphans(&Tables {
            others,
            has_more: false,
        });
        assert_eq!(check.state, CheckStatus::Warning);
        let found = "that no stack owns: secondkey with about 1204 items. ";
        assert!(check.found.contains(found), "{}", check.found);
        let fix = check.fix.unwrap();
        for part in ["verify --table secondkey;", "TableName=secondkey "] {
            assert!(fix.contains(part), "{fix}");
        }
    }

    #[test]
    fn tables_of_other_stacks_and_empty_tables_are_ok() {
        let of = |has_more| {
            judge_orphans(&Tables {
                others: vec![table("secondkey-test", 9, true), table("empty", 0, false)],
                has_more,
            })
        };
        let all = of(false);
        assert_eq!(all.state, CheckStatus::Ok);
        assert_eq!(all.found, "none with records");
        assert!(of(true).found.contains("first 500 tables"));
    }
}
