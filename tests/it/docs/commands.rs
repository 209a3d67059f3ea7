//! The commands in the documentation.

use std::collections::BTreeSet;

use clap::{Command, CommandFactory};
use secondkey::cli::Cli;

use super::{pages, shell};

/// The arguments to secondkey, if `words` call it.
fn arguments(words: &[String]) -> Option<Vec<String>> {
    let rest = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["secondkey", ..] => &words[1..],
        ["cargo", "run", "--", ..] => &words[3..],
        _ => return None,
    };
    // `--head` accepts only a hash.
    let sample = |word: &String| match word.as_str() {
        "HASH" => "0".repeat(64),
        _ => word.clone(),
    };
    Some(rest.iter().map(sample).collect())
}

#[test]
fn every_command_in_a_block_parses() {
    let mut subcommands = BTreeSet::new();
    let (mut commands, mut wrong) = (0, vec![]);
    for (path, page) in pages() {
        for words in page
            .blocks("sh")
            .iter()
            .flat_map(|block| shell::commands(block))
        {
            let Some(arguments) = arguments(&words) else {
                continue;
            };
            commands += 1;
            subcommands.extend(arguments.first().cloned());
            let whole = [vec!["secondkey".to_owned()], arguments].concat();
            if let Err(error) = Cli::command().try_get_matches_from(&whole) {
                wrong.push(format!("{}: {}\n{error}", path.display(), whole.join(" ")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(commands > 60, "{commands}");
    for shown in Cli::command().get_subcommands() {
        assert!(
            subcommands.contains(shown.get_name()),
            "{}",
            shown.get_name()
        );
    }
}

/// The subcommand that the first `words` name, and the remaining words.
fn subcommand<'a, 'b>(command: &'a Command, words: &'b [String]) -> (&'a Command, &'b [String]) {
    match words.split_first() {
        Some((word, rest)) => match command.find_subcommand(word) {
            Some(inner) => subcommand(inner, rest),
            None => (command, words),
        },
        None => (command, words),
    }
}

#[test]
fn every_command_in_a_sentence_has_its_options() {
    let mut command = Cli::command();
    // Adds the options of every command to each of them.
    command.build();
    let (mut found, mut wrong) = (0, vec![]);
    for (path, page) in pages() {
        for code in page.code() {
            let Some(words) = code.strip_prefix("secondkey ") else {
                continue;
            };
            let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
            let (inner, rest) = subcommand(&command, &words);
            found += 1;
            let is_named = inner.get_name() != "secondkey"
                || rest
                    .first()
                    .is_some_and(|word| word == "COMMAND" || word.starts_with("--"));
            let options: BTreeSet<&str> = inner
                .get_arguments()
                .filter_map(|one| one.get_long())
                .collect();
            let unknown = rest
                .iter()
                .filter_map(|word| word.strip_prefix("--"))
                .find(|option| !options.contains(option) && *option != "help");
            if !is_named || unknown.is_some() {
                wrong.push(format!("{}: {code}", path.display()));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    assert!(found > 40, "{found}");
}
