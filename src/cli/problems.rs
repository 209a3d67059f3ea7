//! The problems that the program logs, for people: one line per kind instead of a log.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use crate::cli::MAX_CHARS;
use crate::cli::streams::notes;
use crate::output::escape::for_terminal;

/// Only our own log lines are problems of the command. A library also warns of what it then handles.
const OWN_TARGET: &str = "secondkey";

/// The problems of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Problem {
    count: usize,
    /// The words for several of them, if the log line has such.
    several: Option<String>,
    /// The permission that was missing.
    needs: Option<String>,
    /// What happened the first time.
    failure: Option<String>,
}

/// Collects warnings and errors that are logged.
#[derive(Debug, Clone, Default)]
pub struct Problems(Arc<Mutex<BTreeMap<String, Problem>>>);

impl Problems {
    /// Prints a line for each kind of problem on stderr, unless `--quiet` was given.
    pub fn print(&self) -> std::io::Result<()> {
        self.write(&mut notes())
    }

    fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        let problems = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (message, problem) in problems.iter() {
            let mut line = match (&problem.several, problem.count) {
                (_, 1) => message.clone(),
                (Some(several), count) => several.replace("{count}", &count.to_string()),
                (None, count) => format!("{message} ({count} times)"),
            };
            if let Some(why) = problem.needs.as_ref().or(problem.failure.as_ref()) {
                line = format!("{line}: {why}");
            }
            let line = for_terminal(&line, MAX_CHARS);
            writeln!(out, "secondkey: warning: {line}")?;
        }
        Ok(())
    }
}

impl<S: Subscriber> Layer<S> for Problems {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        // The levels are ordered by how much they tell.
        if *metadata.level() > Level::WARN || !metadata.target().starts_with(OWN_TARGET) {
            return;
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let mut problems = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let problem = problems.entry(fields.message).or_default();
        problem.count += 1;
        problem.several = problem.several.take().or(fields.several);
        problem.needs = problem.needs.take().or(fields.needs);
        problem.failure = problem.failure.take().or(fields.failure);
    }
}

/// The fields of a log line that matter to people.
#[derive(Debug, Default)]
struct Fields {
    message: String,
    several: Option<String>,
    needs: Option<String>,
    failure: Option<String>,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}");
        match field.name() {
            "message" => self.message = text,
            "failure" => self.failure = Some(text),
            _ => {}
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "several" => self.several = Some(value.to_owned()),
            "needs" => self.needs = Some(format!("needs {value}")),
            "failure" => self.failure = Some(value.to_owned()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing::{info, warn};
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn each_kind_of_problem_is_one_line_and_libraries_are_left_out() {
        let problems = Problems::default();
        let subscriber = tracing_subscriber::registry().with(problems.clone());
        tracing::subscriber::with_default(subscriber, || {
            for key in 0..12 {
                let failure = "access denied";
                warn!(target: "secondkey::aws", key, %failure, needs = "iam:GetAccessKeyLastUsed", several = "last use of {count} keys not read", "last use of a key not read");
            }
            warn!(target: "secondkey", failure = "\u{1b}[31mred", "the log cannot be read");
            warn!(target: "secondkey", "the same twice");
            warn!(target: "secondkey", "the same twice");
            info!(target: "secondkey", "all is well");
            warn!(target: "aws_runtime", "config file overridden via environment variable not found");
        });
        let mut out = vec![];
        problems.write(&mut out).unwrap();
        expect_test::expect![[r"
            secondkey: warning: last use of 12 keys not read: needs iam:GetAccessKeyLastUsed
            secondkey: warning: the log cannot be read: \u{1b}[31mred
            secondkey: warning: the same twice (2 times)
        "]]
        .assert_eq(&String::from_utf8(out).unwrap());
    }
}
