//! A server that lives exactly as long as the test process.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::{fetch, http};

/// How long a server may take until its first response.
const STARTS_WITHIN: Duration = Duration::from_secs(90);

/// How many ports are tried if another process takes the free one.
const PORTS_TRIED: u32 = 5;

/// Runs a command in its own process group until standard input ends. Then kills that group, and
/// the group whose ID is in the file `$0`. A keyboard interrupt reaches this watcher too, and must
/// not end it before its work is done.
const WATCH: &str = r#"trap "" INT TERM HUP; set -m; "$@" </dev/null & cat >/dev/null; kill -9 -- "-$!"
    [ ! -s "$0" ] || kill -9 -- "-$(cat "$0")" 2>/dev/null"#;

/// A running server. It ends when this is dropped or when the test process ends, for any reason.
pub struct Server {
    /// Where it listens.
    pub url: String,
    process: Watched,
}

impl Server {
    /// The output so far.
    pub fn printed(&self) -> String {
        self.process.printed()
    }
}

/// A process with a watcher that ends it when the watcher's standard input ends, which happens when
/// this is dropped or the test process dies.
pub struct Watched {
    watcher: Child,
    /// The output of the process.
    pub log: PathBuf,
}

impl Watched {
    /// Starts `command`, which keeps its directory and environment.
    pub fn start(name: &str, command: &Command) -> Self {
        Self::start_with_group(name, command, Path::new("/dev/null"))
    }

    /// Starts `command`, and with its end also ends the process group whose ID it writes into the
    /// file `group`.
    pub fn start_with_group(name: &str, command: &Command, group: &Path) -> Self {
        let log = fresh_file(name, "log");
        let out = File::create(&log).expect("the target directory can be written to");
        let mut watcher = Command::new("bash");
        watcher
            .args(["-c", WATCH])
            .arg(group)
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(Stdio::piped())
            .stdout(out.try_clone().expect("a file handle can be copied"))
            .stderr(out);
        if let Some(folder) = command.get_current_dir() {
            watcher.current_dir(folder);
        }
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => watcher.env(name, value),
                None => watcher.env_remove(name),
            };
        }
        let watcher = watcher
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
        Self { watcher, log }
    }

    /// The output of the process so far.
    pub fn printed(&self) -> String {
        std::fs::read(&self.log).map_or_else(
            |error| error.to_string(),
            |bytes| String::from_utf8_lossy(&bytes).into_owned(),
        )
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        drop(self.watcher.stdin.take());
        let _ = self.watcher.wait();
    }
}

/// An unused path beside the logs.
pub fn fresh_file(name: &str, ending: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let logs = fetch::stack_folder().join("logs");
    std::fs::create_dir_all(&logs).expect("the target directory can be written to");
    logs.join(format!("{name}-{}-{number}.{ending}", std::process::id()))
}

/// A port that is currently free.
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .expect("loopback has a free port")
        .port()
}

/// Starts the server that `command` creates for a port, and waits until it responds.
pub fn start(name: &str, command: impl Fn(u16) -> Command) -> Server {
    for _ in 0..PORTS_TRIED {
        let port = free_port();
        let process = Watched::start(name, &command(port));
        if answers(port, &process) {
            return Server {
                url: format!("http://127.0.0.1:{port}"),
                process,
            };
        }
        eprintln!(
            "{name} did not start on port {port}:\n{}",
            process.printed()
        );
    }
    panic!("{name} could not be started");
}

fn answers(port: u16, process: &Watched) -> bool {
    let began = Instant::now();
    while began.elapsed() < STARTS_WITHIN {
        // Any response will do; a server without a page at `/` responds with an error.
        if http::get_status(&format!("http://127.0.0.1:{port}/")).is_some() {
            return true;
        }
        if process.printed().contains("in use") {
            return false;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}

/// Starts AWS's DynamoDB Local, in memory.
pub fn start_dynamodb() -> Server {
    let folder = fetch::dynamodb();
    start("dynamodb", |port| java(&folder, port))
}

fn java(folder: &Path, port: u16) -> Command {
    let mut command = Command::new("java");
    command
        .current_dir(folder)
        .arg("-Djava.library.path=DynamoDBLocal_lib")
        .args([
            "-jar",
            "DynamoDBLocal.jar",
            "-inMemory",
            "-sharedDb",
            "-port",
        ])
        .arg(port.to_string());
    command
}

/// Starts a moto server with additional environment variables.
pub fn start_moto(environment: &[(&str, &str)]) -> Server {
    let python = fetch::moto();
    start("moto", |port| {
        let mut command = Command::new(&python);
        command
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p"])
            .arg(port.to_string())
            .envs(environment.iter().copied());
        command
    })
}
