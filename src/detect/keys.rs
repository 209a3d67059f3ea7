//! What to believe about a user's keys.
//!
//! [`listing`] is what IAM says, [`evidence`] what events say about each key, and [`view`] what
//! follows from both. [`overlap`] finds keys that were active beside another one, and
//! [`overlap_start`] since when. [`age`] says which key is older.

pub(crate) mod age;
pub mod evidence;
pub mod listing;
pub(in crate::detect) mod overlap;
pub(crate) mod overlap_start;
pub mod view;

#[cfg(test)]
mod view_tests;
