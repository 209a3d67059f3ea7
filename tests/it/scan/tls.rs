//! A scan over TLS, as on AWS.

use std::path::PathBuf;

use super::world::World;
use crate::doctor::world::run;
use crate::stack::tls::Issuer;

#[tokio::test]
async fn only_the_issuer_in_ssl_cert_file_is_trusted() {
    let world = World::new().await;
    world.users([("bob".to_owned(), 2)]).await;
    let (issuer, other) = (Issuer::new().await, Issuer::new().await);
    let front = issuer.front(&world.proxy.url);
    let scan = async |trusted: PathBuf| {
        let mut command = world.command(&["scan"]);
        command
            .env("AWS_ENDPOINT_URL", &front.url)
            .env("SSL_CERT_FILE", trusted);
        run(command).await
    };
    let said = scan(issuer.file()).await;
    assert_eq!(said.code, 10, "{}", said.stderr);
    assert!(said.stdout.contains("bob"), "{}", said.stdout);

    world.take_calls();
    let said = scan(other.file()).await;
    assert_eq!((said.code, said.stdout.as_str()), (1, ""));
    assert!(said.stderr.contains("certificate"), "{}", said.stderr);
    assert_eq!(world.take_calls().len(), 0, "nothing is sent");
}
