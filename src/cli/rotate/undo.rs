//! `secondkey rotate undo`: reactivates the key that `finish` deactivated.

use std::io::Write;

use crate::cli::Exit;
use crate::cli::rotate::context::RotationContext;
use crate::cli::rotate::key_writer::{KeyWriter, unconfirmed_call};
use crate::cli::rotate::refusal::RefusedError;
use crate::cli::rotate::{CommonArgs, key_table};
use crate::cli::streams::stdout;
use crate::detect::keys::listing::KeyStatus;
use crate::detect::rotation::stage::RotationKey;
use crate::output::time::readable;

/// Reactivate the key that was deactivated
///
/// Use this if an application still needs the key. If the user's other key is active, that is a finding
/// again.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  secondkey rotate undo alice
  secondkey rotate undo alice --apply

Exit codes: 0 success, 1 refused or failure, 2 usage error.")]
pub(super) struct Args {
    #[command(flatten)]
    common: CommonArgs,

    /// The key to activate; required if both keys are inactive
    #[arg(long, value_name = "ID")]
    key: Option<String>,

    /// Activate the key. Without this option, only show what would be done
    #[arg(long)]
    apply: bool,
}

/// Runs the step.
pub(super) async fn run(args: Args) -> anyhow::Result<Exit> {
    let (context, keys) = RotationContext::begin(&args.common).await?;
    let mut out = stdout();
    key_table::keys(&mut out, &keys, context.now)?;
    let key = inactive(&context, &keys, args.key.as_deref(), "undo")?;
    let id = key.key.id.clone();
    if keys.iter().any(|key| key.key.status == KeyStatus::Active) {
        writeln!(
            out,
            "Then user {} has two active keys, which is a finding unless an exemption covers it.",
            context.shown_name()
        )?;
    }
    if !args.apply {
        writeln!(
            out,
            "Would activate {}. Nothing was changed. To do it:\n  {}",
            key_table::id(key),
            context.command("undo", &["--key", &id, "--apply"])
        )?;
        return Ok(Exit::NoFinding);
    }
    drop(out);
    let writer = KeyWriter::ready(&context, "undo").await?;
    let change = writer
        .set_status(&id, KeyStatus::Active)
        .await
        .map_err(|failure| unconfirmed_call(&context, &failure))?;
    let at = change.at;
    let recorded = writer.record(vec![change]).await;
    recorded.print(
        &format!("Activated {} at {}.", key_table::id(key), readable(at)),
        &[],
    )
}

/// The inactive key for `step`: the one with the id `chosen`, or the only one.
pub(super) fn inactive<'a>(
    context: &RotationContext<'_>,
    keys: &'a [RotationKey],
    chosen: Option<&str>,
    step: &str,
) -> Result<&'a RotationKey, RefusedError> {
    let name = context.shown_name();
    if let Some(id) = chosen {
        return match keys.iter().find(|key| key.key.id == id) {
            Some(key) if key.key.status == KeyStatus::Inactive => Ok(key),
            Some(_) => Err(RefusedError::new(format!("key `{id}` is active")).suggest(
                "To deactivate it",
                context.command("finish", &["--key", id]),
            )),
            None => Err(RefusedError::new(format!(
                "user `{name}` has no key `{id}`; choose one of the keys above"
            ))),
        };
    }
    let inactive: Vec<&RotationKey> = keys
        .iter()
        .filter(|key| key.key.status == KeyStatus::Inactive)
        .collect();
    match inactive.as_slice() {
        [one] => Ok(one),
        [] => Err(
            RefusedError::new(format!("user `{name}` has no inactive key"))
                .suggest("To see them", context.command("status", &[])),
        ),
        _ => Err(RefusedError::new(format!(
            "user `{name}` has several inactive keys; choose one"
        ))
        .suggest("To choose", context.command(step, &["--key", "ID"]))),
    }
}
