//! How the run that shows a command was called: what the command repeats to work when it is pasted.

use std::path::Path;

use crate::output::shell::{option, pasteable, whole};

/// How a run was called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Invocation {
    /// Where its findings are kept.
    pub store: Kept,
    /// The account of its credentials, where it looks at other accounts too.
    pub account: Option<String>,
    /// `--profile`.
    pub profile: Option<String>,
    /// `--region`.
    pub region: Option<String>,
}

/// Where a run keeps and reads findings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Kept {
    /// Nowhere, or the reader is not known to have the store: no command that reads it is shown.
    #[default]
    Nowhere,
    /// In the file that is used where none is named.
    Usual,
    /// In this file; `None` for a name that is no text.
    File(Option<String>),
    /// In this DynamoDB table.
    Table(String),
    /// In the table of the deployment that sends the alert; its reader has other credentials.
    Deployed {
        /// The table's name.
        table: String,
        /// The region that it is in.
        region: Option<String>,
    },
}

/// An invocation that keeps nothing and names no AWS.
pub static NOWHERE: Invocation = Invocation {
    store: Kept::Nowhere,
    account: None,
    profile: None,
    region: None,
};

/// Which options a command of ours takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Those for a store and those for AWS, such as `check`.
    StoreAndAws,
    /// Those for a store, and those for AWS only with a table, such as `verify`.
    Store,
}

impl Kept {
    /// The file `db`, or the usual one.
    #[must_use]
    pub fn file(db: Option<&Path>) -> Self {
        match db {
            Some(path) => Self::File(path.to_str().map(str::to_owned)),
            None => Self::Usual,
        }
    }
}

impl Invocation {
    /// That of a deployment with this table, for alerts that it sends.
    #[must_use]
    pub fn deployed(table: &str, region: Option<&str>) -> Self {
        Self {
            store: Kept::Deployed {
                table: table.to_owned(),
                region: region.map(str::to_owned),
            },
            ..Self::default()
        }
    }

    /// The command `secondkey WORDS` on the same store and AWS, for `subject` (a user or an id) if
    /// there is one. `None` where nothing is kept, or where a word could not be pasted safely.
    #[must_use]
    pub fn ours(&self, words: &[&str], subject: Option<&str>, takes: Takes) -> Option<String> {
        // Subcommands come first, then the subject, then options.
        let is_subcommand = |word: &&&str| !word.starts_with('-');
        let (subcommands, options) = words.split_at(words.iter().take_while(is_subcommand).count());
        let mut line = vec!["secondkey".to_owned()];
        line.extend(subcommands.iter().map(|word| (*word).to_owned()));
        let subject = match subject {
            Some(subject) => Some(pasteable(subject)?),
            None => None,
        };
        let (first, last) = match subject {
            // It would be taken for an option.
            Some(shown) if shown.trim_start_matches('\'').starts_with('-') => (None, Some(shown)),
            shown => (shown, None),
        };
        line.extend(first);
        for word in options {
            line.push(whole(word)?);
        }
        line.extend(self.store_options()?);
        let is_table = matches!(self.store, Kept::Table(_));
        if takes == Takes::StoreAndAws || is_table {
            line.extend(self.aws_options()?);
        }
        line.extend(last.map(|shown| format!("-- {shown}")));
        Some(line.join(" "))
    }

    /// The command `aws WORDS`, which are words of a shell already, on the same AWS.
    #[must_use]
    pub fn aws(&self, words: &str) -> Option<String> {
        let mut line = vec!["aws".to_owned(), words.to_owned()];
        line.extend(self.aws_options()?);
        Some(line.join(" "))
    }

    /// Whether commands that read the store are shown.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.store != Kept::Nowhere
    }

    /// The same for a finding of `account`: with no profile where that is of another account.
    #[must_use]
    pub fn in_account(&self, account: &str) -> Self {
        let is_own = self.account.as_deref().is_none_or(|own| own == account);
        Self {
            // It is of another account, and would have a user of the same name changed there.
            profile: self.profile.clone().filter(|_| is_own),
            ..self.clone()
        }
    }

    fn store_options(&self) -> Option<Option<String>> {
        match &self.store {
            Kept::Nowhere | Kept::File(None) => None,
            Kept::Usual => Some(None),
            Kept::File(Some(path)) => Some(Some(option("--db", &whole(path)?))),
            Kept::Table(table) => Some(Some(option("--table", &whole(table)?))),
            Kept::Deployed { table, region } => {
                let mut options = option("--table", &whole(table)?);
                if let Some(region) = region {
                    options = format!("{options} {}", option("--region", &whole(region)?));
                }
                Some(Some(options))
            }
        }
    }

    fn aws_options(&self) -> Option<Vec<String>> {
        let named = [("--profile", &self.profile), ("--region", &self.region)];
        let mut options = vec![];
        for (name, value) in named {
            if let Some(value) = value {
                options.push(option(name, &whole(value)?));
            }
        }
        Some(options)
    }
}
