//! The calls that change something, and the audit trail with who made them.

use std::sync::Arc;

use aws_config::retry::RetryConfig;
use aws_sdk_iam::types::StatusType;
use chrono::{SubsecRound, Utc};

use crate::aws::errors::service_error;
use crate::cli::LONGEST;
use crate::cli::again::{again, shown};
use crate::cli::interrupt::interrupted;
use crate::cli::rotate::recorded::{Done, Recorded};
use crate::cli::rotate::refusal::Refusal;
use crate::cli::rotate::secret::NewKey;
use crate::cli::rotate::work::Work;
use crate::cli::source::Store;
use crate::detect::Timestamp;
use crate::detect::actor::Actor;
use crate::detect::finding::FindingStatus;
use crate::detect::key_change::{ChangeKind, KeyChange};
use crate::detect::listing::KeyStatus;
use crate::detect::policy::Policy;
use crate::detect::situation::Outcome;
use crate::local::terminal::TerminalSink;
use crate::output::escape::for_terminal;
use crate::output::invocation::Takes;
use crate::output::time::readable;
use crate::pipeline::error::{ErrorKind, ServiceError};
use crate::pipeline::note::note;
use crate::pipeline::recheck::{Occasion, Parts, Rechecked, recheck};

/// Changes keys and writes down that it did.
pub(super) struct Writer<'a> {
    work: &'a Work<'a>,
    /// Where it is written down.
    pub(super) store: Store,
    step: &'static str,
}

/// Why a key was not made.
pub(super) enum Unmade {
    /// It was not.
    No(ServiceError),
    /// Nobody answered, so it may have been.
    Perhaps(ServiceError),
}

impl<'a> Writer<'a> {
    /// Makes sure that what `step` does can be written down, and lets no signal interrupt it from here on: what is done and
    /// not in the trail nobody would know of.
    pub(super) async fn ready(work: &'a Work<'a>, step: &'static str) -> anyhow::Result<Self> {
        let store = work.common.which.open(&work.config)?;
        let _ = store.reader().record(&work.user).await?;
        drop(interrupted("interrupted; what was begun is finished first"));
        // Or signals would be waited for only once something else is.
        tokio::task::yield_now().await;
        Ok(Self { work, store, step })
    }

    /// Makes a key.
    pub(super) async fn create(&self) -> Result<(NewKey, KeyChange), Unmade> {
        let what = "iam:CreateAccessKey";
        let at = Utc::now();
        let call = self
            .work
            .iam()
            .create_access_key()
            .user_name(&self.work.name);
        // Not tried again: a call that was done and not answered would make a second key, and lose the first one's secret.
        let once = aws_sdk_iam::Config::builder().retry_config(RetryConfig::disabled());
        let answer = call.customize().config_override(once).send().await;
        let key = answer
            .map_err(|error| {
                let failure = service_error(what, &error);
                match failure.kind() {
                    ErrorKind::Retryable => Unmade::Perhaps(failure),
                    ErrorKind::Permanent => Unmade::No(failure),
                }
            })?
            .access_key
            .map(NewKey::new);
        let Some(key) = key else {
            let text = format!("{what} failed: the answer holds no key");
            return Err(Unmade::Perhaps(ServiceError::permanent(text)));
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
            .work
            .iam()
            .update_access_key()
            .user_name(&self.work.name)
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
            .work
            .iam()
            .delete_access_key()
            .user_name(&self.work.name)
            .access_key_id(key);
        call.send()
            .await
            .map_err(|error| service_error("iam:DeleteAccessKey", &error))?;
        let key = key.to_owned();
        Ok(self.change(ChangeKind::KeyDeleted { key }, at))
    }

    /// Writes `changes` down. In a file that is a whole re-check, with its finding and alert; in a table an entry of the trail,
    /// for there the detector decides (see [`note`]).
    pub(super) async fn record(&self, changes: Vec<KeyChange>) -> Recorded {
        match &self.store {
            Store::File(store) => {
                let parts = Parts {
                    store: store.clone(),
                    keys: Arc::new(self.work.source()),
                    sinks: vec![Box::new(
                        TerminalSink::stderr().shown_by(self.work.invocation()),
                    )],
                    policy: Policy::default(),
                };
                let occasion = Occasion {
                    changes: changes.clone(),
                    name: Some(self.work.name.clone()),
                    // A key that a step made and took back was in nobody's hands.
                    is_history: true,
                    ..Occasion::default()
                };
                match recheck(&parts, &self.work.user, &occasion, Utc::now()).await {
                    Ok(rechecked) => Recorded {
                        lines: vec![self.told_by(&rechecked)],
                        is_whole: true,
                    },
                    // The keys could not be listed, perhaps; what was done is in the trail all the same.
                    Err(failure) => {
                        let failure = for_terminal(&failure.to_string(), LONGEST);
                        let line = format!(
                            "The finding could not be brought up to date ({failure}); {} does.",
                            self.later()
                        );
                        self.note_all(&changes, line).await
                    }
                }
            }
            Store::Table(_) => {
                let line = "It is in the audit trail. The detector hears of it by CloudTrail within minutes, and opens or \
                    closes the finding."
                    .to_owned();
                self.note_all(&changes, line).await
            }
        }
    }

    async fn note_all(&self, changes: &[KeyChange], line: String) -> Recorded {
        let mut recorded = Recorded {
            lines: vec![],
            is_whole: true,
        };
        for change in changes {
            if let Err(failure) = note(self.store.reader(), change, Utc::now()).await {
                recorded.is_whole = false;
                let failure = for_terminal(&failure.to_string(), LONGEST);
                let done = Done(change);
                recorded.lines.push(format!(
                    "DONE, BUT NOT IN THE AUDIT TRAIL: {done}. Keep this line. The reason: {failure}"
                ));
            }
        }
        if recorded.is_whole {
            recorded.lines.push(line);
        }
        recorded
    }

    fn told_by(&self, rechecked: &Rechecked) -> String {
        let Some(open) = &rechecked.open else {
            let is_closed = rechecked.outcomes.contains(&Outcome::Closed);
            return if is_closed {
                "The finding is closed.".to_owned()
            } else {
                "No finding is open.".to_owned()
            };
        };
        let id = for_terminal(&open.id.to_string(), LONGEST);
        let until = open
            .exemption
            .as_ref()
            .filter(|_| open.status == FindingStatus::Suppressed)
            .map(|exempted| format!(", and hidden until {}", readable(exempted.until)));
        let behind = rechecked.is_to_be_seen_again().then(|| {
            format!(
                " IAM may be behind, and nothing is closed on what it lists until that had a minute to settle; {} brings the \
                 finding up to date.",
                self.later()
            )
        });
        format!(
            "Finding {id} is open{}.{}",
            until.unwrap_or_default(),
            behind.unwrap_or_default()
        )
    }

    fn later(&self) -> String {
        let invocation = self.work.invocation();
        let check = again(&["check"], &self.work.name, &invocation);
        let scan = shown(invocation.ours(&["scan"], None, Takes::StoreAndAws));
        format!("a later `{check}` or `{scan}`")
    }

    /// What we did at `at`, as CloudTrail would tell it.
    fn change(&self, kind: ChangeKind, at: Timestamp) -> KeyChange {
        KeyChange {
            // CloudTrail's own event about it has another.
            id: format!("secondkey-rotate-{:032x}", fastrand::u128(..)),
            event_id: None,
            corrects: None,
            at: at.trunc_subsecs(0),
            user: self.work.user.clone(),
            user_name: self.work.name.clone(),
            kind,
            actor: Actor {
                user_agent: Some(format!("secondkey rotate {}", self.step)),
                ..self.work.caller.actor()
            },
            region: None,
        }
    }
}

/// A call that failed, and may have been done all the same.
pub(super) fn undone(work: &Work<'_>, failure: &ServiceError) -> Refusal {
    Refusal::new(failure.to_string()).way("To see what came of it", work.command("status", &[]))
}
