//! The cases of the detector.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{TimeDelta, Utc};
use secondkey::aws::suspects::SweepMode;
use secondkey::detect::user::UserId;
use secondkey::pipeline::finding_store::FindingStore;
use serde_json::{Value, json};

use super::checks::{
    Held, confirmed, familiar, held, listed, open_finding, queued_for_later, told,
};
use super::events::{created, event, leaked, recheck, sweep};
use super::{ROOT, USER};
use crate::roles::invoke::OTHER_TOPIC;
use crate::roles::policies::{CENTRAL, MEMBER};
use crate::roles::world::{TABLE, World};
use crate::stack::wiring::cloudtrail_record;

pub async fn opened(world: &World) -> Result<Vec<String>, String> {
    let keys = world.user(CENTRAL, USER, 2).await;
    world.detect(&created(CENTRAL, USER, &keys[1])).await?;
    let finding = open_finding(world, &UserId::new(CENTRAL, USER)).await?;
    confirmed(&finding)?;
    told(world, "opened").await?;
    let owed = world.table().pending_alerts(finding.user()).await.unwrap();
    held(owed.is_empty(), || format!("still owed: {owed:?}"))?;
    Ok(keys)
}

pub async fn closed(world: &World) -> Held {
    let keys = opened(world).await?;
    world.detect(&first_deleted(world, &keys[0]).await).await?;
    told(world, "closed").await?;
    familiar(world).await
}

/// Deletes the first of the user's keys. Returns the event.
pub async fn first_deleted(world: &World, key: &str) -> Value {
    // Events have whole seconds: an event in the same second as the last listing does not explain
    // later changes.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let iam = aws_sdk_iam::Client::new(&world.admin);
    let delete = iam.delete_access_key().user_name(USER).access_key_id(key);
    delete.send().await.unwrap();
    let parameters = json!({"userName": USER, "accessKeyId": key});
    event(
        CENTRAL,
        &cloudtrail_record("DeleteAccessKey", &parameters, Utc::now()),
    )
}

pub async fn looked_at_again(world: &World) -> Held {
    world.user(CENTRAL, USER, 1).await;
    world.detect(&created(CENTRAL, USER, "AKIANOTYET")).await?;
    queued_for_later(world).await
}

/// A pending alert that was due long ago, and a topic that does not belong to the deployment.
pub async fn put_off(world: &World, in_sweep: bool) -> Held {
    let keys = world.user(CENTRAL, USER, 2).await;
    let change = created(CENTRAL, USER, &keys[1]);
    let by_admin = world.detect_as(&world.admin, OTHER_TOPIC, &change).await;
    by_admin.unwrap();
    let user = UserId::new(CENTRAL, USER);
    let owed = world.table().pending_alerts(&user).await.unwrap();
    assert_eq!(owed.len(), 1, "{owed:?}");
    let long_ago = "2026-01-01T00:00:00.000Z";
    let items = aws_sdk_dynamodb::Client::new(&world.admin);
    let partition = AttributeValue::S(format!("OWED#{CENTRAL}#{USER}"));
    let found = items
        .query()
        .table_name(TABLE)
        .key_condition_expression("PK = :partition")
        .expression_attribute_values(":partition", partition);
    let mut item = found.send().await.unwrap().items.unwrap().remove(0);
    item.insert("due_at".to_owned(), AttributeValue::S(long_ago.to_owned()));
    let put = items.put_item().table_name(TABLE).set_item(Some(item));
    put.send().await.unwrap();

    if in_sweep {
        let sweep = sweep(CENTRAL, &[USER]);
        // Its digest cannot be delivered either, which is a failure.
        let _ = world.sweep(SweepMode::Report, OTHER_TOPIC, &sweep).await;
    } else {
        let recheck = recheck(CENTRAL, USER);
        let function = &world.functions[0];
        world.detect_as(function, OTHER_TOPIC, &recheck).await?;
    }
    let owed = world.table().pending_alerts(&user).await.unwrap();
    held(
        owed.iter()
            .all(|owed| owed.due_at > Utc::now() - TimeDelta::minutes(5)),
        || format!("not put off: {owed:?}"),
    )
}

pub async fn root(world: &World, account: &str) -> Held {
    world.user(account, ROOT, 2).await;
    let mut change = created(account, "example-corp", "AKIAROOT");
    change["detail"]["userIdentity"] = json!({"type": "Root", "principalId": account, "accountId": account,
        "arn": format!("arn:aws:iam::{account}:root")});
    change["detail"]["requestParameters"] = Value::Null;
    world.detect(&change).await?;
    let finding = open_finding(world, &UserId::root(account)).await?;
    listed(&finding)
}

pub async fn member_user(world: &World) -> Held {
    let keys = world.user(MEMBER, USER, 2).await;
    world.detect(&created(MEMBER, USER, &keys[1])).await?;
    confirmed(&open_finding(world, &UserId::new(MEMBER, USER)).await?)?;
    let account = world.table().account(MEMBER).await.unwrap();
    held(account.registered_at.is_some(), || {
        format!("not registered: {account:?}")
    })?;
    told(world, "opened").await
}

pub async fn reported(world: &World, account: &str) -> Held {
    let keys = world.user(account, USER, 2).await;
    world.detect(&created(account, USER, &keys[1])).await?;
    world.detect(&leaked(account, &keys[1])).await?;
    let finding = open_finding(world, &UserId::new(account, USER)).await?;
    let leaked: Vec<_> = finding.leaks.iter().map(|leak| leak.key.as_ref()).collect();
    held(leaked == [Some(&keys[1])], || {
        format!("{:?}", finding.leaks)
    })
}

pub async fn probed(world: &World) -> Held {
    let probe = json!({"secondkey_probe": {"version": 1, "id": "one"}});
    world.detect(&probe).await?;
    let is_there = world.table().has_probe("one").await.unwrap();
    held(is_there, || "no trace".to_owned())
}

pub async fn set_aside(world: &World) -> Held {
    let poison = json!({"source": "aws.iam"});
    world.detect(&poison).await?;
    let dead = world.take(&world.wiring.dead_url).await;
    held(dead == [poison], || format!("not set aside: {dead:?}"))
}
