//! What a scan says on stderr: how far it came, whom it looked at, what came of it, and what comes next.

use std::io::Write;

use crate::cli::again::again;
use crate::cli::scan::Args;
use crate::cli::scan::account::Scanned;
use crate::cli::scan::print::Results;
use crate::cli::scan::stop::Stop;
use crate::cli::source::file_name;
use crate::cli::{Exit, LONGEST};
use crate::detect::Timestamp;
use crate::detect::finding::{Finding, FindingStatus};
use crate::output::escape::for_terminal;
use crate::output::number::count;
use crate::output::standing::Standing;
use crate::output::time::{duration, readable};
use crate::pipeline::error::ServiceError;

/// Says how far the scan came, if it was stopped.
pub(super) fn say_stopped(stop: &Stop, scanned: &[Scanned]) -> anyhow::Result<Option<Exit>> {
    let gave_up = stop.gave_up();
    if gave_up.is_none() && !stop.is_interrupted() {
        return Ok(None);
    }
    let unfinished: Vec<String> = scanned
        .iter()
        .filter(|one| !one.is_through)
        .map(|one| shown(&one.account))
        .collect();
    if unfinished.is_empty() {
        // It was through already.
        return Ok(None);
    }
    let mut err = anstream::stderr().lock();
    if let Some(why) = &gave_up {
        writeln!(err, "secondkey: {}", shown(&why.to_string()))?;
    }
    writeln!(
        err,
        "The scan is not through. Run the same command again within a day, and it goes on where it stopped; \
         --restart begins anew."
    )?;
    writeln!(err, "Not through: account {}.", unfinished.join(", "))?;
    Ok(Some(match gave_up {
        Some(_) => Exit::Failure,
        None => Exit::Interrupted,
    }))
}

/// Says on stderr what was looked at and what came of it.
pub(super) fn say_summary(
    args: &Args,
    own: &str,
    results: &Results<'_>,
    failed: &[(String, ServiceError)],
) -> anyhow::Result<()> {
    let mut err = anstream::stderr().lock();
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
                "secondkey: account {account} was not looked into: {reason}"
            )?;
            continue;
        }
        for (user, failure) in &one.unchecked {
            let (user, failure) = (shown(user), shown(&failure.to_string()));
            writeln!(err, "secondkey: user {user} was not looked at: {failure}")?;
        }
        writeln!(err, "Account {account}: {}.", looked_at(one))?;
    }
    let took = duration(results.now - results.started_at);
    writeln!(
        err,
        "{}; took {took}.",
        counts(results.standings, since(results))
    )?;
    let unsettled: usize = results.scanned.iter().map(|one| one.unsettled).sum();
    if unsettled > 0 {
        writeln!(
            err,
            "What is said, or not said, of {unsettled} of the users may be out of date, for IAM is some seconds behind its \
             changes; scan again in a minute or two."
        )?;
    }
    writeln!(err, "Kept in {}.", shown(&file_name(args.db.clone())?))?;
    say_next(&mut err, args, own, results.standings)
}

/// Says what may be done about the first open finding. The commands work in the account `own`, whose credentials are at hand.
fn say_next(
    out: &mut impl Write,
    args: &Args,
    own: &str,
    standings: &[Standing],
) -> anyhow::Result<()> {
    let is_open = |finding: &&Finding| finding.status == FindingStatus::Open;
    let findings = standings.iter().map(|standing| &standing.alert.finding);
    let Some(first) = findings
        .filter(is_open)
        .min_by_key(|finding| finding.user().is_root())
    else {
        return Ok(());
    };
    let account = first.user().account();
    let place = if account == own {
        String::new()
    } else {
        format!(", with credentials of account {}", shown(account))
    };
    let invocation = args.invocation(own).in_account(account);
    let command = |words: &[&str], name: &str| again(words, name, &invocation);
    if first.user().is_root() {
        writeln!(
            out,
            "Next, to see all of root{place}:\n  {}",
            command(&["check"], "root")
        )?;
        return Ok(());
    }
    writeln!(
        out,
        "Next, to see all of a user, and how far the rotation is{place}:\n  {}\n  {}",
        command(&["check"], &first.display_name),
        command(&["rotate", "status"], &first.display_name)
    )?;
    Ok(())
}

/// Whom a scan has looked at, in words.
fn looked_at(scanned: &Scanned) -> String {
    let seen = scanned.users - scanned.unchecked.len();
    let users = match seen {
        1 => "1 user".to_owned(),
        many => format!("{many} users"),
    };
    let how = if scanned.by_report {
        "that the credential report shows with two active keys, or whose findings are open"
    } else {
        "by the listing of each one's keys, root among them"
    };
    let before = match scanned.resumed {
        0 => String::new(),
        some => format!("; {some} of them before this run"),
    };
    format!("looked at {users} {how}{before}")
}

/// The scan that all of this is compared with, if there was one for each account.
fn since(results: &Results<'_>) -> Option<Timestamp> {
    let former = results.scanned.iter().map(|one| one.former_finished_at);
    former.collect::<Option<Vec<_>>>()?.into_iter().min()
}

fn counts(standings: &[Standing], since: Option<Timestamp>) -> String {
    let of = |change: &str| {
        standings
            .iter()
            .filter(|standing| standing.change() == change)
            .count()
    };
    let exempt = standings
        .iter()
        .filter(|standing| standing.alert.finding.status == FindingStatus::Suppressed)
        .count();
    let exempt = match exempt {
        0 => String::new(),
        some => format!(" ({some} exempt)"),
    };
    match since {
        None => format!("{}{exempt}", count(of("new") + of("open"), "finding")),
        Some(at) => format!(
            "{} new, {} open still{exempt}, {} closed since {}",
            of("new"),
            of("open"),
            of("closed"),
            readable(at)
        ),
    }
}

fn shown(text: &str) -> String {
    for_terminal(text, LONGEST)
}
