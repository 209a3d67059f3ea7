//! Where alerts go.

use async_trait::async_trait;

use crate::detect::alert::Alert;
use crate::detect::digest::Digest;
use crate::detect::retire::LastUses;
use crate::pipeline::error::ServiceError;

/// Takes alerts: an SNS topic, an event bus, the terminal. Each alert is owed to each sink by itself.
#[async_trait]
pub trait AlertSink: Send + Sync {
    /// The sink's name, under which alerts are owed to it. Must not change from one release to the next.
    fn name(&self) -> &'static str;

    /// Whether programs read it, which want every finding by itself, also where people read of many in one digest.
    fn is_for_programs(&self) -> bool {
        false
    }

    /// Hands over one alert. An `Ok` means that the sink has it for good.
    async fn send(&self, alert: &Alert, last_uses: &LastUses) -> Result<(), ServiceError>;

    /// Hands over one digest. An `Ok` means that the sink has it for good.
    async fn send_digest(&self, digest: &Digest) -> Result<(), ServiceError>;
}
