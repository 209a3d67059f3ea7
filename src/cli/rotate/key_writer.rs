//! The calls that change a key, and their audit entries.

use std::sync::Arc;

use aws_config::retry::RetryConfig;
use aws_sdk_iam::types::StatusType;
use chrono::{SubsecRound, Utc};
use thiserror::Error;

use crate::aws::sdk_errors::service_error;
use crate::cli::MAX_CHARS;
use crate::cli::interrupt::interrupted;
use crate::cli::next_command::{command_for_user, or_placeholder};
use crate::cli::rotate::context::RotationContext;
use crate::cli::rotate::record_outcome::{ChangeText, RecordOutcome};
use crate::cli::rotate::refusal::RefusedError;
use crate::cli::rotate::secret::NewKey;
use crate::cli::store::Store;
use crate::cli::streams::is_quiet;
use crate::detect::Timestamp;
use crate::detect::decision::policy::Policy;
use crate::detect::decision::situation::Outcome;
use crate::detect::events::actor::Actor;
use crate::detect::events::key_change::{ChangeKind, KeyChange};
use crate::detect::findings::finding::FindingStatus;
use crate::detect::keys::listing::KeyStatus;
use crate::local::terminal::TerminalSink;
use crate::output::escape::for_terminal;
use crate::output::invocation::AcceptedOptions;
use crate::output::time::readable;
use crate::pipeline::alert_sink::AlertSink;
use crate::pipeline::error::{ErrorKind, ServiceError};
use crate::pipeline::recheck::{Dependencies, RecheckOutcome, RecheckRequest, recheck};
use crate::pipeline::record_change::record_change;

/// Changes keys and records the changes.
pub(super) struct KeyWriter<'a> {
    context: &'a RotationContext<'a>,
    /// The store of the audit trail.
    pub(super) store: Store,
    step: &'static str,
}

/// Why the creation of a key failed.
#[derive(Debug, Error)]
#[error(transparent)]
pub(super) enum CreateKeyError {
    /// The key was not created.
    Failed(ServiceError),
    /// IAM did not answer, so the key may have been created.
    Uncertain(ServiceError),
}

impl<'a> KeyWriter<'a> {
    /// Checks that the store is available before `step` changes anything. From here on, signals do not
    /// interrupt the step: every change must be recorded in the trail.
    pub(super) async fn ready(
        context: &'a RotationContext<'a>,
        step: &'static str,
    ) -> anyhow::Result<Self> {
        let store = context.common.which.open(&context.config)?;
        let _ = store.reader().record(&context.user).await?;
        drop(interrupted("interrupted; finishing this step first"));
        // Let the new task run now, so that it listens for signals before the step begins.
        tokio::task::yield_now().await;
        Ok(Self {
            context,
            store,
            step,
        })
    }

    /// Creates a key.
    pub(super) async fn create(&self) -> Result<(NewKey, KeyChange), CreateKeyError> {
        let what = "iam:CreateAccessKey";
        let at = Utc::now();
        let call = self
            .context
            .iam()
            .create_access_key()
            .user_name(&self.context.name);
        // No retry: if IAM created the key but the answer was lost, a retry would create another key, and
        // the secret of the first one would be lost.
        let once = aws_sdk_iam::Config::builder().retry_config(RetryConfig::disabled());
        let answer = call.customize().config_override(once).send().await;
        let key = answer
            .map_err(|error| {
                let failure = service_error(what, &error);
                match failure.kind() {
                    ErrorKind::Retryable => CreateKeyError::Uncertain(failure),
                    ErrorKind::Permanent => CreateKeyError::Failed(failure),
                }
            })?
            .access_key
            .map(NewKey::new);
        let Some(key) = key else {
            let text = format!("{what} failed: the response has no key");
            return Err(CreateKeyError::Uncertain(ServiceError::permanent(text)));
        };
        let kind = ChangeKind::KeyCreated {
            key: key.id.clone(),
            status: KeyStatus::Active,
        };
        Ok((key, self.change(kind, at)))
    }

    /// Activates or deactivates `key`.
    pub(super) async fn set_status(
        &self,
        key: &str,
        status: KeyStatus,
    ) -> Result<KeyChange, ServiceError> {
        let at = Utc::now();
        let call = self
            .context
            .iam()
            .update_access_key()
            .user_name(&self.context.name)
            .access_key_id(key)
            .status(match status {
                KeyStatus::Active => StatusType::Active,
                KeyStatus::Inactive | KeyStatus::Gone => StatusType::Inactive,
            });
        call.send()
            .await
            .map_err(|error| service_error("iam:UpdateAccessKey", &error))?;
        let key = key.to_owned();
        Ok(self.change(ChangeKind::KeyUpdated { key, status }, at))
    }

    /// Deletes `key`.
    pub(super) async fn delete(&self, key: &str) -> Result<KeyChange, ServiceError> {
        let at = Utc::now();
        let call = self
            .context
            .iam()
            .delete_access_key()
            .user_name(&self.context.name)
            .access_key_id(key);
        call.send()
            .await
            .map_err(|error| service_error("iam:DeleteAccessKey", &error))?;
        let key = key.to_owned();
        Ok(self.change(ChangeKind::KeyDeleted { key }, at))
    }

    fn sinks(&self) -> Vec<Box<dyn AlertSink>> {
        if is_quiet() {
            return vec![];
        }
        let sink = TerminalSink::stderr().shown_by(self.context.invocation());
        vec![Box::new(sink)]
    }

    /// Records `changes`. With a file, that is a full re-check with its finding and alert. With a table, it
    /// is only an audit entry, because the detector decides there (see [`record_change`]).
    pub(super) async fn record(&self, changes: Vec<KeyChange>) -> RecordOutcome {
        match &self.store {
            Store::File(store) => {
                let dependencies = Dependencies {
                    store: store.clone(),
                    keys: Arc::new(self.context.source()),
                    sinks: self.sinks(),
                    policy: Policy::default(),
                };
                let request = RecheckRequest {
                    changes: changes.clone(),
                    name: Some(self.context.name.clone()),
                    // A key that a step created and deleted again was never given to anyone.
                    is_history: true,
                    ..RecheckRequest::default()
                };
                match recheck(&dependencies, &self.context.user, &request, Utc::now()).await {
                    Ok(rechecked) => RecordOutcome {
                        lines: vec![self.finding_text(&rechecked)],
                        is_whole: true,
                    },
                    // For example, the keys could not be listed. The change still goes into the trail.
                    Err(failure) => {
                        let failure = for_terminal(&failure.to_string(), MAX_CHARS);
                        let line = format!(
                            "The finding could not be updated ({failure}); {} will update it.",
                            self.later_commands()
                        );
                        self.record_changes(&changes, line).await
                    }
                }
            }
            Store::Table(_) => {
                let line = "The change is in the audit trail. The detector receives it from CloudTrail within minutes, \
                    and then opens or closes the finding."
                    .to_owned();
                self.record_changes(&changes, line).await
            }
        }
    }

    async fn record_changes(&self, changes: &[KeyChange], line: String) -> RecordOutcome {
        let mut recorded = RecordOutcome {
            lines: vec![],
            is_whole: true,
        };
        for change in changes {
            if let Err(failure) = record_change(self.store.reader(), change, Utc::now()).await {
                recorded.is_whole = false;
                let failure = for_terminal(&failure.to_string(), MAX_CHARS);
                let done = ChangeText(change);
                recorded.lines.push(format!(
                    "DONE, BUT NOT IN THE AUDIT TRAIL: {done}. Save this line. Reason: {failure}"
                ));
            }
        }
        if recorded.is_whole {
            recorded.lines.push(line);
        }
        recorded
    }

    fn finding_text(&self, rechecked: &RecheckOutcome) -> String {
        let Some(open) = &rechecked.open else {
            let is_closed = rechecked.outcomes.contains(&Outcome::Closed);
            return if is_closed {
                "The finding is closed.".to_owned()
            } else {
                "No finding is open.".to_owned()
            };
        };
        let id = for_terminal(&open.id.to_string(), MAX_CHARS);
        let suppressed = open
            .exemption
            .as_ref()
            .filter(|_| open.status == FindingStatus::Suppressed)
            .map(|exempted| format!("suppressed until {}", readable(exempted.until)));
        let behind = rechecked.needs_another_recheck().then(|| {
            format!(
                " IAM may take up to a minute to show the change, and no finding is closed before that; {} will update the \
                 finding.",
                self.later_commands()
            )
        });
        format!(
            "Finding {id} is {}.{}",
            suppressed.as_deref().unwrap_or("open"),
            behind.unwrap_or_default()
        )
    }

    fn later_commands(&self) -> String {
        let invocation = self.context.invocation();
        let check = command_for_user(&["check"], &self.context.name, &invocation);
        let scan = or_placeholder(invocation.secondkey_command(
            &["scan"],
            None,
            AcceptedOptions::StoreAndAws,
        ));
        format!("a later `{check}` or `{scan}`")
    }

    /// Our own change at `at`, as CloudTrail would report it.
    fn change(&self, kind: ChangeKind, at: Timestamp) -> KeyChange {
        KeyChange {
            // CloudTrail's event for this change has another id.
            id: format!("secondkey-rotate-{:032x}", fastrand::u128(..)),
            event_id: None,
            corrects: None,
            at: at.trunc_subsecs(0),
            user: self.context.user.clone(),
            user_name: self.context.name.clone(),
            kind,
            actor: Actor {
                user_agent: Some(format!("secondkey rotate {}", self.step)),
                ..self.context.caller.actor()
            },
            region: None,
        }
    }
}

/// The error for a call that failed but may have had an effect.
pub(super) fn unconfirmed_call(
    context: &RotationContext<'_>,
    failure: &ServiceError,
) -> RefusedError {
    RefusedError::new(failure.to_string()).suggest(
        "To see whether it had an effect",
        context.command("status", &[]),
    )
}
