//! The pure core: from a CloudTrail record to a decision. Nothing here does I/O, reads a clock,
//! fails or waits.
//!
//! In the order the data flows: [`events`] (what happened) → [`keys`] (what to believe) →
//! [`decision`] (what to do) → [`findings`], [`records`] and [`trail`] (what to store and send).
//!
//! Beside that, [`rotation`] guides a manual rotation, and [`usage`] is who uses which key.

pub(crate) mod arn;
pub mod decision;
pub mod events;
pub mod findings;
pub mod keys;
pub mod records;
pub mod rotation;
#[cfg(test)]
pub(crate) mod testing;
pub mod trail;
pub mod usage;
pub mod user;

/// A moment in UTC.
pub type Timestamp = chrono::DateTime<chrono::Utc>;
