//! A user whose name is typed in another case than IAM's.

use super::world::World;

#[tokio::test]
async fn every_step_finds_a_recorded_user_in_any_case() {
    let (world, _) = World::with_keys(2).await;
    let db = world.db();
    let db = db.to_str().unwrap();
    assert_eq!(
        world.run(&["check", &world.user, "--db", db]).await.code,
        10
    );
    let typed = world.user.to_uppercase();
    for step in ["start", "status", "finish", "undo", "cleanup"] {
        let place: &[&str] = if step == "start" {
            &["--show-once"]
        } else {
            &[]
        };
        let arguments = [&["rotate", step, &typed, "--db", db], place].concat();
        let said = world.run(&arguments).await;
        let all = format!("{}{}", said.stdout, said.stderr);
        assert!(!all.contains("no IAM user"), "{step}: {all}");
        assert!(all.contains(&world.user), "{step}: {all}");
        assert!(!all.contains(&typed), "{step}: {all}");
    }
    world.assert_only_read();
}

#[tokio::test]
async fn a_step_reports_which_names_it_tried() {
    let (world, _) = World::with_keys(2).await;
    let typed = world.user.to_uppercase();
    let db = world.db();
    let said = world
        .run(&[
            "rotate",
            "finish",
            &typed,
            "--apply",
            "--db",
            db.to_str().unwrap(),
        ])
        .await;
    said.refused(&format!("there is no IAM user `{typed}` in account"));
    said.refused(&format!("tried `{typed}`"));
    world.assert_only_read();
    assert!(!db.exists(), "looking makes no file");
}
