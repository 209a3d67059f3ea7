//! Who uses which key, as CSV: a row per consumer of each key, or for a period a row per kind of
//! call of each key.
//!
//! Every text from a record passes through `for_csv`.

use crate::detect::usage::consumers::{
    CallCounts, KeyUsage, NameSample, OverflowCounts, Usage, UserUsage,
};
use crate::detect::user::UserId;
use crate::output::csv::with_header;
use crate::output::escape::for_csv;
use crate::output::time::rfc3339;
use crate::output::usage::{migration_code, migration_times};

/// The columns of consumers. New ones are added at the end; no column changes its meaning or its
/// place.
const CONSUMERS: [&str; 15] = [
    "account",
    "user",
    "key",
    "key_created_at",
    "source",
    "client",
    "calls",
    "errors",
    "first_used_at",
    "last_used_at",
    "services",
    "regions",
    "user_agents",
    "switch",
    "new_key_since",
];

/// The columns of what each key was used for.
const TOUCHED: [&str; 11] = [
    "account",
    "user",
    "key",
    "key_created_at",
    "service",
    "event",
    "calls",
    "errors",
    "first_used_at",
    "last_used_at",
    "resources",
];

/// The name in the row that counts what exceeded the limits.
const FURTHER: &str = "(further)";

/// `usage` as CSV. For a period, what each key was used for.
pub(crate) fn document(usage: &Usage) -> Result<String, csv::Error> {
    let is_touched = usage.period().is_bounded();
    let mut rows = vec![];
    for (id, user) in usage.users() {
        for key in user.in_order() {
            let Some(used) = user.keys.get(key) else {
                continue;
            };
            let begin = begin(id, user, key, used);
            if is_touched {
                api_call_rows(&begin, used, &mut rows);
            } else {
                consumers(&begin, user, used, &mut rows);
            }
        }
    }
    if is_touched {
        with_header(&TOUCHED, rows)
    } else {
        with_header(&CONSUMERS, rows)
    }
}

/// The first columns of every row of `key`.
fn begin(id: &UserId, user: &UserUsage, key: &str, of_key: &KeyUsage) -> Vec<String> {
    vec![
        for_csv(id.account()),
        for_csv(user.display_name.as_deref().unwrap_or(id.name())),
        for_csv(key),
        of_key.created.map_or_else(String::new, rfc3339),
    ]
}

fn consumers(begin: &[String], user: &UserUsage, of_key: &KeyUsage, rows: &mut Vec<Vec<String>>) {
    let migrations = user.migrations();
    for (consumer, consumed) in &of_key.consumers {
        let mut row = begin.to_vec();
        row.extend([for_csv(&consumer.source), for_csv(&consumer.client)]);
        row.extend(calls(&consumed.calls));
        let lists = [&consumed.services, &consumed.regions, &consumed.user_agents];
        row.extend(lists.map(names));
        let migration = migrations
            .as_ref()
            .and_then(|migrations| migrations.consumers.get(consumer));
        let since = migration.and_then(|migration| migration_times(migration).0);
        row.push(migration.map_or_else(String::new, |migration| {
            migration_code(migration).to_owned()
        }));
        row.push(since.map_or_else(String::new, rfc3339));
        rows.push(row);
    }
    rows.extend(overflow_row(
        begin,
        &of_key.other_consumers,
        CONSUMERS.len(),
    ));
}

fn api_call_rows(begin: &[String], used: &KeyUsage, rows: &mut Vec<Vec<String>>) {
    for ((service, event), touched) in &used.api_calls {
        let mut row = begin.to_vec();
        row.extend([for_csv(service), for_csv(event)]);
        row.extend(calls(&touched.calls));
        row.push(names(&touched.resources));
        rows.push(row);
    }
    rows.extend(overflow_row(begin, &used.other_api_calls, TOUCHED.len()));
}

/// The row that counts what exceeded the limits.
fn overflow_row(begin: &[String], further: &OverflowCounts, columns: usize) -> Option<Vec<String>> {
    if further.calls.count == 0 {
        return None;
    }
    let mut row = begin.to_vec();
    row.extend([FURTHER.to_owned(), FURTHER.to_owned()]);
    row.extend(calls(&further.calls));
    row.resize(columns, String::new());
    Some(row)
}

fn calls(calls: &CallCounts) -> [String; 4] {
    [
        calls.count.to_string(),
        calls.errors.to_string(),
        calls.first().map_or_else(String::new, rfc3339),
        calls.last().map_or_else(String::new, rfc3339),
    ]
}

/// Names, separated by ` | `, because user agents contain spaces.
fn names(names: &NameSample) -> String {
    let more = names.has_more().then_some("…");
    let all: Vec<&str> = names.iter().chain(more).collect();
    for_csv(&all.join(" | "))
}
