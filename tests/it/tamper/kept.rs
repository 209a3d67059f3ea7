//! A store with trails, and direct access to its storage.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;

use secondkey::aws::dynamodb::DynamoDbStore;
use secondkey::detect::records::user_record::UserRecord;
use secondkey::detect::trail::audit::{AuditEntry, ChainHead};
use secondkey::detect::user::UserId;
use secondkey::local::sqlite::SqliteStore;
use secondkey::pipeline::commit::{Commit, CommitResult};
use secondkey::pipeline::finding_store::FindingStore;

/// One store. Stored data is read and written as JSON, bypassing all protection.
pub(super) enum Kept {
    Sqlite(TempDir),
    DynamoDb {
        client: Client,
        table: String,
        url: String,
    },
}

impl Kept {
    /// What `verify` reports about an entry of another user.
    pub(super) const FOREIGN: &str = "entry {} belongs to another user's trail";

    #[expect(clippy::unused_async, reason = "made like the other")]
    pub(super) async fn sqlite() -> Self {
        let folder = TempDir::new().unwrap();
        let kept = Self::Sqlite(folder);
        drop(SqliteStore::open(&kept.path()).unwrap());
        kept.connection()
            .execute_batch(
                "DROP TRIGGER audit_is_never_updated; DROP TRIGGER audit_is_never_deleted;
                 DROP TRIGGER audit_is_never_replaced;",
            )
            .unwrap();
        kept
    }

    pub(super) async fn dynamodb() -> Self {
        let (client, table) = crate::table::new_table().await;
        let url = crate::stack::stack().await.dynamodb_url.clone();
        Self::DynamoDb { client, table, url }
    }

    /// Writes the trail like the pipeline does.
    pub(super) async fn commit(
        &self,
        user: &UserId,
        (entries, head): (Vec<AuditEntry>, ChainHead),
    ) {
        let store: Box<dyn FindingStore> = match self {
            Self::Sqlite(_) => Box::new(SqliteStore::open(&self.path()).unwrap()),
            Self::DynamoDb { client, table, .. } => {
                Box::new(DynamoDbStore::new(client.clone(), table.clone()))
            }
        };
        let commit = Commit {
            at: entries[0].draft.at,
            record: UserRecord {
                version: 1,
                audit: head,
                ..UserRecord::new(user.clone())
            },
            finding_changed: false,
            audit: entries,
            recorded: vec![],
            pending_alerts: vec![],
        };
        assert_eq!(store.commit(&commit).await, Ok(CommitResult::Written));
    }

    /// The stored entries of the trail.
    pub(super) async fn trail(&self, user: &UserId) -> Vec<Value> {
        match self {
            Self::Sqlite(_) => self
                .connection()
                .prepare(
                    "SELECT body FROM audit WHERE account = ?1 AND user = ?2 ORDER BY sequence",
                )
                .unwrap()
                .query_map([user.account(), user.name()], |row| row.get::<_, String>(0))
                .unwrap()
                .map(|body| serde_json::from_str(&body.unwrap()).unwrap())
                .collect(),
            Self::DynamoDb { .. } => self.items(&partition("AUDIT", user)).await,
        }
    }

    /// Replaces the trail with `entries`, each at its given place.
    pub(super) async fn set_trail(&self, user: &UserId, entries: &[(u64, Value)]) {
        match self {
            Self::Sqlite(_) => {
                let connection = self.connection();
                connection
                    .execute(
                        "DELETE FROM audit WHERE account = ?1 AND user = ?2",
                        [user.account(), user.name()],
                    )
                    .unwrap();
                for (place, body) in entries {
                    connection
                        .execute(
                            "INSERT INTO audit VALUES (?1, ?2, ?3, 1, ?4)",
                            rusqlite::params![
                                user.account(),
                                user.name(),
                                place.cast_signed(),
                                body.to_string()
                            ],
                        )
                        .unwrap();
                }
            }
            Self::DynamoDb { .. } => {
                let partition = partition("AUDIT", user);
                for old in self.items(&partition).await {
                    self.delete(&partition, old["SK"].as_str().unwrap()).await;
                }
                for (place, body) in entries {
                    self.put(&partition, &format!("{place:020}"), body).await;
                }
            }
        }
    }

    /// The stored record of the user.
    pub(super) async fn record(&self, user: &UserId) -> Value {
        match self {
            Self::Sqlite(_) => {
                let body: String = self
                    .connection()
                    .query_row(
                        "SELECT body FROM records WHERE account = ?1 AND user = ?2",
                        [user.account(), user.name()],
                        |row| row.get(0),
                    )
                    .unwrap();
                serde_json::from_str(&body).unwrap()
            }
            Self::DynamoDb { .. } => self.items(&partition("USER", user)).await.remove(0),
        }
    }

    /// Replaces or removes the user's record.
    pub(super) async fn set_record(&self, user: &UserId, record: Option<Value>) {
        match self {
            Self::Sqlite(_) => {
                let connection = self.connection();
                connection
                    .execute(
                        "DELETE FROM records WHERE account = ?1 AND user = ?2",
                        [user.account(), user.name()],
                    )
                    .unwrap();
                if let Some(record) = record {
                    connection
                        .execute(
                            "INSERT INTO records VALUES (?1, ?2, 1, 1, ?3)",
                            [user.account(), user.name(), &record.to_string()],
                        )
                        .unwrap();
                }
            }
            Self::DynamoDb { .. } => {
                let partition = partition("USER", user);
                match record {
                    Some(record) => self.put(&partition, "RECORD", &record).await,
                    None => self.delete(&partition, "RECORD").await,
                }
            }
        }
    }

    /// The exit code and output of `secondkey verify` with `args`.
    pub(super) fn verify(&self, args: &[&str]) -> (i32, String, String) {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_secondkey"));
        command.arg("verify").args(args);
        match self {
            Self::Sqlite(_) => command.arg("--db").arg(self.path()),
            Self::DynamoDb { table, url, .. } => command
                .args(["--table", table, "--region", "us-east-1"])
                .env("AWS_ENDPOINT_URL_DYNAMODB", url)
                .env("AWS_ACCESS_KEY_ID", "AKIATEST")
                .env("AWS_SECRET_ACCESS_KEY", "secret"),
        };
        let output = command.output().unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    }

    fn path(&self) -> std::path::PathBuf {
        let Self::Sqlite(folder) = self else {
            panic!("the store is no SQLite file");
        };
        folder.path().join("findings.db")
    }

    fn connection(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }

    fn table(&self) -> (&Client, &str) {
        let Self::DynamoDb { client, table, .. } = self else {
            panic!("the store is no table");
        };
        (client, table)
    }

    async fn items(&self, partition: &str) -> Vec<Value> {
        let (client, table) = self.table();
        let answer = client
            .query()
            .table_name(table)
            .consistent_read(true)
            .key_condition_expression("PK = :partition")
            .expression_attribute_values(":partition", AttributeValue::S(partition.to_owned()))
            .send()
            .await
            .unwrap();
        let items = answer.items().iter().cloned();
        items
            .map(|item| serde_dynamo::aws_sdk_dynamodb_1::from_item(item).unwrap())
            .collect()
    }

    async fn put(&self, partition: &str, sort: &str, body: &Value) {
        let (client, table) = self.table();
        let mut item = body.clone();
        item["PK"] = json!(partition);
        item["SK"] = json!(sort);
        let item = serde_dynamo::aws_sdk_dynamodb_1::to_item(item).unwrap();
        client
            .put_item()
            .table_name(table)
            .set_item(Some(item))
            .send()
            .await
            .unwrap();
    }

    async fn delete(&self, partition: &str, sort: &str) {
        let (client, table) = self.table();
        client
            .delete_item()
            .table_name(table)
            .key("PK", AttributeValue::S(partition.to_owned()))
            .key("SK", AttributeValue::S(sort.to_owned()))
            .send()
            .await
            .unwrap();
    }
}

/// The partition key of `user`, whose name needs no encoding.
fn partition(kind: &str, user: &UserId) -> String {
    format!("{kind}#{}#{}", user.account(), user.name())
}
