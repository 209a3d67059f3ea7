//! What is stored and sent about two active keys: the [`finding`], its opening, changes and closing
//! ([`lifecycle`]), an [`alert`] about it, its [`refresh`], and a [`digest`] of many.

pub mod alert;
pub mod digest;
pub mod finding;
pub(in crate::detect) mod lifecycle;
pub(in crate::detect) mod refresh;
