//! Accounts of an organization in parallel, and one that cannot be entered.

use super::world::{World, changes};
use crate::stack::clients::iam_of;
use crate::stack::proxy::Fault;

const DENIED: &str = "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code><Message>not authorized to perform: \
    sts:AssumeRole</Message></Error><RequestId>1</RequestId></ErrorResponse>";

/// Creates a member account with a user who has two keys. Returns its ID.
async fn member(world: &World, name: &str) -> String {
    let organizations = aws_sdk_organizations::Client::new(&world.config);
    let made = organizations
        .create_account()
        .account_name(name)
        .email(format!("{name}@example.com"));
    let made = made.send().await.expect("an account can be created");
    let account = made
        .create_account_status
        .and_then(|status| status.account_id);
    let account = account.expect("moto creates it at once");
    let iam = iam_of(&world.config, &account, "Audit").await;
    let made = iam
        .create_user()
        .user_name(format!("user-of-{name}"))
        .send()
        .await;
    made.expect("a user can be created");
    for _ in 0..2 {
        let made = iam
            .create_access_key()
            .user_name(format!("user-of-{name}"))
            .send()
            .await;
        made.expect("a key can be created");
    }
    account
}

#[tokio::test]
async fn an_inaccessible_account_does_not_stop_the_organizations_scan() {
    let world = World::new().await;
    world.users([("bob".to_owned(), 2)]).await;
    let organizations = aws_sdk_organizations::Client::new(&world.config);
    let made = organizations.create_organization().send().await;
    made.expect("an organization can be created");
    let members = [member(&world, "one").await, member(&world, "two").await];
    // A closed account stays listed for 90 days. It may be on any page, and so may an active one.
    let closed = member(&world, "closed").await;
    let close = organizations.close_account().account_id(closed);
    close.send().await.expect("an account can be closed");
    world.proxy.pages_of(1);

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

    // The suggested commands work in the account for which credentials are available.
    let line = format!(
        "the state of the rotation (with credentials for account {}):\n",
        members[0]
    );
    assert!(said.stderr.contains(&line), "{}", said.stderr);

    // The role's name distinguishes the request to assume it from work in the account.
    world.proxy.set(Fault {
        part: "Action=AssumeRole",
        status: 403,
        body: DENIED,
        times: u32::MAX,
    });
    let (said, document) = world.scan(&["--org-role", "Audit"]).await;
    assert_eq!(
        said.code, 1,
        "an account that could not be scanned is a failure"
    );
    let mut told = changes(&document);
    told.sort();
    assert_eq!(
        told,
        ["bob: open", "user-of-one: open", "user-of-two: open"]
    );
    for member in &members {
        let line = format!("account {member} could not be scanned");
        assert!(said.stderr.contains(&line), "{}", said.stderr);
    }
}

#[tokio::test]
async fn an_invalid_role_name_makes_no_calls() {
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
