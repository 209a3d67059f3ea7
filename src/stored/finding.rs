//! A finding as it is stored: as its own item, in its user's record and in pending alerts.

use serde::{Deserialize, Serialize};

use crate::detect::decision::relation::Relation;
use crate::detect::decision::severity::{Severity, SeverityReason};
use crate::detect::findings::finding::{
    AppliedExemption, CloseReason, Closing, Finding, FindingId, FindingKey, FindingStatus, FoundBy,
    KeyActivation,
};
use crate::detect::keys::listing::KeyStatus;
use crate::detect::user::UserId;
use crate::stored::actor::ActorV1;
use crate::stored::leak::LeakV1;
use crate::stored::word::{Stored, Time};

/// A [`Finding`].
#[derive(Debug, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a separate fact about the finding"
)]
pub(crate) struct FindingV1 {
    account: String,
    user: String,
    episode: u32,
    display_name: String,
    // The name of the attribute in the index of findings, whose key it is together with
    // `opened_at`.
    finding_status: Stored<FindingStatus>,
    confirmed: bool,
    severity: Stored<Severity>,
    severity_reasons: Vec<Stored<SeverityReason>>,
    opened_at: Time,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_since_estimated: bool,
    detected_at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    opener: Option<OpenerV1>,
    #[serde(skip_serializing_if = "Option::is_none")]
    could_not_list: Option<String>,
    keys: Vec<FindingKeyV1>,
    #[serde(skip_serializing_if = "Option::is_none")]
    continues: Option<FindingIdV1>,
    // Schema 1 did not have the next four: every finding came from an event and was announced.
    #[serde(default)]
    found_by: FoundByV1,
    // Since schema 3.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    joined: Vec<OpenerV1>,
    #[serde(default)]
    has_unknown_maker: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    leaks: Vec<LeakV1>,
    #[serde(default = "everybody_was_told")]
    told: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    exemption: Option<ExemptedV1>,
    #[serde(skip_serializing_if = "Option::is_none")]
    closing: Option<ClosingV1>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(transparent)]
struct FoundByV1(Stored<FoundBy>);

impl Default for FoundByV1 {
    fn default() -> Self {
        Self(Stored(FoundBy::Event))
    }
}

const fn everybody_was_told() -> bool {
    true
}

#[derive(Debug, Serialize, Deserialize)]
struct ExemptedV1 {
    id: String,
    owner: String,
    reason: String,
    created_at: Time,
    until: Time,
}

#[derive(Debug, Serialize, Deserialize)]
struct OpenerV1 {
    key: String,
    created: bool,
    at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    inactive_since: Option<Time>,
    actor: ActorV1,
    #[serde(skip_serializing_if = "Option::is_none")]
    relation: Option<Stored<Relation>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct FindingKeyV1 {
    id: String,
    status: Stored<KeyStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<Time>,
}

#[derive(Debug, Serialize, Deserialize)]
struct FindingIdV1 {
    account: String,
    user: String,
    episode: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct ClosingV1 {
    reason: Stored<CloseReason>,
    at: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<ActorV1>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_id: Option<String>,
}

impl From<&Finding> for FindingV1 {
    fn from(finding: &Finding) -> Self {
        Self {
            account: finding.user().account().to_owned(),
            user: finding.user().name().to_owned(),
            episode: finding.id.episode,
            display_name: finding.display_name.clone(),
            finding_status: Stored(finding.status),
            confirmed: finding.confirmed,
            severity: Stored(finding.severity),
            severity_reasons: finding
                .severity_reasons
                .iter()
                .copied()
                .map(Stored)
                .collect(),
            opened_at: Time(finding.opened_at),
            is_since_estimated: finding.is_opened_at_estimated,
            detected_at: Time(finding.detected_at),
            opener: finding.opener.as_ref().map(Into::into),
            could_not_list: finding.listing_refusal.clone(),
            keys: finding.keys.iter().map(Into::into).collect(),
            continues: finding.continues.as_ref().map(Into::into),
            found_by: FoundByV1(Stored(finding.found_by)),
            joined: finding.other_activations.iter().map(Into::into).collect(),
            has_unknown_maker: finding.has_unknown_activator,
            leaks: finding.leaks.iter().map(Into::into).collect(),
            told: finding.announced,
            exemption: finding.exemption.as_ref().map(Into::into),
            closing: finding.closing.as_ref().map(Into::into),
        }
    }
}

impl From<FindingV1> for Finding {
    fn from(stored: FindingV1) -> Self {
        Self {
            id: FindingId {
                user: UserId::new(&stored.account, &stored.user),
                episode: stored.episode,
            },
            display_name: stored.display_name,
            status: stored.finding_status.0,
            confirmed: stored.confirmed,
            severity: stored.severity.0,
            severity_reasons: stored
                .severity_reasons
                .into_iter()
                .map(|reason| reason.0)
                .collect(),
            opened_at: stored.opened_at.0,
            is_opened_at_estimated: stored.is_since_estimated,
            detected_at: stored.detected_at.0,
            opener: stored.opener.map(Into::into),
            listing_refusal: stored.could_not_list,
            keys: stored.keys.into_iter().map(Into::into).collect(),
            continues: stored.continues.map(Into::into),
            found_by: stored.found_by.0.0,
            other_activations: stored.joined.into_iter().map(Into::into).collect(),
            has_unknown_activator: stored.has_unknown_maker,
            leaks: stored.leaks.into_iter().map(Into::into).collect(),
            announced: stored.told,
            exemption: stored.exemption.map(Into::into),
            closing: stored.closing.map(Into::into),
        }
    }
}

impl From<&KeyActivation> for OpenerV1 {
    fn from(opener: &KeyActivation) -> Self {
        Self {
            key: opener.key.clone(),
            created: opener.created,
            at: Time(opener.at),
            inactive_since: opener.inactive_since.map(Time),
            actor: (&opener.actor).into(),
            relation: opener.relation.map(Stored),
            event_id: opener.event_id.clone(),
        }
    }
}

impl From<OpenerV1> for KeyActivation {
    fn from(stored: OpenerV1) -> Self {
        Self {
            key: stored.key,
            created: stored.created,
            at: stored.at.0,
            inactive_since: stored.inactive_since.map(|since| since.0),
            actor: stored.actor.into(),
            relation: stored.relation.map(|relation| relation.0),
            event_id: stored.event_id,
        }
    }
}

impl From<&FindingKey> for FindingKeyV1 {
    fn from(key: &FindingKey) -> Self {
        Self {
            id: key.id.clone(),
            status: Stored(key.status),
            created: key.created.map(Time),
        }
    }
}

impl From<FindingKeyV1> for FindingKey {
    fn from(stored: FindingKeyV1) -> Self {
        Self {
            id: stored.id,
            status: stored.status.0,
            created: stored.created.map(|created| created.0),
        }
    }
}

impl From<&AppliedExemption> for ExemptedV1 {
    fn from(exempted: &AppliedExemption) -> Self {
        Self {
            id: exempted.id.clone(),
            owner: exempted.owner.clone(),
            reason: exempted.reason.clone(),
            created_at: Time(exempted.created_at),
            until: Time(exempted.until),
        }
    }
}

impl From<ExemptedV1> for AppliedExemption {
    fn from(stored: ExemptedV1) -> Self {
        Self {
            id: stored.id,
            owner: stored.owner,
            reason: stored.reason,
            created_at: stored.created_at.0,
            until: stored.until.0,
        }
    }
}

impl From<&FindingId> for FindingIdV1 {
    fn from(id: &FindingId) -> Self {
        Self {
            account: id.user.account().to_owned(),
            user: id.user.name().to_owned(),
            episode: id.episode,
        }
    }
}

impl From<FindingIdV1> for FindingId {
    fn from(stored: FindingIdV1) -> Self {
        Self {
            user: UserId::new(&stored.account, &stored.user),
            episode: stored.episode,
        }
    }
}

impl From<&Closing> for ClosingV1 {
    fn from(closing: &Closing) -> Self {
        Self {
            reason: Stored(closing.reason),
            at: Time(closing.at),
            actor: closing.actor.as_ref().map(Into::into),
            event_id: closing.event_id.clone(),
        }
    }
}

impl From<ClosingV1> for Closing {
    fn from(stored: ClosingV1) -> Self {
        Self {
            reason: stored.reason.0,
            at: stored.at.0,
            actor: stored.actor.map(Into::into),
            event_id: stored.event_id,
        }
    }
}
