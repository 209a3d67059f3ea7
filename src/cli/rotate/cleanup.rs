//! `secondkey rotate cleanup`: deletes a key that was inactive for long enough.

use std::io::Write;

use anyhow::ensure;
use chrono::TimeDelta;

use crate::aws::event_history::{History, changes_of_key};
use crate::cli::Exit;
use crate::cli::LONGEST;
use crate::cli::again::shown;
use crate::cli::rotate::refusal::Refusal;
use crate::cli::rotate::undo::inactive;
use crate::cli::rotate::work::Work;
use crate::cli::rotate::writing::{Writer, undone};
use crate::cli::rotate::{Common, confirm, show, window};
use crate::cli::source::Store;
use crate::cli::trail_reading::checked_trail;
use crate::detect::Timestamp;
use crate::detect::inactivity::{
    Kept, Word, inactive_since, may_delete, words_of_changes, words_of_trail,
};
use crate::detect::rotation::RotationKey;
use crate::output::commands::{Purpose, change_of_key};
use crate::output::escape::for_terminal;
use crate::output::time::{duration, readable};

/// Delete a key that was inactive for long enough and that nobody used since
///
/// Since when it is inactive is read from the audit trail and from CloudTrail's event history (90 days); of two times the
/// later one counts. Where neither tells, nothing is deleted. A deleted key cannot be had back, so its id is to be typed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  secondkey rotate cleanup alice
  secondkey rotate cleanup alice --apply
  secondkey rotate cleanup alice --soak-hours 168 --table secondkey --apply

Exit codes: 0 done or shown, 1 refused or failure, 2 wrong usage.")]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,

    /// Delete this key, where both are inactive
    #[arg(long, value_name = "ID")]
    key: Option<String>,

    /// How long the key has to have been inactive
    #[arg(long, value_name = "HOURS", default_value_t = 48, value_parser = clap::value_parser!(u32).range(0..=8760))]
    soak_hours: u32,

    /// Do it, after the id of the key was typed; without this, only show it
    #[arg(long)]
    apply: bool,
}

/// Since when a key is inactive, and who says so.
pub(super) struct Since {
    /// Since when; none if nobody knows.
    pub(super) at: Option<Timestamp>,
    /// What each that was asked said, in words to be shown.
    pub(super) said: Vec<String>,
}

/// Runs the step.
pub(super) async fn run(args: Args) -> anyhow::Result<Exit> {
    let (mut work, keys) = Work::begin(&args.common).await?;
    let mut out = anstream::stdout().lock();
    show::keys(&mut out, &keys, work.now)?;
    let key = inactive(&work, &keys, args.key.as_deref(), "cleanup")?;
    let id = key.key.id.clone();
    let store = args.common.which.open_if_there(&work.config)?;
    let since = since(&work, store.as_ref(), &id).await;
    for line in &since.said {
        writeln!(out, "{line}")?;
    }
    let soak = TimeDelta::hours(args.soak_hours.into());
    let at = may_delete(key, since.at, soak, work.now).map_err(|kept| refusal(&work, key, kept))?;
    writeln!(
        out,
        "Key {} is inactive since {}, and was not used since.",
        show::id(key),
        show::moment(at, work.now)
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
            "Would delete {}, which cannot be taken back. Nothing was changed. To do it:\n  {}",
            show::id(key),
            work.command("cleanup", &options)
        )?;
        return Ok(Exit::NoFinding);
    }
    drop(out);
    let what = format!(
        "This deletes the key of user {} for good. It cannot be taken back.",
        work.shown_name()
    );
    confirm::typed(&what, &id)?;
    let is_inactive_still =
        |found: &RotationKey| (&found.key, &found.last_used) == (&key.key, &key.last_used);
    ensure!(
        work.look().await?.iter().any(is_inactive_still),
        "the key or its last use changed in the meantime, so nothing was done; look again"
    );
    let writer = Writer::ready(&work, "cleanup").await?;
    let change = writer
        .delete(&id)
        .await
        .map_err(|failure| undone(&work, &failure))?;
    let deleted_at = change.at;
    let recorded = writer.record(vec![change]).await;
    let closed = close_windows(&work, &writer).await;
    recorded.tell(
        &format!("Deleted {} at {}.", show::id(key), readable(deleted_at)),
        &closed,
    )
}

/// Since when `key` is inactive, by the audit trail and by CloudTrail's event history.
pub(super) async fn since(work: &Work<'_>, store: Option<&Store>, key: &str) -> Since {
    let mut words = vec![];
    let mut said = vec![];
    let mut told = |by: &str, answer: Result<Vec<Word>, String>| match answer {
        Ok(more) => {
            let line = match more.iter().map(|(at, _)| *at).max() {
                Some(latest) => format!("the latest word is of {}", readable(latest)),
                None => "nothing of this key".to_owned(),
            };
            said.push(format!("{by}: {line}."));
            words.extend(more);
        }
        Err(why) => said.push(format!("{by}: not asked, {}.", for_terminal(&why, LONGEST))),
    };
    told("Audit trail", trail(work, store, key).await);
    let history = changes_of_key(&work.config, &work.caller.account, key).await;
    told(
        "CloudTrail's event history",
        match history {
            Ok(History::Told(changes)) => Ok(words_of_changes(&changes, key)),
            Ok(History::Refused(why)) => Err(why),
            Err(failure) => Err(failure.to_string()),
        },
    );
    Since {
        at: inactive_since(&words),
        said,
    }
}

async fn trail(work: &Work<'_>, store: Option<&Store>, key: &str) -> Result<Vec<Word>, String> {
    let Some(store) = store else {
        return Err("there is no such file".to_owned());
    };
    let trail = checked_trail(store.reader(), &work.user)
        .await
        .map_err(|failure| failure.to_string())?;
    // What somebody changed by hand is no ground to delete a key on.
    trail
        .checked
        .map_err(|broken| format!("it is broken: {broken}"))?;
    Ok(words_of_trail(&trail.entries, key))
}

fn refusal(work: &Work<'_>, key: &RotationKey, kept: Kept) -> Refusal {
    let id = show::id(key);
    match kept {
        Kept::Active => Refusal::new(format!("key `{id}` is active"))
            .way("To deactivate it", work.command("finish", &["--key", &key.key.id])),
        Kept::SinceUnknown => Refusal::new(format!(
            "nothing tells since when key `{id}` is inactive, neither the audit trail nor CloudTrail's event history, so it \
             is not deleted"
        ))
        .way(
            "To deactivate it once more, which CloudTrail writes down within minutes; then come back after the soak time",
            shown(change_of_key(
                &work.name,
                &key.key.id,
                Purpose::Deactivate,
                &work.invocation(),
            )),
        ),
        Kept::Soaking { since, until } => Refusal::new(format!(
            "key `{id}` is inactive since {} only; come back in {}, after {}, or give another --soak-hours",
            show::moment(since, work.now),
            duration(until - work.now),
            readable(until)
        )),
        Kept::UseUnknown => Refusal::new(format!(
            "the last use of key `{id}` is not known, so it is not deleted; allow iam:GetAccessKeyLastUsed"
        )),
        Kept::UsedSince { since, .. } => Refusal::new(format!(
            "key `{id}` was used after it is said to have become inactive at {}: {}. Something is wrong, so it is not \
             deleted; find out who used it",
            readable(since),
            show::last_used(key, work.now)
        )),
    }
}

/// The rotation is over, so nothing needs to be hidden for it any more; what there is to say of that.
async fn close_windows(work: &Work<'_>, writer: &Writer<'_>) -> Vec<String> {
    let Ok(exemptions) = window::of_user(work, &writer.store).await else {
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
                "Removed exemption {} of its rotation.",
                for_terminal(&exemption.id, LONGEST)
            ));
        }
    }
    lines
}
