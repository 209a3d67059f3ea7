//! A new, empty store for one test, with direct access to its storage.

use std::sync::{Arc, OnceLock};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use rusqlite::Connection;
use tempfile::TempDir;

use secondkey::aws::dynamodb::DynamoDbStore;
use secondkey::detect::decision::familiar::FamiliarActor;
use secondkey::detect::user::UserId;
use secondkey::local::sqlite::SqliteStore;
use secondkey::pipeline::finding_store::FindingReader;

use crate::stack::proxy::Proxy;
use crate::stack::stack;
use crate::table::{client, new_table};

/// A new, empty store, opened twice: by this process and as if by another.
pub(super) struct Fresh {
    pub(super) store: Arc<dyn FindingReader>,
    pub(super) other: Arc<dyn FindingReader>,
    storage: Storage,
}

enum Storage {
    DynamoDb { client: Client, table: String },
    Sqlite(TempDir),
}

impl Fresh {
    /// A table that is read in pages of one item, so that each case also shows that no page is lost.
    pub(super) async fn dynamodb() -> Self {
        let (client, table) = new_table().await;
        Self {
            store: Arc::new(DynamoDbStore::new(in_pages().await, table.clone())),
            other: Arc::new(DynamoDbStore::new(client.clone(), table.clone())),
            storage: Storage::DynamoDb { client, table },
        }
    }

    #[expect(clippy::unused_async, reason = "one contract for both stores")]
    pub(super) async fn sqlite() -> Self {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("findings.db");
        Self {
            store: Arc::new(SqliteStore::open(&path).unwrap()),
            other: Arc::new(SqliteStore::open_existing(&path).unwrap()),
            storage: Storage::Sqlite(directory),
        }
    }

    /// Gives the record of `user`, whose name needs no encoding, the schema of a newer release.
    pub(super) async fn make_record_newer(&self, user: &UserId) {
        self.change_record(
            user,
            "SET #name = :value",
            "schema",
            AttributeValue::N("4".to_owned()),
            "UPDATE records SET schema = 4",
        )
        .await;
    }

    /// Gives the record of `user` an invalid display name.
    pub(super) async fn spoil_record(&self, user: &UserId) {
        self.change_record(
            user,
            "SET evidence.#name.#word.word = :value",
            "state",
            AttributeValue::S("ascended".to_owned()),
            "UPDATE records SET body = replace(body, '\"word\":\"renamed_to\"', '\"word\":\"ascended\"')",
        )
        .await;
    }

    async fn change_record(
        &self,
        user: &UserId,
        update: &str,
        name: &str,
        value: AttributeValue,
        sql: &str,
    ) {
        match &self.storage {
            Storage::DynamoDb { client, table } => {
                let mut call = client
                    .update_item()
                    .table_name(table)
                    .set_key(Some(record_key(user).into()))
                    .update_expression(update)
                    .expression_attribute_names("#name", name)
                    .expression_attribute_values(":value", value);
                if update.contains("#word") {
                    call = call
                        .expression_attribute_names("#name", "user")
                        .expression_attribute_names("#word", name);
                }
                call.send().await.unwrap();
            }
            Storage::Sqlite(_) => assert_eq!(self.sqlite_connection().execute(sql, []), Ok(1)),
        }
    }

    /// Gives the finding of `user`'s first episode the schema of a newer release.
    pub(super) async fn make_first_finding_newer(&self, user: &UserId) {
        match &self.storage {
            Storage::DynamoDb { client, table } => {
                let [partition, _] = record_key(user);
                client
                    .update_item()
                    .table_name(table)
                    .set_key(Some(
                        [partition, ("SK".to_owned(), text("FINDING#0000000001"))].into(),
                    ))
                    .update_expression("SET #schema = :newer")
                    .expression_attribute_names("#schema", "schema")
                    .expression_attribute_values(":newer", AttributeValue::N("4".to_owned()))
                    .send()
                    .await
                    .unwrap();
            }
            Storage::Sqlite(_) => {
                let updated = self
                    .sqlite_connection()
                    .execute("UPDATE findings SET schema = 4", []);
                assert_eq!(updated, Ok(1));
            }
        }
    }

    /// Gives `familiar`, whose texts need no encoding, the schema of a newer release.
    pub(super) async fn make_familiar_newer(&self, familiar: &FamiliarActor) {
        match &self.storage {
            Storage::DynamoDb { client, table } => {
                let partition = format!("FAMILIAR#{}", familiar.account);
                client
                    .update_item()
                    .table_name(table)
                    .key("PK", text(&partition))
                    .key("SK", text(&familiar.identity))
                    .update_expression("SET #schema = :newer")
                    .condition_expression("attribute_exists(PK)")
                    .expression_attribute_names("#schema", "schema")
                    .expression_attribute_values(":newer", AttributeValue::N("99".to_owned()))
                    .send()
                    .await
                    .unwrap();
            }
            Storage::Sqlite(_) => {
                let updated = self
                    .sqlite_connection()
                    .execute("UPDATE familiar SET schema = 99", []);
                assert_eq!(updated, Ok(1));
            }
        }
    }

    /// Removes the record of `user`, whose name needs no encoding.
    pub(super) async fn remove_record(&self, user: &UserId) {
        match &self.storage {
            Storage::DynamoDb { client, table } => {
                client
                    .delete_item()
                    .table_name(table)
                    .set_key(Some(record_key(user).into()))
                    .condition_expression("attribute_exists(PK)")
                    .send()
                    .await
                    .unwrap();
            }
            Storage::Sqlite(_) => {
                let removed = self.sqlite_connection().execute(
                    "DELETE FROM records WHERE account = ?1 AND user = ?2",
                    [user.account(), user.name()],
                );
                assert_eq!(removed, Ok(1));
            }
        }
    }

    /// The content of the index `due`, as sort keys in order of time. `SQLite` has no such index.
    pub(super) async fn due(&self) -> Vec<String> {
        let Storage::DynamoDb { client, table } = &self.storage else {
            panic!("only the DynamoDB table has an index `due`");
        };
        let answer = client
            .scan()
            .table_name(table)
            .index_name("due")
            .send()
            .await
            .unwrap();
        let mut due: Vec<(String, String)> = answer
            .items()
            .iter()
            .map(|item| ["due_at", "SK"].map(|name| item[name].as_s().unwrap().clone()))
            .map(|[due_at, sort]| (due_at, sort))
            .collect();
        due.sort();
        due.into_iter().map(|(_, sort)| sort).collect()
    }

    fn sqlite_connection(&self) -> Connection {
        let Storage::Sqlite(directory) = &self.storage else {
            panic!("the store is no SQLite file");
        };
        Connection::open(directory.path().join("findings.db")).unwrap()
    }
}

/// A client of DynamoDB Local that receives pages of one item.
async fn in_pages() -> Client {
    static PROXY: OnceLock<Proxy> = OnceLock::new();
    let url = &stack().await.dynamodb_url;
    let proxy = PROXY.get_or_init(|| {
        let proxy = Proxy::start(url);
        proxy.pages_of(1);
        proxy
    });
    client(&proxy.url)
}

fn record_key(user: &UserId) -> [(String, AttributeValue); 2] {
    let partition = format!("USER#{}#{}", user.account(), user.name());
    [
        ("PK".to_owned(), text(&partition)),
        ("SK".to_owned(), text("RECORD")),
    ]
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}
