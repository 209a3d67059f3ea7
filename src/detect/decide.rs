//! The decision: given what is kept of a user, what the key source lists and what events say, what is to be written
//! and who is to be told.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::alert::{Alert, Update};
use crate::detect::audit::AuditEntry;
use crate::detect::episode;
use crate::detect::evidence::{Evidence, UserState, Word};
use crate::detect::exemption::{Exemption, exemption_for};
use crate::detect::familiar::identity;
use crate::detect::finding::{CloseReason, Finding, FindingStatus, Opener};
use crate::detect::key_change::ChangeKind;
use crate::detect::leak;
use crate::detect::listing::{AccessKey, Answer, KeyStatus};
use crate::detect::policy::Policy;
use crate::detect::rechecks::next_recheck;
use crate::detect::relation::{Relation, relation};
use crate::detect::severity::{SeverityReason, severity};
use crate::detect::since::Since;
use crate::detect::situation::{Former, Outcome, Seen, Situation};
use crate::detect::trail::{self, Transition};
use crate::detect::user::UserId;
use crate::detect::user_record::{FormerName, KEEP_EVIDENCE, LastListing, UserRecord};
use crate::detect::view::{Unsettled, is_just_renamed, view};

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
    /// The user to be looked at now, because the finding goes on under that name, or the keys do.
    pub follow_up: Option<UserId>,
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
    let mut evidence = evidence_of(situation, policy.settle);
    let mut view = view(record, &evidence, listing, policy.settle);
    evidence.leaks = leak::narrowed(&evidence, &view, situation, now);
    if !view.has_two_active() && is_just_renamed(record, changes, &evidence, listing, policy.settle)
    {
        view.unsettled.insert(Unsettled::JustRenamed);
    }
    let mut seen = Seen {
        situation,
        evidence: &evidence,
        view: &view,
        policy,
        now,
        overlaps: vec![],
    };
    seen.overlaps = seen.overlaps();

    let (outcome, finding, updates) = match record.open_finding() {
        None if seen.is_to_open() => {
            let opened = seen.judged(seen.with_leaks(episode::opened(&seen)), now);
            match seen.exemption(&opened) {
                Some(exemption) => {
                    let hidden = episode::hidden(opened, exemption);
                    // What was announced under the user's former name must not go silent.
                    let told = episode::former_finding(&seen).is_some_and(|former| former.told);
                    (
                        Outcome::Suppressed,
                        Some(Finding { told, ..hidden }),
                        vec![],
                    )
                }
                None => (Outcome::Opened, Some(opened), vec![]),
            }
        }
        None => (Outcome::NothingOpen, None, vec![]),
        Some(open) if situation.has_left => {
            (Outcome::Closed, Some(episode::closed(open, &seen)), vec![])
        }
        Some(open) if seen.has_two_active() || seen.is_blind() || !seen.overlaps.is_empty() => {
            seen.gone_on(open)
        }
        Some(open) if seen.may_close() => {
            let closed = seen.with_leaks(episode::closed(open, &seen));
            let ended_at = closed.closing.as_ref().map_or(now, |closing| closing.at);
            (Outcome::Closed, Some(seen.judged(closed, ended_at)), vec![])
        }
        Some(_) => (Outcome::StillOpen, None, vec![]),
    };

    let mut next = next_record(&seen);
    let open = finding.as_ref().or(record.open_finding());
    note_reported(&mut next, open, &seen);
    next.evidence.leaks = leak::kept(&seen, open);
    let follow_up = seen.follow_up(finding.as_ref());
    let foreign = trail::of_foreign_entry(&mut next.audit, situation, now);
    let (entries, recorded) = trail::of_changes(&mut next.audit, situation, now);
    let mut audit: Vec<AuditEntry> = foreign.into_iter().chain(entries).collect();
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
        // Where nothing was found to go on from, the event that leads to it may be late.
        if finding
            .as_ref()
            .is_some_and(|opened| opened.continues.is_some())
        {
            next.renamed_from = None;
        }
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
        follow_up,
        unsettled: view.unsettled,
    }
}

/// What events say of the user, new ones too, and of its keys under former names: keys go along with a renaming. Where an
/// event is the first of its key, a listing tells what was before it.
fn evidence_of(situation: &Situation<'_>, settle: TimeDelta) -> Evidence {
    let Situation {
        record,
        listing,
        changes,
        former,
        ..
    } = *situation;
    let mut evidence = changes
        .iter()
        .fold(record.evidence.clone(), |evidence, change| {
            evidence.with(&record.user, change)
        });
    // No two keys have one id, so what was said of a key under a former name was said of this one.
    // Of other keys it may have been said of another user, who has the name since.
    let own: BTreeSet<String> = listing
        .keys()
        .map(|(key, _)| key)
        .chain(evidence.keys.keys())
        .cloned()
        .collect();
    for key in own {
        let of_key = former
            .iter()
            .filter_map(|former| former.evidence.keys.get(&key));
        for known in of_key {
            evidence.keys.entry(key.clone()).or_default().merge(known);
        }
    }
    let leaks = former.iter().flat_map(|former| &former.evidence.leaks);
    for known in leaks {
        let is_here = |leaked| listing.keys().any(|(key, _)| key == leaked);
        if known.key.as_ref().is_none_or(is_here) {
            leak::add(&mut evidence.leaks, known.clone());
        }
    }
    let listed: BTreeMap<&String, &AccessKey> = listing.keys().collect();
    for (key, known) in &mut evidence.keys {
        if let Some(last) = &record.last_listing {
            let status = last.keys.get(key).copied().unwrap_or(KeyStatus::Gone);
            known.note_listed(last.requested_at, status);
        }
        if let Some(below_two_at) = record.below_two_at {
            let was_alone = record.below_two_key.as_ref() == Some(key);
            let inactive = record.listed_inactive.get(key);
            let was_listed = inactive.is_some_and(|inactive| inactive.covers(below_two_at));
            let created = listed.get(key).and_then(|listed| listed.created);
            let was_there = created.is_some_and(|created| created < below_two_at - settle);
            let status = if was_alone {
                KeyStatus::Active
            } else if was_listed || was_there {
                KeyStatus::Inactive
            } else {
                // Not active; whether it was there is not kept.
                KeyStatus::Gone
            };
            known.note_listed(below_two_at, status);
        }
        if let Some(inactive) = record.listed_inactive.get(key) {
            known.note_listed(inactive.since, KeyStatus::Inactive);
            // Whatever says `Active` after that may have changed nothing.
            if let Some(active_at) = inactive.active_at {
                known.note_listed(active_at, KeyStatus::Active);
            }
        }
    }
    evidence
}

/// Notes which activations a finding names, so that each is announced once.
fn note_reported(next: &mut UserRecord, finding: Option<&Finding>, seen: &Seen<'_>) {
    let named = finding.into_iter().flat_map(Finding::active_keys);
    let named = named.chain(seen.overlaps.iter().map(|overlap| overlap.key.as_str()));
    for key in named {
        if let Some(known) = next.evidence.keys.get_mut(key) {
            known.note_reported();
        }
    }
    if seen.situation.is_history {
        for known in next.evidence.keys.values_mut() {
            known.note_reported();
        }
    }
}

impl Seen<'_> {
    /// `finding` with the severity it has at `at`; what was raised once stays raised, for the reasons that it was.
    fn judged(&self, mut finding: Finding, at: Timestamp) -> Finding {
        finding.opener = finding.opener.map(|opener| self.related(opener));
        let joined = finding.joined.into_iter();
        finding.joined = joined
            .map(|event| {
                if event.is_proven() {
                    self.related(event)
                } else {
                    event
                }
            })
            .collect();
        let (severity, reasons) = severity(&finding, self.policy, at);
        finding.severity = finding.severity.max(severity);
        finding.severity_reasons.extend(reasons);
        finding.severity_reasons.sort();
        finding.severity_reasons.dedup();
        let reasons = &mut finding.severity_reasons;
        if reasons.contains(&SeverityReason::UntrustedActor) {
            reasons.retain(|reason| *reason != SeverityReason::UnfamiliarActor);
        }
        finding
    }

    /// `event` with the relation of its actor, by what is known of the time at which it made its key active.
    ///
    /// INVARIANT (a relation is judged once): an actor who becomes familiar later makes no open finding milder.
    fn related(&self, event: Opener) -> Opener {
        if event.relation.is_some() {
            return event;
        }
        let user = self.user_of(&event);
        let relation = relation(
            &event.actor,
            user,
            self.policy,
            self.situation.familiar,
            event.at,
        );
        let relation = match relation {
            Relation::Unfamiliar if self.is_vouched_for(&event) => Some(Relation::Trusted),
            Relation::Unfamiliar if self.is_rollback(&event) => None,
            Relation::Unfamiliar if !self.policy.raises_unfamiliar => None,
            judged => Some(judged),
        };
        Opener { relation, ..event }
    }

    /// Whether `event` takes back what the same actor did shortly before: a cleanup that broke something.
    fn is_rollback(&self, event: &Opener) -> bool {
        let is_the_same = |word: &Word| {
            let actor = identity(&word.by.actor);
            actor.is_some() && actor == identity(&event.actor)
        };
        let known = self.evidence.keys.get(&event.key);
        event
            .inactive_since
            .filter(|since| event.at - *since <= Policy::ROLLBACK)
            .is_some_and(|since| {
                let mut words = known.into_iter().flat_map(|known| &known.words);
                words.any(|word| {
                    word.at == since && word.status == KeyStatus::Inactive && is_the_same(word)
                })
            })
    }

    /// Whether an exemption names the actor of `event` as one who makes keys for the user, as `rotate start` does. One for
    /// every actor vouches for none of them.
    fn is_vouched_for(&self, event: &Opener) -> bool {
        let exemptions = self.situation.exemptions.iter();
        // One who switched on what may have been on all along made nothing.
        let naming = exemptions.filter(|one| one.names_an_actor() && event.is_proven());
        let maker = [Some(event.actor.label())];
        exemption_for(naming, &self.situation.record.user, &maker, self.now).is_some()
    }

    /// The name that the user had when `event` made its key active.
    fn user_of(&self, event: &Opener) -> &UserId {
        let is_of = |former: &&Former| {
            let known = former.evidence.keys.get(&event.key);
            known.is_some_and(|known| {
                known.words.iter().any(|word| {
                    (word.at, &word.by.event_id, &word.by.actor)
                        == (event.at, &event.event_id, &event.actor)
                })
            })
        };
        let former = self.situation.former.iter().find(is_of);
        former.map_or(&self.situation.record.user, |former| &former.user)
    }

    /// `finding` with the leaks that are about its keys.
    fn with_leaks(&self, finding: Finding) -> Finding {
        Finding {
            leaks: leak::of_keys(&finding.keys, self),
            ..finding
        }
    }

    /// The exemption that covers `finding`, and did not cease to before. None covers a key that
    /// leaked: whoever wrote it did not know of that.
    fn exemption(&self, finding: &Finding) -> Option<&Exemption> {
        if finding
            .severity_reasons
            .contains(&SeverityReason::LeakedKey)
        {
            return None;
        }
        let usable = |exemption: &&Exemption| {
            finding.status != FindingStatus::Open || !is_spent(exemption, finding)
        };
        let usable = self.situation.exemptions.iter().filter(usable);
        exemption_for(usable, finding.user(), &finding.makers(), self.now)
    }

    /// The user's next name, if what is decided here matters there: the finding that was closed
    /// goes on under it, it has come to light whose name this was before, or an event on a key that
    /// went along was late. Where the event of the renaming is at hand, that has it looked at
    /// anyway.
    fn follow_up(&self, closed: Option<&Finding>) -> Option<UserId> {
        let Some(UserState::RenamedTo(next)) = &self.evidence.user.as_ref()?.state else {
            return None;
        };
        let own = &self.situation.record.user;
        let leads = |from_here: bool| {
            self.situation
                .changes
                .iter()
                .any(|change| match &change.kind {
                    ChangeKind::UserRenamed { to, .. } if from_here => to != own,
                    ChangeKind::UserRenamed { to, .. } => to == own,
                    _ => false,
                })
        };
        let is_renamed = closed
            .and_then(|finding| finding.closing.as_ref())
            .is_some_and(|closing| closing.reason == CloseReason::Renamed);
        let matters = (is_renamed || leads(false) || self.has_late_news() || self.passes_on())
            && !leads(true);
        matters.then(|| next.clone())
    }

    /// Whether an event on a key is new.
    fn has_late_news(&self) -> bool {
        let situation = self.situation;
        let is_news = |id| situation.is_retry || !situation.already_recorded.contains(id);
        let mut changes = situation.changes.iter();
        changes.any(|change| change.key_status().is_some() && is_news(&change.id))
    }

    /// Whether this may be the look at a name in the middle, which the late event under the name
    /// before it asked for.
    fn passes_on(&self) -> bool {
        let situation = self.situation;
        let former = situation.record.former_name.as_ref();
        situation.changes.is_empty()
            && situation.sweep.is_none()
            && former.is_some_and(|former| former.matters(self.now))
    }

    /// What becomes of an open finding while two keys are active, or nothing tells.
    fn gone_on(&self, open: &Finding) -> (Outcome, Option<Finding>, Vec<Update>) {
        let mut finding = open.clone();
        let mut updates = Vec::new();
        finding.has_unknown_maker |= episode::has_joined_unknown(open, self);
        let has_news = episode::has_news(open, self);
        if self.is_settled() {
            finding.confirmed |= self.has_two_active();
            finding.keys = episode::keys_with_overlaps(episode::present_keys(self.view), self);
            if has_news || !finding.active_keys().eq(open.active_keys()) {
                updates.push(Update::Keys);
            }
        } else if has_news {
            // INVARIANT (add early, remove late): a key that became active is told of at once, however unsettled the view.
            finding.keys = episode::keys_added(open, self);
            updates.push(Update::Keys);
        }
        if open.continues.is_none()
            && let Some(former) = episode::former_finding(self)
        {
            finding.continues = Some(former.id.clone());
            Since::continued(open, former).write(&mut finding);
            finding.joined.extend(former.joined.iter().cloned());
            finding.has_unknown_maker = true;
            finding.opener = former.opener.clone().or(finding.opener);
            updates.push(Update::Continues);
        } else if let Some(opener) = episode::better_opener(open, self) {
            let since = Since::of(open).with(&opener, open.detected_at);
            since.write(&mut finding);
            finding.joined.extend(finding.opener.replace(opener));
            updates.push(Update::Opener);
        } else if self.is_settled()
            && let Some(since) = Since::correcting(open, episode::earliest(self))
        {
            since.write(&mut finding);
            updates.push(Update::Since);
        }
        finding.joined = episode::joined(&finding, self);
        let mut finding = self.judged(self.with_leaks(finding), self.now);
        if leak::has_news(&open.leaks, &finding.leaks) {
            updates.push(Update::Leaked);
        }
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
        let before = Finding {
            // That an inactive key came or went is not worth a write.
            keys: finding.keys.clone(),
            ..open.clone()
        };
        let outcome = match (updates.is_empty(), finding == before) {
            (false, _) => Outcome::Updated,
            (true, false) if finding.confirmed != open.confirmed => Outcome::Confirmed,
            (true, false) => Outcome::StillOpen,
            (true, true) => return (Outcome::StillOpen, None, updates),
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
            let settle = seen.policy.settle;
            next.listed_inactive = record.listed_inactive_with(keys, requested_at, settle);
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
            next.listed_inactive.clear();
            next.last_listing = Some(LastListing {
                requested_at,
                keys: BTreeMap::new(),
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
                let is_latest = |known: &FormerName| known.until <= change.at;
                if change.user != record.user && next.former_name.as_ref().is_none_or(is_latest) {
                    next.former_name = Some(FormerName {
                        user: change.user.clone(),
                        until: change.at,
                    });
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
    next.former_name = next
        .former_name
        .filter(|former| former.matters(requested_at));
    if seen.is_settled() {
        // Two listings in a row may be behind, so this takes what a closing takes.
        if !seen.has_two_active() && seen.may_close() {
            next.below_two_at = Some(requested_at);
            next.below_two_key = seen.view.active_keys().next().map(str::to_owned);
        }
        // A user that is gone from here too may have been renamed once more, which takes the finding along.
        if !seen.has_two_active() && *listing.answer() != Answer::NoSuchUser {
            next.renamed_from = None;
        }
    } else {
        // INVARIANT (close late): never lowered.
        next.settle_after = next.settle_after.max(Some(requested_at));
    }
    let listed = next.last_listing.as_ref();
    let open = record.open_finding();
    next.evidence = seen.evidence.clone().pruned(
        |key| listed.is_some_and(|last| last.keys.contains_key(key)),
        |key| open.is_some_and(|open| open.active_keys().any(|named| named == key)),
        requested_at,
        KEEP_EVIDENCE,
    );
    next
}
