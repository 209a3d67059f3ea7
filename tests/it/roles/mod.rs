//! Least privilege: the roles in `infra/` have exactly the permissions that the functions need, and
//! the README lists them.

mod cases;
mod grants;
mod invoke;
mod needed;
mod policies;
mod readme;
mod statements;
mod trusts;
mod world;
