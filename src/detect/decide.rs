//! The decision: given what is kept of a user, what the key source lists and what events say, what is to be written
//! and who is to be told.

use std::collections::BTreeSet;

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::alert::{Alert, Update};
use crate::detect::audit::AuditEntry;
use crate::detect::episode;
use crate::detect::exemption::{Exemption, exemption_for};
use crate::detect::finding::{Finding, FindingStatus};
use crate::detect::key_change::ChangeKind;
use crate::detect::listing::Answer;
use crate::detect::policy::Policy;
use crate::detect::rechecks::next_recheck;
use crate::detect::severity::{SeverityReason, severity};
use crate::detect::situation::{Outcome, Seen, Situation};
use crate::detect::trail::{self, Transition};
use crate::detect::user_record::{LastListing, UserRecord};
use crate::detect::view::{Unsettled, is_just_renamed, view};

/// For how long evidence on a key that is not listed is kept.
const KEEP_EVIDENCE: TimeDelta = TimeDelta::days(1);

/// What is to be written, told and looked at again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What became of the finding.
    pub outcome: Outcome,
    /// The user's record from now on; always written.
    pub record: UserRecord,
    /// Whether `record.finding` is new or changed.
    pub finding_changed: bool,
    /// The new entries of the audit trail.
    pub audit: Vec<AuditEntry>,
    /// The ids of the changes that `audit` tells of.
    pub recorded: Vec<String>,
    /// What every sink is to be told.
    pub alert: Option<Alert>,
    /// After how long the user is to be looked at again.
    pub rechecks: Vec<TimeDelta>,
    /// Why the view was not settled; empty if it was.
    pub unsettled: BTreeSet<Unsettled>,
}

/// Decides what `situation` comes to at `now`.
#[must_use]
pub fn decide(situation: &Situation<'_>, policy: &Policy, now: Timestamp) -> Decision {
    let Situation {
        record,
        listing,
        changes,
        ..
    } = *situation;
    let evidence = changes
        .iter()
        .fold(record.evidence.clone(), |evidence, change| {
            evidence.with(&record.user, change)
        });
    let mut view = view(record, &evidence, listing, policy.settle);
    if !view.has_two_active() && is_just_renamed(record, changes, &evidence, listing, policy.settle)
    {
        view.unsettled.insert(Unsettled::JustRenamed);
    }
    let seen = Seen {
        situation,
        evidence: &evidence,
        view: &view,
        policy,
        now,
    };

    let (outcome, finding, updates) = match record.open_finding() {
        None if seen.is_to_open() => {
            let opened = seen.judged(episode::opened(&seen), now);
            match seen.exemption(&opened) {
                Some(exemption) => {
                    let hidden = episode::hidden(opened, exemption);
                    let nobody_knows = Finding {
                        told: false,
                        ..hidden
                    };
                    (Outcome::Suppressed, Some(nobody_knows), vec![])
                }
                None => (Outcome::Opened, Some(opened), vec![]),
            }
        }
        None => (Outcome::NothingOpen, None, vec![]),
        Some(open) if seen.has_two_active() || seen.is_blind() => seen.gone_on(open),
        Some(open) if seen.may_close() => {
            let closed = episode::closed(open, &seen);
            let ended_at = closed.closing.as_ref().map_or(now, |closing| closing.at);
            (Outcome::Closed, Some(seen.judged(closed, ended_at)), vec![])
        }
        Some(_) => (Outcome::StillOpen, None, vec![]),
    };

    let mut next = next_record(&seen);
    let (mut audit, recorded) = trail::of_changes(&mut next.audit, situation, now);
    let alert = finding.as_ref().and_then(|finding| {
        let transition = Transition {
            before: record.open_finding(),
            finding,
            outcome,
            updates: &updates,
            sweep: situation.sweep,
        };
        trail::of_finding(&mut next.audit, &mut audit, &transition, policy, now)
    });
    let mut rechecks = seen.rechecks(outcome, finding.as_ref());
    if situation.is_retry {
        // Whoever wrote it down may have died before it was queued.
        let promised = record.recheck_at.map(|at| at - now);
        rechecks.extend(promised.filter(|delay| *delay > TimeDelta::zero()));
    }
    next.recheck_at = next_recheck(record, &rechecks, now);
    if matches!(outcome, Outcome::Opened | Outcome::Suppressed) {
        next.episodes += 1;
        next.renamed_from = None;
    }
    let finding_changed = finding.is_some();
    if finding_changed {
        next.finding = finding;
    }
    Decision {
        outcome,
        record: next,
        finding_changed,
        audit,
        recorded,
        alert,
        rechecks,
        unsettled: view.unsettled,
    }
}

impl Seen<'_> {
    /// `finding` with the severity it has at `at`; what was raised once stays raised, for the reasons that it was.
    fn judged(&self, mut finding: Finding, at: Timestamp) -> Finding {
        let (severity, reasons) = severity(&finding, self.policy, at);
        finding.severity = finding.severity.max(severity);
        finding.severity_reasons.extend(reasons);
        finding.severity_reasons.sort();
        finding.severity_reasons.dedup();
        finding
    }

    /// The exemption that covers `finding`, and did not cease to before.
    fn exemption(&self, finding: &Finding) -> Option<&Exemption> {
        let makers = episode::makers(finding, self);
        let usable = |exemption: &&Exemption| {
            finding.status != FindingStatus::Open || !is_spent(exemption, finding)
        };
        let usable = self.situation.exemptions.iter().filter(usable);
        exemption_for(usable, finding.user(), &makers, self.now)
    }

    /// What becomes of an open finding while two keys are active, or nobody can tell.
    fn gone_on(&self, open: &Finding) -> (Outcome, Option<Finding>, Vec<Update>) {
        let mut finding = open.clone();
        let mut updates = Vec::new();
        finding.has_unknown_maker |= episode::has_joined_unknown(open, self);
        if self.is_settled() {
            finding.confirmed = true;
            finding.keys = episode::present_keys(self.view);
            if !finding.active_keys().eq(open.active_keys()) {
                updates.push(Update::Keys);
            }
        }
        if finding.opener.is_none()
            && let Some(opener) = episode::opener(self)
        {
            finding.opened_at = opener.at;
            finding.opener = Some(opener);
            updates.push(Update::Opener);
        }
        let mut finding = self.judged(finding, self.now);
        let outlived = |finding: &Finding| {
            let reasons = &finding.severity_reasons;
            reasons.contains(&SeverityReason::OutlivedWindow)
        };
        if finding.severity > open.severity {
            updates.push(Update::Severity);
        } else if outlived(&finding) && !outlived(open) {
            updates.push(Update::OutlivedWindow);
        }
        match self.exemption(&finding) {
            Some(exemption) => {
                let hidden = episode::hidden(finding.clone(), exemption);
                if (hidden.status, &hidden.exemption) != (open.status, &open.exemption) {
                    updates.push(Update::Exempted);
                }
                finding = hidden;
            }
            None if finding.status == FindingStatus::Suppressed => {
                finding.status = FindingStatus::Open;
                finding.told = true;
                updates.push(Update::ExemptionEnded);
            }
            None => {}
        }
        let outcome = match (updates.is_empty(), finding == *open) {
            (false, _) => Outcome::Updated,
            (true, false) if finding.confirmed != open.confirmed => Outcome::Confirmed,
            (true, _) => return (Outcome::StillOpen, None, updates),
        };
        (outcome, Some(finding), updates)
    }
}

/// Whether `exemption` hid `finding` before, and did so no longer: some key had joined that it does not cover.
fn is_spent(exemption: &Exemption, finding: &Finding) -> bool {
    finding.exemption.as_ref().is_some_and(|former| {
        (&former.id, former.created_at) == (&exemption.id, exemption.created_at)
    })
}

fn next_record(seen: &Seen<'_>) -> UserRecord {
    let Situation {
        record,
        listing,
        changes,
        ..
    } = *seen.situation;
    let mut next = record.clone();
    let requested_at = listing.requested_at();
    next.version += 1;
    match listing.answer() {
        Answer::Keys { display_name, keys } => {
            if let Some(name) = display_name {
                next.display_name.clone_from(name);
            }
            next.no_such_user_since = None;
            next.last_listing = Some(LastListing {
                requested_at,
                keys: keys
                    .iter()
                    .map(|(id, key)| (id.clone(), key.status))
                    .collect(),
            });
        }
        Answer::NoSuchUser => {
            next.no_such_user_since = next.no_such_user_since.or(Some(requested_at));
            next.last_listing = Some(LastListing {
                requested_at,
                keys: std::collections::BTreeMap::new(),
            });
        }
        Answer::Report { .. } | Answer::Refused { .. } => {}
    }
    for change in changes {
        match &change.kind {
            ChangeKind::UserRenamed { to, to_name } if *to == record.user => {
                let is_news = !seen.situation.already_recorded.contains(&change.id);
                if change.user != record.user && is_news {
                    next.renamed_from = Some(change.user.clone());
                }
                if record.version == 0 {
                    next.display_name.clone_from(to_name);
                }
            }
            _ if record.version == 0 && next.display_name == record.display_name => {
                next.display_name.clone_from(&change.user_name);
            }
            _ => {}
        }
    }
    if seen.is_settled() {
        if !seen.has_two_active() {
            next.below_two_at = Some(requested_at);
            next.below_two_key = seen.view.active_keys().next().map(str::to_owned);
            next.renamed_from = None;
        }
    } else {
        // INVARIANT (close late): never lowered.
        next.settle_after = next.settle_after.max(Some(requested_at));
    }
    let listed = next.last_listing.as_ref();
    next.evidence = seen.evidence.clone().pruned(
        |key| listed.is_some_and(|last| last.keys.contains_key(key)),
        requested_at,
        KEEP_EVIDENCE,
    );
    next
}
