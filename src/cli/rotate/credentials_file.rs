//! Adds or replaces a profile in the AWS CLI's credentials file. The file is replaced atomically, and
//! everything else in it stays unchanged.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use tempfile::NamedTempFile;

use crate::cli::rotate::secret::NewKey;

/// The options that belong to a key. A session token belongs to the old key, so it is removed with it.
const OF_A_KEY: [&str; 3] = [
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
];

/// The file, and the profile to write.
pub(super) struct CredentialsFile {
    /// The path.
    pub(super) path: PathBuf,
    /// The profile.
    pub(super) profile: String,
    /// Whether the profile may already exist.
    may_replace: bool,
}

/// The new file, created before the key, so that the key is only created if the file can be written.
pub(super) struct Prepared {
    file: CredentialsFile,
    next: NamedTempFile,
}

impl CredentialsFile {
    /// Checks that `profile` can be added to the file. Changes nothing.
    pub(super) fn check(profile: &str, may_replace: bool) -> anyhow::Result<Self> {
        let is_plain =
            |character: char| character.is_ascii_alphanumeric() || "+=,.@_-/:".contains(character);
        ensure!(
            !profile.is_empty() && profile.chars().all(is_plain),
            "`{profile}` is not a valid profile name; use letters, digits and `+=,.@_-/:`"
        );
        let path = path()?;
        let file = Self {
            // If the path is a symbolic link, replace its target and keep the link.
            path: path.canonicalize().unwrap_or(path),
            profile: profile.to_owned(),
            may_replace,
        };
        let _ = file.with_key("", "")?;
        Ok(file)
    }

    /// Creates the new file in the same folder.
    pub(super) fn prepare(self) -> anyhow::Result<Prepared> {
        let folder = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        make_folder(folder)
            .with_context(|| format!("folder `{}` cannot be created", folder.display()))?;
        // A temporary file is readable only by its owner.
        let next = NamedTempFile::new_in(folder)
            .with_context(|| format!("folder `{}` cannot be written", folder.display()))?;
        Ok(Prepared { file: self, next })
    }

    /// The contents of the file with the key in its profile.
    fn with_key(&self, id: &str, secret: &str) -> anyhow::Result<String> {
        let contents = match std::fs::read(&self.path) {
            Ok(bytes) => String::from_utf8(bytes)
                .ok()
                .with_context(|| format!("file `{}` is not UTF-8", self.path.display()))?,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("file `{}` cannot be read", self.path.display()));
            }
        };
        with_profile(&contents, &self.profile, [id, secret], self.may_replace)
            .map_err(|why| anyhow::anyhow!("file `{}` {why}", self.path.display()))
    }
}

impl Prepared {
    /// The file and the profile.
    pub(super) fn file(&self) -> &CredentialsFile {
        &self.file
    }

    /// Writes the key into the profile.
    pub(super) fn write(mut self, key: &NewKey) -> anyhow::Result<()> {
        // Read the file again, because another program may have changed it.
        let contents = self.file.with_key(&key.id, key.secret.reveal())?;
        let path = self.file.path;
        let unwritten = || format!("file `{}` could not be written", path.display());
        self.next
            .write_all(contents.as_bytes())
            .and_then(|()| self.next.as_file().sync_all())
            .with_context(unwritten)?;
        match self.next.persist(&path) {
            Ok(_) => Ok(()),
            Err(error) => bail!("{}: {}", unwritten(), error.error),
        }
    }
}

/// The path of the AWS CLI's credentials file.
fn path() -> anyhow::Result<PathBuf> {
    let home =
        || dirs::home_dir().context("there is no home folder; set AWS_SHARED_CREDENTIALS_FILE");
    match std::env::var_os("AWS_SHARED_CREDENTIALS_FILE").filter(|path| !path.is_empty()) {
        Some(path) => match Path::new(&path).strip_prefix("~") {
            Ok(rest) => Ok(home()?.join(rest)),
            Err(_) => Ok(path.into()),
        },
        None => Ok(home()?.join(".aws").join("credentials")),
    }
}

fn make_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// `contents` with the key `[id, secret]` in `profile`, or the reason why it cannot be added.
fn with_profile(
    contents: &str,
    profile: &str,
    [id, secret]: [&str; 2],
    may_replace: bool,
) -> Result<String, String> {
    let lines: Vec<&str> = contents.split_inclusive('\n').collect();
    let headers = lines
        .iter()
        .filter(|line| section(line) == Some(profile))
        .count();
    let key = |indent: &str, end: &str| {
        format!(
            "{indent}aws_access_key_id = {id}{end}{indent}aws_secret_access_key = {secret}{end}"
        )
    };
    match headers {
        0 => {
            let gap = match contents {
                "" => "",
                text if text.ends_with('\n') => "\n",
                _ => "\n\n",
            };
            Ok(format!("{contents}{gap}[{profile}]\n{}", key("", "\n")))
        }
        1 if may_replace => Ok(replaced(&lines, profile, key)),
        1 => Err(format!(
            "already has a profile `{profile}`; choose another, or use --replace to replace its key"
        )),
        _ => Err(format!(
            "has several profiles `{profile}`; remove all but one"
        )),
    }
}

fn replaced(lines: &[&str], profile: &str, key: impl Fn(&str, &str) -> String) -> String {
    let mut is_inside = false;
    let mut indent = "";
    let mut all = String::new();
    for (place, line) in lines.iter().enumerate() {
        if let Some(name) = section(line) {
            is_inside = name == profile;
            all.push_str(line);
            if is_inside {
                if !line.ends_with('\n') {
                    all.push('\n');
                }
                indent = indentation(lines.iter().skip(place + 1));
                let end = if line.ends_with("\r\n") { "\r\n" } else { "\n" };
                all.push_str(&key(indent, end));
            }
            continue;
        }
        let option = line.strip_prefix(indent).unwrap_or(line);
        let name = option.split(['=', ':']).next().unwrap_or_default();
        let is_of_key = OF_A_KEY
            .iter()
            .any(|known| name.trim_end().eq_ignore_ascii_case(known));
        if !(is_inside && is_of_key) {
            all.push_str(line);
        }
    }
    all
}

/// The indentation of a profile's options, which are the next of `lines`. A line that is indented more
/// than the one before continues its value.
fn indentation<'a>(lines: impl Iterator<Item = &'a &'a str>) -> &'a str {
    lines
        .copied()
        .find(|line| !matches!(line.trim_start().chars().next(), None | Some('#' | ';')))
        .filter(|line| section(line).is_none())
        .and_then(|line| line.strip_suffix(line.trim_start()))
        .unwrap_or_default()
}

/// The profile's name, if `line` is the header of a profile.
fn section(line: &str) -> Option<&str> {
    let (name, _) = line.trim_start().strip_prefix('[')?.split_once(']')?;
    Some(name.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(contents: &str, may_replace: bool) -> Result<String, String> {
        with_profile(contents, "new", ["ID", "SECRET"], may_replace)
    }

    const NEW: &str = "[new]\naws_access_key_id = ID\naws_secret_access_key = SECRET\n";

    #[test]
    fn a_new_profile_is_added_at_the_end() {
        assert_eq!(with("", false).unwrap(), NEW);
        for (before, gap) in [
            ("[a]\nx = 1\n", "\n"),
            ("[a]\nx = 1", "\n\n"),
            ("# é\r\n", "\n"),
        ] {
            assert_eq!(with(before, false).unwrap(), format!("{before}{gap}{NEW}"));
            assert_eq!(with(before, true), with(before, false));
        }
    }

    #[test]
    fn an_existing_key_is_replaced_only_on_demand() {
        let before = "[a]\naws_access_key_id = A\n[ new ]\n# mine\nAWS_ACCESS_KEY_ID=OLD\naws_secret_access_key = OLDSECRET\n\
            region = x\naws_session_token = T\n[b]\naws_secret_access_key = B";
        assert!(with(before, false).unwrap_err().contains("--replace"));
        assert_eq!(
            with(before, true).unwrap(),
            "[a]\naws_access_key_id = A\n[ new ]\naws_access_key_id = ID\naws_secret_access_key = SECRET\n# mine\n\
             region = x\n[b]\naws_secret_access_key = B"
        );
        assert_eq!(
            with("[new]\r\nregion = x\r\n", true).unwrap(),
            "[new]\r\naws_access_key_id = ID\r\naws_secret_access_key = SECRET\r\nregion = x\r\n"
        );
        assert_eq!(with("[new]", true).unwrap(), NEW);
    }

    #[test]
    fn an_indented_key_or_one_with_a_colon_is_replaced() {
        // For the AWS CLI, a line that is indented more than the one before continues it.
        assert_eq!(
            with(
                "[new]\n# mine\n  aws_access_key_id = OLD\n  aws_secret_access_key: OLDSECRET\n  region = x\n[b]\n  x = 1\n",
                true
            )
            .unwrap(),
            "[new]\n  aws_access_key_id = ID\n  aws_secret_access_key = SECRET\n# mine\n  region = x\n[b]\n  x = 1\n"
        );
    }

    #[test]
    fn a_duplicate_profile_is_an_error() {
        assert!(with("[new]\n[new]\n", true).is_err());
    }
}
