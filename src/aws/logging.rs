//! The log of a function: one JSON object per line. Each line is self-contained and has IDs as
//! fields.

use std::io::{self, Write};

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::output::escape::for_json;

/// Starts logging to stdout: our own lines from `level`, those of libraries from `warn`. CloudWatch
/// adds the time.
pub fn init(level: LevelFilter) {
    subscriber(level, io::stdout).init();
}

fn subscriber<W>(level: LevelFilter, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // No `EnvFilter`: its regular expression engine takes time to set up at each start.
    let levels = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target(env!("CARGO_PKG_NAME"), level);
    let lines = fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_target(false)
        .without_time()
        .with_writer(EscapingWriter(writer));
    tracing_subscriber::registry().with(lines.with_filter(levels))
}

/// Escapes hidden characters, because logs are also read on a terminal.
struct EscapingWriter<W>(W);

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for EscapingWriter<W> {
    type Writer = EscapingWriter<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        EscapingWriter(self.0.make_writer())
    }
}

impl<W: Write> Write for EscapingWriter<W> {
    /// Receives whole lines from the subscriber.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let safe = for_json(&String::from_utf8_lossy(line));
        self.0.write_all(safe.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::Value;
    use tracing::{error, info};

    use super::*;
    use crate::output::hostile::first_unseen;
    use crate::output::testing::HOSTILE;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn one_event_is_one_line_whatever_its_fields_hold() {
        for text in HOSTILE.iter() {
            let captured = Captured::default();
            let writer = captured.clone();
            let subscriber = subscriber(LevelFilter::INFO, move || writer.clone());
            tracing::subscriber::with_default(subscriber, || {
                info!(user = text.as_str(), "re-checked");
                error!(user = text.as_str(), failure = %text, "re-check failed");
            });
            let log = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
            assert_eq!(first_unseen(&log), None, "{log}");
            let lines: Vec<Value> = log
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
            let [told, failed] = &lines[..] else {
                panic!("{log}");
            };
            assert_eq!(told["user"], *text);
            assert_eq!(told["message"], "re-checked");
            assert_eq!(failed["failure"], *text);
        }
    }
}
