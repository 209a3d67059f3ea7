//! Prints the check of one user, as text or as JSON.

use std::io::Write;

use serde_json::json;

use crate::cli::MAX_CHARS;
use crate::cli::check::Args;
use crate::cli::check::key_check::{KeyCheck, KeyHistory};
use crate::cli::check::reasoning::{changes, next, reasoning};
use crate::cli::usage::beside::Found;
use crate::detect::decision::policy::Policy;
use crate::detect::findings::alert::AlertKind;
use crate::detect::keys::age::age_order;
use crate::detect::keys::listing::KeyStatus;
use crate::detect::usage::last_use::LastUsed;
use crate::output::alert_text::alert_text;
use crate::output::escape::{OutputContext, for_json, for_terminal};
use crate::output::json_v1;
use crate::output::last_use::{last_use, moment};
use crate::output::snapshot::FindingSnapshot;
use crate::output::time::rfc3339;

/// Writes the check as text.
pub(super) fn text(
    out: &mut impl Write,
    args: &Args,
    check: &KeyCheck,
    used: Option<&Found>,
    policy: &Policy,
) -> anyhow::Result<()> {
    let snapshot = snapshot(args, check, policy, AlertKind::Opened);
    if let Some(snapshot) = &snapshot {
        let FindingSnapshot {
            alert,
            last_uses,
            invocation,
        } = &snapshot;
        let text = alert_text(alert, last_uses, OutputContext::Terminal, invocation);
        writeln!(out, "{}", text.whole())?;
    } else {
        let (name, account) = (shown(&check.name), shown(check.user.account()));
        writeln!(
            out,
            "{} {name} ({account}): {}\n",
            mark(check),
            verdict(check)
        )?;
        keys(out, check)?;
    }
    if check.listing.keys().next().is_some() {
        section(out, "Who changed the keys", changes(&check.history))?;
        writeln!(out)?;
    }
    if let Some(used) = used {
        section(out, "Who uses the keys", used.lines())?;
        writeln!(out)?;
    }
    section(out, "Why", reasoning(check))?;
    let verdict = snapshot.as_ref().and_then(FindingSnapshot::verdict);
    let next = next(args, check, verdict.as_ref());
    if !next.is_empty() {
        writeln!(out, "\nWith secondkey")?;
        for (purpose, command) in next {
            writeln!(out, "  To {purpose}:\n    {command}")?;
        }
    }
    Ok(())
}

fn section(out: &mut impl Write, heading: &str, lines: Vec<String>) -> anyhow::Result<()> {
    writeln!(out, "{heading}")?;
    for line in lines {
        writeln!(out, "  {line}")?;
    }
    Ok(())
}

/// Writes the check as JSON.
pub(super) fn document(
    out: &mut impl Write,
    args: &Args,
    check: &KeyCheck,
    used: Option<&Found>,
    policy: &Policy,
) -> anyhow::Result<()> {
    let keys: Vec<_> = check
        .listing
        .keys()
        .map(|(id, key)| {
            let used = check.last_uses.get(id).map(|used| match used {
                LastUsed::Never => json!({"at": null, "service": null, "region": null}),
                LastUsed::At {
                    at,
                    service,
                    region,
                } => json!({"at": rfc3339(*at), "service": service, "region": region}),
            });
            json!({"id": id, "status": key.status.word(), "created": key.created.map(rfc3339), "last_used": used})
        })
        .collect();
    let history = match &check.history {
        KeyHistory::Changes(_) => Some(changes(&check.history)),
        KeyHistory::Unavailable(_) => None,
    };
    // Like all commands but `scan`, a check compares with no earlier run.
    let snapshot = snapshot(args, check, policy, AlertKind::Updated(vec![]));
    let verdict = snapshot.as_ref().and_then(FindingSnapshot::verdict);
    let next: Vec<_> = next(args, check, verdict.as_ref())
        .into_iter()
        .map(|(purpose, command)| json!({"purpose": purpose, "command": command}))
        .collect();
    let mut document = json!({
        "version": "1",
        "account": check.user.account(),
        "user": check.name,
        "listed_at": rfc3339(check.listing.requested_at()),
        "settled": check.unsettled.is_empty(),
        "keys": keys,
        "open": snapshot.as_ref().map(json_v1::snapshot),
        "cloudtrail": history,
        "reasoning": reasoning(check),
        "next": next,
    });
    if let (Some(used), Some(fields)) = (used, document.as_object_mut()) {
        fields.insert("usage".to_owned(), json!(used.document()));
    }
    writeln!(out, "{}", for_json(&format!("{document:#}")))?;
    Ok(())
}

/// The current finding as an alert of `kind`, if one is open.
fn snapshot(
    args: &Args,
    check: &KeyCheck,
    policy: &Policy,
    kind: AlertKind,
) -> Option<FindingSnapshot> {
    let finding = check.record.open_finding()?.clone();
    let (window, last_uses) = (policy.rotation_window, check.last_uses.clone());
    let snapshot = FindingSnapshot::of(finding, kind, window, last_uses, check.now)
        .with_trail(&check.record.audit);
    Some(snapshot.shown_by(&args.invocation()))
}

fn mark(check: &KeyCheck) -> &'static str {
    if check.is_blind() {
        "[NOT KNOWN]"
    } else {
        "[OK]"
    }
}

fn verdict(check: &KeyCheck) -> &'static str {
    if check.is_blind() {
        return "the keys could not be listed";
    }
    let active = check
        .listing
        .keys()
        .filter(|(_, key)| key.status == KeyStatus::Active)
        .count();
    match active {
        0 => "no active access key",
        1 => "one active access key",
        // Two keys without a finding: IAM may not show the latest change yet.
        _ => "fewer than two active access keys, as far as is known",
    }
}

fn keys(out: &mut impl Write, check: &KeyCheck) -> anyhow::Result<()> {
    writeln!(out, "Keys")?;
    if check.listing.keys().next().is_none() {
        let none = if check.is_blind() {
            "not known"
        } else {
            "none"
        };
        writeln!(out, "  {none}")?;
    }
    let mut keys: Vec<_> = check.listing.keys().collect();
    keys.sort_by_key(|(id, key)| age_order(key.created, id));
    for (id, key) in keys {
        let used = last_use(check.last_uses.get(id), check.now, &shown);
        let created = key
            .created
            .map_or_else(|| "not known".to_owned(), |at| moment(at, check.now));
        writeln!(out, "  {}  {}", shown(id), key.status.word())?;
        writeln!(out, "    created       {created}")?;
        writeln!(out, "    last used     {used}")?;
    }
    writeln!(out)?;
    Ok(())
}

fn shown(text: &str) -> String {
    for_terminal(text, MAX_CHARS)
}
