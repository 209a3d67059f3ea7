//! `secondkey exempt remove`.

use std::io::Write;

use anyhow::bail;

use crate::cli::Exit;
use crate::cli::LONGEST;
use crate::cli::exempt::Common;
use crate::detect::finding::FindingStatus;
use crate::output::escape::for_terminal;

/// Remove an exemption before its end; what it hides is told again
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  secondkey exempt remove ci-20261124-9f3a07
  secondkey exempt remove ci-20261124-9f3a07 --table secondkey --account 444455556666

Exit codes: 0 done, 1 failure (no such exemption), 2 wrong usage.")]
pub(super) struct Args {
    /// The id, as `secondkey exempt list` shows it
    #[arg(value_name = "ID")]
    id: String,

    #[command(flatten)]
    common: Common,
}

/// Runs the step.
pub(super) async fn run(args: Args) -> anyhow::Result<Exit> {
    let store = args.common.which.open_by(&args.common.connection).await?;
    let reader = store.reader();
    let mut found = vec![];
    for account in args.common.accounts(&store).await? {
        let exemptions = reader.exemptions(&account).await?;
        found.extend(exemptions.into_iter().filter(|one| one.id == args.id));
    }
    let exemption = match found.as_slice() {
        [one] => one,
        [] => bail!(
            "there is no exemption `{}`; `{}` shows those that there are",
            args.id,
            args.common.list()
        ),
        _ => bail!(
            "several accounts have an exemption `{}`; name one with --account",
            args.id
        ),
    };
    let hidden = reader.findings(FindingStatus::Suppressed).await?;
    let hidden = hidden
        .iter()
        .filter(|finding| finding.user().account() == exemption.account)
        .filter(|finding| {
            finding
                .exemption
                .as_ref()
                .is_some_and(|by| by.id == args.id)
        })
        .count();
    if !reader
        .remove_exemption(&exemption.account, &exemption.id)
        .await?
    {
        bail!("somebody else removed exemption `{}` first", args.id);
    }
    let mut out = anstream::stdout().lock();
    writeln!(
        out,
        "Removed exemption {} of account {}. It hid {hidden} open {}{}{}.",
        for_terminal(&exemption.id, LONGEST),
        for_terminal(&exemption.account, LONGEST),
        if hidden == 1 { "finding" } else { "findings" },
        if hidden == 0 { "" } else { "; " },
        if hidden == 0 {
            String::new()
        } else {
            args.common.effect()
        }
    )?;
    Ok(Exit::NoFinding)
}
