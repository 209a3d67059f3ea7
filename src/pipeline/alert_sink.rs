//! Where alerts are sent.

use async_trait::async_trait;

use crate::detect::findings::alert::Alert;
use crate::detect::findings::digest::Digest;
use crate::detect::usage::last_use::LastUses;
use crate::pipeline::error::ServiceError;

/// What a sink receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// People: a digest in place of many alerts at once.
    People,
    /// Programs: each finding in an alert of its own, even if people get a digest, and the digest.
    Programs,
    /// A receiver that learns of a finding from another sink and forgets it after a while: only
    /// refreshes of open findings.
    Forgetful,
}

/// Receives alerts: an SNS topic, an event bus, the terminal. Each alert is pending per sink.
#[async_trait]
pub trait AlertSink: Send + Sync {
    /// The sink's name, under which pending alerts are stored. It must never change.
    fn name(&self) -> &'static str;

    /// Who receives what this sink sends.
    fn audience(&self) -> Audience {
        Audience::People
    }

    /// Sends one alert. `Ok` means that the sink has accepted it durably.
    async fn send(&self, alert: &Alert, last_uses: &LastUses) -> Result<(), ServiceError>;

    /// Sends one digest. `Ok` means that the sink has accepted it durably.
    async fn send_digest(&self, digest: &Digest) -> Result<(), ServiceError>;
}
