//! Checks that a trail delivers IAM's events to EventBridge.

use aws_config::{Region, SdkConfig};
use aws_sdk_cloudtrail::Client;
use aws_sdk_cloudtrail::types::{AdvancedEventSelector, EventSelector, ReadWriteType, Trail};

use crate::cli::doctor::check_result::{CheckResult, FixPlace, QueryError, QueryResult, evaluate};
use crate::cli::doctor::selectors::{Coverage, FieldFacts, advanced};
use crate::output::partition::Partition;
use crate::output::shell::quoted;

const WHAT: &str = "trail";

/// The facts about one trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TrailFacts {
    /// Its ARN.
    pub(super) arn: String,
    /// The region where it was created.
    pub(super) home_region: String,
    /// Whether it logs all regions.
    pub(super) is_multi_region: bool,
    /// Whether it logs the events of global services, such as IAM.
    pub(super) has_global_events: bool,
    /// Whether logging is on.
    pub(super) is_logging: QueryResult<bool>,
    /// Which events it logs.
    pub(super) selectors: QueryResult<Selectors>,
}

/// Which events a trail logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Selectors {
    /// For each selector, whether it includes IAM's write management events.
    Basic(Vec<bool>),
    /// For each selector, its conditions on fields.
    Advanced(Vec<Vec<FieldFacts>>),
}

/// Checks the trails of the region in which IAM's events are recorded. That may not be `region`, the
/// one of the stack.
pub(super) async fn check(config: &SdkConfig, region: &str) -> CheckResult {
    let events_region = Partition::of(region).region_of_iam;
    let there = config
        .to_builder()
        .region(Region::new(events_region))
        .build();
    evaluate(WHAT, trails(&there).await, |trails| {
        judge_trails(events_region, &trails)
    })
}

async fn trails(config: &SdkConfig) -> QueryResult<Vec<TrailFacts>> {
    let client = Client::new(config);
    let described = client
        .describe_trails()
        .include_shadow_trails(true)
        .send()
        .await
        .map_err(|error| QueryError::of("cloudtrail:DescribeTrails", &error))?;
    let asked = described
        .trail_list
        .unwrap_or_default()
        .into_iter()
        .map(|trail| facts(&client, trail));
    Ok(futures::future::join_all(asked).await)
}

async fn facts(client: &Client, trail: Trail) -> TrailFacts {
    let arn = trail.trail_arn.or(trail.name).unwrap_or_default();
    let status = client.get_trail_status().name(&arn).send().await;
    let selectors = client.get_event_selectors().trail_name(&arn).send().await;
    TrailFacts {
        home_region: trail.home_region.unwrap_or_default(),
        is_multi_region: trail.is_multi_region_trail == Some(true),
        has_global_events: trail.include_global_service_events == Some(true),
        is_logging: status
            .map(|status| status.is_logging == Some(true))
            .map_err(|error| QueryError::of("cloudtrail:GetTrailStatus", &error)),
        selectors: selectors
            .map(|answer| {
                let of_fields = answer.advanced_event_selectors.unwrap_or_default();
                if of_fields.is_empty() {
                    let basic = answer.event_selectors.unwrap_or_default();
                    if basic.is_empty() && trail.has_custom_event_selectors == Some(false) {
                        // A trail without event selectors logs all management events.
                        return Selectors::Basic(vec![true]);
                    }
                    Selectors::Basic(basic.iter().map(has_writes_of_iam).collect())
                } else {
                    Selectors::Advanced(of_fields.into_iter().map(fields).collect())
                }
            })
            .map_err(|error| QueryError::of("cloudtrail:GetEventSelectors", &error)),
        arn,
    }
}

fn has_writes_of_iam(selector: &EventSelector) -> bool {
    let leaves_iam_out = selector
        .exclude_management_event_sources
        .iter()
        .flatten()
        .any(|source| source == "iam.amazonaws.com");
    selector.include_management_events == Some(true)
        && !leaves_iam_out
        // The default is All.
        && selector.read_write_type != Some(ReadWriteType::ReadOnly)
}

fn fields(selector: AdvancedEventSelector) -> Vec<FieldFacts> {
    selector
        .field_selectors
        .into_iter()
        .map(|field| FieldFacts {
            field: field.field,
            equals: field.equals.unwrap_or_default(),
            not_equals: field.not_equals.unwrap_or_default(),
            starts_with: field.starts_with.unwrap_or_default(),
            not_starts_with: field.not_starts_with.unwrap_or_default(),
            ends_with: field.ends_with.unwrap_or_default(),
            not_ends_with: field.not_ends_with.unwrap_or_default(),
        })
        .collect()
}

/// Whether one trail delivers IAM's key changes.
enum TrailCoverage {
    Brings,
    Partly(String),
    Unknown(QueryError),
    Not(String, Option<String>),
}

/// Checks that one of `trails` delivers IAM's key changes to EventBridge in `region`.
#[must_use]
pub(super) fn judge_trails(region: &str, trails: &[TrailFacts]) -> CheckResult {
    let (mut partly, mut unknown, mut not, mut fix) = (None, None, vec![], None);
    for trail in trails {
        match coverage_of(trail, region) {
            TrailCoverage::Brings => {
                return CheckResult::ok(
                    WHAT,
                    format!("{} logs write management events", trail.arn),
                );
            }
            TrailCoverage::Partly(why) => partly = Some(format!("{} {why}", trail.arn)),
            TrailCoverage::Unknown(error) => unknown = Some(error),
            TrailCoverage::Not(why, how) => {
                not.push(format!("{} {why}", trail.arn));
                fix = fix.or(how);
            }
        }
    }
    if let Some(found) = partly {
        return CheckResult::warning(
            WHAT,
            found,
            "make sure that a trail logs all write management events",
        );
    }
    if let Some(error) = unknown {
        return error.check(WHAT);
    }
    let found = if trails.is_empty() {
        "there is no trail, so no event arrives".to_owned()
    } else {
        format!(
            "no trail delivers IAM's events in {region}: {}",
            not.join("; ")
        )
    };
    CheckResult::failed(
        WHAT,
        found,
        fix.unwrap_or_else(|| {
            "deploy with the parameter CreateTrail=true, or let one of your trails log management events of the type Write"
                .to_owned()
        }),
    )
    // Its home region.
    .fixed_in(FixPlace::OtherRegion)
}

/// The options that name `trail`. A trail can be changed only in its home region. Source: CloudTrail
/// API reference, `StartLogging` and `UpdateTrail`.
fn at_home(trail: &TrailFacts) -> String {
    format!(
        "--region {} --name {}",
        quoted(&trail.home_region),
        quoted(&trail.arn)
    )
}

fn coverage_of(trail: &TrailFacts, region: &str) -> TrailCoverage {
    if !trail.is_multi_region && trail.home_region != region {
        return TrailCoverage::Not(format!("logs only {}", trail.home_region), None);
    }
    if !trail.has_global_events {
        return TrailCoverage::Not(
            "excludes global services".to_owned(),
            Some(format!(
                "aws cloudtrail update-trail {} --include-global-service-events",
                at_home(trail)
            )),
        );
    }
    match &trail.is_logging {
        Ok(true) => (),
        Ok(false) => {
            return TrailCoverage::Not(
                "is not logging".to_owned(),
                Some(format!("aws cloudtrail start-logging {}", at_home(trail))),
            );
        }
        Err(error) => return TrailCoverage::Unknown(error.clone()),
    }
    let nothing = || TrailCoverage::Not("logs no write management events".to_owned(), None);
    match &trail.selectors {
        Err(error) => TrailCoverage::Unknown(error.clone()),
        Ok(Selectors::Basic(selectors)) if selectors.contains(&true) => TrailCoverage::Brings,
        Ok(Selectors::Basic(_)) => nothing(),
        Ok(Selectors::Advanced(selectors)) => match advanced(selectors) {
            Coverage::All => TrailCoverage::Brings,
            Coverage::Some(left_out) => TrailCoverage::Partly(left_out),
            Coverage::None => nothing(),
        },
    }
}

#[cfg(test)]
#[path = "cloudtrail_tests.rs"]
mod tests;
