//! The chat notification: what Amazon Q Developer in chat applications shows in Slack or Teams.
//!
//! Amazon Q shows messages of this form only and silently drops any other. Source: Amazon Q
//! Developer in chat applications administrator guide, custom notifications.

use serde::Serialize;

use crate::detect::findings::alert::{Alert, AlertKind};
use crate::detect::findings::digest::Digest;
use crate::detect::findings::finding::{Finding, FindingStatus};
use crate::detect::usage::last_use::LastUses;
use crate::output::commands::{Purpose, left_inactive, recommended};
use crate::output::digest_text;
use crate::output::escape::OutputContext;
use crate::output::facts::{Facts, changed, tag, topic, user_name};
use crate::output::invocation::NOWHERE;
use crate::output::json_v1::kind;
use crate::output::time::rfc3339;

/// The longest list of findings in a digest, in bytes. A description may have 8,000 characters.
const MAX_LIST_BYTES: usize = 5_000;

/// The longest user name in a title, in characters. A title may have 250.
const MAX_TITLE_NAME_CHARS: usize = 100;

/// A custom notification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChatNotification {
    version: &'static str,
    source: &'static str,
    id: String,
    content: Content,
    metadata: Metadata,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    text_type: &'static str,
    title: String,
    description: String,
    next_steps: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    /// Updates and the closing join the thread of the opening.
    thread_id: String,
    summary: String,
    event_type: &'static str,
}

/// The notification for `alert`.
#[must_use]
pub fn chat_notification(alert: &Alert, last_uses: &LastUses) -> ChatNotification {
    let facts = Facts {
        alert,
        last_uses,
        context: OutputContext::Chat,
        // A deployment sends it, and the readers of the chat have credentials of their own.
        invocation: &NOWHERE,
    };
    let id = facts.id(&alert.finding.id.to_string());
    let title = title(&facts);
    ChatNotification {
        version: "1.0",
        source: "custom",
        id: format!("{} {}", plain(&id), alert.sequence),
        content: Content {
            text_type: "client-markdown",
            description: description(&facts).join("\n"),
            next_steps: next_steps(&facts),
            title: title.clone(),
        },
        metadata: Metadata {
            thread_id: plain(&id),
            summary: title,
            event_type: kind(&alert.kind),
        },
    }
}

impl ChatNotification {
    /// The notification as one text, for a chat that is called through its own API.
    #[must_use]
    pub fn text(&self) -> String {
        let Content {
            title,
            description,
            next_steps,
            ..
        } = &self.content;
        [title, description]
            .into_iter()
            .chain(next_steps)
            .filter(|part| !part.is_empty())
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join("\n")
    }
}

/// The notification for `digest`.
#[must_use]
pub(crate) fn digest_notification(digest: &Digest) -> ChatNotification {
    let title = format!(
        "{} | {}",
        digest_text::topic(digest),
        OutputContext::Chat.escape(&digest.account, MAX_TITLE_NAME_CHARS)
    );
    ChatNotification {
        version: "1.0",
        source: "custom",
        id: format!("{} {}", digest.kind.word(), rfc3339(digest.at)),
        content: Content {
            text_type: "client-markdown",
            description: digest_text::lines(digest, OutputContext::Chat, MAX_LIST_BYTES).join("\n"),
            next_steps: vec![digest_text::TO_DO.to_owned()],
            title: title.clone(),
        },
        metadata: Metadata {
            thread_id: plain(&OutputContext::Chat.escape(&digest.account, MAX_TITLE_NAME_CHARS)),
            summary: title,
            event_type: "digest",
        },
    }
}

fn plain(code_span: &str) -> String {
    code_span.trim_matches('`').to_owned()
}

fn title(facts: &Facts<'_>) -> String {
    let finding = &facts.alert.finding;
    let shown = |text| OutputContext::Chat.escape(text, MAX_TITLE_NAME_CHARS);
    format!(
        "{} | {}: {} ({})",
        tag(facts.alert),
        topic(facts.alert),
        shown(user_name(finding)),
        shown(finding.user().account())
    )
}

fn description(facts: &Facts<'_>) -> Vec<String> {
    let finding = &facts.alert.finding;
    let mut lines = match &facts.alert.kind {
        AlertKind::Closed => facts.closing(),
        AlertKind::Opened => vec![],
        AlertKind::Updated(updates) => vec![changed(updates)],
    };
    if finding.status != FindingStatus::Closed {
        lines.extend(facts.current_state());
        lines.extend(facts.circumstances());
        lines.extend(facts.severity_reasons());
        lines.push(facts.opened());
        lines.push(facts.window());
    }
    lines.extend(finding.keys.iter().map(|key| {
        format!(
            "• {} {}, created {}; last used: {}",
            facts.id(&key.id),
            key.status.word(),
            facts.created(key),
            facts.last_used(key)
        )
    }));
    if finding.status != FindingStatus::Closed
        && let Some(opener) = &finding.opener
    {
        let rows = facts.opener_rows(opener);
        let rows: Vec<String> = rows
            .iter()
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        lines.push(format!(
            "{}: {}",
            facts.opener_heading(opener),
            rows.join(" · ")
        ));
        lines.extend(facts.joined());
    }
    lines
}

fn next_steps(facts: &Facts<'_>) -> Vec<String> {
    let finding = &facts.alert.finding;
    if finding.status == FindingStatus::Closed {
        let as_root = left_inactive(finding).next().and_then(|_| as_root(finding));
        return as_root.into_iter().chain(commands(facts)).collect();
    }
    let Some(verdict) = facts.verdict() else {
        return vec![];
    };
    let mut steps = vec![facts.verdict_sentence(&verdict)];
    steps.extend(as_root(finding));
    steps.extend(commands(facts));
    steps.extend(facts.caveats(&verdict));
    steps
}

fn as_root(finding: &Finding) -> Option<String> {
    finding.user().is_root().then(|| {
        "Commands do not work on root's keys: sign in as root, Security credentials, Access keys"
            .to_owned()
    })
}

fn commands(facts: &Facts<'_>) -> Vec<String> {
    recommended(
        &facts.alert.finding,
        facts.verdict().as_ref(),
        facts.invocation,
    )
    .into_iter()
    .map(|command| {
        let purpose = match command.purpose {
            Purpose::Deactivate => "Deactivate it",
            Purpose::RollBack => "Roll back if something fails",
            Purpose::Delete => "Delete it once nothing has failed for some days",
        };
        match OutputContext::Chat.command(&command.line) {
            Some(line) => format!("{purpose}: {line}"),
            None => format!("{purpose}: the email has the command"),
        }
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::testing::{HOSTILE, filled_with, last_uses, last_uses_with, opened};

    #[test]
    fn opening_in_chat() {
        let notification = chat_notification(&opened(), &last_uses());
        let json = serde_json::to_string_pretty(&notification).unwrap();
        expect_test::expect![[r#"
            {
              "version": "1.0",
              "source": "custom",
              "id": "111122223333/alice/1 2",
              "content": {
                "textType": "client-markdown",
                "title": "MEDIUM | Second active access key: `Alice` (`111122223333`)",
                "description": "Confirmed: a listing shows both keys active.\nTwo active keys since 2023-11-14 22:13:22 UTC, seen 12 s later.\nThe rotation window ends in 23 h 59 min, at 2023-11-15 22:13:22 UTC; after that, the severity is HIGH.\n• `AKIAOLD` Active, created 2022-10-10 22:13:20 UTC, 400 days ago; last used: 2023-11-14 20:13:20 UTC, 2 h ago, by `s3`, in `us-east-1`\n• `AKIANEW` Active, created 2023-11-14 22:13:22 UTC, 12 s ago; last used: never\nWho created `AKIANEW`: when 2023-11-14 22:13:22 UTC · actor `arn:aws:iam::111122223333:user/bob` · signed with `ASIABOB` · source IP `198.51.100.7` · user agent `aws-cli/2.15.30 md/awscrt#0.19.19` · MFA no · console no · event `6f0e3c1a-0000-4000-8000-000000000001`",
                "nextSteps": [
                  "Nothing to deactivate yet: `AKIANEW` has not been used yet. Move every consumer from `AKIAOLD` to `AKIANEW` by 2023-11-15 22:13:22 UTC, then retire `AKIAOLD`",
                  "If you did not expect `AKIANEW` to be created, deactivate it, and keep `AKIAOLD`"
                ]
              },
              "metadata": {
                "threadId": "111122223333/alice/1",
                "summary": "MEDIUM | Second active access key: `Alice` (`111122223333`)",
                "eventType": "opened"
              }
            }"#]].assert_eq(&json);
    }

    #[test]
    fn hostile_text_stays_in_code_spans_and_limits() {
        for text in HOSTILE.iter().chain([&"<é`@".repeat(275)]) {
            let alert = filled_with(text, opened());
            let notification = chat_notification(&alert, &last_uses_with(text));
            let content = &notification.content;
            assert!(content.title.chars().count() <= 250, "{}", content.title);
            assert!(content.description.chars().count() <= 8_000);
            let texts = [&content.title, &content.description]
                .into_iter()
                .chain(&content.next_steps);
            for shown in texts {
                assert!(
                    !shown.contains(['<', '>', '&', '\u{1}', '\u{1b}']),
                    "{shown}"
                );
                let outside: String = shown.split('`').step_by(2).collect();
                assert_eq!(shown.matches('`').count() % 2, 0, "{shown}");
                assert!(!outside.contains(['@', '*', '[', '$']), "{shown}");
            }
        }
    }
}
