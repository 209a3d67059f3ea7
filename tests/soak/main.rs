//! The soak test: access keys change without pause, everything that can fail fails, and in the end
//! every finding, alert and audit trail is compared with what really happened.
//!
//! `SOAK_MINUTES` makes it longer. `SOAK_SEED` repeats the random choices of another run, but not
//! the machine's timing.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "a test fails by panicking, and its documentation is not published"
)]

mod chaos;
mod check;
mod cloudtrail;
mod detectors;
mod drain;
mod driver;
mod far_recheck;
mod killer;
mod outage;
mod received;
#[path = "../it/stack/mod.rs"]
mod stack;
#[path = "../it/table.rs"]
mod table;
mod troubles;
mod truth;

use std::fmt;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chaos::Chaos;
use check::{Problem, Verdict, check, report};
use chrono::TimeDelta;
use cloudtrail::CloudTrail;
use detectors::Detectors;
use drain::Drain;
use driver::Driver;
use fastrand::Rng;
use received::Received;
use secondkey::aws::dynamodb::DynamoDbStore;
use secondkey::detect::user::UserId;
use stack::wiring::{Wiring, take_all, wire};
use stack::{build, clients, stack};

/// The detectors' consistency window. Events have whole seconds, so a listing may be that much
/// older than it seems.
const SETTLE_SECONDS: u64 = 3;
const STALE_AT_MOST: Duration = Duration::from_millis(SETTLE_SECONDS * 1_000 - 1_100);

/// How long keys are changed by default.
const BY_DEFAULT: Duration = Duration::from_secs(30);

/// No message meets this many faults. A message that is tried more often becomes a dead letter.
const TRIES: u32 = 500;

/// How long the queue may take to become quiet after the last fault: an alert that was pending all
/// the time waits as long again.
const QUIET_WITHIN: Duration = Duration::from_mins(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_is_right_in_the_end_whatever_fails_on_the_way() {
    let seed = setting("SOAK_SEED").unwrap_or_else(|| fastrand::u64(..));
    let length =
        setting("SOAK_MINUTES").map_or(BY_DEFAULT, |minutes| Duration::from_secs(minutes * 60));
    say(&format!("soak: SOAK_SEED={seed}"));
    let mut rng = Rng::with_seed(seed);
    let stack = stack().await;
    let moto = Chaos::start(&stack.moto_url, true, STALE_AT_MOST, rng.fork());
    let dynamodb = Chaos::start(&stack.dynamodb_url, false, STALE_AT_MOST, rng.fork());
    let config = clients::config(&moto.calm_url).await;
    let sqs = aws_sdk_sqs::Client::new(&config);
    let wiring = Arc::new(wire(&config, "soak", TRIES, &[]).await);
    let (table_client, table) = table::new_table().await;
    let store = DynamoDbStore::new(table_client, table.clone());

    let mut environment = wiring.environment("Detector");
    environment.extend(
        [
            ("AWS_ENDPOINT_URL", moto.url.clone()),
            ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.url.clone()),
            ("TABLE_NAME", table),
            ("SETTLE_SECONDS", SETTLE_SECONDS.to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    let bootstrap = build::function("detector").await;
    moto.set(true);
    dynamodb.set(true);
    let mut detectors = Detectors::start(
        sqs.clone(),
        &wiring.changes_url,
        &bootstrap,
        environment,
        &mut rng,
    )
    .await;
    let is_over = Arc::new(AtomicBool::new(false));
    let collected = tokio::spawn(collect(sqs.clone(), wiring.clone(), is_over.clone()));

    let iam = aws_sdk_iam::Client::new(&config);
    let trail = CloudTrail::new(wiring.clone(), rng.fork());
    let driver = Driver::new(iam, trail, rng.fork());
    let (truth, operations) = driver.work_until(Instant::now() + length).await;
    moto.set(false);
    dynamodb.set(false);
    detectors.spare();

    let drain = Drain {
        sqs: &sqs,
        wiring: &wiring,
        moto: &moto,
        store: &store,
        truth: &truth,
        deadline: Instant::now() + QUIET_WITHIN + length,
    };
    let drained = drain.until_nothing_is_left(&mut detectors).await;
    is_over.store(true, Ordering::Relaxed);
    let received = collected.await.expect("collecting ends well");
    let dead = take_all(&sqs, &wiring.dead_letters_url).await;

    let stale_at_most = TimeDelta::from_std(STALE_AT_MOST).expect("it is short");
    let mut verdict = check(&store, &truth, &received, stale_at_most).await;
    for (user, problems) in &verdict.problems {
        let log = detectors.log_about(user.name());
        eprintln!("{}", report(&store, &truth, user, problems, &log).await);
    }
    let of_the_queue: Vec<Problem> = dead
        .iter()
        .map(|letter| format!("a dead letter: {letter}"))
        .chain((!drained.is_quiet).then(|| "it did not become quiet".to_owned()))
        .map(Problem::Wrong)
        .collect();
    if !of_the_queue.is_empty() {
        let queue = UserId::new("", "the changes queue");
        verdict.problems.insert(queue, of_the_queue);
    }

    let troubles = moto.troubles() + dynamodb.troubles();
    let summary = Summary {
        operations,
        faults: troubles.faults(),
        kills: detectors.counts().kills.load(Ordering::Relaxed),
        rechecks: detectors.counts().rechecks.load(Ordering::Relaxed),
        repeated: received.repeated(),
        verdict: &verdict,
    };
    say(&format!(
        "soak: {troubles}; {}; {} openings, {} closings, {} open in the end, {} users with a lost event, {} far re-checks",
        detectors.counts(),
        verdict.openings,
        verdict.closings,
        verdict.open_at_last,
        truth.lost().count(),
        drained.far_rechecks,
    ));
    say(&summary.to_string());
    detectors.stop().await;
    assert!(
        summary.faults > 0 && summary.kills > 0 && summary.repeated > 0 && verdict.alerts > 0,
        "nothing failed on the way: the faults were not on"
    );
    assert!(verdict.problems.is_empty(), "{:#?}", verdict.problems);
}

/// The result that a script reads.
struct Summary<'a> {
    operations: usize,
    faults: u64,
    kills: u64,
    rechecks: u64,
    repeated: usize,
    verdict: &'a Verdict,
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            operations,
            faults,
            kills,
            rechecks,
            repeated,
            verdict,
        } = self;
        let lost = verdict.count(|problem| matches!(problem, Problem::Lost(_)));
        let wrong = verdict.count(|problem| matches!(problem, Problem::Wrong(_)));
        let gaps = verdict.count(|problem| matches!(problem, Problem::Gap(_)));
        write!(
            formatter,
            "soak: {operations} operations, {faults} faults, {kills} kills, {rechecks} rechecks, {} alerts, \
             {repeated} repeated, {lost} lost, {wrong} wrong, {gaps} gaps",
            verdict.alerts
        )
    }
}

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("`{name}` is `{value}`; it must be a whole number")),
    )
}

/// Prints `line` so that a script can read it despite the test harness's capture.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .expect("stdout can be written to");
}

/// Collects the alerts as they arrive.
async fn collect(
    sqs: aws_sdk_sqs::Client,
    wiring: Arc<Wiring>,
    is_over: Arc<AtomicBool>,
) -> Received {
    let mut received = Received::default();
    loop {
        // Alerts that arrived before the end are collected once more after it.
        let is_last = is_over.load(Ordering::Relaxed);
        received.add("topic", &take_all(&sqs, &wiring.alerts_url).await);
        let events = take_all(&sqs, &wiring.bus_events_url).await;
        let details: Vec<_> = events.iter().map(|event| event["detail"].clone()).collect();
        received.add("bus", &details);
        if is_last {
            return received;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
