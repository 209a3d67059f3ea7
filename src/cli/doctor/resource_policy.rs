//! Evaluates whether a queue's policy allows a rule to send to it.

use serde_json::{Value, json};

/// What a queue's policy says about one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Allowance {
    /// The rule may send.
    Allowed,
    /// It may not; the text says why.
    Refused(&'static str),
    /// It depends on a condition that this release does not support.
    Unclear(String),
}

/// Whether the conditions of a statement hold.
enum ConditionMatch {
    Yes,
    No,
    Unknown(String),
}

/// Whether `policy` allows the rule `rule_arn` of `account` to send to the queue `queue_arn`.
#[must_use]
pub(super) fn allowance(
    policy: Option<&str>,
    queue_arn: &str,
    rule_arn: &str,
    account: &str,
) -> Allowance {
    let Some(policy) = policy.filter(|policy| !policy.is_empty()) else {
        return Allowance::Refused("the queue has no policy");
    };
    let Ok(policy) = serde_json::from_str::<Value>(policy) else {
        return Allowance::Unclear("the policy is not JSON".to_owned());
    };
    let mut unclear = None;
    let mut is_allowed = false;
    for statement in list(policy.get("Statement")) {
        let is_about_it = is_for_events(statement.get("Principal"))
            && list(statement.get("Action")).any(is_send)
            && list(statement.get("Resource"))
                .any(|resource| fits(resource.as_str().unwrap_or_default(), queue_arn));
        if !is_about_it {
            continue;
        }
        let is_denial = statement.get("Effect").and_then(Value::as_str) == Some("Deny");
        match (
            holds(statement.get("Condition"), rule_arn, account),
            is_denial,
        ) {
            (ConditionMatch::Yes, true) => {
                return Allowance::Refused("a statement of the policy denies it");
            }
            (ConditionMatch::Yes, false) => is_allowed = true,
            (ConditionMatch::Unknown(condition), _) => unclear = Some(condition),
            (ConditionMatch::No, _) => (),
        }
    }
    match (is_allowed, unclear) {
        (_, Some(condition)) => Allowance::Unclear(format!(
            "it depends on the condition {condition}, which this release cannot evaluate"
        )),
        (true, None) => Allowance::Allowed,
        (false, None) => Allowance::Refused("no statement of the policy allows it"),
    }
}

/// A policy that allows only `rules` to send to the queue.
#[must_use]
pub(super) fn policy_for(queue_arn: &str, rules: &[String]) -> String {
    json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": rules}},
    }]})
    .to_string()
}

fn is_for_events(principal: Option<&Value>) -> bool {
    let Some(principal) = principal else {
        return false;
    };
    principal.as_str() == Some("*")
        || list(principal.get("Service")).any(|service| {
            ["events.amazonaws.com", "events.amazonaws.com.cn"]
                .contains(&service.as_str().unwrap_or_default())
        })
        || list(principal.get("AWS")).any(|account| account.as_str() == Some("*"))
}

fn is_send(action: &Value) -> bool {
    let action = action.as_str().unwrap_or_default().to_lowercase();
    fits(&action, "sqs:sendmessage")
}

/// Whether `conditions` hold for a message of the rule. AWS sends it over TLS.
fn holds(conditions: Option<&Value>, rule_arn: &str, account: &str) -> ConditionMatch {
    let Some(conditions) = conditions.and_then(Value::as_object) else {
        return ConditionMatch::Yes;
    };
    let mut unknown = None;
    for (operator, keys) in conditions {
        for (key, wanted) in keys.as_object().into_iter().flatten() {
            let mut wanted = list(Some(wanted)).filter_map(Value::as_str);
            let is_met = match (operator.as_str(), key.to_lowercase().as_str()) {
                ("ArnEquals" | "ArnLike" | "StringLike", "aws:sourcearn") => {
                    wanted.any(|pattern| fits(pattern, rule_arn))
                }
                ("StringEquals", "aws:sourcearn") => wanted.any(|arn| arn == rule_arn),
                ("StringEquals" | "StringLike", "aws:sourceaccount") => {
                    wanted.any(|one| fits(one, account))
                }
                ("Bool", "aws:securetransport") => wanted.any(|one| one == "true"),
                _ => {
                    unknown = Some(format!("{operator} {key}"));
                    continue;
                }
            };
            if !is_met {
                return ConditionMatch::No;
            }
        }
    }
    unknown.map_or(ConditionMatch::Yes, ConditionMatch::Unknown)
}

/// The values of a field that is either one value or a list.
fn list(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    let (one, many) = match value {
        Some(Value::Array(many)) => (None, many.as_slice()),
        one => (one, &[] as &[Value]),
    };
    one.into_iter().chain(many)
}

fn fits(pattern: &str, text: &str) -> bool {
    wildmatch::WildMatch::new(pattern).matches(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUEUE: &str = "arn:aws:sqs:us-east-1:111122223333:changes";
    const RULE: &str = "arn:aws:events:us-east-1:111122223333:rule/changes";

    fn of(policy: &str) -> Allowance {
        allowance(Some(policy), QUEUE, RULE, "111122223333")
    }

    fn refused(policy: &str) -> bool {
        matches!(of(policy), Allowance::Refused(_))
    }

    #[test]
    fn the_suggested_policy_allows_the_rule() {
        let policy = policy_for(QUEUE, &["arn:of:another".to_owned(), RULE.to_owned()]);
        assert_eq!(of(&policy), Allowance::Allowed);
        assert!(refused(&policy_for(QUEUE, &["arn:of:another".to_owned()])));
        assert!(refused(&policy_for(
            "arn:of:another:queue",
            &[RULE.to_owned()]
        )));
    }

    #[test]
    fn without_a_policy_the_rule_is_refused() {
        assert!(matches!(
            allowance(None, QUEUE, RULE, "1"),
            Allowance::Refused(_)
        ));
        assert!(refused(r#"{"Statement": []}"#));
        assert!(matches!(of("x"), Allowance::Unclear(_)));
    }

    #[test]
    fn a_statement_is_read_in_all_its_spellings() {
        let one = json!({"Statement": {"Effect": "Allow", "Principal": "*", "Action": ["SQS:*"], "Resource": "*",
            "Condition": {"StringEquals": {"aws:SourceAccount": "111122223333"}}}});
        assert_eq!(of(&one.to_string()), Allowance::Allowed);
        let other = one.to_string().replace("111122223333", "444455556666");
        assert!(refused(&other));
        let receive = one.to_string().replace("SQS:*", "sqs:ReceiveMessage");
        assert!(refused(&receive));
    }

    #[test]
    fn a_denial_counts_unless_its_condition_does_not_hold() {
        let with_denial = |condition: Value| {
            let mut policy: Value =
                serde_json::from_str(&policy_for(QUEUE, &[RULE.to_owned()])).unwrap();
            policy["Statement"]
                .as_array_mut()
                .unwrap()
                .push(json!({"Effect": "Deny", "Principal": "*",
                "Action": "sqs:*", "Resource": "*", "Condition": condition}));
            of(&policy.to_string())
        };
        let in_the_clear = json!({"Bool": {"aws:SecureTransport": "false"}});
        assert_eq!(with_denial(in_the_clear), Allowance::Allowed);
        assert!(matches!(with_denial(json!({})), Allowance::Refused(_)));
        let unknown = json!({"IpAddress": {"aws:SourceIp": "192.0.2.0/24"}});
        assert!(matches!(with_denial(unknown), Allowance::Unclear(_)));
    }
}
