//! What events say: from a record as sent to a change of one user's keys.
//!
//! [`cloudtrail_record`] is what `CloudTrail` sent, [`key_change`] what it means, [`affected_user`]
//! whose keys it is about, and [`actor`] who made the call. [`leak`] and [`health`] are what AWS
//! reports about leaked keys. [`text`] bounds all text from events.

pub mod actor;
pub(crate) mod affected_user;
pub mod cloudtrail_record;
pub mod health;
pub mod key_change;
pub mod leak;
pub mod text;

#[cfg(test)]
mod key_change_tests;
