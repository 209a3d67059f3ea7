//! `secondkey exempt add`.

use std::io::Write;

use chrono::{NaiveDate, TimeDelta, Utc};

use crate::cli::Exit;
use crate::cli::LONGEST;
use crate::cli::caller::Caller;
use crate::cli::exempt::{Common, new_id};
use crate::cli::table;
use crate::detect::Timestamp;
use crate::detect::exemption::{Exemption, exemption_for};
use crate::detect::finding::{Finding, FindingStatus};
use crate::detect::policy::Policy;
use crate::output::escape::for_terminal;
use crate::output::time::readable;

/// Exempt users, for a reason and until a date
///
/// The second key must have been made active by somebody whose ARN fits the actor pattern; only `*` fits somebody whom no
/// event told of. Root is not among the users of `*`; its name is `<root_account>`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  secondkey exempt add alice --reason 'TICKET-1: moves to another laptop' --until 12h
  secondkey exempt add 'ci-*' --reason 'build farm moves' --until 2026-12-31 --owner 'platform team'

Exit codes: 0 done, 1 failure, 2 wrong usage.")]
pub(super) struct Args {
    /// Which users, by name; `*` and `?` stand for what they do in a shell
    #[arg(value_name = "USER_PATTERN")]
    users: String,

    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,

    /// Until when: a date (to the end of that day, UTC), a time (2026-12-31T12:00:00Z), or how long from now (30d, 12h);
    /// within 400 days
    #[arg(long, value_name = "DATE|DURATION", value_parser = until)]
    until: Until,

    /// Who may have made the second key active: a pattern of ARNs
    #[arg(long, value_name = "PATTERN", default_value = "*")]
    actor: String,

    /// Who answers for it [default: your ARN]
    #[arg(long, value_name = "TEXT")]
    owner: Option<String>,

    #[command(flatten)]
    common: Common,
}

/// When an exemption ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    At(Timestamp),
    After(TimeDelta),
}

/// Runs the step.
pub(super) async fn run(args: Args) -> anyhow::Result<Exit> {
    let (account, owner) = match (&args.common.account, &args.owner) {
        (Some(account), Some(owner)) => (account.clone(), owner.clone()),
        (account, owner) => {
            let caller = Caller::ask(&args.common.connection.config().await).await?;
            (
                account.clone().unwrap_or(caller.account),
                owner.clone().unwrap_or(caller.arn),
            )
        }
    };
    let now = Utc::now();
    let exemption = Exemption {
        id: new_id(&args.users, now),
        account,
        user_pattern: args.users.clone(),
        actor_pattern: args.actor.clone(),
        owner,
        reason: args.reason.clone(),
        created_at: now,
        until: match args.until {
            Until::At(at) => at,
            Until::After(after) => now.checked_add_signed(after).unwrap_or(Timestamp::MAX_UTC),
        },
    };
    exemption.check()?;
    let store = args.common.which.open_by(&args.common.connection).await?;
    let mut hidden = store.reader().findings(FindingStatus::Open).await?;
    hidden.retain(|finding| hides(&exemption, finding, now));
    store.reader().put_exemption(&exemption).await?;

    if is_wide(&exemption.user_pattern) {
        // Whoever meant it has lost nothing by reading it.
        writeln!(
            anstream::stderr(),
            "secondkey: warning: this exempts every user of account {}; better name some",
            for_terminal(&exemption.account, LONGEST)
        )?;
    }
    let mut out = anstream::stdout().lock();
    writeln!(
        out,
        "Exemption {} of account {}, until {}: users {}, made by {}; {} answers for it.",
        for_terminal(&exemption.id, LONGEST),
        for_terminal(&exemption.account, LONGEST),
        readable(exemption.until),
        for_terminal(&exemption.user_pattern, LONGEST),
        for_terminal(&exemption.actor_pattern, LONGEST),
        for_terminal(&exemption.owner, LONGEST)
    )?;
    if hidden.is_empty() {
        writeln!(out, "It hides no open finding now.")?;
    } else {
        writeln!(
            out,
            "It hides {} open {}; {}.",
            hidden.len(),
            if hidden.len() == 1 {
                "finding"
            } else {
                "findings"
            },
            args.common.effect()
        )?;
        table::sort(&mut hidden);
        table::print(&mut out, &hidden, Policy::default().rotation_window, now)?;
    }
    Ok(Exit::NoFinding)
}

/// Whether `exemption` covers `finding`, as far as the finding tells who made its keys active.
fn hides(exemption: &Exemption, finding: &Finding, now: Timestamp) -> bool {
    exemption_for([exemption], finding.user(), &finding.makers(), now).is_some()
}

/// Whether `pattern` fits every name.
fn is_wide(pattern: &str) -> bool {
    let is_wild = |character| matches!(character, '*' | '?');
    pattern.contains('*') && pattern.chars().all(is_wild)
}

/// Reads `2026-12-31`, an RFC 3339 time, `30d` or `12h`.
fn until(text: &str) -> Result<Until, String> {
    let number = |unit: char| text.strip_suffix(unit)?.parse::<u32>().ok();
    if let Some(days) = number('d') {
        return Ok(Until::After(TimeDelta::days(days.into())));
    }
    if let Some(hours) = number('h') {
        return Ok(Until::After(TimeDelta::hours(hours.into())));
    }
    if let Ok(day) = text.parse::<NaiveDate>()
        && let Some(end) = day.succ_opt().and_then(|next| next.and_hms_opt(0, 0, 0))
    {
        return Ok(Until::At(end.and_utc()));
    }
    chrono::DateTime::parse_from_rfc3339(text)
        .map(|at| Until::At(at.to_utc()))
        .map_err(|_| {
            "give a date (2026-12-31), a time (2026-12-31T12:00:00Z), or how long (30d, 12h)"
                .to_owned()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_day_a_time_or_a_duration() {
        let at = |text: &str| Until::At(text.parse().unwrap());
        for (text, expected) in [
            ("30d", Until::After(TimeDelta::days(30))),
            ("12h", Until::After(TimeDelta::hours(12))),
            ("2026-12-31", at("2027-01-01T00:00:00Z")),
            ("2026-12-31T12:00:00Z", at("2026-12-31T12:00:00Z")),
            ("2026-12-31T12:00:00+02:00", at("2026-12-31T10:00:00Z")),
        ] {
            assert_eq!(until(text), Ok(expected), "{text}");
        }
        for text in [
            "",
            "soon",
            "-1d",
            "1w",
            "31.12.2026",
            "2026-13-01",
            "d",
            "99999999999d",
        ] {
            assert!(until(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_pattern_of_stars_fits_everybody() {
        for (pattern, expected) in [
            ("*", true),
            ("**", true),
            ("?*", true),
            ("a*", false),
            ("?", false),
            ("", false),
        ] {
            assert_eq!(is_wide(pattern), expected, "{pattern}");
        }
    }
}
