//! A look at one user, for people and for programs.

use std::io::Write;

use serde_json::json;

use crate::cli::LONGEST;
use crate::cli::check::Args;
use crate::cli::check::look::{Looked, Told};
use crate::cli::check::reasoning::{changes, next, reasoning};
use crate::detect::alert::AlertKind;
use crate::detect::listing::KeyStatus;
use crate::detect::policy::Policy;
use crate::detect::retire::LastUsed;
use crate::output::alert_text::alert_text;
use crate::output::escape::{Place, for_json, for_terminal};
use crate::output::json_v1;
use crate::output::standing::Standing;
use crate::output::time::{duration, readable, rfc3339};

/// Writes the look for a person to read.
pub(super) fn text(
    out: &mut impl Write,
    args: &Args,
    looked: &Looked,
    policy: &Policy,
) -> anyhow::Result<()> {
    let standing = standing(args, looked, policy);
    if let Some(standing) = &standing {
        let Standing {
            alert,
            last_uses,
            invocation,
        } = &standing;
        let text = alert_text(alert, last_uses, Place::Terminal, invocation);
        writeln!(out, "{}", text.whole())?;
    } else {
        let (name, account) = (shown(&looked.name), shown(looked.user.account()));
        writeln!(
            out,
            "{} {name} ({account}): {}\n",
            mark(looked),
            verdict(looked)
        )?;
        keys(out, looked)?;
    }
    if looked.listing.keys().next().is_some() {
        section(out, "Who changed the keys", changes(&looked.history))?;
        writeln!(out)?;
    }
    section(out, "Why", reasoning(looked))?;
    let verdict = standing.as_ref().and_then(Standing::verdict);
    let next = next(args, looked, verdict.as_ref());
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

/// Writes the look for a program.
pub(super) fn document(
    out: &mut impl Write,
    args: &Args,
    looked: &Looked,
    policy: &Policy,
) -> anyhow::Result<()> {
    let keys: Vec<_> = looked
        .listing
        .keys()
        .map(|(id, key)| {
            let used = looked.last_uses.get(id).map(|used| match used {
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
    let told = match &looked.history {
        Told::Changes(_) => Some(changes(&looked.history)),
        Told::Nothing(_) => None,
    };
    let standing = standing(args, looked, policy);
    let verdict = standing.as_ref().and_then(Standing::verdict);
    let next: Vec<_> = next(args, looked, verdict.as_ref())
        .into_iter()
        .map(|(purpose, command)| json!({"purpose": purpose, "command": command}))
        .collect();
    let document = json!({
        "version": "1",
        "account": looked.user.account(),
        "user": looked.name,
        "listed_at": rfc3339(looked.listing.requested_at()),
        "settled": looked.unsettled.is_empty(),
        "keys": keys,
        "open": standing.as_ref().map(json_v1::standing),
        "cloudtrail": told,
        "reasoning": reasoning(looked),
        "next": next,
    });
    writeln!(out, "{}", for_json(&format!("{document:#}")))?;
    Ok(())
}

/// The finding as it stands, if one is open.
fn standing(args: &Args, looked: &Looked, policy: &Policy) -> Option<Standing> {
    let finding = looked.record.open_finding()?.clone();
    let (trail, last_uses) = (&looked.record.audit, looked.last_uses.clone());
    let standing = Standing::of(
        finding,
        AlertKind::Opened,
        trail,
        policy,
        last_uses,
        looked.now,
    );
    Some(standing.shown_by(&args.invocation()))
}

fn mark(looked: &Looked) -> &'static str {
    if looked.is_blind() {
        "[NOT KNOWN]"
    } else {
        "[OK]"
    }
}

fn verdict(looked: &Looked) -> &'static str {
    if looked.is_blind() {
        return "the keys could not be listed";
    }
    let active = looked
        .listing
        .keys()
        .filter(|(_, key)| key.status == KeyStatus::Active)
        .count();
    match active {
        0 => "no active access key",
        1 => "one active access key",
        // Only while the listing is not believed.
        _ => "fewer than two active access keys, as far as is known",
    }
}

fn keys(out: &mut impl Write, looked: &Looked) -> anyhow::Result<()> {
    let ago = |at| format!("{}, {} ago", readable(at), duration(looked.now - at));
    writeln!(out, "Keys")?;
    if looked.listing.keys().next().is_none() {
        let none = if looked.is_blind() {
            "not known"
        } else {
            "none"
        };
        writeln!(out, "  {none}")?;
    }
    for (id, key) in looked.listing.keys() {
        let used = match looked.last_uses.get(id) {
            None => "not known".to_owned(),
            Some(LastUsed::Never) => "never".to_owned(),
            Some(LastUsed::At {
                at,
                service,
                region,
            }) => [
                Some(ago(*at)),
                service.as_deref().map(shown),
                region.as_deref().map(shown),
            ]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(", "),
        };
        let created = key.created.map_or_else(|| "not known".to_owned(), ago);
        writeln!(out, "  {}  {}", shown(id), key.status.word())?;
        writeln!(out, "    created       {created}")?;
        writeln!(out, "    last used     {used}")?;
    }
    writeln!(out)?;
    Ok(())
}

fn shown(text: &str) -> String {
    for_terminal(text, LONGEST)
}
