//! Accounts of an organisation, side by side, and one that cannot be entered.

use super::world::{World, changes};
use crate::stack::clients::iam_of;
use crate::stack::proxy::Fault;

const DENIED: &str = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not authorized to perform: \
    sts:AssumeRole</Message></Error><RequestId>1</RequestId></ErrorResponse>";

/// Makes a member account with a user that has two keys; its id.
async fn member(world: &World, name: &str) -> String {
    let organizations = aws_sdk_organizations::Client::new(&world.config);
    let made = organizations
        .create_account()
        .account_name(name)
        .email(format!("{name}@example.com"));
    let made = made.send().await.expect("an account can be made");
    let account = made
        .create_account_status
        .and_then(|status| status.account_id);
    let account = account.expect("moto makes it at once");
    let iam = iam_of(&world.config, &account, "Audit").await;
    let made = iam
        .create_user()
        .user_name(format!("user-of-{name}"))
        .send()
        .await;
    made.expect("a user can be made");
    for _ in 0..2 {
        let made = iam
            .create_access_key()
            .user_name(format!("user-of-{name}"))
            .send()
            .await;
        made.expect("a key can be made");
    }
    account
}

#[tokio::test]
async fn all_accounts_of_an_organisation_are_scanned_and_one_that_cannot_be_entered_stops_nobody() {
    let world = World::new().await;
    world.users([("bob".to_owned(), 2)]).await;
    let organizations = aws_sdk_organizations::Client::new(&world.config);
    let made = organizations.create_organization().send().await;
    made.expect("an organisation can be made");
    let members = [member(&world, "one").await, member(&world, "two").await];

    let (said, document) = world.scan(&["--org-role", "Audit"]).await;
    assert_eq!(said.code, 10, "{}", said.stderr);
    let mut told = changes(&document);
    told.sort();
    assert_eq!(told, ["bob: new", "user-of-one: new", "user-of-two: new"]);

    let role = format!("arn:aws:iam::{}:role/Audit", members[0]);
    let (said, document) = world.scan(&["--role-arn", &role, "--db", "one.db"]).await;
    assert_eq!(
        (said.code, changes(&document)),
        (10, vec!["user-of-one: new".to_owned()])
    );

    // The commands that come next work in the account that credentials are at hand of.
    let line = format!(
        "how far the rotation is, with credentials of account {}:\n",
        members[0]
    );
    assert!(said.stderr.contains(&line), "{}", said.stderr);

    // Whoever asks for the role is told from whoever works in the account by the role's name.
    world.proxy.set(Fault {
        part: "Action=AssumeRole",
        status: 403,
        body: DENIED,
        times: u32::MAX,
    });
    let (said, document) = world.scan(&["--org-role", "Audit"]).await;
    assert_eq!(
        said.code, 1,
        "an account that was not looked into is a failure"
    );
    let mut told = changes(&document);
    told.sort();
    assert_eq!(
        told,
        ["bob: open", "user-of-one: open", "user-of-two: open"]
    );
    for member in &members {
        let line = format!("account {member} was not looked into");
        assert!(said.stderr.contains(&line), "{}", said.stderr);
    }
}

#[tokio::test]
async fn a_role_is_named_right_or_nobody_is_asked() {
    let world = World::new().await;
    for options in [
        &["--role-arn", "Audit"][..],
        &["--org-role", "arn:aws:iam::444455556666:role/Audit"],
        &[
            "--org-role",
            "A",
            "--role-arn",
            "arn:aws:iam::444455556666:role/Audit",
        ],
    ] {
        let said = world.run(&[&["scan"], options].concat()).await;
        assert_eq!(said.code, 2, "{options:?}: {}", said.stderr);
    }
    assert_eq!(world.take_calls().len(), 0);
}
