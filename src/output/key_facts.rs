//! The keys of a finding in words, one key at a time: a fact about a key must never be read as one
//! about the other.

use crate::detect::Timestamp;
use crate::detect::findings::finding::{Finding, FindingKey};
use crate::detect::usage::last_use::LastUses;
use crate::output::last_use::brief_last_use;
use crate::output::time::duration;

/// A key in words, escaped for the output that shows it.
pub(crate) struct KeyFacts {
    /// `old`, `new`, or `key` if it is not known which is older.
    pub(crate) label: &'static str,
    /// Its id.
    pub(crate) id: String,
    /// `active` or `inactive`.
    pub(crate) status: String,
    /// `400 days old`, or `age not known`.
    pub(crate) age: String,
    /// `used 2 h ago, s3, us-east-1`, `never used` or `last use not known`.
    pub(crate) last_use: String,
}

/// The keys of `finding` as of `as_of`, the oldest first. `shown` escapes a text for the output.
pub(crate) fn key_facts(
    finding: &Finding,
    last_uses: &LastUses,
    as_of: Timestamp,
    shown: &dyn Fn(&str) -> String,
) -> Vec<KeyFacts> {
    let keys = finding.keys_by_age();
    let labels = labels(finding, &keys);
    keys.iter()
        .zip(labels)
        .map(|(key, label)| KeyFacts {
            label,
            id: shown(&key.id),
            status: key.status.word().to_lowercase(),
            age: finding.created_at(key).map_or_else(
                || "age not known".to_owned(),
                |created| format!("{} old", duration(as_of - created)),
            ),
            last_use: brief_last_use(last_uses.get(&key.id), as_of, shown),
        })
        .collect()
}

/// What to call each of `keys`: which of two is the new one, if that is known.
fn labels(finding: &Finding, keys: &[&FindingKey]) -> Vec<&'static str> {
    match keys {
        // `None` is less than any time, so a known age of the first is less than the other's.
        [one, other]
            if finding.created_at(one).is_some()
                && finding.created_at(one) < finding.created_at(other) =>
        {
            vec!["old", "new"]
        }
        _ => vec!["key"; keys.len()],
    }
}
