//! How an actor who makes a key active relates to the user who gets it.

/// How an actor relates to the user whose key they made active, by what was known when it was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relation {
    /// The actor is the user.
    Own,
    /// The operator trusts the actor to make keys for others.
    Trusted,
    /// The actor has made keys for users of this account before, and that ended in an ordinary cleanup.
    Familiar,
    /// The actor is none of these.
    Unfamiliar,
}
