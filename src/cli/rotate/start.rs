//! `secondkey rotate start`: creates the second key.

use std::io::Write;

use chrono::{TimeDelta, Utc};
use tokio::time::sleep;

use crate::cli::Exit;
use crate::cli::MAX_CHARS;
use crate::cli::next_command::{command_for_user, or_placeholder};
use crate::cli::rotate::context::RotationContext;
use crate::cli::rotate::key_writer::{CreateKeyError, KeyWriter};
use crate::cli::rotate::record_outcome::RecordOutcome;
use crate::cli::rotate::refusal::RefusedError;
use crate::cli::rotate::secret::NewKey;
use crate::cli::rotate::secret_destination::{SecretDestination, SecretDestinationArgs};
use crate::cli::rotate::{CommonArgs, key_table, window};
use crate::cli::streams::{stderr, stdout};
use crate::detect::decision::exemption::Exemption;
use crate::detect::events::key_change::KeyChange;
use crate::detect::keys::listing::KeyStatus;
use crate::detect::rotation::stage::RotationKey;
use crate::output::commands::{Purpose, change_of_key, creation_of_key};
use crate::output::escape::for_terminal;
use crate::output::time::{duration, readable};

/// Create the second key and store its secret in one place
///
/// The secret goes only to the place that you name. It is never in a log, an error message, the audit
/// trail or a file of secondkey. If it cannot be stored, the new key is deleted again. During the rotation
/// window, an exemption suppresses the finding of two active keys, but only for keys that you create
/// yourself.
///
/// --to-profile uses the credentials file in `AWS_SHARED_CREDENTIALS_FILE` if that is set. It replaces the
/// file atomically, makes it readable only by you, and leaves other profiles unchanged. --to-secret and
/// --show-once use the field names of the AWS CLI: `AccessKeyId`, `SecretAccessKey`, `UserName`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  secondkey rotate start alice --to-profile alice-new
  secondkey rotate start alice --to-profile alice --replace --apply
  secondkey rotate start alice --to-secret prod/alice --rotation-window-hours 72
  secondkey rotate start alice --show-once --apply | vault kv put kv/alice -

Exit codes: 0 success, 1 refused or failure, 2 usage error.")]
pub(super) struct Args {
    #[command(flatten)]
    common: CommonArgs,

    #[command(flatten)]
    place: SecretDestinationArgs,

    /// How long the finding of two active keys is suppressed, in hours
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=8760))]
    rotation_window_hours: u32,

    /// Create the key. Without this option, only show what would be done
    #[arg(long)]
    apply: bool,
}

/// Runs the step.
pub(super) async fn run(args: Args) -> anyhow::Result<Exit> {
    let (context, keys) = RotationContext::begin(&args.common).await?;
    ensure_one_active_key(&context, &keys)?;
    let exemption = window::exemption(
        &context,
        TimeDelta::hours(args.rotation_window_hours.into()),
    );
    exemption.check()?;
    let place = args.place.check(&context.config).await?;
    if !args.apply {
        plan(&args, &context, &keys, &exemption, &place)?;
        return Ok(Exit::NoFinding);
    }
    let place = place.prepare()?;
    let writer = KeyWriter::ready(&context, "start").await?;
    // Before the key, so that the detector finds the exemption when it receives the event.
    writer.store.reader().put_exemption(&exemption).await?;
    let start = StartedRotation {
        context: &context,
        writer: &writer,
        exemption: &exemption,
    };
    let (key, created) = match writer.create().await {
        Ok(created) => created,
        Err(error) => return Err(start.creation_failed(error, &keys).await.into()),
    };
    match place.store_key(&key).await {
        Ok(where_it_is) => {
            let recorded = writer.record(vec![created]).await;
            Ok(start.done(&key, &where_it_is, &recorded))
        }
        Err(error) => Err(start.delete_new_key(&key, created, &error).await.into()),
    }
}

/// Fails unless the user has one active key and no other.
fn ensure_one_active_key(
    context: &RotationContext<'_>,
    keys: &[RotationKey],
) -> Result<(), RefusedError> {
    let name = context.shown_name();
    let listed: Vec<String> = keys
        .iter()
        .map(|key| format!("{} {}", key.key.id, key.key.status.word().to_lowercase()))
        .collect();
    let listed = listed.join(", ");
    match keys {
        [] => Err(RefusedError::new(format!(
            "user `{name}` has no access key, so there is nothing to rotate"
        ))
        .suggest(
            "To create one",
            or_placeholder(creation_of_key(&context.name, &context.invocation())),
        )),
        [one] if one.key.status == KeyStatus::Active => Ok(()),
        [_] => Err(RefusedError::new(format!(
            "user `{name}` has no active key ({listed}), so there is nothing to rotate"
        ))
        .suggest("To activate it", context.command("undo", &["--apply"]))
        .suggest("To delete it", context.command("cleanup", &["--apply"]))),
        _ => {
            let refusal = RefusedError::new(format!(
                "user `{name}` already has two keys ({listed}), and AWS allows only two"
            ));
            let is_both = keys.iter().all(|key| key.key.status == KeyStatus::Active);
            Err(if is_both {
                refusal.suggest(
                    "To deactivate the unused key",
                    context.command("finish", &[]),
                )
            } else {
                refusal.suggest("To delete an inactive key", context.command("cleanup", &[]))
            })
        }
    }
}

fn plan(
    args: &Args,
    context: &RotationContext<'_>,
    keys: &[RotationKey],
    exemption: &Exemption,
    place: &SecretDestination,
) -> anyhow::Result<()> {
    let mut out = stdout();
    key_table::keys(&mut out, keys, context.now)?;
    let window = exemption.until - exemption.created_at;
    let hours = args.rotation_window_hours.to_string();
    let mut options = args.place.options();
    if args.rotation_window_hours != 24 {
        options.extend(["--rotation-window-hours", &hours]);
    }
    options.push("--apply");
    writeln!(
        out,
        "Would do the following for user {} in account {}:\n  1. for {}, until {}, suppress the finding of two active \
         keys, if {} created the second\n  2. create a second access key\n  3. {}\nNothing was changed. To do it:\n  {}",
        context.shown_name(),
        for_terminal(&context.caller.account, MAX_CHARS),
        duration(window),
        readable(exemption.until),
        for_terminal(&context.caller.arn, MAX_CHARS),
        place.plan(),
        context.command("start", &options)
    )?;
    Ok(())
}

/// A rotation that has started.
struct StartedRotation<'a> {
    context: &'a RotationContext<'a>,
    writer: &'a KeyWriter<'a>,
    exemption: &'a Exemption,
}

impl StartedRotation<'_> {
    /// Reports that the key was created and stored. This goes to stderr, because stdout may be the place
    /// of the secret.
    fn done(&self, key: &NewKey, where_it_is: &str, recorded: &RecordOutcome) -> Exit {
        let mut lines = vec![format!(
            "Created key {} for user {}; {where_it_is}.",
            for_terminal(&key.id, MAX_CHARS),
            self.context.shown_name()
        )];
        lines.extend(recorded.lines.iter().cloned());
        lines.push(format!(
            "Next, switch all applications from the old key to the new one. To watch the progress:\n  {}\nWhen they have \
             switched, and before the window ends on {}:\n  {}",
            self.context.command("status", &[]),
            readable(self.exemption.until),
            self.context.command("finish", &["--apply"])
        ));
        print_to_stderr(&lines);
        recorded.exit()
    }

    /// The refusal after a creation that failed, or that IAM did not answer.
    async fn creation_failed(&self, error: CreateKeyError, before: &[RotationKey]) -> RefusedError {
        let exemption = self.close_window().await;
        let failure = match error {
            CreateKeyError::Failed(failure) => {
                return RefusedError::new(format!("no key was created: {failure}{exemption}"));
            }
            CreateKeyError::Uncertain(failure) => failure,
        };
        let found = match RotationContext::begin(self.context.common).await {
            Ok((_, keys)) => keys,
            Err(error) => {
                return RefusedError::new(format!(
                    "IAM did not answer ({failure}), and it could not be checked whether a key was created: \
                     {error:#}{exemption}"
                ))
                .suggest("To check later", self.context.command("status", &[]));
            }
        };
        let is_new = |key: &&RotationKey| before.iter().all(|known| known.key.id != key.key.id);
        match found.iter().find(is_new) {
            None => RefusedError::new(format!("no key was created: {failure}{exemption}")),
            // Another caller may have created it at the same time, so we must not delete it.
            Some(key) => RefusedError::new(format!(
                "IAM did not answer ({failure}), but key `{}` is new: unless someone else created it, its secret is \
                 lost{exemption}",
                key.key.id
            ))
            .suggest("To delete it", deletion(self.context, &key.key.id)),
        }
    }

    /// Deletes the new key. Its secret could not be stored, so the key is useless.
    async fn delete_new_key(
        &self,
        key: &NewKey,
        created: KeyChange,
        error: &anyhow::Error,
    ) -> RefusedError {
        // Event times have whole seconds. In the same second, the order of creation and deletion would
        // not be known.
        let next_second = created.at + TimeDelta::seconds(1) - Utc::now();
        sleep(next_second.to_std().unwrap_or_default()).await;
        let deleted = self.writer.delete(&key.id).await;
        let exemption = self.close_window().await;
        let (changes, failure) = match deleted {
            Ok(deleted) => (vec![created, deleted], None),
            Err(failure) => (vec![created], Some(failure)),
        };
        let recorded = self.writer.record(changes).await;
        print_to_stderr(&recorded.lines);
        match failure {
            None => RefusedError::new(format!(
                "the key could not be stored ({error:#}), so the new key `{}` was deleted again; it was never \
                 used{exemption}",
                key.id
            )),
            Some(failure) => RefusedError::new(format!(
                "KEY `{}` IS STILL ACTIVE, and its secret is lost: the key could not be stored ({error:#}), and it could \
                 not be deleted ({failure}){exemption}",
                key.id
            ))
            .suggest("To delete it", deletion(self.context, &key.id)),
        }
    }

    /// Removes the exemption. Returns a text about it if that failed.
    async fn close_window(&self) -> String {
        let Exemption { account, id, .. } = self.exemption;
        match self
            .writer
            .store
            .reader()
            .remove_exemption(account, id)
            .await
        {
            Ok(_) => String::new(),
            Err(failure) => {
                let words = ["exempt", "remove", "--account", account];
                let command = command_for_user(&words, id, &self.context.invocation());
                format!(". Exemption `{id}` could not be removed ({failure}); use `{command}`")
            }
        }
    }
}

/// The commands that delete the key.
fn deletion(context: &RotationContext<'_>, key: &str) -> String {
    let invocation = context.invocation();
    or_placeholder(change_of_key(
        &context.name,
        key,
        Purpose::Delete,
        &invocation,
    ))
}

/// Prints `lines` on stderr.
fn print_to_stderr(lines: &[String]) {
    let mut err = stderr();
    for line in lines {
        // The change is done and recorded, even if stderr is closed.
        let _ = writeln!(err, "{line}");
    }
}
