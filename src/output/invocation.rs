//! How the command that shows another command was invoked. The shown command repeats the same
//! options so that it works when pasted.

use std::path::Path;

use crate::output::shell::{option, pasteable, whole};

/// How a command was invoked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Invocation {
    /// Where its findings are stored.
    pub store: StoreLocation,
    /// The account of its credentials, if it also reads other accounts.
    pub account: Option<String>,
    /// `--profile`.
    pub profile: Option<String>,
    /// `--region`.
    pub region: Option<String>,
    /// Where the command learns which keys a user has.
    pub keys_from: KeysFrom,
}

/// Where a command learns which keys a user has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KeysFrom {
    /// From IAM.
    #[default]
    Listings,
    /// From changes in logs. Nothing was listed.
    Logs,
}

/// Where a command stores and reads findings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum StoreLocation {
    /// Nowhere, or the reader may not have the store. Commands that read it are not shown.
    #[default]
    Nowhere,
    /// In the default file.
    Usual,
    /// In this file; `None` if its name is not valid UTF-8.
    File(Option<String>),
    /// In this DynamoDB table.
    Table(String),
    /// In the table of the deployment that sends the alert. The reader has other credentials.
    Deployed {
        /// The table's name.
        table: String,
        /// The table's Region.
        region: Option<String>,
    },
}

/// An invocation that stores nothing and has no options for AWS.
pub static NOWHERE: Invocation = Invocation {
    store: StoreLocation::Nowhere,
    account: None,
    profile: None,
    region: None,
    keys_from: KeysFrom::Listings,
};

/// Which options a `secondkey` command accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcceptedOptions {
    /// Options for a store and for AWS, such as `check`.
    StoreAndAws,
    /// Options for a store, and for AWS only with a table, such as `verify`.
    Store,
}

impl StoreLocation {
    /// The file `db`, or the default one.
    #[must_use]
    pub fn file(db: Option<&Path>) -> Self {
        match db {
            Some(path) => Self::File(path.to_str().map(str::to_owned)),
            None => Self::Usual,
        }
    }
}

impl Invocation {
    /// The invocation of a deployment with this table, for the alerts that it sends.
    #[must_use]
    pub fn deployed(table: &str, region: Option<&str>) -> Self {
        Self {
            store: StoreLocation::Deployed {
                table: table.to_owned(),
                region: region.map(str::to_owned),
            },
            ..Self::default()
        }
    }

    /// The command `secondkey WORDS` on the same store and AWS, for `subject` (a user or an ID) if
    /// there is one. `None` without a store, or if a word is not safe to paste.
    #[must_use]
    pub fn secondkey_command(
        &self,
        words: &[&str],
        subject: Option<&str>,
        takes: AcceptedOptions,
    ) -> Option<String> {
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
            // It would be read as an option.
            Some(shown) if shown.trim_start_matches('\'').starts_with('-') => (None, Some(shown)),
            shown => (shown, None),
        };
        line.extend(first);
        for word in options {
            line.push(whole(word)?);
        }
        line.extend(self.store_options()?);
        let is_table = matches!(self.store, StoreLocation::Table(_));
        if takes == AcceptedOptions::StoreAndAws || is_table {
            line.extend(self.aws_options()?);
        }
        line.extend(last.map(|shown| format!("-- {shown}")));
        Some(line.join(" "))
    }

    /// The command `aws WORDS` on the same AWS. `words` are already quoted for a shell.
    #[must_use]
    pub fn aws(&self, words: &str) -> Option<String> {
        let mut line = vec!["aws".to_owned(), words.to_owned()];
        line.extend(self.aws_options()?);
        Some(line.join(" "))
    }

    /// `text` with the options for AWS added to each command of the AWS or SAM CLI in it. Quoted
    /// text is not ours and stays as it is.
    #[must_use]
    pub fn on_same_aws(&self, text: &str) -> String {
        let options = match self.aws_options() {
            Some(options) if !options.is_empty() => options.join(" "),
            _ => return text.to_owned(),
        };
        let mut shown = String::with_capacity(text.len());
        let (mut is_quoted, mut left) = (false, None);
        for word in text.split_inclusive(' ') {
            if !is_quoted {
                // `aws SERVICE OPERATION`, and `sam COMMAND`.
                left = match (word.trim_end(), left) {
                    ("aws", _) => Some(2),
                    ("sam", _) => Some(1),
                    (_, Some(left)) => Some(left - 1),
                    (_, None) => None,
                };
            }
            is_quoted = is_quoted_after(word, is_quoted);
            if left != Some(0) {
                shown.push_str(word);
                continue;
            }
            left = None;
            // The operation may be the last word of the command.
            let operation = word.trim_end();
            let end = operation.trim_end_matches([';', ',']).len();
            let (operation, rest) = word.split_at(end);
            for part in [operation, " ", &options, rest] {
                shown.push_str(part);
            }
        }
        shown
    }

    /// Whether commands that read the store are shown.
    #[must_use]
    pub fn has_store(&self) -> bool {
        self.store != StoreLocation::Nowhere
    }

    /// The same for a finding in `account`: without the profile if that is for another account.
    #[must_use]
    pub fn in_account(&self, account: &str) -> Self {
        let is_own = self.account.as_deref().is_none_or(|own| own == account);
        Self {
            // The profile would change a user of the same name in its own account.
            profile: self.profile.clone().filter(|_| is_own),
            ..self.clone()
        }
    }

    /// The options that name the store; `None` if they cannot.
    fn store_options(&self) -> Option<Vec<String>> {
        match &self.store {
            StoreLocation::Nowhere | StoreLocation::File(None) => None,
            StoreLocation::Usual => Some(vec![]),
            StoreLocation::File(Some(path)) => Some(vec![option("--db", &whole(path)?)]),
            StoreLocation::Table(table) => Some(vec![option("--table", &whole(table)?)]),
            StoreLocation::Deployed { table, region } => {
                let mut options = vec![option("--table", &whole(table)?)];
                if let Some(region) = region {
                    options.push(option("--region", &whole(region)?));
                }
                Some(options)
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

/// Whether a shell is within single quotes after `word`. `is_quoted` says whether it was before.
fn is_quoted_after(word: &str, mut is_quoted: bool) -> bool {
    let mut before = ' ';
    for character in word.chars() {
        if character == '\'' {
            // An apostrophe in our own words is not a quote.
            let opens = !before.is_alphanumeric() && before != '\\';
            is_quoted = !is_quoted && opens;
        }
        before = character;
    }
    is_quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aws_options_are_added_to_every_command_in_a_text() {
        let invocation = Invocation {
            profile: Some("my profile".to_owned()),
            region: Some("eu-west-1".to_owned()),
            ..Invocation::default()
        };
        let on = "--profile 'my profile' --region eu-west-1";
        for (text, expected) in [
            (
                "see why: aws logs tail 'aws iam x' --since 1h",
                format!("see why: aws logs tail {on} 'aws iam x' --since 1h"),
            ),
            (
                "aws iam delete-user --user-name a && aws iam list-users",
                format!("aws iam delete-user {on} --user-name a && aws iam list-users {on}"),
            ),
            (
                "sam build && sam deploy --guided; then look",
                format!("sam build {on} && sam deploy {on} --guided; then look"),
            ),
            (
                "first: aws iam list-users; then look",
                format!("first: aws iam list-users {on}; then look"),
            ),
            (
                "see the function's log: aws sqs purge-queue --queue-url 'it'\\''s aws iam x'",
                format!(
                    "see the function's log: aws sqs purge-queue {on} --queue-url 'it'\\''s aws iam x'"
                ),
            ),
            ("no AWS command", "no AWS command".to_owned()),
        ] {
            assert_eq!(invocation.on_same_aws(text), expected);
        }
        assert_eq!(
            NOWHERE.on_same_aws("aws iam list-users"),
            "aws iam list-users"
        );
    }

    #[test]
    fn store_names_that_cannot_be_shown_get_no_command() {
        let of = |store| Invocation {
            store,
            ..Invocation::default()
        };
        let ours = |store| {
            of(store).secondkey_command(&["verify"], Some("1/alice"), AcceptedOptions::Store)
        };
        assert_eq!(ours(StoreLocation::Nowhere), None);
        assert_eq!(ours(StoreLocation::File(None)), None);
        assert_eq!(ours(StoreLocation::File(Some("a\nb".to_owned()))), None);
        let expected = "secondkey verify 1/alice --db=-x";
        assert_eq!(
            ours(StoreLocation::File(Some("-x".to_owned()))).as_deref(),
            Some(expected)
        );
        let usual = of(StoreLocation::Usual).secondkey_command(
            &["check", "--format", "json"],
            Some("-a"),
            AcceptedOptions::Store,
        );
        assert_eq!(
            usual.as_deref(),
            Some("secondkey check --format json -- -a")
        );
    }
}
