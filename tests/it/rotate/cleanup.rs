//! What `cleanup` refuses to delete, and what it deletes.

use chrono::{SubsecRound, TimeDelta, Utc};
use secondkey::detect::Timestamp;
use secondkey::detect::decision::exemption::Exemption;
use secondkey::detect::events::actor::Actor;
use secondkey::detect::events::key_change::{ChangeKind, KeyChange};
use secondkey::detect::keys::listing::KeyStatus;
use secondkey::detect::trail::audit::AuditKind;
use secondkey::pipeline::finding_store::{FindingReader, FindingStore};
use secondkey::pipeline::record_change::record_change;

use super::world::World;
use crate::stack::wiring::ACCOUNT;

const APPLY: [&str; 1] = ["--apply"];

/// A user whose older key has been inactive for long enough; nothing shows since when.
async fn finished() -> (World, String, String) {
    let (world, keys) = World::with_keys(2).await;
    world.deactivate(&keys[0]).await;
    (world, keys[0].clone(), format!("{}\n", keys[0]))
}

/// Records in the file's trail that `key` was given the status.
async fn written_down(world: &World, key: &str, status: KeyStatus, at: Timestamp) {
    let change = KeyChange {
        id: format!("{:032x}", fastrand::u128(..)),
        event_id: None,
        corrects: None,
        at: at.trunc_subsecs(0),
        user: world.user_id(),
        user_name: world.user.clone(),
        kind: ChangeKind::KeyUpdated {
            key: key.to_owned(),
            status,
        },
        actor: Actor::default(),
        region: None,
    };
    record_change(&world.store(), &change, Utc::now())
        .await
        .unwrap();
}

fn days_ago(days: i64) -> Timestamp {
    Utc::now() - TimeDelta::days(days)
}

#[tokio::test]
async fn a_key_inactive_for_an_unknown_time_is_kept() {
    let (world, old, typed) = finished().await;
    let said = world.rotate_typing("cleanup", &APPLY, &typed).await;
    said.refused("neither the audit trail nor CloudTrail's event history shows since when key")
        .refused("aws iam update-access-key --user-name ");
    said.prints("Audit trail: not available: the file does not exist");
    world.history.deny();
    let said = world.rotate_typing("cleanup", &APPLY, &typed).await;
    said.refused("neither the audit trail nor CloudTrail's event history shows since when key");
    said.prints("cloudtrail:LookupEvents failed: access denied");
    // The latest entry contradicts IAM.
    written_down(&world, &old, KeyStatus::Inactive, days_ago(9)).await;
    written_down(&world, &old, KeyStatus::Active, days_ago(8)).await;
    let said = world.rotate_typing("cleanup", &APPLY, &typed).await;
    said.refused("neither the audit trail nor CloudTrail's event history shows since when key");
    world.assert_only_read();
    assert_eq!(world.keys().await.len(), 2);
}

#[tokio::test]
async fn a_key_is_kept_until_the_soak_time_ends() {
    let (world, old, typed) = finished().await;
    written_down(&world, &old, KeyStatus::Inactive, days_ago(1)).await;
    let said = world.rotate_typing("cleanup", &APPLY, &typed).await;
    said.refused("has been inactive only since")
        .refused("run cleanup in 2");
    // The trail says three days and the event history says one; the later time counts.
    let (world, old, typed) = finished().await;
    written_down(&world, &old, KeyStatus::Inactive, days_ago(3)).await;
    world.history.add(&world.user, &old, "Active", days_ago(2));
    world
        .history
        .add(&world.user, &old, "Inactive", days_ago(1));
    world.history.throttle(2);
    let said = world.rotate_typing("cleanup", &APPLY, &typed).await;
    said.refused("run cleanup in 2");
    let shorter = ["--soak-hours", "12"];
    world.rotate("cleanup", &shorter).await.succeeded();
    world.assert_only_read();
    assert_eq!(world.keys().await.len(), 2);
}

#[tokio::test]
async fn a_key_that_was_or_may_have_been_used_is_kept() {
    let (world, old, typed) = finished().await;
    written_down(&world, &old, KeyStatus::Inactive, days_ago(3)).await;
    world.front.last_used(&old, days_ago(2));
    let said = world.rotate_typing("cleanup", &APPLY, &typed).await;
    said.refused("should have been inactive since")
        .refused("by s3, in eu-west-1");
    world.front.deny(&["Action=GetAccessKeyLastUsed", &old]);
    let said = world.rotate_typing("cleanup", &APPLY, &typed).await;
    said.refused("the last use of key").refused("is not known");
    world.assert_only_read();
    assert_eq!(world.keys().await.len(), 2);
}

#[tokio::test]
async fn a_key_is_deleted_once_its_id_was_typed() {
    let (world, old, typed) = finished().await;
    world
        .history
        .add(&world.user, &old, "Inactive", days_ago(3));
    world.front.last_used(&old, days_ago(4));
    let dry = world.rotate("cleanup", &[]).await;
    dry.succeeded().prints("which cannot be undone");
    for wrong in ["", "y\n", "yes\n", &typed[..8]] {
        world
            .rotate_typing("cleanup", &APPLY, wrong)
            .await
            .refused("not confirmed");
    }
    world.assert_only_read();
    let command = dry.shown_command();
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    let said = world.run_typing(&words, &typed).await;
    said.succeeded().prints("Deleted");
    assert!(said.stderr.contains("cannot be undone"), "{}", said.stderr);
    assert!(!world.keys().await.contains_key(&old));
    let trail = world.trail().await;
    assert_eq!(trail.len(), 1);
    assert_eq!(trail[0].draft.kind, AuditKind::KeyDeleted);
    assert_eq!(
        trail[0].draft.details["user_agent"],
        "secondkey rotate cleanup"
    );
}

#[tokio::test]
async fn an_exemption_that_a_person_created_outlives_the_key() {
    let (world, old, typed) = finished().await;
    world
        .history
        .add(&world.user, &old, "Inactive", days_ago(3));
    let now = Utc::now();
    let written = |id: &str, reason: &str| Exemption {
        // The ID that an exemption for the user `rotation-bot` would have.
        id: id.to_owned(),
        account: ACCOUNT.to_owned(),
        user_pattern: world.user.clone(),
        actor_pattern: "*".to_owned(),
        owner: "x".to_owned(),
        reason: reason.to_owned(),
        created_at: now,
        until: now + TimeDelta::days(9),
    };
    let of_rotation = "rotation of the access key, begun by secondkey rotate start";
    for exemption in [
        written("rotation-bot-1", "TICKET-1"),
        written("rotation-bot-2", of_rotation),
    ] {
        world.store().put_exemption(&exemption).await.unwrap();
    }
    let said = world.rotate_typing("cleanup", &APPLY, &typed).await;
    said.succeeded()
        .prints("Removed the rotation's exemption rotation-bot-2");
    let left = world.store().exemptions(ACCOUNT).await.unwrap();
    let ids: Vec<&str> = left.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(ids, ["rotation-bot-1"]);
}

#[tokio::test]
async fn an_active_key_or_a_tampered_trail_blocks_the_deletion() {
    let (world, old, typed) = finished().await;
    let active: Vec<String> = world
        .keys()
        .await
        .into_keys()
        .filter(|key| *key != old)
        .collect();
    let chosen = ["--key", &active[0], "--apply"];
    world
        .rotate_typing("cleanup", &chosen, &active[0])
        .await
        .refused("is active");
    written_down(&world, &old, KeyStatus::Inactive, days_ago(1)).await;
    let forged = days_ago(9).format("%Y-%m-%d").to_string();
    let today = days_ago(1).format("%Y-%m-%d").to_string();
    world
        .store()
        .write(|connection| {
            connection.execute_batch("DROP TRIGGER audit_is_never_updated")?;
            connection.execute(
                "UPDATE audit SET body = replace(body, ?1, ?2)",
                [&format!("\"{today}"), &format!("\"{forged}")],
            )
        })
        .unwrap();
    let said = world.rotate_typing("cleanup", &APPLY, &typed).await;
    said.refused("neither the audit trail nor CloudTrail's event history shows since when key");
    said.prints("it is broken: entry 1 was changed");
    world.assert_only_read();
}
