//! Where a command writes its result: to a file, atomically, or to standard output.

use std::convert::Infallible;
use std::fs::{self, File};
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anstream::{AutoStream, ColorChoice};
use anyhow::{Context, bail};
use tempfile::TempPath;

use crate::cli::streams::{stdout, verbatim_stdout};

/// A file, or `-`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Destination(Option<PathBuf>);

impl FromStr for Destination {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self((text != "-").then(|| PathBuf::from(text))))
    }
}

impl Destination {
    /// The name for messages.
    pub(super) fn name(&self) -> String {
        self.0.as_ref().map_or_else(
            || "standard output".to_owned(),
            |path| path.display().to_string(),
        )
    }

    /// Fails if the file cannot be written, so that the command learns it before it does any work.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if let Some(path) = &self.0 {
            let (folder, _) = place(path)?;
            let is_folder = folder.is_dir();
            anyhow::ensure!(
                is_folder,
                "folder `{}` does not exist; create it, or name another file",
                folder.display()
            );
        }
        Ok(())
    }

    /// Writes `content` unchanged, to a file atomically.
    pub(super) fn write(&self, content: &[u8]) -> anyhow::Result<()> {
        let Some(path) = &self.0 else {
            let mut out = verbatim_stdout();
            out.write_all(content)?;
            return Ok(out.flush()?);
        };
        let (mut file, replacement) = Replacement::of(path)?;
        file.write_all(content)
            .with_context(|| replacement.what())?;
        replacement.put(&file)
    }

    /// A stream for text with colors and of any length. A file appears once the stream is finished.
    pub(super) fn stream(&self) -> anyhow::Result<DestinationStream> {
        let Some(path) = &self.0 else {
            let out = Box::new(stdout());
            return Ok(DestinationStream {
                out: BufWriter::new(out),
                file: None,
            });
        };
        let (file, replacement) = Replacement::of(path)?;
        let written = file.try_clone().with_context(|| replacement.what())?;
        let out = Box::new(AutoStream::new(written, ColorChoice::Never));
        Ok(DestinationStream {
            out: BufWriter::new(out),
            file: Some((file, replacement)),
        })
    }
}

/// A stream to a destination. Without [`finish`](Self::finish), nothing replaces the file.
pub(super) struct DestinationStream {
    out: BufWriter<Box<dyn Write>>,
    file: Option<(File, Replacement)>,
}

impl DestinationStream {
    /// Writes the rest, and puts the file into its place.
    pub(super) fn finish(self) -> anyhow::Result<()> {
        let Self { mut out, file } = self;
        out.flush()?;
        match file {
            Some((file, replacement)) => replacement.put(&file),
            None => Ok(()),
        }
    }
}

impl Write for DestinationStream {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.out.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

/// A new file in the folder of another one, which it replaces. It is removed if it never does.
struct Replacement {
    path: TempPath,
    target: PathBuf,
    /// The name for messages.
    name: String,
}

impl Replacement {
    /// A new, empty file that will replace the one at `path`.
    fn of(path: &Path) -> anyhow::Result<(File, Self)> {
        let name = path.display().to_string();
        let (folder, target) = place(path)?;
        let new = builder().tempfile_in(&folder);
        let (file, path) = new
            .with_context(|| format!("`{name}` cannot be written"))?
            .into_parts();
        Ok((file, Self { path, target, name }))
    }

    fn what(&self) -> String {
        format!("`{}` cannot be written", self.name)
    }

    /// Renames the new `file`, which is written, over the target.
    fn put(self, file: &File) -> anyhow::Result<()> {
        let what = self.what();
        file.sync_all().with_context(|| what.clone())?;
        self.path.persist(&self.target).with_context(|| what)
    }
}

/// The folder of `path`, and the file to replace there. A symbolic link is followed.
fn place(path: &Path) -> anyhow::Result<(PathBuf, PathBuf)> {
    let shown = path.display();
    let target = match fs::metadata(path) {
        Ok(found) if found.is_dir() => {
            bail!("`{shown}` is a folder; name a file in it")
        }
        // The rename would destroy a device or a pipe.
        Ok(found) if !found.is_file() => {
            bail!("`{shown}` is not a regular file; name one, or use `-` for standard output")
        }
        Ok(_) => fs::canonicalize(path).with_context(|| format!("`{shown}` cannot be found"))?,
        Err(error) if error.kind() == ErrorKind::NotFound => path.to_owned(),
        Err(error) => return Err(error).with_context(|| format!("`{shown}` cannot be written")),
    };
    anyhow::ensure!(
        target.file_name().is_some(),
        "`{shown}` is not the name of a file"
    );
    let folder = match target.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    Ok((folder, target))
}

/// Gives the file the permissions of any new file. By default a temporary file is private to its
/// owner.
fn builder() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".secondkey-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    builder
}
