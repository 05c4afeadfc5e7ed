//! What a store uses, for those who watch it. Reads counters of the owner core; touches no file.

use super::{LogId, Store};
use crate::error::StorageError;
use crate::producer_state::snapshot::SnapshotEntry;

/// Memory, journal and descriptors of one store at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreUsage {
    /// Appended bytes that no commit has taken.
    pub staged_bytes: u64,
    /// Bytes of chunks that hold the tails.
    pub tail_bytes: u64,
    /// Bytes of the journal that something still needs.
    pub journal_used_bytes: u64,
    /// Bytes of the journal.
    pub journal_bytes: u64,
    /// Segment descriptors that are open.
    pub open_files: usize,
}

impl Store {
    /// What it uses now.
    #[must_use]
    pub fn usage(&self) -> StoreUsage {
        let state = self.inner.state.borrow();
        StoreUsage {
            staged_bytes: state.staged as u64,
            tail_bytes: state.tail_bytes as u64,
            journal_used_bytes: state.journal.ring.used(),
            journal_bytes: state.journal.ring.capacity(),
            open_files: state.open_files,
        }
    }

    /// The idempotent producers that a log remembers, by id.
    ///
    /// # Errors
    /// When there is no such log.
    pub fn producers(&self, id: LogId) -> Result<Vec<SnapshotEntry>, StorageError> {
        self.with(id, |log| log.producers.snapshot())
    }

    /// Bytes of a log's segments, those still on their way to the disk included; not what is allocated ahead, no indexes.
    ///
    /// # Errors
    /// When there is no such log.
    pub fn log_bytes(&self, id: LogId) -> Result<u64, StorageError> {
        self.with(id, |log| log.segments.iter().map(|segment| segment.end).sum())
    }
}
