//! `secondkey verify`: checks whether audit trails are intact.

use std::collections::BTreeSet;
use std::io::Write;

use crate::cli::Exit;
use crate::cli::MAX_CHARS;
use crate::cli::checked_trail::{CheckedTrail, checked_trail};
use crate::cli::history::find_user;
use crate::cli::store_args::ReadOnlyStoreArgs;
use crate::cli::streams::stdout;
use crate::detect::trail::audit::{ChainHead, place_of};
use crate::output::escape::for_terminal;
use crate::output::number::{count, entry_count};

/// Check the hash chains of all audit trails, or of one user's, and report the first broken entry
///
/// Each entry contains the hash of the entry before it, and the user's record contains the last hash.
/// So an entry that was changed, removed, inserted or cut off breaks the chain. An attacker who can
/// write both the trail and the record can still rewrite or delete the end of the trail. To detect that
/// too, use --head: every alert contains the hash of its audit entry.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  secondkey verify --db findings.db
  secondkey verify alice --table secondkey
  secondkey verify alice --table secondkey \\
    --head 3f1c9a8e5b7d2046c1e8f3a97b60d5524e8c1f7a0b93d6e2584cf1a7930be6d2

Exit codes: 0 every trail is intact and has every HASH, 1 a trail is broken or could not be read, or a \
HASH is missing, 2 usage error.")]
pub(crate) struct Args {
    /// Check only this user: NAME or ACCOUNT/NAME, `root` for root
    user: Option<String>,

    #[command(flatten)]
    source: ReadOnlyStoreArgs,

    /// The audit hash of an alert: its entry must still be in a trail. Can be repeated
    #[arg(long = "head", value_name = "HASH", value_parser = audit_hash)]
    heads: Vec<String>,
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let store = args.source.open().await?;
    let users = match &args.user {
        Some(name) => vec![find_user(store.as_ref(), name, &args.source).await?],
        None => store.users().await?,
    };
    let mut out = stdout();
    let (mut trails, mut entries_checked, mut broken) = (0, 0, 0);
    let mut missing: BTreeSet<&str> = args.heads.iter().map(String::as_str).collect();
    for user in &users {
        let shown = for_terminal(&user.to_string(), MAX_CHARS);
        let CheckedTrail {
            entries,
            head,
            listed_at: _,
            checked,
        } = match checked_trail(store.as_ref(), user).await {
            Ok(trail) => trail,
            Err(error) => {
                trails += 1;
                broken += 1;
                let error = for_terminal(&error.to_string(), MAX_CHARS);
                writeln!(out, "UNREAD  {shown}: {error}")?;
                continue;
            }
        };
        if args.user.is_none() && entries.is_empty() && head == ChainHead::default() {
            // The user has a record, but nothing was ever written to its trail.
            continue;
        }
        trails += 1;
        entries_checked += entries.len();
        match checked {
            Ok(()) => writeln!(out, "intact  {shown}: {}", entry_count(entries.len()))?,
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
        if missing.is_empty() {
            continue;
        }
        // When a replay of older logs replaces entries, the store keeps the old ones with their chain.
        for entries in store.replaced(user).await? {
            for hash in missing.clone() {
                if let Some(place) = place_of(user, &entries, hash) {
                    missing.remove(hash);
                    writeln!(
                        out,
                        "held    {shown}: entry {place}, head {hash}, until a replay of older logs \
                         rewrote the trail; the old entries are kept"
                    )?;
                }
            }
        }
    }
    let nowhere = match (&args.user, &users[..]) {
        (Some(_), [user]) => format!(
            "the trail of {} no longer",
            for_terminal(&user.to_string(), MAX_CHARS)
        ),
        _ => "no trail".to_owned(),
    };
    for hash in &missing {
        writeln!(
            out,
            "MISSING head {hash}: {nowhere} has an entry with this hash; the trail was rewritten or \
             cut after the alert was sent"
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

/// Parses a full hash. A prefix could match an entry that it was not taken from.
fn audit_hash(text: &str) -> Result<String, String> {
    let is_hash = text.len() == 64 && text.chars().all(|digit| digit.is_ascii_hexdigit());
    if !is_hash {
        return Err(
            "an audit hash has 64 hexadecimal digits; copy all of it from the alert".to_owned(),
        );
    }
    Ok(text.to_ascii_lowercase())
}
