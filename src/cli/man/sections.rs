//! The sections of a manual page that clap has no words for: they come from the end of a command's
//! help and from the options that it takes.

use clap::Command;
use clap_mangen::roff::{Roff, bold, roman};

/// The exit codes of all commands. Another number in the help is not a code.
const EXIT_CODES: [&str; 5] = ["0", "1", "2", "10", "130"];

/// A name and its meaning, for the commands that have the option before them.
type Row = (&'static str, &'static str, &'static str);

const ENVIRONMENT: [Row; 7] = [
    (
        "profile",
        "AWS_PROFILE, AWS_REGION",
        "The profile and the region, unless an option names them.",
    ),
    (
        "profile",
        "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN",
        "Credentials. --profile overrides them.",
    ),
    (
        "profile",
        "AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE",
        "The files of the AWS CLI, instead of those under FILES.",
    ),
    (
        "output",
        "AWS_REGION, AWS_DEFAULT_REGION",
        "The region of the Security Hub for --format asff, unless a profile or an option names it.",
    ),
    (
        "db",
        "SECONDKEY_DB",
        "The local file with the findings, unless --db names one.",
    ),
    (
        "db",
        "XDG_DATA_HOME",
        "The folder of the file under FILES, on Linux.",
    ),
    (
        "color",
        "NO_COLOR, CLICOLOR_FORCE",
        "Turn colors off, or on.",
    ),
];

const FILES: [Row; 2] = [
    (
        "db",
        "~/.local/share/secondkey/findings.db",
        "The findings and their audit trail, in SQLite. On macOS the folder is ~/Library/Application \
         Support/secondkey, on Windows %LOCALAPPDATA%\\secondkey. --db names another file.",
    ),
    (
        "profile",
        "~/.aws/config, ~/.aws/credentials",
        "Profiles and credentials, as for the AWS CLI.",
    ),
];

/// What follows the options of `command`.
pub(super) fn sections(command: &Command) -> Roff {
    let mut roff = Roff::new();
    let help = command.get_after_help().map(ToString::to_string);
    let (mut examples, mut notes, mut exit_codes) = (vec![], vec![], None);
    for paragraph in help.unwrap_or_default().split("\n\n") {
        match paragraph.split_once(':') {
            Some((_, lines)) if paragraph.starts_with("Examples") => {
                examples.extend(lines.lines().skip(1).map(str::to_owned));
            }
            Some(("Exit codes", codes)) => exit_codes = Some(codes.to_owned()),
            _ => notes.push(paragraph.to_owned()),
        }
    }
    if let Some(codes) = exit_codes {
        roff.control("SH", ["EXIT STATUS"]);
        for (code, meaning) in meanings(&codes) {
            row(&mut roff, &code, &meaning);
        }
    }
    table(&mut roff, "ENVIRONMENT", &ENVIRONMENT, command);
    table(&mut roff, "FILES", &FILES, command);
    if notes.iter().any(|note| !note.is_empty()) {
        roff.control("SH", ["NOTES"]);
        for note in notes {
            roff.control("PP", []);
            roff.text([roman(note)]);
        }
    }
    if !examples.is_empty() {
        roff.control("SH", ["EXAMPLES"]);
        // No fill: a command stays on its line.
        roff.control("nf", []);
        for line in examples {
            roff.text([roman(line)]);
        }
        roff.control("fi", []);
    }
    roff
}

/// The rows whose option `command` takes, or one of its subcommands does.
fn table(roff: &mut Roff, heading: &str, rows: &[Row], command: &Command) {
    let mut rows = rows
        .iter()
        .filter(|(option, _, _)| takes(command, option))
        .peekable();
    if rows.peek().is_some() {
        roff.control("SH", [heading]);
        for (_, name, meaning) in rows {
            row(roff, name, meaning);
        }
    }
}

fn row(roff: &mut Roff, name: &str, meaning: &str) {
    roff.control("TP", []);
    roff.text([bold(name)]);
    roff.text([roman(meaning)]);
}

fn takes(command: &Command, option: &str) -> bool {
    let own = command.get_arguments().any(|it| it.get_id() == option);
    own || command.get_subcommands().any(|it| takes(it, option))
}

/// The exit codes in a sentence such as `0 success, 1 failure, 2 usage error.`, each with its
/// meaning.
fn meanings(sentence: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = vec![];
    // A code stands at the beginning or after the end of a meaning.
    let mut may_begin = true;
    for word in sentence.split_whitespace() {
        match found.last_mut() {
            _ if may_begin && EXIT_CODES.contains(&word) => {
                found.push((word.to_owned(), String::new()));
            }
            Some((_, meaning)) => {
                if !meaning.is_empty() {
                    meaning.push(' ');
                }
                meaning.push_str(word);
            }
            None => {}
        }
        may_begin = word.ends_with([',', ';']);
    }
    for (_, meaning) in &mut found {
        let end = meaning.trim_end_matches([',', ';', '.']).len();
        meaning.truncate(end);
    }
    found
}
