//! The controls that two active access keys fail, by the numbers under which auditors know them.
//!
//! Sources: CIS Amazon Web Services Foundations Benchmark; AWS Security Hub user guide, controls for
//! IAM. Security Hub has no control for the number of a user's active keys (user guide, CIS AWS
//! Foundations Benchmark, automated checks that are not supported).

use crate::detect::user::UserId;

/// A control.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Control {
    /// Its numbers, with the versions of the benchmark that use them.
    pub(crate) numbers: &'static str,
    /// What it requires.
    pub(crate) requirement: &'static str,
}

/// The control for IAM users.
pub(crate) const ONE_ACTIVE_KEY: Control = Control {
    numbers: "CIS AWS Foundations Benchmark 1.13 (v1.4.0 to v4.0.1), 1.12 (v5.0.0), 2.12 (v6.0.0)",
    requirement: "only one active access key for any single IAM user",
};

/// The control for root. It fails with the first key; secondkey reports the second.
pub(crate) const NO_ROOT_KEY: Control = Control {
    numbers: "CIS AWS Foundations Benchmark 1.4 (v1.4.0 to v4.0.1), 1.3 (v5.0.0), 2.3 (v6.0.0); \
              Security Hub IAM.4",
    requirement: "no access key of the root user",
};

/// The control that two active keys of `user` fail.
pub(crate) fn control_of(user: &UserId) -> &'static Control {
    if user.is_root() {
        &NO_ROOT_KEY
    } else {
        &ONE_ACTIVE_KEY
    }
}
