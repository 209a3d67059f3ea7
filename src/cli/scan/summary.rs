//! The summary of a scan on stderr: what was checked, the result, and the commands to run next.

use std::io::Write;

use crate::cli::finding_order::by_urgency;
use crate::cli::next_command::command_for_user;
use crate::cli::scan::Args;
use crate::cli::scan::account_scan::AccountScan;
use crate::cli::scan::print::Results;
use crate::cli::scan::stop::Stop;
use crate::cli::selection::print_hidden;
use crate::cli::store_args::file_name;
use crate::cli::streams::{notes, stderr};
use crate::cli::{Exit, MAX_CHARS};
use crate::detect::Timestamp;
use crate::detect::findings::finding::{Finding, FindingStatus};
use crate::output::escape::for_terminal;
use crate::output::number::count;
use crate::output::snapshot::FindingSnapshot;
use crate::output::time::{duration, readable};
use crate::pipeline::error::ServiceError;

/// Prints which accounts are not finished, if the scan was stopped.
pub(super) fn print_stopped(stop: &Stop, scanned: &[AccountScan]) -> anyhow::Result<Option<Exit>> {
    let gave_up = stop.credentials_error();
    if gave_up.is_none() && !stop.is_interrupted() {
        return Ok(None);
    }
    let unfinished: Vec<String> = scanned
        .iter()
        .filter(|one| !one.is_complete)
        .map(|one| shown(&one.account))
        .collect();
    if unfinished.is_empty() {
        // The scan had already finished.
        return Ok(None);
    }
    let mut err = stderr();
    if let Some(why) = &gave_up {
        writeln!(err, "secondkey: {}", shown(&why.to_string()))?;
    }
    writeln!(
        err,
        "The scan did not finish. Run the same command again within a day to continue where it stopped; \
         --restart starts over."
    )?;
    writeln!(err, "Not finished: account {}.", unfinished.join(", "))?;
    Ok(Some(match gave_up {
        Some(_) => Exit::Failure,
        None => Exit::Interrupted,
    }))
}

/// Prints on stderr what was checked, and the result.
pub(super) fn print_summary(
    args: &Args,
    own: &str,
    results: &Results<'_>,
    failed: &[(String, ServiceError)],
) -> anyhow::Result<()> {
    let (mut err, mut notes) = (stderr(), notes());
    for (account, failure) in failed {
        let (account, failure) = (shown(account), shown(&failure.to_string()));
        writeln!(err, "secondkey: account {account}: {failure}")?;
    }
    for one in results.scanned {
        let account = shown(&one.account);
        if let Some(reason) = &one.refused {
            let reason = shown(reason);
            writeln!(
                err,
                "secondkey: account {account} could not be scanned: {reason}"
            )?;
            continue;
        }
        for (user, failure) in &one.unchecked {
            let (user, failure) = (shown(user), shown(&failure.to_string()));
            writeln!(
                err,
                "secondkey: user {user} could not be checked: {failure}"
            )?;
        }
        writeln!(notes, "Account {account}: {}.", looked_at(one))?;
    }
    let took = duration(results.now - results.started_at);
    writeln!(
        notes,
        "{}; took {took}.",
        counts(results.snapshots, since(results))
    )?;
    print_hidden(&mut notes, results.hidden)?;
    let unsettled: usize = results.scanned.iter().map(|one| one.unsettled).sum();
    if unsettled > 0 {
        writeln!(
            notes,
            "The result may be out of date for {}, because IAM takes some seconds to show a change; scan again \
             in a minute or two.",
            count(unsettled, "user")
        )?;
    }
    writeln!(notes, "Saved in {}.", shown(&file_name(args.db.clone())?))?;
    print_next_command(&mut notes, args, own, results.snapshots)
}

/// Suggests commands for the worst open finding. They need credentials for its account, which may not
/// be the caller's account `own`.
fn print_next_command(
    out: &mut impl Write,
    args: &Args,
    own: &str,
    snapshots: &[FindingSnapshot],
) -> anyhow::Result<()> {
    let is_open = |finding: &&Finding| finding.status == FindingStatus::Open;
    let findings = snapshots.iter().map(|snapshot| &snapshot.alert.finding);
    let Some(worst) = findings
        .filter(is_open)
        .min_by(|one, other| by_urgency(one, other))
    else {
        return Ok(());
    };
    let account = worst.user().account();
    let place = if account == own {
        String::new()
    } else {
        format!(" (with credentials for account {})", shown(account))
    };
    let invocation = args.invocation(own).in_account(account);
    let command = |words: &[&str], name: &str| command_for_user(words, name, &invocation);
    if worst.user().is_root() {
        writeln!(
            out,
            "Next, to see the details of the worst finding, which is root's{place}:\n  {}",
            command(&["check"], "root")
        )?;
        return Ok(());
    }
    writeln!(
        out,
        "Next, to see the details of the worst finding, and the state of the rotation{place}:\n  {}\n  {}",
        command(&["check"], &worst.display_name),
        command(&["rotate", "status"], &worst.display_name)
    )?;
    Ok(())
}

/// The users that were checked, as text.
fn looked_at(scanned: &AccountScan) -> String {
    let seen = scanned.users - scanned.unchecked.len();
    let users = match seen {
        1 => "1 user".to_owned(),
        many => format!("{many} users"),
    };
    let how = if scanned.by_report {
        " with two active keys in the credential report or with an open finding"
    } else {
        ", including root, by listing their keys"
    };
    let before = match scanned.resumed {
        0 => String::new(),
        some => format!("; {some} of them in an earlier run"),
    };
    format!("checked {users}{how}{before}")
}

/// The time of the previous scan, if there was one for each account; the earliest if there are several.
fn since(results: &Results<'_>) -> Option<Timestamp> {
    let former = results.scanned.iter().map(|one| one.previous_finished_at);
    former.collect::<Option<Vec<_>>>()?.into_iter().min()
}

fn counts(snapshots: &[FindingSnapshot], since: Option<Timestamp>) -> String {
    let of = |change: &str| {
        snapshots
            .iter()
            .filter(|snapshot| snapshot.change() == change)
            .count()
    };
    let suppressed = snapshots
        .iter()
        .filter(|snapshot| snapshot.alert.finding.status == FindingStatus::Suppressed)
        .count();
    let suppressed = match suppressed {
        0 => String::new(),
        some => format!(" ({some} suppressed)"),
    };
    match since {
        None => format!("{}{suppressed}", count(of("new") + of("open"), "finding")),
        Some(at) => format!(
            "{} new, {} still open{suppressed}, {} closed since {}",
            of("new"),
            of("open"),
            of("closed"),
            readable(at)
        ),
    }
}

fn shown(text: &str) -> String {
    for_terminal(text, MAX_CHARS)
}
