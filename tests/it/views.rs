//! What a person sees of `replay` and `findings`: one line per alert, each fact on its key's line, colors
//! only where they are wanted, and an exit code that no option of the view changes.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::doctor::world::Said;

/// The stories of the README.
const SCENARIOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/events/scenarios");

/// A story whose only finding is closed.
const CLOSED: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/events/scenarios/clean-rotation.json"
);

fn secondkey(at: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_secondkey"));
    for name in ["NO_COLOR", "CLICOLOR_FORCE", "COLUMNS", "SECONDKEY_DB"] {
        command.env_remove(name);
    }
    let command = command.args(arguments).current_dir(at);
    let command = command.envs(variables.iter().copied());
    Said::of(&command.output().expect("the command line starts"))
}

#[test]
fn replay_prints_one_line_per_alert_unless_asked_for_whole_ones() {
    let folder = tempfile::tempdir().unwrap();
    let brief = secondkey(folder.path(), &["replay", SCENARIOS], &[]);
    assert_eq!(brief.code, 10);
    // The first line names the files that are not logs.
    let alerts: Vec<&str> = brief.stderr.lines().skip(1).collect();
    assert_eq!(alerts.len(), 15, "{}", brief.stderr);
    for alert in &alerts {
        assert!(
            alert.contains(" UTC  [") && alert.contains("active access key"),
            "{alert}"
        );
    }
    let whole = secondkey(folder.path(), &["replay", SCENARIOS, "--alerts"], &[]);
    assert!(whole.stderr.contains("\nDo this\n"), "{}", whole.stderr);
    for alert in alerts {
        let headline = alert.split_once("  ").unwrap().1;
        assert!(
            whole.stderr.lines().any(|line| line == headline),
            "{headline}"
        );
    }
    let quiet = secondkey(folder.path(), &["--quiet", "replay", SCENARIOS], &[]);
    assert_eq!(quiet.code, 10);
    let warnings: Vec<&str> = quiet.stderr.lines().collect();
    assert!(
        warnings.len() == 1 && warnings[0].starts_with("6 files are not logs"),
        "{warnings:?}"
    );
    assert_eq!(quiet.stdout, brief.stdout);
}

#[test]
fn the_findings_come_last_with_their_totals_and_fit_eighty_columns() {
    let folder = tempfile::tempdir().unwrap();
    let said = secondkey(folder.path(), &["replay", SCENARIOS], &[]);
    let (summary, findings) = said.stdout.split_once("\n\n").unwrap();
    assert!(summary.contains("Records: "), "{summary}");
    let lines = said.stdout.lines().chain(said.stderr.lines()).count();
    assert!(
        lines <= 40,
        "{lines} lines:\n{}{}",
        said.stderr,
        said.stdout
    );
    let totals = "1 HIGH, 6 closed";
    assert!(findings.lines().any(|line| line == totals), "{findings}");
    for line in findings.lines().take_while(|line| *line != totals) {
        // A line of a key stays whole, and so does an ARN.
        let may_be_longer =
            line.starts_with("  old ") || line.starts_with("  new ") || line.contains("arn:");
        assert!(line.chars().count() <= 80 || may_be_longer, "{line}");
    }
    let lines = secondkey(
        folder.path(),
        &["replay", SCENARIOS, "--format", "lines"],
        &[],
    );
    let findings = lines
        .stdout
        .lines()
        .filter(|line| line.contains("  111122223333  "));
    assert_eq!(findings.count(), 7, "{}", lines.stdout);
}

#[test]
fn the_facts_of_a_key_are_on_its_line_at_every_width() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    secondkey(at, &["replay", SCENARIOS, "--db", "db"], &[]);
    let keys = |text: &str| -> Vec<String> {
        let lines = text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        lines
            .filter(|line| line.starts_with("old ") || line.starts_with("new "))
            .collect()
    };
    let commands = [
        &["replay", SCENARIOS, "--alerts"][..],
        &["findings", "--db", "db", "--all"],
    ];
    let widest = secondkey(at, commands[0], &[("COLUMNS", "250")]);
    let expected = keys(&widest.stdout);
    assert_eq!(expected.len(), 14, "{}", widest.stdout);
    for command in commands {
        for width in ["40", "60", "80", "100", "140", "200"] {
            let said = secondkey(at, command, &[("COLUMNS", width)]);
            assert_eq!(keys(&said.stdout), expected, "{command:?} at {width}");
        }
    }
}

#[test]
fn colors_appear_only_where_they_are_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let is_colored = |arguments: &[&str], variables: &[(&str, &str)]| {
        let said = secondkey(at, &[&["replay", SCENARIOS], arguments].concat(), variables);
        let [out, err] = [&said.stdout, &said.stderr].map(|text| text.contains('\u{1b}'));
        assert_eq!(out, err, "{arguments:?} {variables:?}");
        out
    };
    let force = ("CLICOLOR_FORCE", "1");
    assert!(!is_colored(&[], &[]));
    assert!(is_colored(&[], &[force]));
    assert!(is_colored(&["--color", "always"], &[("NO_COLOR", "1")]));
    assert!(!is_colored(&["--color", "never"], &[force]));
    assert!(!is_colored(
        &["--format", "json", "--quiet"],
        &[("NO_COLOR", "1")]
    ));
}

#[test]
fn the_exit_code_of_findings_counts_open_ones_even_if_they_are_hidden() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    secondkey(at, &["replay", CLOSED, "--db", "closed"], &[]);
    secondkey(at, &["replay", SCENARIOS, "--db", "all"], &[]);

    let closed = secondkey(at, &["findings", "--db", "closed"], &[]);
    assert_eq!((closed.code, closed.stdout.as_str()), (0, "No findings.\n"));
    let closed = secondkey(at, &["findings", "--db", "closed", "--all"], &[]);
    assert_eq!(closed.code, 0);
    assert!(closed.stdout.ends_with("\n1 closed\n"), "{}", closed.stdout);

    let hidden = secondkey(at, &["findings", "--db", "all", "--user", "nobody"], &[]);
    assert_eq!(
        (hidden.code, hidden.stdout.as_str()),
        (10, "No finding matches the options.\n")
    );
    let notice = "Not shown: 1 open finding. The exit code counts hidden findings too.\n";
    assert_eq!(hidden.stderr, notice);
}

/// What identifies each finding in `document`, sorted, because the commands have different orders.
fn told_apart(format: &str, document: &str) -> Vec<String> {
    let json = || serde_json::from_str::<Value>(document).unwrap();
    let each = |list: &Value, field: &str| -> Vec<String> {
        let list = list.as_array().unwrap().iter();
        list.map(|one| one.pointer(field).unwrap().to_string())
            .collect()
    };
    let mut found = match format {
        "csv" => document.lines().map(str::to_owned).collect(),
        "asff" => each(&json(), ""),
        "ocsf" => each(&json(), "/finding_info/uid"),
        _ => each(&json()["runs"][0]["results"], "/partialFingerprints"),
    };
    found.sort();
    found
}

#[test]
fn replay_and_findings_write_the_same_documents() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let region = [("AWS_REGION", "eu-west-1")];
    // SARIF has no closed findings, and CSV has a header.
    for (format, lines) in [("csv", 8), ("asff", 7), ("ocsf", 7), ("sarif", 1)] {
        let replay = ["replay", SCENARIOS, "--db", format, "--format", format];
        let replayed = secondkey(at, &replay, &region);
        assert_eq!(replayed.code, 10, "{format}: {}", replayed.stderr);
        let list = ["findings", "--db", format, "--format", format, "--all"];
        let listed = secondkey(at, &list, &region);
        let found = told_apart(format, &listed.stdout);
        assert_eq!(found.len(), lines, "{format}");
        assert_eq!(told_apart(format, &replayed.stdout), found, "{format}");

        let written = secondkey(at, &[&list[..], &["--output", "file"]].concat(), &region);
        assert_eq!((written.code, written.stdout.as_str()), (10, ""));
        let file = fs::read_to_string(at.join("file")).unwrap();
        assert_eq!(file, listed.stdout, "{format}");
    }
}

#[test]
fn findings_in_asff_need_a_region() {
    let folder = tempfile::tempdir().unwrap();
    let none = [("AWS_REGION", ""), ("AWS_DEFAULT_REGION", "")];
    let replayed = secondkey(
        folder.path(),
        &["replay", SCENARIOS, "--format", "asff"],
        &none,
    );
    assert_eq!((replayed.code, replayed.stdout.as_str()), (1, ""));
    assert!(
        replayed.stderr.contains("`AWS_REGION`"),
        "{}",
        replayed.stderr
    );
}

#[test]
fn the_environment_names_the_database_unless_an_option_does() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    secondkey(at, &["replay", SCENARIOS, "--db", "all"], &[]);
    secondkey(at, &["replay", CLOSED, "--db", "closed"], &[]);
    let all = [("SECONDKEY_DB", "all")];
    assert_eq!(secondkey(at, &["findings"], &all).code, 10);
    assert_eq!(secondkey(at, &["findings", "--db", "closed"], &all).code, 0);
}

#[test]
fn an_exemption_of_root_is_not_one_of_a_user_named_root() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let add = |until: &str| {
        let until = format!("--until={until}");
        let words = [
            "exempt",
            "add",
            "root",
            "--reason=x",
            "--owner=me",
            "--db=db",
            &until,
        ];
        secondkey(at, &[&words[..], &["--account=111122223333"]].concat(), &[])
    };
    for past in ["2020-01-01", "2020-01-01T00:00:00Z", "0d", "-1d", "soon"] {
        let said = add(past);
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{past}");
        assert!(said.stderr.contains("--until"), "{}", said.stderr);
    }
    assert_eq!(add("2w").code, 0);
    let listed = secondkey(at, &["exempt", "list", "--db=db", "--format=json"], &[]);
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(listed["exemptions"][0]["user_pattern"], "<root_account>");
}
