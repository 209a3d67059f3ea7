//! Which findings are shown, and in which order.

use std::cmp::{Ordering, Reverse};
use std::io::Write;

use clap::ValueEnum;

use crate::cli::finding_order::{by_name, by_urgency, is_suppressed};
use crate::cli::time_args::since;
use crate::cli::user_name::{UserName, account_id};
use crate::detect::Timestamp;
use crate::detect::decision::severity::Severity;
use crate::detect::findings::finding::{Finding, FindingStatus};
use crate::output::number::count;

/// Which findings are shown. Several values of one option are alternatives; all options have to match.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "What to show (the exit code counts hidden findings too)")]
pub(crate) struct SelectionArgs {
    /// The order of the findings. Suppressed ones always come last
    #[arg(long, value_enum, value_name = "ORDER", default_value_t = SortOrder::Severity)]
    sort: SortOrder,

    /// Only users that match this pattern (`*`, `?`), as NAME or ACCOUNT/NAME; `root` for root. Can be
    /// repeated
    #[arg(long = "user", value_name = "PATTERN")]
    users: Vec<UserName>,

    /// Only this account. Can be repeated
    #[arg(long = "account", value_name = "ID", value_parser = account_id)]
    accounts: Vec<String>,

    /// Only these severities, separated by commas
    #[arg(long, value_enum, value_name = "SEVERITY", value_delimiter = ',')]
    severity: Vec<SeverityName>,

    /// Only findings in these states, separated by commas
    #[arg(long, value_enum, value_name = "STATE", value_delimiter = ',')]
    status: Vec<StatusName>,

    /// Only findings that opened or closed at this time or later: a date (2026-03-07), a time
    /// (2026-03-07T02:47:00Z), or an age (2w, 7d, 12h)
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Timestamp>,
}

/// The order of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SortOrder {
    /// The most severe first, then the oldest, then by name
    Severity,
    /// The oldest first
    Oldest,
    /// The newest first
    Newest,
    /// By user name, then account
    User,
    /// By account, then the most severe first
    Account,
}

/// A severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SeverityName {
    Medium,
    High,
    Critical,
}

/// The state of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StatusName {
    /// Two active keys
    Open,
    /// Two active keys that an exemption covers
    #[value(alias = "exempt")]
    Suppressed,
    /// Ended
    Closed,
}

impl SelectionArgs {
    /// Whether the options name the state of closed findings.
    #[must_use]
    pub(crate) fn names_closed(&self) -> bool {
        self.status.contains(&StatusName::Closed)
    }

    /// Sorts `items` and removes those that are not to be shown. `finding` is the finding of an item.
    /// Returns how many of the removed findings are open.
    pub(crate) fn apply<T>(&self, items: &mut Vec<T>, finding: impl Fn(&T) -> &Finding) -> usize {
        let open = |items: &[T]| {
            let is_open = |item: &&T| finding(item).status == FindingStatus::Open;
            items.iter().filter(is_open).count()
        };
        let before = open(items);
        items.retain(|item| self.shows(finding(item)));
        items.sort_by(|one, other| self.sort.compare(finding(one), finding(other)));
        before - open(items)
    }

    fn shows(&self, finding: &Finding) -> bool {
        let any = |is_free: bool, is_named: bool| is_free || is_named;
        let user = finding.user();
        let is_user = |name: &UserName| name.matches(user);
        let is_account = |id: &String| id == user.account();
        let is_severity = |name: &SeverityName| name.severity() == finding.severity;
        let is_status = |name: &StatusName| name.status() == finding.status;
        let last_change = finding.closing.as_ref().map(|closing| closing.at);
        let last_change = last_change.unwrap_or(finding.opened_at);
        any(self.users.is_empty(), self.users.iter().any(is_user))
            && any(
                self.accounts.is_empty(),
                self.accounts.iter().any(is_account),
            )
            && any(
                self.severity.is_empty(),
                self.severity.iter().any(is_severity),
            )
            && any(self.status.is_empty(), self.status.iter().any(is_status))
            && self.since.is_none_or(|since| last_change >= since)
    }
}

/// Says that `hidden` open findings are not shown, but are counted in the exit code.
pub(crate) fn print_hidden(out: &mut impl Write, hidden: usize) -> std::io::Result<()> {
    if hidden == 0 {
        return Ok(());
    }
    writeln!(
        out,
        "Not shown: {}. The exit code counts hidden findings too.",
        count(hidden, "open finding")
    )
}

impl SortOrder {
    fn compare(self, one: &Finding, other: &Finding) -> Ordering {
        let urgency = || by_urgency(one, other);
        let account = |finding: &Finding| finding.user().account().to_owned();
        is_suppressed(one)
            .cmp(&is_suppressed(other))
            .then_with(|| match self {
                Self::Severity => urgency(),
                Self::Oldest => one.opened_at.cmp(&other.opened_at),
                Self::Newest => Reverse(one.opened_at).cmp(&Reverse(other.opened_at)),
                Self::User => by_name(one, other),
                Self::Account => account(one).cmp(&account(other)),
            })
            .then_with(urgency)
    }
}

impl SeverityName {
    fn severity(self) -> Severity {
        match self {
            Self::Medium => Severity::Medium,
            Self::High => Severity::High,
            Self::Critical => Severity::Critical,
        }
    }
}

impl StatusName {
    fn status(self) -> FindingStatus {
        match self {
            Self::Open => FindingStatus::Open,
            Self::Suppressed => FindingStatus::Suppressed,
            Self::Closed => FindingStatus::Closed,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::detect::findings::finding::FindingId;
    use crate::detect::testing::{at, finding_of};
    use crate::detect::user::UserId;
    use crate::output::testing::closed;

    #[derive(Parser)]
    struct TestCli {
        #[command(flatten)]
        selection: SelectionArgs,
    }

    fn finding(account: &str, name: &str, severity: Severity, opened_at: i64) -> Finding {
        let user = match name {
            "<root_account>" => UserId::root(account),
            _ => UserId::new(account, name),
        };
        Finding {
            id: FindingId { user, episode: 1 },
            severity,
            opened_at: at(opened_at),
            ..finding_of(&[("OLD", Some(1)), ("NEW", Some(2))])
        }
    }

    fn findings() -> Vec<Finding> {
        let exempt = Finding {
            status: FindingStatus::Suppressed,
            ..finding("111122223333", "exempt", Severity::High, 1)
        };
        let ended = Finding {
            closing: closed().finding.closing,
            status: FindingStatus::Closed,
            ..finding("111122223333", "ended", Severity::High, 1)
        };
        vec![
            exempt,
            ended,
            finding("444455556666", "late", Severity::Medium, 30),
            finding("111122223333", "zoe", Severity::Medium, 20),
            finding("111122223333", "adam", Severity::Medium, 20),
            finding("111122223333", "root", Severity::High, 10),
            finding("111122223333", "<root_account>", Severity::Critical, 40),
        ]
    }

    /// The names of the findings that `options` select, and how many open ones they hide.
    fn shown(options: &str) -> (Vec<String>, usize) {
        let words = ["test"].into_iter().chain(options.split_whitespace());
        let selection = TestCli::parse_from(words).selection;
        let mut findings = findings();
        let hidden = selection.apply(&mut findings, |finding| finding);
        let names = findings
            .iter()
            .map(|finding| finding.user().name().to_owned());
        (names.collect(), hidden)
    }

    #[track_caller]
    fn check(options: &str, expected: &str, hidden: usize) {
        let expected = expected.split_whitespace().map(str::to_owned).collect();
        assert_eq!(shown(options), (expected, hidden), "{options}");
    }

    #[test]
    fn the_most_severe_come_first_then_the_oldest_and_suppressed_ones_last() {
        check("", "<root_account> root adam zoe late ended exempt", 0);
        check(
            "--sort oldest",
            "ended root adam zoe late <root_account> exempt",
            0,
        );
        check(
            "--sort newest",
            "<root_account> late adam zoe root ended exempt",
            0,
        );
        check(
            "--sort user",
            "<root_account> adam ended late root zoe exempt",
            0,
        );
        check(
            "--sort account",
            "<root_account> root adam zoe ended late exempt",
            0,
        );
    }

    #[test]
    fn each_option_narrows_what_is_shown_and_counts_the_hidden_open_ones() {
        check("--user ZO* --user late", "zoe late", 3);
        check("--user 444455556666/*", "late", 4);
        check("--account 444455556666", "late", 4);
        check(
            "--severity high,critical",
            "<root_account> root ended exempt",
            3,
        );
        check("--severity high --status open", "root", 4);
        check("--status suppressed", "exempt", 5);
        check("--status exempt,closed", "ended exempt", 5);
    }

    #[test]
    fn root_is_not_the_user_named_root() {
        check("--user root", "<root_account>", 4);
        check("--user roo?", "root", 4);
    }

    #[test]
    fn since_counts_from_the_opening_or_the_closing() {
        let time = at(30).to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        let closed_at = closed().finding.closing.unwrap().at;
        assert!(closed_at >= at(30), "{closed_at}");
        check(&format!("--since {time}"), "<root_account> late ended", 3);
    }
}
