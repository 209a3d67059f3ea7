//! The model's time: moments of five seconds. The consistency window is two moments.

use chrono::{DateTime, TimeDelta, Utc};

/// A moment of the model, from 0.
pub type Moment = u16;

/// How long a moment is, in seconds: the wait before the first re-check.
const SECONDS: i64 = 5;

/// The consistency window.
pub const SETTLE: TimeDelta = TimeDelta::seconds(2 * SECONDS);

/// The consistency window, in moments.
pub const SETTLE_MOMENTS: Moment = 2;

/// The time in the events of changes at `moment`: its beginning.
pub fn at_change(moment: Moment) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(i64::from(moment) * SECONDS)
}

/// The time at which a listing at `moment` is requested: a second after its beginning.
pub fn at_request(moment: Moment) -> DateTime<Utc> {
    at_change(moment) + TimeDelta::seconds(1)
}

/// Whether every listing requested at the moment `later` shows a change at `moment`.
pub fn is_settled(moment: Moment, later: Moment) -> bool {
    at_request(later) - at_change(moment) >= SETTLE
}

/// The first moment that is at least `delay` after `moment`.
pub fn after(moment: Moment, delay: TimeDelta) -> Moment {
    let seconds = delay.num_seconds().max(0);
    moment + Moment::try_from((seconds + SECONDS - 1) / SECONDS).expect("delays are minutes")
}

/// The moment that contains `time`.
pub fn moment_of(time: DateTime<Utc>) -> Moment {
    let seconds = (time - DateTime::UNIX_EPOCH).num_seconds();
    Moment::try_from(seconds / SECONDS).expect("the model's time begins at 0")
}
