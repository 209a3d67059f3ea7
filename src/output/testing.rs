//! Test data for the outputs: one finding in each state, and hostile text.

use std::sync::LazyLock;

use chrono::TimeDelta;

#[cfg(feature = "cli")]
use crate::detect::Timestamp;
use crate::detect::decision::relation::Relation;
use crate::detect::decision::severity::{Severity, SeverityReason};
use crate::detect::events::actor::Actor;
use crate::detect::events::text::bounded;
use crate::detect::findings::alert::{Alert, AlertKind, FindingUpdate};
use crate::detect::findings::digest::{Digest, DigestKind};
use crate::detect::findings::finding::{
    AppliedExemption, CloseReason, Closing, Finding, FindingKey, FindingStatus, FoundBy,
    KeyActivation,
};
use crate::detect::keys::listing::KeyStatus;
use crate::detect::testing::{actor, at, finding_of};
#[cfg(feature = "cli")]
use crate::detect::usage::last_use::KnownUses;
use crate::detect::usage::last_use::{LastUsed, LastUses};
use crate::detect::user::UserId;
use crate::output::hostile::HOSTILE_TEXTS;
use crate::output::invocation::Invocation;
#[cfg(feature = "cli")]
use crate::output::snapshot::FindingSnapshot;

/// The texts of the table after parsing, which limits their length.
pub(crate) static HOSTILE: LazyLock<Vec<String>> = LazyLock::new(|| {
    HOSTILE_TEXTS
        .iter()
        .map(|hostile| bounded(&hostile.text))
        .collect()
});

/// An opened finding, made by a person: an old key in use, and a new one that was never used.
pub(crate) fn opened() -> Alert {
    let finding = Finding {
        opener: Some(opener("AKIANEW")),
        opened_at: at(2),
        detected_at: at(14),
        ..finding_of(&[("AKIAOLD", Some(-86_400 * 400)), ("AKIANEW", Some(2))])
    };
    Alert {
        kind: AlertKind::Opened,
        sequence: 2,
        audit_hash: "5e7a".repeat(16),
        in_digest: false,
        at: at(14),
        window_ends_at: finding.opened_at + TimeDelta::hours(24),
        finding,
    }
}

pub(crate) fn opener(key: &str) -> KeyActivation {
    KeyActivation {
        key: key.to_owned(),
        created: true,
        at: at(2),
        inactive_since: None,
        actor: Actor {
            access_key_id: Some("ASIABOB".to_owned()),
            source_ip: Some("198.51.100.7".to_owned()),
            user_agent: Some("aws-cli/2.15.30 md/awscrt#0.19.19".to_owned()),
            mfa: Some(false),
            ..actor("bob")
        },
        relation: None,
        event_id: Some("6f0e3c1a-0000-4000-8000-000000000001".to_owned()),
    }
}

pub(crate) fn last_uses() -> LastUses {
    LastUses::from([
        (
            "AKIAOLD".to_owned(),
            LastUsed::At {
                at: at(-7_200),
                service: Some("s3".to_owned()),
                region: Some("us-east-1".to_owned()),
            },
        ),
        ("AKIANEW".to_owned(), LastUsed::Never),
    ])
}

/// The alert `of`, with `text` in every field that an event can fill.
pub(crate) fn filled_with(text: &str, of: Alert) -> Alert {
    let text = || text.to_owned();
    let actor = Actor {
        kind: Some(text()),
        arn: Some(text()),
        name: Some(text()),
        account: Some(text()),
        access_key_id: Some(text()),
        source_ip: Some(text()),
        user_agent: Some(text()),
        mfa: None,
        console: true,
        invoked_by: Some(text()),
    };
    let mut alert = of;
    let finding = &mut alert.finding;
    finding.id.user = UserId::new(&text(), &text());
    finding.display_name = text();
    finding.listing_refusal = Some(text());
    finding.confirmed = false;
    finding.continues = Some(finding.id.clone());
    if let Some(exemption) = &mut finding.exemption {
        exemption.id = text();
        exemption.owner = text();
        exemption.reason = text();
    }
    finding.keys = [KeyStatus::Active, KeyStatus::Active, KeyStatus::Inactive]
        .map(|status| FindingKey {
            id: text(),
            status,
            created: Some(at(1)),
        })
        .to_vec();
    finding.opener = Some(KeyActivation {
        key: text(),
        created: false,
        at: at(1),
        inactive_since: Some(at(0)),
        actor: actor.clone(),
        // So that the verdict names the key, and commands contain it.
        relation: Some(Relation::Unfamiliar),
        event_id: Some(text()),
    });
    finding.other_activations = finding.opener.clone().into_iter().collect();
    if let Some(closing) = &mut finding.closing {
        closing.actor = Some(actor);
        closing.event_id = Some(text());
    }
    alert
}

/// The last use of a key named `text`, with `text` in every field.
pub(crate) fn last_uses_with(text: &str) -> LastUses {
    LastUses::from([(
        text.to_owned(),
        LastUsed::At {
            at: at(1),
            service: Some(text.to_owned()),
            region: Some(text.to_owned()),
        },
    )])
}

/// The end of that finding: the old key was deactivated.
pub(crate) fn closed() -> Alert {
    let mut alert = opened();
    alert.kind = AlertKind::Closed;
    alert.sequence = 5;
    alert.at = at(12_010);
    let finding = &mut alert.finding;
    finding.status = FindingStatus::Closed;
    finding.keys[0].status = KeyStatus::Inactive;
    finding.closing = Some(Closing {
        reason: CloseReason::Deactivated,
        at: at(12_002),
        actor: Some(Actor {
            source_ip: Some("203.0.113.9".to_owned()),
            ..actor("Alice")
        }),
        event_id: Some("6f0e3c1a-0000-4000-8000-000000000002".to_owned()),
    });
    alert
}

/// `of`, without an event for its opening: its start is an estimate.
pub(crate) fn estimated(mut of: Alert) -> Alert {
    let finding = &mut of.finding;
    finding.opener = None;
    finding.found_by = FoundBy::Sweep;
    finding.is_opened_at_estimated = true;
    of
}

/// The same finding after its rotation window has ended.
pub(crate) fn updated() -> Alert {
    let mut alert = opened();
    alert.kind = AlertKind::Updated(vec![FindingUpdate::Severity]);
    alert.sequence = 4;
    alert.at = alert.window_ends_at + TimeDelta::minutes(5);
    alert.finding.severity = Severity::High;
    alert.finding.severity_reasons = vec![SeverityReason::OutlivedWindow];
    alert
}

/// An opening for root: the slots of a credential report, with an unknown actor.
pub(crate) fn root() -> Alert {
    let mut alert = opened();
    let finding = &mut alert.finding;
    finding.id.user = UserId::root("111122223333");
    "<root_account>".clone_into(&mut finding.display_name);
    finding.severity = Severity::Critical;
    finding.severity_reasons = vec![SeverityReason::Root];
    finding.opener = None;
    for (key, slot) in finding
        .keys
        .iter_mut()
        .zip(["access_key_1", "access_key_2"])
    {
        slot.clone_into(&mut key.id);
    }
    alert
}

/// `finding` as a store has it at `now`, with a rotation window of a day.
#[cfg(feature = "cli")]
pub(crate) fn stored(finding: Finding, now: Timestamp) -> FindingSnapshot {
    let known = KnownUses {
        last_uses: last_uses(),
        until: None,
    };
    FindingSnapshot::stored(finding, known, TimeDelta::days(1), now)
}

/// A digest of the findings in `alerts`.
pub(crate) fn digest_of(alerts: &[Alert]) -> Digest {
    Digest {
        account: "111122223333".to_owned(),
        kind: DigestKind::Baseline,
        at: at(86_402),
        findings: alerts.iter().map(|alert| alert.finding.clone()).collect(),
        unchecked: 0,
    }
}

/// The same finding after an exemption suppressed it.
pub(crate) fn exempt() -> Alert {
    let mut alert = opened();
    alert.kind = AlertKind::Updated(vec![FindingUpdate::Exempted]);
    alert.finding.status = FindingStatus::Suppressed;
    alert.finding.found_by = FoundBy::Sweep;
    alert.finding.exemption = Some(AppliedExemption {
        id: "build-farm".to_owned(),
        owner: "platform team".to_owned(),
        reason: "migration of the build farm".to_owned(),
        created_at: at(0),
        until: at(86_400 * 30),
    });
    alert
}

/// One snapshot of each kind: new, still open, closed, suppressed, root.
pub(crate) fn snapshots() -> Vec<FindingSnapshot> {
    let snapshot = |alert| FindingSnapshot {
        alert,
        last_uses: last_uses(),
        invocation: Invocation::default(),
    };
    every_alert().into_iter().map(snapshot).collect()
}

/// The same, with `text` in every field that an event can fill.
pub(crate) fn snapshots_with(text: &str) -> Vec<FindingSnapshot> {
    let snapshot = |alert| FindingSnapshot {
        alert: filled_with(text, alert),
        last_uses: last_uses_with(text),
        invocation: Invocation::default(),
    };
    every_alert().into_iter().map(snapshot).collect()
}

/// One alert of each kind.
pub(crate) fn every_alert() -> Vec<Alert> {
    vec![opened(), updated(), closed(), exempt(), root()]
}
