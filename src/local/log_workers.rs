//! Reads many logs in parallel, with the same result as reading them in turn.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::detect::Timestamp;
use crate::local::containers::for_each_text;
use crate::local::log_files::LogFile;
use crate::local::log_pass::unreadable;
use crate::local::log_reading::{LogQuery, LogReading};

/// Searches `logs` for what `looking` names, with one thread per core. The bytes pass through
/// `watch` before they are unpacked. Records later than `clock` are counted.
pub(crate) fn read_logs_for(
    looking: LogQuery<'_>,
    logs: &[LogFile],
    watch: impl Fn(Box<dyn Read>) -> Box<dyn Read> + Sync,
    clock: Timestamp,
) -> LogReading {
    let next = AtomicUsize::new(0);
    let runs = Mutex::new(Runs::default());
    let work = || {
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(log) = logs.get(place) else { break };
            let mut reading = LogReading::default();
            let name = log.name();
            match log.raw() {
                Ok(raw) => for_each_text(
                    &name,
                    watch(raw),
                    log.path(),
                    &mut |name, text| match text {
                        Ok(text) => reading.read_for(looking, name, text, clock),
                        Err(error) => reading.cannot_be_read(name, unreadable(&error)),
                    },
                ),
                Err(error) => reading.cannot_be_read(&name, error.to_string()),
            }
            // A container, like a directory, may hold other files beside the logs.
            if !log.may_be_unrelated() && reading.records == 0 {
                reading.misses_logs();
            }
            let mut runs = runs.lock().unwrap_or_else(PoisonError::into_inner);
            runs.add(place, reading);
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 1..cores.min(logs.len()) {
            // If a thread cannot be started, the others do its share of the work.
            let _ = thread::Builder::new().spawn_scoped(scope, work);
        }
        work();
    });
    let runs = runs.into_inner().unwrap_or_else(PoisonError::into_inner);
    runs.in_order()
}

/// The readings of adjacent logs, merged into runs. Each run is keyed by the place of its first log
/// and stores where it ends. Between two runs a log is still being read, so there are never more
/// runs than workers, however many logs there are.
#[derive(Debug, Default)]
struct Runs(BTreeMap<usize, (usize, LogReading)>);

impl Runs {
    fn add(&mut self, place: usize, reading: LogReading) {
        let mut end = place + 1;
        let mut reading = reading;
        if let Some((after_end, after)) = self.0.remove(&end) {
            end = after_end;
            reading.append(after);
        }
        match self.0.range_mut(..place).next_back() {
            Some((_, (before_end, before))) if *before_end == place => {
                *before_end = end;
                before.append(reading);
            }
            _ => {
                self.0.insert(place, (end, reading));
            }
        }
    }

    /// Everything that was read, in the order of the logs.
    fn in_order(self) -> LogReading {
        self.0
            .into_values()
            .fold(LogReading::default(), |mut all, (_, run)| {
                all.append(run);
                all
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_are_merged_in_the_order_of_the_logs() {
        let reading = |place: usize| {
            let mut reading = LogReading::default();
            reading.malformed(&place.to_string(), None, String::new());
            reading
        };
        let mut rng = fastrand::Rng::with_seed(1);
        for logs in 0..40 {
            let mut places: Vec<usize> = (0..logs).collect();
            rng.shuffle(&mut places);
            let mut runs = Runs::default();
            for place in places {
                runs.add(place, reading(place));
            }
            assert!(runs.0.len() <= 1, "no gap is left");
            let all = runs.in_order();
            let files: Vec<String> = (0..logs).map(|place| place.to_string()).collect();
            let found = all.malformed_records.iter().map(|record| &record.file);
            assert!(found.eq(&files), "{all:?}");
        }
    }

    #[test]
    fn finished_logs_take_no_memory_each() {
        let mut runs = Runs::default();
        for place in 1..1_000 {
            runs.add(place, LogReading::default());
            assert_eq!(runs.0.len(), 1);
        }
        runs.add(0, LogReading::default());
        assert_eq!(runs.0.len(), 1);
    }
}
