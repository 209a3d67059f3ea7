//! A log that arrives in small pieces, as from a slow pipe.

use std::io::{self, BufRead, Read};

/// Reads `rest`, at most `size` bytes at a time, and ends with an error of kind `ends_in` if that
/// is set.
pub struct Pieces<'a> {
    pub rest: &'a [u8],
    pub size: usize,
    pub ends_in: Option<io::ErrorKind>,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let piece = self.fill_buf()?;
        let length = piece.len().min(buffer.len());
        buffer[..length].copy_from_slice(&piece[..length]);
        self.consume(length);
        Ok(length)
    }
}

impl BufRead for Pieces<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self.ends_in {
            Some(kind) if self.rest.is_empty() => Err(kind.into()),
            _ => Ok(&self.rest[..self.size.min(self.rest.len())]),
        }
    }

    fn consume(&mut self, used: usize) {
        self.rest = &self.rest[used..];
    }
}
