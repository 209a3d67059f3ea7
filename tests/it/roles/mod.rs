//! Least privilege: what the roles of `infra/` may do is what the functions need, and the README says it.

mod policies;
mod readme;
mod statements;
