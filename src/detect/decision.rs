//! What to do.
//!
//! [`decide`] takes a [`situation`] and a [`policy`] and returns what changes. [`severity`] rates a
//! finding, by how the actor relates to the user ([`relation`]) and whether the actor is [`familiar`];
//! [`exemption`] suppresses it; [`rechecks`] says when to look again. [`verdict`] is the
//! recommendation about the two keys.

pub mod decide;
pub mod exemption;
pub mod familiar;
pub mod policy;
pub(in crate::detect) mod rechecks;
pub(crate) mod relation;
pub mod severity;
pub mod situation;
pub(crate) mod verdict;

#[cfg(test)]
mod decide_tests;
#[cfg(test)]
mod severity_tests;
#[cfg(test)]
mod verdict_tests;
