//! The connection and the durability of its commits.

use rusqlite::Connection;

/// What a commit waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Durability {
    /// The disk, including everything written before.
    OnDisk,
    /// Nothing. In WAL mode a power failure may lose such a commit as a whole, and every commit
    /// since the last synced one. The end of the process loses none.
    Unsynced,
}

/// The connection and its current durability. Cached: setting the pragma on each commit costs a
/// third of a write.
#[derive(Debug)]
pub(super) struct WriteConnection {
    pub(super) connection: Connection,
    durability: Durability,
}

impl WriteConnection {
    pub(super) fn on(connection: Connection) -> Self {
        // SQLite's default in these builds.
        let durability = Durability::OnDisk;
        Self {
            connection,
            durability,
        }
    }

    /// The connection with commits that wait for `durability`. Within a transaction the durability
    /// stays as it was at the beginning.
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
