//! `secondkey exempt remove`.

use std::io::Write;

use anyhow::bail;

use crate::cli::Exit;
use crate::cli::MAX_CHARS;
use crate::cli::exempt::CommonArgs;
use crate::cli::streams::stdout;
use crate::detect::findings::finding::FindingStatus;
use crate::output::escape::for_terminal;

/// Remove an exemption before its end; you are then alerted about the findings that it suppressed
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  secondkey exempt remove ci-20261124-9f3a07
  secondkey exempt remove ci-20261124-9f3a07 --account 444455556666

Exit codes: 0 success, 1 failure (no such exemption), 2 usage error.")]
pub(super) struct Args {
    /// The id that `secondkey exempt list` shows
    #[arg(value_name = "ID")]
    id: String,

    #[command(flatten)]
    common: CommonArgs,
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
            "there is no exemption `{}`; `{}` lists the exemptions",
            args.id,
            args.common.list()
        ),
        _ => bail!(
            "several accounts have an exemption `{}`; choose one with --account",
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
        bail!(
            "exemption `{}` has already been removed by another run",
            args.id
        );
    }
    let mut out = stdout();
    writeln!(
        out,
        "Removed exemption {} in account {}. It suppressed {hidden} open {}{}{}.",
        for_terminal(&exemption.id, MAX_CHARS),
        for_terminal(&exemption.account, MAX_CHARS),
        if hidden == 1 { "finding" } else { "findings" },
        if hidden == 0 { "" } else { "; " },
        if hidden == 0 {
            String::new()
        } else {
            args.common.takes_effect()
        }
    )?;
    Ok(Exit::NoFinding)
}
