//! The readable digest: the open findings of an account, one per line.

use crate::detect::decision::verdict::{Verdict, verdict_on};
use crate::detect::findings::digest::{Digest, DigestKind};
use crate::detect::findings::finding::Finding;
use crate::detect::usage::last_use::LastUses;
use crate::output::escape::{MAX_ID_CHARS, OutputContext, for_subject};
use crate::output::facts::user_name;
use crate::output::overlap_start::{lasted, since};
use crate::output::time::readable;
use crate::output::verdict_text::sentence;

/// The longest list of findings in a readable digest, in bytes. The digest counts the rest and
/// names the command that lists them. With the texts for other protocols beside it, the message
/// still fits in SNS's limit.
const MAX_LIST_BYTES: usize = 60_000;

/// The longest account ID in a subject, in characters.
const MAX_SUBJECT_ID_CHARS: usize = 14;

/// What to do about a digest.
pub(super) const TO_DO: &str = "For each user, run `secondkey check USER` to see what to do \
    and which key to deactivate, if any. \
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
pub(crate) fn digest_subject(digest: &Digest) -> String {
    let account = OutputContext::PlainText.escape(&digest.account, MAX_SUBJECT_ID_CHARS);
    for_subject(&format!("[DIGEST] {} ({account})", topic(digest)))
}

/// The readable form of `digest` for `context`, a terminal or plain text.
#[must_use]
pub(crate) fn digest_text(digest: &Digest, context: OutputContext) -> String {
    let account = context.escape(&digest.account, MAX_ID_CHARS);
    let headline = format!("[DIGEST] {} ({account})", topic(digest));
    let lines = lines(digest, context, MAX_LIST_BYTES).join("\n");
    format!("{headline}\n\n{lines}\n\n{TO_DO}.\n")
}

/// The lines of `digest`. The findings take at most `longest` bytes.
pub(super) fn lines(digest: &Digest, context: OutputContext, longest: usize) -> Vec<String> {
    let why = match digest.kind {
        DigestKind::Baseline => {
            "These users had two active keys before the first sweep; later changes are sent as \
             separate alerts."
        }
        DigestKind::Reminder => "For at least one of them, the rotation window has ended.",
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
        .map(|finding| line(finding, digest, context))
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

fn line(finding: &Finding, digest: &Digest, context: OutputContext) -> String {
    let keys: Vec<String> = finding
        .active_keys()
        .map(|key| context.escape(key, MAX_ID_CHARS))
        .collect();
    format!(
        "{:<8} {}  {}, for {}: {}{}",
        finding.severity.word(),
        context.escape(user_name(finding), MAX_ID_CHARS),
        since(finding.is_opened_at_estimated, &readable(finding.opened_at)),
        lasted(finding, digest.at),
        keys.join(" and "),
        contained(finding, context)
    )
}

/// The verdict, if it does not depend on when the keys were last used. A digest does not know
/// that.
fn contained(finding: &Finding, context: OutputContext) -> String {
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
            sentence(&verdict, &|key| context.escape(key, MAX_ID_CHARS))
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
    fn readable_digest() {
        let digest = digest_of(&[updated(), opened()]);
        expect_test::expect![[r"
            [DIGEST] First sweep: 2 users have two active access keys (111122223333)

            These users had two active keys before the first sweep; later changes are sent as separate alerts.
            HIGH     Alice  since 2023-11-14 22:13:22 UTC, for 24 h: AKIAOLD and AKIANEW
            MEDIUM   Alice  since 2023-11-14 22:13:22 UTC, for 24 h: AKIAOLD and AKIANEW

            For each user, run `secondkey check USER` to see what to do and which key to deactivate, if any. `secondkey findings` lists them all.
        "]]
        .assert_eq(&digest_text(&digest, OutputContext::PlainText));
        assert_eq!(
            digest_subject(&digest),
            "[DIGEST] First sweep: 2 users have two active access keys (111122223333)"
        );
    }

    #[test]
    fn findings_left_out_of_a_digest_are_counted() {
        let mut digest = digest_of(&[opened()]);
        digest.findings = vec![digest.findings[0].clone(); 5_000];
        let text = digest_text(&digest, OutputContext::PlainText);
        assert!(text.len() < MAX_LIST_BYTES + 500);
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
            for context in [OutputContext::Terminal, OutputContext::PlainText] {
                let shown = digest_text(&digest, context);
                assert_eq!(shown.lines().count(), 6, "{shown}");
                assert_eq!(first_unseen(&shown), None, "{shown}");
                if context == OutputContext::PlainText {
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
