//! Snapshots of findings of every kind, with one text in every field that comes from an event or
//! from IAM.

use chrono::{DateTime, TimeDelta};
use secondkey::detect::Timestamp;
use secondkey::detect::decision::severity::{Severity, SeverityReason};
use secondkey::detect::events::actor::Actor;
use secondkey::detect::events::text::bounded;
use secondkey::detect::findings::alert::{Alert, AlertKind, FindingUpdate};
use secondkey::detect::findings::finding::{
    AppliedExemption, CloseReason, Closing, Finding, FindingId, FindingKey, FindingStatus, FoundBy,
    KeyActivation,
};
use secondkey::detect::keys::listing::KeyStatus;
use secondkey::detect::usage::last_use::{LastUsed, LastUses};
use secondkey::detect::user::UserId;
use secondkey::output::invocation::Invocation;
use secondkey::output::snapshot::FindingSnapshot;

const ACCOUNT: &str = "111122223333";

/// One snapshot of each kind, each of a user called `text`.
pub fn snapshots(text: &str) -> Vec<FindingSnapshot> {
    let text = bounded(text);
    let new = opened(&text);
    let changed = |change: &dyn Fn(&mut FindingSnapshot)| {
        let mut snapshot = new.clone();
        change(&mut snapshot);
        snapshot
    };
    let mut snapshots = vec![
        new.clone(),
        changed(&|snapshot| {
            snapshot.alert.kind = AlertKind::Updated(vec![FindingUpdate::Severity]);
            snapshot.alert.finding.severity = Severity::High;
            snapshot.alert.finding.severity_reasons = vec![SeverityReason::OutlivedWindow];
            snapshot.alert.finding.found_by = FoundBy::Baseline;
        }),
        changed(&|snapshot| exempt(snapshot, &text)),
        changed(&|snapshot| {
            snapshot.alert.finding.confirmed = false;
            snapshot.alert.finding.listing_refusal = Some(text.clone());
            snapshot.alert.finding.keys.truncate(1);
            snapshot.last_uses.clear();
        }),
        changed(&|snapshot| {
            let finding = &mut snapshot.alert.finding;
            finding.id.user = UserId::root(&text);
            "<root_account>".clone_into(&mut finding.display_name);
            finding.severity = Severity::Critical;
            finding.severity_reasons = vec![SeverityReason::Root];
            finding.opener = None;
        }),
        changed(&|snapshot| {
            snapshot.alert.finding.id.user = UserId::new(&text, &text);
            snapshot.alert.finding.continues = Some(snapshot.alert.finding.id.clone());
        }),
    ];
    snapshots.extend(
        [
            CloseReason::Deactivated,
            CloseReason::Deleted,
            CloseReason::UserDeleted,
            CloseReason::Renamed,
            CloseReason::NeverConfirmed,
        ]
        .map(|reason| changed(&|snapshot| close(snapshot, reason, &text))),
    );
    snapshots
}

fn at(second: i64) -> Timestamp {
    DateTime::from_timestamp(1_700_000_000 + second, 0).unwrap()
}

fn opened(text: &str) -> FindingSnapshot {
    let key = |name: &str, second| FindingKey {
        id: format!("{name}{text}"),
        status: KeyStatus::Active,
        created: Some(at(second)),
    };
    let finding = Finding {
        id: FindingId {
            user: UserId::new(ACCOUNT, text),
            episode: 1,
        },
        display_name: text.to_owned(),
        status: FindingStatus::Open,
        confirmed: true,
        severity: Severity::Medium,
        severity_reasons: vec![],
        opened_at: at(2),
        is_opened_at_estimated: false,
        detected_at: at(14),
        opener: Some(KeyActivation {
            key: key("AKIA2", 2).id,
            created: true,
            at: at(2),
            inactive_since: None,
            actor: actor(text),
            relation: None,
            event_id: Some(text.to_owned()),
        }),
        listing_refusal: None,
        keys: vec![key("AKIA1", -1_000), key("AKIA2", 2)],
        continues: None,
        found_by: FoundBy::Event,
        other_activations: vec![],
        has_unknown_activator: false,
        leaks: vec![],
        announced: true,
        exemption: None,
        closing: None,
    };
    let used = LastUsed::At {
        at: at(-500),
        service: Some(text.to_owned()),
        region: Some(text.to_owned()),
    };
    FindingSnapshot {
        invocation: Invocation::default(),
        last_uses: LastUses::from([
            (finding.keys[0].id.clone(), used),
            (finding.keys[1].id.clone(), LastUsed::Never),
        ]),
        alert: Alert {
            kind: AlertKind::Opened,
            sequence: 2,
            audit_hash: "5e7a".repeat(16),
            at: at(14),
            window_ends_at: at(2) + TimeDelta::hours(24),
            in_digest: false,
            finding,
        },
    }
}

fn actor(text: &str) -> Actor {
    let text = || Some(text.to_owned());
    Actor {
        kind: text(),
        arn: text(),
        name: text(),
        account: text(),
        access_key_id: text(),
        source_ip: text(),
        user_agent: text(),
        mfa: Some(false),
        console: true,
        invoked_by: text(),
    }
}

fn exempt(snapshot: &mut FindingSnapshot, text: &str) {
    snapshot.alert.kind = AlertKind::Updated(vec![FindingUpdate::Exempted]);
    snapshot.alert.finding.status = FindingStatus::Suppressed;
    snapshot.alert.finding.exemption = Some(AppliedExemption {
        id: text.to_owned(),
        owner: text.to_owned(),
        reason: text.to_owned(),
        created_at: at(0),
        until: at(86_400),
    });
}

/// Closes the finding and leaves a third key.
fn close(snapshot: &mut FindingSnapshot, reason: CloseReason, text: &str) {
    snapshot.alert.kind = AlertKind::Closed;
    snapshot.alert.at = at(300);
    let finding = &mut snapshot.alert.finding;
    finding.status = FindingStatus::Closed;
    finding.keys[0].status = match reason {
        CloseReason::Deactivated => KeyStatus::Inactive,
        _ => KeyStatus::Gone,
    };
    finding.keys.push(FindingKey {
        id: format!("AKIA3{text}"),
        status: KeyStatus::Inactive,
        created: None,
    });
    finding.closing = Some(Closing {
        reason,
        at: at(200),
        actor: Some(actor(text)),
        event_id: Some(text.to_owned()),
    });
}
