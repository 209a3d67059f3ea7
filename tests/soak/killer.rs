//! A task that kills detectors, most of them during an invocation.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fastrand::Rng;

use crate::detectors::Shared;

/// The time between kills, in milliseconds.
const KILL_EVERY_MS: std::ops::Range<u64> = 300..2_000;
/// The longest time between the start of an invocation and its kill, in milliseconds.
const KILL_WITHIN_MS: u64 = 500;
/// How often a kill waits for an invocation.
const AT_WORK: f64 = 0.8;

/// Kills detectors until they are spared.
pub async fn kill_now_and_then(shared: Arc<Shared>, mut rng: Rng) {
    let mut killed = vec![None; shared.detectors.len()];
    loop {
        tokio::time::sleep(Duration::from_millis(rng.u64(KILL_EVERY_MS))).await;
        if !shared.is_killing.load(Ordering::Relaxed) {
            return;
        }
        let place = rng.usize(0..shared.detectors.len());
        let detector = &shared.detectors[place];
        if rng.f64() < AT_WORK {
            for _ in 0..100 {
                if detector.is_at_work.load(Ordering::Relaxed) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            tokio::time::sleep(Duration::from_millis(rng.u64(0..KILL_WITHIN_MS))).await;
        }
        let process = detector.emulator.read().await.function_process();
        // The process ID of a detector that is already dead is gone or belongs to another process.
        let Some(number) = process.filter(|number| killed[place] != Some(*number)) else {
            continue;
        };
        killed[place] = Some(number);
        let is_at_work = detector.is_at_work.load(Ordering::Relaxed);
        let done = Command::new("bash")
            .args(["-c", r#"kill -9 "$0" 2>/dev/null"#, &number.to_string()])
            .status()
            .expect("bash runs");
        if done.success() {
            shared.counts.kills.fetch_add(1, Ordering::Relaxed);
            shared
                .counts
                .kills_at_work
                .fetch_add(u64::from(is_at_work), Ordering::Relaxed);
        }
    }
}
