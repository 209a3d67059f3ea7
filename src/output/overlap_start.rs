//! Since when two keys have been active, in words. An estimate always says that it is one.

use crate::detect::Timestamp;
use crate::detect::findings::finding::Finding;
use crate::output::time::duration;

/// `time`, the start of a finding. An estimate reads `at the earliest TIME`.
#[must_use]
pub(crate) fn beginning(is_estimated: bool, time: &str) -> String {
    if is_estimated {
        format!("at the earliest {time}")
    } else {
        time.to_owned()
    }
}

/// The same within a sentence: `since TIME`. An estimate reads `at the earliest since TIME`.
pub(crate) fn since(is_estimated: bool, time: &str) -> String {
    if is_estimated {
        format!("at the earliest since {time}")
    } else {
        format!("since {time}")
    }
}

/// How long two keys had been active by `until`: `2 days`. An estimate reads `at most 2 days`.
#[must_use]
pub(crate) fn lasted(finding: &Finding, until: Timestamp) -> String {
    let lasted = duration(until - finding.opened_at);
    if finding.is_opened_at_estimated {
        format!("at most {lasted}")
    } else {
        lasted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{at, finding_of};
    use crate::output::alert_text::alert_text;
    use crate::output::chat::chat_notification;
    use crate::output::digest_text::digest_text;
    use crate::output::escape::OutputContext;
    use crate::output::invocation::NOWHERE;
    use crate::output::snapshot::FindingSnapshot;
    use crate::output::testing::{closed, digest_of, estimated, last_uses, opened, updated};
    use crate::output::{asff, ocsf, sarif};

    #[test]
    fn every_readable_output_marks_an_estimated_start() {
        for alert in [opened(), updated(), closed()] {
            let is_open = alert.finding.closing.is_none();
            let estimated = estimated(alert.clone());
            for (alert, is_said) in [(alert, false), (estimated, true)] {
                let uses = last_uses();
                let snapshots = [FindingSnapshot {
                    alert: alert.clone(),
                    last_uses: uses.clone(),
                    invocation: NOWHERE.clone(),
                }];
                let mut outputs = vec![
                    alert_text(&alert, &uses, OutputContext::PlainText, &NOWHERE).whole(),
                    alert_text(&alert, &uses, OutputContext::Terminal, &NOWHERE).whole(),
                    chat_notification(&alert, &uses).text(),
                    asff::document(&snapshots, "us-east-1").unwrap(),
                    ocsf::document(&snapshots).unwrap(),
                    digest_text(
                        &digest_of(std::slice::from_ref(&alert)),
                        OutputContext::PlainText,
                    ),
                ];
                if is_open {
                    outputs.push(sarif::document(&snapshots).unwrap());
                }
                for output in outputs {
                    let says = output.contains("at the earliest since 2023-11-14 22:13:22 UTC");
                    assert_eq!(says, is_said, "{output}");
                }
            }
        }
    }

    #[test]
    fn estimate_is_marked_as_one() {
        let known = finding_of(&[]);
        let estimated = Finding {
            is_opened_at_estimated: true,
            ..finding_of(&[])
        };
        let until = at(2 + 3 * 86_400);
        assert_eq!(lasted(&known, until), "3 days");
        assert_eq!(lasted(&estimated, until), "at most 3 days");
        assert_eq!(beginning(false, "noon"), "noon");
        assert_eq!(beginning(true, "noon"), "at the earliest noon");
        assert_eq!(since(false, "noon"), "since noon");
        assert_eq!(since(true, "noon"), "at the earliest since noon");
    }
}
