//! An alert over TLS, with the issuer of the servers' certificate in `SSL_CERT_FILE`.

use super::world::{Setup, World, kinds};
use crate::stack::stack;
use crate::stack::tls::Issuer;

#[tokio::test]
async fn an_alert_goes_over_tls_on_connections_opened_ahead() {
    let stack = stack().await;
    let issuer = Issuer::new().await;
    let [iam, sns, events] = [(); 3].map(|()| issuer.front(&stack.moto_url));
    let dynamodb = issuer.front(&stack.dynamodb_url);
    let setup = Setup {
        environment: vec![
            // No service is called without TLS.
            ("AWS_ENDPOINT_URL", issuer.front(&stack.moto_url).url),
            ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.url.clone()),
            ("AWS_ENDPOINT_URL_IAM", iam.url.clone()),
            ("AWS_ENDPOINT_URL_SNS", sns.url.clone()),
            ("AWS_ENDPOINT_URL_EVENTBRIDGE", events.url.clone()),
            ("SSL_CERT_FILE", issuer.file().display().to_string()),
        ],
        ..Setup::default()
    };
    let world = World::with("tls", setup).await;
    // The emulator starts the function with the first event, which alerts no one.
    let first = world.create_key().await;
    world.tell(world.created(&first)).await;
    world.until_quiet().await;
    let opened = |front: &crate::stack::tls::Front| {
        let connections = front.connections();
        let ahead = connections
            .iter()
            .filter(|one| one.first().is_some_and(|first| first == "open"));
        ahead.count()
    };
    world
        .until("the connections are open", async || {
            [&dynamodb, &iam, &sns, &events].map(opened) == [1, 2, 1, 1]
        })
        .await;

    let second = world.create_key().await;
    world.tell(world.created(&second)).await;
    world
        .until("the finding is open", async || world.is_open().await)
        .await;
    world.until_quiet().await;
    assert_eq!(kinds(&world.alerts().await), ["opened"]);
    assert_eq!(world.bus_events().await.len(), 1);
    // No connection was opened for the alert itself.
    assert_eq!(sns.connections(), [["open", "Publish"]]);
    assert_eq!(events.connections(), [["open", "PutEvents"]]);
    let used = |front: &crate::stack::tls::Front, action: &str| {
        let connections = front.connections();
        connections
            .iter()
            .any(|one| one[0] == "open" && one.iter().any(|done| done == action))
    };
    assert!(used(&iam, "ListAccessKeys"), "{:?}", iam.connections());
}
