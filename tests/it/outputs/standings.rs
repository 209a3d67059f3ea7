//! Findings as they stand, of every kind, with one text in every field that an event or IAM fills.

use chrono::{DateTime, TimeDelta};
use secondkey::detect::Timestamp;
use secondkey::detect::actor::Actor;
use secondkey::detect::alert::{Alert, AlertKind, Update};
use secondkey::detect::finding::{
    CloseReason, Closing, Exempted, Finding, FindingId, FindingKey, FindingStatus, FoundBy, Opener,
};
use secondkey::detect::listing::KeyStatus;
use secondkey::detect::retire::{LastUsed, LastUses};
use secondkey::detect::severity::{Severity, SeverityReason};
use secondkey::detect::text::bounded;
use secondkey::detect::user::UserId;
use secondkey::output::invocation::Invocation;
use secondkey::output::standing::Standing;

const ACCOUNT: &str = "111122223333";

/// One of each kind, each of a user called `text` as it is once it was read.
pub fn standings(text: &str) -> Vec<Standing> {
    let text = bounded(text);
    let new = opened(&text);
    let changed = |change: &dyn Fn(&mut Standing)| {
        let mut standing = new.clone();
        change(&mut standing);
        standing
    };
    let mut standings = vec![
        new.clone(),
        changed(&|standing| {
            standing.alert.kind = AlertKind::Updated(vec![Update::Severity]);
            standing.alert.finding.severity = Severity::High;
            standing.alert.finding.severity_reasons = vec![SeverityReason::OutlivedWindow];
            standing.alert.finding.found_by = FoundBy::Baseline;
        }),
        changed(&|standing| exempt(standing, &text)),
        changed(&|standing| {
            standing.alert.finding.confirmed = false;
            standing.alert.finding.could_not_list = Some(text.clone());
            standing.alert.finding.keys.truncate(1);
            standing.last_uses.clear();
        }),
        changed(&|standing| {
            let finding = &mut standing.alert.finding;
            finding.id.user = UserId::root(&text);
            "<root_account>".clone_into(&mut finding.display_name);
            finding.severity = Severity::Critical;
            finding.severity_reasons = vec![SeverityReason::Root];
            finding.opener = None;
        }),
        changed(&|standing| {
            standing.alert.finding.id.user = UserId::new(&text, &text);
            standing.alert.finding.continues = Some(standing.alert.finding.id.clone());
        }),
    ];
    standings.extend(
        [
            CloseReason::Deactivated,
            CloseReason::Deleted,
            CloseReason::UserDeleted,
            CloseReason::Renamed,
            CloseReason::NeverConfirmed,
        ]
        .map(|reason| changed(&|standing| close(standing, reason, &text))),
    );
    standings
}

fn at(second: i64) -> Timestamp {
    DateTime::from_timestamp(1_700_000_000 + second, 0).unwrap()
}

fn opened(text: &str) -> Standing {
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
        is_since_estimated: false,
        detected_at: at(14),
        opener: Some(Opener {
            key: key("AKIA2", 2).id,
            created: true,
            at: at(2),
            inactive_since: None,
            actor: actor(text),
            relation: None,
            event_id: Some(text.to_owned()),
        }),
        could_not_list: None,
        keys: vec![key("AKIA1", -1_000), key("AKIA2", 2)],
        continues: None,
        found_by: FoundBy::Event,
        joined: vec![],
        has_unknown_maker: false,
        leaks: vec![],
        told: true,
        exemption: None,
        closing: None,
    };
    let used = LastUsed::At {
        at: at(-500),
        service: Some(text.to_owned()),
        region: Some(text.to_owned()),
    };
    Standing {
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

fn exempt(standing: &mut Standing, text: &str) {
    standing.alert.kind = AlertKind::Updated(vec![Update::Exempted]);
    standing.alert.finding.status = FindingStatus::Suppressed;
    standing.alert.finding.exemption = Some(Exempted {
        id: text.to_owned(),
        owner: text.to_owned(),
        reason: text.to_owned(),
        created_at: at(0),
        until: at(86_400),
    });
}

/// Closes the finding, which leaves a third key behind.
fn close(standing: &mut Standing, reason: CloseReason, text: &str) {
    standing.alert.kind = AlertKind::Closed;
    standing.alert.at = at(300);
    let finding = &mut standing.alert.finding;
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
