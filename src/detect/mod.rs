//! The pure core: from a CloudTrail record to a decision. No I/O, no clock, nothing here can fail or wait.
//!
//! In the order the data flows:
//! [`record`] (what CloudTrail sent) → [`key_change`] (what it means) → [`affected_user`] (whose keys) →
//! [`evidence`] (what is known of each key) + [`listing`] (what IAM says) → [`view`] (what to believe) →
//! [`decide`] (what to do) → [`finding`], [`audit`], [`alert`] (what to write and tell).
//!
//! Whoever rotates a key by hand asks [`rotation`] (how far it came, what may be done next) and [`inactivity`], and leaves a [`note`].
//!
//! A sweep looks at the users of an account: [`account_record`] (how far it came) → [`digest`] (what to tell at once).

pub mod account_record;
pub mod actor;
pub mod affected_user;
pub mod alert;
pub mod audit;
pub mod decide;
pub mod digest;
mod episode;
pub mod evidence;
pub mod exemption;
pub mod familiar;
pub mod finding;
pub mod health;
pub mod inactivity;
pub mod key_change;
pub mod leak;
pub mod listing;
pub mod note;
mod overlap;
pub mod policy;
mod rechecks;
pub mod record;
pub mod relation;
pub mod retire;
pub mod rotation;
pub mod severity;
pub mod since;
pub mod situation;
#[cfg(test)]
pub(crate) mod testing;
pub mod text;
mod trail;
pub mod user;
pub mod user_record;
pub mod verdict;
pub mod view;

#[cfg(test)]
mod decide_tests;
#[cfg(test)]
mod key_change_tests;
#[cfg(test)]
mod rotation_tests;
#[cfg(test)]
mod severity_tests;
#[cfg(test)]
mod verdict_tests;
#[cfg(test)]
mod view_tests;

/// A moment in UTC.
pub type Timestamp = chrono::DateTime<chrono::Utc>;
