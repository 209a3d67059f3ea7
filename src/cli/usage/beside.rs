//! Who uses which key, as an option of other commands.

use std::path::PathBuf;

use aws_config::SdkConfig;

use crate::cli::MAX_CHARS;
use crate::cli::usage::live::{search, usual_regions};
use crate::cli::usage::{MAX_EVENTS, logs};
use crate::detect::Timestamp;
use crate::detect::usage::consumers::Usage;
use crate::detect::user::UserId;
use crate::local::wanted::KeyFilter;
use crate::output::escape::for_terminal;
use crate::output::usage::json::{self, UsageV1};
use crate::output::usage::{SearchScope, search_scope_lines, summary_lines};

/// Where to search for the consumers of the keys.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Beside {
    /// Also show who uses which key, from CloudTrail's event history in your region and in the region of
    /// IAM: management events of 90 days, read at 100 events per second
    #[arg(long, conflicts_with = "logs")]
    usage: bool,

    /// Also show who uses which key, from these CloudTrail logs. Can be repeated
    #[arg(long, value_name = "PATH")]
    logs: Vec<PathBuf>,
}

/// Who uses the keys of one user.
#[derive(Debug)]
pub(in crate::cli) struct Found {
    usage: Usage,
    looked_at: SearchScope,
    user: UserId,
}

impl Beside {
    /// Searches for the consumers of `keys`, which are ids with creation times. Returns `None` if neither
    /// option was given.
    pub(in crate::cli) async fn search<'k>(
        &self,
        config: &SdkConfig,
        user: &UserId,
        keys: impl Iterator<Item = (&'k str, Option<Timestamp>)>,
    ) -> anyhow::Result<Option<Found>> {
        if !self.usage && self.logs.is_empty() {
            return Ok(None);
        }
        let (mut usage, mut ids, mut wanted) = (Usage::default(), vec![], KeyFilter::default());
        for (id, created) in keys {
            usage.knows(user, id, created);
            wanted.add_key(id);
            ids.push(id.to_owned());
        }
        let looked_at = if self.usage {
            let regions = usual_regions(config);
            search(
                config,
                user.account(),
                &ids,
                &regions,
                MAX_EVENTS,
                &mut usage,
            )
            .await
        } else {
            logs(&wanted, &self.logs, &mut usage)?
        };
        Ok(Some(Found {
            usage,
            looked_at,
            user: user.clone(),
        }))
    }
}

impl Found {
    /// Who uses the keys, as lines that are safe for a terminal.
    pub(in crate::cli) fn lines(&self) -> Vec<String> {
        let shown = |text: &str| for_terminal(text, MAX_CHARS);
        let user = self.usage.users().get(&self.user);
        let mut lines = user.map_or_else(Vec::new, |user| summary_lines(user, &shown));
        lines.extend(search_scope_lines(&self.looked_at, &shown));
        lines
    }

    /// Who uses the keys, as JSON.
    pub(in crate::cli) fn document(&self) -> UsageV1 {
        json::usage(&self.user.to_string(), &self.usage, &self.looked_at)
    }
}
