//! SDK clients for the stack.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::{Credentials, SharedCredentialsProvider};

/// The region of the tests.
pub const REGION: &str = "us-east-1";
/// The credentials that the servers accept.
pub const ACCESS_KEY: (&str, &str) = ("AKIATEST", "secret");

/// A configuration for the server at `url`.
pub async fn config(url: &str) -> SdkConfig {
    let (key, secret) = ACCESS_KEY;
    aws_config::defaults(BehaviorVersion::latest())
        .endpoint_url(url)
        .region(Region::new(REGION))
        .credentials_provider(Credentials::new(key, secret, None, None, "test"))
        .load()
        .await
}

/// `config` in `account`, through the role `role`, which moto lets anyone assume.
pub async fn config_of(config: &SdkConfig, account: &str, role: &str) -> SdkConfig {
    let sts = aws_sdk_sts::Client::new(config);
    let role = format!("arn:aws:iam::{account}:role/{role}");
    let assumed = sts.assume_role().role_arn(role).role_session_name("test");
    let assumed = assumed.send().await.expect("moto allows anyone");
    let given = assumed.credentials.expect("it gives some");
    let credentials = Credentials::new(
        given.access_key_id,
        given.secret_access_key,
        Some(given.session_token),
        None,
        "test",
    );
    let provider = SharedCredentialsProvider::new(credentials);
    config.to_builder().credentials_provider(provider).build()
}

/// IAM of `account`, through the role `role`.
pub async fn iam_of(config: &SdkConfig, account: &str, role: &str) -> aws_sdk_iam::Client {
    aws_sdk_iam::Client::new(&config_of(config, account, role).await)
}
