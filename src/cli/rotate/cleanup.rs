//! `secondkey rotate cleanup`: deletes a key that has been inactive for long enough.

use std::io::Write;

use anyhow::ensure;
use chrono::TimeDelta;

use crate::aws::event_history::{EventHistory, changes_of_key};
use crate::cli::Exit;
use crate::cli::MAX_CHARS;
use crate::cli::checked_trail::checked_trail;
use crate::cli::next_command::or_placeholder;
use crate::cli::rotate::context::RotationContext;
use crate::cli::rotate::key_writer::{KeyWriter, unconfirmed_call};
use crate::cli::rotate::refusal::RefusedError;
use crate::cli::rotate::undo::inactive;
use crate::cli::rotate::{CommonArgs, confirm, key_table, window};
use crate::cli::store::Store;
use crate::cli::streams::stdout;
use crate::detect::Timestamp;
use crate::detect::rotation::inactivity::{
    DeletionBlocked, StatusAt, inactive_since, may_delete, statuses_in_changes, statuses_in_trail,
};
use crate::detect::rotation::stage::RotationKey;
use crate::output::commands::{Purpose, change_of_key};
use crate::output::escape::for_terminal;
use crate::output::time::{duration, readable};

/// Delete a key that has been inactive for long enough and has not been used since
///
/// The audit trail and CloudTrail's event history (90 days) show since when the key has been inactive; if
/// they differ, the later time counts. If neither shows it, nothing is deleted. A deleted key cannot be
/// restored, so you must confirm by typing its id.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  secondkey rotate cleanup alice
  secondkey rotate cleanup alice --apply
  secondkey rotate cleanup alice --soak-hours 168 --table secondkey --apply

Exit codes: 0 success, 1 refused or failure, 2 usage error.")]
pub(super) struct Args {
    #[command(flatten)]
    common: CommonArgs,

    /// The key to delete; required if both keys are inactive
    #[arg(long, value_name = "ID")]
    key: Option<String>,

    /// How long the key must have been inactive, in hours
    #[arg(long, value_name = "HOURS", default_value_t = 48, value_parser = clap::value_parser!(u32).range(0..=8760))]
    soak_hours: u32,

    /// Delete the key, after you type its id. Without this option, only show what would be done
    #[arg(long)]
    apply: bool,
}

/// Since when a key has been inactive, and the evidence.
pub(super) struct InactiveSince {
    /// Since when; `None` if it is not known.
    pub(super) at: Option<Timestamp>,
    /// A line about each source, safe for a terminal.
    pub(super) said: Vec<String>,
}

/// Runs the step.
pub(super) async fn run(args: Args) -> anyhow::Result<Exit> {
    let (mut context, keys) = RotationContext::begin(&args.common).await?;
    let mut out = stdout();
    key_table::keys(&mut out, &keys, context.now)?;
    let key = inactive(&context, &keys, args.key.as_deref(), "cleanup")?;
    let id = key.key.id.clone();
    let store = args.common.which.open_if_there(&context.config)?;
    let since = since(&context, store.as_ref(), &id).await;
    for line in &since.said {
        writeln!(out, "{line}")?;
    }
    let soak = TimeDelta::hours(args.soak_hours.into());
    let at = may_delete(key, since.at, soak, context.now)
        .map_err(|blocked| refusal(&context, key, blocked))?;
    writeln!(
        out,
        "Key {} has been inactive since {}, and has not been used since then.",
        key_table::id(key),
        key_table::moment(at, context.now)
    )?;
    if !args.apply {
        let hours = args.soak_hours.to_string();
        let mut options = vec!["--key", &id];
        if args.soak_hours != 48 {
            options.extend(["--soak-hours", &hours]);
        }
        options.push("--apply");
        writeln!(
            out,
            "Would delete {}, which cannot be undone. Nothing was changed. To do it:\n  {}",
            key_table::id(key),
            context.command("cleanup", &options)
        )?;
        return Ok(Exit::NoFinding);
    }
    drop(out);
    let what = format!(
        "This deletes the access key of user {}. It cannot be undone.",
        context.shown_name()
    );
    confirm::typed(&what, &id)?;
    let is_unchanged =
        |found: &RotationKey| (&found.key, &found.last_used) == (&key.key, &key.last_used);
    ensure!(
        context.list_keys().await?.iter().any(is_unchanged),
        "the key or its last use has changed in the meantime, so nothing was done; run the command again"
    );
    let writer = KeyWriter::ready(&context, "cleanup").await?;
    let change = writer
        .delete(&id)
        .await
        .map_err(|failure| unconfirmed_call(&context, &failure))?;
    let deleted_at = change.at;
    let recorded = writer.record(vec![change]).await;
    let closed = close_windows(&context, &writer).await;
    recorded.print(
        &format!(
            "Deleted {} at {}.",
            key_table::id(key),
            readable(deleted_at)
        ),
        &closed,
    )
}

/// Since when `key` has been inactive, according to the audit trail and CloudTrail's event history.
pub(super) async fn since(
    context: &RotationContext<'_>,
    store: Option<&Store>,
    key: &str,
) -> InactiveSince {
    let mut statuses = vec![];
    let mut said = vec![];
    let mut add = |source: &str, answer: Result<Vec<StatusAt>, String>| match answer {
        Ok(more) => {
            let line = match more.iter().map(|(at, _)| *at).max() {
                Some(latest) => {
                    format!("the latest change of this key was on {}", readable(latest))
                }
                None => "no changes of this key".to_owned(),
            };
            said.push(format!("{source}: {line}."));
            statuses.extend(more);
        }
        Err(why) => said.push(format!(
            "{source}: not available: {}.",
            for_terminal(&why, MAX_CHARS)
        )),
    };
    add("Audit trail", trail(context, store, key).await);
    let history = changes_of_key(&context.config, &context.caller.account, key).await;
    add(
        "CloudTrail's event history",
        match history {
            Ok(EventHistory::Told(changes)) => Ok(statuses_in_changes(&changes, key)),
            Ok(EventHistory::Refused(why)) => Err(why),
            Err(failure) => Err(failure.to_string()),
        },
    );
    InactiveSince {
        at: inactive_since(&statuses),
        said,
    }
}

async fn trail(
    context: &RotationContext<'_>,
    store: Option<&Store>,
    key: &str,
) -> Result<Vec<StatusAt>, String> {
    let Some(store) = store else {
        return Err("the file does not exist".to_owned());
    };
    let trail = checked_trail(store.reader(), &context.user)
        .await
        .map_err(|failure| failure.to_string())?;
    // A trail that was tampered with is not evidence for deleting a key.
    trail
        .checked
        .map_err(|broken| format!("it is broken: {broken}"))?;
    Ok(statuses_in_trail(&trail.entries, key))
}

fn refusal(
    context: &RotationContext<'_>,
    key: &RotationKey,
    blocked: DeletionBlocked,
) -> RefusedError {
    let id = key_table::id(key);
    match blocked {
        DeletionBlocked::Active => RefusedError::new(format!("key `{id}` is active"))
            .suggest("To deactivate it", context.command("finish", &["--key", &key.key.id])),
        DeletionBlocked::SinceUnknown => RefusedError::new(format!(
            "neither the audit trail nor CloudTrail's event history shows since when key `{id}` has been inactive, so it \
             was not deleted"
        ))
        .suggest(
            "To deactivate it again, which CloudTrail records within minutes (then run cleanup after the soak time)",
            or_placeholder(change_of_key(
                &context.name,
                &key.key.id,
                Purpose::Deactivate,
                &context.invocation(),
            )),
        ),
        DeletionBlocked::Soaking { since, until } => RefusedError::new(format!(
            "key `{id}` has been inactive only since {}; run cleanup in {}, after {}, or use another --soak-hours",
            key_table::moment(since, context.now),
            duration(until - context.now),
            readable(until)
        )),
        DeletionBlocked::UseUnknown => RefusedError::new(format!(
            "the last use of key `{id}` is not known, so it was not deleted; allow iam:GetAccessKeyLastUsed"
        )),
        DeletionBlocked::UsedSince { since, .. } => RefusedError::new(format!(
            "key `{id}` should have been inactive since {}, but was last used on {}. So it was not deleted; find out \
             who used it",
            readable(since),
            key_table::last_used(key, context.now)
        )),
    }
}

/// Removes the exemption of the rotation, which has ended. Returns lines about it.
async fn close_windows(context: &RotationContext<'_>, writer: &KeyWriter<'_>) -> Vec<String> {
    let Ok(exemptions) = window::of_user(context, &writer.store).await else {
        return vec![];
    };
    let mut lines = vec![];
    for exemption in exemptions
        .iter()
        .filter(|exemption| exemption.reason == window::REASON)
    {
        let removed = writer
            .store
            .reader()
            .remove_exemption(&exemption.account, &exemption.id)
            .await;
        if matches!(removed, Ok(true)) {
            lines.push(format!(
                "Removed the rotation's exemption {}.",
                for_terminal(&exemption.id, MAX_CHARS)
            ));
        }
    }
    lines
}
