//! Scans 64 bytes of JSON at once for quotes and brackets. Each result is a mask with one bit per
//! byte.

use wide::u8x32;

/// How many bytes are scanned together.
pub(super) const BLOCK_BYTES: usize = 64;

/// The significant bytes of a block. The lowest bit is the first byte.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) quotes: u64,
    pub(super) backslashes: u64,
    pub(super) line_ends: u64,
    /// `{` and `[`.
    pub(super) opening: u64,
    /// `}` and `]`.
    pub(super) closing: u64,
}

impl Block {
    pub(super) fn of(bytes: &[u8; BLOCK_BYTES]) -> Self {
        let mut block = Self::default();
        let (lanes, _) = bytes.as_chunks::<32>();
        for (lane, place) in lanes.iter().zip([0, 32]) {
            let lane = u8x32::new(*lane);
            // In ASCII, brackets and braces differ in this bit only.
            let braces = lane | u8x32::splat(b'{' ^ b'[');
            let bits = |lane: u8x32, byte| {
                u64::from(lane.simd_eq(u8x32::splat(byte)).to_bitmask()) << place
            };
            block.quotes |= bits(lane, b'"');
            block.backslashes |= bits(lane, b'\\');
            block.line_ends |= bits(lane, b'\n');
            block.opening |= bits(braces, b'{');
            block.closing |= bits(braces, b'}');
        }
        block
    }

    /// The bytes within strings, including an opening quote and excluding a closing one, provided
    /// that no quote is escaped.
    pub(super) fn texts(&self, begins_in_text: bool) -> u64 {
        // Each bit becomes the parity of the quotes up to it.
        let mut texts = self.quotes;
        for distance in [1, 2, 4, 8, 16, 32] {
            texts ^= texts << distance;
        }
        if begins_in_text { !texts } else { texts }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bit_matches_its_byte() {
        for byte in 0..=u8::MAX {
            for place in 0..BLOCK_BYTES {
                let mut bytes = [b'a'; BLOCK_BYTES];
                bytes[place] = byte;
                let expected = |is: bool| u64::from(is) << place;
                assert_eq!(
                    Block::of(&bytes),
                    Block {
                        quotes: expected(byte == b'"'),
                        backslashes: expected(byte == b'\\'),
                        line_ends: expected(byte == b'\n'),
                        opening: expected(matches!(byte, b'{' | b'[')),
                        closing: expected(matches!(byte, b'}' | b']')),
                    }
                );
            }
        }
    }

    #[test]
    fn a_string_extends_from_quote_to_quote() {
        let block = Block {
            quotes: 0b1001_0010,
            ..Block::default()
        };
        assert_eq!(block.texts(false) & 0xff, 0b1000_1110);
        assert_eq!(block.texts(true) & 0xff, 0b0111_0001);
    }
}
