//! The details of findings, which the page shows on request: facts and audit trail, in one JSON
//! document.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use crate::detect::events::actor::Actor;
use crate::detect::trail::audit::AuditEntry;
use crate::detect::user::UserId;
use crate::output::control::control_of;
use crate::output::facts::{did, found_by};
use crate::output::last_use::last_use;
use crate::output::overlap_start::beginning;
use crate::output::report::Report;
use crate::output::report::audit_trail::{TrailEvidence, entries_of};
use crate::output::report::rows::time;
use crate::output::snapshot::FindingSnapshot;
use crate::output::time::duration;
use crate::output::verdict_text::sentence;

/// A fact with its name.
type Fact = (&'static str, String);

/// The document: one entry per finding, in the order of `findings`; their users' trails, each once;
/// and the texts of both, each once. Findings and trails refer to texts by index.
pub(super) fn document(report: &Report, findings: &[&FindingSnapshot]) -> Value {
    let mut texts = Texts::default();
    let mut places: BTreeMap<&UserId, usize> = BTreeMap::new();
    let mut trails = vec![];
    let findings: Vec<Value> = findings
        .iter()
        .map(|snapshot| {
            let finding = &snapshot.alert.finding;
            let user = finding.user();
            let trail = report.trails.get(user);
            let entries = trail.map_or(&[][..], |trail| &trail.entries);
            let place = *places.entry(user).or_insert_with(|| {
                let entries = entries.iter().map(|one| entry(one, &mut texts));
                trails.push(entries.collect::<Value>());
                trails.len() - 1
            });
            let shown = entries_of(&finding.id.to_string(), entries);
            let evidence = TrailEvidence::of(finding, trail, report.period.now);
            let facts = facts(snapshot, report).into_iter();
            json!({
                "facts": facts.map(|(name, value)| texts.pair(name, &value)).collect::<Value>(),
                "trail": [place, shown.start, shown.end],
                "state": evidence.word(),
                "trouble": evidence.problem(),
            })
        })
        .collect();
    json!({"findings": findings, "trails": trails, "texts": texts.all})
}

/// An entry of a trail, without repeated field names: place, hash, event, then by text index the
/// time, the time of recording, what, by whom, the rest.
fn entry(entry: &AuditEntry, texts: &mut Texts) -> Value {
    let draft = &entry.draft;
    let details = draft.details.iter();
    json!([
        entry.sequence,
        entry.hash,
        draft.event_id,
        texts.place(&time(draft.at)),
        texts.place(&time(draft.recorded_at)),
        texts.place(&draft.kind.word().replace('_', " ")),
        draft.actor.as_deref().map(|actor| texts.place(actor)),
        details
            .map(|(name, value)| texts.pair(&name.replace('_', " "), value))
            .collect::<Value>(),
    ])
}

/// Texts, each once. Thousands of findings share most of them.
#[derive(Default)]
struct Texts {
    all: Vec<String>,
    places: HashMap<String, usize>,
}

impl Texts {
    fn place(&mut self, text: &str) -> usize {
        if let Some(place) = self.places.get(text) {
            return *place;
        }
        let place = self.all.len();
        self.all.push(text.to_owned());
        self.places.insert(text.to_owned(), place);
        place
    }

    fn pair(&mut self, name: &str, value: &str) -> [usize; 2] {
        [self.place(name), self.place(value)]
    }
}

fn facts(snapshot: &FindingSnapshot, report: &Report) -> Vec<Fact> {
    let yes_or_no = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    let finding = &snapshot.alert.finding;
    let mut facts = vec![("Finding", finding.id.to_string())];
    if let Some(verdict) = snapshot.verdict() {
        facts.push(("What to do", sentence(&verdict, &str::to_owned)));
        facts.push(("As of", time(snapshot.alert.at)));
    }
    facts.extend(keys(snapshot));
    facts.push(("Control", control_of(finding.user()).numbers.to_owned()));
    let reasons = finding.severity_reasons.iter().map(|reason| reason.words());
    facts.extend(reasons.map(|reason| ("Severity because", reason.to_owned())));
    facts.push(("Confirmed", yes_or_no(finding.confirmed)));
    let could_not_list = finding.listing_refusal.clone();
    facts.extend(could_not_list.map(|reason| ("Keys could not be listed", reason)));
    facts.push(("Found by", found_by(finding.found_by).to_owned()));
    let opened = beginning(finding.is_opened_at_estimated, &time(finding.opened_at));
    facts.push(("Opened", opened));
    let seen = time(finding.detected_at);
    let seen = if finding.is_opened_at_estimated {
        format!("{seen}; no event shows when the second key became active")
    } else {
        let delay = finding.detected_at - finding.opened_at;
        format!("{seen}, {} later", duration(delay))
    };
    facts.push(("Seen", seen));
    if let Some(former) = &finding.continues {
        facts.push(("Continues", former.to_string()));
    }
    if let Some(opener) = &finding.opener {
        let did = did(opener);
        facts.push(("Opened by", opener.actor.label().to_owned()));
        facts.push((
            "Key made active",
            format!("{}, {did} {}", opener.key, time(opener.at)),
        ));
        let inactive_since = opener.inactive_since.map(time);
        facts.extend(inactive_since.map(|since| ("Inactive since", since)));
        facts.extend(actor(&opener.actor, OPENER));
        facts.extend(opener.event_id.clone().map(|id| ("Opening event", id)));
    }
    facts.extend(finding.other_activations.iter().map(|event| {
        let (key, what, at) = (&event.key, did(event), time(event.at));
        let text = format!("{key}, {what} {at} by {}", event.actor.label());
        ("Other key made active", text)
    }));
    if finding.closing.is_none() {
        let uses = report.uses.get(finding.user()).into_iter().flatten();
        facts.extend(uses.map(|line| ("Who uses the keys", line.clone())));
    }
    if let Some(exemption) = &finding.exemption {
        facts.push(("Exemption", exemption.id.clone()));
        facts.push(("Suppressed until", time(exemption.until)));
        facts.push(("Exemption owner", exemption.owner.clone()));
        facts.push(("Exemption reason", exemption.reason.clone()));
    }
    if let Some(closing) = &finding.closing {
        facts.push(("Closed", time(closing.at)));
        facts.push(("Closed because", closing.reason.words().to_owned()));
        if let Some(closer) = &closing.actor {
            facts.push(("Closed by", closer.label().to_owned()));
            facts.extend(actor(closer, CLOSER));
        }
        facts.extend(closing.event_id.clone().map(|id| ("Closing event", id)));
    }
    facts
}

/// A line for each key; with its last use as long as there is a decision to make about it.
fn keys(snapshot: &FindingSnapshot) -> impl Iterator<Item = Fact> {
    let is_undecided = snapshot.verdict().is_some();
    snapshot.alert.finding.keys.iter().map(move |key| {
        let created = key.created.map_or_else(
            || "creation time not known".to_owned(),
            |created| format!("created {}", time(created)),
        );
        let status = key.status.word().to_lowercase();
        let mut fact = format!("{}, {status}, {created}", key.id);
        if is_undecided {
            let used = snapshot.last_uses.get(&key.id);
            fact.push_str(", last used: ");
            fact.push_str(&last_use(used, snapshot.alert.at, &str::to_owned));
        }
        ("Key", fact)
    })
}

/// The names of the facts about an actor.
type ActorNames = [&'static str; 6];

const OPENER: ActorNames = [
    "Opener called through",
    "Opener's key",
    "Opener's address",
    "Opener's user agent",
    "Opener had MFA",
    "Opener used the console",
];

const CLOSER: ActorNames = [
    "Closer called through",
    "Closer's key",
    "Closer's address",
    "Closer's user agent",
    "Closer had MFA",
    "Closer used the console",
];

/// What is known about an actor besides the name.
fn actor(actor: &Actor, names: ActorNames) -> Vec<Fact> {
    let yes_or_no = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    let values = [
        actor.invoked_by.clone(),
        actor.access_key_id.clone(),
        actor.source_ip.clone(),
        actor.user_agent.clone(),
        actor.mfa.map(yes_or_no),
        Some(yes_or_no(actor.console)),
    ];
    names
        .into_iter()
        .zip(values)
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
}
