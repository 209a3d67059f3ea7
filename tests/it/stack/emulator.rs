//! One Lambda function in AWS's runtime interface emulator.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::clients::{ACCESS_KEY, REGION};
use super::server::{Watched, free_port, fresh_file};
use super::{fetch, http};

/// How long an invocation may take if nothing slows it down on purpose.
const ANSWERS_WITHIN: Duration = Duration::from_mins(2);

/// Becomes the function `$1`, after writing its process ID into the file `$0`. The emulator makes
/// it the leader of its own process group, which would survive the end of the emulator's group.
const BOOTSTRAP: &str = r#"echo $$ >"$0"; exec "$1""#;

/// A function that runs in the emulator. Dropping this ends both.
pub struct Emulator {
    url: String,
    function: PathBuf,
    process: Watched,
}

impl Emulator {
    /// Starts `bootstrap` with `environment`, fake credentials and nothing else.
    pub async fn start(bootstrap: &Path, environment: &[(&str, &str)]) -> Self {
        let program = tokio::task::spawn_blocking(fetch::emulator)
            .await
            .expect("the emulator could not be fetched");
        let (port, runtime_port) = (free_port(), free_port());
        let function = fresh_file("function", "pid");
        let mut command = Command::new("env");
        command
            .arg("-i")
            .arg(format!(
                "PATH={}",
                std::env::var("PATH").unwrap_or_default()
            ))
            .arg(format!("AWS_REGION={REGION}"))
            .arg(format!("AWS_ACCESS_KEY_ID={}", ACCESS_KEY.0))
            .arg(format!("AWS_SECRET_ACCESS_KEY={}", ACCESS_KEY.1))
            .args(
                environment
                    .iter()
                    .map(|(name, value)| format!("{name}={value}")),
            )
            .arg(program)
            .args([
                "--runtime-api-address",
                &format!("127.0.0.1:{runtime_port}"),
            ])
            .args([
                "--runtime-interface-emulator-address",
                &format!("127.0.0.1:{port}"),
            ])
            .args(["/bin/sh", "-c", BOOTSTRAP])
            .arg(&function)
            .arg(bootstrap);
        let process = Watched::start_with_group("emulator", &command, &function);
        let began = Instant::now();
        while tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .is_err()
        {
            assert!(
                began.elapsed() < Duration::from_secs(30),
                "the emulator does not listen:\n{}",
                process.printed()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Self {
            url: format!("http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"),
            function,
            process,
        }
    }

    /// The function's response to `payload`. An error of the function is an object with
    /// `errorMessage`.
    pub async fn invoke(&self, payload: &Value) -> Value {
        let answer = self.try_invoke(payload, ANSWERS_WITHIN).await;
        answer.unwrap_or_else(|| panic!("the function does not answer:\n{}", self.log()))
    }

    /// The function's response to `payload`, or the emulator's if the function died, or `None` if
    /// there is no response within `patience`.
    pub async fn try_invoke(&self, payload: &Value, patience: Duration) -> Option<Value> {
        http::try_post_json(self.url.clone(), payload, patience).await
    }

    /// The function's process, if one was started. The emulator starts a new one for the invocation
    /// after the next.
    pub fn function_process(&self) -> Option<u32> {
        std::fs::read_to_string(&self.function)
            .ok()?
            .trim()
            .parse()
            .ok()
    }

    /// The output file of the function and the emulator.
    pub fn log_file(&self) -> &Path {
        &self.process.log
    }

    /// The output of the function and the emulator so far.
    pub fn log(&self) -> String {
        self.process.printed()
    }

    /// The function's log lines that are JSON: its log and its metrics.
    pub fn log_lines(&self) -> Vec<Value> {
        self.log()
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }
}
