//! Who made the second key active and who closed the finding, and with which calls.

use std::net::IpAddr;

use crate::detect::events::actor::Actor as By;
use crate::detect::findings::finding::{CloseReason, Finding};
use crate::output::ocsf::resources::account;
use crate::output::ocsf::wire::RelatedEvent;
use crate::output::ocsf::wire::evidences::{
    Actor, Api, Endpoint, Evidence, HttpRequest, Service, Session, User,
};

/// The evidence from events: of the opening, and of the closing if there is one.
pub(super) fn evidences(finding: &Finding) -> Vec<Evidence> {
    let opening = finding
        .opener
        .iter()
        .chain(&finding.other_activations)
        .map(|opener| {
            let operation = if opener.created {
                "CreateAccessKey"
            } else {
                "UpdateAccessKey"
            };
            evidence("opening", operation, &opener.actor)
        });
    let closing = finding.closing.as_ref().and_then(|closing| {
        let operation = match closing.reason {
            CloseReason::Deactivated => "UpdateAccessKey",
            CloseReason::Deleted => "DeleteAccessKey",
            CloseReason::UserDeleted => "DeleteUser",
            CloseReason::Renamed => "UpdateUser",
            CloseReason::NeverConfirmed
            | CloseReason::AccountLeft
            | CloseReason::AccountExcluded => return None,
        };
        Some(evidence("closing", operation, closing.actor.as_ref()?))
    });
    opening.chain(closing).collect()
}

/// The CloudTrail events of the opening and the closing.
pub(super) fn related_events(finding: &Finding) -> Vec<RelatedEvent> {
    let opening = finding.opener.as_ref();
    let closing = finding.closing.as_ref();
    [
        opening.and_then(|opener| opener.event_id.clone()),
        closing.and_then(|closing| closing.event_id.clone()),
    ]
    .into_iter()
    .flatten()
    .map(|uid| RelatedEvent {
        uid,
        kind: "CloudTrail",
    })
    .collect()
}

fn evidence(name: &'static str, operation: &'static str, by: &By) -> Evidence {
    Evidence {
        name,
        actor: actor(by),
        api: Api {
            operation,
            service: Service {
                name: "iam.amazonaws.com",
            },
        },
        src_endpoint: by.source_ip.as_deref().map(endpoint),
        http_request: by
            .user_agent
            .clone()
            .map(|user_agent| HttpRequest { user_agent }),
    }
}

fn actor(by: &By) -> Actor {
    let has_session = by.access_key_id.is_some() || by.mfa.is_some();
    Actor {
        user: User {
            name: by.name.clone().unwrap_or_else(|| by.label().to_owned()),
            uid: by.arn.clone(),
            kind: by.kind.clone(),
            type_id: by.kind.is_some().then_some(99),
            account: by.account.as_deref().map(account),
        },
        session: has_session.then(|| Session {
            credential_uid: by.access_key_id.clone(),
            is_mfa: by.mfa,
        }),
        app_name: by.invoked_by.clone(),
    }
}

/// CloudTrail's source address is an IP address, or a service's name if a service made the call.
fn endpoint(source_ip: &str) -> Endpoint {
    let is_address = source_ip.parse::<IpAddr>().is_ok();
    let text = source_ip.to_owned();
    let (ip, svc_name) = if is_address {
        (Some(text), None)
    } else {
        (None, Some(text))
    };
    Endpoint { ip, svc_name }
}
