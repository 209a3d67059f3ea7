//! What really happened to every user, with wall-clock times.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat, Utc};
use secondkey::detect::user::UserId;

use crate::stack::wiring::ACCOUNT;

/// A wall-clock time.
pub type Time = DateTime<Utc>;

/// What happened under every user name, in order.
#[derive(Debug, Default)]
pub struct Truth {
    by_user: BTreeMap<UserId, Vec<Moment>>,
    lost: BTreeSet<UserId>,
}

/// One call about a user name, and the active keys after it.
#[derive(Debug)]
pub struct Moment {
    /// When the call began.
    pub from: Time,
    /// When the call was done.
    pub to: Time,
    /// The call as text, and the fate of its event.
    pub what: String,
    /// The active keys after the call.
    pub active: BTreeSet<String>,
}

/// The identity of the user called `name`.
pub fn user_id(name: &str) -> UserId {
    UserId::new(ACCOUNT, name)
}

impl Truth {
    /// Notes a call about the user `name`.
    pub fn note(&mut self, name: &str, moment: Moment) {
        self.by_user.entry(user_id(name)).or_default().push(moment);
    }

    /// Notes that an event about the user `name` is lost.
    pub fn note_lost(&mut self, name: &str) {
        self.lost.insert(user_id(name));
    }

    /// Every user name that anything happened to.
    pub fn users(&self) -> impl Iterator<Item = &UserId> {
        self.by_user.keys()
    }

    /// The users with a lost event.
    pub fn lost(&self) -> impl Iterator<Item = &UserId> {
        self.lost.iter()
    }

    /// The final active keys of `user`.
    pub fn active_at_last(&self, user: &UserId) -> BTreeSet<String> {
        self.by_user
            .get(user)
            .and_then(|moments| moments.last())
            .map(|last| last.active.clone())
            .unwrap_or_default()
    }

    /// Whether at some moment from `from` to `to` the number of active keys of `user` may have
    /// satisfied `is_right`.
    pub fn was(
        &self,
        user: &UserId,
        from: Time,
        to: Time,
        is_right: impl Fn(usize) -> bool,
    ) -> bool {
        let moments = self.by_user.get(user).map_or(&[][..], Vec::as_slice);
        let starts = [(Time::MIN_UTC, 0)].into_iter().chain(
            moments
                .iter()
                .map(|moment| (moment.from, moment.active.len())),
        );
        let ends = moments
            .iter()
            .map(|moment| moment.to)
            .chain([Time::MAX_UTC]);
        starts
            .zip(ends)
            .any(|((began, active), ended)| began <= to && ended >= from && is_right(active))
    }

    /// What happened to `user`, one line per call.
    pub fn timeline(&self, user: &UserId) -> String {
        let mut lines = String::new();
        for moment in self.by_user.get(user).into_iter().flatten() {
            let _ = writeln!(
                lines,
                "    {} to {}  {}  -> active {:?}",
                clock(moment.from),
                clock(moment.to),
                moment.what,
                moment.active
            );
        }
        lines
    }
}

/// A time with milliseconds.
pub fn clock(time: Time) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}
