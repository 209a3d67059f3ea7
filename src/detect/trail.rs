//! The audit trail: its entries and their hashes ([`audit`]), the entries that a decision adds
//! ([`audit_entries`]), and those of a change that secondkey itself made ([`change_entry`]).

pub mod audit;
pub(in crate::detect) mod audit_entries;
pub(crate) mod change_entry;
