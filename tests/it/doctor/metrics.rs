//! What `doctor` asks CloudWatch for, compared with the alarms of the deployed template: both must
//! look at the same metrics, because no emulator knows which ones AWS has.

use std::collections::BTreeSet;

use serde_json::Value;

use super::cloudwatch::Metric;
use super::world::World;

/// Asserts that `doctor` asked for the errors of `functions` and for the age of both queues'
/// messages, and for nothing else; and that an alarm uses each of these metrics with the same
/// dimension and statistic.
pub fn assert_asked_like_alarms(world: &World, functions: &[&str]) {
    let asked = world.cloudwatch.asked();
    let alarms = of_alarms(&world.deployed.template);
    let unknown: Vec<&Metric> = asked.difference(&alarms).collect();
    assert!(unknown.is_empty(), "{unknown:#?}\n{alarms:#?}");

    let errors = functions.iter().map(|function| {
        let name = world.id(function).to_owned();
        ("Errors".to_owned(), name)
    });
    let ages = ["ChangesQueue", "SweepQueue"].map(|queue| {
        let name = world.id(queue).rsplit('/').next().unwrap();
        ("ApproximateAgeOfOldestMessage".to_owned(), name.to_owned())
    });
    let expected: BTreeSet<(String, String)> = errors.chain(ages).collect();
    let named = asked.into_iter().map(|metric| {
        let of = metric.dimensions.into_iter().next().unwrap().1;
        (metric.name, of)
    });
    assert_eq!(named.collect::<BTreeSet<_>>(), expected);
}

/// The metrics that the alarms in `template` use.
fn of_alarms(template: &Value) -> BTreeSet<Metric> {
    let resources = template["Resources"].as_object().unwrap().values();
    let alarms = resources.filter(|resource| resource["Type"] == "AWS::CloudWatch::Alarm");
    let mut metrics = BTreeSet::new();
    for alarm in alarms.map(|resource| &resource["Properties"]) {
        if alarm["MetricName"].is_string() {
            metrics.insert(Metric::of(alarm, &alarm["Statistic"]));
        }
        // An alarm on an expression names its metrics in a list.
        for query in alarm["Metrics"].as_array().into_iter().flatten() {
            let of_metric = &query["MetricStat"];
            if of_metric.is_object() {
                metrics.insert(Metric::of(&of_metric["Metric"], &of_metric["Stat"]));
            }
        }
    }
    metrics
}
