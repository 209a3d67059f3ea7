//! Writes what a replay commits in a separate thread, so that deciding and writing overlap.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use crate::detect::findings::finding::{Finding, FindingId};
use crate::detect::trail::audit::AuditEntry;
use crate::local::sqlite::SqliteStore;
use crate::local::sqlite::commit::{Mark, Rows};
use crate::pipeline::error::ServiceError;

#[derive(Debug, Default)]
pub(super) struct PendingWrites {
    pub(super) findings: BTreeMap<FindingId, Finding>,
    pub(super) audit: Vec<AuditEntry>,
    pub(super) marks: Vec<Mark>,
}

/// A thread that writes in the order of requests. It ends when this value is dropped.
pub(super) struct WriterThread {
    store: Arc<SqliteStore>,
    /// `None` if no thread could be started.
    thread: Option<(SyncSender<Job>, JoinHandle<()>)>,
    failure: Arc<Mutex<Option<ServiceError>>>,
}

enum Job {
    Write(Box<PendingWrites>),
    /// Reply when everything before it is written.
    Answer(SyncSender<()>),
}

impl WriterThread {
    pub(super) fn over(store: Arc<SqliteStore>) -> Self {
        let failure = Arc::new(Mutex::new(None));
        // One batch is written while the next is collected. More would only take memory.
        let (sender, jobs) = sync_channel(1);
        let (to, failed) = (Arc::clone(&store), Arc::clone(&failure));
        let thread = thread::Builder::new().spawn(move || work(&jobs, &to, &failed));
        Self {
            store,
            thread: thread.ok().map(|thread| (sender, thread)),
            failure,
        }
    }

    /// Queues `waiting`. A returned error may concern an earlier batch.
    pub(super) fn write(&self, waiting: PendingWrites) -> Result<(), ServiceError> {
        self.fail_if_failed()?;
        match &self.thread {
            Some((sender, _)) => {
                // The thread receives jobs until the sender is dropped.
                let _ = sender.send(Job::Write(Box::new(waiting)));
                Ok(())
            }
            None => write(&self.store, waiting),
        }
    }

    /// Waits until everything is written.
    pub(super) fn wait(&self) -> Result<(), ServiceError> {
        if let Some((sender, _)) = &self.thread {
            let (done, is_done) = sync_channel(1);
            if sender.send(Job::Answer(done)).is_err() || is_done.recv().is_err() {
                return Err(ServiceError::permanent("the results could not be written"));
            }
        }
        self.fail_if_failed()
    }

    fn fail_if_failed(&self) -> Result<(), ServiceError> {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.clone().map_or(Ok(()), Err)
    }
}

impl Drop for WriterThread {
    fn drop(&mut self) {
        // Nothing more may be written after the rollback that follows.
        if let Some((sender, thread)) = self.thread.take() {
            drop(sender);
            let _ = thread.join();
        }
    }
}

fn work(jobs: &Receiver<Job>, store: &SqliteStore, failure: &Mutex<Option<ServiceError>>) {
    let mut has_failed = false;
    for job in jobs {
        match job {
            Job::Write(waiting) if !has_failed => {
                if let Err(error) = write(store, *waiting) {
                    has_failed = true;
                    *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                }
            }
            Job::Write(_) => {}
            Job::Answer(done) => {
                let _ = done.send(());
            }
        }
    }
}

fn write(store: &SqliteStore, mut waiting: PendingWrites) -> Result<(), ServiceError> {
    // Writing in index order touches far fewer pages.
    waiting
        .audit
        .sort_by(|one, other| (&one.user, one.sequence).cmp(&(&other.user, other.sequence)));
    waiting.marks.sort();
    store.write_behind(&Rows {
        audit: &waiting.audit,
        marks: &waiting.marks,
        findings: waiting.findings.values().collect(),
        ..Rows::default()
    })
}
