//! `secondkey verify`: whether audit trails are whole.

use std::collections::BTreeSet;
use std::io::Write;

use crate::cli::Exit;
use crate::cli::LONGEST;
use crate::cli::history::find_user;
use crate::cli::source::Source;
use crate::cli::trail_reading::{CheckedTrail, checked_trail};
use crate::detect::audit::{ChainHead, place_of};
use crate::output::escape::for_terminal;
use crate::output::number::{count, entry_count};

/// Check the hash chain of every audit trail, or of one user's, and name the first entry that breaks it
///
/// Each entry of a trail carries the hash of the one before it, and the user's record knows the last one. An entry that
/// was changed, removed, put in or cut off shows. What does not show is a trail and a record that were written anew from
/// some entry to the end, or removed, by somebody who may do both. Every alert carries the hash of its entry away: with
/// --head that shows too.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  secondkey verify --db findings.db
  secondkey verify alice --table secondkey
  secondkey verify alice --table secondkey --head 3f1c…

Exit codes: 0 every trail is whole and holds every HASH, 1 one is broken or could not be read, or a HASH is missing, \
2 wrong usage.")]
pub struct Args {
    /// Only this user: NAME or ACCOUNT/NAME
    user: Option<String>,

    #[command(flatten)]
    source: Source,

    /// The audit hash of an alert: a trail has to hold its entry still. May be given more than once
    #[arg(long = "head", value_name = "HASH", value_parser = audit_hash)]
    heads: Vec<String>,
}

/// Runs the command.
pub async fn run(args: Args) -> anyhow::Result<Exit> {
    let store = args.source.open().await?;
    let users = match &args.user {
        Some(name) => vec![find_user(store.as_ref(), name, &args.source).await?],
        None => store.users().await?,
    };
    let mut out = anstream::stdout().lock();
    let (mut trails, mut entries_checked, mut broken) = (0, 0, 0);
    let mut missing: BTreeSet<&str> = args.heads.iter().map(String::as_str).collect();
    for user in &users {
        let shown = for_terminal(&user.to_string(), LONGEST);
        let CheckedTrail {
            entries,
            head,
            checked,
        } = match checked_trail(store.as_ref(), user).await {
            Ok(trail) => trail,
            Err(error) => {
                trails += 1;
                broken += 1;
                let error = for_terminal(&error.to_string(), LONGEST);
                writeln!(out, "UNREAD  {shown}: {error}")?;
                continue;
            }
        };
        if args.user.is_none() && entries.is_empty() && head == ChainHead::default() {
            // A user of whom there was never anything to write down has no trail.
            continue;
        }
        trails += 1;
        entries_checked += entries.len();
        match checked {
            Ok(()) => writeln!(out, "whole   {shown}: {}", entry_count(entries.len()))?,
            Err(chain_break) => {
                broken += 1;
                writeln!(out, "BROKEN  {shown}: {chain_break}")?;
            }
        }
        for hash in missing.clone() {
            if let Some(place) = place_of(user, &entries, hash) {
                missing.remove(hash);
                writeln!(out, "holds   {shown}: entry {place}, head {hash}")?;
            }
        }
    }
    let nowhere = match (&args.user, &users[..]) {
        (Some(_), [user]) => format!(
            "not the trail of {}",
            for_terminal(&user.to_string(), LONGEST)
        ),
        _ => "no trail".to_owned(),
    };
    for hash in &missing {
        writeln!(
            out,
            "MISSING head {hash}: {nowhere} holds an entry with it; the trail was written anew or cut since that hash \
             went out"
        )?;
    }
    writeln!(
        out,
        "{}, {}, {broken} broken or unreadable",
        count(trails, "trail"),
        entry_count(entries_checked)
    )?;
    Ok(if broken > 0 || !missing.is_empty() {
        Exit::Failure
    } else {
        Exit::NoFinding
    })
}

/// Reads a hash as alerts show it, whole: a beginning of one would fit entries that it was not taken from.
fn audit_hash(text: &str) -> Result<String, String> {
    let is_hash = text.len() == 64 && text.chars().all(|digit| digit.is_ascii_hexdigit());
    if !is_hash {
        return Err(
            "an audit hash has 64 hexadecimal digits; copy it whole from the alert".to_owned(),
        );
    }
    Ok(text.to_ascii_lowercase())
}
