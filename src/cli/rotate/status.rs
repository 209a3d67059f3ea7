//! `secondkey rotate status`: how far a rotation is.

use std::io::Write;

use chrono::TimeDelta;
use clap::ValueEnum;
use serde::Serialize;

use crate::cli::Exit;
use crate::cli::LONGEST;
use crate::cli::rotate::cleanup::{Since, since};
use crate::cli::rotate::work::Work;
use crate::cli::rotate::{Common, show, window};
use crate::detect::Timestamp;
use crate::detect::inactivity::may_delete;
use crate::detect::retire::LastUsed;
use crate::detect::rotation::{
    NoRetirement, Progress, RotationKey, Stage, key_to_deactivate, stage,
};
use crate::output::escape::{for_json, for_terminal};
use crate::output::time::{duration, readable, rfc3339};

/// Tell how far a rotation is, who uses which key, and what comes next
///
/// Reads only. The last use of a key is what IAM tracks; it may come some time after the use. Where it could not be had it is
/// shown as not known, which is not the same as never.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  secondkey rotate status alice
  secondkey rotate status alice --table secondkey --profile security --format json | jq .stage

The stages: no_keys, no_active_key, one_key, started (the new key was not used yet), new_in_use (and the old one is not any \
more), both_in_use, use_unknown, forgotten (two active keys, and the window is over), finished (one is inactive).

Exit codes: 0 shown, 1 failure, 2 wrong usage.")]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,

    /// How long two active keys are a rotation, where `rotate start` did not say
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=8760))]
    window_hours: u32,

    /// How long a key has to be inactive before it may be deleted
    #[arg(long, value_name = "HOURS", default_value_t = 48, value_parser = clap::value_parser!(u32).range(0..=8760))]
    soak_hours: u32,

    /// How to print it
    #[arg(long, value_enum, default_value_t = StatusFormat::Table)]
    format: StatusFormat,
}

/// How a status is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StatusFormat {
    /// For people
    Table,
    /// One JSON document
    Json,
}

/// A status in words.
struct Told {
    headline: String,
    next: String,
    command: Option<String>,
    inactive_since: Option<Timestamp>,
    deletable_after: Option<Timestamp>,
}

/// Runs the step.
pub(super) async fn run(args: Args) -> anyhow::Result<Exit> {
    let (work, keys) = Work::begin(&args.common).await?;
    let store = args.common.which.open_if_there(&work.config)?;
    let usual = TimeDelta::hours(args.window_hours.into());
    let window_ends_at = window::ends_at(&work, store.as_ref(), &keys, usual).await?;
    let stage = stage(&keys, window_ends_at, work.now);
    let soak = TimeDelta::hours(args.soak_hours.into());
    let told = match &stage {
        Stage::Finished { inactive, .. } => {
            let since = since(&work, store.as_ref(), &inactive.key.id).await;
            finished(&work, inactive, &since, soak)
        }
        Stage::TwoActive { .. } => two_active(&work, &keys, stage, window_ends_at),
        Stage::NoKeys => simple("the user has no access key", "nothing", None),
        Stage::NoActiveKey => simple(
            "the user has no active key",
            "activate a key again if somebody needs it, or delete it",
            Some(work.command("cleanup", &[])),
        ),
        Stage::OneKey(_) => simple(
            "one active key, and no rotation under way",
            "rotate it when it is time",
            Some(work.command("start", &["--to-profile", "PROFILE"])),
        ),
    };
    let window = matches!(stage, Stage::TwoActive { .. })
        .then_some(window_ends_at)
        .flatten();
    let mut out = anstream::stdout().lock();
    match args.format {
        StatusFormat::Table => {
            writeln!(
                out,
                "User {} of account {}: {}.",
                work.shown_name(),
                for_terminal(&work.caller.account, LONGEST),
                told.headline
            )?;
            show::keys(&mut out, &keys, work.now)?;
            writeln!(out, "Next: {}.", told.next)?;
            if let Some(command) = &told.command {
                writeln!(out, "  {command}")?;
            }
        }
        StatusFormat::Json => {
            let document = serde_json::json!(StatusV1 {
                version: "1",
                account: &work.caller.account,
                user: &work.name,
                stage: stage.code(),
                headline: &told.headline,
                keys: keys.iter().map(key).collect(),
                window_ends_at: window.map(rfc3339),
                inactive_since: told.inactive_since.map(rfc3339),
                deletable_after: told.deletable_after.map(rfc3339),
                next: &told.next,
                command: told.command.as_deref(),
            });
            writeln!(out, "{}", for_json(&format!("{document:#}")))?;
        }
    }
    Ok(Exit::NoFinding)
}

fn simple(headline: &str, next: &str, command: Option<String>) -> Told {
    Told {
        headline: headline.to_owned(),
        next: next.to_owned(),
        command,
        inactive_since: None,
        deletable_after: None,
    }
}

fn two_active(
    work: &Work<'_>,
    keys: &[RotationKey],
    stage: Stage<'_>,
    window_ends_at: Option<Timestamp>,
) -> Told {
    let Stage::TwoActive {
        progress,
        is_forgotten,
        ..
    } = stage
    else {
        return simple("", "", None);
    };
    let used = match progress {
        Progress::NewNotUsed => "the new key was not used yet".to_owned(),
        Progress::OldIdle(Some(at)) => format!(
            "the new key is in use, and the old one idle since {}",
            show::moment(at, work.now)
        ),
        Progress::OldIdle(None) => "the new key is in use, and the old one never was".to_owned(),
        Progress::BothInUse => "the old key is in use still".to_owned(),
        Progress::Unknown => "who uses which key could not be had".to_owned(),
    };
    let headline = match (is_forgotten, window_ends_at) {
        (true, Some(end)) => format!(
            "two active keys, and the rotation window is over since {}; {used}",
            show::moment(end, work.now)
        ),
        (_, Some(end)) => format!("rotation under way until {}; {used}", readable(end)),
        (_, None) => format!("two active keys; {used}"),
    };
    let finish = |options: &[&str]| Some(work.command("finish", options));
    let (next, command) = match key_to_deactivate(keys, None, is_forgotten, work.now) {
        Ok(retirement) => (
            format!("deactivate {}", show::id(retirement.key)),
            finish(&[]),
        ),
        Err(NoRetirement::NotSwitched { .. }) => (
            "have whoever uses the old key use the new one; then look again".to_owned(),
            Some(work.command("status", &[])),
        ),
        Err(NoRetirement::StillInUse(key)) => (
            format!("find out who uses {} still; then look again", show::id(key)),
            Some(work.command("status", &[])),
        ),
        Err(_) => (
            "find out which key is in use, and deactivate the other".to_owned(),
            finish(&["--key", "ID"]),
        ),
    };
    Told {
        next,
        command,
        ..simple(&headline, "", None)
    }
}

fn finished(work: &Work<'_>, inactive: &RotationKey, since: &Since, soak: TimeDelta) -> Told {
    let id = show::id(inactive);
    let deletable_after = since.at.map(|at| at + soak);
    let headline = match (since.at, deletable_after) {
        (Some(at), Some(after)) => format!(
            "finished: {id} is inactive since {}, and may be deleted after {}",
            show::moment(at, work.now),
            readable(after)
        ),
        _ => format!("finished: {id} is inactive; since when is not known"),
    };
    let (next, command) = match may_delete(inactive, since.at, soak, work.now) {
        Ok(_) => (format!("delete {id}"), work.command("cleanup", &[])),
        Err(_) => match deletable_after.filter(|after| *after > work.now) {
            Some(after) => (
                format!(
                    "delete {id} in {}; until then it can be activated again",
                    duration(after - work.now)
                ),
                work.command("undo", &[]),
            ),
            None => (
                format!("see why {id} may not be deleted"),
                work.command("cleanup", &[]),
            ),
        },
    };
    Told {
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
