//! A stack that is deleted and deployed again.

use secondkey::detect::findings::finding::FindingStatus;

use super::world::{Setup, World, kinds};

#[tokio::test]
async fn a_retained_table_is_adopted_by_the_next_deployment() {
    let name = "adopted";
    let former = World::new(name).await;
    let [first, _] = former.open().await;
    former.until_quiet().await;
    assert_eq!(kinds(&former.alerts().await), ["opened"]);
    let cloudformation = aws_sdk_cloudformation::Client::new(&former.config);
    let removed = cloudformation.delete_stack().stack_name(name).send().await;
    removed.expect("the stack can be removed");
    let dynamodb = aws_sdk_dynamodb::Client::new(&former.config);
    let kept = dynamodb.describe_table().table_name(name).send().await;
    let kept = kept
        .expect("the table stays")
        .table
        .expect("it is described");
    assert_eq!(kept.deletion_protection_enabled, Some(true));
    // moto cannot import a resource into a stack, so it gets a table of the same name. The
    // functions adopt the one in DynamoDB Local, with all its data.
    let unprotected = dynamodb
        .update_table()
        .table_name(name)
        .deletion_protection_enabled(false);
    unprotected.send().await.expect("it can be unprotected");
    dynamodb
        .delete_table()
        .table_name(name)
        .send()
        .await
        .expect("it can be deleted");

    let setup = Setup {
        adopts_table: true,
        ..Setup::default()
    };
    let next = World::with(name, setup).await;
    assert_eq!(next.findings(FindingStatus::Open).await.len(), 1);
    next.update_key(&first, "Inactive").await;
    next.tell(next.updated(&first, "Inactive")).await;
    next.until("the finding is closed", async || next.is_closed().await)
        .await;
    next.until_quiet().await;
    assert_eq!(kinds(&next.alerts().await), ["closed"]);
    assert!(next.trail(&next.user_id()).await.len() >= 4);
}
