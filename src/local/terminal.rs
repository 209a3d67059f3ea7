//! Alerts on the terminal.

use std::io::Write;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use owo_colors::{OwoColorize, Style};

use crate::detect::decision::severity::Severity;
use crate::detect::findings::alert::{Alert, AlertKind};
use crate::detect::findings::digest::Digest;
use crate::detect::findings::finding::FindingStatus;
use crate::detect::usage::last_use::LastUses;
use crate::output::alert_text::{AlertText, alert_text};
use crate::output::digest_text::digest_text;
use crate::output::escape::OutputContext;
use crate::output::invocation::Invocation;
use crate::output::time::readable;
use crate::pipeline::alert_sink::AlertSink;
use crate::pipeline::error::ServiceError;

/// Writes readable alerts with a colored headline.
pub struct TerminalSink {
    output: Mutex<Box<dyn Write + Send>>,
    invocation: Invocation,
    is_brief: bool,
}

impl TerminalSink {
    /// Writes to `output`, always with color codes.
    #[must_use]
    pub fn new(output: Box<dyn Write + Send>) -> Self {
        Self {
            output: Mutex::new(output),
            invocation: Invocation::default(),
            is_brief: false,
        }
    }

    /// Writes alerts with commands for the program `invocation`.
    #[must_use]
    pub fn shown_by(self, invocation: Invocation) -> Self {
        Self { invocation, ..self }
    }

    /// Writes one line per alert: its time and its headline.
    #[must_use]
    pub fn brief(self) -> Self {
        Self {
            is_brief: true,
            ..self
        }
    }

    /// Writes to stderr, because stdout is for data. Uses color only on a terminal and if
    /// `NO_COLOR` is not set.
    #[must_use]
    pub fn stderr() -> Self {
        Self::new(Box::new(anstream::stderr()))
    }
}

#[async_trait]
impl AlertSink for TerminalSink {
    fn name(&self) -> &'static str {
        "terminal"
    }

    async fn send(&self, alert: &Alert, last_uses: &LastUses) -> Result<(), ServiceError> {
        // Whoever wrote the exemption knows of it, and nobody else is to be alerted.
        if alert.finding.status == FindingStatus::Suppressed {
            return Ok(());
        }
        let text = alert_text(alert, last_uses, OutputContext::Terminal, &self.invocation);
        let headline = colored(&text, alert);
        self.print(&if self.is_brief {
            format!("{}  {headline}\n", readable(alert.at))
        } else {
            format!("{headline}\n\n{}\n", text.body())
        })
    }

    async fn send_digest(&self, digest: &Digest) -> Result<(), ServiceError> {
        self.print(&format!(
            "{}\n",
            digest_text(digest, OutputContext::Terminal)
        ))
    }
}

impl TerminalSink {
    fn print(&self, text: &str) -> Result<(), ServiceError> {
        // One write per alert, so that no other line appears between its lines.
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        output
            .write_all(text.as_bytes())
            .and_then(|()| output.flush())
            .map_err(|error| {
                ServiceError::permanent(format!("an alert could not be written: {error}"))
            })
    }
}

/// How a severity looks on a terminal.
pub(crate) fn style_of(severity: Severity) -> Style {
    match severity {
        Severity::Medium => Style::new().yellow(),
        Severity::High => Style::new().red(),
        Severity::Critical => Style::new().white().on_red(),
    }
}

/// The headline of `text`, colored.
fn colored(text: &AlertText, alert: &Alert) -> String {
    let style = match alert.kind {
        AlertKind::Closed => Style::new().green(),
        AlertKind::Opened | AlertKind::Updated(_) => style_of(alert.finding.severity),
    };
    text.headline().style(style.bold()).to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::output::testing::{HOSTILE, every_alert, filled_with, last_uses, last_uses_with};

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    async fn printed(alert: &Alert, last_uses: &LastUses) -> String {
        let captured = Captured::default();
        let sink = TerminalSink::new(Box::new(captured.clone()));
        sink.send(alert, last_uses).await.unwrap();
        let bytes = captured.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[tokio::test]
    async fn only_the_headline_is_colored_and_what_is_suppressed_is_not_printed() {
        for alert in every_alert() {
            let printed = printed(&alert, &last_uses()).await;
            if alert.finding.status == FindingStatus::Suppressed {
                assert_eq!(printed, "");
                continue;
            }
            let (headline, body) = printed.split_once('\n').unwrap();
            assert!(headline.starts_with("\x1b[") && headline.ends_with("\x1b[0m"));
            assert!(!body.contains('\x1b'));
        }
    }

    #[tokio::test]
    async fn a_brief_alert_is_one_line() {
        let captured = Captured::default();
        let sink = TerminalSink::new(Box::new(captured.clone())).brief();
        let alert = every_alert().remove(0);
        sink.send(&alert, &last_uses()).await.unwrap();
        let bytes = captured.0.lock().unwrap().clone();
        let printed = anstream::adapter::strip_bytes(&bytes).into_vec();
        assert_eq!(
            String::from_utf8(printed).unwrap(),
            "2023-11-14 22:13:34 UTC  [MEDIUM] Second active access key: Alice (111122223333)\n"
        );
    }

    #[tokio::test]
    async fn hostile_text_is_escaped() {
        for alert in every_alert() {
            let harmless = printed(&filled_with("x", alert.clone()), &last_uses_with("x")).await;
            let codes = harmless.matches('\x1b').count();
            for text in HOSTILE.iter() {
                let hostile = filled_with(text, alert.clone());
                let printed = printed(&hostile, &last_uses_with(text)).await;
                assert_eq!(printed.matches('\x1b').count(), codes, "{text:?}");
                assert_eq!(printed.lines().count(), harmless.lines().count());
                let control = |character: char| character.is_control();
                let others = printed.replace(['\n', '\x1b'], "");
                assert!(!others.contains(control), "{text:?}");
            }
        }
    }

    #[tokio::test]
    async fn color_codes_are_stripped_if_not_wanted() {
        let alert = every_alert().remove(0);
        let captured = Captured::default();
        let output =
            anstream::StripStream::new(Box::new(captured.clone()) as Box<dyn Write + Send>);
        let sink = TerminalSink::new(Box::new(output));
        sink.send(&alert, &last_uses()).await.unwrap();
        let bytes = captured.0.lock().unwrap().clone();
        assert!(String::from_utf8(bytes).unwrap().starts_with("[MEDIUM] "));
    }
}
