//! `secondkey verify`: whether audit trails are whole.

use std::io::Write;

use futures::future::try_join;

use crate::cli::Exit;
use crate::cli::LONGEST;
use crate::cli::history::find_user;
use crate::cli::source::Source;
use crate::detect::audit::verify_chain;
use crate::output::escape::for_terminal;

/// Check the hash chain of every audit trail, or of one user's, and name the first entry that breaks it
///
/// Each entry of a trail carries the hash of the one before it, and the user's record knows the last one. An entry that
/// was changed, removed, put in or cut off shows. What does not show is a trail and a record that were written anew from
/// end to end by somebody who may do both.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  secondkey verify --db findings.db
  secondkey verify alice --table secondkey

Exit codes: 0 every trail is whole, 1 one is broken or could not be read, 2 wrong usage.")]
pub struct Args {
    /// Only this user: NAME or ACCOUNT/NAME
    user: Option<String>,

    #[command(flatten)]
    source: Source,
}

/// Runs the command.
pub async fn run(args: Args) -> anyhow::Result<Exit> {
    let store = args.source.open().await?;
    let users = match &args.user {
        Some(name) => vec![find_user(store.as_ref(), name).await?],
        None => store.users().await?,
    };
    let mut out = anstream::stdout().lock();
    let (mut entries_checked, mut broken) = (0, 0);
    for user in &users {
        let shown = for_terminal(&user.to_string(), LONGEST);
        let (head, entries) = match try_join(store.record(user), store.history(user)).await {
            Ok((record, entries)) => (record.audit, entries),
            Err(error) => {
                broken += 1;
                writeln!(
                    out,
                    "UNREAD  {shown}: {}",
                    for_terminal(&error.to_string(), LONGEST)
                )?;
                continue;
            }
        };
        entries_checked += entries.len();
        match verify_chain(&entries, &head) {
            Ok(()) => writeln!(out, "whole   {shown}: {} entries", entries.len())?,
            Err(chain_break) => {
                broken += 1;
                writeln!(out, "BROKEN  {shown}: {chain_break}")?;
            }
        }
    }
    writeln!(
        out,
        "{} trails, {entries_checked} entries, {broken} broken or unreadable",
        users.len()
    )?;
    Ok(if broken > 0 {
        Exit::Failure
    } else {
        Exit::NoFinding
    })
}
