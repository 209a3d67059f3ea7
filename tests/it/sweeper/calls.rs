//! Counts the calls of one account's sweep, which the test asserts, and reports its duration if
//! each call takes as long as on AWS. `SWEEP_USERS` sets the numbers of users, such as
//! `10,100,500`.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

use futures::stream::{self, StreamExt};
use secondkey::aws::suspects::SweepMode;
use serde_json::json;

use super::world::{World, new_account};
use crate::stack::proxy::Exchange;

/// How long a call takes.
const CALL: Duration = Duration::from_millis(50);

/// The accounts of a large organization.
const ACCOUNTS: f64 = 10_000.0;

#[tokio::test]
async fn a_clean_sweep_takes_one_call_per_user_and_a_dozen_more() {
    let counts = std::env::var("SWEEP_USERS").unwrap_or_else(|_| "10,100".to_owned());
    for users in counts.split(',') {
        let users = users.parse().expect("SWEEP_USERS holds numbers");
        let world = World::new(&format!("calls-{users}"), SweepMode::Auto).await;
        let account = new_account();
        stream::iter(0..users)
            .for_each_concurrent(8, async |number| {
                world.user(&account, &format!("user-{number}"), 1).await;
            })
            .await;
        let turn = json!({"account": account});
        // The first sweep differs: there is no record yet, and IAM generates its report.
        assert!(world.sweep(&turn).await.failed.is_empty());
        for proxy in [&world.aws, &world.dynamodb] {
            proxy.delay(CALL);
            proxy.take_exchanges();
        }
        let began = Instant::now();
        assert!(world.sweep(&turn).await.failed.is_empty());
        let seconds = began.elapsed().as_secs_f64();
        let aws = counted(&world.aws.take_exchanges());
        let dynamodb = counted(&world.dynamodb.take_exchanges());
        assert_eq!(
            aws.iter()
                .map(|(call, times)| (call.as_str(), *times))
                .collect::<Vec<_>>(),
            [
                ("GenerateCredentialReport", 1),
                ("GetCredentialReport", 1),
                ("ListAccessKeys", users),
                ("ListUsers", 1),
            ]
        );
        assert_eq!(
            dynamodb
                .iter()
                .map(|(call, times)| (call.as_str(), *times))
                .collect::<Vec<_>>(),
            [
                ("GetItem", 3),
                ("PutItem", 1),
                ("Query", 3),
                ("TransactWriteItems", 1),
            ]
        );
        let of_iam: usize = aws.values().sum();
        let of_dynamodb: usize = dynamodb.values().sum();
        let [minutes_at_4, minutes_at_20] =
            [4.0, 20.0].map(|at_once| ACCOUNTS * seconds / at_once / 60.0);
        writeln!(
            std::io::stdout(),
            "turn: {users} users; {of_iam} calls to IAM, {of_dynamodb} to DynamoDB; {seconds:.2} s at {CALL:?} a call; \
             10,000 accounts: {minutes_at_4:.0} min with 4 at once, {minutes_at_20:.0} with 20"
        )
        .expect("stdout can be written to");
    }
}

fn counted(exchanges: &[Exchange]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for exchange in exchanges {
        *counts.entry(exchange.action.clone()).or_default() += 1;
    }
    counts
}
