//! `secondkey rotate start`: makes the second key.

use std::io::Write;

use chrono::{TimeDelta, Utc};
use tokio::time::sleep;

use crate::cli::Exit;
use crate::cli::LONGEST;
use crate::cli::again::{again, shown};
use crate::cli::rotate::place::{Place, PlaceArgs};
use crate::cli::rotate::recorded::Recorded;
use crate::cli::rotate::refusal::Refusal;
use crate::cli::rotate::secret::NewKey;
use crate::cli::rotate::work::Work;
use crate::cli::rotate::writing::{Unmade, Writer};
use crate::cli::rotate::{Common, show, window};
use crate::detect::exemption::Exemption;
use crate::detect::key_change::KeyChange;
use crate::detect::listing::KeyStatus;
use crate::detect::rotation::RotationKey;
use crate::output::commands::{Purpose, change_of_key, creation_of_key};
use crate::output::escape::for_terminal;
use crate::output::time::{duration, readable};

/// Make the second key and hand its secret to one place
///
/// The secret goes to the place that you name and nowhere else: not into a log, an error, the audit trail or a file of
/// secondkey's. If it cannot be handed over, the new key is deleted again. As long as the rotation window lasts, an exemption
/// hides that two keys are active, but only for keys that you make yourself.
///
/// --to-profile honours the variable `AWS_SHARED_CREDENTIALS_FILE`. The file takes the old one's place at one stroke, nobody else
/// may read it, and its other profiles stay as they are. --to-secret and --show-once give the fields the names of the AWS CLI:
/// `AccessKeyId`, `SecretAccessKey`, `UserName`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  secondkey rotate start alice --to-profile alice-new
  secondkey rotate start alice --to-profile alice --replace --apply
  secondkey rotate start deployer --to-secret prod/deployer --window-hours 72 --table secondkey
  secondkey rotate start alice --show-once --apply | vault kv put -mount=secret alice -

Exit codes: 0 done or shown, 1 refused or failure, 2 wrong usage.")]
pub(super) struct Args {
    #[command(flatten)]
    common: Common,

    #[command(flatten)]
    place: PlaceArgs,

    /// How long both keys may be active without being a finding that anybody is told of
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=8760))]
    window_hours: u32,

    /// Do it; without this, only show it
    #[arg(long)]
    apply: bool,
}

/// Runs the step.
pub(super) async fn run(args: Args) -> anyhow::Result<Exit> {
    let (work, keys) = Work::begin(&args.common).await?;
    refuse(&work, &keys)?;
    let exemption = window::exemption(&work, TimeDelta::hours(args.window_hours.into()));
    exemption.check()?;
    let place = args.place.look(&work.config).await?;
    if !args.apply {
        plan(&args, &work, &keys, &exemption, &place)?;
        return Ok(Exit::NoFinding);
    }
    let place = place.prepare()?;
    let writer = Writer::ready(&work, "start").await?;
    // Before the key, so that whoever hears of the key finds it.
    writer.store.reader().put_exemption(&exemption).await?;
    let start = Start {
        work: &work,
        writer: &writer,
        exemption: &exemption,
    };
    let (key, created) = match writer.create().await {
        Ok(made) => made,
        Err(unmade) => return Err(start.not_made(unmade, &keys).await.into()),
    };
    match place.hand_over(&key).await {
        Ok(where_it_is) => {
            let recorded = writer.record(vec![created]).await;
            Ok(start.done(&key, &where_it_is, &recorded))
        }
        Err(error) => Err(start.take_back(&key, created, &error).await.into()),
    }
}

/// An error unless the user has one active key and no other.
fn refuse(work: &Work<'_>, keys: &[RotationKey]) -> Result<(), Refusal> {
    let name = work.shown_name();
    let listed: Vec<String> = keys
        .iter()
        .map(|key| format!("{} {}", key.key.id, key.key.status.word().to_lowercase()))
        .collect();
    let listed = listed.join(", ");
    match keys {
        [] => Err(Refusal::new(format!(
            "user `{name}` has no access key, so there is none to rotate"
        ))
        .way(
            "To make a first one",
            shown(creation_of_key(&work.name, &work.invocation())),
        )),
        [one] if one.key.status == KeyStatus::Active => Ok(()),
        [_] => Err(Refusal::new(format!(
            "user `{name}` has no active key ({listed}), so nobody can be using one"
        ))
        .way("To activate it", work.command("undo", &["--apply"]))
        .way("To delete it", work.command("cleanup", &["--apply"]))),
        _ => {
            let refusal = Refusal::new(format!(
                "user `{name}` has two keys already ({listed}), and there is room for two only"
            ));
            let is_both = keys.iter().all(|key| key.key.status == KeyStatus::Active);
            Err(if is_both {
                refusal.way(
                    "To deactivate the one that is not used",
                    work.command("finish", &[]),
                )
            } else {
                refusal.way("To delete an inactive one", work.command("cleanup", &[]))
            })
        }
    }
}

fn plan(
    args: &Args,
    work: &Work<'_>,
    keys: &[RotationKey],
    exemption: &Exemption,
    place: &Place,
) -> anyhow::Result<()> {
    let mut out = anstream::stdout().lock();
    show::keys(&mut out, keys, work.now)?;
    let window = exemption.until - exemption.created_at;
    let hours = args.window_hours.to_string();
    let mut options = args.place.options();
    if args.window_hours != 24 {
        options.extend(["--window-hours", &hours]);
    }
    options.push("--apply");
    writeln!(
        out,
        "Would do, for user {} of account {}:\n  1. for {}, until {}, hide that two keys are active, if {} made \
         the second\n  2. make a second access key\n  3. {}\nNothing was changed. To do it:\n  {}",
        work.shown_name(),
        for_terminal(&work.caller.account, LONGEST),
        duration(window),
        readable(exemption.until),
        for_terminal(&work.caller.arn, LONGEST),
        place.plan(),
        work.command("start", &options)
    )?;
    Ok(())
}

/// A rotation that has begun.
struct Start<'a> {
    work: &'a Work<'a>,
    writer: &'a Writer<'a>,
    exemption: &'a Exemption,
}

impl Start<'_> {
    /// The key is made and handed over. All of this goes to stderr: stdout may be the place that the secret went to.
    fn done(&self, key: &NewKey, where_it_is: &str, recorded: &Recorded) -> Exit {
        let mut lines = vec![format!(
            "Made key {} of user {}; {where_it_is}.",
            for_terminal(&key.id, LONGEST),
            self.work.shown_name()
        )];
        lines.extend(recorded.lines.iter().cloned());
        lines.push(format!(
            "Next: have whoever uses the old key use the new one, watch it with\n  {}\nand by {}, when the window is over,\n  {}",
            self.work.command("status", &[]),
            readable(self.exemption.until),
            self.work.command("finish", &["--apply"])
        ));
        say(&lines);
        recorded.exit()
    }

    /// No key was made, as far as anybody knows.
    async fn not_made(&self, unmade: Unmade, before: &[RotationKey]) -> Refusal {
        let exemption = self.close_window().await;
        let failure = match unmade {
            Unmade::No(failure) => {
                return Refusal::new(format!("no key was made: {failure}{exemption}"));
            }
            Unmade::Perhaps(failure) => failure,
        };
        let found = match Work::begin(self.work.common).await {
            Ok((_, keys)) => keys,
            Err(error) => {
                return Refusal::new(format!(
                    "IAM did not answer ({failure}), and whether a key was made cannot be looked up: {error:#}{exemption}"
                ))
                .way("To look later", self.work.command("status", &[]));
            }
        };
        let is_new = |key: &&RotationKey| before.iter().all(|known| known.key.id != key.key.id);
        match found.iter().find(is_new) {
            None => Refusal::new(format!("no key was made: {failure}{exemption}")),
            // Somebody else may have made it at the same time, so it is not ours to delete.
            Some(key) => Refusal::new(format!(
                "IAM did not answer ({failure}), and key `{}` is new: unless somebody else made it, nobody has its \
                 secret{exemption}",
                key.key.id
            ))
            .way("To delete it", deletion(self.work, &key.key.id)),
        }
    }

    /// The secret could not be handed over, so nobody has it, and the key is of no use to anybody.
    async fn take_back(&self, key: &NewKey, created: KeyChange, error: &anyhow::Error) -> Refusal {
        // In the second of its making its end could not be told from its beginning.
        let next_second = created.at + TimeDelta::seconds(1) - Utc::now();
        sleep(next_second.to_std().unwrap_or_default()).await;
        let deleted = self.writer.delete(&key.id).await;
        let exemption = self.close_window().await;
        let (changes, failure) = match deleted {
            Ok(deleted) => (vec![created, deleted], None),
            Err(failure) => (vec![created], Some(failure)),
        };
        let recorded = self.writer.record(changes).await;
        say(&recorded.lines);
        match failure {
            None => Refusal::new(format!(
                "the key could not be handed over ({error:#}), so key `{}` was deleted again; nobody has used it{exemption}",
                key.id
            )),
            Some(failure) => Refusal::new(format!(
                "KEY `{}` IS LEFT, ACTIVE, and its secret is lost: it could not be handed over ({error:#}), nor could the key \
                 be deleted ({failure}){exemption}",
                key.id
            ))
            .way("To delete it", deletion(self.work, &key.id)),
        }
    }

    /// Takes the exemption back; what there is to say of it.
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
                let command = again(&words, id, &self.work.invocation());
                format!(". Exemption `{id}` is left ({failure}); remove it with `{command}`")
            }
        }
    }
}

/// The commands that delete a key.
fn deletion(work: &Work<'_>, key: &str) -> String {
    let invocation = work.invocation();
    shown(change_of_key(&work.name, key, Purpose::Delete, &invocation))
}

/// Says `lines` on stderr.
fn say(lines: &[String]) {
    let mut err = anstream::stderr().lock();
    for line in lines {
        // What was done is done and in the trail, whether or not it can be said.
        let _ = writeln!(err, "{line}");
    }
}
