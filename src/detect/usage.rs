//! Who uses which key. [`key_use`] is what one record shows, [`last_use`] when a key was last used,
//! and [`consumers`] the uses added up by consumer.

pub(crate) mod consumers;
pub(crate) mod key_use;
pub mod last_use;
