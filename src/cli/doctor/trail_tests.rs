use super::*;
use crate::cli::doctor::check::{State, Why};

fn trail() -> TrailFacts {
    TrailFacts {
        arn: "arn:aws:cloudtrail:us-east-1:111122223333:trail/all".to_owned(),
        home_region: "us-east-1".to_owned(),
        is_multi_region: false,
        has_global_events: true,
        is_logging: Ok(true),
        selectors: Ok(Selectors::Basic(vec![true])),
    }
}

#[track_caller]
fn check(change: impl FnOnce(&mut TrailFacts), state: State, mend: &str) {
    let mut trail = trail();
    change(&mut trail);
    let check = judge_trails("us-east-1", &[trail]);
    assert_eq!(check.state, state, "{check:?}");
    assert!(
        check.mend.clone().unwrap_or_default().contains(mend),
        "{check:?}"
    );
}

#[test]
fn a_trail_of_this_region_or_of_all_brings_the_events() {
    check(|_| (), State::Ok, "");
    check(
        |trail| {
            trail.home_region = "eu-west-1".to_owned();
            trail.is_multi_region = true;
        },
        State::Ok,
        "",
    );
    check(
        |trail| trail.home_region = "eu-west-1".to_owned(),
        State::Failed,
        "CreateTrail=true",
    );
}

#[test]
fn a_trail_that_is_stopped_or_logs_too_little_is_told_with_what_mends_it() {
    check(
        |trail| trail.is_logging = Ok(false),
        State::Failed,
        "start-logging --name arn:",
    );
    check(
        |trail| trail.has_global_events = false,
        State::Failed,
        "update-trail",
    );
    let reads = Ok(Selectors::Basic(vec![false]));
    check(|trail| trail.selectors = reads, State::Failed, "Write");
    assert_eq!(judge_trails("us-east-1", &[]).state, State::Failed);
}

#[test]
fn one_good_trail_is_enough_and_an_unknown_one_might_be_good() {
    let mut stopped = trail();
    stopped.is_logging = Ok(false);
    let mut unknown = trail();
    unknown.selectors = Err(Unasked {
        why: Why::Denied,
        permission: "cloudtrail:GetEventSelectors",
        text: String::new(),
    });
    let of = |trails: &[&TrailFacts]| {
        let trails: Vec<TrailFacts> = trails.iter().map(|trail| (*trail).clone()).collect();
        judge_trails("us-east-1", &trails).state
    };
    assert_eq!(of(&[&stopped, &unknown, &trail()]), State::Ok);
    assert_eq!(of(&[&stopped, &unknown]), State::NotChecked);
    assert_eq!(of(&[&stopped]), State::Failed);
}

#[test]
fn basic_selectors_need_management_events_that_are_written_and_iam_among_them() {
    let selector = |kind: ReadWriteType, management: bool, without: &[&str]| {
        let without = without.iter().map(|&source| source.to_owned()).collect();
        let selector = EventSelector::builder()
            .read_write_type(kind)
            .include_management_events(management)
            .set_exclude_management_event_sources(Some(without));
        has_writes_of_iam(&selector.build())
    };
    assert!(selector(ReadWriteType::All, true, &["kms.amazonaws.com"]));
    assert!(selector(ReadWriteType::WriteOnly, true, &[]));
    assert!(!selector(ReadWriteType::ReadOnly, true, &[]));
    assert!(!selector(ReadWriteType::All, false, &[]));
    assert!(!selector(ReadWriteType::All, true, &["iam.amazonaws.com"]));
}
