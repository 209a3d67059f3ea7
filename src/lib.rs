//! secondkey: know the moment an IAM user has a second active access key, and the moment they no longer do.

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

pub mod aws;
#[cfg(feature = "cli")]
pub mod cli;
pub mod detect;
pub mod local;
pub mod output;
pub mod pipeline;
mod stored;
