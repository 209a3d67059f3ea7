//! Changes to users and keys.

use secondkey::detect::findings::finding::{CloseReason, FindingStatus};
use secondkey::detect::trail::audit::AuditKind::{
    FindingClosed, FindingOpened, KeyCreated, KeyDeleted, KeyUpdated, UserDeleted, UserRenamed,
};
use secondkey::detect::user::UserId;
use secondkey::pipeline::message::recheck_body;
use serde_json::json;

use super::world::{ACCOUNT, World, kinds};

#[tokio::test]
async fn a_second_key_created_opens_a_finding_and_alerts() {
    let world = World::new("created").await;
    let [first, second] = world.open().await;
    world.until_quiet().await;

    let findings = world.findings(FindingStatus::Open).await;
    assert_eq!(findings.len(), 1);
    let finding = &findings[0];
    assert!(finding.confirmed);
    assert_eq!(finding.display_name, world.user);
    assert!(finding.active_keys().any(|key| key == first));
    let opener = finding.opener.as_ref().expect("the event names the user");
    assert_eq!(
        (opener.key.as_str(), opener.created),
        (second.as_str(), true)
    );

    let alerts = world.alerts().await;
    assert_eq!(kinds(&alerts), ["opened"]);
    assert_eq!(alerts[0]["finding"]["id"], finding.id.to_string());
    assert_eq!(
        alerts[0]["finding"]["actor"]["arn"],
        format!("arn:aws:iam::{ACCOUNT}:user/dana")
    );
    // Dana is a different user without a record in this account.
    assert_eq!(alerts[0]["finding"]["severity"], "HIGH");
    assert_eq!(alerts[0]["verdict"]["code"], "contain");
    assert_eq!(alerts[0]["verdict"]["key"], second);
    assert_eq!(alerts[0]["retire"]["key"], second);
    crate::schema::check("alert", &alerts[0]);
    let events = world.bus_events().await;
    assert_eq!(events.len(), 1);
    crate::schema::check("alert", &events[0]["detail"]);
    assert_eq!(events[0]["detail-type"], "Second Active Access Key Opened");
    assert_eq!(events[0]["detail"]["finding"]["id"], finding.id.to_string());
    let trail = world.trail(&world.user_id()).await;
    assert_eq!(trail[..2], [KeyCreated, FindingOpened]);
}

#[tokio::test]
async fn a_second_key_reactivated_opens_a_finding() {
    let world = World::new("reactivated").await;
    world.create_key().await;
    let second = world.create_key().await;
    world.update_key(&second, "Inactive").await;
    world.tell(world.updated(&second, "Inactive")).await;
    world.until_quiet().await;
    assert_eq!(kinds(&world.alerts().await), Vec::<&str>::new());

    next_second().await;
    world.update_key(&second, "Active").await;
    world.tell(world.updated(&second, "Active")).await;
    world
        .until("the finding is open", async || world.is_open().await)
        .await;
    world.until_quiet().await;
    let alerts = world.alerts().await;
    assert_eq!(kinds(&alerts), ["opened"]);
    let finding = &world.findings(FindingStatus::Open).await[0];
    assert!(
        !finding
            .opener
            .as_ref()
            .expect("the event names the user")
            .created
    );
}

#[tokio::test]
async fn a_deactivation_closes_the_finding_and_deletion_changes_nothing() {
    let world = World::new("deactivated").await;
    let [first, _] = world.open().await;
    world.until_quiet().await;
    world.update_key(&first, "Inactive").await;
    world.tell(world.updated(&first, "Inactive")).await;
    world
        .until("the finding is closed", async || world.is_closed().await)
        .await;
    world.delete_key(&first).await;
    world.tell(world.deleted(&first)).await;
    world.until_quiet().await;

    assert_eq!(kinds(&world.alerts().await), ["opened", "closed"]);
    let finding = &world.findings(FindingStatus::Closed).await[0];
    let closing = finding.closing.as_ref().expect("it is closed");
    assert_eq!(closing.reason, CloseReason::Deactivated);
    assert_eq!(
        closing
            .actor
            .as_ref()
            .expect("the event names the user")
            .label(),
        format!("arn:aws:iam::{ACCOUNT}:user/dana")
    );
    assert_eq!(
        world
            .trail(&world.user_id())
            .await
            .into_iter()
            .filter(|kind| *kind != secondkey::detect::trail::audit::AuditKind::FindingConfirmed)
            .collect::<Vec<_>>(),
        [
            KeyCreated,
            FindingOpened,
            KeyUpdated,
            FindingClosed,
            KeyDeleted
        ]
    );
}

#[tokio::test]
async fn a_user_deleted_while_the_finding_is_open_closes_it() {
    let world = World::new("user-deleted").await;
    let keys = world.open().await;
    world.until_quiet().await;
    for key in &keys {
        world.delete_key(key).await;
    }
    world
        .iam
        .delete_user()
        .user_name(&world.user)
        .send()
        .await
        .expect("the user can be deleted");
    // The keys' own events are lost.
    world
        .tell(World::record(
            "DeleteUser",
            &json!({"userName": world.user}),
        ))
        .await;
    world
        .until("the finding is closed", async || world.is_closed().await)
        .await;
    world.until_quiet().await;
    let finding = &world.findings(FindingStatus::Closed).await[0];
    assert_eq!(
        finding.closing.as_ref().expect("it is closed").reason,
        CloseReason::UserDeleted
    );
    assert_eq!(kinds(&world.alerts().await), ["opened", "closed"]);
    assert!(world.trail(&world.user_id()).await.contains(&UserDeleted));
}

#[tokio::test]
async fn the_same_event_twice_is_one_entry_and_one_alert() {
    let world = World::new("twice").await;
    world.create_key().await;
    let second = world.create_key().await;
    let record = world.created(&second);
    world.tell(record.clone()).await;
    world
        .until("the finding is open", async || world.is_open().await)
        .await;
    world.tell(record).await;
    world.until_quiet().await;
    let trail = world.trail(&world.user_id()).await;
    assert_eq!(trail.iter().filter(|kind| **kind == KeyCreated).count(), 1);
    assert_eq!(
        trail.iter().filter(|kind| **kind == FindingOpened).count(),
        1
    );
    assert_eq!(kinds(&world.alerts().await), ["opened"]);
}

#[tokio::test]
async fn events_in_the_wrong_order_lead_to_the_right_state() {
    let world = World::new("swapped").await;
    world.create_key().await;
    let second = world.create_key().await;
    let created = world.created(&second);
    next_second().await;
    world.update_key(&second, "Inactive").await;
    world.tell(world.updated(&second, "Inactive")).await;
    world.turn().await;
    world.tell(created).await;
    world.until_quiet().await;
    assert!(!world.is_open().await);
    // For a moment two keys were active, which is reported although no check saw it.
    assert_eq!(kinds(&world.alerts().await), ["opened", "closed"]);
    assert_eq!(
        world.trail(&world.user_id()).await,
        [KeyUpdated, KeyCreated, FindingOpened, FindingClosed]
    );
}

#[tokio::test]
async fn ten_events_of_one_user_in_a_batch_cost_one_recheck() {
    let world = World::new("batch").await;
    let first = world.create_key().await;
    let second = world.create_key().await;
    for _ in 0..9 {
        world.tell(world.updated(&first, "Active")).await;
    }
    world.tell(world.created(&second)).await;
    let turn = world.turn().await;
    assert_eq!((turn.done.len(), turn.failed.len()), (10, 0));
    let record = world.store_record().await;
    assert_eq!(record.version, 1);
    assert!(world.is_open().await);
    assert_eq!(kinds(&world.alerts().await), ["opened"]);
    let trail = world.trail(&world.user_id()).await;
    assert_eq!(trail.len(), 11);
}

#[tokio::test]
async fn a_user_deleted_and_created_again_has_a_second_episode() {
    let world = World::new("again").await;
    let keys = world.open().await;
    world.until_quiet().await;
    for key in &keys {
        world.delete_key(key).await;
        world.tell(world.deleted(key)).await;
    }
    world
        .iam
        .delete_user()
        .user_name(&world.user)
        .send()
        .await
        .expect("the user can be deleted");
    world
        .tell(World::record(
            "DeleteUser",
            &json!({"userName": world.user}),
        ))
        .await;
    world
        .until("the finding is closed", async || world.is_closed().await)
        .await;
    world.until_quiet().await;

    world
        .iam
        .create_user()
        .user_name(&world.user)
        .send()
        .await
        .expect("the user can be recreated");
    world.open().await;
    world.until_quiet().await;
    let open = world.findings(FindingStatus::Open).await;
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].id.episode, 2);
    assert_eq!(kinds(&world.alerts().await), ["opened", "closed", "opened"]);
}

#[tokio::test]
async fn a_renamed_user_keeps_the_finding_under_the_new_name() {
    let world = World::new("renamed").await;
    world.open().await;
    world.until_quiet().await;
    let before = world.findings(FindingStatus::Open).await.remove(0);
    let new_name = format!("{}-New", world.user);
    next_second().await;
    world
        .iam
        .update_user()
        .user_name(&world.user)
        .new_user_name(&new_name)
        .send()
        .await
        .expect("the user can be renamed");
    world
        .tell(World::record(
            "UpdateUser",
            &json!({"userName": world.user, "newUserName": new_name}),
        ))
        .await;
    world
        .until("the old finding is closed", async || {
            !world.findings(FindingStatus::Closed).await.is_empty()
        })
        .await;
    world.until_quiet().await;

    let old = world.findings(FindingStatus::Closed).await.remove(0);
    assert_eq!(old.id, before.id);
    assert_eq!(
        old.closing.expect("it is closed").reason,
        CloseReason::Renamed
    );
    let new = world.findings(FindingStatus::Open).await.remove(0);
    assert_eq!(new.id.user, UserId::new(ACCOUNT, &new_name));
    assert_eq!(new.continues, Some(before.id));
    assert_eq!(new.opened_at, before.opened_at);
    assert_eq!(new.opener, before.opener);
    assert!(
        world
            .trail(&UserId::new(ACCOUNT, &new_name))
            .await
            .contains(&UserRenamed)
    );
    assert!(world.trail(&world.user_id()).await.contains(&UserRenamed));
}

#[tokio::test]
async fn a_listing_under_a_users_former_name_is_not_misread() {
    let world = World::new("former-name").await;
    let [first, _] = world.open().await;
    world.until_quiet().await;
    // In lower case, because moto knows a user in one spelling only.
    let new_name = format!("{}-new", world.user).to_lowercase();
    world
        .iam
        .update_user()
        .user_name(&world.user)
        .new_user_name(&new_name)
        .send()
        .await
        .expect("the user can be renamed");
    let listed = world.iam.list_access_keys().user_name(&new_name).send();
    let listed = listed.await.expect("the keys can be listed");
    let named = listed.access_key_metadata[0].user_name.as_deref();
    assert_eq!(named, Some(world.user.as_str()), "moto keeps it in the key");

    let new_user = UserId::new(ACCOUNT, &new_name);
    for _ in 0..2 {
        world.send(&recheck_body(&new_user)).await;
        world.until_quiet().await;
    }
    let findings = world.findings(FindingStatus::Open).await;
    let new = findings.iter().find(|open| open.id.user == new_user);
    let new = new.expect("the finding is open under the new name");
    assert_eq!(new.display_name, new_user.name());
    assert!(new.active_keys().any(|key| key == first));
}

#[tokio::test]
async fn the_command_line_reads_the_deployed_table() {
    let world = World::new("cli").await;
    let [_, second] = world.open().await;
    let url = &crate::stack::stack().await.dynamodb_url;
    let run = |arguments: &[&str]| {
        let output = assert_cmd::Command::new(env!("CARGO_BIN_EXE_secondkey"))
            .args(arguments)
            .args(["--table", &world.table, "--region", "us-east-1"])
            .env("AWS_ENDPOINT_URL_DYNAMODB", url)
            .env("AWS_ACCESS_KEY_ID", "AKIATEST")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .output()
            .expect("it runs");
        let printed = String::from_utf8(output.stdout).expect("it is UTF-8");
        (output.status.code(), printed)
    };
    let (exit, printed) = run(&["findings"]);
    assert!(
        exit == Some(10) && printed.contains(&world.user),
        "{printed}"
    );
    let (exit, printed) = run(&["history", &world.user]);
    assert!(exit == Some(0) && printed.contains(&second), "{printed}");
    let (exit, printed) = run(&["verify"]);
    assert!(
        exit == Some(0) && printed.contains("1 trail, "),
        "{printed}"
    );
}

/// Events have whole seconds, and two in the same second may contradict each other.
async fn next_second() {
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
}
