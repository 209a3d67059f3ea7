//! The cases of the sweeper.

use aws_sdk_dynamodb::types::AttributeValue;
use secondkey::aws::suspects::SweepMode;
use secondkey::detect::user::UserId;
use secondkey::pipeline::finding_store::FindingStore;
use serde_json::{Value, json};

use super::USER;
use super::checks::{Held, familiar, held, last_used, open_finding, queued_for_later};
use super::detector::first_deleted;
use super::events::{created, sweep};
use crate::roles::policies::CENTRAL;
use crate::roles::world::{TABLE, TOPIC, World};

pub async fn all_queued(world: &World) -> Held {
    let keys = world.user(CENTRAL, USER, 2).await;
    let change = created(CENTRAL, USER, &keys[1]);
    let by_admin = world.detect_as(&world.admin, TOPIC, &change).await;
    by_admin.unwrap();
    let organization = aws_sdk_organizations::Client::new(&world.admin);
    let made = organization
        .create_account()
        .account_name("another")
        .email("another@example.com");
    let made = made.send().await.unwrap().create_account_status.unwrap();
    let another = made.account_id.unwrap();

    let all = json!({"secondkey_sweep": {"version": 1}});
    world.sweep(SweepMode::List, TOPIC, &all).await?;
    let queued = world.take(&world.wiring.sweep_url).await;
    let users_of = |account: &str| {
        let mut all = queued.iter().map(|message| &message["secondkey_sweep"]);
        all.find(|sweep| sweep["account"] == *account)
            .map(|sweep| sweep["users"].clone())
    };
    held(
        users_of(CENTRAL) == Some(json!([USER])) && users_of(&another) == Some(Value::Null),
        || format!("queued: {queued:?}"),
    )
}

pub async fn swept(world: &World, account: &str, mode: SweepMode) -> Held {
    world.user(account, USER, 2).await;
    let failed = world.sweep(mode, TOPIC, &sweep(account, &[])).await;
    failed?;
    open_finding(world, &UserId::new(account, USER)).await?;
    let record = world.table().account(account).await.unwrap();
    held(
        record.baseline_at.is_some() && record.unreachable.is_none(),
        || format!("not noted: {record:?}"),
    )?;
    held(record.pending_digests.is_empty(), || {
        format!("digests owed: {record:?}")
    })?;
    let digests = world.take(&world.wiring.alerts_url).await;
    held(!digests.is_empty(), || "no digest".to_owned())?;
    last_used(&world.take(&world.wiring.bus_events_url).await)?;
    let owed = world
        .table()
        .pending_alerts(&UserId::new(account, USER))
        .await
        .unwrap();
    held(owed.is_empty(), || format!("still owed: {owed:?}"))
}

pub async fn swept_looked_at_again(world: &World) -> Held {
    world.user(CENTRAL, USER, 1).await;
    let change = created(CENTRAL, USER, "AKIANOTYET");
    let by_admin = world.detect_as(&world.admin, TOPIC, &change).await;
    by_admin.unwrap();
    let sqs = aws_sdk_sqs::Client::new(&world.admin);
    let purge = sqs.purge_queue().queue_url(&world.wiring.changes_url);
    purge.send().await.unwrap();
    let body = sweep(CENTRAL, &[USER]);
    world.sweep(SweepMode::Report, TOPIC, &body).await?;
    queued_for_later(world).await
}

/// The detector closed the finding and could not record the familiar actor.
pub async fn swept_familiar(world: &World) -> Held {
    let keys = world.user(CENTRAL, USER, 2).await;
    let made = created(CENTRAL, USER, &keys[1]);
    let by_admin = world.detect_as(&world.admin, TOPIC, &made).await;
    by_admin.unwrap();
    let gone = first_deleted(world, &keys[0]).await;
    let by_admin = world.detect_as(&world.admin, TOPIC, &gone).await;
    by_admin.unwrap();
    familiar(world).await?;
    let items = aws_sdk_dynamodb::Client::new(&world.admin);
    let [partition, sort] = [
        format!("FAMILIAR#{CENTRAL}"),
        format!("arn:aws:iam::{CENTRAL}:user/dana"),
    ]
    .map(AttributeValue::S);
    let forget = items
        .delete_item()
        .table_name(TABLE)
        .key("PK", partition)
        .key("SK", sort);
    forget.send().await.unwrap();
    world
        .sweep(SweepMode::List, TOPIC, &sweep(CENTRAL, &[USER]))
        .await?;
    familiar(world).await
}
