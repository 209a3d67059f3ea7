//! The connection, and what a commit on it waits for.

use rusqlite::Connection;

/// What a commit waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// The disk, with all that was written before.
    OnDisk,
    /// Nothing. In WAL mode a power cut may take such a commit, whole and with none before the last that was waited for;
    /// the end of the process takes none.
    Unsynced,
}

/// The connection, and what a commit on it waits for at the moment: told anew each time, that would be a third of a write.
#[derive(Debug)]
pub(super) struct Writing {
    pub(super) connection: Connection,
    durability: Durability,
}

impl Writing {
    pub(super) fn on(connection: Connection) -> Self {
        // What SQLite begins with, in these builds.
        let durability = Durability::OnDisk;
        Self {
            connection,
            durability,
        }
    }

    /// The connection, on which commits wait for what `durability` says; within a transaction, for what they did at its
    /// beginning.
    pub(super) fn to(&mut self, durability: Durability) -> rusqlite::Result<&mut Connection> {
        if self.durability != durability && self.connection.is_autocommit() {
            let synchronous = match durability {
                Durability::OnDisk => "full",
                Durability::Unsynced => "normal",
            };
            self.connection
                .pragma_update(None, "synchronous", synchronous)?;
            self.durability = durability;
        }
        Ok(&mut self.connection)
    }
}
