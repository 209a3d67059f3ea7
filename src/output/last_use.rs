//! When a key was last used, in words: one wording for every readable output.

use crate::detect::Timestamp;
use crate::detect::usage::last_use::LastUsed;
use crate::output::time::{duration, readable};

/// The last use for a line that is labeled as one: `2026-11-23 04:05:06 UTC, 2 h ago, by s3, in us-east-1`,
/// `never` or `not known`. `shown` escapes a text for the output.
pub(crate) fn last_use(
    used: Option<&LastUsed>,
    now: Timestamp,
    shown: &dyn Fn(&str) -> String,
) -> String {
    match parts(used, shown) {
        LastUseParts::NotKnown => "not known".to_owned(),
        LastUseParts::Never => "never".to_owned(),
        LastUseParts::At {
            at,
            service,
            region,
        } => {
            let by = service.map(|service| format!("by {service}"));
            let region = region.map(|region| format!("in {region}"));
            joined([Some(moment(at, now)), by, region])
        }
    }
}

/// The last use beside other facts, as short as possible: `used 2 h ago, s3, us-east-1`, `never used` or
/// `last use not known`.
#[cfg(feature = "cli")]
pub(crate) fn brief_last_use(
    used: Option<&LastUsed>,
    now: Timestamp,
    shown: &dyn Fn(&str) -> String,
) -> String {
    match parts(used, shown) {
        LastUseParts::NotKnown => "last use not known".to_owned(),
        LastUseParts::Never => "never used".to_owned(),
        LastUseParts::At {
            at,
            service,
            region,
        } => {
            let when = format!("used {} ago", duration(now - at));
            joined([Some(when), service, region])
        }
    }
}

/// `at`, with its age at `now`.
pub(crate) fn moment(at: Timestamp, now: Timestamp) -> String {
    format!("{}, {} ago", readable(at), duration(now - at))
}

/// What is known about a last use, escaped.
enum LastUseParts {
    NotKnown,
    Never,
    At {
        at: Timestamp,
        service: Option<String>,
        region: Option<String>,
    },
}

fn parts(used: Option<&LastUsed>, shown: &dyn Fn(&str) -> String) -> LastUseParts {
    let shown = |text: &Option<String>| text.as_deref().map(shown);
    match used {
        None => LastUseParts::NotKnown,
        Some(LastUsed::Never) => LastUseParts::Never,
        Some(LastUsed::At {
            at,
            service,
            region,
        }) => LastUseParts::At {
            at: *at,
            service: shown(service),
            region: shown(region),
        },
    }
}

fn joined<const N: usize>(parts: [Option<String>; N]) -> String {
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(all(test, feature = "cli"))]
mod tests {
    use super::*;
    use crate::detect::testing::at;

    #[test]
    fn a_last_use_reads_alone_and_beside_other_facts() {
        let used = |service: Option<&str>| LastUsed::At {
            at: at(-7_200),
            service: service.map(str::to_owned),
            region: service.map(|_| "us-east-1".to_owned()),
        };
        let same = |text: &str| text.to_owned();
        for (used, alone, beside) in [
            (None, "not known", "last use not known"),
            (Some(LastUsed::Never), "never", "never used"),
            (
                Some(used(Some("s3"))),
                "2023-11-14 20:13:20 UTC, 2 h ago, by s3, in us-east-1",
                "used 2 h ago, s3, us-east-1",
            ),
            (
                Some(used(None)),
                "2023-11-14 20:13:20 UTC, 2 h ago",
                "used 2 h ago",
            ),
        ] {
            assert_eq!(last_use(used.as_ref(), at(0), &same), alone);
            assert_eq!(brief_last_use(used.as_ref(), at(0), &same), beside);
        }
    }
}
