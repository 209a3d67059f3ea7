//! How the command line treats people: helpful help, suggestions, completions and manual pages.

use std::path::Path;
use std::process::Command;

use crate::doctor::world::Said;

fn secondkey(at: &Path, arguments: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_secondkey"));
    Said::of(
        &command
            .args(arguments)
            .current_dir(at)
            .output()
            .expect("the command line starts"),
    )
}

/// The words of every command, from the names of their manual pages.
fn commands(at: &Path) -> Vec<Vec<String>> {
    assert_eq!(secondkey(at, &["man", "pages"]).code, 0);
    let files = std::fs::read_dir(at.join("pages")).expect("they are written");
    let mut commands: Vec<Vec<String>> = files
        .map(|file| {
            let name = file.unwrap().file_name().into_string().unwrap();
            let words = name.strip_suffix(".1").expect("it is a page of section 1");
            words.split('-').skip(1).map(str::to_owned).collect()
        })
        .collect();
    commands.sort();
    commands
}

/// The names of the rows under EXIT STATUS in a manual page.
fn exit_codes(page: &str) -> Vec<&str> {
    let (_, rest) = page.split_once(".SH \"EXIT STATUS\"\n").unwrap();
    rest.lines()
        .take_while(|line| !line.starts_with(".SH"))
        .filter_map(|line| line.strip_prefix("\\fB")?.strip_suffix("\\fR"))
        .collect()
}

#[test]
fn every_command_has_a_manual_page_and_help_with_examples_and_exit_codes() {
    let folder = tempfile::tempdir().unwrap();
    let commands = commands(folder.path());
    for known in [
        "scan",
        "check",
        "rotate finish",
        "exempt add",
        "gate",
        "doctor",
    ] {
        assert!(
            commands.iter().any(|words| words.join(" ") == known),
            "{known}: {commands:?}"
        );
    }
    for words in commands {
        let arguments: Vec<&str> = words.iter().map(String::as_str).chain(["--help"]).collect();
        let said = secondkey(folder.path(), &arguments);
        assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{words:?}");
        assert!(
            said.stdout.contains("Examples"),
            "{words:?}:\n{}",
            said.stdout
        );
        assert!(
            said.stdout.contains("Exit codes:"),
            "{words:?}:\n{}",
            said.stdout
        );
        let page = format!(
            "pages/{}.1",
            [&["secondkey".to_owned()], &words[..]].concat().join("-")
        );
        let page = std::fs::read_to_string(folder.path().join(page)).unwrap();
        for section in ["SYNOPSIS", "EXAMPLES\n.nf"] {
            assert!(
                page.contains(&format!(".SH {section}")),
                "{section}: {page}"
            );
        }
        let codes = exit_codes(&page);
        for code in ["0", "1", "2"] {
            assert!(codes.contains(&code), "{words:?}: {codes:?}");
        }
        if words == ["scan"] {
            assert_eq!(codes, ["0", "10", "1", "2", "130"]);
        }
        for (option, section) in [("--db ", "FILES"), ("--profile ", "ENVIRONMENT")] {
            let is_there = page.contains(&format!(".SH {section}"));
            assert!(
                is_there || !said.stdout.contains(option),
                "{section}: {page}"
            );
        }
        assert!(!page.contains(".SH EXTRA"), "{page}");
    }
}

#[test]
fn a_mistyped_command_option_or_value_gets_a_suggestion() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, expected) in [
        (&["scna"][..], "similar subcommands exist: 'schema', 'scan'"),
        (
            &["rotate", "finsh", "alice"],
            "similar subcommand exists: 'finish'",
        ),
        (
            &["findings", "--statsu"],
            "similar argument exists: '--status'",
        ),
        (
            &["scan", "--format", "jsno"],
            "similar value exists: 'json'",
        ),
        (
            &["scan", "--fail-on", "hgih"],
            "similar value exists: 'high'",
        ),
    ] {
        let said = secondkey(folder.path(), arguments);
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{arguments:?}");
        assert!(said.stderr.contains(expected), "{}", said.stderr);
    }
}

#[test]
fn each_shell_gets_completions_that_know_the_commands() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let said = secondkey(folder.path(), &["completions", shell]);
        assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{shell}");
        for word in ["scan", "rotate", "fail-on"] {
            assert!(said.stdout.contains(word), "{shell}: {word}");
        }
    }
    // Bash itself parses the script, because bash also runs the tests.
    let script = secondkey(folder.path(), &["completions", "bash"]).stdout;
    std::fs::write(folder.path().join("completions"), script).unwrap();
    let completed = Command::new("bash")
        .current_dir(folder.path())
        .args(["-c", "source ./completions; COMP_WORDS=(secondkey rotate fi); COMP_CWORD=2; _secondkey secondkey fi rotate; \
            echo ${COMPREPLY[@]}"])
        .output()
        .expect("there is a bash");
    assert_eq!(String::from_utf8_lossy(&completed.stdout).trim(), "finish");
}

#[test]
fn output_is_not_colored_off_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["--help"][..], &["scna"], &["findings", "--db", "missing"]] {
        let said = secondkey(folder.path(), arguments);
        assert!(
            !said.stdout.contains('\u{1b}') && !said.stderr.contains('\u{1b}'),
            "{arguments:?}"
        );
    }
}
