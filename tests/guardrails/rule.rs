//! Runs the rule like `secondkey gate`: returns every message of `data.main.deny` for any input.

use secondkey::local::terraform_plan::as_conftest;

/// The rule's messages for a plan, in order. `options` is what `--data` would load.
pub(crate) fn denials(plan: &str, options: &str) -> Vec<String> {
    as_conftest(plan, options).expect("the rule runs")
}
