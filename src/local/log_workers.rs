//! Many logs read side by side, as if one after another.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::detect::Timestamp;
use crate::local::log_files::LogFile;
use crate::local::log_reading::LogReading;

/// Reads `logs`, as many at a time as this machine has cores. What is read passes through `watch`
/// before it is unpacked; records later than `clock` are counted.
pub fn read_logs(
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
            match log.open(&watch) {
                Ok(opened) => reading.read(&name, opened, clock),
                Err(error) => reading.malformed(&name, None, error.to_string()),
            }
            let mut runs = runs.lock().unwrap_or_else(PoisonError::into_inner);
            runs.add(place, reading);
        }
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 1..cores.min(logs.len()) {
            // Whatever thread cannot be had, its share of the work is done by the others.
            let _ = thread::Builder::new().spawn_scoped(scope, work);
        }
        work();
    });
    let runs = runs.into_inner().unwrap_or_else(PoisonError::into_inner);
    runs.in_order()
}

/// What was read of logs that stand next to one another, by the place of the first: where the run ends, and its reading.
/// Between two runs a log is still being read, so there are never more of them than workers, however many logs.
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

    /// All of it, as it was read one log after another.
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
    fn in_whatever_order_logs_are_done_all_is_kept_in_theirs() {
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
    fn while_one_log_is_read_the_others_take_no_room_each() {
        let mut runs = Runs::default();
        for place in 1..1_000 {
            runs.add(place, LogReading::default());
            assert_eq!(runs.0.len(), 1);
        }
        runs.add(0, LogReading::default());
        assert_eq!(runs.0.len(), 1);
    }
}
