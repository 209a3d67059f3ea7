//! `secondkey exempt add`.

use std::io::Write;

use anyhow::ensure;
use chrono::{NaiveDate, TimeDelta, Utc};

use crate::cli::Exit;
use crate::cli::MAX_CHARS;
use crate::cli::caller::Caller;
use crate::cli::exempt::{CommonArgs, new_id};
use crate::cli::finding_lines;
use crate::cli::finding_order::by_urgency;
use crate::cli::judging::judge;
use crate::cli::streams::{notes, stdout};
use crate::cli::table::width;
use crate::cli::time_args::{duration, point};
use crate::cli::user_name::UserName;
use crate::detect::Timestamp;
use crate::detect::decision::exemption::{Exemption, exemption_for};
use crate::detect::decision::policy::Policy;
use crate::detect::findings::finding::{Finding, FindingStatus};
use crate::output::escape::for_terminal;
use crate::output::time::readable;

/// Exempt users, for a reason and until a date
///
/// An exemption applies only if the actor that activated the second key matches --actor. If that actor
/// is not known, only `*` matches. The user pattern `*` does not include root; `root` means root, and
/// not an IAM user of that name.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  secondkey exempt add alice --reason 'TICKET-1: new laptop' --until 12h
  secondkey exempt add 'ci-*' --reason 'build farm moves' --until 2026-12-31

Exit codes: 0 success, 1 failure, 2 usage error.")]
pub(super) struct Args {
    /// The users, as NAME or ACCOUNT/NAME. The name may contain `*` and `?`, as in a shell
    #[arg(value_name = "USER_PATTERN")]
    users: UserName,

    /// The reason
    #[arg(long, value_name = "TEXT")]
    reason: String,

    /// The end, within 400 days: a date (end of that day, UTC), a time (2026-12-31T12:00:00Z), or a
    /// duration from now (2w, 30d, 12h)
    #[arg(long, value_name = "DATE|DURATION", value_parser = until, allow_hyphen_values = true)]
    until: ExemptionEnd,

    /// A pattern for the ARN of the actor that activated the second key
    #[arg(long, value_name = "PATTERN", default_value = "*")]
    actor: String,

    /// The person or team that is responsible for the exemption [default: your ARN]
    #[arg(long, value_name = "TEXT")]
    owner: Option<String>,

    #[command(flatten)]
    common: CommonArgs,
}

/// When an exemption ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ExemptionEnd {
    At(Timestamp),
    After(TimeDelta),
}

/// Runs the step.
pub(super) async fn run(args: Args) -> anyhow::Result<Exit> {
    let (account, owner) = match (named_account(&args)?, &args.owner) {
        (Some(account), Some(owner)) => (account.to_owned(), owner.clone()),
        (account, owner) => {
            let caller = Caller::ask(&args.common.connection.config().await?).await?;
            (
                account.map_or(caller.account, str::to_owned),
                owner.clone().unwrap_or(caller.arn),
            )
        }
    };
    let now = Utc::now();
    let exemption = Exemption {
        id: new_id(&args.users.name, now),
        account,
        user_pattern: args.users.pattern(),
        actor_pattern: args.actor.clone(),
        owner,
        reason: args.reason.clone(),
        created_at: now,
        until: match args.until {
            ExemptionEnd::At(at) => at,
            ExemptionEnd::After(after) => {
                now.checked_add_signed(after).unwrap_or(Timestamp::MAX_UTC)
            }
        },
    };
    exemption.check()?;
    let store = args.common.which.open_by(&args.common.connection).await?;
    let mut hidden = store.reader().findings(FindingStatus::Open).await?;
    hidden.retain(|finding| covers(&exemption, finding, now));
    store.reader().put_exemption(&exemption).await?;

    if is_wide(&exemption.user_pattern) {
        writeln!(
            notes(),
            "secondkey: warning: this exempts every user in account {}; prefer a narrower pattern",
            for_terminal(&exemption.account, MAX_CHARS)
        )?;
    }
    let mut out = stdout();
    writeln!(
        out,
        "Exemption {} in account {}, until {}: users {}, actors {}, owner {}.",
        for_terminal(&exemption.id, MAX_CHARS),
        for_terminal(&exemption.account, MAX_CHARS),
        readable(exemption.until),
        for_terminal(&exemption.user_pattern, MAX_CHARS),
        for_terminal(&exemption.actor_pattern, MAX_CHARS),
        for_terminal(&exemption.owner, MAX_CHARS)
    )?;
    if hidden.is_empty() {
        writeln!(out, "It suppresses no open finding at the moment.")?;
    } else {
        writeln!(
            out,
            "It suppresses {} open {}; {}.",
            hidden.len(),
            if hidden.len() == 1 {
                "finding"
            } else {
                "findings"
            },
            args.common.takes_effect()
        )?;
        hidden.sort_by(by_urgency);
        let window = Policy::default().rotation_window;
        let hidden = judge(store.reader(), hidden, window, now).await?;
        finding_lines::write(&mut out, &hidden, width())?;
    }
    Ok(Exit::NoFinding)
}

/// The account in `ACCOUNT/NAME` or in `--account`, if one was named.
fn named_account(args: &Args) -> anyhow::Result<Option<&str>> {
    let (typed, option) = (&args.users.account, &args.common.account);
    if let (Some(typed), Some(option)) = (typed, option) {
        ensure!(
            typed == option,
            "`{typed}/{}` and --account `{option}` are different accounts; name only one",
            args.users.name
        );
    }
    Ok(typed.as_deref().or(option.as_deref()))
}

/// Whether `exemption` covers `finding`, by the actors that the finding knows.
fn covers(exemption: &Exemption, finding: &Finding, now: Timestamp) -> bool {
    exemption_for([exemption], finding.user(), &finding.activators(), now).is_some()
}

/// Whether `pattern` matches every name.
fn is_wide(pattern: &str) -> bool {
    let is_wild = |character| matches!(character, '*' | '?');
    pattern.contains('*') && pattern.chars().all(is_wild)
}

/// Parses the end of an exemption: a date (its end), a time, or a duration from now.
fn until(text: &str) -> Result<ExemptionEnd, String> {
    let end_of_day = |day: NaiveDate| day.succ_opt()?.and_hms_opt(0, 0, 0);
    let at = || Some(ExemptionEnd::At(point(text, end_of_day)?));
    let end = duration(text).map(ExemptionEnd::After).or_else(at).ok_or(
        "use a date (2026-12-31), a time (2026-12-31T12:00:00Z), or a duration (2w, 30d, 12h)",
    )?;
    let has_passed = match end {
        ExemptionEnd::At(at) => at <= Utc::now(),
        ExemptionEnd::After(after) => after <= TimeDelta::zero(),
    };
    if has_passed {
        return Err("an exemption ends in the future; name a later end".to_owned());
    }
    Ok(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_day_a_time_or_a_duration() {
        let at = |text: &str| ExemptionEnd::At(text.parse().unwrap());
        for (text, expected) in [
            ("2w", ExemptionEnd::After(TimeDelta::days(14))),
            ("30d", ExemptionEnd::After(TimeDelta::days(30))),
            ("12h", ExemptionEnd::After(TimeDelta::hours(12))),
            ("2926-12-31", at("2927-01-01T00:00:00Z")),
            ("2926-12-31T12:00:00Z", at("2926-12-31T12:00:00Z")),
            ("2926-12-31T12:00:00+02:00", at("2926-12-31T10:00:00Z")),
        ] {
            assert_eq!(until(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn an_end_in_the_past_is_refused_like_an_unreadable_one() {
        for text in [
            "",
            "soon",
            "-1d",
            "1y",
            "31.12.2926",
            "2926-13-01",
            "d",
            "99999999999d",
        ] {
            let error = until(text).unwrap_err();
            assert!(error.starts_with("use a date"), "{text}: {error}");
        }
        for text in ["2020-01-01", "2020-01-01T12:00:00Z", "0d", "0w"] {
            let error = until(text).unwrap_err();
            assert!(error.contains("ends in the future"), "{text}: {error}");
        }
    }

    #[test]
    fn a_pattern_of_stars_matches_every_name() {
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
