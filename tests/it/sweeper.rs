//! The sweeper's and the detector's own code with moto and DynamoDB Local: which accounts are
//! swept, and how a sweep ends.

mod calls;
mod refresh;
mod world;

use chrono::{TimeDelta, Utc};
use secondkey::aws::suspects::SweepMode;
use secondkey::detect::findings::finding::{CloseReason, FindingStatus, FoundBy};
use secondkey::detect::records::account_record::AccountRecord;
use secondkey::detect::trail::audit::AuditKind;
use secondkey::detect::user::UserId;
use secondkey::pipeline::finding_store::{FindingReader, FindingStore};
use serde_json::json;

use self::world::{World, new_account};
use crate::stack::proxy::Fault;

/// The response of a service that is down permanently.
fn down(part: &'static str) -> Fault {
    Fault {
        part,
        status: 503,
        body: "",
        times: u32::MAX,
    }
}

#[tokio::test]
async fn one_user_who_always_fails_does_not_stop_the_accounts_sweep() {
    let world = World::new("one-bad", SweepMode::List).await;
    let account = new_account();
    world.user(&account, "fine", 1).await;
    world.user(&account, "has-two", 2).await;
    world.user(&account, "always-fails", 1).await;
    world.aws.set(down("UserName=always-fails"));
    world.aws.take_bodies();
    let swept = world.sweep(&json!({"account": account})).await;
    assert!(swept.failed.is_empty(), "{swept:?}");
    assert_eq!(swept.metric("UncheckedUsers"), Some(1));
    assert_eq!(swept.metric("Sweeps"), Some(1));
    let record = world.table.account(&account).await.unwrap();
    assert!(record.swept_at.is_some() && record.baseline_at.is_some());
    assert_eq!(world.open_users().await, ["has-two"]);
    // The detector's queue retries that user.
    assert_eq!(
        world.queued_rechecks(),
        [UserId::new(&account, "always-fails")]
    );
}

#[tokio::test]
async fn an_account_is_not_swept_if_every_user_fails() {
    let world = World::new("all-bad", SweepMode::Report).await;
    let account = new_account();
    world.user(&account, "has-two", 2).await;
    world.aws.set(down("Action=ListAccessKeys"));
    let swept = world.sweep(&json!({"account": account})).await;
    assert_eq!(swept.failed, ["1"]);
    assert_eq!(swept.metric("UncheckedUsers"), None);
    assert_eq!(world.table.account(&account).await.unwrap().swept_at, None);
}

#[tokio::test]
async fn a_member_is_swept_after_its_first_event() {
    let world = World::new("registered", SweepMode::List).await;
    let account = new_account();
    let key = world.user(&account, "erin", 1).await.remove(0);
    world.user(&account, "mallory", 2).await;
    // A failed write must not fail the event.
    world.dynamodb.set(Fault {
        times: 3,
        ..down("\"PK\":{\"S\":\"ACCOUNT\"}")
    });
    assert!(world.detect(&account, "erin", &key).await.failed.is_empty());
    assert_eq!(world.table.accounts().await, Ok(vec![]));
    assert!(world.detect(&account, "erin", &key).await.failed.is_empty());
    let known = world.table.accounts().await.unwrap();
    assert_eq!(known.len(), 1);
    assert_eq!(known[0].account, account);
    // The third event finds the account registered.
    world.dynamodb.take_bodies();
    world.detect(&account, "erin", &key).await;
    let written = world.dynamodb.take_bodies();
    let of_account = |body: &&String| body.contains("\"ACCOUNT\"");
    assert_eq!(written.iter().filter(of_account).count(), 0);

    let queued = world.fan_out().await;
    assert!(queued.contains(&json!({"version": 1, "account": account})));
    world.sweep(&json!({"account": account})).await;
    let finding = world
        .table
        .findings(FindingStatus::Open)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(finding.display_name, "mallory");
    assert_eq!(finding.found_by, FoundBy::Baseline);
}

#[tokio::test]
async fn the_central_account_is_not_registered() {
    let world = World::new("own-account", SweepMode::List).await;
    let own = world.own();
    world.detect(&own, "nobody-of-this-name", "AKIANONE").await;
    assert_eq!(world.table.accounts().await, Ok(vec![]));
}

#[tokio::test]
async fn accounts_that_are_not_swept_in_time_are_counted() {
    let world = World::new("overdue", SweepMode::List).await;
    let now = Utc::now();
    for (account, hours_ago) in [("100000000001", 1), ("100000000002", 3)] {
        let swept_at = now - TimeDelta::hours(hours_ago);
        let record = AccountRecord {
            version: 1,
            baseline_at: Some(swept_at),
            swept_at: Some(swept_at),
            ..AccountRecord::new(account)
        };
        assert_eq!(world.table.put_account(&record).await, Ok(true));
    }
    let fanned_out = world.sweep(&json!({})).await;
    assert_eq!(fanned_out.metric("OverdueAccounts"), Some(1));
}

#[tokio::test]
async fn findings_of_an_account_that_left_are_closed_when_certain() {
    let mut world = World::new("left", SweepMode::List).await;
    let account = new_account();
    let keys = world.user(&account, "gone", 2).await;
    world.user(&account, "quiet", 2).await;
    for name in ["gone", "quiet"] {
        world.detect(&account, name, &keys[1]).await;
    }
    let gone = UserId::new(&account, "gone");
    world
        .promise_recheck(&gone, Utc::now() - TimeDelta::hours(1))
        .await;
    world
        .promise_recheck(
            &UserId::new(&account, "quiet"),
            Utc::now() + TimeDelta::hours(1),
        )
        .await;
    world.lists_accounts().await;
    world.aws.take_bodies();
    let queued = world.fan_out().await;
    assert!(
        queued
            .iter()
            .all(|turn| turn["account"] != account.as_str()),
        "it cannot be entered, so it has no turn: {queued:?}"
    );
    assert_eq!(world.queued_rechecks(), std::slice::from_ref(&gone));
    assert!(
        world
            .table
            .record(&gone)
            .await
            .unwrap()
            .open_finding()
            .is_some()
    );

    // An hour later the organization still does not list it.
    let missed = world.table.account(&account).await.unwrap();
    assert!(missed.left_at.is_some());
    let an_hour_ago = AccountRecord {
        version: missed.version + 1,
        left_at: missed.left_at.map(|at| at - TimeDelta::hours(1)),
        ..missed
    };
    assert_eq!(world.table.put_account(&an_hour_ago).await, Ok(true));
    world.fan_out().await;
    for name in ["gone", "quiet"] {
        let user = UserId::new(&account, name);
        let record = world.table.record(&user).await.unwrap();
        let closing = record.finding.unwrap().closing.unwrap();
        assert_eq!(closing.reason, CloseReason::AccountLeft);
        let trail = world.table.history(&user).await.unwrap();
        let last = &trail.last().unwrap().draft;
        assert_eq!(last.kind, AuditKind::FindingClosed);
        assert_eq!(last.details["reason"], "account left the organization");
        assert_eq!(world.table.pending_alerts(&user).await, Ok(vec![]));
    }
}

#[tokio::test]
async fn an_excluded_account_is_not_watched_and_its_findings_are_closed() {
    let mut world = World::new("excluded", SweepMode::List).await;
    let account = new_account();
    let keys = world.user(&account, "has-two", 2).await;
    world.detect(&account, "has-two", &keys[1]).await;
    let swept = AccountRecord {
        swept_at: Some(Utc::now() - TimeDelta::hours(9)),
        ..world.table.account(&account).await.unwrap()
    };
    let swept = AccountRecord {
        version: swept.version + 1,
        ..swept
    };
    assert_eq!(world.table.put_account(&swept).await, Ok(true));
    let overdue = world.sweep(&json!({})).await.metric("OverdueAccounts");
    assert_eq!(overdue, Some(1), "before it is excluded");

    let excluded = &mut world.sweeper.deployment.excluded_accounts;
    excluded.insert(account.clone());
    for lists_accounts in [false, true] {
        if lists_accounts {
            world.lists_accounts().await;
        }
        let fanned_out = world.sweep(&json!({})).await;
        assert_eq!(fanned_out.metric("OverdueAccounts"), Some(0));
    }
    let turns = world.fan_out().await;
    let queued_since = turns
        .iter()
        .filter(|turn| turn["account"] == account.as_str());
    assert_eq!(queued_since.count(), 1, "only before it was excluded");

    let user = UserId::new(&account, "has-two");
    let record = world.table.record(&user).await.unwrap();
    let closing = record.finding.clone().unwrap().closing.unwrap();
    assert_eq!(closing.reason, CloseReason::AccountExcluded);
    let trail = world.table.history(&user).await.unwrap();
    assert_eq!(
        trail.last().unwrap().draft.details["reason"],
        "account excluded"
    );

    // Neither an event, nor a queued re-check, nor a queued turn opens it again.
    let ignored = world.detect(&account, "has-two", &keys[1]).await;
    assert_eq!(ignored.metric("Ignored"), Some(1));
    let ignored = world.recheck(&user).await;
    assert_eq!(ignored.metric("Ignored"), Some(1));
    let turn = world.sweep(&json!({"account": account})).await;
    assert_eq!((turn.failed.len(), turn.metric("Sweeps")), (0, None));
    assert_eq!(world.table.record(&user).await, Ok(record));

    world.sweeper.deployment.excluded_accounts.clear();
    world.sweep(&json!({"account": account})).await;
    assert_eq!(world.open_users().await, ["has-two"], "watched again");
}

#[tokio::test]
async fn no_page_is_lost_in_a_sweep() {
    let world = World::new("pages", SweepMode::List).await;
    let account = new_account();
    for (name, keys) in [("one", 1), ("two", 2), ("none", 0), ("also-two", 2)] {
        world.user(&account, name, keys).await;
    }
    for proxy in [&world.aws, &world.dynamodb] {
        proxy.pages_of(1);
    }
    let swept = world.sweep(&json!({"account": account})).await;
    assert!(swept.failed.is_empty(), "{swept:?}");
    let mut open = world.open_users().await;
    open.sort();
    assert_eq!(open, ["also-two", "two"]);

    // The next fan-out names the users with open findings, and those with due re-checks.
    let due = UserId::new(&account, "none");
    let an_hour_ago = Utc::now() - TimeDelta::hours(1);
    let turn = json!({"account": account, "users": ["none"]});
    assert!(world.sweep(&turn).await.failed.is_empty());
    world.promise_recheck(&due, an_hour_ago).await;
    let turns = world.fan_out().await;
    let turn = turns
        .iter()
        .find(|turn| turn["account"] == account.as_str());
    let mut users: Vec<&str> = turn.unwrap()["users"]
        .as_array()
        .unwrap()
        .iter()
        .map(|user| user.as_str().unwrap())
        .collect();
    users.sort_unstable();
    assert_eq!(users, ["also-two", "none", "two"]);
}

/// Up to 500 users are listed one by one; the report shows more of them in two calls.
#[tokio::test]
async fn the_501st_user_switches_a_sweep_to_the_report() {
    let world = World::new("boundary", SweepMode::Auto).await;
    let account = new_account();
    for number in 0..500 {
        world.user(&account, &format!("user-{number}"), 0).await;
    }
    let calls = async || {
        world.aws.take_exchanges();
        assert!(
            world
                .sweep(&json!({"account": account}))
                .await
                .failed
                .is_empty()
        );
        let exchanges = world.aws.take_exchanges();
        let listings = exchanges
            .iter()
            .filter(|done| done.action == "ListAccessKeys");
        listings.count()
    };
    assert_eq!(calls().await, 500);
    world.user(&account, "user-500", 2).await;
    // Only the user with two keys is re-checked.
    assert_eq!(calls().await, 1);
    assert_eq!(world.open_users().await, ["user-500"]);
}
