//! Bounds on text from events.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// The longest text kept from any field of an event, in bytes.
pub const MAX_BYTES: usize = 1024;

/// `text` if it fits into [`MAX_BYTES`]; otherwise its beginning, its length and the SHA-256 of the
/// whole text, so that long texts with the same beginning stay different.
#[must_use]
pub fn bounded(text: &str) -> String {
    if text.len() <= MAX_BYTES {
        return text.to_owned();
    }
    let beginning: String = text
        .char_indices()
        .take_while(|(start, character)| start + character.len_utf8() <= MAX_BYTES)
        .map(|(_, character)| character)
        .collect();
    format!(
        "{beginning}… [{} bytes, sha256 {}]",
        text.len(),
        sha256_hex(text.as_bytes())
    )
}

/// The SHA-256 of `bytes` in lower-case hexadecimal.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            // Writing to a String cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_text_is_kept_whole() {
        assert_eq!(bounded("curl/8.0"), "curl/8.0");
        assert_eq!(bounded(&"é".repeat(512)), "é".repeat(512));
    }

    #[test]
    fn long_text_is_cut_at_a_character_and_told_apart_by_its_hash() {
        let one = bounded(&("é".repeat(600) + "one"));
        let two = bounded(&("é".repeat(600) + "two"));
        assert!(one.starts_with(&"é".repeat(512)));
        assert!(one.contains("1203 bytes"));
        assert_ne!(one, two);
        assert!(one.len() < MAX_BYTES + 120);
    }
}
