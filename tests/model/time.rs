//! The model's time: moments of five seconds, of which the settling time is two.

use chrono::{DateTime, TimeDelta, Utc};

/// A moment of the model, from 0.
pub type Moment = u16;

/// How long a moment is, in seconds: as long as the wait before the first re-check.
const SECONDS: i64 = 5;

/// The settling time.
pub const SETTLE: TimeDelta = TimeDelta::seconds(2 * SECONDS);

/// The settling time, in moments.
pub const SETTLE_MOMENTS: Moment = 2;

/// The time in the events of the changes of `moment`: its beginning.
pub fn at_change(moment: Moment) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(i64::from(moment) * SECONDS)
}

/// The time at which a listing of `moment` is requested: a second after its beginning.
pub fn at_request(moment: Moment) -> DateTime<Utc> {
    at_change(moment) + TimeDelta::seconds(1)
}

/// Whether a change of `moment` is in every listing that is requested at the moment `later`.
pub fn is_settled(moment: Moment, later: Moment) -> bool {
    at_request(later) - at_change(moment) >= SETTLE
}

/// The first moment that is `delay` after `moment`, or later.
pub fn after(moment: Moment, delay: TimeDelta) -> Moment {
    let seconds = delay.num_seconds().max(0);
    moment + Moment::try_from((seconds + SECONDS - 1) / SECONDS).expect("delays are minutes")
}

/// The moment in which `time` lies.
pub fn moment_of(time: DateTime<Utc>) -> Moment {
    let seconds = (time - DateTime::UNIX_EPOCH).num_seconds();
    Moment::try_from(seconds / SECONDS).expect("the model's time begins at 0")
}
