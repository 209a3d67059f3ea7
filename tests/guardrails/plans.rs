//! Tests every plan under `plans/`. The text file beside it holds the rule's messages, one per
//! line.

use std::fs;

use expect_test::expect_file;

use crate::repository;
use crate::rule::denials;

const NO_OPTIONS: &str = "{}";

#[test]
fn each_plan_has_the_messages_in_its_text_file() {
    let mut plans = 0;
    for entry in fs::read_dir(repository("tests/guardrails/plans")).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            let plan = fs::read_to_string(&path).unwrap();
            let mut messages = denials(&plan, NO_OPTIONS).join("\n");
            if !messages.is_empty() {
                messages.push('\n');
            }
            let expected = path.with_extension("txt");
            assert!(expected.exists(), "{} is missing", expected.display());
            expect_file![expected].assert_eq(&messages);
            plans += 1;
        }
    }
    assert!(plans >= 12, "only {plans} plans were found");
}
