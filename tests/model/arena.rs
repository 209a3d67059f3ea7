//! One copy of each value, told apart by a number: a state of the model then is small, quick to copy and to compare.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};

/// The number of a value.
pub type Id = u32;

/// The values so far. Two that print alike are one.
pub struct Arena<T>(Mutex<(Vec<Arc<T>>, HashMap<u64, Id>)>);

impl<T: Debug> Arena<T> {
    pub fn new() -> Self {
        Self(Mutex::new((vec![], HashMap::new())))
    }

    /// The number of `value`.
    pub fn id(&self, value: T) -> Id {
        // Half as long as the print would do; the checker itself tells states apart by hashes of this length.
        let mut hasher = DefaultHasher::new();
        format!("{value:?}").hash(&mut hasher);
        let printed = hasher.finish();
        let mut inner = self.0.lock().expect("nobody panics with the lock");
        let (values, ids) = &mut *inner;
        *ids.entry(printed).or_insert_with(|| {
            values.push(Arc::new(value));
            Id::try_from(values.len() - 1).expect("fewer than four billion")
        })
    }

    /// The value with the number `id`.
    pub fn get(&self, id: Id) -> Arc<T> {
        let inner = self.0.lock().expect("nobody panics with the lock");
        inner.0[id as usize].clone()
    }
}
