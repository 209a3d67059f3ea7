//! `secondkey rotate finish`: deactivates the key that nobody uses any more.

use std::io::Write;

use anyhow::ensure;
use chrono::TimeDelta;

use crate::cli::Exit;
use crate::cli::rotate::refusal::Refusal;
use crate::cli::rotate::work::Work;
use crate::cli::rotate::writing::{Writer, undone};
use crate::cli::rotate::{Common, confirm, show, window};
use crate::detect::listing::KeyStatus;
use crate::detect::retire::LastUsed;
use crate::detect::rotation::{
    NoRetirement, Progress, RotationKey, Stage, key_to_deactivate, stage,
};
use crate::output::time::readable;

/// Deactivate the old key, or the one that nobody uses, after showing why it is that one
///
/// By itself it takes the key that was never used, else the one that was used longer ago, else the older one; and only if
/// use shows that nobody depends on it: it refuses where the last use of a key is not known, where the key was used within
/// the last hour, and, as long as the rotation window is not over, where it would be the new key. With --key you choose; if
/// nothing shows that the other key is used later than yours, its id is to be typed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  secondkey rotate finish alice
  secondkey rotate finish alice --apply
  secondkey rotate finish alice --key AKIAIOSFODNN7EXAMPLE --apply

Exit codes: 0 done or shown, 1 refused or failure, 2 wrong usage.")]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,

    /// Deactivate this key
    #[arg(long, value_name = "ID")]
    key: Option<String>,

    /// How long two active keys are a rotation, where `rotate start` did not say
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=8760))]
    window_hours: u32,

    /// Do it; without this, only show it
    #[arg(long)]
    apply: bool,
}

/// Runs the step.
pub(super) async fn run(args: Args) -> anyhow::Result<Exit> {
    let (mut work, keys) = Work::begin(&args.common).await?;
    let store = args.common.which.open_if_there(&work.config)?;
    let usual = TimeDelta::hours(args.window_hours.into());
    let window_ends_at = window::ends_at(&work, store.as_ref(), &keys, usual).await?;
    let stage = stage(&keys, window_ends_at, work.now);
    let is_forgotten = matches!(
        stage,
        Stage::TwoActive {
            is_forgotten: true,
            ..
        }
    );
    let mut out = anstream::stdout().lock();
    show::keys(&mut out, &keys, work.now)?;
    let retirement = key_to_deactivate(&keys, args.key.as_deref(), is_forgotten, work.now)
        .map_err(|why| refusal(&work, &why))?;
    let id = retirement.key.key.id.clone();
    let why = match retirement.reason {
        Some(reason) => reason.words(),
        None => "you chose it",
    };
    writeln!(
        out,
        "Key {}: {why}. Key {} stays, the only active one of user {}.",
        show::id(retirement.key),
        show::id(retirement.kept),
        work.shown_name()
    )?;
    for warning in warnings(&stage, &id) {
        writeln!(out, "WARNING: {warning}")?;
    }
    let command = |options: &[&str]| {
        let chosen = args.key.as_deref().map(|id| ["--key", id]);
        let options: Vec<&str> = chosen.iter().flatten().chain(options).copied().collect();
        work.command("finish", &options)
    };
    if !args.apply {
        writeln!(
            out,
            "Would deactivate {}. Nothing was changed. To do it:\n  {}",
            show::id(retirement.key),
            command(&["--apply"])
        )?;
        return Ok(Exit::NoFinding);
    }
    drop(out);
    if retirement.is_to_be_typed {
        let what = format!(
            "Nothing shows that the other key is used later than {}; whoever uses it is locked out.",
            show::id(retirement.key)
        );
        confirm::typed(&what, &id)?;
    }
    still_two_active(&mut work).await?;
    let writer = Writer::ready(&work, "finish").await?;
    let change = writer
        .set_status(&id, KeyStatus::Inactive)
        .await
        .map_err(|failure| undone(&work, &failure))?;
    let at = change.at;
    let recorded = writer.record(vec![change]).await;
    recorded.tell(
        &format!(
            "Deactivated {} at {}.",
            show::id(retirement.key),
            readable(at)
        ),
        &[format!(
            "To take it back:\n  {}\nTo delete it, once it was inactive for long enough:\n  {}",
            work.command("undo", &["--key", &id, "--apply"]),
            work.command("cleanup", &["--key", &id, "--apply"])
        )],
    )
}

/// What whoever deactivates `id` should know first.
fn warnings(stage: &Stage<'_>, id: &str) -> Vec<String> {
    let Stage::TwoActive { new, progress, .. } = stage else {
        return vec![];
    };
    let is_new = new.key.id == id;
    let warning = match progress {
        Progress::NewNotUsed if is_new => {
            Some("it is the new key: the rotation is given up, and the old key stays in use")
        }
        Progress::NewNotUsed => Some(
            "the new key was never used: whoever uses the old one may not have switched, and would be locked out",
        ),
        Progress::BothInUse | Progress::OldIdle(_) if is_new => Some("it is the new key"),
        Progress::BothInUse => Some(
            "the old key is in use still: whoever uses it is locked out until it is activated again",
        ),
        Progress::Unknown => Some("who uses which key could not be had"),
        Progress::OldIdle(_) => None,
    };
    warning.map(str::to_owned).into_iter().collect()
}

/// Somebody else may have deactivated the other key by now, and then none would be left.
async fn still_two_active(work: &mut Work<'_>) -> anyhow::Result<()> {
    let is_active = |key: &&RotationKey| key.key.status == KeyStatus::Active;
    let active = work.look().await?.iter().filter(is_active).count();
    ensure!(
        active > 1,
        "fewer than two keys are active by now, so nothing was done; somebody else was faster"
    );
    Ok(())
}

fn refusal(work: &Work<'_>, why: &NoRetirement<'_>) -> Refusal {
    let name = work.shown_name();
    let choose = |id: &str| work.command("finish", &["--key", id, "--apply"]);
    let look = || work.command("status", &[]);
    match why {
        NoRetirement::NotTwoActive => Refusal::new(format!(
            "user `{name}` has no two active keys, and the only one is never deactivated"
        ))
        .way("To see them", look()),
        NoRetirement::NoSuchKey => Refusal::new(format!(
            "user `{name}` has no key of that id; choose one of those shown"
        )),
        NoRetirement::NotActive => Refusal::new("that key is inactive already").way(
            "To delete it, once it was inactive for long enough",
            work.command("cleanup", &[]),
        ),
        NoRetirement::NotSwitched { old, new } => Refusal::new(format!(
            "the rotation is not through: the old key `{}` is in use, and the new key `{}` {}. Have its users switch, and \
             try again",
            old.key.id,
            new.key.id,
            if new.last_used == Some(LastUsed::Never) {
                "was never used"
            } else {
                "was used longer ago"
            }
        ))
        .way("To give the rotation up", choose(&new.key.id))
        .way("To lock out whoever uses the old key", choose(&old.key.id)),
        NoRetirement::StillInUse(key) => Refusal::new(format!(
            "key `{}` would be the one to deactivate, but it was used less than an hour ago: {}. Find out who uses it",
            key.key.id,
            show::last_used(key, work.now)
        ))
        .way("To deactivate it all the same", choose(&key.key.id)),
        NoRetirement::UseUnknown => Refusal::new(
            "the last use of a key is not known, so it could be the one in use; allow iam:GetAccessKeyLastUsed, or choose",
        )
        .way("To choose", choose("ID")),
        NoRetirement::NothingTells => Refusal::new("neither use nor age tells the keys apart; choose")
            .way("To choose", choose("ID")),
    }
}
