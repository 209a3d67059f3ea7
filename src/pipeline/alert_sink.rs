//! Where alerts go.

use async_trait::async_trait;

use crate::detect::alert::Alert;
use crate::detect::retire::LastUses;
use crate::pipeline::error::ServiceError;

/// Takes alerts: an SNS topic, an event bus, the terminal. Each alert is owed to each sink by itself.
#[async_trait]
pub trait AlertSink: Send + Sync {
    /// The sink's name, under which alerts are owed to it. Must not change from one release to the next.
    fn name(&self) -> &'static str;

    /// Hands over one alert. An `Ok` means that the sink has it for good.
    async fn send(&self, alert: &Alert, last_uses: &LastUses) -> Result<(), ServiceError>;
}
