//! Whose turn it is to deliver an alert that is owed, and when. Pure: what waits and sends is in [`super::recheck`] and
//! [`super::deliver`].

use chrono::TimeDelta;

use crate::detect::Timestamp;
use crate::detect::alert::{AlertKind, OwedAlert};
use crate::detect::policy::Policy;

/// What to deliver now, and what to wait for. What others owe is theirs until it is due. What is new is delivered at once.
/// Neither overtakes an older alert that its sink still waits for, unless it is an opening. One that is due and held back
/// goes out together with the older one, which somebody sees to.
#[must_use]
pub fn in_turn(
    owed: &[OwedAlert],
    new: &[OwedAlert],
    now: Timestamp,
) -> (Vec<OwedAlert>, Vec<OwedAlert>) {
    let (due, not_due): (Vec<OwedAlert>, Vec<OwedAlert>) =
        owed.iter().cloned().partition(|owed| owed.due_at <= now);
    let overtakes = |owed: &OwedAlert| {
        owed.alert.kind != AlertKind::Opened
            && not_due
                .iter()
                .any(|older| older.sink == owed.sink && older.alert.sequence < owed.alert.sequence)
    };
    let (held, at_once): (Vec<OwedAlert>, Vec<OwedAlert>) =
        new.iter().cloned().partition(overtakes);
    let due_in_turn = due.into_iter().filter(|owed| !overtakes(owed));
    (
        due_in_turn.chain(at_once).collect(),
        not_due.into_iter().chain(held).collect(),
    )
}

/// After how long the user has to be looked at again, for alerts that will be due and whose owner may have died. One that
/// was postponed has an owner who saw to that, unless it died on the way here (`is_retry`).
#[must_use]
pub fn wait_for(owed: &[OwedAlert], is_retry: bool, now: Timestamp) -> Option<TimeDelta> {
    let due_at = owed
        .iter()
        .filter(|owed| is_retry || owed.due_at <= owed.alert.at + Policy::DELIVERY_GRACE)
        .map(|owed| owed.due_at)
        .max()?;
    Some(due_at - now)
}

/// How far the next try of an alert that no sink took is moved on: the further the longer it has been owed.
#[must_use]
pub fn postponement(owed: &OwedAlert, now: Timestamp) -> TimeDelta {
    (now - owed.alert.at).clamp(Policy::DELIVERY_GRACE, Policy::PATIENT_RECHECK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::alert::Alert;
    use crate::detect::testing::{at, finding_of};

    fn owed(sink: &str, sequence: u64, kind: AlertKind, due: i64) -> OwedAlert {
        OwedAlert {
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

    fn places(owed: &[OwedAlert]) -> Vec<(&str, u64)> {
        owed.iter()
            .map(|owed| (owed.sink.as_str(), owed.alert.sequence))
            .collect()
    }

    #[test]
    fn a_closing_does_not_overtake_an_opening_that_its_sink_waits_for() {
        let waiting = [owed("sns", 2, AlertKind::Opened, 130)];
        let new = [
            owed("eventbridge", 4, AlertKind::Closed, 140),
            owed("sns", 4, AlertKind::Closed, 140),
        ];
        let (now, later) = in_turn(&waiting, &new, at(110));
        assert_eq!(places(&now), [("eventbridge", 4)]);
        assert_eq!(places(&later), [("sns", 2), ("sns", 4)]);
        let (now, later) = in_turn(&waiting, &new, at(130));
        assert_eq!(places(&now), [("sns", 2), ("eventbridge", 4), ("sns", 4)]);
        assert_eq!(places(&later), []);
    }

    #[test]
    fn a_closing_that_is_due_does_not_overtake_an_opening_that_was_postponed() {
        let owed = [
            owed("sns", 2, AlertKind::Opened, 480),
            owed("sns", 4, AlertKind::Closed, 270),
            owed("eventbridge", 4, AlertKind::Closed, 270),
        ];
        let (now, later) = in_turn(&owed, &[], at(270));
        assert_eq!(places(&now), [("eventbridge", 4)]);
        assert_eq!(places(&later), [("sns", 2)]);
        let (now, later) = in_turn(&owed, &[], at(480));
        assert_eq!(places(&now), [("sns", 2), ("sns", 4), ("eventbridge", 4)]);
        assert_eq!(places(&later), []);
    }

    #[test]
    fn an_opening_waits_for_nothing() {
        let waiting = [owed("sns", 4, AlertKind::Closed, 130)];
        let new = [owed("sns", 6, AlertKind::Opened, 140)];
        let (now, _) = in_turn(&waiting, &new, at(110));
        assert_eq!(places(&now), [("sns", 6)]);
    }

    #[test]
    fn only_an_alert_that_may_have_no_owner_is_waited_for() {
        let fresh = owed("sns", 2, AlertKind::Opened, 130);
        let mut postponed = fresh.clone();
        postponed.due_at = at(500);
        let seconds = |owed: &[OwedAlert], is_retry| {
            wait_for(owed, is_retry, at(110)).map(|wait| wait.num_seconds())
        };
        assert_eq!(seconds(&[fresh], false), Some(20));
        assert_eq!(seconds(std::slice::from_ref(&postponed), false), None);
        assert_eq!(seconds(&[postponed], true), Some(390));
    }

    #[test]
    fn the_tries_of_an_alert_come_ever_further_apart_and_never_stop() {
        let alert = owed("sns", 2, AlertKind::Opened, 130);
        let wait = |now| postponement(&alert, at(now)).num_seconds();
        assert_eq!([wait(101), wait(130), wait(400)], [30, 30, 300]);
        assert_eq!(wait(100_000), 15 * 60);
    }
}
