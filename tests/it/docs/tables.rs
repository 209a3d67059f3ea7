//! Compares tables and policies in the documentation with the template and the code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;

use super::markdown::Page;
use super::{files, page, root};
use crate::stack::cloudformation::Template;

#[test]
fn the_table_of_variables_matches_the_template() {
    let template = Template::read("infra/template.yaml").0;
    let variables = |place: &Value| -> BTreeSet<String> {
        let variables = place["Environment"]["Variables"]
            .as_object()
            .expect("it sets some");
        variables.keys().cloned().collect()
    };
    let functions = [
        ("detector", "Detector"),
        ("sweeper", "Sweeper"),
        ("securityhub", "SecurityHub"),
    ];
    let mut documented: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in page("infra/README.md").table("Environment variables") {
        for function in row[1].split(", ") {
            let name = row[0].trim_matches('`').to_owned();
            documented
                .entry(function.to_owned())
                .or_default()
                .insert(name);
        }
    }
    let all = variables(&template["Globals"]["Function"]);
    assert_eq!(documented.remove("all"), Some(all), "of all functions");
    for (name, resource) in functions {
        let set = variables(&template["Resources"][resource]["Properties"]);
        assert_eq!(documented.remove(name), Some(set), "{name}");
    }
    assert_eq!(documented, BTreeMap::new(), "no other function");
}

/// The actions in the policies of `page`.
fn actions(page: &Page) -> BTreeSet<String> {
    let mut actions = BTreeSet::new();
    for block in page.blocks("json") {
        let policy: Value = serde_json::from_str(&block).expect("a policy is JSON");
        for statement in policy["Statement"]
            .as_array()
            .expect("a policy has statements")
        {
            match &statement["Action"] {
                Value::String(action) => {
                    actions.insert(action.clone());
                }
                several => actions.extend(
                    several
                        .as_array()
                        .unwrap()
                        .iter()
                        .map(|one| one.as_str().unwrap().to_owned()),
                ),
            }
        }
    }
    actions
}

/// The action names in `text`: `service:Action`.
fn actions_named(text: &str) -> BTreeSet<String> {
    let is_of_action = |letter: char| letter.is_ascii_alphanumeric() || letter == ':';
    text.split(|letter: char| !is_of_action(letter))
        .filter_map(|word| {
            let (service, action) = word.split_once(':')?;
            // `aws:` is the prefix of condition keys.
            let is_action = !service.is_empty()
                && service != "aws"
                && service.chars().all(|letter| letter.is_ascii_lowercase())
                && action.starts_with(|letter: char| letter.is_ascii_uppercase())
                && action.chars().all(|letter| letter.is_ascii_alphabetic())
                && action.chars().any(|letter| letter.is_ascii_lowercase());
            is_action.then(|| word.to_owned())
        })
        .collect()
}

/// Actions that `src/cli` mentions and that no command needs, with the reason.
const NOT_NEEDED: [(&str, &str); 3] = [
    (
        "events:PutEvents",
        "what the policy of the bus allows to members",
    ),
    ("sts:GetCallerIdentity", "it needs no permission"),
    ("sqs:ReceiveMessage", "a sample in a test of queue policies"),
];

#[test]
fn the_policies_to_paste_allow_exactly_what_commands_call() {
    let read = |folder: &str| -> String {
        let paths = files(folder, "rs");
        paths
            .into_iter()
            .map(|path| fs::read_to_string(root().join(path)).unwrap())
            .collect()
    };
    let documented = actions(&page("docs/troubleshooting.md"));
    let (cli, aws) = (
        actions_named(&read("src/cli")),
        actions_named(&read("src/aws")),
    );
    assert!(
        documented.len() > 30 && cli.len() > 30,
        "{documented:?}\n{cli:?}"
    );
    for (action, why) in NOT_NEEDED {
        assert!(
            cli.contains(action) && !documented.contains(action),
            "{action}: {why}"
        );
    }
    let needed = cli
        .iter()
        .filter(|action| !NOT_NEEDED.iter().any(|(no, _)| no == action));
    let missing: Vec<&String> = needed
        .filter(|action| !documented.contains(*action))
        .collect();
    assert!(missing.is_empty(), "no policy allows {missing:?}");
    let unused: Vec<&String> = documented
        .iter()
        .filter(|action| !cli.contains(*action) && !aws.contains(*action))
        .collect();
    assert!(unused.is_empty(), "no command calls {unused:?}");
}
