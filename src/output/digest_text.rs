//! The readable digest: the open findings of an account, one line each.

use crate::detect::digest::{Digest, DigestKind};
use crate::detect::finding::Finding;
use crate::detect::retire::LastUses;
use crate::detect::verdict::{Verdict, verdict_on};
use crate::output::escape::{LONGEST_ID, Place, for_subject};
use crate::output::facts::user_name;
use crate::output::since::{lasted, since};
use crate::output::time::readable;
use crate::output::verdict_text::sentence;

/// How long the list of findings in a readable digest may get, in bytes. The rest are counted, and told by the command that it
/// names. Beside the other protocols' texts SNS takes it.
const LONGEST: usize = 60_000;

/// The longest account id in a subject.
const LONGEST_IN_SUBJECT: usize = 14;

/// What to do about a digest.
pub(super) const TO_DO: &str = "For each of them: `secondkey check USER` says what to do, and which key to deactivate if one is to be. \
    `secondkey findings` lists them all";

/// What the digest is about.
pub(super) fn topic(digest: &Digest) -> String {
    let users = match digest.findings.len() {
        1 => "1 user has".to_owned(),
        many => format!("{many} users have"),
    };
    match digest.kind {
        DigestKind::Baseline => format!("First sweep: {users} two active access keys"),
        DigestKind::Reminder => format!("Reminder: {users} two active access keys"),
    }
}

/// The subject of a message with `digest`: printable ASCII, shorter than 100 characters.
#[must_use]
pub fn digest_subject(digest: &Digest) -> String {
    let account = Place::PlainText.escape(&digest.account, LONGEST_IN_SUBJECT);
    for_subject(&format!("[DIGEST] {} ({account})", topic(digest)))
}

/// The readable form of `digest` for `place`, a terminal or plain text.
#[must_use]
pub fn digest_text(digest: &Digest, place: Place) -> String {
    let account = place.escape(&digest.account, LONGEST_ID);
    let headline = format!("[DIGEST] {} ({account})", topic(digest));
    let lines = lines(digest, place, LONGEST).join("\n");
    format!("{headline}\n\n{lines}\n\n{TO_DO}.\n")
}

/// The lines of `digest`, those of the findings with `longest` bytes at most.
pub(super) fn lines(digest: &Digest, place: Place, longest: usize) -> Vec<String> {
    let why = match digest.kind {
        DigestKind::Baseline => {
            "These were there before secondkey looked for the first time; what becomes of each is told by itself."
        }
        DigestKind::Reminder => "At least one of them has outlived the rotation window.",
    };
    let unchecked = (digest.unchecked > 0).then(|| {
        format!(
            "{} more could not be checked; the next sweep tries again.",
            digest.unchecked
        )
    });
    let mut room = longest;
    let listed: Vec<String> = digest
        .findings
        .iter()
        .map(|finding| line(finding, digest, place))
        .take_while(|line| {
            let fits = line.len() < room;
            room = room.saturating_sub(line.len() + 1);
            fits
        })
        .collect();
    let left_out = digest.findings.len() - listed.len();
    let rest = (left_out > 0).then(|| format!("… and {left_out} more."));
    [why.to_owned()]
        .into_iter()
        .chain(unchecked)
        .chain(listed)
        .chain(rest)
        .collect()
}

fn line(finding: &Finding, digest: &Digest, place: Place) -> String {
    let keys: Vec<String> = finding
        .active_keys()
        .map(|key| place.escape(key, LONGEST_ID))
        .collect();
    format!(
        "{:<8} {}  {}, for {}: {}{}",
        finding.severity.word(),
        place.escape(user_name(finding), LONGEST_ID),
        since(finding.is_since_estimated, &readable(finding.opened_at)),
        lasted(finding, digest.at),
        keys.join(" and "),
        contained(finding, place)
    )
}

/// The verdict, where it does not depend on when the keys were last used, which a digest does not know.
fn contained(finding: &Finding, place: Place) -> String {
    let verdict = verdict_on(
        finding,
        &LastUses::new(),
        finding.opened_at,
        finding.detected_at,
    );
    let contained = verdict.filter(|verdict| matches!(verdict, Verdict::Contain { .. }));
    contained.map_or_else(String::new, |verdict| {
        format!(
            ". {}",
            sentence(&verdict, &|key| place.escape(key, LONGEST_ID))
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::testing::at;
    use crate::output::hostile::{first_link, first_unseen};
    use crate::output::testing::{HOSTILE, digest_of, filled_with, opened, updated};

    #[test]
    fn a_digest_for_people() {
        let digest = digest_of(&[updated(), opened()]);
        expect_test::expect![[r"
            [DIGEST] First sweep: 2 users have two active access keys (111122223333)

            These were there before secondkey looked for the first time; what becomes of each is told by itself.
            HIGH     Alice  since 2023-11-14 22:13:22 UTC, for 24 h: AKIAOLD and AKIANEW
            MEDIUM   Alice  since 2023-11-14 22:13:22 UTC, for 24 h: AKIAOLD and AKIANEW

            For each of them: `secondkey check USER` says what to do, and which key to deactivate if one is to be. `secondkey findings` lists them all.
        "]]
        .assert_eq(&digest_text(&digest, Place::PlainText));
        assert_eq!(
            digest_subject(&digest),
            "[DIGEST] First sweep: 2 users have two active access keys (111122223333)"
        );
    }

    #[test]
    fn what_is_left_out_is_counted() {
        let mut digest = digest_of(&[opened()]);
        digest.findings = vec![digest.findings[0].clone(); 5_000];
        let text = digest_text(&digest, Place::PlainText);
        assert!(text.len() < LONGEST + 500);
        assert!(text.contains("First sweep: 5000 users"), "{text}");
        let listed = text.matches("MEDIUM").count();
        assert!(listed > 500, "{listed}");
        assert!(text.contains(&format!("… and {} more.", 5_000 - listed)));
    }

    #[test]
    fn hostile_text_forges_no_line_of_a_digest() {
        for text in HOSTILE.iter() {
            let mut digest = digest_of(&[filled_with(text, opened())]);
            text.clone_into(&mut digest.account);
            for place in [Place::Terminal, Place::PlainText] {
                let shown = digest_text(&digest, place);
                assert_eq!(shown.lines().count(), 6, "{shown}");
                assert_eq!(first_unseen(&shown), None, "{shown}");
                if place == Place::PlainText {
                    assert_eq!(first_link(&shown), None, "{shown}");
                }
            }
            assert_eq!(first_link(&digest_subject(&digest)), None);
            let subject = digest_subject(&digest);
            assert!(subject.len() < 100 && subject.is_ascii(), "{subject}");
        }
        assert!(digest_of(&[opened()]).at > at(0));
    }
}
