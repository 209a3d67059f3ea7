//! A profile in the AWS CLI's file of credentials: added or replaced at one stroke, with all else left as it is.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use tempfile::NamedTempFile;

use crate::cli::rotate::secret::NewKey;

/// What a profile says of its key. A session token belongs to another key, so it goes when the key does.
const OF_A_KEY: [&str; 3] = [
    "aws_access_key_id",
    "aws_secret_access_key",
    "aws_session_token",
];

/// The file, and the profile to be written into it.
pub(super) struct CredentialsFile {
    /// Where it is.
    pub(super) path: PathBuf,
    /// The profile.
    pub(super) profile: String,
    /// Whether the profile may be there already.
    may_replace: bool,
}

/// The file that will take the old one's place, made beforehand: so it is known that it can be.
pub(super) struct Prepared {
    file: CredentialsFile,
    next: NamedTempFile,
}

impl CredentialsFile {
    /// Checks, without changing anything, that `profile` can be put into the file.
    pub(super) fn check(profile: &str, may_replace: bool) -> anyhow::Result<Self> {
        let is_plain =
            |character: char| character.is_ascii_alphanumeric() || "+=,.@_-/:".contains(character);
        ensure!(
            !profile.is_empty() && profile.chars().all(is_plain),
            "`{profile}` is no name for a profile; use letters, digits and `+=,.@_-/:`"
        );
        let path = path()?;
        let file = Self {
            // A link to the file is kept, and leads to the new one.
            path: path.canonicalize().unwrap_or(path),
            profile: profile.to_owned(),
            may_replace,
        };
        let _ = file.with_key("", "")?;
        Ok(file)
    }

    /// Makes the file that will take the old one's place, in the same folder.
    pub(super) fn prepare(self) -> anyhow::Result<Prepared> {
        let folder = match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        make_folder(folder)
            .with_context(|| format!("folder `{}` cannot be made", folder.display()))?;
        // Nobody else may read it: that is how such a file is made.
        let next = NamedTempFile::new_in(folder)
            .with_context(|| format!("folder `{}` cannot be written to", folder.display()))?;
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
        // Read again: somebody may have added a profile since.
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

/// The AWS CLI's file of credentials.
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

/// `contents` with the key `[id, secret]` in `profile`, or why not.
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
            "has a profile `{profile}` already; name another, or replace its key with --replace"
        )),
        _ => Err(format!("has several profiles `{profile}`; leave one")),
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

/// How far the options of a profile are indented, of which `lines` come next: one that is indented further than the one before
/// goes on with that one's value.
fn indentation<'a>(lines: impl Iterator<Item = &'a &'a str>) -> &'a str {
    lines
        .copied()
        .find(|line| !matches!(line.trim_start().chars().next(), None | Some('#' | ';')))
        .filter(|line| section(line).is_none())
        .and_then(|line| line.strip_suffix(line.trim_start()))
        .unwrap_or_default()
}

/// The name in a line that begins a profile.
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
    fn a_profile_is_added_at_the_end_and_all_else_kept() {
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
    fn a_profile_that_is_there_is_replaced_only_on_demand_and_only_its_key() {
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
    fn a_key_that_is_indented_or_set_with_a_colon_is_replaced_too() {
        // What is indented further than the line before goes on with it, to the AWS CLI.
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
    fn of_two_profiles_of_one_name_none_is_touched() {
        assert!(with("[new]\n[new]\n", true).is_err());
    }
}
