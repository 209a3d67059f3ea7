//! Values with every field filled, so that a field that a store drops is noticed.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta};

use secondkey::detect::Timestamp;
use secondkey::detect::decision::exemption::Exemption;
use secondkey::detect::decision::severity::{Severity, SeverityReason};
use secondkey::detect::events::actor::Actor;
use secondkey::detect::events::leak::{Leak, LeakSignal};
use secondkey::detect::findings::alert::{Alert, AlertKind, FindingUpdate, PendingAlert};
use secondkey::detect::findings::finding::{
    AppliedExemption, CloseReason, Closing, Finding, FindingId, FindingKey, FindingStatus, FoundBy,
    KeyActivation,
};
use secondkey::detect::keys::evidence::{
    EventOrigin, Evidence, KeyEvent, KeyEvidence, PriorStatus, UserEvidence, UserState,
};
use secondkey::detect::keys::listing::KeyStatus;
use secondkey::detect::records::user_record::{
    FormerName, LastListing, ListedInactive, UserRecord,
};
use secondkey::detect::trail::audit::{AuditDraft, AuditKind};
use secondkey::detect::user::UserId;
use secondkey::pipeline::commit::Commit;

/// A moment `ms` milliseconds after an arbitrary start.
pub(super) fn at(ms: i64) -> Timestamp {
    DateTime::from_timestamp(1_700_000_000, 0).unwrap() + TimeDelta::milliseconds(ms)
}

pub(super) fn alice() -> UserId {
    UserId::new("111122223333", "alice")
}

pub(super) fn bob() -> UserId {
    UserId::new("111122223333", "bob")
}

fn actor(name: &str) -> Actor {
    Actor {
        kind: Some("AssumedRole".to_owned()),
        arn: Some(format!(
            "arn:aws:sts::444455556666:assumed-role/admin/{name}"
        )),
        name: Some(name.to_owned()),
        account: Some("444455556666".to_owned()),
        access_key_id: Some("ASIAEXAMPLE".to_owned()),
        source_ip: Some("203.0.113.7".to_owned()),
        user_agent: Some("<script>\u{202e}\n% # \"quoted\"".to_owned()),
        mfa: Some(false),
        console: true,
        invoked_by: Some("cloudformation.amazonaws.com".to_owned()),
    }
}

fn source(name: &str) -> EventOrigin {
    EventOrigin {
        event_id: Some(format!("event of {name}")),
        actor: Arc::new(actor(name)),
    }
}

/// Finding `episode` of `user`, with every field filled.
pub(super) fn finding(user: &UserId, episode: u32, status: FindingStatus) -> Finding {
    let is_closed = status == FindingStatus::Closed;
    Finding {
        id: FindingId {
            user: user.clone(),
            episode,
        },
        display_name: "Alice".to_owned(),
        status,
        confirmed: true,
        severity: Severity::Critical,
        severity_reasons: vec![
            SeverityReason::Root,
            SeverityReason::OutlivedWindow,
            SeverityReason::UntrustedActor,
            SeverityReason::DormantKey,
        ],
        opened_at: at(1_001),
        is_opened_at_estimated: true,
        detected_at: at(2_002),
        opener: Some(KeyActivation {
            key: "AKIA2".to_owned(),
            created: true,
            at: at(1_001),
            inactive_since: Some(at(-5_005)),
            actor: actor("mallory"),
            relation: None,
            event_id: Some("event-1".to_owned()),
        }),
        listing_refusal: Some("AccessDenied".to_owned()),
        keys: vec![
            FindingKey {
                id: "AKIA1".to_owned(),
                status: KeyStatus::Active,
                created: Some(at(-9_009)),
            },
            FindingKey {
                id: String::new(),
                status: KeyStatus::Gone,
                created: None,
            },
        ],
        continues: Some(FindingId {
            user: bob(),
            episode: 9,
        }),
        found_by: FoundBy::Sweep,
        other_activations: vec![KeyActivation {
            key: "AKIA#2%\n".to_owned(),
            created: false,
            at: at(1_500),
            inactive_since: None,
            actor: actor("eve"),
            relation: None,
            event_id: None,
        }],
        has_unknown_activator: true,
        leaks: leaks(),
        announced: false,
        exemption: Some(AppliedExemption {
            id: "farm".to_owned(),
            owner: "platform\nteam".to_owned(),
            reason: "migration #2%".to_owned(),
            created_at: at(500),
            until: at(900_000),
        }),
        closing: is_closed.then(|| Closing {
            reason: CloseReason::Renamed,
            at: at(3_003),
            actor: Some(actor("alice")),
            event_id: Some("event-2".to_owned()),
        }),
    }
}

fn leaks() -> Vec<Leak> {
    let leak = |key: Option<&str>, second, signal, event_id: Option<&str>| Leak {
        key: key.map(ToOwned::to_owned),
        at: at(second),
        signal,
        event_id: event_id.map(ToOwned::to_owned),
    };
    vec![
        leak(None, 4_001, LeakSignal::Quarantine, None),
        leak(Some("AKIA1"), 4_002, LeakSignal::Exposed, Some("arn:1")),
        leak(
            Some("AKIA#2%\n"),
            4_003,
            LeakSignal::ExposureSuspected,
            Some(""),
        ),
    ]
}

fn evidence() -> Evidence {
    let word = |second, status, name| KeyEvent {
        at: at(second),
        status,
        created: status == KeyStatus::Active,
        by: source(name),
    };
    Evidence {
        keys: BTreeMap::from([
            (
                "AKIA1".to_owned(),
                KeyEvidence {
                    events: vec![
                        word(4_000, KeyStatus::Active, "mallory"),
                        word(4_500, KeyStatus::Inactive, "alice"),
                    ],
                    prior: Some(PriorStatus {
                        at: at(-7_007),
                        status: KeyStatus::Inactive,
                    }),
                    announced: Some(at(4_000)),
                    status_after_conflict: Some(PriorStatus {
                        at: at(4_500),
                        status: KeyStatus::Active,
                    }),
                },
            ),
            (
                "AKIA#2%\n".to_owned(),
                KeyEvidence {
                    events: vec![word(4_600, KeyStatus::Gone, "carol")],
                    ..KeyEvidence::default()
                },
            ),
            (String::new(), KeyEvidence::default()),
        ]),
        user: Some(UserEvidence {
            state: Some(UserState::RenamedTo(bob())),
            at: at(5_000),
            by: EventOrigin {
                event_id: None,
                actor: Arc::default(),
            },
        }),
        leaks: leaks(),
        uses: BTreeMap::from([("AKIA1".to_owned(), at(4_700)), (String::new(), at(1))]),
    }
}

/// A commit of `user`'s first record with every field filled.
pub(super) fn rich_commit(user: &UserId) -> Commit {
    let mut record = UserRecord {
        user: user.clone(),
        display_name: "Alice".to_owned(),
        version: 0,
        episodes: 1,
        finding: None,
        evidence: evidence(),
        last_listing: Some(LastListing {
            requested_at: at(6_006),
            keys: BTreeMap::from([
                ("AKIA1".to_owned(), KeyStatus::Active),
                (String::new(), KeyStatus::Inactive),
            ]),
        }),
        listed_inactive: BTreeMap::from([
            (
                "AKIA1".to_owned(),
                ListedInactive {
                    since: at(6_001),
                    active_at: Some(at(6_006)),
                },
            ),
            (
                String::new(),
                ListedInactive {
                    since: at(6_002),
                    active_at: None,
                },
            ),
        ]),
        no_such_user_since: Some(at(7_007)),
        last_unsettled_at: Some(at(8_008)),
        below_two_at: Some(at(9_009)),
        below_two_key: Some("AKIAALONE".to_owned()),
        renamed_from: Some(UserId::root("111122223333")),
        former_name: Some(FormerName {
            user: bob(),
            until: at(9_010),
        }),
        recheck_at: Some(at(10_010)),
        refreshed_at: Some(at(10_011)),
        ..UserRecord::new(user.clone())
    };
    record.finding = Some(finding(user, 1, FindingStatus::Open));
    let mut commit = commit_on(&record);
    commit.finding_changed = true;
    add_entries(&mut commit, 2);
    commit.recorded = vec!["change-1".to_owned(), "change-2".to_owned()];
    commit.pending_alerts = vec![owed(&commit, "sns"), owed(&commit, "eventbridge")];
    commit
}

/// An exemption of the account of `alice()`.
pub(super) fn exemption(id: &str) -> Exemption {
    Exemption {
        id: id.to_owned(),
        account: alice().account().to_owned(),
        user_pattern: "ali*".to_owned(),
        actor_pattern: "arn:aws:iam::*:role/ci".to_owned(),
        owner: "platform team".to_owned(),
        reason: "# % \u{202e}".to_owned(),
        created_at: at(0),
        until: at(900_000),
    }
}

/// A commit that only raises the version of `record`.
pub(super) fn commit_on(record: &UserRecord) -> Commit {
    let mut record = record.clone();
    record.version += 1;
    Commit {
        record,
        finding_changed: false,
        audit: vec![],
        recorded: vec![],
        pending_alerts: vec![],
        at: at(20_000),
    }
}

/// Adds `count` entries to the trail, with every field filled.
pub(super) fn add_entries(commit: &mut Commit, count: usize) {
    for _ in 0..count {
        let number = commit.record.audit.sequence;
        let draft = AuditDraft {
            at: at(i64::try_from(number).unwrap()),
            recorded_at: at(20_000),
            kind: AuditKind::ALL[usize::try_from(number).unwrap() % AuditKind::ALL.len()],
            finding_id: Some("111122223333/alice/1".to_owned()),
            event_id: Some(format!("event-{number}")),
            actor: Some("\u{202e}mallory\n%#".to_owned()),
            details: BTreeMap::from([
                ("key".to_owned(), "AKIA1".to_owned()),
                ("empty".to_owned(), String::new()),
            ]),
        };
        let entry = commit.record.audit.append(&commit.record.user, draft);
        commit.audit.push(entry);
    }
}

/// A pending alert to `sink` about the commit's finding, linked to the end of its trail.
pub(super) fn owed(commit: &Commit, sink: &str) -> PendingAlert {
    PendingAlert {
        sink: sink.to_owned(),
        due_at: at(30_030),
        alert: Alert {
            kind: AlertKind::Updated(vec![
                FindingUpdate::Keys,
                FindingUpdate::Opener,
                FindingUpdate::Continues,
                FindingUpdate::OpenedAt,
                FindingUpdate::Severity,
                FindingUpdate::OutlivedWindow,
                FindingUpdate::Exempted,
                FindingUpdate::ExemptionEnded,
            ]),
            sequence: commit.record.audit.sequence,
            audit_hash: commit.record.audit.hash.clone(),
            in_digest: true,
            at: at(20_000),
            window_ends_at: at(86_400_000),
            finding: commit.record.finding.clone().unwrap(),
        },
    }
}
