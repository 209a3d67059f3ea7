//! An alert over TLS, with the issuer of the servers' certificate in `SSL_CERT_FILE`.

use super::world::{Setup, World, kinds};
use crate::stack::stack;
use crate::stack::tls::{Front, Issuer};

#[tokio::test]
async fn an_alert_goes_over_tls_on_connections_opened_ahead() {
    let stack = stack().await;
    let issuer = Issuer::new().await;
    let [iam, sns, events] = [(); 3].map(|()| issuer.front(&stack.moto_url));
    let setup = Setup {
        environment: vec![
            // No service is called without TLS.
            ("AWS_ENDPOINT_URL", issuer.front(&stack.moto_url).url),
            (
                "AWS_ENDPOINT_URL_DYNAMODB",
                issuer.front(&stack.dynamodb_url).url,
            ),
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
    world
        .until("the connections are open", async || {
            let is_open = |front: &Front| front.connections() == [["open"]];
            is_open(&sns) && is_open(&events) && iam.connections().len() >= 2
        })
        .await;
    let to_iam = iam.connections().len();

    let second = world.create_key().await;
    world.tell(world.created(&second)).await;
    world
        .until("the finding is open", async || world.is_open().await)
        .await;
    world.until_quiet().await;
    assert_eq!(kinds(&world.alerts().await), ["opened"]);
    assert_eq!(world.bus_events().await.len(), 1);
    // The alert opened no connection of its own, not even for requests in parallel.
    assert_eq!(sns.connections(), [["open", "Publish"]]);
    assert_eq!(events.connections(), [["open", "PutEvents"]]);
    assert_eq!(iam.connections().len(), to_iam);
}
