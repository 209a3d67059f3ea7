//! The checks of the cases.

use secondkey::detect::findings::finding::{Finding, FindingStatus};
use secondkey::detect::user::UserId;
use secondkey::pipeline::finding_store::{FindingReader, FindingStore};
use serde_json::Value;

use crate::roles::policies::CENTRAL;
use crate::roles::world::World;
use crate::stack::wiring::message_counts;

/// The difference that a case found.
pub type Held = Result<(), String>;

pub async fn open_finding(world: &World, user: &UserId) -> Result<Finding, String> {
    let open = world.table().findings(FindingStatus::Open).await.unwrap();
    let of_user = open.into_iter().find(|finding| finding.user() == user);
    of_user.ok_or_else(|| format!("no open finding of {user}"))
}

pub fn confirmed(finding: &Finding) -> Held {
    listed(finding)?;
    held(finding.confirmed, || format!("unconfirmed: {finding:?}"))
}

pub fn listed(finding: &Finding) -> Held {
    held(finding.listing_refusal.is_none(), || {
        format!("not listed: {finding:?}")
    })
}

/// Checks that both sinks received an alert of `kind`, with the last uses of its keys if any key
/// should be retired.
pub async fn told(world: &World, kind: &str) -> Held {
    let people = world.take(&world.wiring.alerts_url).await;
    let programs = world.take(&world.wiring.bus_events_url).await;
    let is_of_kind = |alert: &Value| alert["kind"] == kind || alert["detail"]["kind"] == kind;
    for alerts in [&people, &programs] {
        held(alerts.iter().any(is_of_kind), || {
            format!("not told of {kind}: {alerts:?}")
        })?;
    }
    if kind == "opened" {
        last_used(&programs)?;
    }
    Ok(())
}

pub fn last_used(events: &[Value]) -> Held {
    let mut uses = events.iter().map(|event| &event["detail"]["last_used"]);
    let is_known = uses.any(|uses| uses.as_array().is_some_and(|uses| uses.len() == 2));
    held(is_known, || format!("last uses unknown: {events:?}"))
}

/// Checks that the actor of the cases' events is familiar.
pub async fn familiar(world: &World) -> Held {
    let known = world.table().familiar(CENTRAL).await.unwrap();
    let dana = |identity: &str| identity.ends_with(":user/dana");
    held(known.iter().any(|known| dana(&known.identity)), || {
        format!("not familiar: {known:?}")
    })
}

pub async fn queued_for_later(world: &World) -> Held {
    let sqs = aws_sdk_sqs::Client::new(&world.admin);
    let counts = message_counts(&sqs, &world.wiring.changes_url).await;
    held(counts.delayed > 0, || "no re-check is queued".to_owned())
}

pub fn held(holds: bool, otherwise: impl FnOnce() -> String) -> Held {
    if holds { Ok(()) } else { Err(otherwise()) }
}
