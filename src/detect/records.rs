//! What is stored from one check to the next: about a user ([`user_record`]) and about an account
//! ([`account_record`]); and what that says about when an account was checked ([`coverage`]).

pub mod account_record;
pub mod coverage;
pub mod user_record;
