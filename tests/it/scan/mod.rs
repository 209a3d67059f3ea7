//! `secondkey scan` with IAM: its first output, later outputs, and an interrupted scan.

mod blind;
mod calls;
mod interrupted;
mod many_accounts;
mod outage;
mod pages;
#[cfg(unix)]
mod profiles;
mod since;
mod tls;
pub mod world;

use world::{ACCOUNT, World, changes};

#[tokio::test]
async fn a_second_scan_shows_new_open_and_closed_findings() {
    let world = World::new().await;
    let users = [("alice", 1), ("bob", 2), ("carol", 0), ("Dave", 2)];
    world
        .users(users.map(|(name, keys)| (name.to_owned(), keys)))
        .await;
    let (said, first) = world.scan(&[]).await;
    assert_eq!(said.code, 10, "{}", said.stderr);
    let mut told = changes(&first);
    told.sort();
    assert_eq!(told, ["Dave: new", "bob: new"]);
    assert!(
        !said.stderr.contains("Second active access key"),
        "the first scan is the news itself"
    );
    let finding = &first["findings"][0];
    assert_eq!(
        finding["last_used"].as_array().map(Vec::len),
        Some(2),
        "{finding:#}"
    );

    crate::schema::check("findings", &first);

    let (said, second) = world.scan(&[]).await;
    assert_eq!(said.code, 10);
    assert!(
        changes(&second).iter().all(|told| told.ends_with(": open")),
        "{second:#}"
    );
    assert!(
        !said.stderr.contains("Second active access key"),
        "{}",
        said.stderr
    );

    world.create_key("alice").await;
    // Its user was deleted. The listing shows no keys, but IAM may lag at first.
    let (said, third) = world.scan(&[]).await;
    assert_eq!(said.code, 10);
    assert!(
        changes(&third).contains(&"alice: new".to_owned()),
        "{third:#}"
    );
    assert!(
        said.stderr
            .contains("[MEDIUM] Second active access key: alice"),
        "{}",
        said.stderr
    );
    assert!(
        said.stderr.contains("1 new, 2 still open, 0 closed since"),
        "{}",
        said.stderr
    );
}

#[tokio::test]
async fn a_changed_listing_closes_a_finding_only_after_a_minute() {
    let world = World::new().await;
    world.users([("bob".to_owned(), 2)]).await;
    world.scan(&[]).await;
    let keys = world.keys("bob").await;
    world.deactivate("bob", &keys[0]).await;
    let (said, early) = world.scan(&[]).await;
    assert_eq!(changes(&early), ["bob: open"]);
    assert!(
        said.stderr.contains("may be out of date"),
        "{}",
        said.stderr
    );
    tokio::time::sleep(std::time::Duration::from_secs(62)).await;
    let (said, late) = world.scan(&[]).await;
    assert_eq!(
        (said.code, changes(&late)),
        (0, vec!["bob: closed".to_owned()])
    );
    assert!(
        said.stderr
            .contains("[CLOSED] Second active access key: bob"),
        "{}",
        said.stderr
    );
    let (said, after) = world.scan(&[]).await;
    assert_eq!((said.code, changes(&after)), (0, vec![]), "it is told once");
    let said = world.run(&["verify"]).await;
    assert_eq!(
        (said.code, said.stdout.lines().count()),
        (0, 2),
        "{}",
        said.stdout
    );
    let said = world.run(&["report", "--html", "report.html"]).await;
    assert!(
        said.stderr.contains("1 trail checked"),
        "root's is none: {}",
        said.stderr
    );
}

#[tokio::test]
async fn a_reactivated_key_that_may_be_missing_is_mentioned() {
    let world = World::new().await;
    world.users([("bob".to_owned(), 2)]).await;
    let key = &world.keys("bob").await[0];
    let finish = ["rotate", "finish", "bob", "--key", key, "--apply"];
    let said = world.run(&finish).await;
    assert_eq!(said.code, 0, "{}", said.stderr);
    let update = world.iam.update_access_key().user_name("bob");
    let update = update.access_key_id(key).status("Active".into());
    update.send().await.expect("a key can be activated");
    // For a minute, our own changes override IAM's listing, which may lag.
    let (said, document) = world.scan(&[]).await;
    assert_eq!(changes(&document), Vec::<String>::new());
    assert_eq!(document["scan"]["accounts"][0]["unsettled"], 1);
    assert!(
        said.stderr.contains("may be out of date"),
        "{}",
        said.stderr
    );
}

#[tokio::test]
async fn two_scans_at_once_on_one_file_find_what_one_finds() {
    let world = World::new().await;
    world
        .users((0..60).map(|number| (format!("user-{number}"), 1 + usize::from(number % 10 == 0))))
        .await;
    let scan = async |mode| world.run(&["scan", "--mode", mode, "--db", "one.db"]).await;
    let (one, other, third) = futures::join!(scan("list"), scan("list"), scan("report"));
    for said in [one, other, third] {
        assert_eq!(said.code, 10, "{}", said.stderr);
    }
    assert_eq!(world::kept(&world.path("one.db")).await.len(), 6);
    let said = world.run(&["verify", "--db", "one.db"]).await;
    assert_eq!(said.code, 0, "{}", said.stderr);
}

#[tokio::test]
async fn each_mode_finds_the_same() {
    let world = World::new().await;
    world
        .users((0..30).map(|number| (format!("user-{number}"), 1 + usize::from(number % 10 == 0))))
        .await;
    let mut told = vec![];
    for mode in ["auto", "list", "report"] {
        let db = format!("{mode}.db");
        let (said, document) = world.scan(&["--mode", mode, "--db", &db]).await;
        assert_eq!(said.code, 10, "{}", said.stderr);
        let expected = if mode == "report" { "report" } else { "list" };
        assert_eq!(document["scan"]["accounts"][0]["mode"], expected);
        let mut found = changes(&document);
        found.sort();
        told.push(found);
    }
    assert_eq!(told[0], ["user-0: new", "user-10: new", "user-20: new"]);
    assert!(told.iter().all(|found| *found == told[0]), "{told:?}");
}

#[tokio::test]
async fn the_exit_code_depends_on_the_severity() {
    let world = World::new().await;
    world.users([("bob".to_owned(), 2)]).await;
    for (options, expected) in [
        (&["--fail-on", "medium"][..], 10),
        (&["--fail-on", "high"], 0),
        (&["--fail-on", "none"], 0),
        // No finding has passed a window of an hour yet.
        (&["--fail-on", "high", "--rotation-window-hours", "1"], 0),
    ] {
        assert_eq!(world.scan(options).await.0.code, expected, "{options:?}");
    }
}

#[tokio::test]
async fn the_output_file_is_written_atomically() {
    let world = World::new().await;
    world.users([("bob".to_owned(), 2)]).await;
    let said = world.run(&["scan", "--output", "out.txt"]).await;
    assert_eq!((said.code, said.stdout.as_str()), (10, ""));
    let written = std::fs::read_to_string(world.path("out.txt")).unwrap();
    assert!(
        written.contains("bob") && written.contains(ACCOUNT),
        "{written}"
    );
    std::fs::create_dir(world.path("folder")).unwrap();
    for (output, expected) in [
        ("folder", "`folder` is a folder; name a file in it"),
        (
            "missing/out.txt",
            "folder `missing` does not exist; create it",
        ),
    ] {
        world.take_calls();
        let said = world.run(&["scan", "--output", output]).await;
        assert_eq!(said.code, 1);
        assert!(said.stderr.contains(expected), "{}", said.stderr);
        assert_eq!(
            world.take_calls().len(),
            0,
            "it is reported before any call"
        );
    }
}

#[tokio::test]
async fn a_refusal_names_the_missing_permission() {
    let world = World::new().await;
    world.users([("bob".to_owned(), 2)]).await;
    let denied = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not \
        authorized</Message></Error><RequestId>1</RequestId></ErrorResponse>";
    world.proxy.set(crate::stack::proxy::Fault {
        part: "Action=ListUsers",
        status: 403,
        body: denied,
        times: u32::MAX,
    });
    let said = world.run(&["scan"]).await;
    assert_eq!(said.code, 1);
    assert!(
        !said.stdout.contains("No user has two"),
        "no user was checked: {}",
        said.stdout
    );
    assert!(
        said.stderr.contains("iam:ListUsers failed: access denied"),
        "{}",
        said.stderr
    );
    world.expire_credentials(true);
    let said = world.run(&["scan"]).await;
    assert_eq!(said.code, 1);
    assert!(said.stderr.contains("sign in again"), "{}", said.stderr);
}
