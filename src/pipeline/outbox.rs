//! The outbox: committed alerts, delivered to each sink until it accepts them.

pub(crate) mod deliver;
pub mod schedule;
