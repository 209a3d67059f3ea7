//! Where what a command makes goes: a file, whole or not at all, or standard output.

use std::convert::Infallible;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, bail};

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
    /// What to call it.
    pub(super) fn name(&self) -> String {
        self.0.as_ref().map_or_else(
            || "standard output".to_owned(),
            |path| path.display().to_string(),
        )
    }

    /// An error if nothing can be written there, before anything is read for it.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        if let Some(path) = &self.0 {
            let (folder, _) = place(path)?;
            let is_folder = folder.is_dir();
            anyhow::ensure!(
                is_folder,
                "there is no folder `{}`; make it, or name another file",
                folder.display()
            );
        }
        Ok(())
    }

    /// Writes `content`: into a new file beside the one that is named, which takes its place once it is whole.
    pub(super) fn write(&self, content: &[u8]) -> anyhow::Result<()> {
        let Some(path) = &self.0 else {
            let mut out = std::io::stdout().lock();
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

/// The folder that `path` is in, and the file to replace there: of a link, what it leads to.
fn place(path: &Path) -> anyhow::Result<(PathBuf, PathBuf)> {
    let shown = path.display();
    let target = match fs::metadata(path) {
        Ok(found) if found.is_dir() => {
            bail!("`{shown}` is a folder; name a file in it")
        }
        // A device or a pipe would be gone once a file took its place.
        Ok(found) if !found.is_file() => {
            bail!("`{shown}` is no ordinary file; name one, or `-` for standard output")
        }
        Ok(_) => fs::canonicalize(path).with_context(|| format!("`{shown}` cannot be found"))?,
        Err(error) if error.kind() == ErrorKind::NotFound => path.to_owned(),
        Err(error) => return Err(error).with_context(|| format!("`{shown}` cannot be written")),
    };
    anyhow::ensure!(target.file_name().is_some(), "`{shown}` names no file");
    let folder = match target.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    Ok((folder, target))
}

/// A file with the rights that any other new file would have, and not only for the one who made it.
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
