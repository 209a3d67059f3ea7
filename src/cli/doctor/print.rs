//! How checks are printed. Their texts are escaped here, whatever they hold.

use std::io::Write;

use owo_colors::{OwoColorize, Style};
use serde_json::{Value, json};

use crate::cli::doctor::check::{Check, State};
use crate::output::escape::{for_json, for_terminal};

/// The longest that what was found is shown, in characters.
const LONGEST_FOUND: usize = 600;

/// The longest that a command is shown; one that sets a policy is long.
const LONGEST_MEND: usize = 2_000;

/// How many accounts are named to people; programs get all.
const MOST_ACCOUNTS: usize = 50;

/// The width of the state's column.
const WIDTH: usize = 11;

/// Prints `checks` for people, a line each, and one more for what mends it.
pub(super) fn lines(out: &mut impl Write, checks: &[Check]) -> std::io::Result<()> {
    for check in checks {
        let state = format!("{:WIDTH$}", check.state.word());
        writeln!(
            out,
            "{}  {}: {}",
            state.style(style(check.state)),
            for_terminal(&check.what, LONGEST_FOUND),
            for_terminal(&check.found, LONGEST_FOUND)
        )?;
        if check.accounts.len() > 1 {
            let shown: Vec<String> = check
                .accounts
                .iter()
                .take(MOST_ACCOUNTS)
                .map(|account| for_terminal(account, LONGEST_FOUND))
                .collect();
            let more = check.accounts.len().saturating_sub(MOST_ACCOUNTS);
            let more = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            writeln!(out, "{:WIDTH$}  accounts: {}{more}", "", shown.join(" "))?;
        }
        if let Some(mend) = &check.mend {
            let mend = for_terminal(mend, LONGEST_MEND);
            writeln!(out, "{:WIDTH$}  mend: {mend}", "")?;
        }
    }
    out.flush()
}

/// Prints how many checks came to what.
pub(super) fn summary_line(out: &mut impl Write, checks: &[Check]) -> std::io::Result<()> {
    writeln!(
        out,
        "{} checks: {} ok, {} with a warning, {} failed, {} not checked",
        checks.len(),
        count(checks, State::Ok),
        count(checks, State::Warning),
        count(checks, State::Failed),
        count(checks, State::NotChecked),
    )
}

/// Prints `checks` for programs.
pub(super) fn document(out: &mut impl Write, stack: &str, checks: &[Check]) -> std::io::Result<()> {
    let listed: Vec<Value> = checks
        .iter()
        .map(|check| {
            json!({
                "what": check.what,
                "state": check.state.code(),
                "found": check.found,
                "mend": check.mend,
                "accounts": check.accounts,
            })
        })
        .collect();
    let document = json!({"version": "1", "stack": stack, "checks": listed, "summary": {
        "ok": count(checks, State::Ok),
        "warning": count(checks, State::Warning),
        "failed": count(checks, State::Failed),
        "not_checked": count(checks, State::NotChecked),
    }});
    writeln!(out, "{}", for_json(&format!("{document:#}")))
}

fn count(checks: &[Check], state: State) -> usize {
    checks.iter().filter(|check| check.state == state).count()
}

fn style(state: State) -> Style {
    match state {
        State::Ok => Style::new().green(),
        State::Warning => Style::new().yellow(),
        State::Failed => Style::new().red().bold(),
        State::NotChecked => Style::new().magenta(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::hostile::first_unseen;
    use crate::output::testing::HOSTILE;

    fn printed(checks: &[Check]) -> String {
        let mut out = anstream::StripStream::new(Vec::new());
        lines(&mut out, checks).unwrap();
        String::from_utf8(out.into_inner()).unwrap()
    }

    #[test]
    fn a_check_is_one_line_and_its_cure_another_whatever_aws_answers() {
        for text in HOSTILE.iter() {
            let check = Check::failed(text, text, text).about(vec![text.clone(), text.clone()]);
            let shown = printed(&[check]);
            assert_eq!(shown.lines().count(), 3, "{shown}");
            for line in shown.lines() {
                // The indent is our own.
                assert_eq!(first_unseen(line.trim_start()), None, "{line:?}");
            }
        }
    }

    #[test]
    fn programs_get_every_account_and_people_the_first_ones() {
        let accounts: Vec<String> = (0..60).map(|number| format!("{number:012}")).collect();
        let check = Check::failed("x", "y", "z").about(accounts);
        assert!(printed(std::slice::from_ref(&check)).contains("000000000049 and 10 more"));
        let mut out = vec![];
        document(&mut out, "secondkey", &[check]).unwrap();
        let read: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(read["checks"][0]["accounts"].as_array().unwrap().len(), 60);
        assert_eq!(
            read["summary"],
            json!({"ok": 0, "warning": 0, "failed": 1, "not_checked": 0})
        );
    }
}
