//! A manual rotation: its [`stage`], and how long a key has been inactive ([`inactivity`]).

pub(crate) mod inactivity;
pub mod stage;

#[cfg(test)]
mod stage_tests;
