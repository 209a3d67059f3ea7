//! What a sweep of many users takes: calls, which are held, and seconds, which are only told. `SWEEP_USERS` says how many.

use std::io::Write;
use std::time::Instant;

use futures::stream::{self, StreamExt};

use super::sweeps::{Swept, own_moto};
use super::world::Setup;
use crate::stack::proxy::Proxy;
use crate::stack::stack;

/// How many users there are where nothing else is set.
const USERS: usize = 120;

/// Of so many users one has two active keys.
const ONE_PAIR_IN: usize = 100;

/// The most users that IAM lists on a page.
const PAGE: usize = 1_000;

#[tokio::test]
async fn a_sweep_makes_the_calls_that_it_has_to_and_no_more() {
    let users = std::env::var("SWEEP_USERS").ok().map_or(USERS, |users| {
        users.parse().expect("SWEEP_USERS is a number")
    });
    let pairs = (users - 1) / ONE_PAIR_IN;
    let list = measure("list", users).await;
    // Each page, each user; root's report; each pair once more. moto has all users on one page, however many.
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

/// What one sweep takes that finds nothing new.
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
            user.expect("a user can be made");
            for _ in 0..keys {
                let key = api.create_access_key().user_name(&name).send().await;
                key.expect("a key can be made");
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
