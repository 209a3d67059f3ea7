//! Product fields for what ASFF has no field for, at most 50.

use std::collections::BTreeMap;

use crate::output::asff::alert_json::{Actor, Alert};
use crate::output::asff::texts::{shown, within};
use crate::output::time::rfc3339;

const MAX_FIELD_CHARS: usize = 2_048;

/// What ASFF has no field for, under names of our own.
pub(super) fn product_fields(alert: &Alert) -> BTreeMap<&'static str, String> {
    let finding = &alert.finding;
    let actor = finding.actor.as_ref();
    let of_actor = |field: fn(&Actor) -> &Option<String>| actor.and_then(|it| field(it).clone());
    let reasons = finding.severity_reasons.join(",");
    [
        ("secondkey/finding_id", Some(finding.id.clone())),
        ("secondkey/account", Some(finding.account.clone())),
        ("secondkey/user", Some(finding.user.clone())),
        ("secondkey/status", Some(finding.status.clone())),
        ("secondkey/confirmed", Some(finding.confirmed.to_string())),
        ("secondkey/severity", Some(finding.severity.clone())),
        ("secondkey/severity_reasons", Some(reasons)),
        ("secondkey/sequence", Some(alert.sequence.to_string())),
        ("secondkey/audit_hash", alert.audit_hash.clone()),
        (
            "secondkey/rotation_window_ends_at",
            alert.window_ends_at.map(rfc3339),
        ),
        ("secondkey/found_by", finding.found_by.clone()),
        ("secondkey/close_reason", finding.close_reason.clone()),
        ("secondkey/actor_arn", of_actor(|actor| &actor.arn)),
        (
            "secondkey/actor_source_ip",
            of_actor(|actor| &actor.source_ip),
        ),
        (
            "secondkey/actor_user_agent",
            of_actor(|actor| &actor.user_agent),
        ),
        (
            "secondkey/event_id",
            finding
                .opener
                .as_ref()
                .and_then(|opener| opener.event_id.clone()),
        ),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value.filter(|value| !value.is_empty())?)))
    .map(|(name, value)| {
        (
            name,
            within(MAX_FIELD_CHARS, shown(&value, MAX_FIELD_CHARS)),
        )
    })
    .collect()
}
