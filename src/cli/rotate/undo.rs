//! `secondkey rotate undo`: activates again what `finish` deactivated.

use std::io::Write;

use crate::cli::Exit;
use crate::cli::rotate::refusal::Refusal;
use crate::cli::rotate::work::Work;
use crate::cli::rotate::writing::{Writer, undone};
use crate::cli::rotate::{Common, show};
use crate::detect::listing::KeyStatus;
use crate::detect::rotation::RotationKey;
use crate::output::time::readable;

/// Activate again the key that was deactivated
///
/// For when somebody turns out to have used it. Two keys may be active again then, which is a finding.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  secondkey rotate undo alice
  secondkey rotate undo alice --apply

Exit codes: 0 done or shown, 1 refused or failure, 2 wrong usage.")]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,

    /// Activate this key, where both are inactive
    #[arg(long, value_name = "ID")]
    key: Option<String>,

    /// Do it; without this, only show it
    #[arg(long)]
    apply: bool,
}

/// Runs the step.
pub(super) async fn run(args: Args) -> anyhow::Result<Exit> {
    let (work, keys) = Work::begin(&args.common).await?;
    let mut out = anstream::stdout().lock();
    show::keys(&mut out, &keys, work.now)?;
    let key = inactive(&work, &keys, args.key.as_deref(), "undo")?;
    let id = key.key.id.clone();
    if keys.iter().any(|key| key.key.status == KeyStatus::Active) {
        writeln!(
            out,
            "Two keys of user {} will be active then, which is a finding unless an exemption covers it.",
            work.shown_name()
        )?;
    }
    if !args.apply {
        writeln!(
            out,
            "Would activate {}. Nothing was changed. To do it:\n  {}",
            show::id(key),
            work.command("undo", &["--key", &id, "--apply"])
        )?;
        return Ok(Exit::NoFinding);
    }
    drop(out);
    let writer = Writer::ready(&work, "undo").await?;
    let change = writer
        .set_status(&id, KeyStatus::Active)
        .await
        .map_err(|failure| undone(&work, &failure))?;
    let at = change.at;
    let recorded = writer.record(vec![change]).await;
    recorded.tell(
        &format!("Activated {} at {}.", show::id(key), readable(at)),
        &[],
    )
}

/// The inactive key that is meant for `step`: the one with the id `chosen`, or the only one.
pub(super) fn inactive<'a>(
    work: &Work<'_>,
    keys: &'a [RotationKey],
    chosen: Option<&str>,
    step: &str,
) -> Result<&'a RotationKey, Refusal> {
    let name = work.shown_name();
    if let Some(id) = chosen {
        return match keys.iter().find(|key| key.key.id == id) {
            Some(key) if key.key.status == KeyStatus::Inactive => Ok(key),
            Some(_) => Err(Refusal::new(format!("key `{id}` is active"))
                .way("To deactivate it", work.command("finish", &["--key", id]))),
            None => Err(Refusal::new(format!(
                "user `{name}` has no key `{id}`; choose one of those shown"
            ))),
        };
    }
    let inactive: Vec<&RotationKey> = keys
        .iter()
        .filter(|key| key.key.status == KeyStatus::Inactive)
        .collect();
    match inactive.as_slice() {
        [one] => Ok(one),
        [] => Err(Refusal::new(format!("user `{name}` has no inactive key"))
            .way("To see them", work.command("status", &[]))),
        _ => Err(
            Refusal::new(format!("user `{name}` has several inactive keys; choose"))
                .way("To choose", work.command(step, &["--key", "ID"])),
        ),
    }
}
