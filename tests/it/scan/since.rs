//! A pair that is older than its window: every command counts from the same earliest possible time.

use chrono::{DateTime, SecondsFormat, SubsecRound, TimeDelta, Utc};
use serde_json::Value;

use crate::rotate::world::World;
use crate::stack::server::start_moto;

fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[tokio::test]
async fn an_old_pair_is_high_at_the_first_check_of_every_command() {
    let server = tokio::task::spawn_blocking(|| start_moto(&[]));
    let server = server.await.expect("moto starts");
    let world = World::on(&server.url).await;
    let keys = [world.make_key().await, world.make_key().await];
    let now = Utc::now().trunc_subsecs(0);
    let made = [800, 790].map(|days| now - TimeDelta::days(days));
    let listed = [(keys[0].as_str(), made[0]), (keys[1].as_str(), made[1])];
    world.front.list_keys(&world.user, &listed);
    let window_ends_at = rfc3339(made[1] + TimeDelta::hours(24));

    // A runner that stores nothing begins with an empty file each time.
    let scan = ["scan", "--fail-on", "high", "--format", "json", "--db"];
    let db = world.db();
    let said = world
        .run(&[&scan[..], &[db.to_str().unwrap()]].concat())
        .await;
    assert_eq!(said.code, 10, "{}\n{}", said.stdout, said.stderr);
    let document: Value = serde_json::from_str(&said.stdout).expect("it is JSON");
    let finding = &document["findings"][0];
    assert_eq!(finding["severity"], "HIGH");
    assert_eq!(
        finding["severity_reasons"],
        serde_json::json!(["outlived_window"])
    );
    assert_eq!(finding["opened_at"], rfc3339(made[1]));
    assert_eq!(finding["opened_at_is_estimate"], true);

    // With that file, and with an empty one.
    for file in ["findings.db", "other.db"] {
        let path = world.path(file);
        let kept = ["--db", path.to_str().unwrap()];
        let status = ["rotate", "status", &world.user, "--format", "json"];
        let said = world.run(&[&status[..], &kept].concat()).await;
        let document: Value = serde_json::from_str(&said.stdout).expect("it is JSON");
        assert_eq!(document["stage"], "forgotten", "{file}");
        assert_eq!(
            document["window_ends_at"],
            window_ends_at.as_str(),
            "{file}"
        );

        let said = world
            .run(&[&["check", &world.user][..], &kept].concat())
            .await;
        assert_eq!(said.code, 10, "{}", said.stderr);
        said.prints("[HIGH] Second active access key: ")
            .prints("Two active keys at the earliest since ")
            .prints("The rotation window ended at ");

        let page = world.path("report.html");
        let html = ["report", "--html", page.to_str().unwrap()];
        world.run(&[&html[..], &kept].concat()).await.succeeded();
        let page = std::fs::read_to_string(&page).expect("it is written");
        for shown in [
            "<span class=\"what\">Oldest open</span><span class=\"figure\">at most 790 days</span>",
            "data-label=\"Age\">at most 790 days</td>",
            "no finding from an event, n&nbsp;=&nbsp;0",
            "The start of 1 of 1 findings is an estimate",
        ] {
            assert!(page.contains(shown), "{file}: `{shown}`");
        }
        let said = world.run(&[&["findings"][..], &kept].concat()).await;
        said.prints("at the earliest").prints("at most 790 days");
    }
}
