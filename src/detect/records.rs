//! What is stored from one check to the next: about a user ([`user_record`]) and about an account
//! ([`account_record`]).

pub mod account_record;
pub mod user_record;
