//! Why a scan stops before it is through.

use std::sync::{Mutex, PoisonError};

use aws_config::SdkConfig;
use tokio::sync::watch;

use crate::cli::caller::Caller;
use crate::pipeline::error::{ErrorKind, ServiceError};

/// Why no more users are looked at.
pub(super) struct Stop {
    interrupted: watch::Receiver<bool>,
    /// Why the credentials are of no more use, if they are not.
    gave_up: Mutex<Option<ServiceError>>,
}

impl Stop {
    /// Nothing stops it yet but what `interrupted` will tell.
    pub(super) fn new(interrupted: watch::Receiver<bool>) -> Self {
        Self {
            interrupted,
            gave_up: Mutex::default(),
        }
    }

    /// Waits for somebody to interrupt.
    pub(super) async fn interrupted(&self) {
        let mut interrupted = self.interrupted.clone();
        // Without a sender nobody interrupts.
        if interrupted.wait_for(|stopped| *stopped).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    pub(super) fn is_interrupted(&self) -> bool {
        *self.interrupted.borrow()
    }

    pub(super) fn gave_up(&self) -> Option<ServiceError> {
        self.gave_up
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn is_set(&self) -> bool {
        self.is_interrupted() || self.gave_up().is_some()
    }

    /// Stops it all, if `failure` came because the credentials are of no more use: every other user would fare the same.
    pub(super) async fn give_up_without_credentials(
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
