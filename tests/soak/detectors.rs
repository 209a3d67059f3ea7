//! Several detectors on one queue, and a task that kills them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_sqs::types::{
    ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, Message,
    MessageSystemAttributeName,
};
use fastrand::Rng;
use serde_json::json;
use tokio::sync::RwLock;
use tokio::task::JoinSet;

use crate::killer::kill_now_and_then;
use crate::stack::emulator::Emulator;
use crate::stack::pump::{COMES_AGAIN_AFTER_SECONDS, failed_ids, record};

/// How many detectors run in parallel.
const DETECTORS: usize = 6;
/// How long an invocation may take before the emulator counts as dead.
const PATIENCE: Duration = Duration::from_secs(100);
/// How long a worker waits after it found the queue empty.
const EMPTY_FOR: Duration = Duration::from_millis(400);
/// How often the messages of a batch are delivered a second time while the detector still processes
/// them, as SQS may do.
const HANDED_OUT_TWICE: f64 = 0.05;
/// The workers and their results.
pub struct Detectors {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

/// The counts.
#[derive(Debug, Default)]
pub struct Counts {
    pub invocations: AtomicU64,
    pub failed_messages: AtomicU64,
    /// Processed re-checks, which are not changes.
    pub rechecks: AtomicU64,
    pub kills: AtomicU64,
    /// How many of the kills happened during an invocation.
    pub kills_at_work: AtomicU64,
    pub emulators_restarted: AtomicU64,
}

impl fmt::Display for Counts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        write!(
            formatter,
            "{} invocations, {} messages failed, {} detectors killed at work, {} emulators restarted",
            of(&self.invocations),
            of(&self.failed_messages),
            of(&self.kills_at_work),
            of(&self.emulators_restarted)
        )
    }
}

/// The state that the workers and the killer share.
pub struct Shared {
    sqs: aws_sdk_sqs::Client,
    queue_url: String,
    bootstrap: PathBuf,
    environment: Vec<(String, String)>,
    pub detectors: Vec<Detector>,
    pub counts: Counts,
    pub is_killing: AtomicBool,
    is_over: AtomicBool,
    logs: Mutex<Vec<PathBuf>>,
}

/// One detector.
pub struct Detector {
    pub emulator: RwLock<Emulator>,
    pub is_at_work: AtomicBool,
}

impl Detectors {
    /// Starts them with `environment`, and starts the killer.
    pub async fn start(
        sqs: aws_sdk_sqs::Client,
        queue_url: &str,
        bootstrap: &Path,
        environment: Vec<(String, String)>,
        rng: &mut Rng,
    ) -> Self {
        let mut shared = Shared {
            sqs,
            queue_url: queue_url.to_owned(),
            bootstrap: bootstrap.to_owned(),
            environment,
            detectors: vec![],
            counts: Counts::default(),
            is_killing: AtomicBool::new(true),
            is_over: AtomicBool::new(false),
            logs: Mutex::default(),
        };
        for _ in 0..DETECTORS {
            let emulator = RwLock::new(shared.emulator().await);
            shared.detectors.push(Detector {
                emulator,
                is_at_work: AtomicBool::new(false),
            });
        }
        let shared = Arc::new(shared);
        let mut tasks = JoinSet::new();
        for place in 0..DETECTORS {
            tasks.spawn(work(shared.clone(), place, rng.fork()));
        }
        tasks.spawn(kill_now_and_then(shared.clone(), rng.fork()));
        Self { shared, tasks }
    }

    pub fn counts(&self) -> &Counts {
        &self.shared.counts
    }

    /// Stops the kills.
    pub fn spare(&self) {
        self.shared.is_killing.store(false, Ordering::Relaxed);
    }

    /// Fails if a worker failed.
    pub fn assert_at_work(&mut self) {
        if let Some(Err(failure)) = self.tasks.try_join_next() {
            panic!("a worker failed: {failure}");
        }
    }

    /// Stops the workers.
    pub async fn stop(mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("a worker ends well");
        }
    }

    /// The lines that the detectors logged about the user `name`, in lower case.
    pub fn log_about(&self, name: &str) -> String {
        let logs = self.shared.logs.lock().expect("no panic while locked");
        let (quoted, in_id) = (format!("\"{name}\""), format!("/{name}/"));
        let mut lines: Vec<String> = logs
            .iter()
            .filter_map(|log| std::fs::read(log).ok())
            .flat_map(|log| {
                String::from_utf8_lossy(&log)
                    .lines()
                    .filter(|line| line.contains(&quoted) || line.contains(&in_id))
                    .map(|line| format!("    {line}\n"))
                    .collect::<Vec<_>>()
            })
            .collect();
        lines.sort();
        lines.concat()
    }
}

impl Shared {
    async fn emulator(&self) -> Emulator {
        let environment: Vec<(&str, &str)> = self
            .environment
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let emulator = Emulator::start(&self.bootstrap, &environment).await;
        self.logs
            .lock()
            .expect("no panic while locked")
            .push(emulator.log_file().to_owned());
        emulator
    }

    async fn receive(&self, at_most: i32) -> Vec<Message> {
        let received = self
            .sqs
            .receive_message()
            .queue_url(&self.queue_url)
            .max_number_of_messages(at_most)
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .send()
            .await;
        let received = received.expect("the queue can be read");
        received.messages.unwrap_or_default()
    }

    /// Makes `messages` visible again after `seconds`, except for those that were deleted
    /// meanwhile.
    async fn give_back(&self, messages: &[&Message], seconds: i32) {
        let entries = numbered(messages).map(|(id, handle)| {
            ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(id)
                .receipt_handle(handle)
                .visibility_timeout(seconds)
                .build()
                .expect("it has an id and a handle")
        });
        let request = self.sqs.change_message_visibility_batch();
        let request = request.queue_url(&self.queue_url);
        let given_back = request.set_entries(Some(entries.collect())).send().await;
        given_back.expect("messages can be returned");
    }

    /// Deletes `messages`, except for those that were deleted meanwhile.
    async fn delete(&self, messages: &[&Message]) {
        let entries = numbered(messages).map(|(id, handle)| {
            DeleteMessageBatchRequestEntry::builder()
                .id(id)
                .receipt_handle(handle)
                .build()
                .expect("it has an id and a handle")
        });
        let request = self.sqs.delete_message_batch();
        let request = request.queue_url(&self.queue_url);
        let deleted = request.set_entries(Some(entries.collect())).send().await;
        deleted.expect("messages can be deleted");
    }
}

/// The receipt handles of `messages`, each with an ID for a batch request.
fn numbered(messages: &[&Message]) -> impl Iterator<Item = (String, String)> {
    messages.iter().enumerate().map(|(number, message)| {
        let handle = message.receipt_handle.clone().unwrap_or_default();
        (number.to_string(), handle)
    })
}

/// A stand-in for the event source mapping of one detector.
async fn work(shared: Arc<Shared>, place: usize, mut rng: Rng) {
    let detector = &shared.detectors[place];
    let count = |counter: &AtomicU64, by: usize| counter.fetch_add(by as u64, Ordering::Relaxed);
    while !shared.is_over.load(Ordering::Relaxed) {
        let messages = shared.receive(rng.i32(1..=10)).await;
        if messages.is_empty() {
            tokio::time::sleep(EMPTY_FOR).await;
            continue;
        }
        if rng.f64() < HANDED_OUT_TWICE {
            let all: Vec<&Message> = messages.iter().collect();
            shared.give_back(&all, 0).await;
        }
        let batch = json!({"Records": messages.iter().map(record).collect::<Vec<_>>()});
        detector.is_at_work.store(true, Ordering::Relaxed);
        let answer = detector
            .emulator
            .read()
            .await
            .try_invoke(&batch, PATIENCE)
            .await;
        detector.is_at_work.store(false, Ordering::Relaxed);
        count(&shared.counts.invocations, 1);
        if answer.is_none() {
            count(&shared.counts.emulators_restarted, 1);
            let emulator = shared.emulator().await;
            *detector.emulator.write().await = emulator;
        }
        let failed = failed_ids(&answer.unwrap_or_default(), &messages);
        count(&shared.counts.failed_messages, failed.len());
        let (failed, done): (Vec<&Message>, Vec<&Message>) = messages.iter().partition(|message| {
            let id = message.message_id.as_deref().unwrap_or_default();
            failed.contains(id)
        });
        if !failed.is_empty() {
            shared.give_back(&failed, COMES_AGAIN_AFTER_SECONDS).await;
        }
        if !done.is_empty() {
            shared.delete(&done).await;
        }
        let is_recheck = |message: &&&Message| {
            let body = message.body.as_deref().unwrap_or_default();
            body.contains("secondkey_recheck")
        };
        count(
            &shared.counts.rechecks,
            done.iter().filter(is_recheck).count(),
        );
    }
}
