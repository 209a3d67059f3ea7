//! Prints who uses which key, as text.

use std::cmp::Reverse;
use std::fmt::Write as _;
use std::io::Write;

use crate::cli::MAX_CHARS;
use crate::cli::table::TextTable;
use crate::cli::usage::subject::{Subject, SubjectName};
use crate::detect::Timestamp;
use crate::detect::usage::consumers::{
    ApiCallUsage, ConsumerUsage, KeyUsage, Migration, Migrations, NameSample, OverflowCounts,
    Usage, UserUsage,
};
use crate::detect::user::UserId;
use crate::output::escape::for_terminal;
use crate::output::time::readable;
use crate::output::usage::{
    SearchScope, consumers_of, count_of, failed, migration_lines, search_scope_lines,
};

/// How many consumers of a user, and API calls of a key, are printed.
const SHOWN: usize = 50;

/// How many names one cell shows.
const NAMES_SHOWN: usize = 4;

/// Writes who uses which key.
pub(super) fn text(
    out: &mut impl Write,
    subject: &Subject,
    usage: &Usage,
    looked_at: &SearchScope,
) -> anyhow::Result<()> {
    for (id, user) in usage.users() {
        of_user(out, id, user)?;
        if usage.period().is_bounded() {
            print_api_calls(out, user)?;
        }
        writeln!(out)?;
    }
    print_search_scope(out, subject, usage, looked_at)
}

/// Writes what was searched, and what the counts do not include.
pub(super) fn print_search_scope(
    out: &mut impl Write,
    subject: &Subject,
    usage: &Usage,
    looked_at: &SearchScope,
) -> anyhow::Result<()> {
    if usage.is_empty() {
        let typed = shown(subject.typed());
        let found = match &subject.target {
            SubjectName::Key(_) => format!("No call signed by key {typed} was found"),
            SubjectName::User(_) => {
                format!("No call signed by a key of user {typed} was found")
            }
        };
        let within = if usage.period().is_bounded() {
            " in the period"
        } else {
            ""
        };
        writeln!(out, "{found}{within}. The key may still be in use.")?;
    }
    let outside = usage.outside().count;
    if outside > 0 {
        writeln!(out, "Outside the period: {}.", count_of(outside, "call"))?;
    }
    let keys = usage.further_keys();
    if keys.calls.count > 0 {
        writeln!(out, "{}", overflow_text(keys, "key"))?;
    }
    let (duplicates, may_be_more) = usage.duplicates();
    if duplicates > 0 {
        let records = count_of(duplicates, "repeated record");
        writeln!(out, "Skipped: {records}.")?;
    }
    if may_be_more {
        writeln!(
            out,
            "There were too many calls to detect every repeated record; some may be counted twice."
        )?;
    }
    for line in search_scope_lines(looked_at, &shown) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn of_user(out: &mut impl Write, id: &UserId, user: &UserUsage) -> anyhow::Result<()> {
    let name = user.display_name.as_deref().unwrap_or(id.name());
    writeln!(
        out,
        "User {} of account {}",
        shown(name),
        shown(id.account())
    )?;
    let mut rows = TextTable::new(&[
        "KEY",
        "CALLS",
        "FAILED",
        "FIRST USED",
        "LAST USED",
        "CREATED",
    ]);
    rows = rows.headline(1);
    for (key, used) in keys(user) {
        let time = |at: Option<Timestamp>, none: &str| at.map_or_else(|| none.to_owned(), readable);
        rows.push(vec![
            shown(key),
            used.calls.count.to_string(),
            failed(&used.calls),
            time(used.calls.first(), "no use found"),
            time(used.calls.last(), "no use found"),
            time(used.created, "not known"),
        ]);
    }
    rows.print(out)?;
    let migrations = user.migrations();
    consumers(out, user, migrations.as_ref())?;
    for (key, used) in keys(user) {
        if used.other_consumers.calls.count > 0 {
            let line = overflow_text(&used.other_consumers, "consumer");
            writeln!(out, "{}: {line}", shown(key))?;
        }
    }
    if let Some(migrations) = &migrations {
        for line in migration_lines(migrations, &shown) {
            writeln!(out, "{line}")?;
        }
    }
    Ok(())
}

fn consumers(
    out: &mut impl Write,
    user: &UserUsage,
    migrations: Option<&Migrations<'_>>,
) -> anyhow::Result<()> {
    let all = consumers_of(user);
    if !all.is_empty() {
        writeln!(out, "Consumers, latest call first")?;
    }
    let mut header = vec!["SOURCE", "CLIENT", "CALLS BY KEY", "SERVICES", "REGIONS"];
    if migrations.is_some() {
        header.push("SWITCH");
    }
    let mut rows = TextTable::new(&header).headline(2);
    for (consumer, by_key) in all.iter().take(SHOWN) {
        let mut lines = vec![];
        for key in user.in_order() {
            let Some(calls) = by_key.get(key) else {
                continue;
            };
            let mut line = format!("{} {}", shown(key), count_of(calls.count, "call"));
            if calls.errors > 0 {
                let _ = write!(line, ", {} failed", failed(calls));
            }
            lines.push(line);
            let times = calls.span.map(|(first, last)| {
                if first == last {
                    format!("  {}", readable(last))
                } else {
                    format!("  {} to {}", readable(first), readable(last))
                }
            });
            lines.extend(times);
        }
        let of_keys: Vec<&ConsumerUsage> = user
            .keys
            .values()
            .filter_map(|key| key.consumers.get(*consumer))
            .collect();
        let mut row = vec![
            shown(&consumer.source),
            shown(&consumer.client),
            lines.join("\n"),
            names(of_keys.iter().map(|consumed| &consumed.services)),
            names(of_keys.iter().map(|consumed| &consumed.regions)),
        ];
        if let Some(migrations) = migrations {
            row.push(
                migrations
                    .consumers
                    .get(consumer)
                    .map_or_else(String::new, switch_words),
            );
        }
        rows.push(row);
    }
    rows.print(out)?;
    if all.len() > SHOWN {
        writeln!(
            out,
            "{} with older calls: --format json lists them.",
            count_of((all.len() - SHOWN) as u64, "more consumer")
        )?;
    }
    Ok(())
}

fn switch_words(migration: &Migration) -> String {
    match migration {
        Migration::Switched { since } => format!("switched\n{}", readable(*since)),
        Migration::Both {
            new_since,
            old_until,
        } => format!(
            "on both keys\nnew since {}\nold until {}",
            readable(*new_since),
            readable(*old_until)
        ),
        Migration::NotYet { .. } => "on the old key".to_owned(),
        Migration::Silent { .. } => "not seen since".to_owned(),
        Migration::NewOnly { .. } => "new key only".to_owned(),
    }
}

/// What each key of `user` accessed.
fn print_api_calls(out: &mut impl Write, user: &UserUsage) -> anyhow::Result<()> {
    for (key, used) in keys(user) {
        if used.api_calls.is_empty() {
            continue;
        }
        writeln!(out, "What {} accessed", shown(key))?;
        let mut all: Vec<(&(String, String), &ApiCallUsage)> = used.api_calls.iter().collect();
        all.sort_by_key(|(_, touched)| Reverse(touched.calls.count));
        let header = [
            "SERVICE",
            "EVENT",
            "CALLS",
            "FAILED",
            "FIRST",
            "LAST",
            "RESOURCES",
        ];
        let mut rows = TextTable::new(&header).headline(2);
        for ((service, event), touched) in all.iter().take(SHOWN) {
            let time = |at: Option<Timestamp>| at.map_or_else(String::new, readable);
            rows.push(vec![
                shown(service),
                shown(event),
                touched.calls.count.to_string(),
                failed(&touched.calls),
                time(touched.calls.first()),
                time(touched.calls.last()),
                listed([&touched.resources].into_iter(), "\n"),
            ]);
        }
        rows.print(out)?;
        if all.len() > SHOWN {
            writeln!(
                out,
                "{}: --format json lists them.",
                count_of((all.len() - SHOWN) as u64, "more API call")
            )?;
        }
        if used.other_api_calls.calls.count > 0 {
            writeln!(out, "{}", overflow_text(&used.other_api_calls, "API call"))?;
        }
    }
    Ok(())
}

/// The keys of `user`, the oldest first.
fn keys(user: &UserUsage) -> Vec<(&str, &KeyUsage)> {
    let of_id = |id| Some((id, user.keys.get(id)?));
    user.in_order().into_iter().filter_map(of_id).collect()
}

fn names<'n>(of_keys: impl Iterator<Item = &'n NameSample>) -> String {
    listed(of_keys, ", ")
}

/// The first names, and whether there are more.
fn listed<'n>(names: impl Iterator<Item = &'n NameSample>, between: &str) -> String {
    let (mut all, mut has_more) = (std::collections::BTreeSet::new(), false);
    for some in names {
        all.extend(some.iter());
        has_more |= some.has_more();
    }
    let left = all.len().saturating_sub(NAMES_SHOWN);
    let mut cell: Vec<String> = all.into_iter().take(NAMES_SHOWN).map(shown).collect();
    match (left, has_more) {
        (0, false) => {}
        (0, true) => cell.push("and more".to_owned()),
        (left, false) => cell.push(format!("and {left} more")),
        (left, true) => cell.push(format!("and more than {left} more")),
    }
    cell.join(between)
}

/// A sentence about what exceeded the limits.
fn overflow_text(further: &OverflowCounts, thing: &str) -> String {
    let (number, is_minimum) = further.how_many();
    let at_least = if is_minimum { "at least " } else { "" };
    format!(
        "not shown: {at_least}{} with {}, {} failed.",
        count_of(number as u64, &format!("more {thing}")),
        count_of(further.calls.count, "call"),
        further.calls.errors
    )
}

fn shown(text: &str) -> String {
    for_terminal(text, MAX_CHARS)
}
