//! The rules, with the help that viewers show beside a result.

use crate::output::sarif::wire::{Configuration, MultiformatText, Rule, RuleProperties, Text};

/// The rule for an IAM user.
pub(super) const RULE: &str = "second-active-access-key";

/// The rule for the account's root.
pub(super) const RULE_OF_ROOT: &str = "second-active-access-key-of-root";

/// Why, and what to do.
const HELP: &str = "AWS gives each IAM user two access-key slots so that a key can be rotated \
without downtime. Two keys that stay active are a rotation that was never finished, or a backdoor \
(MITRE ATT&CK T1098.001). Find out which key is in use, deactivate the other, and delete it once \
nothing has failed for some days. If nobody on your team made the newer key, deactivate that one \
at once and investigate what it did.";

/// The rules, in index order.
pub(super) fn rules() -> [Rule; 2] {
    [
        Rule {
            id: RULE,
            name: "SecondActiveAccessKey",
            short_description: Text {
                text: "An IAM user has a second active access key",
            },
            full_description: Text {
                text: "An IAM user has two active access keys. A second one is needed only while a \
                       key is rotated.",
            },
            help: help(),
            default_configuration: Configuration { level: "warning" },
            properties: properties("5.5"),
        },
        Rule {
            id: RULE_OF_ROOT,
            name: "SecondActiveAccessKeyOfRoot",
            short_description: Text {
                text: "An account's root has a second active access key",
            },
            full_description: Text {
                text: "An account's root user has two active access keys. It should have none.",
            },
            help: help(),
            default_configuration: Configuration { level: "error" },
            properties: properties("9.5"),
        },
    ]
}

fn help() -> MultiformatText {
    MultiformatText {
        text: HELP,
        markdown: HELP,
    }
}

fn properties(security_severity: &'static str) -> RuleProperties {
    RuleProperties {
        tags: ["security", "aws", "iam", "T1098.001"],
        precision: "very-high",
        security_severity,
    }
}
