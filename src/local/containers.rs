//! Unpacks the containers that logs come in: gzip, zstd, bzip2, tar and zip, also nested. Each is
//! recognized by its first bytes, not by its name.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::local::tar_members::for_each_member;

/// How many bytes identify a container. The tar signature is the last of them.
const SNIFFED: usize = 512;

/// How much of a packed log is read at once. The unpacked text, about ten times as large, is
/// streamed.
const PACKED_BYTES: usize = 64 * 1024;

/// How deep containers may be nested: a zip of tar files of gzipped logs has three levels.
const MAX_CONTAINERS: usize = 6;

/// How many bytes a file may unpack to, regardless of its size.
const FREE_BYTES: u64 = 64 * 1024 * 1024;

/// How many times its packed size a file may unpack to, over all nested containers. Logs that
/// repeat one record stay below 250.
const MAX_RATIO: u64 = 500;

/// The largest zip file that is copied to a temporary file. This is needed for a zip file in a
/// stream or in another container.
const MAX_SPOOLED: u64 = 2 * 1024 * 1024 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    Gzip,
    Zstd,
    Bzip2,
    Tar,
    Zip,
}

impl Container {
    fn of(beginning: &[u8]) -> Option<Self> {
        let magics: [(&[u8], Self); 6] = [
            (&[0x1f, 0x8b], Self::Gzip),
            (&[0x28, 0xb5, 0x2f, 0xfd], Self::Zstd),
            (b"BZh", Self::Bzip2),
            (b"PK\x03\x04", Self::Zip),
            (b"PK\x05\x06", Self::Zip),
            (b"PK\x07\x08", Self::Zip),
        ];
        let is_tar = beginning.get(257..262) == Some(b"ustar");
        magics
            .into_iter()
            .find(|(magic, _)| beginning.starts_with(magic))
            .map(|(_, container)| container)
            .or(is_tar.then_some(Self::Tar))
    }
}

/// Receives a log's name, which includes the path within a container, and its text.
pub(super) type LogVisitor<'t> = dyn FnMut(&str, io::Result<Box<dyn Read + '_>>) + 't;

/// Unpacks `raw` and calls `take` with each text in it. `path` is the file behind `raw`, if there
/// is one.
pub(super) fn for_each_text(
    name: &str,
    raw: Box<dyn Read + '_>,
    path: Option<&Path>,
    take: &mut LogVisitor<'_>,
) {
    let budget = UnpackBudget::default();
    let raw = CountingReader {
        inner: raw,
        count: &budget.packed,
    };
    budget.unpack(name, Box::new(raw), path, 0, take);
}

/// How much was read of one file and how much it has unpacked to so far, over all levels.
#[derive(Debug, Default)]
struct UnpackBudget {
    packed: Cell<u64>,
    unpacked: Cell<u64>,
}

impl UnpackBudget {
    fn unpack(
        &self,
        name: &str,
        mut raw: Box<dyn Read + '_>,
        path: Option<&Path>,
        depth: usize,
        take: &mut LogVisitor<'_>,
    ) {
        let mut beginning = Vec::with_capacity(SNIFFED);
        let sniffed = raw
            .by_ref()
            .take(SNIFFED as u64)
            .read_to_end(&mut beginning);
        let container = Container::of(&beginning);
        // The bytes before an error are still part of the log.
        let raw = StickyErrorReader::new(raw, sniffed.err());
        let raw: Box<dyn Read + '_> = Box::new(Cursor::new(beginning).chain(raw));
        let Some(container) = container else {
            return take(name, Ok(raw));
        };
        if depth >= MAX_CONTAINERS {
            let why = format!("more than {MAX_CONTAINERS} containers are nested");
            return take(name, Err(io::Error::other(why)));
        }
        let unpacked = match container {
            Container::Gzip | Container::Zstd | Container::Bzip2 => self
                .decompressed(container, raw)
                .map(|text| self.unpack(name, text, None, depth + 1, take)),
            Container::Tar => for_each_member(raw, |inner, member| {
                let name = format!("{name}: {inner}");
                self.unpack(&name, member, None, depth + 1, take);
            }),
            Container::Zip => self.unzip(name, raw, path, depth, take),
        };
        if let Err(error) = unpacked {
            take(name, Err(error));
        }
    }

    fn decompressed<'a>(
        &'a self,
        container: Container,
        raw: Box<dyn Read + 'a>,
    ) -> io::Result<Box<dyn Read + 'a>> {
        let raw = BufReader::with_capacity(PACKED_BYTES, raw);
        Ok(match container {
            Container::Zstd => {
                let decoder = zstd::stream::read::Decoder::with_buffer(raw)?;
                self.bounded("zstd", decoder)
            }
            Container::Bzip2 => self.bounded("bzip2", bzip2::bufread::MultiBzDecoder::new(raw)),
            _ => self.bounded("gzip", MultiGzDecoder::new(raw)),
        })
    }

    fn bounded<'a>(&'a self, what: &'static str, inner: impl Read + 'a) -> Box<dyn Read + 'a> {
        Box::new(LimitedReader {
            inner,
            what,
            budget: self,
        })
    }

    fn unzip(
        &self,
        name: &str,
        raw: Box<dyn Read + '_>,
        path: Option<&Path>,
        depth: usize,
        take: &mut LogVisitor<'_>,
    ) -> io::Result<()> {
        // A zip file's directory is at its end, so the file must be seekable.
        let file = match path {
            Some(path) => {
                let file = File::open(path)?;
                self.packed.set(file.metadata()?.len());
                file
            }
            None => spooled(raw, MAX_SPOOLED)?,
        };
        let mut archive = zip::ZipArchive::new(BufReader::new(file)).map_err(io::Error::other)?;
        for place in 0..archive.len() {
            let member = match archive.by_index(place).map_err(io::Error::other) {
                Ok(member) if member.is_dir() => continue,
                Ok(member) => member,
                Err(error) => {
                    take(&format!("{name}: file {}", place + 1), Err(error));
                    continue;
                }
            };
            let member_name = match member.name() {
                Ok(inner) => format!("{name}: {inner}"),
                Err(_) => format!("{name}: file {}", place + 1),
            };
            let text = self.bounded("zip", member);
            self.unpack(&member_name, text, None, depth + 1, take);
        }
        Ok(())
    }
}

/// Copies `raw` to a temporary file if it has at most `max` bytes.
fn spooled(raw: impl Read, max: u64) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    let copied = io::copy(&mut raw.take(max + 1), &mut file)?;
    if copied > max {
        let why = format!(
            "a zip file in a stream or in another container is larger than {} MiB; unpack it and \
             read its contents",
            max / 1024 / 1024
        );
        return Err(io::Error::other(why));
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

/// Returns, at its end, the error that reading the beginning ended in.
pub(super) struct StickyErrorReader<R> {
    inner: R,
    error: Option<io::Error>,
}

impl<R> StickyErrorReader<R> {
    pub(super) fn new(inner: R, error: Option<io::Error>) -> Self {
        Self { inner, error }
    }
}

impl<R: Read> Read for StickyErrorReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.error.take() {
            Some(error) => Err(error),
            None => self.inner.read(buffer),
        }
    }
}

/// Counts the bytes that are read.
struct CountingReader<'a, R> {
    inner: R,
    count: &'a Cell<u64>,
}

impl<R: Read> Read for CountingReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count.set(self.count.get() + read as u64);
        Ok(read)
    }
}

/// Fails if a small file unpacks to too much data.
struct LimitedReader<'a, R> {
    inner: R,
    what: &'static str,
    budget: &'a UnpackBudget,
}

impl<R: Read> Read for LimitedReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self
            .inner
            .read(buffer)
            .map_err(|error| match error.kind() {
                // The log reader reports a truncated gzip file itself.
                io::ErrorKind::UnexpectedEof if self.what != "gzip" => {
                    io::Error::other(format!("the {} file is truncated: {error}", self.what))
                }
                _ => error,
            })?;
        let UnpackBudget { packed, unpacked } = self.budget;
        unpacked.set(unpacked.get() + read as u64);
        if unpacked.get() > FREE_BYTES && unpacked.get() / MAX_RATIO > packed.get() {
            let why = format!(
                "it unpacks to more than {MAX_RATIO} times its size, as no log does, and is not \
                 read further"
            );
            return Err(io::Error::other(why));
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zip_file_to_copy_has_a_size_limit() {
        assert_eq!(
            spooled(&b"12345"[..], 5).unwrap().metadata().unwrap().len(),
            5
        );
        let error = spooled(io::repeat(b' '), 1024 * 1024)
            .unwrap_err()
            .to_string();
        assert!(error.contains("larger than 1 MiB"), "{error}");
    }
}
