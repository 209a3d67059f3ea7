//! Stops a scan early: on an interrupt, or when the credentials fail.

use std::sync::{Mutex, PoisonError};

use aws_config::SdkConfig;
use tokio::sync::watch;

use crate::cli::caller::Caller;
use crate::pipeline::error::{ErrorKind, ServiceError};

/// Whether and why the scan stops early.
pub(super) struct Stop {
    interrupted: watch::Receiver<bool>,
    /// Why the credentials no longer work, if so.
    gave_up: Mutex<Option<ServiceError>>,
}

impl Stop {
    /// The scan stops once `interrupted` is true.
    pub(super) fn new(interrupted: watch::Receiver<bool>) -> Self {
        Self {
            interrupted,
            gave_up: Mutex::default(),
        }
    }

    /// Waits until the user interrupts the command.
    pub(super) async fn interrupted(&self) {
        let mut interrupted = self.interrupted.clone();
        // Without a sender, no interrupt can arrive.
        if interrupted.wait_for(|stopped| *stopped).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    pub(super) fn is_interrupted(&self) -> bool {
        *self.interrupted.borrow()
    }

    pub(super) fn credentials_error(&self) -> Option<ServiceError> {
        self.gave_up
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn is_set(&self) -> bool {
        self.is_interrupted() || self.credentials_error().is_some()
    }

    /// Stops the whole scan if `failure` was caused by the credentials, because all other users would
    /// fail as well.
    pub(super) async fn stop_if_credentials_failed(
        &self,
        config: &SdkConfig,
        failure: &ServiceError,
    ) {
        if failure.kind() != ErrorKind::Permanent || self.is_set() {
            return;
        }
        if let Err(why) = Caller::ask(config).await
            && why.kind() == ErrorKind::Permanent
        {
            *self.gave_up.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
        }
    }
}
