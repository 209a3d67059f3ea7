//! The cost of sweeping many users: calls, which the test asserts, and seconds, which it only
//! reports. `SWEEP_USERS` sets the number of users.

use std::io::Write;
use std::time::Instant;

use futures::stream::{self, StreamExt};

use super::sweeps::{Swept, own_moto};
use super::world::Setup;
use crate::stack::proxy::Proxy;
use crate::stack::stack;

/// The default number of users.
const USERS: usize = 120;

/// One in so many users has two active keys.
const ONE_PAIR_IN: usize = 100;

/// The largest page of users that IAM returns.
const PAGE: usize = 1_000;

#[tokio::test]
async fn a_sweep_makes_only_the_necessary_calls() {
    let users = std::env::var("SWEEP_USERS").ok().map_or(USERS, |users| {
        users.parse().expect("SWEEP_USERS is a number")
    });
    let pairs = (users - 1) / ONE_PAIR_IN;
    let list = measure("list", users).await;
    // Each page, each user, root's report, and each pair once more. moto returns all users on one
    // page.
    let of_users = users + 2 + pairs;
    let expected = of_users + 1..=of_users + users.div_ceil(PAGE);
    assert!(expected.contains(&list.iam), "{} calls", list.iam);
    let report = measure("report", users).await;
    assert_eq!(report.iam, 2 + pairs, "two calls, and each pair");
    let told = |cost: &Cost| {
        format!(
            "{} calls to IAM, {} to DynamoDB, {} to SQS, {:.1} s",
            cost.iam, cost.dynamodb, cost.sqs, cost.seconds
        )
    };
    let line = format!(
        "sweep: {users} users, {pairs} pairs; list: {}; report: {}",
        told(&list),
        told(&report)
    );
    writeln!(std::io::stdout(), "{line}").expect("stdout can be written to");
}

struct Cost {
    iam: usize,
    dynamodb: usize,
    sqs: usize,
    seconds: f64,
}

/// The cost of one sweep that finds nothing new.
async fn measure(mode: &'static str, users: usize) -> Cost {
    let moto = own_moto().await;
    let [iam, sqs] = [(); 2].map(|()| Proxy::start(&moto.url));
    let dynamodb = Proxy::start(&stack().await.dynamodb_url);
    let setup = Setup {
        parameters: vec![("SweepMode", mode)],
        environment: vec![
            ("AWS_ENDPOINT_URL_IAM", iam.url.clone()),
            ("AWS_ENDPOINT_URL_SQS", sqs.url.clone()),
            ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.url.clone()),
        ],
        moto: Some(moto),
        ..Setup::default()
    };
    let swept = Swept::new(&format!("scale-{mode}"), setup).await;
    // The world's own user is one of them.
    let names = (1..users).map(|number| {
        let keys = if number % ONE_PAIR_IN == 0 { 2 } else { 1 };
        (format!("user-{number:04}"), keys)
    });
    let api = &swept.world.iam;
    stream::iter(names)
        .for_each_concurrent(8, async |(name, keys)| {
            let user = api.create_user().user_name(&name).send().await;
            user.expect("a user can be created");
            for _ in 0..keys {
                let key = api.create_access_key().user_name(&name).send().await;
                key.expect("a key can be created");
            }
        })
        .await;
    swept.sweep().await;
    assert_eq!(swept.open().await.len(), (users - 1) / ONE_PAIR_IN);
    for proxy in [&iam, &sqs, &dynamodb] {
        proxy.take_bodies();
    }
    let began = Instant::now();
    swept.sweep_alone().await;
    Cost {
        seconds: began.elapsed().as_secs_f64(),
        iam: iam.take_bodies().len(),
        dynamodb: dynamodb.take_bodies().len(),
        sqs: sqs.take_bodies().len(),
    }
}
