//! SDK clients that talk to the stack.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::Credentials;

/// The region that the tests play in.
pub const REGION: &str = "us-east-1";
/// The credentials that the servers take.
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
