//! A service that is down, does not answer, or throttles. The first call of a scan reports an outage
//! within seconds; throttling is waited for. The tests count attempts, which do not depend on the machine.

use std::net::TcpListener;
use std::time::Duration;

use super::world::World;
use crate::stack::proxy::Fault;

/// What IAM answers while it throttles. Source: IAM API reference, common errors.
const THROTTLED: &str = "<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code><Message>Rate exceeded</Message></Error>\
     <RequestId>1</RequestId></ErrorResponse>";

async fn world() -> World {
    let world = World::new().await;
    world.users([("alice".to_owned(), 1)]).await;
    world.proxy.take_requests();
    world
}

fn fault(part: &'static str, status: u16, body: &'static str, times: u32) -> Fault {
    Fault {
        part,
        status,
        body,
        times,
    }
}

#[tokio::test]
async fn a_broken_service_is_named_with_its_status_after_three_attempts() {
    let world = world().await;
    world
        .proxy
        .set(fault("Action=GetCallerIdentity", 503, "", u32::MAX));
    let said = world.run(&["scan"]).await;
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert_eq!(world.proxy.refused(), 3, "{}", said.stderr);
    let expected = "sts:GetCallerIdentity failed with HTTP status 503";
    assert!(said.stderr.contains(expected), "{}", said.stderr);
}

#[tokio::test]
async fn a_throttled_call_is_retried_until_it_succeeds() {
    let world = world().await;
    world
        .proxy
        .set(fault("Action=ListAccessKeys", 400, THROTTLED, 5));
    let said = world.run(&["scan", "--mode", "list"]).await;
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert_eq!(world.proxy.refused(), 5);
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_waited_for_as_long_as_told() {
    let world = world().await;
    world.proxy.delay(Duration::from_hours(1));
    let said = world.run(&["scan", "--timeout", "1"]).await;
    assert_eq!(said.code, 1, "{}", said.stderr);
    let expected = "sts:GetCallerIdentity failed: no answer in time";
    assert!(said.stderr.contains(expected), "{}", said.stderr);
}

#[tokio::test]
async fn a_refused_connection_is_reported_with_what_to_check() {
    let world = world().await;
    // Nothing listens on this port once the listener is dropped.
    let closed = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let url = format!("http://{}", closed.local_addr().expect("it is bound"));
    drop(closed);
    for arguments in [
        &["scan"] as &[&str],
        &["check", "alice"],
        &["findings", "--table", "findings"],
        &["doctor", "--stack", "secondkey"],
        &["usage", "AKIAIOSFODNN7EXAMPLE", "--live"],
        &["exempt", "list", "--table", "findings"],
    ] {
        let mut command = world.command(arguments);
        command.env("AWS_ENDPOINT_URL", &url);
        let said = crate::doctor::world::run(command).await;
        assert_eq!(said.code, 1, "{arguments:?}: {}", said.stderr);
        let text = format!("{}{}", said.stdout, said.stderr);
        assert!(
            text.contains("cannot be reached") && text.contains("AWS_ENDPOINT_URL"),
            "{arguments:?}: {text}"
        );
    }
}
