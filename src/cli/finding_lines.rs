//! Findings as lines for people: what it is, then a line for each key, since when, and what to do.
//!
//! What belongs to a key never leaves the key's line, whatever the width: in a table with a column
//! for keys and one for ages, a wrapped cell puts an age beside the wrong key.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::Write;

use owo_colors::{OwoColorize, Style};

use crate::cli::MAX_CHARS;
use crate::cli::table::{fill, padded, widest};
use crate::detect::Timestamp;
use crate::detect::decision::verdict::Verdict;
use crate::detect::findings::finding::{Finding, FindingStatus};
use crate::detect::usage::last_use::LastUses;
use crate::local::terminal::style_of;
use crate::output::escape::for_terminal;
use crate::output::key_facts::key_facts;
use crate::output::overlap_start::{lasted, since};
use crate::output::snapshot::{FindingSnapshot, as_of_line};
use crate::output::time::readable;
use crate::output::verdict_text::{headline, sentence};

/// The indentation of everything but the headline.
const INDENT: &str = "  ";

/// The widest column of the view with one line per finding. A longer name moves only its own line.
const MAX_COLUMN: usize = 32;

/// A finding, and what is known about it at a time.
#[derive(Debug, Clone)]
struct FindingView<'a> {
    finding: &'a Finding,
    /// `new`, `open`, `suppressed` or `closed`.
    state: &'static str,
    last_uses: &'a LastUses,
    /// What to do; `None` once the finding is closed.
    verdict: Option<Verdict>,
    /// The time that ages, durations and the verdict are about.
    as_of: Timestamp,
}

impl<'a> From<&'a FindingSnapshot> for FindingView<'a> {
    fn from(snapshot: &'a FindingSnapshot) -> Self {
        let finding = &snapshot.alert.finding;
        let state = match finding.status {
            FindingStatus::Suppressed => finding.status.word(),
            FindingStatus::Open | FindingStatus::Closed => snapshot.change(),
        };
        Self {
            finding,
            state,
            last_uses: &snapshot.last_uses,
            verdict: snapshot.verdict(),
            as_of: snapshot.alert.at,
        }
    }
}

impl FindingView<'_> {
    /// The time up to which two keys are known to have been active.
    fn until(&self) -> Timestamp {
        let closing = self.finding.closing.as_ref();
        closing.map_or(self.as_of, |closing| closing.at)
    }

    /// The severity for a stream that removes colors if they are not wanted.
    fn colored_severity(&self) -> String {
        let severity = self.finding.severity;
        let style = match self.finding.status {
            FindingStatus::Open => style_of(severity).bold(),
            FindingStatus::Suppressed | FindingStatus::Closed => Style::new().dimmed(),
        };
        severity.word().style(style).to_string()
    }

    /// The state, likewise.
    fn colored_state(&self) -> String {
        let style = match self.finding.status {
            FindingStatus::Open => Style::new().bold(),
            FindingStatus::Suppressed => Style::new().dimmed(),
            FindingStatus::Closed => Style::new().green(),
        };
        self.state.style(style).to_string()
    }
}

/// Writes the findings with a blank line between them. Sentences are wrapped to `width` columns.
pub(crate) fn write<'a>(
    out: &mut impl Write,
    findings: impl IntoIterator<Item = &'a FindingSnapshot>,
    width: usize,
) -> std::io::Result<()> {
    for (place, finding) in findings.into_iter().enumerate() {
        if place > 0 {
            writeln!(out)?;
        }
        write_one(out, &FindingView::from(finding), width)?;
    }
    Ok(())
}

/// Writes one line per finding, and no blank lines.
pub(crate) fn write_brief<'a>(
    out: &mut impl Write,
    findings: impl IntoIterator<Item = &'a FindingSnapshot>,
) -> std::io::Result<()> {
    let rows: Vec<[String; 6]> = findings
        .into_iter()
        .map(|finding| row(&FindingView::from(finding)))
        .collect();
    let widths: Vec<usize> = (0..5)
        .map(|column| widest(rows.iter().filter_map(|row| row.get(column))).min(MAX_COLUMN))
        .collect();
    for row in &rows {
        writeln!(out, "{}", padded(row, &widths))?;
    }
    Ok(())
}

/// The facts on the line of a finding.
fn row(view: &FindingView<'_>) -> [String; 6] {
    let finding = view.finding;
    let what = match (&finding.closing, &view.verdict) {
        (Some(closing), _) => closing.reason.words().to_owned(),
        (None, Some(verdict)) => headline(verdict, &shown),
        (None, None) => String::new(),
    };
    [
        view.colored_severity(),
        view.colored_state(),
        shown(&finding.display_name),
        shown(finding.user().account()),
        lasted(finding, view.until()),
        what,
    ]
}

/// Writes the totals, and when the verdicts were right.
pub(crate) fn write_ending(
    out: &mut impl Write,
    findings: &[FindingSnapshot],
    now: Timestamp,
) -> std::io::Result<()> {
    if let Some(totals) = totals(findings.iter().map(|one| &one.alert.finding)) {
        writeln!(out, "\n{totals}")?;
    }
    match as_of_line(findings, now) {
        Some(line) => writeln!(out, "{line}"),
        None => Ok(()),
    }
}

/// How many findings there are of each severity, then how many are closed and suppressed: `1 HIGH,
/// 8 MEDIUM, 3 suppressed`. `None` if there is none.
fn totals<'f>(findings: impl IntoIterator<Item = &'f Finding>) -> Option<String> {
    let mut numbers = BTreeMap::new();
    for finding in findings {
        let kind = match finding.status {
            FindingStatus::Open => (Reverse(Some(finding.severity)), finding.severity.word()),
            FindingStatus::Suppressed | FindingStatus::Closed => {
                (Reverse(None), finding.status.word())
            }
        };
        *numbers.entry(kind).or_insert(0) += 1;
    }
    let parts: Vec<String> = numbers
        .iter()
        .map(|((_, word), number)| format!("{number} {word}"))
        .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn write_one(out: &mut impl Write, view: &FindingView<'_>, width: usize) -> std::io::Result<()> {
    let finding = view.finding;
    writeln!(
        out,
        "{}  {}  {}  {}",
        view.colored_severity(),
        view.colored_state(),
        shown(&finding.display_name),
        shown(finding.user().account()),
    )?;
    for line in key_lines(view, width) {
        writeln!(out, "{line}")?;
    }
    for sentence in [Some(beginning(view)), ending(view)].into_iter().flatten() {
        writeln!(out, "{}", fill(&sentence, INDENT, INDENT, width))?;
    }
    Ok(())
}

/// A line for each key, the oldest first. The facts are aligned if all lines fit into `width`.
fn key_lines(view: &FindingView<'_>, width: usize) -> Vec<String> {
    let keys = key_facts(view.finding, view.last_uses, view.as_of, &shown);
    let rows: Vec<[String; 5]> = keys
        .into_iter()
        .map(|key| {
            [
                key.label.to_owned(),
                key.id,
                key.status,
                key.age,
                key.last_use,
            ]
        })
        .collect();
    let widths: Vec<usize> = (0..4)
        .map(|column| widest(rows.iter().filter_map(|row| row.get(column))))
        .collect();
    let aligned: Vec<String> = rows
        .iter()
        .map(|row| format!("{INDENT}{}", padded(row, &widths)))
        .collect();
    if widest(&aligned) <= width {
        return aligned;
    }
    rows.iter()
        .map(|row| format!("{INDENT}{}", row.join(" ")))
        .collect()
}

/// Since when two keys have been active, for how long, and who made the second one active.
fn beginning(view: &FindingView<'_>) -> String {
    let finding = view.finding;
    let actor = finding
        .opener
        .as_ref()
        .map_or("an unknown actor".to_owned(), |opener| {
            shown(opener.actor.label())
        });
    format!(
        "{} ({}), by {actor}",
        since(finding.is_opened_at_estimated, &readable(finding.opened_at)),
        lasted(finding, view.until())
    )
}

/// What to do, or how the finding ended.
fn ending(view: &FindingView<'_>) -> Option<String> {
    if let Some(closing) = &view.finding.closing {
        let by = closing.actor.as_ref().map_or(String::new(), |actor| {
            format!(", by {}", shown(actor.label()))
        });
        return Some(format!(
            "Closed {}: {}{by}",
            readable(closing.at),
            closing.reason.words()
        ));
    }
    Some(sentence(view.verdict.as_ref()?, &shown))
}

fn shown(text: &str) -> String {
    for_terminal(text, MAX_CHARS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::hostile::HOSTILE_TEXTS;
    use crate::output::last_use::brief_last_use;
    use crate::output::testing::{snapshots, snapshots_with};
    use crate::output::time::duration;

    fn printed(finding: &FindingSnapshot, width: usize) -> String {
        let mut out = vec![];
        write(&mut out, [finding], width).unwrap();
        plain(&out)
    }

    /// `bytes` without colors.
    fn plain(bytes: &[u8]) -> String {
        let bytes = anstream::adapter::strip_bytes(bytes).into_vec();
        String::from_utf8(bytes).unwrap()
    }

    /// Checks that each key has a line, in the order of age, and that each fact about the key is on it.
    #[track_caller]
    fn check(snapshot: &FindingSnapshot, width: usize) {
        let (text, view) = (printed(snapshot, width), FindingView::from(snapshot));
        let keys = view.finding.keys_by_age();
        let lines: Vec<&str> = text.lines().skip(1).take(keys.len()).collect();
        assert_eq!(lines.len(), keys.len(), "{width}:\n{text}");
        for (line, key) in lines.iter().zip(&keys) {
            let age = view
                .finding
                .created_at(key)
                .map_or("age not known".to_owned(), |at| duration(view.as_of - at));
            let used = brief_last_use(view.last_uses.get(&key.id), view.as_of, &shown);
            let status = key.status.word().to_lowercase();
            for fact in [shown(&key.id), status, age, used] {
                assert!(line.contains(&fact), "{width}: {fact}:\n{text}");
            }
            assert!(
                ["  old ", "  new ", "  key "]
                    .iter()
                    .any(|label| line.starts_with(label)),
                "{text}"
            );
        }
        let others: Vec<&str> = text.lines().skip(1 + keys.len()).collect();
        assert!(others.iter().all(|line| line.starts_with(INDENT)), "{text}");
    }

    #[test]
    fn every_fact_is_on_the_line_of_its_key_at_any_width() {
        let every: Vec<usize> = (40..=250).collect();
        let usual = snapshots().into_iter().map(|one| (one, every.as_slice()));
        // Longer texts are cut before they get here; the tests of the escaping cover that.
        let hostile = HOSTILE_TEXTS
            .iter()
            .filter(|hostile| hostile.text.len() < 1_000)
            .flat_map(|hostile| snapshots_with(&hostile.text));
        let hostile = hostile.map(|one| (one, &[40, 80, 140, 250][..]));
        for (snapshot, widths) in usual.chain(hostile) {
            for &width in widths {
                check(&snapshot, width);
            }
        }
    }

    #[test]
    fn a_usual_finding_is_at_most_83_columns_wide() {
        for mut snapshot in snapshots() {
            let longest = |id: &str| format!("{id:X<20}");
            let finding = &mut snapshot.alert.finding;
            for key in &mut finding.keys {
                key.id = longest(&key.id);
            }
            let last_uses = snapshot.last_uses.into_iter();
            snapshot.last_uses = last_uses.map(|(id, used)| (longest(&id), used)).collect();
            let text = printed(&snapshot, 80);
            // A time with two units, such as `5 h 20 min`, takes up to three columns more.
            assert!(widest(text.lines()) <= 83, "{text}");
        }
    }

    #[test]
    fn the_newer_of_two_keys_is_marked() {
        let snapshot = snapshots().swap_remove(0);
        expect_test::expect![[r"
            MEDIUM  new  Alice  111122223333
              old  AKIAOLD  active  400 days old  used 2 h ago, s3, us-east-1
              new  AKIANEW  active  12 s old      never used
              since 2023-11-14 22:13:22 UTC (12 s), by arn:aws:iam::111122223333:user/bob
              Nothing to deactivate yet: AKIANEW has not been used yet. Move every consumer
              from AKIAOLD to AKIANEW by 2023-11-15 22:13:22 UTC, then retire AKIAOLD
        "]]
        .assert_eq(&printed(&snapshot, 80));
    }

    #[test]
    fn a_key_of_unknown_age_is_the_oldest_and_no_key_is_marked() {
        let mut snapshot = snapshots().swap_remove(0);
        let finding = &mut snapshot.alert.finding;
        finding.opener = None;
        let [old, new] = finding.keys.as_mut_slice() else {
            panic!("it has two keys");
        };
        (old.created, new.created) = (new.created, None);
        expect_test::expect![[r"
            MEDIUM  new  Alice  111122223333
              key  AKIANEW  active  age not known  never used
              key  AKIAOLD  active  12 s old       used 2 h ago, s3, us-east-1
              since 2023-11-14 22:13:22 UTC (12 s), by an unknown actor
              Retire AKIANEW: it was never used
        "]]
        .assert_eq(&printed(&snapshot, 80));
    }

    #[test]
    fn a_finding_is_one_line_and_the_totals_count_each_kind() {
        let snapshots = snapshots();
        let mut out = vec![];
        write_brief(&mut out, &snapshots).unwrap();
        expect_test::expect![[r"
            MEDIUM    new         Alice           111122223333  12 s        Nothing to deactivate yet
            HIGH      open        Alice           111122223333  24 h 5 min  Retire AKIANEW
            MEDIUM    closed      Alice           111122223333  3 h 20 min  key deactivated
            MEDIUM    suppressed  Alice           111122223333  12 s        Nothing to deactivate
            CRITICAL  new         <root_account>  111122223333  12 s        Ask what uses root's keys
        "]]
        .assert_eq(&plain(&out));
        let findings = snapshots.iter().map(|one| &one.alert.finding);
        expect_test::expect!["1 CRITICAL, 1 HIGH, 1 MEDIUM, 1 closed, 1 suppressed"]
            .assert_eq(&totals(findings).unwrap());
        assert_eq!(totals([]), None);
    }

    #[test]
    fn only_severities_and_states_are_colored() {
        for snapshot in snapshots() {
            let mut out = vec![];
            write(&mut out, [&snapshot], 80).unwrap();
            let text = String::from_utf8(out).unwrap();
            let (headline, rest) = text.split_once('\n').unwrap();
            assert_eq!(headline.matches("\u{1b}[0m").count(), 2, "{headline}");
            assert!(!rest.contains('\u{1b}'), "{rest}");
        }
    }
}
