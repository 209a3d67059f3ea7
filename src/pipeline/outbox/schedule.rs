//! When to deliver a pending alert, and which worker does. Pure; [`crate::pipeline::recheck`] waits
//! and [`super::deliver`] sends.

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::decision::policy::Policy;
use crate::detect::findings::alert::{AlertKind, PendingAlert};

/// What to deliver now, and what to wait for. New alerts are delivered at once. Another worker's
/// alert becomes ours only once it is due. Apart from openings, an alert does not overtake an older
/// one that is still pending for its sink: it is held back and delivered with the older one, which
/// already has a worker.
#[must_use]
pub fn deliveries(
    pending: &[PendingAlert],
    new: &[PendingAlert],
    now: Timestamp,
) -> (Vec<PendingAlert>, Vec<PendingAlert>) {
    let (due, not_due): (Vec<PendingAlert>, Vec<PendingAlert>) = pending
        .iter()
        .cloned()
        .partition(|pending| pending.due_at <= now);
    let overtakes = |pending: &PendingAlert| {
        pending.alert.kind != AlertKind::Opened
            && not_due.iter().any(|older| {
                older.sink == pending.sink && older.alert.sequence < pending.alert.sequence
            })
    };
    let (held, at_once): (Vec<PendingAlert>, Vec<PendingAlert>) =
        new.iter().cloned().partition(overtakes);
    let due_in_turn = due.into_iter().filter(|pending| !overtakes(pending));
    (
        due_in_turn.chain(at_once).collect(),
        not_due.into_iter().chain(held).collect(),
    )
}

/// After how long to check the user again, for alerts that will be due and whose worker may have
/// died. A postponed alert has a worker who scheduled that, unless the worker died before
/// (`is_retry`).
#[must_use]
pub fn recheck_delay(
    pending: &[PendingAlert],
    is_retry: bool,
    now: Timestamp,
) -> Option<TimeDelta> {
    let due_at = pending
        .iter()
        .filter(|pending| is_retry || pending.due_at <= pending.alert.at + Policy::DELIVERY_GRACE)
        .map(|pending| pending.due_at)
        .max()?;
    Some(due_at - now)
}

/// The delay before the next attempt to deliver an alert. It grows with the time that the alert has
/// been pending.
#[must_use]
pub fn retry_delay(pending: &PendingAlert, now: Timestamp) -> TimeDelta {
    (now - pending.alert.at).clamp(Policy::DELIVERY_GRACE, Policy::SLOW_RECHECK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::findings::alert::Alert;
    use crate::detect::testing::{at, finding_of};

    fn pending(sink: &str, sequence: u64, kind: AlertKind, due: i64) -> PendingAlert {
        PendingAlert {
            sink: sink.to_owned(),
            due_at: at(due),
            alert: Alert {
                kind,
                sequence,
                audit_hash: String::new(),
                in_digest: false,
                at: at(due - 30),
                window_ends_at: at(1_000),
                finding: finding_of(&[]),
            },
        }
    }

    fn places(pending: &[PendingAlert]) -> Vec<(&str, u64)> {
        pending
            .iter()
            .map(|pending| (pending.sink.as_str(), pending.alert.sequence))
            .collect()
    }

    #[test]
    fn a_closing_does_not_overtake_an_opening_that_its_sink_waits_for() {
        let waiting = [pending("sns", 2, AlertKind::Opened, 130)];
        let new = [
            pending("eventbridge", 4, AlertKind::Closed, 140),
            pending("sns", 4, AlertKind::Closed, 140),
        ];
        let (now, later) = deliveries(&waiting, &new, at(110));
        assert_eq!(places(&now), [("eventbridge", 4)]);
        assert_eq!(places(&later), [("sns", 2), ("sns", 4)]);
        let (now, later) = deliveries(&waiting, &new, at(130));
        assert_eq!(places(&now), [("sns", 2), ("eventbridge", 4), ("sns", 4)]);
        assert_eq!(places(&later), []);
    }

    #[test]
    fn a_closing_that_is_due_does_not_overtake_an_opening_that_was_postponed() {
        let pending = [
            pending("sns", 2, AlertKind::Opened, 480),
            pending("sns", 4, AlertKind::Closed, 270),
            pending("eventbridge", 4, AlertKind::Closed, 270),
        ];
        let (now, later) = deliveries(&pending, &[], at(270));
        assert_eq!(places(&now), [("eventbridge", 4)]);
        assert_eq!(places(&later), [("sns", 2)]);
        let (now, later) = deliveries(&pending, &[], at(480));
        assert_eq!(places(&now), [("sns", 2), ("sns", 4), ("eventbridge", 4)]);
        assert_eq!(places(&later), []);
    }

    #[test]
    fn an_opening_waits_for_nothing() {
        let waiting = [pending("sns", 4, AlertKind::Closed, 130)];
        let new = [pending("sns", 6, AlertKind::Opened, 140)];
        let (now, _) = deliveries(&waiting, &new, at(110));
        assert_eq!(places(&now), [("sns", 6)]);
    }

    #[test]
    fn only_an_alert_that_may_lack_a_worker_is_waited_for() {
        let fresh = pending("sns", 2, AlertKind::Opened, 130);
        let mut postponed = fresh.clone();
        postponed.due_at = at(500);
        let seconds = |pending: &[PendingAlert], is_retry| {
            recheck_delay(pending, is_retry, at(110)).map(|wait| wait.num_seconds())
        };
        assert_eq!(seconds(&[fresh], false), Some(20));
        assert_eq!(seconds(std::slice::from_ref(&postponed), false), None);
        assert_eq!(seconds(&[postponed], true), Some(390));
    }

    #[test]
    fn delivery_attempts_slow_down_and_never_stop() {
        let alert = pending("sns", 2, AlertKind::Opened, 130);
        let wait = |now| retry_delay(&alert, at(now)).num_seconds();
        assert_eq!([wait(101), wait(130), wait(400)], [30, 30, 300]);
        assert_eq!(wait(100_000), 15 * 60);
    }
}
