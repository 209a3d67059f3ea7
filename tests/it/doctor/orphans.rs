//! What works but should be known: a table that a new `TableName` left behind, and a subscription
//! that anyone can end.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::create_table::builders::CreateTableFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, GlobalSecondaryIndex, KeySchemaElement,
    KeyType, Projection, ProjectionType, ScalarAttributeType,
};

use super::JSON;
use super::world::{World, run};
use crate::stack::proxy::Fault;

fn keys([hash, range]: [&str; 2]) -> Vec<KeySchemaElement> {
    let kinds = [(hash, KeyType::Hash), (range, KeyType::Range)];
    let key = |(name, kind)| {
        KeySchemaElement::builder()
            .attribute_name(name)
            .key_type(kind)
    };
    kinds.map(|one| key(one).build().unwrap()).to_vec()
}

fn table(client: &Client, name: &str, attributes: &[&str]) -> CreateTableFluentBuilder {
    let defined = attributes.iter().map(|name| {
        AttributeDefinition::builder()
            .attribute_name(*name)
            .attribute_type(ScalarAttributeType::S)
            .build()
            .unwrap()
    });
    client
        .create_table()
        .table_name(name)
        .billing_mode(BillingMode::PayPerRequest)
        .set_attribute_definitions(Some(defined.collect()))
        .set_key_schema(Some(keys(["PK", "SK"])))
}

fn index(name: &str, names: [&str; 2]) -> GlobalSecondaryIndex {
    let all = Projection::builder().projection_type(ProjectionType::All);
    GlobalSecondaryIndex::builder()
        .index_name(name)
        .set_key_schema(Some(keys(names)))
        .projection(all.build())
        .build()
        .unwrap()
}

#[tokio::test]
async fn an_orphaned_table_and_an_open_subscription_are_warnings() {
    let world = World::new().await;
    let client = Client::new(&world.config);
    // `ListTables` returns a hundred names per page.
    for number in 0..100 {
        let other = table(&client, &format!("another-{number}"), &["PK", "SK"]);
        other.send().await.unwrap();
    }
    let ours = ["PK", "SK", "finding_status", "opened_at", "due", "due_at"];
    let orphan = table(&client, "secondkey-before", &ours)
        .global_secondary_indexes(index("findings", ["finding_status", "opened_at"]))
        .global_secondary_indexes(index("due", ["due", "due_at"]));
    orphan.send().await.unwrap();
    let item = client
        .put_item()
        .table_name("secondkey-before")
        .item("PK", AttributeValue::S("ACCOUNT".to_owned()))
        .item("SK", AttributeValue::S("111122223333".to_owned()));
    item.send().await.unwrap();
    world.proxy.set(Fault {
        part: "Action=GetSubscriptionAttributes",
        status: 200,
        body: "<GetSubscriptionAttributesResponse><GetSubscriptionAttributesResult><Attributes><entry>\
               <key>ConfirmationWasAuthenticated</key><value>false</value></entry></Attributes>\
               </GetSubscriptionAttributesResult></GetSubscriptionAttributesResponse>",
        times: 1_000,
    });

    let said = run(world.doctor(&JSON)).await;
    assert_eq!(said.code, 0, "{}", said.stdout);
    for (what, found, fix) in [
        (
            "Table: orphans",
            "secondkey-before with about 1 items",
            "TableName=secondkey-before",
        ),
        (
            "AlertTopic: unsubscribing",
            "security@example.com",
            "--authenticate-on-unsubscribe true",
        ),
        (
            "AlarmTopic: unsubscribing",
            "security@example.com",
            "aws sns unsubscribe --region us-east-1 --subscription-arn arn:",
        ),
    ] {
        let check = said.check(what);
        assert_eq!(check["state"], "warning", "{check}");
        let text = |name: &str| check[name].as_str().unwrap_or_default().to_owned();
        assert!(text("found").contains(found), "{check}");
        assert!(text("mend").contains(fix), "{check}");
    }
}
