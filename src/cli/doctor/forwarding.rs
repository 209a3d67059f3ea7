//! Checks what forwards IAM's events to a home region: the rule in the region where they arrive, and
//! the queue there for events that could not be forwarded.

use aws_config::{Region, SdkConfig};
use aws_sdk_eventbridge::Client;

use crate::cli::doctor::check_result::{
    CheckResult, CheckStatus, FixPlace, QueryError, QueryErrorKind, QueryResult, evaluate,
};
use crate::cli::doctor::event_rule_checks::{
    Expected, RuleFacts, TargetArns, TargetFacts, judge_state, judge_targets,
    judge_what_it_lets_through,
};
use crate::cli::doctor::event_rules::{EVENT_PATTERN, describe, targets};
use crate::cli::doctor::member_stack::deploy_member;
use crate::cli::doctor::queues::{self, DeadLetterQueue, NOT_FORWARDED};
use crate::cli::doctor::stack::{DeployedStack, StackLocation};

/// How many rules that send to the bus are checked. One is enough to forward.
const MAX_RULES: usize = 10;

/// Checks that a rule in the region `from` forwards IAM's events to this stack's bus, and that none
/// failed to be forwarded.
pub(super) async fn check(
    config: &SdkConfig,
    stack: &DeployedStack,
    from: &str,
) -> Vec<CheckResult> {
    let bus = match stack.physical("EventBus") {
        Ok(bus) => bus,
        Err(missing) => return vec![missing],
    };
    let there = config
        .to_builder()
        .region(Region::new(from.to_owned()))
        .build();
    let client = Client::new(&there);
    let wanted = wanted(stack, bus, from);
    let what = format!("forwarding from {from}");
    let target = format!("the bus {bus} in {}", stack.location.region);
    let expected = Expected {
        rule: &what,
        bus: None,
        pattern: Some(EVENT_PATTERN),
        target: &target,
        target_id: "central",
        input: None,
    };
    let checks = match rules_to(&client, &wanted.arn).await {
        Err(error) => vec![error.check(what)],
        Ok(rules) if rules.is_empty() => vec![CheckResult::failed(
            what,
            format!("no rule of this account in {from} forwards to {target}"),
            deploy_member(stack, &stack.location.account),
        )],
        Ok(rules) => {
            let checked = rules
                .iter()
                .map(|rule| one(&client, &expected, from, rule, &wanted));
            let (rules, queue) = futures::join!(
                futures::future::join_all(checked),
                dead_letters(&there, stack, from)
            );
            let mut checks = best(rules);
            checks.push(queue);
            checks
        }
    };
    let there = |check: CheckResult| check.fixed_in(FixPlace::OtherRegion);
    checks.into_iter().map(there).collect()
}

/// The bus, and the queue for events that do not reach it, which `infra/member.yaml` names.
fn wanted(stack: &DeployedStack, bus: &str, from: &str) -> TargetArns {
    let StackLocation {
        partition,
        region,
        account,
    } = &stack.location;
    let queue = dead_letters_name(stack);
    TargetArns {
        arn: format!("arn:{partition}:events:{region}:{account}:event-bus/{bus}"),
        dead_letters_arn: Some(format!("arn:{partition}:sqs:{from}:{account}:{queue}")),
        // A bus in another region requires a role. Source: EventBridge user guide, sending events
        // between Regions.
        needs_role: true,
    }
}

fn dead_letters_name(stack: &DeployedStack) -> String {
    format!("{}-member-dead-letters", stack.name)
}

/// The names of the rules that send to the bus.
async fn rules_to(client: &Client, bus_arn: &str) -> QueryResult<Vec<String>> {
    let (mut names, mut page) = (vec![], None);
    loop {
        let answer = client
            .list_rule_names_by_target()
            .target_arn(bus_arn)
            .set_next_token(page)
            .send()
            .await
            .map_err(|error| QueryError::of("events:ListRuleNamesByTarget", &error))?;
        names.extend(answer.rule_names.unwrap_or_default());
        page = answer.next_token;
        if page.is_none() || names.len() >= MAX_RULES {
            names.truncate(MAX_RULES);
            return Ok(names);
        }
    }
}

async fn one(
    client: &Client,
    expected: &Expected<'_>,
    from: &str,
    name: &str,
    wanted: &TargetArns,
) -> Vec<CheckResult> {
    let (rule, targets) = futures::join!(describe(client, name, None), targets(client, name, None));
    match rule {
        Ok(rule) => {
            let region = Some(from.to_owned());
            judge_rule(expected, &RuleFacts { region, ..rule }, targets, wanted)
        }
        Err(error) => vec![error.check(expected.rule)],
    }
}

/// Checks that the rule is enabled, lets our events through, and sends them to the bus.
fn judge_rule(
    expected: &Expected,
    rule: &RuleFacts,
    targets: QueryResult<Vec<TargetFacts>>,
    wanted: &TargetArns,
) -> Vec<CheckResult> {
    let what = format!("{}: target", expected.rule);
    vec![
        judge_state(expected, rule),
        judge_what_it_lets_through(expected, rule),
        evaluate(&what, targets, |targets| {
            judge_targets(expected, rule, wanted, &targets)
        }),
    ]
}

/// The checks of the rule that is closest to being right: if one forwards, the others do not matter.
fn best(rules: Vec<Vec<CheckResult>>) -> Vec<CheckResult> {
    let count = |checks: &[CheckResult], states: &[CheckStatus]| {
        let is_one = |check: &&CheckResult| states.contains(&check.state);
        checks.iter().filter(is_one).count()
    };
    let wrong = [CheckStatus::Failed, CheckStatus::NotChecked];
    let best = rules.into_iter().min_by_key(|checks| {
        (
            count(checks, &wrong),
            count(checks, &[CheckStatus::Warning]),
        )
    });
    best.unwrap_or_default()
}

/// Checks the queue for events that this account's rule or those of members could not forward.
async fn dead_letters(there: &SdkConfig, stack: &DeployedStack, from: &str) -> CheckResult {
    let what = format!("MemberDeadLetters in {from}");
    let name = dead_letters_name(stack);
    let url = match queues::url(there, &name).await {
        Ok(url) => url,
        Err(error) if error.kind == QueryErrorKind::Gone => {
            return CheckResult::failed(
                what,
                format!("there is no queue {name}, so events that cannot be forwarded are lost"),
                deploy_member(stack, &stack.location.account),
            );
        }
        Err(error) => return error.check(what),
    };
    let queue = DeadLetterQueue {
        what: &what,
        holds: NOT_FORWARDED,
        url: &url,
        region: Some(from),
        way_back: None,
    };
    queues::dead_letters(there, &queue).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::stack::tests::home_stack;

    const FROM: &str = "us-east-1";

    const EXPECTED: Expected = Expected {
        rule: "forwarding",
        bus: None,
        pattern: Some(EVENT_PATTERN),
        target: "the bus",
        target_id: "central",
        input: None,
    };

    fn bus() -> TargetArns {
        wanted(&home_stack(&[], &[]), "secondkey", FROM)
    }

    fn rule() -> RuleFacts {
        RuleFacts {
            name: "forward".to_owned(),
            arn: "arn:aws:events:us-east-1:111122223333:rule/forward".to_owned(),
            bus: None,
            region: Some(FROM.to_owned()),
            state: "ENABLED".to_owned(),
            pattern: Some(EVENT_PATTERN.to_owned()),
            schedule: None,
        }
    }

    fn target() -> TargetFacts {
        TargetFacts {
            id: "central".to_owned(),
            arn: "arn:aws:events:eu-central-1:111122223333:event-bus/secondkey".to_owned(),
            role_arn: Some("arn:aws:iam::111122223333:role/forward".to_owned()),
            input: None,
            is_transformed: false,
            dead_letters_arn: bus().dead_letters_arn,
        }
    }

    /// The checks that are not ok, after `change` to a rule that forwards.
    fn wrong(change: impl FnOnce(&mut RuleFacts, &mut TargetFacts)) -> Vec<CheckResult> {
        let (mut rule, mut target) = (rule(), target());
        change(&mut rule, &mut target);
        let checks = judge_rule(&EXPECTED, &rule, Ok(vec![target]), &bus());
        let is_wrong = |check: &CheckResult| check.state != CheckStatus::Ok;
        checks.into_iter().filter(is_wrong).collect()
    }

    #[test]
    fn a_rule_that_does_not_forward_fails_with_a_command_for_its_region() {
        assert_eq!(wrong(|_, _| ()), []);
        let disabled = wrong(|rule, _| "DISABLED".clone_into(&mut rule.state));
        let narrow = wrong(|rule, _| rule.pattern = Some(r#"{"source":["aws.s3"]}"#.to_owned()));
        let other = wrong(|_, target| target.arn = "arn:aws:events:x".to_owned());
        let no_role = wrong(|_, target| target.role_arn = None);
        let no_queue = wrong(|_, target| target.dead_letters_arn = None);
        let failed = CheckStatus::Failed;
        for (checks, what, state, found, command) in [
            (
                &disabled,
                "forwarding",
                failed,
                "is disabled",
                "enable-rule --name",
            ),
            (
                &narrow,
                "forwarding: pattern",
                failed,
                "aws.s3",
                "put-rule --name",
            ),
            (
                &other,
                "forwarding: target",
                failed,
                "is not a target",
                "put-targets --rule",
            ),
            (
                &no_role,
                "forwarding: target",
                failed,
                "without the role",
                "put-targets --rule",
            ),
            (
                &no_queue,
                "forwarding: target",
                CheckStatus::Warning,
                "without a dead-letter queue",
                "put-targets --rule",
            ),
        ] {
            let [check] = checks.as_slice() else {
                panic!("one check for {what}: {checks:?}");
            };
            assert_eq!((check.subject.as_str(), check.state), (what, state));
            assert!(check.found.contains(found), "{}", check.found);
            let fix = check.fix.as_ref().unwrap();
            let start = format!("aws events {command} forward --region us-east-1 ");
            assert!(format!("{fix} ").starts_with(&start), "{fix}");
        }
        let fix = no_queue[0].fix.as_ref().unwrap();
        let queue = "arn:aws:sqs:us-east-1:111122223333:secondkey-member-dead-letters";
        assert!(fix.contains(queue) && fix.contains("role/forward"), "{fix}");
        let fix = no_role[0].fix.as_ref().unwrap();
        assert!(fix.contains("ForwardRole"), "{fix}");
    }

    #[test]
    fn one_rule_that_forwards_is_enough() {
        let check = |state| match state {
            CheckStatus::Failed => CheckResult::failed("x", "y", "z"),
            CheckStatus::Warning => CheckResult::warning("x", "y", "z"),
            _ => CheckResult::ok("x", "y"),
        };
        let of = |states: [CheckStatus; 2]| states.map(check).to_vec();
        let (ok, warning, failed) = (CheckStatus::Ok, CheckStatus::Warning, CheckStatus::Failed);
        let worse = [of([failed, ok]), of([failed, failed])];
        let better = of([warning, warning]);
        let all = [&worse[..], std::slice::from_ref(&better)].concat();
        assert_eq!(best(all), better);
        assert_eq!(best(worse.to_vec()), worse[0]);
    }
}
