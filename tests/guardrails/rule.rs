//! Runs the rule as `secondkey gate` does, on whatever is given: every message of `data.main.deny`.

use secondkey::local::terraform_plan::as_conftest;

/// What the rule says of a plan, in order. `options` is what `--data` would load.
pub(crate) fn denials(plan: &str, options: &str) -> Vec<String> {
    as_conftest(plan, options).expect("the rule runs")
}
