//! The accounts that were entered, as many as fit into a small function's memory.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};

use tokio::sync::Mutex;

/// The most places that are kept while no caller uses them. A client takes about 20 KiB, so they take 5 MiB.
pub(super) const MOST_KEPT: usize = 256;

/// Where an account's client is kept. A caller that comes while another one enters the account waits for that.
pub(super) type Place<E> = Arc<Mutex<Option<E>>>;

/// One place for each account that was used lately.
pub(super) struct Places<E> {
    kept: StdMutex<Kept<E>>,
}

struct Kept<E> {
    /// Each place, and the use that was its last.
    by_account: BTreeMap<String, (u64, Place<E>)>,
    uses: u64,
}

impl<E> Places<E> {
    /// The place of `account`. To make room for a new one, places go whose content is not `is_usable` any more, then those
    /// that were used least recently, but never one that a caller holds.
    pub(super) fn of(&self, account: &str, is_usable: impl Fn(&E) -> bool) -> Place<E> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.by_account.len() >= MOST_KEPT && !kept.by_account.contains_key(account) {
            kept.make_room(is_usable);
        }
        kept.uses += 1;
        let now = kept.uses;
        let (used, place) = kept.by_account.entry(account.to_owned()).or_default();
        *used = now;
        place.clone()
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.by_account.len()
    }
}

impl<E> Kept<E> {
    fn make_room(&mut self, is_usable: impl Fn(&E) -> bool) {
        self.by_account.retain(|_, (_, place)| {
            is_held(place)
                || place
                    .try_lock()
                    .is_ok_and(|content| content.as_ref().is_some_and(&is_usable))
        });
        while self.by_account.len() >= MOST_KEPT {
            let oldest = self
                .by_account
                .iter()
                .filter(|(_, (_, place))| !is_held(place))
                .min_by_key(|(_, (used, _))| *used)
                .map(|(account, _)| account.clone());
            let Some(oldest) = oldest else {
                return;
            };
            self.by_account.remove(&oldest);
        }
    }
}

/// Whether a caller has the place in its hands. Places are handed out under the lock of [`Places`] only.
fn is_held<E>(place: &Place<E>) -> bool {
    Arc::strong_count(place) > 1
}

impl<E> Default for Places<E> {
    fn default() -> Self {
        let kept = Kept {
            by_account: BTreeMap::new(),
            uses: 0,
        };
        Self {
            kept: StdMutex::new(kept),
        }
    }
}

impl<E> Debug for Places<E> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        // Clients hold credentials.
        formatter.debug_struct("Places").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "places show what they hold by reference"
    )]
    fn is_usable(content: &u32) -> bool {
        *content > 0
    }

    fn enter(places: &Places<u32>, account: &str, content: u32) {
        let place = places.of(account, is_usable);
        *place.try_lock().unwrap() = Some(content);
    }

    fn is_kept(places: &Places<u32>, account: &str) -> bool {
        places.of(account, is_usable).try_lock().unwrap().is_some()
    }

    #[test]
    fn ten_thousand_accounts_leave_no_more_places_than_are_kept() {
        let places = Places::default();
        for number in 0..10_000 {
            enter(&places, &format!("{number:012}"), 1);
            assert!(is_kept(&places, "000000000000"), "it is always in use");
        }
        assert_eq!(places.len(), MOST_KEPT);
        assert!(is_kept(&places, "000000009999"));
        assert!(!is_kept(&places, "000000000001"));
    }

    #[test]
    fn what_ended_goes_before_what_was_used_less_recently() {
        let places = Places::default();
        for number in 0..MOST_KEPT {
            enter(&places, &number.to_string(), 1);
        }
        enter(&places, "100", 0);
        enter(&places, "new", 1);
        assert!(is_kept(&places, "0"));
        assert!(!is_kept(&places, "100"));
    }

    #[test]
    fn a_place_that_a_caller_holds_stays_the_place_of_its_account() {
        let places = Places::default();
        let held = places.of("held", is_usable);
        for number in 0..MOST_KEPT * 2 {
            enter(&places, &number.to_string(), 1);
        }
        assert!(Arc::ptr_eq(&held, &places.of("held", is_usable)));
    }
}
