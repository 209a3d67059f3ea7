//! A finding as lines for people: what it is, then a line for each key, then the verdict.
//!
//! What belongs to a key never leaves the key's line, whatever the width: in a table with a column
//! for keys and one for ages, a wrapped cell puts an age beside the wrong key.

use std::io::Write;

use crate::cli::MAX_CHARS;
use crate::cli::table::verdict_words;
use crate::detect::Timestamp;
use crate::detect::findings::finding::{FindingKey, FindingStatus};
use crate::detect::usage::last_use::LastUsed;
use crate::output::escape::for_terminal;
use crate::output::snapshot::FindingSnapshot;
use crate::output::time::duration;

/// The indentation of everything but the headline.
const INDENT: &str = "  ";

/// The narrowest width to which a verdict is wrapped, in columns.
const MIN_WIDTH: usize = 40;

/// Writes `snapshot` as of `now`. The verdict is wrapped to `width` columns.
pub(super) fn write(
    out: &mut impl Write,
    snapshot: &FindingSnapshot,
    now: Timestamp,
    width: usize,
) -> std::io::Result<()> {
    let finding = &snapshot.alert.finding;
    writeln!(
        out,
        "{}  {}  {}  {}",
        state(snapshot),
        finding.severity.word(),
        shown(&finding.display_name),
        shown(finding.user().account()),
    )?;
    let keys = oldest_first(&finding.keys);
    let labels = labels(&keys);
    let label_width = "verdict".len();
    let rows: Vec<[String; 4]> = keys
        .iter()
        .map(|key| {
            let age = key.created.map_or("age not known".to_owned(), |at| {
                format!("{} old", duration(now - at))
            });
            let status = key.status.word().to_lowercase();
            [shown(&key.id), status, age, last_used(snapshot, key, now)]
        })
        .collect();
    let widest = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let (ids, statuses, ages) = (widest(0), widest(1), widest(2));
    for (label, [id, status, age, used]) in labels.iter().zip(&rows) {
        writeln!(
            out,
            "{INDENT}{label:label_width$}  {id:ids$}  {status:statuses$}  {age:ages$}  {used}"
        )?;
    }
    let verdict = verdict_words(finding, snapshot.verdict().as_ref());
    if !verdict.is_empty() {
        let label = format!("{INDENT}{:label_width$}  ", "verdict");
        let indent = " ".repeat(label.len());
        let options = textwrap::Options::new(width.max(MIN_WIDTH))
            .initial_indent(&label)
            .subsequent_indent(&indent)
            // A key's id must stay whole to be copied.
            .break_words(false)
            .word_splitter(textwrap::WordSplitter::NoHyphenation);
        writeln!(out, "{}", textwrap::fill(&verdict, options))?;
    }
    Ok(())
}

/// The keys, the oldest first. Keys of an unknown age come last.
fn oldest_first(keys: &[FindingKey]) -> Vec<&FindingKey> {
    let mut keys: Vec<&FindingKey> = keys.iter().collect();
    keys.sort_by_key(|key| (key.created.is_none(), key.created, key.id.clone()));
    keys
}

/// What to call each of `keys`: which of two is the new one, if that is known.
fn labels(keys: &[&FindingKey]) -> Vec<&'static str> {
    match keys {
        // `None` is less than any time, so the other's age is known too.
        [one, other] if one.created.is_some() && one.created < other.created => {
            vec!["old key", "new key"]
        }
        _ => vec!["key"; keys.len()],
    }
}

fn state(snapshot: &FindingSnapshot) -> &'static str {
    if snapshot.alert.finding.status == FindingStatus::Suppressed {
        return "suppressed";
    }
    snapshot.change()
}

/// When, by which service and where `key` was last used.
fn last_used(snapshot: &FindingSnapshot, key: &FindingKey, now: Timestamp) -> String {
    match snapshot.last_uses.get(&key.id) {
        None => "last use not known".to_owned(),
        Some(LastUsed::Never) => "never used".to_owned(),
        Some(LastUsed::At {
            at,
            service,
            region,
        }) => {
            let when = format!("used {} ago", duration(now - *at));
            let places = service.iter().chain(region).map(|text| shown(text));
            [when]
                .into_iter()
                .chain(places)
                .collect::<Vec<_>>()
                .join(", ")
        }
    }
}

fn shown(text: &str) -> String {
    for_terminal(text, MAX_CHARS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::hostile::HOSTILE_TEXTS;
    use crate::output::testing::{snapshots, snapshots_with};

    fn printed(snapshot: &FindingSnapshot, width: usize) -> String {
        let mut out = vec![];
        write(&mut out, snapshot, snapshot.alert.at, width).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// The lines of keys in `text`.
    fn key_lines(text: &str) -> Vec<&str> {
        let begins = |line: &&str| {
            ["  old key  ", "  new key  ", "  key      "]
                .iter()
                .any(|label| line.starts_with(label))
        };
        text.lines().filter(begins).collect()
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
        let hostile = hostile.map(|one| (one, &[40, 140][..]));
        for (snapshot, widths) in usual.chain(hostile) {
            let keys = oldest_first(&snapshot.alert.finding.keys);
            for &width in widths {
                let text = printed(&snapshot, width);
                let lines = key_lines(&text);
                assert_eq!(lines.len(), keys.len(), "{width}:\n{text}");
                for (line, key) in lines.iter().zip(&keys) {
                    let status = key.status.word().to_lowercase();
                    let used = last_used(&snapshot, key, snapshot.alert.at);
                    for fact in [shown(&key.id), status, used] {
                        assert!(line.contains(&fact), "{width}: {fact}:\n{text}");
                    }
                }
                // The headline, the keys, and the verdict.
                let others = text.lines().skip(1 + keys.len());
                let mut verdict = others.filter(|line| !line.starts_with("  verdict"));
                let continues = |line: &str| line.starts_with("           ");
                assert!(verdict.all(continues), "{width}:\n{text}");
            }
        }
    }

    #[test]
    fn a_usual_finding_fits_eighty_columns() {
        for snapshot in snapshots() {
            let text = printed(&snapshot, 80);
            let widest = text.lines().map(|line| line.chars().count()).max();
            assert!(widest <= Some(80), "{text}");
        }
    }

    #[test]
    fn the_newer_of_two_keys_is_marked() {
        let snapshot = snapshots().swap_remove(0);
        let text = printed(&snapshot, 80);
        expect_test::expect![[r"
            new  MEDIUM  Alice  111122223333
              old key  AKIAOLD  active  400 days old  used 2 h ago, s3, us-east-1
              new key  AKIANEW  active  12 s old      never used
              verdict  Nothing to deactivate yet: AKIANEW has not been used yet. Move every
                       consumer from AKIAOLD to AKIANEW by 2023-11-15 22:13:22 UTC, then
                       retire AKIAOLD
        "]]
        .assert_eq(&text);
    }
}
