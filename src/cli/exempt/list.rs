//! `secondkey exempt list`.

use std::io::Write;

use chrono::Utc;
use clap::ValueEnum;
use serde::Serialize;

use crate::cli::Exit;
use crate::cli::MAX_CHARS;
use crate::cli::exempt::CommonArgs;
use crate::cli::streams::stdout;
use crate::cli::table::TextTable;
use crate::detect::Timestamp;
use crate::detect::decision::exemption::Exemption;
use crate::output::escape::{for_json, for_terminal};
use crate::output::time::{readable, rfc3339};

/// List the exemptions with their states, the next to end first
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  secondkey exempt list
  secondkey exempt list --format json | jq '.exemptions[].id'

Exit codes: 0 success, 1 failure, 2 usage error.")]
pub(super) struct Args {
    #[command(flatten)]
    common: CommonArgs,

    /// The output format
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    format: ListFormat,
}

/// The output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ListFormat {
    /// A table for people
    Table,
    /// One JSON document
    Json,
}

/// Runs the step.
pub(super) async fn run(args: Args) -> anyhow::Result<Exit> {
    let store = args.common.which.open_by(&args.common.connection).await?;
    let now = Utc::now();
    let mut exemptions = vec![];
    for account in args.common.accounts(&store).await? {
        exemptions.extend(store.reader().exemptions(&account).await?);
    }
    exemptions.sort_by(|one, other| (one.until, &one.id).cmp(&(other.until, &other.id)));
    let mut out = stdout();
    match args.format {
        ListFormat::Table if exemptions.is_empty() => writeln!(out, "No exemptions.")?,
        ListFormat::Table => {
            let mut rows = TextTable::new(&[
                "ID", "STATE", "ACCOUNT", "USERS", "ACTORS", "UNTIL", "OWNER", "REASON",
            ]);
            for exemption in &exemptions {
                let shown = |text: &str| for_terminal(text, MAX_CHARS);
                let (state, why) = state(exemption, now);
                rows.push(vec![
                    shown(&exemption.id),
                    match why {
                        Some(why) => format!("{}: {}", state.replace('_', " "), shown(&why)),
                        None => state.replace('_', " "),
                    },
                    shown(&exemption.account),
                    shown(&exemption.user_pattern),
                    shown(&exemption.actor_pattern),
                    readable(exemption.until),
                    shown(&exemption.owner),
                    shown(&exemption.reason),
                ]);
            }
            rows.print(&mut out)?;
        }
        ListFormat::Json => {
            let exemptions: Vec<ExemptionV1<'_>> = exemptions
                .iter()
                .map(|exemption| exemption_v1(exemption, now))
                .collect();
            let document = serde_json::json!({"version": "1", "exemptions": exemptions});
            writeln!(out, "{}", for_json(&format!("{document:#}")))?;
        }
    }
    Ok(Exit::NoFinding)
}

/// The state of `exemption` at `now`; if it is not valid, also the reason.
fn state(exemption: &Exemption, now: Timestamp) -> (&'static str, Option<String>) {
    if let Err(error) = exemption.check() {
        return ("not_valid", Some(error.to_string()));
    }
    let state = if exemption.until <= now {
        "ended"
    } else if exemption.is_in_force(now) {
        "in_force"
    } else {
        "not_yet_in_force"
    };
    (state, None)
}

fn exemption_v1(exemption: &Exemption, now: Timestamp) -> ExemptionV1<'_> {
    let (state, why_not_valid) = state(exemption, now);
    ExemptionV1 {
        id: &exemption.id,
        account: &exemption.account,
        state,
        why_not_valid,
        user_pattern: &exemption.user_pattern,
        actor_pattern: &exemption.actor_pattern,
        owner: &exemption.owner,
        reason: &exemption.reason,
        created_at: rfc3339(exemption.created_at),
        until: rfc3339(exemption.until),
    }
}

#[derive(Serialize)]
struct ExemptionV1<'a> {
    id: &'a str,
    account: &'a str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why_not_valid: Option<String>,
    user_pattern: &'a str,
    actor_pattern: &'a str,
    owner: &'a str,
    reason: &'a str,
    created_at: String,
    until: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{at, exemption};

    #[test]
    fn an_exemption_is_in_force_ended_or_not_valid() {
        let one = exemption("one");
        let no_reason = Exemption {
            reason: String::new(),
            ..exemption("two")
        };
        let word = |exemption: &Exemption, now| state(exemption, now).0;
        assert_eq!(word(&one, one.until), "ended");
        assert_eq!(word(&one, at(10)), "in_force");
        assert_eq!(
            word(&one, one.created_at - chrono::TimeDelta::hours(1)),
            "not_yet_in_force"
        );
        assert_eq!(word(&no_reason, at(10)), "not_valid");
    }
}
