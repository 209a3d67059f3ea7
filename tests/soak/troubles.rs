//! How often each kind of trouble was caused.

use std::fmt;

#[derive(Debug, Clone, Copy, Default)]
pub struct Troubles {
    pub slow: u64,
    pub held_back: u64,
    pub cut_before: u64,
    pub cut_after: u64,
    pub unavailable: u64,
    pub stale: u64,
}

impl Troubles {
    /// All of them, except slow requests.
    pub fn faults(self) -> u64 {
        self.held_back + self.cut_before + self.cut_after + self.unavailable + self.stale
    }
}

impl std::ops::Add for Troubles {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            slow: self.slow + other.slow,
            held_back: self.held_back + other.held_back,
            cut_before: self.cut_before + other.cut_before,
            cut_after: self.cut_after + other.cut_after,
            unavailable: self.unavailable + other.unavailable,
            stale: self.stale + other.stale,
        }
    }
}

impl fmt::Display for Troubles {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} slow, {} held back, {} lost on the way, {} answers lost, {} refused, {} stale listings",
            self.slow,
            self.held_back,
            self.cut_before,
            self.cut_after,
            self.unavailable,
            self.stale
        )
    }
}
