//! Caches the clients of entered accounts, as many as fit into a small function's memory.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};
use std::sync::{Arc, Mutex as StdMutex, PoisonError};

use tokio::sync::Mutex;

/// The most slots that are kept while no caller uses them. A client takes about 20 KiB, so they
/// take 5 MiB.
pub(super) const MAX_CACHED: usize = 256;

/// The slot for an account's client. A caller waits while another one enters the same account.
pub(super) type SessionSlot<E> = Arc<Mutex<Option<E>>>;

/// One slot for each recently used account.
pub(super) struct SessionCache<E> {
    state: StdMutex<CacheState<E>>,
}

struct CacheState<E> {
    /// Each slot with the number of its last use.
    by_account: BTreeMap<String, (u64, SessionSlot<E>)>,
    uses: u64,
}

impl<E> SessionCache<E> {
    /// The slot of `account`. To make room for a new one, slots whose content is not `is_usable`
    /// any more are dropped first, then the least recently used ones, but never a slot that a
    /// caller holds.
    pub(super) fn slot_for(&self, account: &str, is_usable: impl Fn(&E) -> bool) -> SessionSlot<E> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.by_account.len() >= MAX_CACHED && !state.by_account.contains_key(account) {
            state.evict(is_usable);
        }
        state.uses += 1;
        let now = state.uses;
        let (used, slot) = state.by_account.entry(account.to_owned()).or_default();
        *used = now;
        slot.clone()
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.by_account.len()
    }
}

impl<E> CacheState<E> {
    fn evict(&mut self, is_usable: impl Fn(&E) -> bool) {
        self.by_account.retain(|_, (_, slot)| {
            is_in_use(slot)
                || slot
                    .try_lock()
                    .is_ok_and(|content| content.as_ref().is_some_and(&is_usable))
        });
        while self.by_account.len() >= MAX_CACHED {
            let oldest = self
                .by_account
                .iter()
                .filter(|(_, (_, slot))| !is_in_use(slot))
                .min_by_key(|(_, (used, _))| *used)
                .map(|(account, _)| account.clone());
            let Some(oldest) = oldest else {
                return;
            };
            self.by_account.remove(&oldest);
        }
    }
}

/// Whether a caller holds the slot. Slots are handed out only under the lock of [`SessionCache`].
fn is_in_use<E>(slot: &SessionSlot<E>) -> bool {
    Arc::strong_count(slot) > 1
}

impl<E> Default for SessionCache<E> {
    fn default() -> Self {
        let state = CacheState {
            by_account: BTreeMap::new(),
            uses: 0,
        };
        Self {
            state: StdMutex::new(state),
        }
    }
}

impl<E> Debug for SessionCache<E> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        // Clients contain credentials.
        formatter
            .debug_struct("SessionCache")
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "slots show their content by reference"
    )]
    fn is_usable(content: &u32) -> bool {
        *content > 0
    }

    fn enter(places: &SessionCache<u32>, account: &str, content: u32) {
        let slot = places.slot_for(account, is_usable);
        *slot.try_lock().unwrap() = Some(content);
    }

    fn is_kept(places: &SessionCache<u32>, account: &str) -> bool {
        places
            .slot_for(account, is_usable)
            .try_lock()
            .unwrap()
            .is_some()
    }

    #[test]
    fn ten_thousand_accounts_do_not_exceed_the_cache() {
        let places = SessionCache::default();
        for number in 0..10_000 {
            enter(&places, &format!("{number:012}"), 1);
            assert!(is_kept(&places, "000000000000"), "it is always in use");
        }
        assert_eq!(places.len(), MAX_CACHED);
        assert!(is_kept(&places, "000000009999"));
        assert!(!is_kept(&places, "000000000001"));
    }

    #[test]
    fn expired_slots_are_evicted_before_older_ones() {
        let places = SessionCache::default();
        for number in 0..MAX_CACHED {
            enter(&places, &number.to_string(), 1);
        }
        enter(&places, "100", 0);
        enter(&places, "new", 1);
        assert!(is_kept(&places, "0"));
        assert!(!is_kept(&places, "100"));
    }

    #[test]
    fn a_slot_in_use_is_never_evicted() {
        let places = SessionCache::default();
        let held = places.slot_for("held", is_usable);
        for number in 0..MAX_CACHED * 2 {
            enter(&places, &number.to_string(), 1);
        }
        assert!(Arc::ptr_eq(&held, &places.slot_for("held", is_usable)));
    }
}
