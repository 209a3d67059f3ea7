//! What `infra/` deploys.

pub mod template;
