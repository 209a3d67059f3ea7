//! Prints checks, and escapes their texts.

use std::io::Write;

use owo_colors::{OwoColorize, Style};
use serde_json::{Value, json};

use crate::cli::doctor::check_result::{CheckResult, CheckStatus};
use crate::output::escape::{for_json, for_terminal};

/// The longest finding of a check, in characters.
const MAX_FOUND_CHARS: usize = 600;

/// The longest fix, in characters. A command that sets a policy is long.
const MAX_FIX_CHARS: usize = 2_000;

/// How many accounts are named in text. JSON has all of them.
const MAX_ACCOUNTS: usize = 50;

/// The width of the state column.
const WIDTH: usize = 11;

/// Prints `checks` as text, one line each, and another line for the fix.
pub(super) fn lines(out: &mut impl Write, checks: &[CheckResult]) -> std::io::Result<()> {
    for check in checks {
        let state = format!("{:WIDTH$}", check.state.word());
        writeln!(
            out,
            "{}  {}: {}",
            state.style(style(check.state)),
            for_terminal(&check.subject, MAX_FOUND_CHARS),
            for_terminal(&check.found, MAX_FOUND_CHARS)
        )?;
        if check.accounts.len() > 1 {
            let shown: Vec<String> = check
                .accounts
                .iter()
                .take(MAX_ACCOUNTS)
                .map(|account| for_terminal(account, MAX_FOUND_CHARS))
                .collect();
            let more = check.accounts.len().saturating_sub(MAX_ACCOUNTS);
            let more = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            writeln!(out, "{:WIDTH$}  accounts: {}{more}", "", shown.join(" "))?;
        }
        if let Some(fix) = &check.fix {
            let fix = for_terminal(fix, MAX_FIX_CHARS);
            writeln!(out, "{:WIDTH$}  fix: {fix}", "")?;
        }
    }
    out.flush()
}

/// Prints the number of checks in each state.
pub(super) fn summary_line(out: &mut impl Write, checks: &[CheckResult]) -> std::io::Result<()> {
    writeln!(
        out,
        "{} checks: {} ok, {} with a warning, {} failed, {} not checked",
        checks.len(),
        count(checks, CheckStatus::Ok),
        count(checks, CheckStatus::Warning),
        count(checks, CheckStatus::Failed),
        count(checks, CheckStatus::NotChecked),
    )
}

/// Prints `checks` as JSON.
pub(super) fn document(
    out: &mut impl Write,
    stack: &str,
    checks: &[CheckResult],
) -> std::io::Result<()> {
    let listed: Vec<Value> = checks
        .iter()
        .map(|check| {
            json!({
                "what": check.subject,
                "state": check.state.code(),
                "found": check.found,
                "mend": check.fix,
                "accounts": check.accounts,
            })
        })
        .collect();
    let document = json!({"version": "1", "stack": stack, "checks": listed, "summary": {
        "ok": count(checks, CheckStatus::Ok),
        "warning": count(checks, CheckStatus::Warning),
        "failed": count(checks, CheckStatus::Failed),
        "not_checked": count(checks, CheckStatus::NotChecked),
    }});
    writeln!(out, "{}", for_json(&format!("{document:#}")))
}

fn count(checks: &[CheckResult], state: CheckStatus) -> usize {
    checks.iter().filter(|check| check.state == state).count()
}

fn style(state: CheckStatus) -> Style {
    match state {
        CheckStatus::Ok => Style::new().green(),
        CheckStatus::Warning => Style::new().yellow(),
        CheckStatus::Failed => Style::new().red().bold(),
        CheckStatus::NotChecked => Style::new().magenta(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::hostile::first_unseen;
    use crate::output::testing::HOSTILE;

    fn printed(checks: &[CheckResult]) -> String {
        let mut out = anstream::StripStream::new(Vec::new());
        lines(&mut out, checks).unwrap();
        String::from_utf8(out.into_inner()).unwrap()
    }

    #[test]
    fn a_check_and_its_fix_are_one_line_each() {
        for text in HOSTILE.iter() {
            let check =
                CheckResult::failed(text, text, text).about(vec![text.clone(), text.clone()]);
            let shown = printed(&[check]);
            assert_eq!(shown.lines().count(), 3, "{shown}");
            for line in shown.lines() {
                // The indent is our own.
                assert_eq!(first_unseen(line.trim_start()), None, "{line:?}");
            }
        }
    }

    #[test]
    fn json_has_every_account_and_text_the_first_ones() {
        let accounts: Vec<String> = (0..60).map(|number| format!("{number:012}")).collect();
        let check = CheckResult::failed("x", "y", "z").about(accounts);
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
