//! `secondkey rotate status`: shows the state of a rotation.

use std::io::Write;

use chrono::TimeDelta;
use clap::ValueEnum;
use serde::Serialize;

use crate::cli::Exit;
use crate::cli::MAX_CHARS;
use crate::cli::rotate::cleanup::{InactiveSince, since};
use crate::cli::rotate::context::RotationContext;
use crate::cli::rotate::rotation_verdict::{RotationVerdict, judge};
use crate::cli::rotate::{CommonArgs, key_table};
use crate::cli::streams::stdout;
use crate::cli::usage::beside::{Beside, Found};
use crate::detect::Timestamp;
use crate::detect::decision::verdict::Verdict;
use crate::detect::rotation::inactivity::may_delete;
use crate::detect::rotation::stage::{Progress, RotationKey, Stage, stage};
use crate::detect::usage::last_use::LastUsed;
use crate::output::escape::{for_json, for_terminal};
use crate::output::json_v1::verdict_v1;
use crate::output::json_v1::wire::VerdictV1;
use crate::output::time::{duration, readable, rfc3339};
use crate::output::verdict_text::sentence;

/// Show the state of a rotation, when each key was last used, and what to do next
///
/// Only reads. The last use of a key comes from IAM, which may report it with a delay. If IAM did not
/// report it, it is shown as not known, which is not the same as never.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  secondkey rotate status alice
  secondkey rotate status alice --usage
  secondkey rotate status alice --table secondkey --format json | jq .stage

Stages: no_keys, no_active_key, one_key, started (the new key has not been used yet), new_in_use (the \
old key is no longer used), both_in_use, use_unknown, forgotten (two active keys after the window has \
ended), finished (one key is inactive).

Exit codes: 0 success, 1 failure, 2 usage error.")]
pub(super) struct Args {
    #[command(flatten)]
    common: CommonArgs,

    /// How long two active keys count as a rotation, in hours, if `rotate start` did not set it
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=8760))]
    rotation_window_hours: u32,

    /// How long a key must be inactive before it may be deleted, in hours
    #[arg(long, value_name = "HOURS", default_value_t = 48, value_parser = clap::value_parser!(u32).range(0..=8760))]
    soak_hours: u32,

    #[command(flatten)]
    beside: Beside,

    /// The output format
    #[arg(long, value_enum, default_value_t = StatusFormat::Table)]
    format: StatusFormat,
}

/// The output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StatusFormat {
    /// Text for people
    Table,
    /// One JSON document
    Json,
}

/// A status as text.
struct StatusText {
    headline: String,
    next: String,
    command: Option<String>,
    inactive_since: Option<Timestamp>,
    deletable_after: Option<Timestamp>,
}

/// Runs the step.
pub(super) async fn run(args: Args) -> anyhow::Result<Exit> {
    let (context, keys) = RotationContext::begin(&args.common).await?;
    let store = args.common.which.open_if_there(&context.config)?;
    let usual = TimeDelta::hours(args.rotation_window_hours.into());
    let judged = judge(&context, &keys, store.as_ref(), usual).await?;
    let window_ends_at = judged.window_ends_at;
    let stage = stage(&keys, window_ends_at, context.now);
    let soak = TimeDelta::hours(args.soak_hours.into());
    let text = match &stage {
        Stage::Finished { inactive, .. } => {
            let since = since(&context, store.as_ref(), &inactive.key.id).await;
            finished(&context, inactive, &since, soak)
        }
        Stage::TwoActive { progress, .. } => two_active(&context, *progress, &judged),
        Stage::NoKeys => simple("the user has no access key", "nothing", None),
        Stage::NoActiveKey => simple(
            "the user has no active key",
            "reactivate the key if it is needed, or delete it",
            Some(context.command("cleanup", &[])),
        ),
        Stage::OneKey(_) => simple(
            "one active key, and no rotation in progress",
            "rotate it when it is due",
            Some(context.command("start", &["--to-profile", "PROFILE"])),
        ),
    };
    let window = matches!(stage, Stage::TwoActive { .. })
        .then_some(window_ends_at)
        .flatten();
    let of_user = keys
        .iter()
        .map(|key| (key.key.id.as_str(), key.key.created));
    let used = args
        .beside
        .search(&context.config, &context.user, of_user)
        .await?;
    let mut out = stdout();
    match args.format {
        StatusFormat::Table => {
            writeln!(
                out,
                "User {} of account {}: {}.",
                context.shown_name(),
                for_terminal(&context.caller.account, MAX_CHARS),
                text.headline
            )?;
            key_table::keys(&mut out, &keys, context.now)?;
            for line in used.iter().flat_map(Found::lines) {
                writeln!(out, "{line}")?;
            }
            writeln!(out, "Next: {}.", text.next)?;
            if let Some(command) = &text.command {
                writeln!(out, "  {command}")?;
            }
        }
        StatusFormat::Json => {
            let mut document = serde_json::json!(StatusV1 {
                version: "1",
                account: &context.caller.account,
                user: &context.name,
                stage: stage.code(),
                headline: &text.headline,
                keys: keys.iter().map(key).collect(),
                window_ends_at: window.map(rfc3339),
                inactive_since: text.inactive_since.map(rfc3339),
                deletable_after: text.deletable_after.map(rfc3339),
                verdict: judged.verdict.as_ref().map(verdict_v1),
                next: &text.next,
                command: text.command.as_deref(),
            });
            if let (Some(used), Some(fields)) = (&used, document.as_object_mut()) {
                fields.insert("usage".to_owned(), serde_json::json!(used.document()));
            }
            writeln!(out, "{}", for_json(&format!("{document:#}")))?;
        }
    }
    Ok(Exit::NoFinding)
}

fn simple(headline: &str, next: &str, command: Option<String>) -> StatusText {
    StatusText {
        headline: headline.to_owned(),
        next: next.to_owned(),
        command,
        inactive_since: None,
        deletable_after: None,
    }
}

fn two_active(
    context: &RotationContext<'_>,
    progress: Progress,
    judged: &RotationVerdict,
) -> StatusText {
    let used = match progress {
        Progress::NewNotUsed => "the new key has not been used yet".to_owned(),
        Progress::OldIdle(Some(at)) => format!(
            "the new key is in use, and the old one has been idle since {}",
            key_table::moment(at, context.now)
        ),
        Progress::OldIdle(None) => {
            "the new key is in use, and the old one was never used".to_owned()
        }
        Progress::BothInUse => "the old key is still in use".to_owned(),
        Progress::Unknown => "the last uses of the keys are not known".to_owned(),
    };
    let headline = match judged.window_ends_at {
        Some(end) if judged.is_overdue(context.now) => format!(
            "two active keys, and the rotation window ended on {}; {used}",
            key_table::moment(end, context.now)
        ),
        Some(end) => format!("rotation in progress until {}; {used}", readable(end)),
        None => format!("two active keys; {used}"),
    };
    let next = judged.verdict.as_ref().map_or_else(String::new, |verdict| {
        sentence(verdict, &|key| for_terminal(key, MAX_CHARS))
    });
    let command = match &judged.verdict {
        Some(Verdict::Retire { .. }) => context.command("finish", &[]),
        Some(Verdict::Contain { key, .. }) => context.command("finish", &["--key", key]),
        Some(Verdict::InProgress { .. }) | None => context.command("status", &[]),
        Some(Verdict::Ask { .. }) => context.command("finish", &["--key", "ID"]),
    };
    let command = Some(command);
    StatusText {
        next,
        command,
        ..simple(&headline, "", None)
    }
}

fn finished(
    context: &RotationContext<'_>,
    inactive: &RotationKey,
    since: &InactiveSince,
    soak: TimeDelta,
) -> StatusText {
    let id = key_table::id(inactive);
    let deletable_after = since.at.map(|at| at + soak);
    let headline = match (since.at, deletable_after) {
        (Some(at), Some(after)) => format!(
            "finished: {id} has been inactive since {}, and may be deleted after {}",
            key_table::moment(at, context.now),
            readable(after)
        ),
        _ => format!("finished: {id} is inactive; since when is not known"),
    };
    let (next, command) = match may_delete(inactive, since.at, soak, context.now) {
        Ok(_) => (format!("delete {id}"), context.command("cleanup", &[])),
        Err(_) => match deletable_after.filter(|after| *after > context.now) {
            Some(after) => (
                format!(
                    "delete {id} in {}; reactivate it if something fails before",
                    duration(after - context.now)
                ),
                context.command("undo", &[]),
            ),
            None => (
                format!("see why {id} cannot be deleted yet"),
                context.command("cleanup", &[]),
            ),
        },
    };
    StatusText {
        headline,
        next,
        command: Some(command),
        inactive_since: since.at,
        deletable_after,
    }
}

fn key(key: &RotationKey) -> KeyV1<'_> {
    let (last_use, at, service, region) = match &key.last_used {
        None => ("unknown", None, None, None),
        Some(LastUsed::Never) => ("never", None, None, None),
        Some(LastUsed::At {
            at,
            service,
            region,
        }) => (
            "known",
            Some(rfc3339(*at)),
            service.as_deref(),
            region.as_deref(),
        ),
    };
    KeyV1 {
        id: &key.key.id,
        status: key.key.status.word(),
        created_at: key.key.created.map(rfc3339),
        last_use,
        last_used_at: at,
        last_used_service: service,
        last_used_region: region,
    }
}

#[derive(Serialize)]
struct StatusV1<'a> {
    version: &'static str,
    account: &'a str,
    user: &'a str,
    stage: &'static str,
    headline: &'a str,
    keys: Vec<KeyV1<'a>>,
    window_ends_at: Option<String>,
    inactive_since: Option<String>,
    deletable_after: Option<String>,
    verdict: Option<VerdictV1>,
    next: &'a str,
    command: Option<&'a str>,
}

#[derive(Serialize)]
struct KeyV1<'a> {
    id: &'a str,
    status: &'static str,
    created_at: Option<String>,
    last_use: &'static str,
    last_used_at: Option<String>,
    last_used_service: Option<&'a str>,
    last_used_region: Option<&'a str>,
}
