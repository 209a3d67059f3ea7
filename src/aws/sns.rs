//! Publishes alerts to an SNS topic, with a text for each protocol.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sns::Client;
use aws_sdk_sns::types::MessageAttributeValue;
use serde::Serialize;

use crate::aws::pace::Pace;
use crate::aws::sdk_errors::service_error;
use crate::detect::decision::severity::Severity;
use crate::detect::findings::alert::Alert;
use crate::detect::findings::digest::Digest;
use crate::detect::usage::last_use::LastUses;
use crate::output::alert_text::{alert_text, subject};
use crate::output::chat::{chat_notification, digest_notification};
use crate::output::digest_text::{digest_subject, digest_text};
use crate::output::escape::{OutputContext, for_subject};
use crate::output::invocation::Invocation;
use crate::output::json_v1;
use crate::pipeline::alert_sink::AlertSink;
use crate::pipeline::error::ServiceError;

/// The longest JSON in a message. Quoting the JSON once more may double it. With the readable texts
/// it stays below SNS's limit of 262,144 bytes for all protocols together (SNS API reference,
/// `Publish`).
const MAX_JSON_BYTES: usize = 64 * 1024;

/// Publishes alerts to one standard topic.
#[derive(Debug, Clone)]
pub struct SnsSink {
    client: Client,
    topic_arn: String,
    invocation: Invocation,
    pace: Option<Pace>,
}

impl SnsSink {
    /// Publishes to the topic `topic_arn`, with commands for the store in `invocation`.
    #[must_use]
    pub fn new(client: Client, topic_arn: String, invocation: Invocation) -> Self {
        Self {
            client,
            topic_arn,
            invocation,
            pace: None,
        }
    }

    /// The same sink, with `pause` before each message.
    #[must_use]
    pub fn paced(mut self, pause: Duration) -> Self {
        self.pace = Some(Pace::new(pause));
        self
    }
}

#[async_trait]
impl AlertSink for SnsSink {
    fn name(&self) -> &'static str {
        "sns"
    }

    async fn send(&self, alert: &Alert, last_uses: &LastUses) -> Result<(), ServiceError> {
        let message = message(alert, last_uses, &self.invocation);
        self.publish(subject(alert), message, attributes(alert))
            .await
    }

    async fn send_digest(&self, digest: &Digest) -> Result<(), ServiceError> {
        let subject = digest_subject(digest);
        self.publish(subject, digest_message(digest), digest_attributes(digest))
            .await
    }
}

impl SnsSink {
    async fn publish(
        &self,
        subject: String,
        message: Result<String, serde_json::Error>,
        attributes: impl Iterator<Item = (&'static str, String)>,
    ) -> Result<(), ServiceError> {
        let what = format!("sns:Publish to topic `{}`", self.topic_arn);
        let message =
            message.map_err(|error| ServiceError::permanent(format!("{what} failed: {error}")))?;
        let mut request = self
            .client
            .publish()
            .topic_arn(&self.topic_arn)
            .subject(subject)
            .message_structure("json")
            .message(message);
        for (name, value) in attributes {
            let value = MessageAttributeValue::builder()
                .data_type("String")
                .string_value(value)
                .build()
                .map_err(|error| ServiceError::permanent(format!("{what} failed: {error}")))?;
            request = request.message_attributes(name, value);
        }
        if let Some(pace) = &self.pace {
            pace.wait().await;
        }
        request
            .send()
            .await
            .map_err(|error| service_error(&what, &error))?;
        Ok(())
    }
}

/// The text for the subscribers of each protocol. Other protocols receive the default.
#[derive(Serialize)]
struct Message {
    /// JSON for programs: queues, functions and streams.
    default: String,
    /// The readable text for people.
    email: String,
    /// Amazon Q in chat subscribes by HTTPS and accepts no other format.
    https: String,
    /// One short line.
    sms: String,
}

fn message(
    alert: &Alert,
    last_uses: &LastUses,
    invocation: &Invocation,
) -> Result<String, serde_json::Error> {
    serde_json::to_string(&Message {
        default: json_v1::to_line(&json_v1::alert(alert, last_uses), MAX_JSON_BYTES)?,
        email: alert_text(alert, last_uses, OutputContext::PlainText, invocation).whole(),
        https: serde_json::to_string(&chat_notification(alert, last_uses))?,
        sms: subject(alert),
    })
}

fn digest_message(digest: &Digest) -> Result<String, serde_json::Error> {
    serde_json::to_string(&Message {
        default: json_v1::digest_to_line(digest, MAX_JSON_BYTES, |document| document)?,
        email: digest_text(digest, OutputContext::PlainText),
        https: serde_json::to_string(&digest_notification(digest))?,
        sms: digest_subject(digest),
    })
}

/// The attributes that a subscription can filter by.
fn attributes(alert: &Alert) -> impl Iterator<Item = (&'static str, String)> {
    let finding = &alert.finding;
    [
        ("severity", finding.severity.word().to_owned()),
        ("kind", json_v1::kind(&alert.kind).to_owned()),
        ("account", for_subject(finding.user().account())),
    ]
    .into_iter()
    // SNS refuses a message with an empty attribute.
    .filter(|(_, value)| !value.is_empty())
}

fn digest_attributes(digest: &Digest) -> impl Iterator<Item = (&'static str, String)> {
    let highest = digest.findings.iter().map(|finding| finding.severity).max();
    [
        ("severity", highest.map_or("", Severity::word).to_owned()),
        ("kind", "digest".to_owned()),
        ("account", for_subject(&digest.account)),
    ]
    .into_iter()
    .filter(|(_, value)| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::output::hostile::first_unseen;
    use crate::output::testing::{
        HOSTILE, closed, digest_of, every_alert, filled_with, last_uses, last_uses_with, opened,
    };

    fn deployed() -> Invocation {
        Invocation::deployed("secondkey", Some("eu-west-1"))
    }

    #[test]
    fn the_emails_verify_command_names_the_deployed_table() {
        let email = parsed(&opened(), &last_uses())["email"].to_string();
        let expected = format!(
            "secondkey verify 111122223333/Alice --head {} --table secondkey --region eu-west-1",
            opened().audit_hash
        );
        assert!(email.contains(&expected), "{email}");
    }

    fn parsed(alert: &Alert, last_uses: &LastUses) -> Value {
        serde_json::from_str(&message(alert, last_uses, &deployed()).unwrap()).unwrap()
    }

    #[test]
    fn every_alert_has_the_expected_protocols() {
        for alert in every_alert() {
            let message = parsed(&alert, &last_uses());
            let protocols: Vec<&String> = message.as_object().unwrap().keys().collect();
            assert_eq!(protocols, ["default", "email", "https", "sms"]);
            let text = |protocol: &str| message[protocol].as_str().unwrap().to_owned();
            let json: Value = serde_json::from_str(&text("default")).unwrap();
            assert_eq!(json["version"], "1");
            let chat: Value = serde_json::from_str(&text("https")).unwrap();
            assert_eq!(chat["source"], "custom");
            assert!(text("sms").len() < 100);
        }
    }

    #[test]
    fn hostile_text_forges_no_email_line_or_attribute() {
        let lines = |alert: &Alert, uses: &LastUses| {
            parsed(alert, uses)["email"]
                .as_str()
                .unwrap()
                .lines()
                .count()
        };
        for of in [opened(), closed()] {
            let expected = lines(&filled_with("x", of.clone()), &last_uses_with("x"));
            for text in HOSTILE.iter() {
                let alert = filled_with(text, of.clone());
                assert_eq!(lines(&alert, &last_uses_with(text)), expected, "{text:?}");
                let message = parsed(&alert, &last_uses_with(text));
                for (protocol, told) in message.as_object().unwrap() {
                    assert_eq!(first_unseen(told.as_str().unwrap()), None, "{protocol}");
                }
                for (_, value) in attributes(&alert) {
                    assert!(value.chars().all(|shown| (' '..='~').contains(&shown)));
                }
            }
        }
    }

    #[test]
    fn a_digest_of_many_findings_stays_below_the_limit() {
        for text in HOSTILE
            .iter()
            .chain([&"\u{202e}".repeat(340), &"'".repeat(1_000)])
        {
            let mut digest = digest_of(&[filled_with(text, opened())]);
            digest.findings = vec![digest.findings[0].clone(); 3_000];
            let message = digest_message(&digest).unwrap();
            assert!(
                message.len() < 250_000,
                "{} bytes of {text:.20?}",
                message.len()
            );
            assert_eq!(first_unseen(&message), None);
        }
    }

    #[test]
    fn the_longest_texts_stay_below_the_limit() {
        for character in [
            "\u{1}",
            "\\",
            "\"",
            "'",
            "é",
            "🦀",
            "\u{202e}",
            "<",
            "x",
            "\u{e0041}",
            "\u{85}",
            "\u{ffff}",
        ] {
            let text = character.repeat(1_100 / character.len());
            for of in [opened(), closed()] {
                let alert = filled_with(&text, of);
                let message = message(&alert, &last_uses_with(&text), &deployed()).unwrap();
                assert!(
                    message.len() < 250_000,
                    "{} bytes of {character:?}",
                    message.len()
                );
            }
        }
    }
}
