//! `secondkey rotate finish`: deactivates the key to retire.

use std::io::Write;

use anyhow::ensure;
use chrono::TimeDelta;

use crate::cli::Exit;
use crate::cli::MAX_CHARS;
use crate::cli::rotate::context::RotationContext;
use crate::cli::rotate::key_writer::{KeyWriter, unconfirmed_call};
use crate::cli::rotate::refusal::RefusedError;
use crate::cli::rotate::rotation_verdict::judge;
use crate::cli::rotate::{CommonArgs, confirm, key_table};
use crate::cli::streams::stdout;
use crate::detect::decision::verdict::Verdict;
use crate::detect::keys::listing::KeyStatus;
use crate::detect::rotation::stage::{
    DeactivationRefused, Progress, RotationKey, Stage, key_to_deactivate, stage,
};
use crate::output::escape::for_terminal;
use crate::output::time::readable;
use crate::output::verdict_text::sentence;

/// Deactivate the key to retire, and show why it is that one
///
/// Without --key, `finish` acts only on the verdict "Retire", which alerts, `scan` and `check` show too:
/// the last uses show that nothing depends on the key. It refuses if a last use is not known, if the key
/// was used within the last hour, or if the key is the new one and the rotation window has not ended.
/// With --key you choose the key. You must then type its id, unless the verdict names it or the other key
/// was used later.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  secondkey rotate finish alice
  secondkey rotate finish alice --apply
  secondkey rotate finish alice --key AKIAIOSFODNN7EXAMPLE --apply

Exit codes: 0 success, 1 refused or failure, 2 usage error.")]
pub(super) struct Args {
    #[command(flatten)]
    common: CommonArgs,

    /// The key to deactivate
    #[arg(long, value_name = "ID")]
    key: Option<String>,

    /// How long two active keys count as a rotation, in hours, if `rotate start` did not set it
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=8760))]
    rotation_window_hours: u32,

    /// Deactivate the key. Without this option, only show what would be done
    #[arg(long)]
    apply: bool,
}

/// Runs the step.
pub(super) async fn run(args: Args) -> anyhow::Result<Exit> {
    let (mut context, keys) = RotationContext::begin(&args.common).await?;
    let store = args.common.which.open_if_there(&context.config)?;
    let usual = TimeDelta::hours(args.rotation_window_hours.into());
    let judged = judge(&context, &keys, store.as_ref(), usual).await?;
    // An open file would block the writer below.
    drop(store);
    let stage = stage(&keys, judged.window_ends_at, context.now);
    let mut out = stdout();
    key_table::keys(&mut out, &keys, context.now)?;
    let verdict = judged.verdict.as_ref();
    let retirement = key_to_deactivate(&keys, args.key.as_deref(), verdict)
        .map_err(|why| refusal(&context, &why))?;
    let id = retirement.key.key.id.clone();
    let why = match (verdict, &args.key) {
        (Some(verdict), None) => words(verdict),
        (Some(verdict), Some(_)) if verdict.key() == Some(&id) => words(verdict),
        _ => format!("Key {} was chosen by you", key_table::id(retirement.key)),
    };
    writeln!(
        out,
        "{why}. Key {} remains the only active key of user {}.",
        key_table::id(retirement.remaining),
        context.shown_name()
    )?;
    for warning in warnings(&stage, &id) {
        writeln!(out, "WARNING: {warning}")?;
    }
    let command = |options: &[&str]| {
        let chosen = args.key.as_deref().map(|id| ["--key", id]);
        let options: Vec<&str> = chosen.iter().flatten().chain(options).copied().collect();
        context.command("finish", &options)
    };
    if !args.apply {
        writeln!(
            out,
            "Would deactivate {}. Nothing was changed. To do it:\n  {}",
            key_table::id(retirement.key),
            command(&["--apply"])
        )?;
        return Ok(Exit::NoFinding);
    }
    drop(out);
    if retirement.needs_typed_id {
        let what = format!(
            "There is no sign that the other key was used later than {0}. Applications that use {0} will lose access.",
            key_table::id(retirement.key)
        );
        confirm::typed(&what, &id)?;
    }
    still_two_active(&mut context).await?;
    let writer = KeyWriter::ready(&context, "finish").await?;
    let change = writer
        .set_status(&id, KeyStatus::Inactive)
        .await
        .map_err(|failure| unconfirmed_call(&context, &failure))?;
    let at = change.at;
    let recorded = writer.record(vec![change]).await;
    recorded.print(
        &format!(
            "Deactivated {} at {}.",
            key_table::id(retirement.key),
            readable(at)
        ),
        &[format!(
            "To reactivate it:\n  {}\nTo delete it after it has been inactive for long enough:\n  {}",
            context.command("undo", &["--key", &id, "--apply"]),
            context.command("cleanup", &["--key", &id, "--apply"])
        )],
    )
}

/// What the operator should know before `id` is deactivated.
fn warnings(stage: &Stage<'_>, id: &str) -> Vec<String> {
    let Stage::TwoActive { new, progress, .. } = stage else {
        return vec![];
    };
    let is_new = new.key.id == id;
    let warning = match progress {
        Progress::NewNotUsed if is_new => {
            Some("this is the new key: the rotation is canceled, and the old key stays in use")
        }
        Progress::NewNotUsed => Some(
            "the new key has never been used: applications may still use the old key and would lose access",
        ),
        Progress::BothInUse | Progress::OldIdle(_) if is_new => Some("this is the new key"),
        Progress::BothInUse => Some(
            "the old key is still in use: its applications lose access until it is reactivated",
        ),
        Progress::Unknown => Some("the last uses of the keys are not known"),
        Progress::OldIdle(_) => None,
    };
    warning.map(str::to_owned).into_iter().collect()
}

/// Fails if the other key has been deactivated in the meantime: then no active key would be left.
async fn still_two_active(context: &mut RotationContext<'_>) -> anyhow::Result<()> {
    let is_active = |key: &&RotationKey| key.key.status == KeyStatus::Active;
    let active = context.list_keys().await?.iter().filter(is_active).count();
    ensure!(
        active > 1,
        "fewer than two keys are active now, so nothing was done; one was deactivated in the meantime"
    );
    Ok(())
}

/// The text of `verdict`, as in every other output.
fn words(verdict: &Verdict) -> String {
    sentence(verdict, &|key| for_terminal(key, MAX_CHARS))
}

fn refusal(context: &RotationContext<'_>, why: &DeactivationRefused) -> RefusedError {
    let name = context.shown_name();
    let choose = |id: &str| context.command("finish", &["--key", id, "--apply"]);
    match why {
        DeactivationRefused::NotTwoActive => RefusedError::new(format!(
            "user `{name}` does not have two active keys, and `finish` never deactivates the only one"
        ))
        .suggest("To see them", context.command("status", &[])),
        DeactivationRefused::NoSuchKey => RefusedError::new(format!(
            "user `{name}` has no key with that id; choose one of the keys above"
        )),
        DeactivationRefused::NotActive => RefusedError::new("that key is already inactive")
            .suggest(
                "To delete it after it has been inactive for long enough",
                context.command("cleanup", &[]),
            ),
        DeactivationRefused::Verdict(verdict) => {
            let refusal = RefusedError::new(format!("there is no key to retire. {}", words(verdict)));
            match verdict {
                Verdict::Contain { key, .. } => {
                    refusal.suggest("To deactivate that key", choose(key))
                }
                Verdict::InProgress { new, .. } => refusal
                    .suggest("To see its state", context.command("status", &[]))
                    .suggest("To cancel the rotation", choose(new)),
                Verdict::Ask { .. } | Verdict::Retire { .. } => {
                    refusal.suggest("To choose the key yourself", choose("ID"))
                }
            }
        }
    }
}
