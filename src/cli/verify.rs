//! `secondkey verify`: checks whether audit trails are intact.

use std::collections::BTreeSet;
use std::io::Write;

use clap::ValueEnum;

use crate::cli::Exit;
use crate::cli::MAX_CHARS;
use crate::cli::checked_trail::{CheckedTrail, checked_trail};
use crate::cli::history::find_user;
use crate::cli::store_args::ReadOnlyStoreArgs;
use crate::cli::streams::stdout;
use crate::detect::trail::audit::{AuditEntry, ChainHead, place_of};
use crate::detect::user::UserId;
use crate::output::escape::{for_json, for_terminal};
use crate::output::json_v1::runs::{CheckedTrailV1, HeadV1, TrailStateV1, VerificationV1};
use crate::output::number::{count, entry_count};
use crate::pipeline::finding_store::FindingReader;

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
  secondkey verify --format json | jq '.trails[] | select(.state != \"intact\")'
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

    /// The output format
    #[arg(long, value_enum, default_value_t = VerifyFormat::Table)]
    format: VerifyFormat,
}

/// The output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum VerifyFormat {
    /// Text for people
    Table,
    /// One JSON document
    Json,
}

/// Runs the command.
pub(crate) async fn run(args: Args) -> anyhow::Result<Exit> {
    let store = args.source.open().await?;
    let users = match &args.user {
        Some(name) => vec![find_user(store.as_ref(), name, &args.source).await?],
        None => store.users().await?,
    };
    let mut out = stdout();
    let mut trails = vec![];
    let mut missing: BTreeSet<&str> = args.heads.iter().map(String::as_str).collect();
    for user in &users {
        let Some(trail) = check(store.as_ref(), user, args.user.is_some(), &mut missing).await?
        else {
            continue;
        };
        if args.format == VerifyFormat::Table {
            print_trail(&mut out, user, &trail)?;
        }
        trails.push(trail);
    }
    let broken = trails
        .iter()
        .filter(|trail| trail.state != TrailStateV1::Intact)
        .count();
    let verification = VerificationV1 {
        version: "1",
        intact: broken == 0 && missing.is_empty(),
        entries: trails.iter().filter_map(|trail| trail.entries).sum(),
        broken,
        missing_heads: missing.into_iter().map(str::to_owned).collect(),
        trails,
    };
    match args.format {
        VerifyFormat::Table => {
            let only = args.user.as_ref().and(users.first());
            print_ending(&mut out, &verification, only)?;
        }
        VerifyFormat::Json => {
            let document = serde_json::to_value(&verification)?;
            writeln!(out, "{}", for_json(&format!("{document:#}")))?;
        }
    }
    Ok(if verification.intact {
        Exit::NoFinding
    } else {
        Exit::Failure
    })
}

/// Checks the trail of `user`, and takes the hashes that it has out of `missing`. `None` if nothing
/// was ever written to the trail, unless the user `is_named`.
async fn check(
    store: &dyn FindingReader,
    user: &UserId,
    is_named: bool,
    missing: &mut BTreeSet<&str>,
) -> anyhow::Result<Option<CheckedTrailV1>> {
    let mut trail = CheckedTrailV1 {
        account: user.account().to_owned(),
        user: user.name().to_owned(),
        state: TrailStateV1::Intact,
        entries: None,
        problem: None,
        heads: vec![],
    };
    let CheckedTrail {
        entries,
        head,
        checked,
        listed_at: _,
    } = match checked_trail(store, user).await {
        Ok(checked) => checked,
        Err(error) => {
            trail.state = TrailStateV1::Unread;
            trail.problem = Some(error.to_string());
            return Ok(Some(trail));
        }
    };
    if !is_named && entries.is_empty() && head == ChainHead::default() {
        return Ok(None);
    }
    trail.entries = Some(entries.len());
    if let Err(chain_break) = checked {
        trail.state = TrailStateV1::Broken;
        trail.problem = Some(chain_break.to_string());
    }
    trail.heads.extend(found(user, &entries, missing, false));
    if !missing.is_empty() {
        // When a replay of older logs replaces entries, the store keeps the old ones with their chain.
        for entries in store.replaced(user).await? {
            trail.heads.extend(found(user, &entries, missing, true));
        }
    }
    Ok(Some(trail))
}

/// The hashes of `missing` that `entries` have. They are no longer missing.
fn found(
    user: &UserId,
    entries: &[AuditEntry],
    missing: &mut BTreeSet<&str>,
    replaced: bool,
) -> Vec<HeadV1> {
    let mut heads = vec![];
    missing.retain(|hash| {
        let place = place_of(user, entries, hash);
        heads.extend(place.map(|entry| HeadV1 {
            hash: (*hash).to_owned(),
            entry,
            replaced,
        }));
        place.is_none()
    });
    heads
}

fn print_trail(out: &mut impl Write, user: &UserId, trail: &CheckedTrailV1) -> std::io::Result<()> {
    let shown = for_terminal(&user.to_string(), MAX_CHARS);
    let problem = trail.problem.as_deref().unwrap_or_default();
    let problem = for_terminal(problem, MAX_CHARS);
    match trail.state {
        TrailStateV1::Intact => {
            let entries = entry_count(trail.entries.unwrap_or_default());
            writeln!(out, "intact  {shown}: {entries}")?;
        }
        TrailStateV1::Broken => writeln!(out, "BROKEN  {shown}: {problem}")?,
        TrailStateV1::Unread => writeln!(out, "UNREAD  {shown}: {problem}")?,
    }
    for HeadV1 {
        hash,
        entry,
        replaced,
    } in &trail.heads
    {
        if *replaced {
            writeln!(
                out,
                "held    {shown}: entry {entry}, head {hash}, until a replay of older logs rewrote \
                 the trail; the old entries are kept"
            )?;
        } else {
            writeln!(out, "holds   {shown}: entry {entry}, head {hash}")?;
        }
    }
    Ok(())
}

/// Prints the missing hashes and the totals. `only` is the user whose trail alone was checked.
fn print_ending(
    out: &mut impl Write,
    verification: &VerificationV1,
    only: Option<&UserId>,
) -> std::io::Result<()> {
    let nowhere = only.map_or("no trail".to_owned(), |user| {
        let user = for_terminal(&user.to_string(), MAX_CHARS);
        format!("the trail of {user} no longer")
    });
    for hash in &verification.missing_heads {
        writeln!(
            out,
            "MISSING head {hash}: {nowhere} has an entry with this hash; the trail was rewritten or \
             cut after the alert was sent"
        )?;
    }
    writeln!(
        out,
        "{}, {}, {} broken or unreadable",
        count(verification.trails.len(), "trail"),
        entry_count(verification.entries),
        verification.broken
    )
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
