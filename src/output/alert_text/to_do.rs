//! What is to be done, with the exact commands.

use crate::detect::retire::key_to_retire;
use crate::output::commands::{Purpose, command, left_inactive};
use crate::output::facts::Facts;

/// What to do about an open finding: one key to deactivate, never both.
pub(super) fn to_do(facts: &Facts<'_>) -> Vec<String> {
    let finding = &facts.alert.finding;
    let Some(retire) = key_to_retire(finding, facts.last_uses) else {
        return nothing_tells(facts);
    };
    let mut lines = vec![format!(
        "  Retire {}: {}.",
        facts.id(&retire.key.id),
        retire.reason.words()
    )];
    if finding.user().is_root() {
        lines.extend(as_root(facts));
    } else {
        let account = facts.text(finding.user().account());
        let heading = format!("  Deactivate it, in account {account}:");
        lines.extend(shown(facts, &retire.key.id, Purpose::Deactivate, heading));
        let heading = "  If something fails without it, roll back:".to_owned();
        lines.extend(shown(facts, &retire.key.id, Purpose::RollBack, heading));
    }
    let rotation = facts.rotation(&retire.key.id);
    lines.extend(rotation.map(|advice| format!("  {advice}.")));
    let instead = instead(facts, &retire.key.id);
    let advice = if facts.is_suspicious() {
        [instead, lines]
    } else {
        [lines, instead]
    };
    ["Do this".to_owned()]
        .into_iter()
        .chain(advice.concat())
        .collect()
}

/// The advice for the case that the second key was not made by a friend: then it is the one to go, not the other.
fn instead(facts: &Facts<'_>, retired: &str) -> Vec<String> {
    let Some(opener) = facts.key_in_doubt(retired) else {
        return vec![];
    };
    if facts.alert.finding.user().is_root() {
        return vec![format!("  {}.", facts.doubt(opener))];
    }
    let heading = format!("  {}:", facts.doubt(opener));
    shown(facts, &opener.key, Purpose::Deactivate, heading)
}

fn nothing_tells(facts: &Facts<'_>) -> Vec<String> {
    let finding = &facts.alert.finding;
    let mut lines = vec![
        "Do this".to_owned(),
        "  Nothing tells which key to retire. Ask who uses them; deactivate one, never both."
            .to_owned(),
    ];
    if finding.user().is_root() {
        lines.extend(as_root(facts));
        return lines;
    }
    for key in finding.active_keys() {
        let id = facts.id(key);
        let heading = format!("  To deactivate {id}:");
        lines.extend(shown(facts, key, Purpose::Deactivate, heading));
        let heading = format!("  To roll {id} back:");
        lines.extend(shown(facts, key, Purpose::RollBack, heading));
    }
    lines
}

/// What is left to do once a finding is closed.
pub(super) fn left_to_do(facts: &Facts<'_>) -> Vec<String> {
    let finding = &facts.alert.finding;
    let mut lines = vec!["Left to do".to_owned()];
    for key in left_inactive(finding) {
        let id = facts.id(key);
        lines.push(format!("  {id} is inactive and can be switched on again."));
        if finding.user().is_root() {
            lines.extend(as_root(facts));
            continue;
        }
        let heading = "  If something fails without it, roll back:".to_owned();
        lines.extend(shown(facts, key, Purpose::RollBack, heading));
        let heading = "  Once nothing has failed for some days, delete it for good:".to_owned();
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
        "  Commands for IAM users do not reach root's keys.".to_owned(),
        format!("  Sign in as root of account {account} > Security credentials > Access keys."),
    ]
}

/// The command under its heading, or why there is none.
fn shown(facts: &Facts<'_>, key: &str, purpose: Purpose, heading: String) -> Vec<String> {
    let line = command(&facts.alert.finding, key, purpose, facts.invocation)
        .and_then(|command| facts.place.command(&command.line));
    let line = line.unwrap_or_else(|| {
        "(no command: the user name or the key id holds what cannot be pasted safely)".to_owned()
    });
    vec![heading, format!("    {line}")]
}
