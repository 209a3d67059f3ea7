//! The requests that one event causes, and how many of them wait for another. They are counted,
//! because times depend on the machine.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::{Duration, Instant};

use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::world::{ACCOUNT, Setup, World};
use crate::stack::proxy::{Exchange, Proxy};
use crate::stack::pump;
use crate::stack::stack;

/// The minimum duration of each request; far longer than it takes to send requests in parallel.
const DELAY: Duration = Duration::from_millis(150);

/// Longer than the function's consistency window plus a second, because CloudTrail's times have
/// whole seconds.
const SETTLED: Duration = Duration::from_millis(3_100);

/// Held by the test that counts, so that other work on the machine is not counted.
static ALONE: Mutex<()> = Mutex::const_new(());

#[tokio::test]
async fn each_path_makes_only_the_necessary_requests_and_waits() {
    let _alone = ALONE.lock().await;
    let watched = Watched::new("round-trips").await;
    let world = &watched.world;
    let first = world.create_key().await;
    // Warms up everything that a function requests once.
    watched.tell(&world.created(&first)).await;
    for proxy in &watched.proxies {
        proxy.delay(DELAY);
    }

    tokio::time::sleep(SETTLED).await;
    let no_change = watched.tell(&world.updated(&first, "Active")).await;
    tokio::time::sleep(SETTLED).await;
    let second = world.create_key().await;
    let created = world.created(&second);
    let open = watched.tell(&created).await;
    tokio::time::sleep(SETTLED).await;
    let duplicate = watched.tell(&created).await;
    tokio::time::sleep(SETTLED).await;
    world.update_key(&second, "Inactive").await;
    let close = watched.tell(&world.updated(&second, "Inactive")).await;
    assert!(world.is_closed().await);

    let read = "GetItem 1, ListAccessKeys 1, Query 3";
    let told = "DeleteItem 2, GetItem 1, ListAccessKeys 1, Publish 1, PutEvents 1, Query 3";
    assert_eq!(counts(&no_change), format!("{read}, TransactWriteItems 1"));
    assert_eq!(
        counts(&open),
        "DeleteItem 2, GetAccessKeyLastUsed 2, GetItem 1, ListAccessKeys 1, Publish 1, PutEvents 1, Query 3, TransactWriteItems 1"
    );
    // The first transaction is refused because of the mark, and the second one records the check.
    assert_eq!(counts(&duplicate), format!("{read}, TransactWriteItems 2"));
    assert_eq!(counts(&close), format!("{told}, TransactWriteItems 1"));

    let until_told = |path: &[Exchange]| depth(&until(path, "Publish"));
    assert!(depth(&no_change) <= 3, "{no_change:?}");
    assert!(until_told(&open) <= 4, "{open:?}");
    assert!(until_told(&close) <= 4, "{close:?}");
    assert!(depth(&duplicate) <= 4, "{duplicate:?}");
    let line = format!(
        "round trips: no change {}; duplicate {}; open {} until the alert is accepted and {} in all; close {} and {}",
        depth(&no_change),
        depth(&duplicate),
        until_told(&open),
        depth(&open),
        until_told(&close),
        depth(&close),
    );
    writeln!(std::io::stdout(), "{line}").expect("stdout can be written to");
}

#[tokio::test]
async fn a_thousand_events_on_ten_users_take_three_listings_of_each() {
    const USERS: usize = 10;
    const EVENTS: usize = 1_000;
    let _alone = ALONE.lock().await;
    let watched = Watched::new("thousand").await;
    let iam = &watched.world.iam;
    let mut keys = vec![];
    for number in 0..USERS {
        let user = format!("many-{number}");
        let made = iam.create_user().user_name(&user).send().await;
        made.expect("a user can be created");
        let made = iam.create_access_key().user_name(&user).send().await;
        let key = made.expect("a key can be created").access_key;
        keys.push((user, key.expect("it is returned").access_key_id));
    }
    let records = |count| {
        let told = keys.iter().cycle().take(count).map(|(user, key)| {
            let of_key = json!({"userName": user, "accessKeyId": key, "status": "Active"});
            World::record("UpdateAccessKey", &of_key)
        });
        told.collect::<Vec<_>>()
    };
    // DynamoDB Local's first transactions are slow, and the function does not wait forever.
    watched.tell_all(&records(USERS)).await;
    watched.tell_all(&records(EVENTS / 10)).await;
    let exchanges = watched.tell_all(&records(EVENTS)).await;
    let of = |action: &str| {
        let those = exchanges.iter().filter(|done| done.action == action);
        those.count()
    };
    // A commit holds 45 events, so a hundred events of one user take three.
    assert!(of("ListAccessKeys") <= 3 * USERS, "{}", counts(&exchanges));
    let line = format!(
        "round trips: {EVENTS} events on {USERS} users: {}",
        counts(&exchanges)
    );
    writeln!(std::io::stdout(), "{line}").expect("stdout can be written to");
}

#[test]
fn the_depth_is_the_longest_chain_of_dependent_requests() {
    let start = Instant::now();
    let exchange = |began: u64, ended: u64| Exchange {
        action: String::new(),
        began: start + Duration::from_millis(began),
        ended: start + Duration::from_millis(ended),
    };
    assert_eq!(depth(&[]), 0);
    assert_eq!(depth(&[exchange(0, 10), exchange(1, 30)]), 1);
    // One request, then two in parallel, of which the longer one counts.
    let both = [exchange(12, 40), exchange(0, 10), exchange(11, 20)];
    assert_eq!(depth(&both), 2);
    assert_eq!(depth(&[both.as_slice(), &[exchange(41, 50)]].concat()), 3);
}

/// A deployment whose function reaches AWS through proxies.
struct Watched {
    world: World,
    proxies: [Proxy; 2],
}

impl Watched {
    async fn new(name: &str) -> Self {
        let stack = stack().await;
        let proxies = [&stack.moto_url, &stack.dynamodb_url].map(|url| Proxy::start(url));
        let [moto, dynamodb] = proxies.each_ref().map(|proxy| proxy.url.clone());
        let setup = Setup {
            environment: vec![
                ("AWS_ENDPOINT_URL", moto),
                ("AWS_ENDPOINT_URL_DYNAMODB", dynamodb),
            ],
            ..Setup::default()
        };
        let world = World::with(name, setup).await;
        Self { world, proxies }
    }

    /// The requests of the function for `record`.
    async fn tell(&self, record: &Value) -> Vec<Exchange> {
        self.tell_all(std::slice::from_ref(record)).await
    }

    /// The requests of one invocation for `records`.
    async fn tell_all(&self, records: &[Value]) -> Vec<Exchange> {
        for proxy in &self.proxies {
            proxy.take_exchanges();
        }
        let messages: Vec<Value> = records.iter().map(message).collect();
        let function = &self.world.function;
        let answer = function.invoke(&json!({"Records": messages})).await;
        assert_eq!(
            answer,
            json!({"batchItemFailures": []}),
            "{}",
            function.log()
        );
        self.proxies
            .iter()
            .flat_map(Proxy::take_exchanges)
            .collect()
    }
}

/// The message in the changes queue for `record`.
fn message(record: &Value) -> Value {
    let event = json!({
        "version": "0",
        "id": record["eventID"],
        "detail-type": "AWS API Call via CloudTrail",
        "source": "aws.iam",
        "account": ACCOUNT,
        "time": record["eventTime"],
        "region": record["awsRegion"],
        "resources": [],
        "detail": record,
    });
    let message = Message::builder()
        .message_id(record["eventID"].as_str().unwrap_or_default())
        .body(event.to_string())
        .attributes(MessageSystemAttributeName::ApproximateReceiveCount, "1")
        .build();
    pump::record(&message)
}

/// The longest chain of requests in which each began after the previous one was answered.
fn depth(exchanges: &[Exchange]) -> usize {
    let mut in_order: Vec<&Exchange> = exchanges.iter().collect();
    in_order.sort_by_key(|exchange| exchange.ended);
    let mut chain: Vec<&Exchange> = vec![];
    for exchange in in_order {
        // Taking the one that ends first leaves the most room for later ones.
        if chain.last().is_none_or(|last| last.ended <= exchange.began) {
            chain.push(exchange);
        }
    }
    chain.len()
}

/// The requests up to and including the answer to `action`.
fn until(exchanges: &[Exchange], action: &str) -> Vec<Exchange> {
    let found = exchanges.iter().find(|done| done.action == action);
    let last = found.unwrap_or_else(|| panic!("there is no {action}: {exchanges:?}"));
    let before = exchanges.iter().filter(|done| done.ended <= last.began);
    before.chain([last]).cloned().collect()
}

/// How often each action was requested.
fn counts(exchanges: &[Exchange]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for exchange in exchanges {
        *counts.entry(&exchange.action).or_default() += 1;
    }
    let counts: Vec<String> = counts
        .iter()
        .map(|(action, count)| format!("{action} {count}"))
        .collect();
    counts.join(", ")
}
