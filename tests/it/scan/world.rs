//! An account in its own moto server, and a directory in which the command line works.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use aws_sdk_iam::types::StatusType;
use futures::stream::{self, StreamExt};
use secondkey::detect::findings::finding::FindingStatus;
use secondkey::local::sqlite::SqliteStore;
use secondkey::pipeline::finding_store::FindingReader;
use serde_json::Value;
use tempfile::TempDir;

use crate::doctor::world::{Said, run};
use crate::stack::clients::{ACCESS_KEY, REGION, config};
use crate::stack::proxy::{Fault, Proxy};
use crate::stack::server::{Server, start_moto};

pub const ACCOUNT: &str = "123456789012";

/// AWS's error for expired credentials.
const EXPIRED: &str = "<ErrorResponse><Error><Type>Sender</Type><Code>ExpiredToken</Code><Message>The security token \
    included in the request is expired</Message></Error><RequestId>1</RequestId></ErrorResponse>";

pub struct World {
    pub iam: aws_sdk_iam::Client,
    pub config: aws_config::SdkConfig,
    /// Between the command line and moto.
    pub proxy: Proxy,
    folder: TempDir,
    _server: Server,
}

impl World {
    pub async fn new() -> Self {
        let server = tokio::task::spawn_blocking(|| start_moto(&[]));
        let server = server.await.expect("moto starts");
        let config = config(&server.url).await;
        Self {
            iam: aws_sdk_iam::Client::new(&config),
            proxy: Proxy::start(&server.url),
            config,
            folder: tempfile::tempdir().expect("a folder can be created"),
            _server: server,
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Creates users, each with a number of keys.
    pub async fn users(&self, users: impl IntoIterator<Item = (String, usize)>) {
        stream::iter(users)
            .for_each_concurrent(8, async |(name, keys)| {
                let user = self.iam.create_user().user_name(&name).send().await;
                user.expect("a user can be created");
                for _ in 0..keys {
                    self.create_key(&name).await;
                }
            })
            .await;
    }

    pub async fn create_key(&self, user: &str) -> String {
        let made = self.iam.create_access_key().user_name(user).send().await;
        let made = made.expect("a key can be created").access_key;
        made.expect("it is returned").access_key_id
    }

    pub async fn keys(&self, user: &str) -> Vec<String> {
        let listed = self.iam.list_access_keys().user_name(user).send().await;
        let listed = listed.expect("keys can be listed").access_key_metadata;
        listed
            .into_iter()
            .filter_map(|key| key.access_key_id)
            .collect()
    }

    pub async fn deactivate(&self, user: &str, key: &str) {
        let updated = self
            .iam
            .update_access_key()
            .user_name(user)
            .access_key_id(key);
        let updated = updated.status(StatusType::Inactive).send().await;
        updated.expect("a key can be deactivated");
    }

    /// The command line with these arguments, in the directory.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_secondkey"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("AWS_ENDPOINT_URL", &self.proxy.url)
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY.0)
            .env("AWS_SECRET_ACCESS_KEY", ACCESS_KEY.1)
            .env("AWS_REGION", REGION)
            .env("HOME", self.folder.path())
            .env("XDG_DATA_HOME", self.folder.path().join("data"))
            .env_remove("AWS_PROFILE")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub async fn run(&self, arguments: &[&str]) -> Said {
        run(self.command(arguments)).await
    }

    /// Runs a scan with these options. Returns its output and its JSON.
    pub async fn scan(&self, options: &[&str]) -> (Said, Value) {
        let arguments = [&["scan", "--format", "json"], options].concat();
        let said = self.run(&arguments).await;
        let document = serde_json::from_str(&said.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}\n{}", said.stdout, said.stderr));
        (said, document)
    }

    /// Makes the credentials expire, or valid again.
    pub fn expire_credentials(&self, are_expired: bool) {
        self.proxy.set(Fault {
            part: "Action=",
            status: 403,
            body: EXPIRED,
            times: if are_expired { u32::MAX } else { 0 },
        });
    }

    /// The answered requests to IAM so far, with their counts.
    pub fn take_calls(&self) -> BTreeMap<String, usize> {
        let mut calls = BTreeMap::new();
        for body in self.proxy.take_bodies() {
            // Each run requests the caller identity, and the report until it is ready.
            let is_counted = !["GetCallerIdentity", "GenerateCredentialReport"]
                .iter()
                .any(|action| body.contains(&format!("Action={action}&")));
            if is_counted {
                *calls.entry(body).or_default() += 1;
            }
        }
        calls
    }
}

/// The changes in a scan's output, as `user: change`.
pub fn changes(document: &Value) -> Vec<String> {
    let findings = document["findings"].as_array().expect("there is a list");
    let of = |finding: &Value| {
        let user = finding["user"].as_str().unwrap_or_default();
        format!("{user}: {}", finding["change"].as_str().unwrap_or_default())
    };
    findings.iter().map(of).collect()
}

/// The findings in the file at `path`, as `id keys`.
pub async fn kept(path: &Path) -> Vec<String> {
    let store = SqliteStore::open_existing(path).expect("it is one");
    let open = store
        .findings(FindingStatus::Open)
        .await
        .expect("they can be read");
    let mut kept: Vec<String> = open
        .iter()
        .map(|finding| {
            let keys: Vec<&str> = finding.active_keys().collect();
            format!("{} {}", finding.id, keys.join(" "))
        })
        .collect();
    kept.sort();
    kept
}
