//! Who uses which key, from CloudTrail's event history.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{bail, ensure};
use aws_config::SdkConfig;
use futures::future::join_all;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::aws::event_history::{SearchEnd, UseSearch};
use crate::aws::iam::IamKeySource;
use crate::cli::aws_args::AwsArgs;
use crate::cli::caller::Caller;
use crate::cli::usage::LiveArgs;
use crate::cli::usage::subject::{Subject, SubjectName};
use crate::cli::user_lookup::UserLookup;
use crate::detect::keys::listing::ListingAnswer;
use crate::detect::usage::consumers::Usage;
use crate::detect::user::UserId;
use crate::output::partition::Partition;
use crate::output::usage::{RegionOutcome, RegionSearch, SearchScope};

/// Adds to `usage` how the keys of `subject` are used in the event history.
pub(super) async fn add_event_history(
    live: &LiveArgs,
    subject: &Subject,
    usage: &mut Usage,
) -> anyhow::Result<SearchScope> {
    let connection = AwsArgs::of(
        live.profile.clone(),
        live.region.first().cloned(),
        live.timeout,
    );
    let config = connection.config().await?;
    let caller = Caller::ask(&config).await?;
    let keys = match &subject.target {
        SubjectName::Key(key) => vec![key.clone()],
        SubjectName::User(user) => {
            let name = user.in_account(&caller.account)?;
            keys_of(&config, &caller.account, name, usage).await?
        }
    };
    let regions = regions(live, &config);
    let (account, max_events) = (&caller.account, live.max_events);
    Ok(search(&config, account, &keys, &regions, max_events, usage).await)
}

/// Lists the keys of the user `name` and adds them to `usage`.
async fn keys_of(
    config: &SdkConfig,
    account: &str,
    name: &str,
    usage: &mut Usage,
) -> anyhow::Result<Vec<String>> {
    if name == "root" {
        bail!("IAM does not list root's keys; use the key's id instead (AKIA...)");
    }
    let user = UserId::new(account, name);
    let iam = IamKeySource::for_own_account(config, account);
    let named = UserLookup::look_up(&iam, None, &user, name).await?;
    if named.is_unknown() {
        return Err(named.no_such_user());
    }
    if let ListingAnswer::Refused { reason } = named.listing.answer() {
        bail!("{reason}");
    }
    let mut keys = vec![];
    for (id, key) in named.listing.keys() {
        usage.knows(&user, id, key.created);
        keys.push(id.clone());
    }
    usage.spells(&user, &named.name);
    ensure!(
        !keys.is_empty(),
        "user `{}` has no access key; to search for a deleted key, use its id",
        named.name
    );
    Ok(keys)
}

/// The regions to search.
fn regions(live: &LiveArgs, config: &SdkConfig) -> Vec<String> {
    let own = config.region().map_or("", AsRef::as_ref);
    let mut regions: Vec<String> = if live.all_regions {
        let known = Partition::of(own).regions.iter();
        known.map(|region| (*region).to_owned()).collect()
    } else if live.region.is_empty() {
        usual_regions(config)
    } else {
        live.region.clone()
    };
    regions.sort();
    regions.dedup();
    regions
}

/// The default regions: the configured one, and the one that records the global calls of IAM and STS.
pub(super) fn usual_regions(config: &SdkConfig) -> Vec<String> {
    let own = config.region().map_or("", AsRef::as_ref);
    let mut regions = vec![own.to_owned(), Partition::of(own).region_of_iam.to_owned()];
    regions.retain(|region| !region.is_empty());
    regions.dedup();
    regions
}

/// Searches the event history of each of `regions` for the uses of `keys`.
pub(super) async fn search(
    config: &SdkConfig,
    account: &str,
    keys: &[String],
    regions: &[String],
    max_events: u64,
    usage: &mut Usage,
) -> SearchScope {
    let bar = progress();
    let period = usage.period();
    let shared = Mutex::new(usage);
    let take = |one| {
        bar.inc(1);
        let mut usage = shared.lock().unwrap_or_else(PoisonError::into_inner);
        usage.add(&one);
    };
    let ask = |region: &String| {
        let (region, take) = (region.clone(), &take);
        async move {
            let mut search = UseSearch::of(config, &region);
            let (mut limits, mut failure) = (vec![], None);
            for key in keys {
                match search.uses_of_key(key, period, max_events, take).await {
                    SearchEnd::Complete => {}
                    SearchEnd::Limit(oldest) => limits.push((key.clone(), oldest)),
                    SearchEnd::NotEnabled => failure = Some(RegionOutcome::NotEnabled),
                    SearchEnd::Failed(why) => failure = Some(RegionOutcome::Failed(why)),
                }
                if failure.is_some() {
                    break;
                }
            }
            let end = match failure {
                Some(failure) => failure,
                None if limits.is_empty() => RegionOutcome::Complete,
                None => RegionOutcome::Limit(limits),
            };
            RegionSearch {
                events: search.events(),
                region,
                end,
            }
        }
    };
    let regions = join_all(regions.iter().map(ask)).await;
    bar.finish_and_clear();
    SearchScope::EventHistory {
        account: account.to_owned(),
        keys: keys.to_vec(),
        regions,
    }
}

/// A counter of the events so far, hidden if stderr is not a terminal.
fn progress() -> ProgressBar {
    let style = ProgressStyle::with_template(
        "searching CloudTrail's event history, 100 events per second and region: {pos} events {spinner}",
    )
    .unwrap_or_else(|_| ProgressStyle::default_spinner());
    let bar = ProgressBar::no_length().with_style(style);
    if std::io::stderr().is_terminal() {
        bar.enable_steady_tick(Duration::from_millis(200));
    } else {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    bar
}
