//! A findings table in `DynamoDB` Local.

use std::sync::atomic::{AtomicU32, Ordering};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType,
};

/// A client of whatever listens at `url`.
pub(crate) fn client(url: &str) -> Client {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(url)
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "tests"))
        .build();
    Client::from_conf(config)
}

/// A client of `DynamoDB` Local, and the name of a new table with the keys and indexes that `infra/template.yaml` gives
/// the deployed one.
pub(crate) async fn new_table() -> (Client, String) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let client = client(&crate::stack::stack().await.dynamodb_url);
    let name = format!(
        "findings-{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    );
    create_table(&client, &name).await;
    (client, name)
}

/// Makes the table `name`.
pub(crate) async fn create_table(client: &Client, name: &str) {
    let attributes = ["PK", "SK", "finding_status", "opened_at", "due", "due_at"].map(|name| {
        AttributeDefinition::builder()
            .attribute_name(name)
            .attribute_type(ScalarAttributeType::S)
            .build()
            .unwrap()
    });
    client
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .set_attribute_definitions(Some(attributes.to_vec()))
        .set_key_schema(Some(keys("PK", "SK")))
        .global_secondary_indexes(index("findings", "finding_status", "opened_at"))
        .global_secondary_indexes(index("due", "due", "due_at"))
        .send()
        .await
        .unwrap_or_else(|error| panic!("table `{name}` cannot be made: {error:?}"));
}

fn index(name: &str, hash: &str, range: &str) -> GlobalSecondaryIndex {
    GlobalSecondaryIndex::builder()
        .index_name(name)
        .set_key_schema(Some(keys(hash, range)))
        .projection(
            Projection::builder()
                .projection_type(ProjectionType::All)
                .build(),
        )
        .build()
        .unwrap()
}

fn keys(hash: &str, range: &str) -> Vec<KeySchemaElement> {
    [(hash, KeyType::Hash), (range, KeyType::Range)]
        .map(|(name, kind)| {
            KeySchemaElement::builder()
                .attribute_name(name)
                .key_type(kind)
                .build()
                .unwrap()
        })
        .to_vec()
}
