//! What is kept of many leak reports.

use super::*;
use crate::detect::testing::{at, leaked};

fn added(changes: &[KeyChange]) -> Vec<Leak> {
    let mut leaks = Vec::new();
    for change in changes {
        add(&mut leaks, Leak::of(change).unwrap());
    }
    leaks
}

#[test]
fn only_a_policy_of_aws_itself_is_a_quarantine() {
    assert!(is_quarantine(
        "arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3"
    ));
    assert!(is_quarantine(
        "arn:aws-us-gov:iam::aws:policy/AWSCompromisedKeyQuarantine"
    ));
    for other in [
        "arn:aws:iam::111122223333:policy/AWSCompromisedKeyQuarantineV3",
        "arn:aws:iam::1:policy/a:iam::aws:policy/AWSCompromisedKeyQuarantineV3",
        "x:iam::aws:policy/AWSCompromisedKeyQuarantineV3",
    ] {
        assert!(!is_quarantine(other), "{other}");
    }
}

#[test]
fn endless_reports_do_not_fill_the_record() {
    let quarantines: Vec<KeyChange> = (0..50)
        .map(|second| leaked(None, LeakSignal::Quarantine, second))
        .collect();
    let leaks = added(&quarantines);
    assert_eq!(leaks.len(), MAX_LEAKS);
    assert_eq!(leaks[0].at, at(0));
    let backwards: Vec<KeyChange> = quarantines.into_iter().rev().collect();
    assert_eq!(added(&backwards)[0].at, at(0));
}

#[test]
fn a_flood_does_not_push_out_a_report_of_another_key() {
    let mut reports: Vec<KeyChange> = (0..50)
        .map(|second| leaked(None, LeakSignal::Quarantine, second))
        .collect();
    reports.insert(20, leaked(Some("K2"), LeakSignal::Exposed, 90));
    let leaks = added(&reports);
    assert_eq!(leaks.len(), MAX_LEAKS);
    assert_eq!(leaks.last().unwrap().key.as_deref(), Some("K2"));
}

#[test]
fn repeated_leak_reports_are_one() {
    let first = leaked(Some("K1"), LeakSignal::Exposed, 50);
    let again = leaked(Some("K1"), LeakSignal::Exposed, 70);
    let other = leaked(Some("K1"), LeakSignal::ExposureSuspected, 40);
    let expected = added(&[other.clone(), first.clone()]);
    assert_eq!(expected.len(), 2);
    for order in [
        [&first, &first, &again, &other],
        [&again, &other, &again, &first],
    ] {
        assert_eq!(added(&order.map(Clone::clone)), expected);
    }
}
