//! The decision of a modeled worker: the product's own `decide` and [`Commit`], or a version that
//! is broken on purpose.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use secondkey::detect::decision::decide::{Decision, decide};
use secondkey::detect::decision::exemption::Exemption;
use secondkey::detect::decision::policy::Policy;
use secondkey::detect::decision::situation::{Outcome, Situation};
use secondkey::detect::events::key_change::{ChangeKind, KeyChange};
use secondkey::detect::keys::evidence::Evidence;
use secondkey::detect::keys::listing::{
    AccessKey, KeyListing, KeyStatus, PageResult, PartialListing,
};
use secondkey::detect::keys::view::view;
use secondkey::detect::records::user_record::UserRecord;
use secondkey::detect::trail::audit::AuditKind;

use crate::time::SETTLE;

/// The complete protocol, or the protocol without one rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Sound,
    NoVersionCondition,
    ListBeforeLoad,
    FreshnessAtDecision,
    SettleAfterNotKept,
    OldEventExplains,
    LastListingIgnored,
    EvidenceIgnored,
    UnsettledCloses,
    AlertBeforeCommit,
    NoOutbox,
    RecheckNotQueued,
    RetryTrustsPromise,
    TickedOffBeforeSent,
    UnexplainedEventTrusted,
    NoOpCounts,
    JoinedForgotten,
    BriefIgnored,
    AddLate,
    FailureNeverRefuses,
    SignerIgnored,
    UseTrusted,
}

/// The input of a decision.
pub struct Input<'a> {
    pub record: &'a UserRecord,
    pub listing: KeyListing,
    pub changes: &'a [KeyChange],
    pub already_recorded: &'a BTreeSet<String>,
    pub is_retry: bool,
    pub exemptions: &'a [Exemption],
    /// The moment of the decision, which may be long after the listing was requested.
    pub decided_at: DateTime<Utc>,
}

pub fn policy() -> Policy {
    Policy {
        consistency_window: SETTLE,
        ..Policy::default()
    }
}

impl Protocol {
    /// The decision of this protocol for `input`.
    pub fn decide(self, input: Input<'_>) -> Decision {
        let mut record = input.record.clone();
        let mut listing = input.listing;
        let mut changes = input.changes.to_vec();
        match self {
            Self::FreshnessAtDecision => listing = requested(&listing, input.decided_at),
            Self::SettleAfterNotKept => record.last_unsettled_at = None,
            Self::LastListingIgnored => record.last_listing = None,
            Self::OldEventExplains => explain(&mut record, &listing, &changes),
            Self::EvidenceIgnored => {
                record.evidence = Evidence::default();
                changes.clear();
            }
            Self::SignerIgnored => forget_uses(&mut record, &mut changes),
            Self::UseTrusted => {
                listing = with_used_keys(&listing, &record, &changes);
                forget_uses(&mut record, &mut changes);
            }
            Self::NoOpCounts => changes.iter_mut().for_each(count_as_creation),
            _ => {}
        }
        let policy = policy();
        let situation = Situation {
            record: &record,
            listing: &listing,
            changes: &changes,
            already_recorded: input.already_recorded,
            is_retry: input.is_retry && self != Self::RetryTrustsPromise,
            former_users: &[],
            exemptions: input.exemptions,
            familiar: &[],
            sweep: None,
            unwatched: None,
            is_history: self == Self::BriefIgnored,
            foreign_entry: None,
        };
        let now = listing.requested_at();
        let mut decision = decide(&situation, &policy, now);
        match self {
            Self::UnsettledCloses if decision.outcome == Outcome::StillOpen => {
                decision = closed_at_once(&situation, &policy).unwrap_or(decision);
            }
            Self::UnexplainedEventTrusted if decision.unsettled.is_empty() => {
                decision.rechecks.clear();
            }
            Self::AddLate if !decision.unsettled.is_empty() => {
                undo_added_keys(&record, &mut decision);
            }
            Self::JoinedForgotten => {
                if let Some(finding) = &mut decision.record.finding {
                    finding.other_activations.clear();
                }
            }
            _ => {}
        }
        decision
    }
}

/// Removes the added key from the open finding, and its alert.
fn undo_added_keys(record: &UserRecord, decision: &mut Decision) {
    if let (Some(open), Some(finding)) = (record.open_finding(), &mut decision.record.finding)
        && decision.outcome == Outcome::Updated
        && open.keys != finding.keys
    {
        finding.keys.clone_from(&open.keys);
        decision.alert = None;
        let before = decision.audit.len();
        decision
            .audit
            .retain(|entry| entry.draft.kind != AuditKind::FindingUpdated);
        decision.record.audit.sequence -= (before - decision.audit.len()) as u64;
    }
}

/// Makes an update to active one that is known to have changed something.
fn count_as_creation(change: &mut KeyChange) {
    if let ChangeKind::KeyUpdated { key, status } = &change.kind
        && *status == KeyStatus::Active
    {
        change.kind = ChangeKind::KeyCreated {
            key: key.clone(),
            status: *status,
        };
    }
}

/// Copies into the last listing whatever an event of any age confirms about `listing`.
fn explain(record: &mut UserRecord, listing: &KeyListing, changes: &[KeyChange]) {
    let evidence = merged(record, changes);
    let Some(last) = &mut record.last_listing else {
        return;
    };
    for (id, known) in &evidence.keys {
        let listed = listing.keys().find(|(listed, _)| *listed == id);
        let status = listed.map_or(KeyStatus::Gone, |(_, key)| key.status);
        if known.status() == Some(status) {
            last.keys.insert(id.clone(), status);
        }
    }
}

fn forget_uses(record: &mut UserRecord, changes: &mut [KeyChange]) {
    record.evidence.uses.clear();
    for change in changes {
        change.actor.access_key_id = None;
    }
}

/// `listing` as if it showed every key active that signed a change.
fn with_used_keys(listing: &KeyListing, record: &UserRecord, changes: &[KeyChange]) -> KeyListing {
    let mut keys: BTreeMap<String, AccessKey> = listing
        .keys()
        .map(|(id, key)| (id.clone(), key.clone()))
        .collect();
    for used in merged(record, changes).uses.into_keys() {
        let unlisted = AccessKey {
            status: KeyStatus::Active,
            created: None,
        };
        keys.entry(used).or_insert(unlisted).status = KeyStatus::Active;
    }
    match PartialListing::requested(listing.requested_at()).page(Some("u".to_owned()), keys, false)
    {
        PageResult::Complete(listing) => listing,
        PageResult::More(_) => unreachable!("it is the last page"),
    }
}

fn merged(record: &UserRecord, changes: &[KeyChange]) -> Evidence {
    changes
        .iter()
        .fold(record.evidence.clone(), |evidence, change| {
            evidence.with_change(&record.user, change)
        })
}

/// `listing` as if it had been requested at `at`.
fn requested(listing: &KeyListing, at: DateTime<Utc>) -> KeyListing {
    let keys = listing.keys().map(|(id, key)| (id.clone(), key.clone()));
    match PartialListing::requested(at).page(Some("u".to_owned()), keys, false) {
        PageResult::Complete(listing) => listing,
        PageResult::More(_) => unreachable!("it is the last page"),
    }
}

/// The decision if an unsettled view with fewer than two active keys counts as settled.
fn closed_at_once(situation: &Situation<'_>, policy: &Policy) -> Option<Decision> {
    let evidence = merged(situation.record, situation.changes);
    let view = view(
        situation.record,
        &evidence,
        situation.listing,
        policy.consistency_window,
    );
    if view.has_two_active() {
        return None;
    }
    let keys = view
        .keys
        .iter()
        .filter(|(_, key)| key.status != KeyStatus::Gone);
    let keys = keys.map(|(id, key)| {
        let status = key.status;
        (
            id.clone(),
            AccessKey {
                status,
                created: None,
            },
        )
    });
    let at = situation.listing.requested_at();
    let PageResult::Complete(believed) =
        PartialListing::requested(at).page(Some("u".to_owned()), keys, false)
    else {
        unreachable!("it is the last page")
    };
    let record = UserRecord {
        last_unsettled_at: None,
        last_listing: None,
        ..situation.record.clone()
    };
    let at_once = Policy {
        consistency_window: TimeDelta::zero(),
        ..policy.clone()
    };
    let situation = Situation {
        record: &record,
        listing: &believed,
        ..*situation
    };
    Some(decide(&situation, &at_once, at))
}
