use super::*;
use crate::cli::doctor::check_result::{CheckStatus, QueryErrorKind};

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
fn check(change: impl FnOnce(&mut TrailFacts), state: CheckStatus, fix: &str) {
    let mut trail = trail();
    change(&mut trail);
    let check = judge_trails("us-east-1", &[trail]);
    assert_eq!(check.state, state, "{check:?}");
    assert!(
        check.fix.clone().unwrap_or_default().contains(fix),
        "{check:?}"
    );
}

#[test]
fn a_trail_of_this_region_or_of_all_regions_is_ok() {
    check(|_| (), CheckStatus::Ok, "");
    check(
        |trail| {
            trail.home_region = "eu-west-1".to_owned();
            trail.is_multi_region = true;
        },
        CheckStatus::Ok,
        "",
    );
    check(
        |trail| trail.home_region = "eu-west-1".to_owned(),
        CheckStatus::Failed,
        "CreateTrail=true",
    );
}

#[test]
fn a_stopped_or_incomplete_trail_fails_with_a_fix() {
    check(
        |trail| trail.is_logging = Ok(false),
        CheckStatus::Failed,
        "start-logging --region us-east-1 --name arn:",
    );
    check(
        |trail| {
            trail.home_region = "eu-west-1".to_owned();
            trail.is_multi_region = true;
            trail.is_logging = Ok(false);
        },
        CheckStatus::Failed,
        "start-logging --region eu-west-1 --name arn:",
    );
    check(
        |trail| trail.has_global_events = false,
        CheckStatus::Failed,
        "update-trail",
    );
    let reads = Ok(Selectors::Basic(vec![false]));
    check(
        |trail| trail.selectors = reads,
        CheckStatus::Failed,
        "Write",
    );
    assert_eq!(judge_trails("us-east-1", &[]).state, CheckStatus::Failed);
}

#[test]
fn one_good_trail_is_enough_and_an_unknown_one_is_not_checked() {
    let mut stopped = trail();
    stopped.is_logging = Ok(false);
    let mut unknown = trail();
    unknown.selectors = Err(QueryError {
        kind: QueryErrorKind::Denied,
        permission: "cloudtrail:GetEventSelectors",
        text: String::new(),
    });
    let of = |trails: &[&TrailFacts]| {
        let trails: Vec<TrailFacts> = trails.iter().map(|trail| (*trail).clone()).collect();
        judge_trails("us-east-1", &trails).state
    };
    assert_eq!(of(&[&stopped, &unknown, &trail()]), CheckStatus::Ok);
    assert_eq!(of(&[&stopped, &unknown]), CheckStatus::NotChecked);
    assert_eq!(of(&[&stopped]), CheckStatus::Failed);
}

#[test]
fn basic_selectors_must_include_write_management_events_of_iam() {
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
