//! Stores one copy of each value under a number, so that a state of the model is small and quick to
//! copy and compare.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};

/// The number of a value.
pub type Id = u32;

/// The values so far. Two values that print alike are the same.
pub struct Arena<T>(Mutex<Values<T>>);

struct Values<T> {
    by_id: Vec<Arc<T>>,
    /// By the hash of the printed value. The checker itself distinguishes states by hashes of this
    /// length.
    ids: HashMap<u64, Id>,
}

impl<T: Debug> Arena<T> {
    pub fn new() -> Self {
        Self(Mutex::new(Values {
            by_id: vec![],
            ids: HashMap::new(),
        }))
    }

    /// The number of `value`.
    pub fn id(&self, value: T) -> Id {
        let mut hasher = DefaultHasher::new();
        format!("{value:?}").hash(&mut hasher);
        let mut inner = self.0.lock().expect("no panic while locked");
        let Values { by_id, ids } = &mut *inner;
        *ids.entry(hasher.finish()).or_insert_with(|| {
            by_id.push(Arc::new(value));
            Id::try_from(by_id.len() - 1).expect("fewer than four billion")
        })
    }

    /// The value with the number `id`.
    pub fn get(&self, id: Id) -> Arc<T> {
        let inner = self.0.lock().expect("no panic while locked");
        inner.by_id[id as usize].clone()
    }
}
