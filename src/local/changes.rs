//! Key changes in the order in which they happened. Only a limited amount is held in memory; the
//! rest goes to temporary files.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::DateTime;

use crate::detect::Timestamp;
use crate::detect::events::key_change::KeyChange;
use crate::pipeline::error::ServiceError;
use crate::stored::{ChangeV1, unreadable};

/// How many bytes of changes are kept in memory. Logs are read in parallel, and each has its own
/// `Changes`.
const IN_MEMORY: usize = if cfg!(test) { 4 << 10 } else { 1 << 20 };

/// How many short runs are merged into a longer one, so that few files are open at a time.
const SHORT_RUNS: usize = 64;

/// What a change takes in memory in addition to its text.
const OVERHEAD: usize = 128;

/// The changes found in logs, without duplicates.
#[derive(Default)]
pub struct Changes {
    recent: BTreeMap<ChangeOrder, Box<[u8]>>,
    recent_bytes: usize,
    /// Older changes, each run sorted. If two runs contain the same change, the later run wins.
    runs: Vec<SortedRun>,
    /// How many changes are in `runs`. A change in two runs counts twice until
    /// [`Changes::count_duplicates`] is called.
    spilled: usize,
    /// How many duplicates were found across runs and not yet reported.
    doubles: usize,
    failure: Option<ServiceError>,
}

/// The sort key of a change: its time, then its id, which no other change has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ChangeOrder {
    pub(super) at: Timestamp,
    pub(super) id: String,
}

/// A change in its serialized form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EncodedChange {
    pub(super) filed: ChangeOrder,
    pub(super) body: Box<[u8]>,
}

/// Changes from one source, in order.
pub(super) type ChangeStream = Box<dyn Iterator<Item = Result<EncodedChange, ServiceError>> + Send>;

impl Changes {
    /// Adds `change`. Returns whether it is new, as far as is known before
    /// [`Changes::count_duplicates`].
    pub fn insert(&mut self, change: &KeyChange) -> bool {
        match EncodedChange::of(change) {
            Ok(EncodedChange { filed, body }) => self.file(filed, body),
            Err(error) => {
                self.failed(error);
                true
            }
        }
    }

    /// Adds the changes of later logs. Returns how many of them were already known.
    pub(super) fn append(&mut self, later: Self) -> u64 {
        if !later.runs.is_empty() {
            self.spill();
            self.spilled += later.spilled;
            self.doubles += later.doubles;
            self.runs.extend(later.runs);
        }
        if let Some(failure) = later.failure {
            self.failed(failure);
        }
        let mut known = 0;
        for (filed, body) in later.recent {
            known += u64::from(!self.file(filed, body));
        }
        known
    }

    /// How many changes there are. Exact only after [`Changes::count_duplicates`].
    #[must_use]
    pub fn len(&self) -> usize {
        self.recent.len() + self.spilled
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Finds the changes that were added twice with many others in between. Returns how many there
    /// are, or an error if some changes could not be written to a temporary file.
    pub fn count_duplicates(&mut self) -> Result<u64, ServiceError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        if self.runs.is_empty() {
            return Ok(0);
        }
        self.spill();
        let mut count = 0;
        for entry in self.merged()? {
            entry?;
            count += 1;
        }
        self.doubles += self.spilled.saturating_sub(count);
        self.spilled = count;
        Ok(std::mem::take(&mut self.doubles) as u64)
    }

    /// The changes, ordered by time and, within a second, by ID.
    pub fn in_order(
        &self,
    ) -> Result<impl Iterator<Item = Result<KeyChange, ServiceError>> + use<>, ServiceError> {
        Ok(self.merged()?.map(|entry| entry?.change()))
    }

    /// The same changes in serialized form.
    pub(super) fn merged(&self) -> Result<MergedChanges, ServiceError> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let recent: Vec<_> = self
            .recent
            .iter()
            .map(|(filed, body)| {
                Ok(EncodedChange {
                    filed: filed.clone(),
                    body: body.clone(),
                })
            })
            .collect();
        let runs = self.runs.iter().map(SortedRun::entries);
        MergedChanges::of(
            runs.chain([Box::new(recent.into_iter()) as ChangeStream])
                .collect(),
        )
    }

    fn file(&mut self, filed: ChangeOrder, body: Box<[u8]>) -> bool {
        self.recent_bytes += filed.id.len() + body.len() + OVERHEAD;
        let before = self.recent.insert(filed, body);
        if self.recent_bytes > IN_MEMORY {
            self.spill();
        }
        before.is_none()
    }

    /// Moves what is in memory to a file.
    fn spill(&mut self) {
        let recent = std::mem::take(&mut self.recent);
        self.recent_bytes = 0;
        if recent.is_empty() || self.failure.is_some() {
            return;
        }
        self.spilled += recent.len();
        let entries = recent
            .into_iter()
            .map(|(filed, body)| Ok(EncodedChange { filed, body }));
        let run = SortedRun::written(entries, true);
        if let Err(error) = run.and_then(|run| {
            self.runs.push(run);
            self.merge_short_runs()
        }) {
            self.failed(error);
        }
    }

    fn merge_short_runs(&mut self) -> Result<(), ServiceError> {
        let short = self.runs.iter().rev().take_while(|run| run.is_short);
        let first = self.runs.len() - short.count();
        let Some(short) = self
            .runs
            .get(first..)
            .filter(|short| short.len() >= SHORT_RUNS)
        else {
            return Ok(());
        };
        let before: usize = short.iter().map(|run| run.changes).sum();
        let sources = short.iter().map(SortedRun::entries).collect();
        let merged = SortedRun::written(MergedChanges::of(sources)?, false)?;
        self.doubles += before - merged.changes;
        self.spilled -= before - merged.changes;
        self.runs.truncate(first);
        self.runs.push(merged);
        Ok(())
    }

    fn failed(&mut self, error: ServiceError) {
        self.failure.get_or_insert(error);
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let recent = self.recent.iter().map(|(filed, body)| {
            let body = String::from_utf8_lossy(body);
            format!("{} {} {body}", filed.at, filed.id)
        });
        formatter
            .debug_struct("Changes")
            .field("spilled", &self.spilled)
            .field("recent", &recent.collect::<Vec<_>>())
            .field("failure", &self.failure)
            .finish_non_exhaustive()
    }
}

impl EncodedChange {
    pub(super) fn of(change: &KeyChange) -> Result<Self, ServiceError> {
        let body = serde_json::to_vec(&ChangeV1::from(change))
            .map_err(|error| not_kept(&io::Error::from(error)))?;
        let filed = ChangeOrder {
            at: change.at,
            id: change.id.clone(),
        };
        Ok(Self {
            filed,
            body: body.into(),
        })
    }

    pub(super) fn change(self) -> Result<KeyChange, ServiceError> {
        let stored: ChangeV1 = serde_json::from_slice(&self.body)
            .map_err(|error| unreadable("a key change of an earlier log", &error))?;
        Ok(stored.filed(self.filed.at, self.filed.id))
    }

    pub(super) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let Self { filed, body } = self;
        to.write_all(&filed.at.timestamp().to_le_bytes())?;
        to.write_all(&filed.at.timestamp_subsec_nanos().to_le_bytes())?;
        for text in [filed.id.as_bytes(), body] {
            let length = u32::try_from(text.len()).map_err(io::Error::other)?;
            to.write_all(&length.to_le_bytes())?;
            to.write_all(text)?;
        }
        Ok(())
    }

    /// Reads the next entry, or `None` at the end of `from`.
    pub(super) fn read(from: &mut impl Read) -> io::Result<Option<Self>> {
        let mut seconds = [0; 8];
        match from.read_exact(&mut seconds) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let mut nanoseconds = [0; 4];
        from.read_exact(&mut nanoseconds)?;
        let (seconds, nanoseconds) = (i64::from_le_bytes(seconds), u32::from_le_bytes(nanoseconds));
        let at = DateTime::from_timestamp(seconds, nanoseconds)
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
        let id = String::from_utf8(read_text(from)?)
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
        let body = read_text(from)?.into();
        Ok(Some(Self {
            filed: ChangeOrder { at, id },
            body,
        }))
    }
}

fn read_text(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    let mut text = Vec::new();
    from.take(length.into()).read_to_end(&mut text)?;
    if text.len() as u64 != u64::from(length) {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(text)
}

/// Sorted changes in a file.
#[derive(Debug)]
struct SortedRun {
    file: Arc<Mutex<File>>,
    changes: usize,
    is_short: bool,
}

impl SortedRun {
    fn written(
        entries: impl Iterator<Item = Result<EncodedChange, ServiceError>>,
        is_short: bool,
    ) -> Result<Self, ServiceError> {
        let failed = |error: io::Error| not_kept(&error);
        // The file has no name, so the system removes it however the process ends.
        let mut file = BufWriter::new(tempfile::tempfile().map_err(failed)?);
        let mut changes = 0;
        for entry in entries {
            entry?.write(&mut file).map_err(failed)?;
            changes += 1;
        }
        let file = file
            .into_inner()
            .map_err(|error| failed(error.into_error()))?;
        Ok(Self {
            file: Arc::new(Mutex::new(file)),
            changes,
            is_short,
        })
    }

    fn entries(&self) -> ChangeStream {
        let mut reader = BufReader::with_capacity(
            1 << 16,
            IndependentReader {
                file: Arc::clone(&self.file),
                place: 0,
            },
        );
        Box::new(std::iter::from_fn(move || {
            let entry = EncodedChange::read(&mut reader).map_err(|error| not_kept(&error));
            entry.transpose()
        }))
    }
}

/// A reader with its own position in a shared file.
struct IndependentReader {
    file: Arc<Mutex<File>>,
    place: u64,
}

impl Read for IndependentReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(self.place))?;
        let read = file.read(into)?;
        self.place += read as u64;
        Ok(read)
    }
}

fn not_kept(error: &io::Error) -> ServiceError {
    ServiceError::permanent(format!(
        "the key changes could not be written to a temporary file: {error}; free space in \
         `{}`, or set TMPDIR to another directory",
        std::env::temp_dir().display()
    ))
}

/// Merges sorted sources. If several sources contain the same change, the last source wins.
pub(super) struct MergedChanges {
    sources: Vec<ChangeStream>,
    /// The next change of each source.
    next: BinaryHeap<Reverse<StreamHead>>,
}

#[derive(PartialEq, Eq)]
struct StreamHead {
    entry: EncodedChange,
    source: usize,
}

impl Ord for StreamHead {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let place = |next: &Self| (next.source, next.entry.filed.at);
        self.entry
            .filed
            .cmp(&other.entry.filed)
            .then_with(|| place(self).cmp(&place(other)))
    }
}

impl PartialOrd for StreamHead {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl MergedChanges {
    pub(super) fn of(sources: Vec<ChangeStream>) -> Result<Self, ServiceError> {
        let mut merged = Self {
            next: BinaryHeap::new(),
            sources,
        };
        for source in 0..merged.sources.len() {
            merged.advance(source)?;
        }
        Ok(merged)
    }

    fn advance(&mut self, source: usize) -> Result<(), ServiceError> {
        if let Some(entry) = self.sources.get_mut(source).and_then(Iterator::next) {
            let entry = entry?;
            self.next.push(Reverse(StreamHead { entry, source }));
        }
        Ok(())
    }

    fn pop(&mut self) -> Result<Option<StreamHead>, ServiceError> {
        let Some(Reverse(next)) = self.next.pop() else {
            return Ok(None);
        };
        self.advance(next.source)?;
        Ok(Some(next))
    }

    /// The next change, and the first and last source that contain it.
    pub(super) fn next_of(
        &mut self,
    ) -> Result<Option<(EncodedChange, usize, usize)>, ServiceError> {
        let Some(mut last) = self.pop()? else {
            return Ok(None);
        };
        let first = last.source;
        while let Some(Reverse(next)) = self.next.peek()
            && next.entry.filed == last.entry.filed
        {
            match self.pop()? {
                Some(next) => last = next,
                None => break,
            }
        }
        Ok(Some((last.entry, first, last.source)))
    }
}

impl Iterator for MergedChanges {
    type Item = Result<EncodedChange, ServiceError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_of().transpose()?;
        Some(next.map(|(entry, ..)| entry))
    }
}

/// Produces `items` on a separate thread, slightly ahead of the consumer.
pub(super) fn ahead<T: Send + 'static>(
    items: impl Iterator<Item = T> + Send + 'static,
) -> Box<dyn Iterator<Item = T>> {
    /// How many items are handed over at a time: one handover costs as much as several items.
    const BATCH: usize = 32;
    let (sender, batches) = std::sync::mpsc::sync_channel(4);
    let items = Arc::new(Mutex::new(items));
    let of_thread = Arc::clone(&items);
    let spawned = std::thread::Builder::new().spawn(move || {
        let mut items = of_thread.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let batch: Vec<T> = items.by_ref().take(BATCH).collect();
            if batch.is_empty() || sender.send(batch).is_err() {
                break;
            }
        }
    });
    match spawned {
        Ok(_) => Box::new(batches.into_iter().flatten()),
        Err(_) => Box::new(std::iter::from_fn(move || {
            let mut items = items.lock().unwrap_or_else(PoisonError::into_inner);
            items.next()
        })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::events::actor::Actor;
    use crate::detect::events::key_change::ChangeKind;
    use crate::detect::testing::{at, user};

    fn change(number: u32) -> KeyChange {
        KeyChange {
            id: format!("{:05}", number * 7_919 % 10_007),
            event_id: None,
            corrects: None,
            at: at(i64::from(number % 50)),
            user: user(),
            user_name: "alice".to_owned(),
            kind: ChangeKind::KeyDeleted {
                key: format!("AKIA{number}"),
            },
            actor: Actor::default(),
            region: None,
        }
    }

    #[test]
    fn changes_that_exceed_memory_are_sorted_and_deduplicated() {
        const COUNT: u32 = 5_000;
        let mut expected: Vec<KeyChange> = (0..COUNT).map(change).collect();
        expected.sort_by(|one, other| (one.at, &one.id).cmp(&(other.at, &other.id)));
        let mut rng = fastrand::Rng::with_seed(7);
        for logs in [1, 3, 200] {
            let mut numbers: Vec<u32> = (0..COUNT).chain((0..COUNT).step_by(3)).collect();
            rng.shuffle(&mut numbers);
            let (mut changes, mut known) = (Changes::default(), 0);
            for log in numbers.chunks(numbers.len() / logs + 1) {
                let mut of_log = Changes::default();
                for number in log {
                    known += u64::from(!of_log.insert(&change(*number)));
                }
                known += changes.append(of_log);
            }
            known += changes.count_duplicates().unwrap();
            assert_eq!(known, u64::from(COUNT.div_ceil(3)), "{logs} logs");
            assert_eq!(changes.len(), expected.len());
            assert!(
                changes.runs.len() < 3 * SHORT_RUNS,
                "{}",
                changes.runs.len()
            );
            let found: Result<Vec<KeyChange>, _> = changes.in_order().unwrap().collect();
            assert!(found.unwrap() == expected, "{logs} logs");
        }
    }

    #[test]
    fn the_later_of_two_changes_with_one_id_wins() {
        let mut changes = Changes::default();
        let named = |name: &str| KeyChange {
            user_name: name.to_owned(),
            ..change(1)
        };
        changes.insert(&named("alice"));
        for number in 2..500 {
            changes.insert(&change(number));
        }
        changes.insert(&named("ALICE"));
        assert_eq!(changes.count_duplicates(), Ok(1));
        let mut found = changes.in_order().unwrap().map(Result::unwrap);
        let found = found.find(|found| found.id == change(1).id);
        assert_eq!(found.unwrap().user_name, "ALICE");
    }
}
