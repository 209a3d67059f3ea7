//! Least privilege: what the roles of `infra/` may do is what the functions need, and the README says it.

mod cases;
mod grants;
mod invoke;
mod needed;
mod policies;
mod readme;
mod statements;
mod trusts;
mod world;
