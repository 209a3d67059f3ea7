//! What to do, with the exact commands.

use crate::detect::decision::verdict::{AskReason, Verdict};
use crate::output::commands::{Purpose, command, left_inactive, look_up};
use crate::output::facts::Facts;

/// What to do about an open finding: the verdict, and the commands for the key that it names,
/// never for both keys.
pub(super) fn to_do(facts: &Facts<'_>) -> Vec<String> {
    let Some(verdict) = facts.verdict() else {
        return vec!["Nothing is left to do.".to_owned()];
    };
    let mut lines = vec![
        "Do this".to_owned(),
        format!("  {}.", facts.verdict_sentence(&verdict)),
    ];
    let is_root = facts.alert.finding.user().is_root();
    match (&verdict, verdict.key()) {
        (_, Some(key)) if !is_root => {
            let account = facts.text(facts.alert.finding.user().account());
            let heading = format!("  Deactivate it, in account {account}:");
            lines.extend(shown(facts, key, Purpose::Deactivate, heading));
            let heading = "  If something fails without it, roll back:".to_owned();
            lines.extend(shown(facts, key, Purpose::RollBack, heading));
        }
        (Verdict::Ask { reason }, None) if !is_root && is_about_use(*reason) => {
            let account = facts.alert.finding.user().account();
            let of_account = facts.invocation.in_account(account);
            for key in facts.alert.finding.active_keys() {
                let heading = format!("  To see the calls of {}:", facts.id(key));
                lines.extend(pasted(facts, look_up(key, &of_account), heading));
            }
        }
        _ => {}
    }
    if is_root {
        lines.extend(as_root(facts));
    }
    let caveats = facts.caveats(&verdict).into_iter();
    lines.extend(caveats.map(|caveat| format!("  {caveat}.")));
    lines
}

/// Whether the calls made with each key answer the question.
const fn is_about_use(reason: AskReason) -> bool {
    match reason {
        AskReason::BothInUse | AskReason::UseUnknown | AskReason::Dormant => true,
        AskReason::OneLeaked | AskReason::Root | AskReason::AgeUnknown | AskReason::Unconfirmed => {
            false
        }
    }
}

/// What is left to do once a finding is closed.
pub(super) fn left_to_do(facts: &Facts<'_>) -> Vec<String> {
    let finding = &facts.alert.finding;
    let mut lines = vec!["Left to do".to_owned()];
    for key in left_inactive(finding) {
        let id = facts.id(key);
        lines.push(format!("  {id} is inactive and can be reactivated."));
        if finding.user().is_root() {
            lines.extend(as_root(facts));
            continue;
        }
        let heading = "  If something fails without it, roll back:".to_owned();
        lines.extend(shown(facts, key, Purpose::RollBack, heading));
        let heading = "  Once nothing has failed for some days, delete it:".to_owned();
        lines.extend(shown(facts, key, Purpose::Delete, heading));
    }
    if lines.len() == 1 {
        return vec!["Nothing is left to do.".to_owned()];
    }
    lines
}

fn as_root(facts: &Facts<'_>) -> Vec<String> {
    let account = facts.text(facts.alert.finding.user().account());
    vec![
        "  Commands for IAM users do not work on root's keys.".to_owned(),
        format!("  Sign in as root of account {account} > Security credentials > Access keys."),
    ]
}

/// The command that does `purpose` to `key`, under its heading, or a note that there is none.
fn shown(facts: &Facts<'_>, key: &str, purpose: Purpose, heading: String) -> Vec<String> {
    let command = command(&facts.alert.finding, key, purpose, facts.invocation);
    pasted(facts, command.map(|command| command.line), heading)
}

/// `command` under its heading, or a note that there is none.
fn pasted(facts: &Facts<'_>, command: Option<String>, heading: String) -> Vec<String> {
    let line = command.and_then(|line| facts.context.command(&line));
    let line = line.unwrap_or_else(|| {
        "(no command: the user name or the key ID has characters that are not safe to paste)"
            .to_owned()
    });
    vec![heading, format!("    {line}")]
}
