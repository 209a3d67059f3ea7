//! An IAM user in moto, a file of findings, a credentials file, and the command line.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use secondkey::detect::trail::audit::{AuditEntry, verify_trail};
use secondkey::detect::user::UserId;
use secondkey::local::sqlite::SqliteStore;
use secondkey::pipeline::finding_store::FindingReader;
use tempfile::TempDir;

use super::front::Front;
use super::history::History;
use crate::stack::clients::{ACCESS_KEY, REGION, config};
use crate::stack::stack;
use crate::stack::wiring::ACCOUNT;

/// The actions that change IAM or Secrets Manager.
const WRITES: [&str; 6] = [
    "CreateAccessKey",
    "UpdateAccessKey",
    "DeleteAccessKey",
    "CreateSecret",
    "PutSecretValue",
    "DeleteSecret",
];

pub struct World {
    pub front: Front,
    pub history: History,
    pub folder: TempDir,
    pub user: String,
    pub iam: aws_sdk_iam::Client,
    pub secrets: aws_sdk_secretsmanager::Client,
}

/// The output of a command.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl World {
    /// A new user without keys, in the account that the tests share.
    pub async fn new() -> Self {
        Self::on(&stack().await.moto_url).await
    }

    /// A new user without keys, in the account at `moto`.
    pub async fn on(moto: &str) -> Self {
        let config = config(moto).await;
        let world = Self {
            front: Front::start(moto),
            history: History::start(),
            folder: tempfile::tempdir().unwrap(),
            user: format!("Rotated-{:08x}", fastrand::u32(..)),
            iam: aws_sdk_iam::Client::new(&config),
            secrets: aws_sdk_secretsmanager::Client::new(&config),
        };
        world.make_user().await;
        world
    }

    /// Makes the user.
    pub async fn make_user(&self) {
        let made = self.iam.create_user().user_name(&self.user).send().await;
        made.expect("a user can be created");
    }

    /// Deletes the user with its keys.
    pub async fn remove_user(&self, keys: &[String]) {
        for key in keys {
            let call = self.iam.delete_access_key().user_name(&self.user);
            call.access_key_id(key).send().await.unwrap();
        }
        let deleted = self.iam.delete_user().user_name(&self.user).send().await;
        deleted.expect("a user can be deleted");
    }

    /// A new user with `count` active keys. Returns their IDs, oldest first.
    pub async fn with_keys(count: usize) -> (Self, Vec<String>) {
        let world = Self::new().await;
        let mut keys = vec![];
        for _ in 0..count {
            keys.push(world.make_key().await);
        }
        (world, keys)
    }

    pub async fn make_key(&self) -> String {
        let made = self.iam.create_access_key().user_name(&self.user).send();
        let id = made.await.unwrap().access_key.unwrap().access_key_id;
        // The older of two keys created in one second could not be determined.
        next_second().await;
        id
    }

    pub async fn deactivate(&self, key: &str) {
        let call = self.iam.update_access_key().user_name(&self.user);
        let call = call.access_key_id(key).status("Inactive".into());
        call.send().await.unwrap();
    }

    /// The user's keys and their status.
    pub async fn keys(&self) -> BTreeMap<String, String> {
        let listed = self.iam.list_access_keys().user_name(&self.user).send();
        let keys = listed.await.unwrap().access_key_metadata;
        keys.into_iter()
            .map(|key| {
                (
                    key.access_key_id.unwrap(),
                    key.status.unwrap().as_str().to_owned(),
                )
            })
            .collect()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn db(&self) -> PathBuf {
        self.path("findings.db")
    }

    pub fn store(&self) -> SqliteStore {
        SqliteStore::open(&self.db()).unwrap()
    }

    pub fn user_id(&self) -> UserId {
        UserId::new(ACCOUNT, &self.user)
    }

    /// The trail in the file, which must verify.
    pub async fn trail(&self) -> Vec<AuditEntry> {
        whole_trail(&self.store(), &self.user_id()).await
    }

    /// Runs the command with these arguments.
    pub async fn run(&self, arguments: &[&str]) -> Said {
        self.run_typing(arguments, "").await
    }

    /// Runs a step of a rotation of the user with the file.
    pub async fn rotate(&self, step: &str, options: &[&str]) -> Said {
        self.rotate_typing(step, options, "").await
    }

    pub async fn rotate_typing(&self, step: &str, options: &[&str], typed: &str) -> Said {
        let db = self.db();
        let where_kept = ["--db", db.to_str().unwrap()];
        let arguments = [&["rotate", step, &self.user], &where_kept[..], options].concat();
        self.run_typing(&arguments, typed).await
    }

    pub async fn run_typing(&self, arguments: &[&str], typed: &str) -> Said {
        let mut command = self.command(arguments).await;
        let typed = typed.to_owned();
        let output = tokio::task::spawn_blocking(move || {
            let mut process = command.spawn().expect("the command line starts");
            // The process may not read its input.
            let _ = process.stdin.take().unwrap().write_all(typed.as_bytes());
            process.wait_with_output().unwrap()
        });
        let output = output.await.unwrap();
        Said {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    pub async fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_secondkey"));
        command
            .args(arguments)
            .env("AWS_REGION", REGION)
            .env("AWS_ENDPOINT_URL", &self.front.url)
            .env("AWS_ENDPOINT_URL_CLOUDTRAIL", &self.history.url)
            .env("AWS_ENDPOINT_URL_DYNAMODB", &stack().await.dynamodb_url)
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY.0)
            .env("AWS_SECRET_ACCESS_KEY", ACCESS_KEY.1)
            .env("AWS_SHARED_CREDENTIALS_FILE", self.path("aws/credentials"))
            .env("HOME", self.folder.path())
            .env_remove("AWS_PROFILE")
            .env_remove("AWS_CONFIG_FILE")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Fails if anything was changed since the last call.
    #[track_caller]
    pub fn assert_only_read(&self) {
        let asked = self.front.take_asked();
        assert!(!asked.is_empty());
        let written: Vec<&String> = asked
            .iter()
            .filter(|action| WRITES.contains(&action.as_str()))
            .collect();
        assert_eq!(written, Vec::<&String>::new());
    }
}

impl Said {
    #[track_caller]
    pub fn succeeded(&self) -> &Self {
        assert_eq!(self.code, 0, "{}\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub fn refused(&self, why: &str) -> &Self {
        assert_eq!(self.code, 1, "{}\n{}", self.stdout, self.stderr);
        assert!(
            self.stderr.contains(why),
            "`{why}` is not in: {}",
            self.stderr
        );
        self
    }

    #[track_caller]
    pub fn prints(&self, text: &str) -> &Self {
        assert!(
            self.stdout.contains(text),
            "`{text}` is not in: {}\n{}",
            self.stdout,
            self.stderr
        );
        self
    }

    /// The command that a dry run shows, split like a shell does.
    #[track_caller]
    pub fn shown_command(&self) -> Vec<String> {
        let line = self
            .stdout
            .lines()
            .rev()
            .find(|line| line.trim_start().starts_with("secondkey "))
            .unwrap_or_else(|| panic!("no command in: {}", self.stdout));
        let split = Command::new("sh")
            .args(["-c", &format!("printf '%s\\n' {}", line.trim())])
            .output()
            .unwrap();
        let words = String::from_utf8(split.stdout).unwrap();
        words.lines().skip(1).map(str::to_owned).collect()
    }
}

/// Waits until the next second begins. CloudTrail's times and our recorded times have whole
/// seconds, so a listing in the same second as a change could not be known to be newer.
pub async fn next_second() {
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
}

/// The trail of `user` in `store`, which must verify.
pub async fn whole_trail(store: &dyn FindingReader, user: &UserId) -> Vec<AuditEntry> {
    let entries = store.history(user).await.unwrap();
    let head = store.record(user).await.unwrap().audit;
    assert_eq!(verify_trail(user, &entries, &head), Ok(()));
    entries
}
