//! The story of a forgotten rotation, from the first scan to the report, as the README tells it:
//! one test with the real program.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use secondkey::detect::findings::finding::{CloseReason, FindingStatus};
use secondkey::pipeline::finding_store::FindingReader;

use crate::rotate::world::{Said, World, next_second};
use crate::stack::server::start_moto;

async fn scan(world: &World) -> Said {
    let db = world.db();
    world.run(&["scan", "--db", db.to_str().unwrap()]).await
}

#[tokio::test]
async fn a_forgotten_rotation_from_the_scan_to_the_report() {
    let moto = tokio::task::spawn_blocking(|| start_moto(&[]))
        .await
        .expect("moto starts");
    let world = World::on(&moto.url).await;
    let old = world.make_key().await;

    // 1. Scan: no user has two active keys.
    scan(&world)
        .await
        .succeeded()
        .prints("No user has two active access keys.");

    // 2. Alert: an operator creates a second key and forgets the first.
    let new = world.make_key().await;
    world.history.add_created_by(
        &world.user,
        &world.user,
        &new,
        Utc::now() - TimeDelta::seconds(2),
    );
    world
        .front
        .last_used(&old, Utc::now() - TimeDelta::days(40));
    world
        .front
        .last_used(&new, Utc::now() - TimeDelta::minutes(90));
    let said = scan(&world).await;
    assert_eq!(said.code, 10, "{}", said.stderr);
    said.prints("new")
        .prints(&world.user)
        .prints(&old)
        .prints(&new);
    let alert = format!("Second active access key: {}", world.user);
    assert!(said.stderr.contains(&alert), "{}", said.stderr);

    // 3. Check: which key, whose, why.
    let db = world.db();
    let db = db.to_str().unwrap();
    let said = world.run(&["check", &world.user, "--db", db]).await;
    assert_eq!(said.code, 10);
    said.prints(&format!(
        "Retire {old}: it was used less recently than the other key."
    ))
    .prints(&format!("arn:aws:iam::123456789012:user/{}", world.user));

    // A key that a scan found without an event is still within the consistency window. Nothing is
    // closed for a minute.
    tokio::time::sleep(Duration::from_secs(61)).await;

    // 4. Finish: a dry run changes nothing; the command that it shows closes the finding.
    world.front.take_asked();
    let said = world.rotate("finish", &[]).await;
    said.succeeded().prints(&old);
    world.assert_only_read();
    let shown = said.shown_command();
    let shown: Vec<&str> = shown.iter().map(String::as_str).collect();
    next_second().await;
    let said = world.run(&shown).await;
    said.succeeded();
    assert_eq!(world.keys().await[&old], "Inactive");
    assert!(
        said.stderr.contains("[CLOSED]"),
        "{}\n{}",
        said.stdout,
        said.stderr
    );

    // 5. Undo: something failed without the old key. Two keys are active again, and that is
    //    reported again.
    next_second().await;
    let said = world.rotate("undo", &["--apply"]).await;
    said.succeeded();
    assert_eq!(world.keys().await[&old], "Active");
    assert!(
        said.stderr.contains(&alert),
        "{}\n{}",
        said.stdout,
        said.stderr
    );

    // 6. Finish again, now that the failing program uses the new key.
    next_second().await;
    world.rotate("finish", &["--apply"]).await.succeeded();
    assert_eq!(world.keys().await[&old], "Inactive");

    // 7. Cleanup: not before the soak time has ended, and not without the key's ID.
    let line = format!("{old}\n");
    world
        .rotate_typing("cleanup", &["--apply"], &line)
        .await
        .refused("run cleanup in 47 h 59 min");
    let soaked = ["--soak-hours", "0", "--apply"];
    world
        .rotate_typing("cleanup", &soaked, "yes\n")
        .await
        .refused("not confirmed");
    next_second().await;
    world
        .rotate_typing("cleanup", &soaked, &line)
        .await
        .succeeded();
    assert_eq!(world.keys().await.into_keys().collect::<Vec<_>>(), [new]);

    is_closed_with_the_proof_of_it(&world, &old).await;
}

async fn is_closed_with_the_proof_of_it(world: &World, old: &str) {
    scan(world).await.succeeded();
    let store = world.store();
    for status in [FindingStatus::Open, FindingStatus::Suppressed] {
        assert_eq!(store.findings(status).await.unwrap(), []);
    }
    let closed = store.findings(FindingStatus::Closed).await.unwrap();
    let reasons: Vec<_> = closed
        .iter()
        .map(|finding| finding.closing.as_ref().unwrap().reason)
        .collect();
    assert_eq!(reasons, [CloseReason::Deactivated; 2]);
    world.trail().await;
    let db = world.db();
    let db = db.to_str().unwrap();
    world.run(&["verify", "--db", db]).await.succeeded();
    let report = world.path("report.html");
    world
        .run(&["report", "--db", db, "--html", report.to_str().unwrap()])
        .await
        .succeeded();
    let page = std::fs::read_to_string(report).unwrap();
    assert!(
        page.contains(&world.user) && page.contains(old),
        "it names whom it is about"
    );
}
