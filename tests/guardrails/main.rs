//! The guardrails of `infra/guardrails/`: the rule on Terraform plans, and the service control policies.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test fails by panicking, and its documentation is not published"
)]

mod imitation;
mod plans;
mod policies;
mod rule;
mod variants;

use std::path::{Path, PathBuf};

/// A file or directory of this repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
