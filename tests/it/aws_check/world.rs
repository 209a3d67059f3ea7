//! AWS as far as moto has it, with the programs that `infra/aws-check` calls.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use aws_config::SdkConfig;
use tempfile::TempDir;

use super::SCRIPT;
use crate::stack::clients;
use crate::stack::fetch;
use crate::stack::server::{self, Server};

/// The account of the member.
pub const MEMBER: &str = "444455556666";

const PROFILES: &str = "[profile central]
region = us-east-1
aws_access_key_id = AKIATEST
aws_secret_access_key = secret
[profile member]
region = us-east-1
role_arn = arn:aws:iam::444455556666:role/administrator
source_profile = central
";

/// Runs a script of bash that an interruption reaches. The shell that started the tests in the
/// background may ignore SIGINT, and its children inherit that. The path comes again as an argument,
/// because a version manager's `python3` puts its own programs in front.
const RESET: &str = "import os, signal, sys; \
    signal.signal(signal.SIGINT, signal.SIG_DFL); \
    os.environ['PATH'] = sys.argv[1]; \
    os.execvp('bash', ['bash', *sys.argv[2:]])";

/// A moto server, and a folder with the programs.
pub struct World {
    folder: TempDir,
    moto: Server,
    cli: Server,
}

impl World {
    pub async fn new() -> Self {
        let start = || {
            let folder = tempfile::tempdir().expect("a folder can be created");
            let python = fetch::aws_cli();
            write_programs(folder.path(), &python);
            let moto = start_moto();
            let cli = server::start("aws-cli", |port| {
                let mut command = Command::new(&python);
                command
                    .arg(ours("aws.py"))
                    .arg(port.to_string())
                    .envs(environment(folder.path(), &moto.url));
                command
            });
            Self { folder, moto, cli }
        };
        let started = tokio::task::spawn_blocking(start).await;
        started.expect("the servers start")
    }

    /// The script with these arguments.
    pub fn script(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("python3");
        let path = path_with(&self.folder.path().join("bin"));
        let port = self.cli.url.rsplit(':').next().unwrap_or_default();
        command
            .args(["-c", RESET, &path, SCRIPT])
            .args(arguments)
            .envs(environment(self.folder.path(), &self.moto.url))
            .env("AWS_PORT", port)
            .env("SECONDKEY", env!("CARGO_BIN_EXE_secondkey"))
            .env("PATH", path);
        command
    }

    /// The calls of `aws` and `sam` so far, each with its profile.
    pub fn calls(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("calls")).unwrap_or_default()
    }

    /// The configuration of an SDK for the central account.
    pub async fn config(&self) -> SdkConfig {
        clients::config(&self.moto.url).await
    }
}

/// `PATH` with `folder` in front.
pub fn path_with(folder: &Path) -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{}:{path}", folder.display())
}

/// Writes the shell script `name` into `folder`.
pub fn write_program(folder: &Path, name: &str, content: &str) {
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/usr/bin/env bash\n{content}\n")).unwrap();
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&path, mode).unwrap();
}

fn start_moto() -> Server {
    let python = fetch::moto();
    server::start("moto", |port| {
        let mut command = Command::new(&python);
        command
            .arg(ours("moto_server.py"))
            .args(["-H", "127.0.0.1", "-p"])
            .arg(port.to_string())
            // The quarantine policy is one of AWS's own.
            .env("MOTO_IAM_LOAD_MANAGED_POLICIES", "true");
        command
    })
}

fn ours(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/aws_check")).join(name)
}

fn write_programs(folder: &Path, python: &Path) {
    let programs = folder.join("bin");
    std::fs::create_dir(&programs).unwrap();
    std::fs::write(folder.join("profiles"), PROFILES).unwrap();
    let shown = |name| ours(name).display().to_string();
    let call = |program: &str| format!("exec {program} \"$@\"");
    write_program(&programs, "aws", &call(&format!("bash '{}'", shown("aws"))));
    let sam = format!("'{}' '{}'", python.display(), shown("sam.py"));
    write_program(&programs, "sam", &call(&sam));
    let secondkey = format!("bash '{}'", shown("secondkey"));
    write_program(&programs, "secondkey", &call(&secondkey));
    write_program(&programs, "cargo-lambda", "");
    write_program(&programs, "sleep", "exec /bin/sleep 0.1");
}

fn environment(folder: &Path, moto: &str) -> [(&'static str, String); 6] {
    let file = |name: &str| folder.join(name).display().to_string();
    [
        // The CLI keeps the credentials of roles there.
        ("HOME", folder.display().to_string()),
        ("AWS_CONFIG_FILE", file("profiles")),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null".to_owned()),
        ("AWS_ENDPOINT_URL", moto.to_owned()),
        ("CALLS", file("calls")),
        ("TRAIL", file("trail.jsonl")),
    ]
}
