//! The output of the command line.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use secondkey::detect::events::text::bounded;
use serde_json::{Value, json};

use super::{Outputs, cut, record, story, used};

/// The user with an ordinary name; everything else about it is hostile.
const USER: &str = "mid";

/// The width at which the commands run, in columns: too narrow for any table.
pub(super) const WIDTH: &str = "40";

/// The largest stored row, in bytes. JSON makes six bytes of a control character, so this is more
/// than an item of DynamoDB may have. The tests with a table show that the table accepts it.
const MAX_ROW_CHARS: i64 = 1_000_000;

/// The output of each command for logs that contain one text.
pub(super) struct Said(Vec<(&'static str, String, String)>);

impl Said {
    /// Runs every command.
    pub(super) fn of(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let name = write_logs(at, text);

        // An argument contains no NUL and at most 128 KiB.
        let argument = bounded(&cut(text)).replace('\0', "_");
        let named = argument.as_str();
        let mut said = vec![];
        let mut run = |output: &'static str, exit: i32, args: &[&str]| {
            let (code, stdout, stderr) = secondkey(at, args);
            assert_eq!(code, exit, "{output}: {args:.200?}: {stderr:.2000}");
            said.push((output, stdout, stderr));
        };
        fs::write(at.join("plan.json"), plan(text)).unwrap();
        for (output, exit, command) in [
            ("replay", 10, "replay logs --db db"),
            ("replay json", 10, "replay logs --quiet --format json"),
            ("replay jsonl", 10, "replay logs --quiet --format jsonl"),
            ("findings", 0, "findings --db db --all"),
            ("findings brief", 0, "findings --db db --all --format lines"),
            ("findings json", 0, "findings --db db --all --format json"),
            ("findings jsonl", 0, "findings --db db --all --format jsonl"),
            ("history", 0, "history USER --db db"),
            ("history json", 0, "history USER --db db --format json"),
            ("history jsonl", 0, "history USER --db db --format jsonl"),
            ("verify", 0, "verify --db db"),
            ("report", 0, "report --db db --html -"),
            ("gate", 10, "gate plan.json"),
            ("gate json", 10, "gate plan.json --format json"),
            ("usage", 0, "usage USER logs --since 2024-01-01"),
            (
                "usage json",
                0,
                "usage USER logs --since 2024-01-01 --format json",
            ),
            ("usage csv", 0, "usage USER logs --format csv"),
            (
                "usage touched csv",
                0,
                "usage USER logs --since 2024-01-01 --format csv",
            ),
        ] {
            let words = command
                .split(' ')
                .map(|word| if word == "USER" { USER } else { word });
            run(output, exit, &words.collect::<Vec<_>>());
        }
        let known = i32::from(text.contains('\0'));
        run(
            "history of a name",
            known,
            &["history", "--db", "db", "--", named],
        );
        run(
            "verify of a name",
            known,
            &["verify", "--db", "db", "--", named],
        );
        let nobody = format!("nobody{named}");
        run(
            "error: no such user",
            1,
            &["history", &nobody, "--db", "db"],
        );
        run("error: no such user", 1, &["verify", &nobody, "--db", "db"]);
        let missing = format!("missing{named}");
        run("error: no such file", 1, &["replay", &missing]);
        run(
            "error: no such database",
            1,
            &["findings", "--db", &missing],
        );
        run("error: no such plan", 1, &["gate", "--", &missing]);
        fs::write(at.join(format!("text{name}")), "no database").unwrap();
        run(
            "error: no database",
            1,
            &["verify", "--db", &format!("text{name}")],
        );
        for (output, args) in [
            ("error: no hash", &["verify", "--db", "db", "--head=x"][..]),
            ("error: no format", &["replay", "logs", "--format=x"]),
            (
                "error: no hours",
                &["replay", "logs", "--rotation-window-hours=x"],
            ),
            ("error: no option", &["replay", "logs", "--x"]),
            ("error: no command", &["x"]),
            (
                "error: an argument too many",
                &["findings", "--db", "db", "x"],
            ),
        ] {
            // The last argument is followed by the text.
            let (last, first) = args.split_last().unwrap();
            let last = format!("{last}{named}");
            run(output, 2, &[first, &[last.as_str()]].concat());
        }
        check_rows(&at.join("db"));
        Self(said)
    }
}

/// Writes logs with `text` in every field and in their names, some of them malformed. Returns the
/// part of the names.
fn write_logs(at: &Path, text: &str) -> String {
    fs::create_dir(at.join("logs")).unwrap();
    // A valid file name.
    let name: String = text.replace(['/', '\0'], "_").chars().take(50).collect();
    let malformed =
        [("eventTime", json!(cut(text))), ("eventName", json!(""))].map(|(field, value)| {
            let mut record = record("CreateAccessKey", "odd", 9, 50, text);
            record[field] = value;
            record
        });
    let mut odd_status = record("CreateAccessKey", "odd", 9, 50, text);
    odd_status["responseElements"]["accessKey"]["status"] = json!(cut(text));
    let records: Vec<Value> = story(text, text, 0)
        .into_iter()
        .chain(story(USER, text, 10))
        .chain(malformed)
        .chain([odd_status])
        .chain([(1, 20), (1, 40), (2, 30)].map(|(key, second)| used(USER, key, second, text)))
        .collect();
    fs::write(
        at.join(format!("logs/a{name}.json")),
        json!({"Records": records}).to_string(),
    )
    .unwrap();
    fs::write(
        at.join("logs/z.log"),
        format!("nonsense {}", text.replace('\n', "\r")),
    )
    .unwrap();
    name
}

/// A Terraform plan that leaves a user with two keys, with `text` as the user's name and in the
/// keys' addresses.
fn plan(text: &str) -> String {
    let keys: Vec<Value> = ["one", "two"]
        .map(|name| {
            json!({
                "address": format!("aws_iam_access_key.{name}[\"{}\"]", cut(text)), "mode": "managed",
                "type": "aws_iam_access_key", "name": name,
                "change": {"actions": ["create"], "before": null, "after": {"user": format!("x{}", cut(text))},
                    "after_unknown": {}},
            })
        })
        .to_vec();
    let plan = json!({"format_version": "1.2", "planned_values": {}, "configuration": {}, "resource_changes": keys});
    plan.to_string()
}

/// Compares the output for `text` with the output for harmless text.
pub(super) fn check(outputs: &mut Outputs, text: &str, harmless: &Said) {
    let said = Said::of(text);
    for ((name, stdout, stderr), (_, harmless_out, harmless_err)) in said.0.iter().zip(&harmless.0)
    {
        let errors = format!("{name}, stderr");
        match *name {
            "replay" | "findings" | "findings brief" => {
                outputs.check(name, stdout);
                check_findings(stdout, harmless_out);
                outputs.check_lines(&errors, stderr, harmless_err);
            }
            "usage" => {
                let around = |text: &str| around_tables(text).join("\n");
                outputs.check(name, stdout);
                outputs.check_lines(name, &around(stdout), &around(harmless_out));
                outputs.check_lines(&errors, stderr, harmless_err);
            }
            "usage csv" | "usage touched csv" => {
                outputs.check(name, stdout);
                let rows = |text: &str| text.lines().count();
                assert_eq!(rows(stdout), rows(harmless_out), "{stdout:.5000}");
                outputs.check_lines(&errors, stderr, harmless_err);
            }
            "history" | "gate" => outputs.check_lines(name, stdout, harmless_out),
            "history of a name" if !text.contains('\0') => {
                outputs.check_lines(name, stdout, harmless_out);
            }
            "verify" | "verify of a name" => {
                outputs.check(name, stdout);
                for line in stdout.lines() {
                    let is_expected = line.starts_with("intact  ") && line.ends_with(": 5 entries")
                        || line.ends_with(" entries, 0 broken or unreadable");
                    assert!(is_expected && line.chars().count() < 400, "{line}");
                }
            }
            "report" => {
                outputs.check(name, stdout);
                let lines = |page: &str| page.lines().count();
                assert_eq!(lines(stdout), lines(harmless_out), "{stdout:.5000}");
                assert_eq!(tags(stdout), tags(harmless_out), "{stdout:.5000}");
                outputs.check(&errors, stderr);
                assert_eq!(stderr.lines().count(), 2, "{stderr}");
            }
            name if name.ends_with("json") => {
                outputs.check(name, stdout);
                assert!(serde_json::from_str::<Value>(stdout).is_ok(), "{stdout}");
            }
            name if name.ends_with("jsonl") => {
                outputs.check(name, stdout);
                let is_json = |line: &str| serde_json::from_str::<Value>(line).is_ok();
                assert!(stdout.lines().all(is_json), "{stdout}");
            }
            _ => {
                assert!(name.starts_with("error: ") || text.contains('\0'), "{name}");
                outputs.check(name, stderr);
                assert_eq!(stdout, "", "{name}");
                if stderr.starts_with("secondkey: ") {
                    assert_eq!(stderr.lines().count(), 1, "{stderr}");
                } else {
                    assert!(stderr.starts_with("error: "), "{stderr}");
                }
                let longest = stderr.lines().map(|line| line.chars().count()).max();
                assert!(longest.unwrap_or_default() < 1_000, "{stderr}");
            }
        }
    }
}

/// The findings keep their number of lines at a width without wrapping, and so does the text around them.
fn check_findings(stdout: &str, harmless: &str) {
    let severities = ["MEDIUM  ", "HIGH  ", "CRITICAL  "];
    let begins = |line: &&str| severities.iter().any(|word| line.starts_with(word));
    let number = |text: &str| text.lines().filter(begins).count();
    assert!(number(harmless) > 0, "{harmless}");
    assert_eq!(number(stdout), number(harmless), "{stdout}");
    // The last line leaves out a command that cannot be pasted safely.
    let is_around =
        |line: &&str| !begins(line) && !line.starts_with("  ") && !line.starts_with("Saved in ");
    let around = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(is_around);
        lines.map(str::to_owned).collect()
    };
    assert_eq!(around(stdout), around(harmless), "{stdout}");
}

/// The lines outside tables. The commands run at a width at which every table is a block of lines for
/// each row.
pub(super) fn around_tables(text: &str) -> Vec<&str> {
    let lines: Vec<&str> = text.lines().collect();
    let begins_block = |place: usize| {
        let next = lines.get(place + 1);
        next.is_some_and(|next| is_named(next))
    };
    let is_around = |(place, line): &(usize, &&str)| !is_of_block(line) && !begins_block(*place);
    let around = lines.iter().enumerate().filter(is_around);
    around.map(|(_, line)| *line).collect()
}

/// Whether `line` is a cell of a block, or continues one.
fn is_of_block(line: &str) -> bool {
    is_named(line) || line.starts_with("        ")
}

/// Whether `line` is a cell of a block with the name of its column.
fn is_named(line: &str) -> bool {
    let columns = [
        "account",
        "old key",
        "new key",
        "key",
        "keys",
        "age",
        "last used",
        "verdict",
        "created",
        "opened",
        "lasted",
        "opened by",
        "users",
        "made by",
        "until",
        "owner",
        "reason",
        "calls",
        "failed",
        "first used",
        "calls by key",
        "services",
        "regions",
        "switch",
        "first",
        "last",
        "resources",
    ];
    line.strip_prefix("  ").is_some_and(|cell| {
        let named = |column: &&&str| {
            cell.strip_prefix(**column)
                .is_some_and(|rest| rest.starts_with("  "))
        };
        columns.iter().any(|column| named(&column))
    })
}

/// The tags of `page`, without their attributes. They are sorted, because the order of the rows about
/// accounts depends on the text.
fn tags(page: &str) -> Vec<&str> {
    let ends = |character: char| !character.is_ascii_alphanumeric() && character != '/';
    let tags = page.split('<').skip(1);
    let mut tags: Vec<&str> = tags.map(|tag| tag.split(ends).next().unwrap()).collect();
    tags.sort_unstable();
    tags
}

fn secondkey(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_secondkey"))
        .args(args)
        .current_dir(folder)
        .env("COLUMNS", WIDTH)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

/// Whatever was read, stored rows are bounded.
fn check_rows(db: &Path) {
    let connection = rusqlite::Connection::open(db).unwrap();
    for table in ["records", "findings", "audit", "owed"] {
        let longest: Option<i64> = connection
            .query_row(
                &format!("SELECT max(length(CAST(body AS BLOB))) FROM {table}"),
                [],
                |row| row.get(0),
            )
            .unwrap();
        assert!(
            longest.unwrap_or_default() < MAX_ROW_CHARS,
            "{table}: {longest:?}"
        );
    }
}
