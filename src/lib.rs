//! secondkey alerts when an IAM user has a second active access key, and when that ends.

#![cfg_attr(
    not(all(feature = "live", feature = "lambda")),
    allow(
        dead_code,
        unreachable_pub,
        unused_imports,
        reason = "a binary with fewer features does not use what only the others call; with all features, everything is used"
    )
)]
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "a test fails by panicking"
    )
)]

#[cfg(feature = "aws")]
pub mod aws;
#[cfg(feature = "cli")]
pub mod cli;
pub mod detect;
pub mod local;
pub mod output;
pub mod pipeline;
mod stored;
