//! Since when two keys have been active, in words. An estimate always says that it is one.

use crate::detect::Timestamp;
use crate::detect::finding::Finding;
use crate::output::time::duration;

/// `time`, which is the beginning of a finding: `TIME`, or of an estimate `at the earliest TIME`.
#[must_use]
pub fn beginning(is_estimated: bool, time: &str) -> String {
    if is_estimated {
        format!("at the earliest {time}")
    } else {
        time.to_owned()
    }
}

/// The same as part of a sentence: `since TIME`, or of an estimate `at the earliest since TIME`.
pub(super) fn since(is_estimated: bool, time: &str) -> String {
    if is_estimated {
        format!("at the earliest since {time}")
    } else {
        format!("since {time}")
    }
}

/// How long two keys had been active by `until`: `2 days`, or of an estimate `at most 2 days`.
#[must_use]
pub fn lasted(finding: &Finding, until: Timestamp) -> String {
    let lasted = duration(until - finding.opened_at);
    if finding.is_since_estimated {
        format!("at most {lasted}")
    } else {
        lasted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::{at, finding_of};

    #[test]
    fn an_estimate_says_that_it_is_one() {
        let known = finding_of(&[]);
        let estimated = Finding {
            is_since_estimated: true,
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
