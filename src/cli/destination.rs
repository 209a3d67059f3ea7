//! Where a command writes its result: to a file, atomically, or to standard output.

use std::convert::Infallible;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anstream::{AutoStream, ColorChoice};
use anyhow::{Context, bail};

use crate::cli::streams::verbatim_stdout;

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

    /// A buffer for text with colors, which are kept only if the destination shows them.
    pub(super) fn buffer(&self) -> AutoStream<Vec<u8>> {
        let choice = match self.0 {
            Some(_) => ColorChoice::Never,
            None => AutoStream::choice(&std::io::stdout()),
        };
        AutoStream::new(vec![], choice)
    }

    /// Writes `content` to a new file in the same folder, then renames it over the target.
    pub(super) fn write(&self, content: &[u8]) -> anyhow::Result<()> {
        let Some(path) = &self.0 else {
            let mut out = verbatim_stdout();
            out.write_all(content)?;
            return Ok(out.flush()?);
        };
        let (folder, target) = place(path)?;
        let what = || format!("`{}` cannot be written", path.display());
        let mut file = builder().tempfile_in(&folder).with_context(what)?;
        file.write_all(content).with_context(what)?;
        file.as_file().sync_all().with_context(what)?;
        let written: File = file.persist(&target).with_context(what)?;
        drop(written);
        Ok(())
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
