//! The decision: from a user's record, the current listing and the events to what to store and what
//! to send.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::decision::exemption::{Exemption, exemption_for};
use crate::detect::decision::familiar::identity;
use crate::detect::decision::policy::Policy;
use crate::detect::decision::rechecks::next_recheck;
use crate::detect::decision::relation::{Relation, relation};
use crate::detect::decision::severity::{SeverityReason, severity};
use crate::detect::decision::situation::{Assessment, FormerUser, Outcome, Situation};
use crate::detect::events::key_change::ChangeKind;
use crate::detect::events::leak;
use crate::detect::findings::alert::{Alert, FindingUpdate};
use crate::detect::findings::finding::{CloseReason, Finding, FindingStatus, KeyActivation};
use crate::detect::findings::{lifecycle, refresh};
use crate::detect::keys::evidence::{Evidence, KeyEvent, UserState};
use crate::detect::keys::listing::{AccessKey, KeyStatus, ListingAnswer};
use crate::detect::keys::overlap_start::OverlapStart;
use crate::detect::keys::view::{UnsettledReason, is_just_renamed, view};
use crate::detect::records::user_record::{
    EVIDENCE_RETENTION, FormerName, LastListing, UserRecord,
};
use crate::detect::trail::audit::AuditEntry;
use crate::detect::trail::audit_entries::{self, Transition};
use crate::detect::user::UserId;

/// What to store, what to send and when to check the user again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What happened to the finding.
    pub outcome: Outcome,
    /// The user's new record. It is always stored.
    pub record: UserRecord,
    /// Whether `record.finding` is new or changed.
    pub finding_changed: bool,
    /// The new entries of the audit trail.
    pub audit: Vec<AuditEntry>,
    /// The ids of the changes that `audit` describes.
    pub recorded: Vec<String>,
    /// The alert for every sink.
    pub alert: Option<Alert>,
    /// The finding as it is, for sinks that forget findings. Never beside an alert.
    pub refresh: Option<Alert>,
    /// The delays after which to check the user again.
    pub rechecks: Vec<TimeDelta>,
    /// A user to check now, because the finding or the keys now belong to that name.
    pub follow_up: Option<UserId>,
    /// Why the view is unsettled; empty if it is settled.
    pub unsettled: BTreeSet<UnsettledReason>,
}

/// Decides what to do about `situation` at `now`.
#[must_use]
pub fn decide(situation: &Situation<'_>, policy: &Policy, now: Timestamp) -> Decision {
    let Situation {
        record,
        listing,
        changes,
        ..
    } = *situation;
    let mut evidence = evidence_of(situation, policy.consistency_window);
    let mut view = view(record, &evidence, listing, policy.consistency_window);
    evidence.leaks = leak::attributed(&evidence, &view, situation, now);
    if !view.has_two_active()
        && is_just_renamed(
            record,
            changes,
            &evidence,
            listing,
            policy.consistency_window,
        )
    {
        view.unsettled.insert(UnsettledReason::JustRenamed);
    }
    let mut assessment = Assessment {
        situation,
        evidence: &evidence,
        view: &view,
        policy,
        now,
        overlaps: vec![],
    };
    assessment.overlaps = assessment.overlaps();

    let (outcome, finding, updates) = assessment.next_finding();

    let mut next = next_record(&assessment);
    let open = finding.as_ref().or(record.open_finding());
    mark_announced(&mut next, open, &assessment);
    next.evidence.leaks = leak::retained(&assessment, open);
    let follow_up = assessment.follow_up(finding.as_ref());
    let foreign = audit_entries::of_foreign_entry(&mut next.audit, situation, now);
    let (entries, recorded) = audit_entries::of_changes(&mut next.audit, situation, now);
    let mut audit: Vec<AuditEntry> = foreign.into_iter().chain(entries).collect();
    let alert = finding.as_ref().and_then(|finding| {
        let transition = Transition {
            before: record.open_finding(),
            finding,
            outcome,
            updates: &updates,
            sweep: situation.sweep,
        };
        audit_entries::of_finding(&mut next.audit, &mut audit, &transition, policy, now)
    });
    let mut rechecks = assessment.rechecks(outcome, finding.as_ref());
    if situation.is_retry {
        // The worker that stored the time may have died before it queued the re-check.
        let promised = record.recheck_at.map(|at| at - now);
        rechecks.extend(promised.filter(|delay| *delay > TimeDelta::zero()));
    }
    next.recheck_at = next_recheck(record, &rechecks, now);
    if matches!(outcome, Outcome::Opened | Outcome::Suppressed) {
        next.episodes += 1;
        // If nothing was continued, the event that leads to the former finding may still be late.
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
    let refresh = refresh::due(&mut next, alert.as_ref(), policy, now);
    Decision {
        outcome,
        record: next,
        finding_changed,
        audit,
        recorded,
        alert,
        refresh,
        rechecks,
        follow_up,
        unsettled: view.unsettled,
    }
}

/// What events, the new ones included, say about the user and about its keys under former names,
/// because a renaming keeps the keys. For the first event of a key, a listing shows the status
/// before it.
fn evidence_of(situation: &Situation<'_>, consistency_window: TimeDelta) -> Evidence {
    let Situation {
        record,
        listing,
        changes,
        former_users: former,
        ..
    } = *situation;
    let mut evidence = changes
        .iter()
        .fold(record.evidence.clone(), |evidence, change| {
            evidence.with_change(&record.user, change)
        });
    // Key ids are unique, so evidence on this key under a former name is about this key. Other keys
    // may belong to a different user who has taken that name since.
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
        let uses = former
            .iter()
            .filter_map(|former| former.evidence.uses.get(&key));
        for used_at in uses {
            evidence.record_use(&key, *used_at);
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
            known.record_listed_status(last.requested_at, status);
            known.record_listed_status_after(last.requested_at, status, consistency_window);
        }
        if let Some(below_two_at) = record.below_two_at {
            let was_alone = record.below_two_key.as_ref() == Some(key);
            let inactive = record.listed_inactive.get(key);
            let was_listed = inactive.is_some_and(|inactive| inactive.covers(below_two_at));
            let created = listed.get(key).and_then(|listed| listed.created);
            let was_there =
                created.is_some_and(|created| created < below_two_at - consistency_window);
            let status = if was_alone {
                KeyStatus::Active
            } else if was_listed || was_there {
                KeyStatus::Inactive
            } else {
                // It was not active. The record does not say whether it existed.
                KeyStatus::Gone
            };
            known.record_listed_status(below_two_at, status);
        }
        if let Some(inactive) = record.listed_inactive.get(key) {
            known.record_listed_status(inactive.since, KeyStatus::Inactive);
            // An event that says `Active` later may have changed nothing.
            if let Some(active_at) = inactive.active_at {
                known.record_listed_status(active_at, KeyStatus::Active);
            }
        }
    }
    evidence
}

/// Marks the activations that a finding names, so that each is announced once.
fn mark_announced(next: &mut UserRecord, finding: Option<&Finding>, assessment: &Assessment<'_>) {
    let named = finding.into_iter().flat_map(Finding::active_keys);
    let named = named.chain(
        assessment
            .overlaps
            .iter()
            .map(|overlap| overlap.key.as_str()),
    );
    for key in named {
        if let Some(known) = next.evidence.keys.get_mut(key) {
            known.mark_announced();
        }
    }
    if assessment.situation.is_history {
        for known in next.evidence.keys.values_mut() {
            known.mark_announced();
        }
    }
}

impl Assessment<'_> {
    /// The outcome, the finding if it is new or changed, and what changed about it.
    fn next_finding(&self) -> (Outcome, Option<Finding>, Vec<FindingUpdate>) {
        match self.situation.record.open_finding() {
            None if self.should_open() => {
                let opened = self.with_leaks(lifecycle::opened(self));
                let opened = self.with_severity(opened, self.now);
                match self.exemption(&opened) {
                    Some(exemption) => {
                        let hidden = lifecycle::suppressed(opened, exemption);
                        // A finding that was announced under the former name must not disappear
                        // without an alert.
                        let announced =
                            lifecycle::former_finding(self).is_some_and(|former| former.announced);
                        let hidden = Finding {
                            announced,
                            ..hidden
                        };
                        (Outcome::Suppressed, Some(hidden), vec![])
                    }
                    None => (Outcome::Opened, Some(opened), vec![]),
                }
            }
            None => (Outcome::NothingOpen, None, vec![]),
            Some(open) if self.situation.unwatched.is_some() => {
                (Outcome::Closed, Some(lifecycle::closed(open, self)), vec![])
            }
            Some(open) if self.has_two_active() || self.is_blind() || !self.overlaps.is_empty() => {
                self.update_open(open)
            }
            Some(open) if self.may_close() => {
                let closed = self.with_leaks(lifecycle::closed(open, self));
                let ended_at = closed
                    .closing
                    .as_ref()
                    .map_or(self.now, |closing| closing.at);
                (
                    Outcome::Closed,
                    Some(self.with_severity(closed, ended_at)),
                    vec![],
                )
            }
            Some(_) => (Outcome::StillOpen, None, vec![]),
        }
    }

    /// `finding` with its severity at `at`. A severity never decreases, and its reasons stay.
    fn with_severity(&self, mut finding: Finding, at: Timestamp) -> Finding {
        finding.opener = finding.opener.map(|opener| self.with_relation(opener));
        let joined = finding.other_activations.into_iter();
        finding.other_activations = joined
            .map(|event| {
                if event.is_proven() {
                    self.with_relation(event)
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

    /// `event` with the relation of its actor, as known at the time of the event.
    ///
    /// INVARIANT (a relation is judged once): an actor who becomes familiar later does not lower
    /// the severity of an open finding.
    fn with_relation(&self, event: KeyActivation) -> KeyActivation {
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
            Relation::Unfamiliar if !self.policy.unfamiliar_actor_raises_severity => None,
            judged => Some(judged),
        };
        KeyActivation { relation, ..event }
    }

    /// Whether `event` undoes what the same actor did shortly before: a cleanup that broke
    /// something.
    fn is_rollback(&self, event: &KeyActivation) -> bool {
        let is_the_same = |word: &KeyEvent| {
            let actor = identity(&word.by.actor);
            actor.is_some() && actor == identity(&event.actor)
        };
        let known = self.evidence.keys.get(&event.key);
        event
            .inactive_since
            .filter(|since| event.at - *since <= Policy::ROLLBACK)
            .is_some_and(|since| {
                let mut words = known.into_iter().flat_map(|known| &known.events);
                words.any(|word| {
                    word.at == since && word.status == KeyStatus::Inactive && is_the_same(word)
                })
            })
    }

    /// Whether an exemption names the actor of `event` as one who creates keys for the user, as
    /// `rotate start` does. An exemption for every actor does not count.
    fn is_vouched_for(&self, event: &KeyActivation) -> bool {
        let exemptions = self.situation.exemptions.iter();
        // An update to `Active` of a key that may have been active already creates nothing.
        let naming = exemptions.filter(|one| one.names_an_actor() && event.is_proven());
        let activator = [Some(event.actor.label())];
        exemption_for(naming, &self.situation.record.user, &activator, self.now).is_some()
    }

    /// The user's name at the time of `event`.
    fn user_of(&self, event: &KeyActivation) -> &UserId {
        let is_of = |former: &&FormerUser| {
            let known = former.evidence.keys.get(&event.key);
            known.is_some_and(|known| {
                known.events.iter().any(|word| {
                    (word.at, &word.by.event_id, &*word.by.actor)
                        == (event.at, &event.event_id, &event.actor)
                })
            })
        };
        let former = self.situation.former_users.iter().find(is_of);
        former.map_or(&self.situation.record.user, |former| &former.user)
    }

    /// `finding` with the leak reports about its keys.
    fn with_leaks(&self, finding: Finding) -> Finding {
        Finding {
            leaks: leak::of_keys(&finding.keys, self),
            ..finding
        }
    }

    /// The exemption that covers `finding` and has not stopped covering it. A leaked key is never
    /// covered: the author of the exemption did not know about the leak.
    fn exemption(&self, finding: &Finding) -> Option<&Exemption> {
        if finding
            .severity_reasons
            .contains(&SeverityReason::LeakedKey)
        {
            return None;
        }
        let usable = |exemption: &&Exemption| {
            finding.status != FindingStatus::Open || !has_ended_before(exemption, finding)
        };
        let usable = self.situation.exemptions.iter().filter(usable);
        exemption_for(usable, finding.user(), &finding.activators(), self.now)
    }

    /// The user's next name, if this decision matters there: the closed finding continues under it,
    /// the previous name has become known, or an event on one of the keys was late. If the renaming
    /// event is among the changes, it leads to that check anyway.
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

    /// Whether there is a new event on a key.
    fn has_late_news(&self) -> bool {
        let situation = self.situation;
        let is_news = |id| situation.is_retry || !situation.already_recorded.contains(id);
        let mut changes = situation.changes.iter();
        changes.any(|change| change.key_status().is_some() && is_news(&change.id))
    }

    /// Whether this may be the check of an intermediate name, requested by a late event under the
    /// name before it.
    fn passes_on(&self) -> bool {
        let situation = self.situation;
        let former = situation.record.former_name.as_ref();
        situation.changes.is_empty()
            && situation.sweep.is_none()
            && former.is_some_and(|former| former.is_recent(self.now))
    }

    /// Updates an open finding while two keys are active or the keys cannot be listed.
    fn update_open(&self, open: &Finding) -> (Outcome, Option<Finding>, Vec<FindingUpdate>) {
        let mut finding = open.clone();
        let mut updates = Vec::new();
        finding.has_unknown_activator |= lifecycle::has_new_unknown_activator(open, self);
        let has_news = lifecycle::has_news(open, self);
        if self.is_settled() {
            finding.confirmed |= self.has_two_active();
            finding.keys = lifecycle::keys_with_overlaps(lifecycle::present_keys(self.view), self);
            if has_news || !finding.active_keys().eq(open.active_keys()) {
                updates.push(FindingUpdate::Keys);
            }
        } else if has_news {
            // INVARIANT (add early, remove late): a key that became active is announced at once,
            // even while the view is unsettled.
            finding.keys = lifecycle::keys_while_unsettled(open, self);
            updates.push(FindingUpdate::Keys);
        }
        if open.continues.is_none()
            && let Some(former) = lifecycle::former_finding(self)
        {
            finding.continues = Some(former.id.clone());
            OverlapStart::continued(open, former).apply_to(&mut finding);
            finding
                .other_activations
                .extend(former.other_activations.iter().cloned());
            finding.has_unknown_activator = true;
            finding.opener = former.opener.clone().or(finding.opener);
            updates.push(FindingUpdate::Continues);
        } else if let Some(opener) = lifecycle::corrected_opener(open, self) {
            let since = if lifecycle::corrects(&opener, open) {
                OverlapStart::known(opener.at)
            } else {
                OverlapStart::of(open).corrected_by(&opener, open.detected_at)
            };
            since.apply_to(&mut finding);
            finding
                .other_activations
                .extend(finding.opener.replace(opener));
            updates.push(FindingUpdate::Opener);
        } else if self.is_settled()
            && let Some(since) = OverlapStart::correcting(open, lifecycle::earliest(self))
        {
            since.apply_to(&mut finding);
            updates.push(FindingUpdate::OpenedAt);
        }
        finding.other_activations = lifecycle::other_activations(&finding, self);
        let mut finding = self.with_severity(self.with_leaks(finding), self.now);
        if leak::has_news(&open.leaks, &finding.leaks) {
            updates.push(FindingUpdate::Leaked);
        }
        let outlived = |finding: &Finding| {
            let reasons = &finding.severity_reasons;
            reasons.contains(&SeverityReason::OutlivedWindow)
        };
        if finding.severity > open.severity {
            updates.push(FindingUpdate::Severity);
        } else if outlived(&finding) && !outlived(open) {
            updates.push(FindingUpdate::OutlivedWindow);
        }
        match self.exemption(&finding) {
            Some(exemption) => {
                let hidden = lifecycle::suppressed(finding.clone(), exemption);
                if (hidden.status, &hidden.exemption) != (open.status, &open.exemption) {
                    updates.push(FindingUpdate::Exempted);
                }
                finding = hidden;
            }
            None if finding.status == FindingStatus::Suppressed => {
                finding.status = FindingStatus::Open;
                finding.announced = true;
                updates.push(FindingUpdate::ExemptionEnded);
            }
            None => {}
        }
        let before = Finding {
            // A change of an inactive key alone is not worth a write.
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

/// Whether `exemption` suppressed `finding` before and then stopped, because a key joined that it
/// does not cover.
fn has_ended_before(exemption: &Exemption, finding: &Finding) -> bool {
    finding.exemption.as_ref().is_some_and(|former| {
        (&former.id, former.created_at) == (&exemption.id, exemption.created_at)
    })
}

fn next_record(assessment: &Assessment<'_>) -> UserRecord {
    let Situation {
        record,
        listing,
        changes,
        ..
    } = *assessment.situation;
    let mut next = record.clone();
    let requested_at = listing.requested_at();
    next.version += 1;
    match listing.answer() {
        ListingAnswer::Keys { display_name, keys } => {
            if let Some(name) = display_name {
                next.display_name.clone_from(name);
            }
            next.no_such_user_since = None;
            let consistency_window = assessment.policy.consistency_window;
            next.listed_inactive =
                record.listed_inactive_with(keys, requested_at, consistency_window);
            next.last_listing = Some(LastListing {
                requested_at,
                keys: keys
                    .iter()
                    .map(|(id, key)| (id.clone(), key.status))
                    .collect(),
            });
        }
        ListingAnswer::NoSuchUser => {
            next.no_such_user_since = next.no_such_user_since.or(Some(requested_at));
            next.listed_inactive.clear();
            next.last_listing = Some(LastListing {
                requested_at,
                keys: BTreeMap::new(),
            });
        }
        ListingAnswer::Report { .. } | ListingAnswer::Refused { .. } => {}
    }
    for change in changes {
        match &change.kind {
            ChangeKind::UserRenamed { to, to_name } if *to == record.user => {
                let is_news = !assessment.situation.already_recorded.contains(&change.id);
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
        .filter(|former| former.is_recent(requested_at));
    if assessment.is_settled() {
        // Two listings in a row may be stale, so the same conditions apply as for closing.
        if !assessment.has_two_active() && assessment.may_close() {
            next.below_two_at = Some(requested_at);
            next.below_two_key = assessment.view.active_keys().next().map(str::to_owned);
        }
        // A user that is gone may have been renamed again; the finding continues under the next
        // name.
        if !assessment.has_two_active() && *listing.answer() != ListingAnswer::NoSuchUser {
            next.renamed_from = None;
        }
    } else {
        // INVARIANT (close late): never lowered.
        next.last_unsettled_at = next.last_unsettled_at.max(Some(requested_at));
    }
    let listed = next.last_listing.as_ref();
    let open = record.open_finding();
    next.evidence = assessment.evidence.clone().pruned(
        |key| listed.is_some_and(|last| last.keys.contains_key(key)),
        |key| open.is_some_and(|open| open.active_keys().any(|named| named == key)),
        requested_at,
        EVIDENCE_RETENTION,
    );
    next
}
