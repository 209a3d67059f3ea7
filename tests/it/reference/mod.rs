//! Random histories through the real pipeline with the real stores, compared with a small model of
//! the truth: after every step and at rest.

mod accounts;
mod blame;
mod calls;
mod check;
mod effects;
mod faults;
mod iam;
mod journal;
mod scenarios;
mod story;
mod world;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::Write;

use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};
use tokio::runtime::Runtime;

use accounts::Accounts;
use scenarios::gone_wrong_once;
use story::any_history;
use world::Counts;

/// How many histories are tried if `PROPTEST_CASES` is not set.
const ON_SQLITE: u32 = 400;
const ON_DYNAMODB: u32 = 24;

/// Where the histories begin, unless `PROPTEST_CASES` or `PROPTEST_RNG_SEED` is set. A failure then
/// belongs to the change under test, and not to luck; a longer run draws new histories.
const SEED: u64 = 20_261_128;

/// How many histories share a store: at rest each of them reads all its open findings.
const HISTORIES_PER_STORE: u32 = 16;

#[test]
fn any_history_leads_to_the_right_state_on_sqlite() {
    check_histories("sqlite", cases(ON_SQLITE, 1), |_| Accounts::on_sqlite());
}

#[test]
fn any_history_leads_to_the_right_state_on_dynamodb() {
    check_histories("dynamodb", cases(ON_DYNAMODB, 10), |runtime| {
        runtime.block_on(Accounts::on_dynamodb())
    });
}

#[tokio::test]
async fn former_failures_pass_on_sqlite() {
    check_gone_wrong_once(&Accounts::on_sqlite()).await;
}

#[tokio::test]
async fn former_failures_pass_on_dynamodb() {
    check_gone_wrong_once(&Accounts::on_dynamodb().await).await;
}

async fn check_gone_wrong_once(accounts: &Accounts) {
    let mut wrong = BTreeMap::new();
    for (name, history) in gone_wrong_once() {
        let lived = accounts.world(&history).live_through(&history).await;
        wrong.extend(lived.err().map(|why| (name, why)));
    }
    assert_eq!(wrong, BTreeMap::new());
}

/// How many histories to try: `by_default`, or the number in the environment, divided by
/// `slowness`.
fn cases(by_default: u32, slowness: u32) -> u32 {
    match std::env::var_os("PROPTEST_CASES") {
        // The configuration has read it.
        Some(_) => (Config::default().cases / slowness).max(1),
        None => by_default,
    }
}

/// Runs `cases` random histories with the stores that `new_accounts` creates.
fn check_histories(name: &str, cases: u32, new_accounts: impl Fn(&Runtime) -> Accounts) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let is_long = std::env::var_os("PROPTEST_CASES").is_some();
    let config = Config::default();
    let rng_seed = match config.rng_seed {
        RngSeed::Random if !is_long => RngSeed::Fixed(SEED),
        chosen => chosen,
    };
    // A failure is reported with its smallest case; nothing is written into the source tree.
    let config = Config {
        cases,
        rng_seed,
        failure_persistence: None,
        ..config
    };
    let accounts = RefCell::new(new_accounts(&runtime));
    let (histories, steps) = (Cell::new(0_u32), Cell::new(0));
    let counts = Cell::new(Counts::default());
    let result = TestRunner::new(config).run(&any_history(), |history| {
        histories.set(histories.get() + 1);
        steps.set(steps.get() + history.steps.len());
        if histories.get().is_multiple_of(HISTORIES_PER_STORE) {
            accounts.replace(new_accounts(&runtime));
        }
        let mut world = accounts.borrow().world(&history);
        let lived = runtime.block_on(world.live_through(&history));
        counts.set(counts.get().and(world.counts));
        lived.map_err(|wrong| {
            let failed = world.effects.failed();
            TestCaseError::fail(format!("{wrong}\n(made to fail: {failed:?})"))
        })
    });
    if let Err(difference) = result {
        panic!("on {name}: {difference}");
    }
    print(&format!(
        "reference: {} histories, {} steps on {name}, 0 differences; {}",
        histories.get(),
        steps.get(),
        counts.get()
    ));
}

/// Prints directly to standard output, because the test harness captures what the macros print.
fn print(line: &str) {
    let line = format!("{line}\n");
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}
