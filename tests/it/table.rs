//! A findings table in `DynamoDB` Local.

use std::sync::atomic::{AtomicU32, Ordering};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, GlobalSecondaryIndex, KeySchemaElement, Projection,
};
use serde_json::Value;

use crate::stack::cloudformation::Template;

/// A client for the server at `url`.
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

/// Creates the table `name` with the keys and indexes in `infra/template.yaml`.
pub(crate) async fn create_table(client: &Client, name: &str) {
    let template = Template::read("infra/template.yaml");
    let table = &template.0["Resources"]["Table"]["Properties"];
    let attributes = list(&table["AttributeDefinitions"]).map(|attribute| {
        AttributeDefinition::builder()
            .attribute_name(text(&attribute["AttributeName"]))
            .attribute_type(text(&attribute["AttributeType"]).into())
            .build()
            .unwrap()
    });
    let indexes = list(&table["GlobalSecondaryIndexes"]).map(|index| {
        let projected = text(&index["Projection"]["ProjectionType"]);
        let projection = Projection::builder().projection_type(projected.into());
        GlobalSecondaryIndex::builder()
            .index_name(text(&index["IndexName"]))
            .set_key_schema(Some(keys(&index["KeySchema"])))
            .projection(projection.build())
            .build()
            .unwrap()
    });
    client
        .create_table()
        .table_name(name)
        .billing_mode(text(&table["BillingMode"]).into())
        .set_attribute_definitions(Some(attributes.collect()))
        .set_key_schema(Some(keys(&table["KeySchema"])))
        .set_global_secondary_indexes(Some(indexes.collect()))
        .send()
        .await
        .unwrap_or_else(|error| panic!("table `{name}` cannot be made: {error:?}"));
}

fn keys(schema: &Value) -> Vec<KeySchemaElement> {
    list(schema)
        .map(|key| {
            KeySchemaElement::builder()
                .attribute_name(text(&key["AttributeName"]))
                .key_type(text(&key["KeyType"]).into())
                .build()
                .unwrap()
        })
        .collect()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().expect("the template has a list").iter()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("the template has a text")
}
