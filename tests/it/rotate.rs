//! `secondkey rotate` and `secondkey exempt` on moto, real files and a real table.

mod cleanup;
mod exempt;
mod finish;
pub mod front;
mod handing_over;
pub mod history;
mod spelling;
mod start;
mod status;
mod table;
pub mod world;
