//! Log files: found in folders, opened plain or gzipped.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use thiserror::Error;
use walkdir::WalkDir;

/// The name that stands for standard input.
const STANDARD_INPUT: &str = "-";

/// What gzip begins with (RFC 1952).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// How much of a gzipped log is read at once. Its text, some ten times as much, is taken as it is unpacked.
const PACKED_BYTES: usize = 64 * 1024;

/// The endings of the files that are read in a folder.
const ENDINGS: [&str; 5] = ["json", "jsonl", "ndjson", "log", "gz"];

/// The folder beside CloudTrail's logs that holds their digests, which are no records.
const DIGESTS: &str = "CloudTrail-Digest";

/// One log to read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogFile {
    /// A file.
    Path(PathBuf),
    /// Standard input.
    StandardInput,
}

/// Why a path gives no logs.
#[derive(Debug, Error)]
#[error("cannot read `{}`: {why}", path.display())]
pub struct PathError {
    path: PathBuf,
    why: String,
}

impl LogFile {
    /// The name to show.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Path(path) => path.display().to_string(),
            Self::StandardInput => "standard input".to_owned(),
        }
    }

    /// The size in bytes as it lies on disk; none of a stream.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        match self {
            Self::Path(path) => path.metadata().ok().map(|metadata| metadata.len()),
            Self::StandardInput => None,
        }
    }

    /// Opens the log; what it reads passes through `watch` before it is unpacked.
    pub fn open(
        &self,
        watch: impl FnOnce(Box<dyn Read>) -> Box<dyn Read>,
    ) -> io::Result<Box<dyn Read>> {
        let raw: Box<dyn Read> = match self {
            Self::Path(path) => Box::new(File::open(path)?),
            Self::StandardInput => Box::new(io::stdin()),
        };
        unpacked(watch(raw))
    }
}

/// The text of a log: `raw` as it is, or unpacked where it is gzipped.
pub fn unpacked<'a>(mut raw: Box<dyn Read + 'a>) -> io::Result<Box<dyn Read + 'a>> {
    // A pipe may give one byte at first.
    let mut beginning = Vec::new();
    let magic_length = GZIP_MAGIC.len() as u64;
    raw.by_ref()
        .take(magic_length)
        .read_to_end(&mut beginning)?;
    let is_gzipped = beginning == GZIP_MAGIC;
    let raw = Cursor::new(beginning).chain(raw);
    Ok(if is_gzipped {
        let packed = BufReader::with_capacity(PACKED_BYTES, raw);
        Box::new(MultiGzDecoder::new(packed))
    } else {
        Box::new(raw)
    })
}

/// The logs that `paths` name, each once: files as they are, folders with everything in them that looks like a log, `-`
/// for standard input; and how many files in folders were passed over.
pub fn find_logs(paths: &[PathBuf]) -> Result<(Vec<LogFile>, usize), PathError> {
    let mut logs = std::collections::BTreeSet::new();
    let mut passed_over = 0;
    for path in paths {
        if path == Path::new(STANDARD_INPUT) {
            logs.insert(LogFile::StandardInput);
        } else if path.is_dir() {
            for entry in WalkDir::new(path).sort_by_file_name() {
                let entry = entry.map_err(|error| PathError {
                    path: error.path().unwrap_or(path).to_owned(),
                    why: error
                        .io_error()
                        .map_or_else(|| error.to_string(), ToString::to_string),
                })?;
                if entry.file_type().is_dir() {
                    continue;
                }
                if looks_like_log(entry.path()) {
                    logs.insert(LogFile::Path(entry.into_path()));
                } else {
                    passed_over += 1;
                }
            }
        } else {
            path.metadata().map_err(|error| PathError {
                path: path.clone(),
                why: error.to_string(),
            })?;
            logs.insert(LogFile::Path(path.clone()));
        }
    }
    Ok((logs.into_iter().collect(), passed_over))
}

fn looks_like_log(path: &Path) -> bool {
    let is_log = path.extension().is_some_and(|ending| {
        ENDINGS
            .iter()
            .any(|known| ending.eq_ignore_ascii_case(known))
    });
    is_log && !path.components().any(|part| part.as_os_str() == DIGESTS)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    #[test]
    fn a_gzipped_log_is_known_even_if_its_first_byte_comes_alone() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(b"[]").unwrap();
        let packed = gzip.finish().unwrap();
        let (first, rest) = packed.split_at(1);
        for (raw, text) in [
            (first.chain(rest), "[]"),
            (b"[".chain(&b"{}]"[..]), "[{}]"),
            (b"[".chain(&b""[..]), "["),
        ] {
            let mut read = String::new();
            unpacked(Box::new(raw))
                .unwrap()
                .read_to_string(&mut read)
                .unwrap();
            assert_eq!(read, text);
        }
    }
}
