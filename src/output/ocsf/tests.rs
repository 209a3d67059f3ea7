use serde_json::json;

use super::*;
use crate::output::hostile::{first_link, first_unseen};
use crate::output::testing::{
    HOSTILE, closed, exempt, last_uses, opened, root, snapshots, snapshots_with, updated,
};

fn of(alert: crate::detect::findings::alert::Alert) -> Value {
    let snapshot = FindingSnapshot {
        alert,
        last_uses: last_uses(),
        invocation: crate::output::invocation::Invocation::default(),
    };
    serde_json::to_value(event(&snapshot)).unwrap()
}

#[test]
fn opened_finding_in_ocsf() {
    let snapshot = FindingSnapshot {
        alert: opened(),
        last_uses: last_uses(),
        invocation: crate::output::invocation::Invocation::default(),
    };
    let document = document(&[snapshot]).unwrap();
    expect_test::expect_file!["opening.json"].assert_eq(&(document + "\n"));
}

#[test]
fn activity_status_and_severity_match_the_finding() {
    for (alert, activity, status, severity, is_alert) in [
        (opened(), 1, 1, 3, true),
        (updated(), 2, 1, 4, true),
        (closed(), 3, 4, 3, false),
        (exempt(), 2, 3, 3, false),
        (root(), 1, 1, 5, true),
    ] {
        let event = of(alert);
        assert_eq!(event["activity_id"], activity);
        assert_eq!(event["type_uid"], 200_400 + activity);
        assert_eq!(event["status_id"], status);
        assert_eq!(event["severity_id"], severity);
        assert_eq!(event["is_alert"], is_alert);
    }
}

#[test]
fn closed_finding_shows_reason_time_and_actor() {
    let event = of(closed());
    assert_eq!(event["status_detail"], "key deactivated");
    let info = &event["finding_info"];
    assert_eq!(info["last_seen_time"], 1_700_012_002_000_i64);
    assert_eq!(info["related_events"].as_array().unwrap().len(), 2);
    let closing = &event["evidences"][1];
    assert_eq!(closing["name"], "closing");
    assert_eq!(closing["api"]["operation"], "UpdateAccessKey");
    assert_eq!(closing["src_endpoint"], json!({"ip": "203.0.113.9"}));
}

#[test]
fn unconfirmed_finding_has_lower_confidence() {
    let mut alert = opened();
    assert_eq!(of(alert.clone())["confidence_id"], 3);
    alert.finding.confirmed = false;
    assert_eq!(of(alert)["confidence_id"], 2);
}

#[test]
fn service_call_has_a_service_endpoint() {
    let mut alert = opened();
    let actor = &mut alert.finding.opener.as_mut().unwrap().actor;
    actor.source_ip = Some("cloudformation.amazonaws.com".to_owned());
    actor.invoked_by = Some("cloudformation.amazonaws.com".to_owned());
    let evidence = &of(alert)["evidences"][0];
    let service = "cloudformation.amazonaws.com";
    assert_eq!(evidence["src_endpoint"], json!({"svc_name": service}));
    assert_eq!(evidence["actor"]["app_name"], service);
}

#[test]
fn roots_keys_are_the_accounts() {
    let event = of(root());
    let user = &event["resources"][0];
    assert_eq!(user["type"], "AWS::::Account");
    assert_eq!(user["uid"], "111122223333");
    assert_eq!(user["name"], "root");
    assert_eq!(event.get("evidences"), None);
}

#[test]
fn names_and_ids_are_unchanged_and_hostile_text_is_visible() {
    for text in HOSTILE.iter() {
        let snapshots = snapshots_with(text);
        let document = document(&snapshots).unwrap();
        assert_eq!(first_unseen(&document), None, "{document}");
        let read: Value = serde_json::from_str(&document).unwrap();
        assert_eq!(read.as_array().unwrap().len(), snapshots.len());
        assert_eq!(read[0]["resources"][1]["uid"], **text);
        for event in read.as_array().unwrap() {
            let info = &event["finding_info"];
            for shown in [&event["message"], &info["title"], &info["desc"]] {
                let shown = shown.as_str().unwrap();
                assert_eq!(first_unseen(shown), None, "{shown}");
                assert!(!shown.contains(['\n']), "{shown}");
                assert_eq!(first_link(shown), None, "{shown}");
            }
        }
    }
    assert_eq!(document(&snapshots()[..0]).unwrap(), "[]");
}
