//! Shared code of the fuzz targets.

pub mod alert;
pub mod change;
pub mod mutate;
pub mod pieces;
pub mod reversed;

/// A number derived from `data` alone, so that an input needs no extra bytes to choose a variant
/// and a crash is reproducible (FNV-1a).
#[must_use]
pub fn choice(data: &[u8]) -> u64 {
    data.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
