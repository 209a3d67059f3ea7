//! Compares what secondkey says about every user with what happened.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use chrono::TimeDelta;
use secondkey::aws::dynamodb::DynamoDbStore;
use secondkey::detect::findings::finding::{Finding, FindingStatus};
use secondkey::detect::trail::audit::{AuditEntry, AuditKind, verify_trail};
use secondkey::detect::user::UserId;
use secondkey::pipeline::finding_store::{FindingReader, FindingStore};

use crate::received::Received;
use crate::truth::{Time, Truth, clock};

/// How much later than the time in the audit trail a listing may have been answered, including all
/// retries.
const LISTED_WITHIN: TimeDelta = TimeDelta::seconds(11);

/// What is wrong with one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// An alert that did not reach a sink.
    Lost(String),
    /// A finding, an alert or an entry that contradicts the truth.
    Wrong(String),
    /// An audit trail that does not verify.
    Gap(String),
}

/// The result of the comparison.
#[derive(Debug, Default)]
pub struct Verdict {
    pub problems: BTreeMap<UserId, Vec<Problem>>,
    pub openings: usize,
    pub closings: usize,
    /// The correct alerts, each counted once per sink.
    pub alerts: usize,
    pub open_at_last: usize,
}

impl Verdict {
    pub fn count(&self, is_counted: impl Fn(&Problem) -> bool) -> usize {
        let all = self.problems.values().flatten();
        all.filter(|problem| is_counted(problem)).count()
    }
}

/// Compares everything. A listing was at most `stale_at_most` old.
pub async fn check(
    store: &DynamoDbStore,
    truth: &Truth,
    received: &Received,
    stale_at_most: TimeDelta,
) -> Verdict {
    let open = store.findings(FindingStatus::Open).await;
    let open = open.expect("the table can be read");
    let kept = store.users().await.expect("the table can be read");
    let users: BTreeSet<&UserId> = truth
        .users()
        .chain(&kept)
        .chain(open.iter().map(Finding::user))
        .collect();
    let mut verdict = Verdict::default();
    for user in &users {
        let open: Vec<&Finding> = open.iter().filter(|open| open.user() == *user).collect();
        verdict.open_at_last += open.len();
        let trail = store.history(user).await.expect("the table can be read");
        let mut problems = state_problems(store, truth, user, &open, &trail).await;
        problems.extend(transition_problems(truth, user, &trail, stale_at_most));
        let count = |kind| {
            trail
                .iter()
                .filter(|entry| entry.draft.kind == kind)
                .count()
        };
        verdict.openings += count(AuditKind::FindingOpened);
        verdict.closings += count(AuditKind::FindingClosed);
        let (right, alert_problems) = received.compare(user, &trail);
        verdict.alerts += right;
        problems.extend(alert_problems);
        if !problems.is_empty() {
            verdict.problems.insert((*user).clone(), problems);
        }
    }
    for stray in received.of_nobody(&users) {
        let nobody = UserId::new("", "");
        let wrong = Problem::Wrong(format!("an alert of an unknown user: {stray}"));
        verdict.problems.entry(nobody).or_default().push(wrong);
    }
    verdict
}

/// What is wrong with the final state of the table.
async fn state_problems(
    store: &DynamoDbStore,
    truth: &Truth,
    user: &UserId,
    open: &[&Finding],
    trail: &[AuditEntry],
) -> Vec<Problem> {
    let record = store.record(user).await.expect("the table can be read");
    let mut problems = vec![];
    let mut wrong = |text: String| problems.push(Problem::Wrong(text));
    let active = truth.active_at_last(user);
    match open {
        [] if active.len() < 2 => {}
        [] => wrong(format!(
            "two keys are active and no finding is open: {active:?}"
        )),
        [_] if active.len() < 2 => {
            wrong(format!(
                "a finding is open and the active keys are {active:?}"
            ));
        }
        [finding] => {
            let named: BTreeSet<String> = finding.active_keys().map(ToOwned::to_owned).collect();
            if named != active {
                wrong(format!(
                    "the finding names {named:?} and active are {active:?}"
                ));
            }
            if !finding.confirmed {
                wrong("the finding is not confirmed".to_owned());
            }
        }
        more => wrong(format!("{} findings are open", more.len())),
    }
    if record.open_finding() != open.first().copied() {
        wrong("the record and the findings differ in what is open".to_owned());
    }
    let owed = store
        .pending_alerts(user)
        .await
        .expect("the table can be read");
    if !owed.is_empty() {
        wrong(format!("{} alerts are still owed", owed.len()));
    }
    if let Err(broken) = verify_trail(user, trail, &record.audit) {
        problems.push(Problem::Gap(format!("{broken:?}")));
    }
    problems
}

/// What is wrong with the openings and closings in the trail.
fn transition_problems(
    truth: &Truth,
    user: &UserId,
    trail: &[AuditEntry],
    stale_at_most: TimeDelta,
) -> Vec<Problem> {
    let mut problems = vec![];
    let mut wrong = |entry: &AuditEntry, text: &str| {
        let text = format!("entry {}: {text}", entry.sequence);
        problems.push(Problem::Wrong(text));
    };
    let mut opened: Option<Time> = None;
    for entry in trail {
        let listed = entry.draft.recorded_at;
        let was = |from: Time, is_right: fn(usize) -> bool| {
            truth.was(user, from, listed + LISTED_WITHIN, is_right)
        };
        let were_two = || was(listed - stale_at_most, |active| active >= 2);
        let says_confirmed =
            entry.draft.details.get("confirmed").map(String::as_str) == Some("true");
        match entry.draft.kind {
            AuditKind::FindingOpened => {
                if opened.is_some() {
                    wrong(entry, "a finding was opened while one was open");
                }
                opened = Some(listed);
                if says_confirmed && !were_two() {
                    wrong(entry, "opened as confirmed when two keys were not active");
                }
            }
            AuditKind::FindingConfirmed if !were_two() => {
                wrong(entry, "confirmed when two keys were not active");
            }
            AuditKind::FindingClosed => {
                if opened.is_none() {
                    wrong(entry, "a finding was closed while none was open");
                }
                // A listing from before the opening is not a reason to close.
                let from = opened.take().max(Some(listed - stale_at_most));
                if !from.is_some_and(|from| was(from, |active| active < 2)) {
                    wrong(entry, "closed while two keys were active");
                }
            }
            _ => {}
        }
    }
    problems
}

/// The information needed to find the cause of `problems`.
pub async fn report(
    store: &DynamoDbStore,
    truth: &Truth,
    user: &UserId,
    problems: &[Problem],
    log: &str,
) -> String {
    let mut text = format!("\n{user}\n");
    for problem in problems {
        let _ = writeln!(text, "  {problem:?}");
    }
    let _ = write!(text, "  what happened:\n{}", truth.timeline(user));
    let _ = writeln!(text, "  the audit trail:");
    for entry in store.history(user).await.unwrap_or_default() {
        let draft = &entry.draft;
        let _ = writeln!(
            text,
            "    {:>4}  {}  of {}  {}  {}  {:?}",
            entry.sequence,
            clock(draft.recorded_at),
            clock(draft.at),
            draft.kind.word(),
            draft.finding_id.as_deref().unwrap_or("-"),
            draft.details
        );
    }
    if let Ok(record) = store.record(user).await {
        let _ = writeln!(
            text,
            "  the record: version {}, listed as `{}`, recheck_at {:?}, settle_after {:?}, renamed_from {:?}\n    \
             last listing {:?}",
            record.version,
            record.display_name,
            record.recheck_at,
            record.last_unsettled_at,
            record.renamed_from,
            record.last_listing
        );
        for (key, known) in &record.evidence.keys {
            let _ = writeln!(
                text,
                "    {key}: {:?} at {}",
                known.status(),
                clock(known.at())
            );
        }
        if let Some(known) = &record.evidence.user {
            let _ = writeln!(
                text,
                "    the user: {:?} at {}",
                known.state,
                clock(known.at)
            );
        }
    }
    for owed in store.pending_alerts(user).await.unwrap_or_default() {
        let (sequence, due) = (owed.alert.sequence, clock(owed.due_at));
        let _ = writeln!(text, "    owed to {}: {sequence}, due {due}", owed.sink);
    }
    let _ = write!(text, "  the detectors' log:\n{log}");
    text
}
