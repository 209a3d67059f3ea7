//! The contract of `FindingStore` and `FindingReader`: the same cases against `DynamoDB` and `SQLite`.

mod fresh;
mod rich;

use std::collections::BTreeSet;

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::TimeDelta;

use secondkey::aws::dynamodb::DynamoDbStore;
use secondkey::detect::decision::exemption::Exemption;
use secondkey::detect::decision::familiar::FamiliarActor;
use secondkey::detect::events::text::bounded;
use secondkey::detect::findings::alert::{AlertKind, PendingAlert};
use secondkey::detect::findings::finding::FindingStatus;
use secondkey::detect::records::account_record::AccountRecord;
use secondkey::detect::records::coverage::AccountCoverage;
use secondkey::detect::records::user_record::UserRecord;
use secondkey::detect::trail::audit::{ChainHead, verify_trail};
use secondkey::detect::user::UserId;
use secondkey::pipeline::commit::{CommitResult, MAX_EVENTS};
use secondkey::pipeline::error::ErrorKind;
use secondkey::pipeline::finding_store::{FindingReader, FindingStore};

use fresh::Fresh;
use rich::{add_entries, alice, at, bob, commit_on, exemption, finding, owed, rich_commit};

/// Runs each case against both stores, as separate tests.
macro_rules! contract {
    ($($case:ident),+ $(,)?) => {
        mod dynamodb {
            $(#[tokio::test]
            async fn $case() {
                super::$case(super::Fresh::dynamodb().await).await;
            })+
        }

        mod sqlite {
            $(#[tokio::test]
            async fn $case() {
                super::$case(super::Fresh::sqlite().await).await;
            })+
        }
    };
}

contract! {
    an_unknown_user_has_an_empty_record,
    a_commit_is_read_back_exactly,
    a_stale_commit_is_refused_and_leaves_nothing,
    a_commit_on_a_deleted_record_is_refused,
    a_change_enters_the_trail_of_a_user_once,
    an_expired_mark_is_ignored,
    pending_alerts_are_sorted_and_marked_delivered_one_by_one,
    only_one_worker_reschedules_a_pending_alert,
    findings_move_from_open_to_closed,
    a_suppressed_finding_is_neither_open_nor_closed,
    exemptions_are_stored_per_account_and_removed,
    familiar_actors_are_stored_per_account_and_replaced,
    a_familiar_actor_of_a_newer_release_is_unchanged,
    the_oldest_open_finding_comes_first,
    a_long_history_is_complete_and_sorted,
    hostile_names_stay_apart,
    a_newer_record_is_neither_read_nor_overwritten,
    a_newer_finding_is_neither_read_nor_overwritten,
    an_unknown_stored_word_is_named,
    a_trail_without_a_record_is_found,
    an_existing_audit_entry_is_not_overwritten,
    a_full_commit_fits,
    one_of_two_commits_on_one_version_wins,
}

async fn an_unknown_user_has_an_empty_record(Fresh { store, .. }: Fresh) {
    assert_eq!(store.record(&alice()).await, Ok(UserRecord::new(alice())));
    assert_eq!(store.pending_alerts(&alice()).await, Ok(vec![]));
    assert_eq!(store.history(&alice()).await, Ok(vec![]));
    assert_eq!(store.findings(FindingStatus::Open).await, Ok(vec![]));
    assert_eq!(store.users().await, Ok(vec![]));
}

async fn a_commit_is_read_back_exactly(Fresh { store, other, .. }: Fresh) {
    let commit = rich_commit(&alice());
    assert_eq!(store.commit(&commit).await, Ok(CommitResult::Written));
    for store in [store, other] {
        assert_eq!(store.record(&alice()).await, Ok(commit.record.clone()));
        assert_eq!(store.history(&alice()).await, Ok(commit.audit.clone()));
        assert_eq!(
            store.findings(FindingStatus::Open).await,
            Ok(vec![commit.record.finding.clone().unwrap()])
        );
        assert_eq!(
            by_sink(store.pending_alerts(&alice()).await.unwrap()),
            by_sink(commit.pending_alerts.clone())
        );
        assert_eq!(store.users().await, Ok(vec![alice()]));
    }
}

async fn a_stale_commit_is_refused_and_leaves_nothing(Fresh { store, .. }: Fresh) {
    let first = commit_on(&UserRecord::new(alice()));
    assert_eq!(store.commit(&first).await, Ok(CommitResult::Written));

    let stale = rich_commit(&alice());
    assert_eq!(
        store.commit(&stale).await,
        Ok(CommitResult::VersionConflict)
    );
    assert_eq!(store.record(&alice()).await, Ok(first.record.clone()));
    assert_eq!(store.findings(FindingStatus::Open).await, Ok(vec![]));
    assert_eq!(store.history(&alice()).await, Ok(vec![]));
    assert_eq!(store.pending_alerts(&alice()).await, Ok(vec![]));

    // The marks were not set either. Otherwise the same changes would be refused now.
    let mut fresh = rich_commit(&alice());
    fresh.record.version = 2;
    assert_eq!(store.commit(&fresh).await, Ok(CommitResult::Written));
}

async fn a_commit_on_a_deleted_record_is_refused(Fresh { store, .. }: Fresh) {
    let mut commit = rich_commit(&alice());
    commit.record.version = 5;
    assert_eq!(
        store.commit(&commit).await,
        Ok(CommitResult::VersionConflict)
    );
    assert_eq!(store.users().await, Ok(vec![]));
}

async fn a_change_enters_the_trail_of_a_user_once(Fresh { store, .. }: Fresh) {
    let first = rich_commit(&alice());
    assert_eq!(store.commit(&first).await, Ok(CommitResult::Written));

    let mut second = commit_on(&first.record);
    add_entries(&mut second, 2);
    second.recorded = vec!["change-2".to_owned(), "change-3".to_owned()];
    assert_eq!(
        store.commit(&second).await,
        Ok(CommitResult::AlreadyRecorded(BTreeSet::from([
            "change-2".to_owned()
        ])))
    );
    assert_eq!(store.record(&alice()).await, Ok(first.record.clone()));
    assert_eq!(store.history(&alice()).await, Ok(first.audit));

    let mut without = commit_on(&first.record);
    add_entries(&mut without, 1);
    without.recorded = vec!["change-3".to_owned()];
    assert_eq!(store.commit(&without).await, Ok(CommitResult::Written));

    // A rename is one change that enters the trails of two users.
    assert_eq!(
        store.commit(&rich_commit(&bob())).await,
        Ok(CommitResult::Written)
    );
}

async fn an_expired_mark_is_ignored(Fresh { store, .. }: Fresh) {
    let first = rich_commit(&alice());
    assert_eq!(store.commit(&first).await, Ok(CommitResult::Written));
    let mut again = commit_on(&first.record);
    again.recorded = vec!["change-1".to_owned()];
    again.at = first.at + TimeDelta::days(15) - TimeDelta::seconds(1);
    assert!(matches!(
        store.commit(&again).await,
        Ok(CommitResult::AlreadyRecorded(_))
    ));
    again.at = first.at + TimeDelta::days(15);
    assert_eq!(store.commit(&again).await, Ok(CommitResult::Written));
}

async fn only_one_worker_reschedules_a_pending_alert(Fresh { store, .. }: Fresh) {
    let commit = rich_commit(&alice());
    assert_eq!(store.commit(&commit).await, Ok(CommitResult::Written));
    let read = store.pending_alerts(&alice()).await.unwrap();
    let until = read[0].due_at + TimeDelta::seconds(90);
    assert_eq!(store.reschedule(&read[0], until).await, Ok(true));
    assert_eq!(
        store.reschedule(&read[0], until).await,
        Ok(false),
        "it was moved already"
    );
    let mut expected = read.clone();
    expected[0].due_at = until;
    assert_eq!(store.pending_alerts(&alice()).await, Ok(expected.clone()));

    assert_eq!(store.mark_delivered(&expected[0]).await, Ok(()));
    let later = until + TimeDelta::seconds(90);
    assert_eq!(
        store.reschedule(&expected[0], later).await,
        Ok(false),
        "it is gone"
    );
    assert_eq!(
        store.pending_alerts(&alice()).await.unwrap().len(),
        read.len() - 1
    );
}

async fn pending_alerts_are_sorted_and_marked_delivered_one_by_one(Fresh { store, .. }: Fresh) {
    let mut record = rich_commit(&alice()).record;
    record.audit = ChainHead::default();
    let mut all = Vec::new();
    for version in 0..11 {
        record.version = version;
        let mut commit = commit_on(&record);
        add_entries(&mut commit, 1);
        commit.pending_alerts = vec![owed(&commit, "sns")];
        if version == 1 {
            commit.pending_alerts.push(owed(&commit, "eventbridge"));
        }
        if version == 2 {
            commit.pending_alerts[0].alert.kind = AlertKind::Closed;
        }
        assert_eq!(store.commit(&commit).await, Ok(CommitResult::Written));
        all.extend(commit.pending_alerts);
        record = commit.record;
    }
    let read = store.pending_alerts(&alice()).await.unwrap();
    assert!(read.is_sorted_by_key(|owed| owed.alert.sequence));
    assert_eq!(by_sink(read), by_sink(all.clone()));

    let ticked = all.remove(1);
    assert_eq!(store.mark_delivered(&ticked).await, Ok(()));
    assert_eq!(store.mark_delivered(&ticked).await, Ok(()));
    assert_eq!(
        by_sink(store.pending_alerts(&alice()).await.unwrap()),
        by_sink(all)
    );
    assert_eq!(store.pending_alerts(&bob()).await, Ok(vec![]));
}

async fn findings_move_from_open_to_closed(Fresh { store, .. }: Fresh) {
    let opened = rich_commit(&alice());
    assert_eq!(store.commit(&opened).await, Ok(CommitResult::Written));
    assert_eq!(store.findings(FindingStatus::Closed).await, Ok(vec![]));

    let mut closed = commit_on(&opened.record);
    let finding = finding(&alice(), 1, FindingStatus::Closed);
    closed.record.finding = Some(finding.clone());
    closed.finding_changed = true;
    assert_eq!(store.commit(&closed).await, Ok(CommitResult::Written));
    assert_eq!(store.findings(FindingStatus::Open).await, Ok(vec![]));
    assert_eq!(
        store.findings(FindingStatus::Closed).await,
        Ok(vec![finding])
    );
    assert_eq!(store.record(&alice()).await, Ok(closed.record));
}

async fn a_suppressed_finding_is_neither_open_nor_closed(Fresh { store, .. }: Fresh) {
    let mut commit = rich_commit(&alice());
    let hidden = finding(&alice(), 1, FindingStatus::Suppressed);
    commit.record.finding = Some(hidden.clone());
    assert_eq!(store.commit(&commit).await, Ok(CommitResult::Written));
    let found = async |status| store.findings(status).await.unwrap();
    assert_eq!(found(FindingStatus::Suppressed).await, [hidden]);
    assert_eq!(found(FindingStatus::Open).await, []);
    assert_eq!(found(FindingStatus::Closed).await, []);
}

async fn exemptions_are_stored_per_account_and_removed(Fresh { store, other, .. }: Fresh) {
    let account = alice().account().to_owned();
    assert_eq!(store.exemptions(&account).await, Ok(vec![]));
    for id in ["one", "two # % \n"] {
        store.put_exemption(&exemption(id)).await.unwrap();
    }
    let of_another = Exemption {
        account: "444455556666".to_owned(),
        ..exemption("one")
    };
    store.put_exemption(&of_another).await.unwrap();
    let longer = Exemption {
        until: at(1_000_000),
        ..exemption("one")
    };
    store.put_exemption(&longer).await.unwrap();
    let kept = other.exemptions(&account).await.unwrap();
    assert_eq!(kept, [longer, exemption("two # % \n")]);
    assert_eq!(store.remove_exemption(&account, "one").await, Ok(true));
    assert_eq!(store.remove_exemption(&account, "one").await, Ok(false));
    assert_eq!(other.exemptions(&account).await.unwrap().len(), 1);
    assert_eq!(other.exemptions("444455556666").await.unwrap().len(), 1);
}

async fn familiar_actors_are_stored_per_account_and_replaced(Fresh { store, other, .. }: Fresh) {
    let account = alice().account().to_owned();
    assert_eq!(store.familiar(&account).await, Ok([].into()));
    let one = |identity: &str, last_at| FamiliarActor {
        account: account.clone(),
        identity: identity.to_owned(),
        since: at(1),
        last_at: at(last_at),
    };
    let ci = "arn:aws:sts::111122223333:assumed-role/ci";
    // As limited in length as the texts of events are.
    let hostile = bounded(&"#%\n\u{202e}'; --".repeat(1024));
    for kept in [one(ci, 1), one(&hostile, 2), one(ci, 3)] {
        assert_eq!(store.put_familiar(&kept).await, Ok(()));
        assert_eq!(store.put_familiar(&kept).await, Ok(()), "written twice");
    }
    let elsewhere = FamiliarActor {
        account: "444455556666".to_owned(),
        ..one(ci, 4)
    };
    store.put_familiar(&elsewhere).await.unwrap();
    let mut kept = other.familiar(&account).await.unwrap().to_vec();
    kept.sort_by_key(|familiar| familiar.last_at);
    assert_eq!(kept, [one(&hostile, 2), one(ci, 3)]);
    assert_eq!(other.familiar("444455556666").await, Ok([elsewhere].into()));
    // Nothing else in the account mistakes it for its own.
    assert_eq!(store.exemptions(&account).await, Ok(vec![]));
    assert_eq!(store.users().await, Ok(vec![]));
}

async fn a_familiar_actor_of_a_newer_release_is_unchanged(fresh: Fresh) {
    let familiar = FamiliarActor {
        account: alice().account().to_owned(),
        identity: "arn:aws:sts::111122223333:assumed-role/ci".to_owned(),
        since: at(1),
        last_at: at(1),
    };
    fresh.store.put_familiar(&familiar).await.unwrap();
    fresh.make_familiar_newer(&familiar).await;
    let again = FamiliarActor {
        last_at: at(2),
        ..familiar
    };
    assert_eq!(fresh.store.put_familiar(&again).await, Ok(()));
    // It was not replaced, so it still cannot be read: the actor counts as unfamiliar until this
    // release is newer too.
    let read = fresh.store.familiar(alice().account()).await;
    assert_eq!(read, Ok([].into()));
}

async fn the_oldest_open_finding_comes_first(Fresh { store, .. }: Fresh) {
    // Later in the alphabet and earlier in time, and two with the same time.
    let openings = [("zoe", 1), ("yan", 2), ("alice", 3), ("bob", 3)];
    for (name, ms) in openings {
        let user = UserId::new("111122223333", name);
        let mut commit = commit_on(&UserRecord::new(user.clone()));
        let mut finding = finding(&user, 1, FindingStatus::Open);
        finding.opened_at = at(ms);
        commit.record.finding = Some(finding);
        commit.finding_changed = true;
        assert_eq!(store.commit(&commit).await, Ok(CommitResult::Written));
    }
    let found = store.findings(FindingStatus::Open).await.unwrap();
    let names: Vec<&str> = found.iter().map(|finding| finding.user().name()).collect();
    assert_eq!(names, openings.map(|(name, _)| name));
}

async fn a_long_history_is_complete_and_sorted(Fresh { store, .. }: Fresh) {
    let mut record = UserRecord::new(alice());
    // Together far more than one page of DynamoDB, which holds a megabyte.
    let long = "x".repeat(20_000);
    for _ in 0..3 {
        let mut commit = commit_on(&record);
        let mut head = record.audit.clone();
        add_entries(&mut commit, MAX_EVENTS);
        for entry in &mut commit.audit {
            entry.draft.details.insert("long".to_owned(), long.clone());
            *entry = head.append(&alice(), entry.draft.clone());
        }
        commit.record.audit = head;
        assert_eq!(store.commit(&commit).await, Ok(CommitResult::Written));
        record = commit.record;
    }
    let history = store.history(&alice()).await.unwrap();
    assert_eq!(history.len(), 3 * MAX_EVENTS);
    assert_eq!(verify_trail(&alice(), &history, &record.audit), Ok(()));
    assert_eq!(store.users().await, Ok(vec![alice()]));
}

async fn hostile_names_stay_apart(Fresh { store, .. }: Fresh) {
    let long = |end: &str| bounded(&("İ%#".repeat(1024) + end));
    let mut users = vec![
        UserId::new("1#2", "3"),
        UserId::new("1", "2#3"),
        UserId::new("1%232", "3"),
        UserId::new("1", "2%233"),
        UserId::new("1", "2\n3"),
        UserId::new("1", "2\u{202e}3"),
        UserId::new("1", "'; DROP TABLE records; --"),
        UserId::new(&long("account"), &long("one")),
        UserId::new(&long("account"), &long("two")),
        UserId::new(&"7".repeat(1024), &"%".repeat(1024)),
        UserId::root("1"),
    ];
    for user in &users {
        let mut commit = rich_commit(user);
        commit.recorded.push(bounded(&"#%\u{202e}".repeat(1024)));
        assert_eq!(store.commit(&commit).await, Ok(CommitResult::Written));
    }
    for user in &users {
        let written = rich_commit(user);
        assert_eq!(store.record(user).await, Ok(written.record));
        assert_eq!(store.history(user).await, Ok(written.audit));
        let owed = store.pending_alerts(user).await.unwrap();
        assert_eq!(by_sink(owed.clone()), by_sink(written.pending_alerts));
        for owed in owed {
            assert_eq!(store.mark_delivered(&owed).await, Ok(()));
        }
        assert_eq!(store.pending_alerts(user).await, Ok(vec![]));
    }
    users.sort();
    assert_eq!(store.users().await, Ok(users));
}

async fn a_newer_record_is_neither_read_nor_overwritten(fresh: Fresh) {
    let first = rich_commit(&alice());
    assert_eq!(fresh.store.commit(&first).await, Ok(CommitResult::Written));
    fresh.make_record_newer(&alice()).await;

    let read = fresh.store.record(&alice()).await.unwrap_err();
    let written = fresh.store.commit(&commit_on(&first.record)).await;
    // Also if the version does not match, because a retry would end in the same error.
    let stale = fresh.store.commit(&rich_commit(&alice())).await;
    for error in [read, written.unwrap_err(), stale.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Retryable);
        let text = error.to_string();
        assert!(
            text.contains("was written by a newer release (schema 4;"),
            "{text}"
        );
        assert!(text.contains("alice"), "{text}");
    }
}

async fn a_newer_finding_is_neither_read_nor_overwritten(fresh: Fresh) {
    let first = rich_commit(&alice());
    assert_eq!(fresh.store.commit(&first).await, Ok(CommitResult::Written));
    fresh.make_first_finding_newer(&alice()).await;

    let read = fresh.store.findings(FindingStatus::Open).await.unwrap_err();
    let mut second = commit_on(&first.record);
    second.finding_changed = true;
    let written = fresh.store.commit(&second).await.unwrap_err();
    for error in [read, written] {
        assert_eq!(error.kind(), ErrorKind::Retryable);
        assert!(error.to_string().contains("newer release"), "{error}");
    }
    assert_eq!(fresh.store.record(&alice()).await, Ok(first.record));
}

async fn an_unknown_stored_word_is_named(fresh: Fresh) {
    let first = rich_commit(&alice());
    assert_eq!(fresh.store.commit(&first).await, Ok(CommitResult::Written));
    fresh.spoil_record(&alice()).await;
    let error = fresh.store.record(&alice()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Permanent);
    let text = error.to_string();
    assert!(
        text.contains("alice") && text.contains("ascended"),
        "{text}"
    );
}

async fn a_trail_without_a_record_is_found(fresh: Fresh) {
    for user in [alice(), bob()] {
        let commit = rich_commit(&user);
        assert_eq!(fresh.store.commit(&commit).await, Ok(CommitResult::Written));
    }
    fresh.remove_record(&alice()).await;
    assert_eq!(fresh.store.users().await, Ok(vec![alice(), bob()]));
}

async fn an_existing_audit_entry_is_not_overwritten(fresh: Fresh) {
    let first = rich_commit(&alice());
    assert_eq!(fresh.store.commit(&first).await, Ok(CommitResult::Written));
    fresh.remove_record(&alice()).await;

    let mut forged = rich_commit(&alice());
    forged.recorded.clear();
    let taken = fresh.store.commit(&forged).await;
    assert_eq!(taken, Ok(CommitResult::TrailTaken(1)));
    assert_eq!(fresh.store.history(&alice()).await, Ok(first.audit));
    assert_eq!(
        fresh.store.record(&alice()).await,
        Ok(UserRecord::new(alice()))
    );
}

async fn a_full_commit_fits(Fresh { store, .. }: Fresh) {
    let mut commit = rich_commit(&alice());
    add_entries(&mut commit, MAX_EVENTS);
    assert_eq!(commit.audit.len(), MAX_EVENTS + 2);
    commit.recorded = (0..MAX_EVENTS).map(|id| format!("change-{id}")).collect();
    commit.pending_alerts = ["sns", "eventbridge", "terminal"]
        .map(|sink| owed(&commit, sink))
        .to_vec();
    assert_eq!(store.commit(&commit).await, Ok(CommitResult::Written));
    assert_eq!(store.history(&alice()).await, Ok(commit.audit));
    assert_eq!(store.pending_alerts(&alice()).await.unwrap().len(), 3);
}

async fn one_of_two_commits_on_one_version_wins(Fresh { store, other, .. }: Fresh) {
    let mut record = UserRecord::new(alice());
    for _ in 0..20 {
        let commit = |name: &str| {
            let mut commit = commit_on(&record);
            name.clone_into(&mut commit.record.display_name);
            commit
        };
        let (one, two) = (commit("one"), commit("two"));
        let (first, second) = (one.clone(), two.clone());
        let (store_one, store_two) = (store.clone(), other.clone());
        let first = tokio::spawn(async move { store_one.commit(&first).await });
        let second = tokio::spawn(async move { store_two.commit(&second).await });
        let outcome = (first.await.unwrap(), second.await.unwrap());
        record = match outcome {
            (Ok(CommitResult::Written), Ok(CommitResult::VersionConflict)) => one.record,
            (Ok(CommitResult::VersionConflict), Ok(CommitResult::Written)) => two.record,
            other => panic!("not exactly one commit won: {other:?}"),
        };
        assert_eq!(store.record(&alice()).await, Ok(record.clone()));
    }
}

#[tokio::test]
async fn the_due_index_contains_pending_alerts_and_rechecks() {
    let fresh = Fresh::dynamodb().await;
    let commit = rich_commit(&alice());
    assert_eq!(fresh.store.commit(&commit).await, Ok(CommitResult::Written));
    assert_eq!(
        fresh.due().await.into_iter().collect::<BTreeSet<_>>(),
        BTreeSet::from([
            "RECORD".to_owned(),
            "00000000000000000002#sns".to_owned(),
            "00000000000000000002#eventbridge".to_owned(),
        ])
    );
    for owed in &commit.pending_alerts {
        fresh.store.mark_delivered(owed).await.unwrap();
    }
    let mut next = commit_on(&commit.record);
    next.record.recheck_at = None;
    assert_eq!(fresh.store.commit(&next).await, Ok(CommitResult::Written));
    assert_eq!(fresh.due().await, Vec::<String>::new());
}

#[tokio::test]
async fn due_work_is_found_in_every_partition_old_and_new() {
    let (client, table) = crate::table::new_table().await;
    let store = DynamoDbStore::new(client.clone(), table.clone());
    let users: BTreeSet<UserId> = (0..40)
        .map(|number| UserId::new("111122223333", &format!("user-{number}")))
        .collect();
    for user in &users {
        let mut commit = commit_on(&UserRecord::new(user.clone()));
        commit.record.recheck_at = Some(at(30));
        assert_eq!(store.commit(&commit).await, Ok(CommitResult::Written));
    }
    // An older release wrote them all into one partition.
    let moved = users.iter().next().unwrap();
    let key = format!("USER#111122223333#{}", moved.name());
    client
        .update_item()
        .table_name(&table)
        .key("PK", AttributeValue::S(key))
        .key("SK", AttributeValue::S("RECORD".to_owned()))
        .update_expression("SET due = :due")
        .expression_attribute_values(":due", AttributeValue::S("due".to_owned()))
        .send()
        .await
        .unwrap();
    assert_eq!(store.due(at(30)).await, Ok(users));
    assert_eq!(store.due(at(29)).await, Ok(BTreeSet::new()));
}

#[tokio::test]
async fn registering_adds_new_accounts_and_keeps_swept_ones() {
    let (client, table) = crate::table::new_table().await;
    let store = DynamoDbStore::new(client, table);
    store.register_account("444455556666", at(5)).await.unwrap();
    let registered = AccountRecord::registered("444455556666", at(5));
    assert_eq!(store.accounts().await, Ok(vec![registered.clone()]));
    let mut swept = registered;
    swept.version += 1;
    swept.baseline_at = Some(at(10));
    swept.swept_at = Some(at(10));
    assert_eq!(store.put_account(&swept).await, Ok(true));
    store
        .register_account("444455556666", at(20))
        .await
        .unwrap();
    assert_eq!(store.account("444455556666").await, Ok(swept.clone()));
    let known = FindingReader::coverage(&store).await;
    assert_eq!(known, Ok(vec![AccountCoverage::from(swept)]));
}

#[tokio::test]
async fn a_missing_table_is_named_with_its_fix() {
    let client = crate::table::client(&crate::stack::stack().await.dynamodb_url);
    let store = secondkey::aws::dynamodb::DynamoDbStore::new(client, "no-such-table".to_owned());
    check_errors(
        &store,
        ErrorKind::Permanent,
        &["on table `no-such-table`", "us-east-1", "sam deploy"],
    )
    .await;
}

#[tokio::test]
async fn an_unreachable_service_is_a_retryable_error() {
    let client = crate::table::client("http://127.0.0.1:9");
    let store = secondkey::aws::dynamodb::DynamoDbStore::new(client, "findings".to_owned());
    check_errors(&store, ErrorKind::Retryable, &["cannot be reached"]).await;
}

async fn check_errors(
    store: &secondkey::aws::dynamodb::DynamoDbStore,
    kind: ErrorKind,
    expected: &[&str],
) {
    use secondkey::pipeline::finding_store::{FindingReader, FindingStore};
    let errors = [
        store.record(&alice()).await.unwrap_err(),
        store.commit(&rich_commit(&alice())).await.unwrap_err(),
        store.findings(FindingStatus::Open).await.unwrap_err(),
        store.users().await.unwrap_err(),
    ];
    for error in errors {
        let text = error.to_string();
        assert_eq!(error.kind(), kind, "{text}");
        for part in expected {
            assert!(text.contains(part), "`{part}` is not in: {text}");
        }
    }
}

/// Sorts alerts, because no store promises an order.
fn by_sink(mut owed: Vec<PendingAlert>) -> Vec<PendingAlert> {
    owed.sort_by(|one, other| {
        (one.alert.sequence, &one.sink).cmp(&(other.alert.sequence, &other.sink))
    });
    owed
}
