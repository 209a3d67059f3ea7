//! Finds log files in directories and opens them, plain or gzipped.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;
use thiserror::Error;
use walkdir::WalkDir;

/// The path that means standard input.
const STANDARD_INPUT: &str = "-";

/// The first bytes of a gzip file (RFC 1952).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// How much of a gzipped log is read at once. The unpacked text, about ten times as large, is
/// streamed.
const PACKED_BYTES: usize = 64 * 1024;

/// The directory beside CloudTrail's logs that holds their digests, which are not records.
const DIGESTS: &str = "CloudTrail-Digest";

/// One log to read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogFile {
    /// A file that was named.
    Path(PathBuf),
    /// A file in a directory that was named. It may not be a log.
    InFolder(PathBuf),
    /// Standard input.
    StandardInput,
}

/// Why no logs were found at a path.
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
            Self::Path(path) | Self::InFolder(path) => path.display().to_string(),
            Self::StandardInput => "standard input".to_owned(),
        }
    }

    /// The size on disk in bytes, or `None` for a stream.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        match self {
            Self::Path(path) | Self::InFolder(path) => {
                path.metadata().ok().map(|metadata| metadata.len())
            }
            Self::StandardInput => None,
        }
    }

    /// Whether the log can be read a second time. A pipe cannot.
    #[must_use]
    pub fn can_be_read_again(&self) -> bool {
        let path = self.path().and_then(|path| path.metadata().ok());
        path.is_some_and(|metadata| metadata.is_file())
    }

    /// Whether the file may be something other than a log.
    pub(super) fn may_be_unrelated(&self) -> bool {
        matches!(self, Self::InFolder(_))
    }

    /// The path, if the log is a file.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::Path(path) | Self::InFolder(path) => Some(path),
            Self::StandardInput => None,
        }
    }

    /// The unmodified bytes of the log.
    pub(super) fn raw(&self) -> io::Result<Box<dyn Read>> {
        Ok(match self {
            Self::Path(path) | Self::InFolder(path) => Box::new(File::open(path)?),
            Self::StandardInput => Box::new(io::stdin()),
        })
    }

    /// Opens the log. The bytes pass through `watch` before they are unpacked.
    pub fn open(
        &self,
        watch: impl FnOnce(Box<dyn Read>) -> Box<dyn Read>,
    ) -> io::Result<Box<dyn Read>> {
        unpacked(watch(self.raw()?))
    }
}

/// The text of a log: `raw` itself, or its unpacked content if it is gzipped.
pub fn unpacked<'a>(mut raw: Box<dyn Read + 'a>) -> io::Result<Box<dyn Read + 'a>> {
    // A pipe may return a single byte at first.
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

/// Finds the logs that `paths` name, without duplicates: files, directories with all files in them,
/// and `-` for standard input. Also returns how many files in directories were skipped, such as
/// CloudTrail's digests.
pub fn find_logs(paths: &[PathBuf]) -> Result<(Vec<LogFile>, usize), PathError> {
    // The value says whether the file itself was named.
    let mut files: BTreeMap<PathBuf, bool> = BTreeMap::new();
    let mut has_input = false;
    let mut passed_over = 0;
    for path in paths {
        if path == Path::new(STANDARD_INPUT) {
            has_input = true;
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
                if may_be_log(entry.path()) {
                    files.entry(entry.into_path()).or_default();
                } else {
                    passed_over += 1;
                }
            }
        } else {
            path.metadata().map_err(|error| PathError {
                path: path.clone(),
                why: error.to_string(),
            })?;
            files.insert(path.clone(), true);
        }
    }
    let files = files.into_iter().map(|(path, is_named)| {
        if is_named {
            LogFile::Path(path)
        } else {
            LogFile::InFolder(path)
        }
    });
    let input = has_input.then_some(LogFile::StandardInput);
    Ok((files.chain(input).collect(), passed_over))
}

/// Whether a file in a directory may be a log. The content decides, since Firehose writes files
/// without extensions.
fn may_be_log(path: &Path) -> bool {
    !path.components().any(|part| part.as_os_str() == DIGESTS)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    #[test]
    fn gzip_is_recognized_if_its_first_byte_arrives_alone() {
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
