//! Which of two active keys to retire, and why.

use std::collections::BTreeMap;

use crate::detect::Timestamp;
use crate::detect::finding::{Finding, FindingKey};
use crate::detect::listing::KeyStatus;

/// When a key was last used. Source: IAM API reference, `GetAccessKeyLastUsed`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LastUsed {
    /// Never, as far as IAM tracks it.
    Never,
    /// Then and there.
    At {
        /// When.
        at: Timestamp,
        /// By which service.
        service: Option<String>,
        /// In which region.
        region: Option<String>,
    },
}

/// When each key was last used; a key that is missing is one of which it is not known.
pub type LastUses = BTreeMap<String, LastUsed>;

/// Which key to retire, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retire<'a> {
    /// The key to deactivate.
    pub key: &'a FindingKey,
    /// The reason.
    pub reason: RetireReason,
}

/// Why this key and not the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetireReason {
    /// It was never used, the other was.
    NeverUsed,
    /// It was used longer ago than the other.
    LeastRecentlyUsed,
    /// It is the older one, and use does not tell them apart.
    Oldest,
}

impl RetireReason {
    /// The reason in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::NeverUsed => "it was never used",
            Self::LeastRecentlyUsed => "it was used longer ago than the other",
            Self::Oldest => "it is the older one",
        }
    }
}

/// Which key of `finding` to retire: the one never used, else the one least recently used, else the oldest. Never both;
/// none if fewer than two are active, or if nothing tells them apart.
#[must_use]
pub fn key_to_retire<'a>(finding: &'a Finding, last_uses: &LastUses) -> Option<Retire<'a>> {
    // The key whose making opened the finding is the newer one, whatever else is known.
    let opened_by = finding
        .opener
        .as_ref()
        .filter(|opener| opener.created)
        .map(|opener| opener.key.as_str());
    one_to_retire(&finding.keys, opened_by, last_uses)
}

/// The same of any `keys`, of which `newest` is known to be the newest, if one is.
#[must_use]
pub fn one_to_retire<'a>(
    keys: &'a [FindingKey],
    newest: Option<&str>,
    last_uses: &LastUses,
) -> Option<Retire<'a>> {
    let active: Vec<&FindingKey> = keys
        .iter()
        .filter(|key| key.status == KeyStatus::Active)
        .collect();
    if active.len() < 2 {
        return None;
    }
    by_use(&active, last_uses).or_else(|| by_age(newest, &active))
}

fn by_use<'a>(active: &[&'a FindingKey], last_uses: &LastUses) -> Option<Retire<'a>> {
    let used_at = |key: &FindingKey| match last_uses.get(&key.id)? {
        LastUsed::Never => Some(None),
        LastUsed::At { at, .. } => Some(Some(*at)),
    };
    // One key of which nothing is known could be the one in use.
    let mut uses = active
        .iter()
        .map(|key| Some((used_at(key)?, *key)))
        .collect::<Option<Vec<_>>>()?;
    uses.sort_by_key(|(used_at, _)| *used_at);
    match uses.as_slice() {
        [(first, key), (second, _), ..] if first < second => Some(Retire {
            key,
            reason: match first {
                None => RetireReason::NeverUsed,
                Some(_) => RetireReason::LeastRecentlyUsed,
            },
        }),
        _ => None,
    }
}

fn by_age<'a>(newest: Option<&str>, active: &[&'a FindingKey]) -> Option<Retire<'a>> {
    let oldest = match active {
        [one, other] if newest == Some(one.id.as_str()) => other,
        [one, other] if newest == Some(other.id.as_str()) => one,
        _ => {
            let mut dated = active
                .iter()
                .map(|key| Some((key.created?, *key)))
                .collect::<Option<Vec<_>>>()?;
            dated.sort_by_key(|(created, _)| *created);
            match dated.as_slice() {
                [(first, key), (second, _), ..] if first < second => *key,
                _ => return None,
            }
        }
    };
    Some(Retire {
        key: oldest,
        reason: RetireReason::Oldest,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::finding::Opener;
    use crate::detect::testing::{actor, at, finding_of};

    fn used(second: i64) -> LastUsed {
        LastUsed::At {
            at: at(second),
            service: None,
            region: None,
        }
    }

    #[track_caller]
    fn check(uses: &[(&str, LastUsed)], expected: Option<(&str, RetireReason)>) {
        let finding = finding_of(&[("OLD", Some(1)), ("NEW", Some(2))]);
        let uses = uses
            .iter()
            .map(|(key, used)| ((*key).to_owned(), used.clone()))
            .collect();
        let retire = key_to_retire(&finding, &uses);
        assert_eq!(
            retire
                .as_ref()
                .map(|retire| (retire.key.id.as_str(), retire.reason)),
            expected
        );
    }

    #[test]
    fn the_key_never_used_goes_before_the_old_one() {
        check(
            &[("OLD", used(5)), ("NEW", LastUsed::Never)],
            Some(("NEW", RetireReason::NeverUsed)),
        );
    }

    #[test]
    fn of_two_used_keys_the_one_used_longer_ago_goes() {
        check(
            &[("OLD", used(9)), ("NEW", used(5))],
            Some(("NEW", RetireReason::LeastRecentlyUsed)),
        );
    }

    #[test]
    fn where_use_does_not_tell_the_oldest_goes() {
        let oldest = Some(("OLD", RetireReason::Oldest));
        check(&[], oldest);
        check(
            &[("OLD", LastUsed::Never), ("NEW", LastUsed::Never)],
            oldest,
        );
        check(&[("OLD", used(5)), ("NEW", used(5))], oldest);
        check(&[("NEW", LastUsed::Never)], oldest);
    }

    #[test]
    fn the_key_whose_making_opened_the_finding_stays_and_the_other_goes() {
        let mut finding = finding_of(&[("ONE", None), ("TWO", None)]);
        for (key, created, expected) in [
            ("ONE", true, Some("TWO")),
            ("TWO", true, Some("ONE")),
            ("TWO", false, None),
        ] {
            finding.opener = Some(Opener {
                key: key.to_owned(),
                created,
                at: at(2),
                inactive_since: None,
                actor: actor("bob"),
                relation: None,
                event_id: None,
            });
            let retire = key_to_retire(&finding, &LastUses::new());
            assert_eq!(retire.map(|retire| retire.key.id.as_str()), expected);
        }
    }

    #[test]
    fn of_three_active_keys_the_oldest_goes() {
        let finding = finding_of(&[("NEW", Some(3)), ("OLD", Some(1)), ("MIDDLE", Some(2))]);
        let retire = key_to_retire(&finding, &LastUses::new()).unwrap();
        assert_eq!(retire.key.id, "OLD");
    }

    #[test]
    fn where_nothing_tells_them_apart_none_goes() {
        let finding = finding_of(&[("ONE", None), ("TWO", None)]);
        assert_eq!(key_to_retire(&finding, &LastUses::new()), None);
        let finding = finding_of(&[("ONE", Some(1)), ("TWO", Some(1))]);
        assert_eq!(key_to_retire(&finding, &LastUses::new()), None);
    }

    #[test]
    fn a_single_active_key_is_never_the_one_to_retire() {
        let finding = finding_of(&[("ONE", Some(1))]);
        assert_eq!(key_to_retire(&finding, &LastUses::new()), None);
    }
}
