//! `secondkey rotate` and `secondkey exempt` on moto, real files and a real table.

mod cleanup;
mod exempt;
mod finish;
mod front;
mod handing_over;
mod history;
mod start;
mod status;
mod table;
mod world;
