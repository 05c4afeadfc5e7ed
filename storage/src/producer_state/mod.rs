//! Idempotence and open transactions of one partition (Kafka's `ProducerStateManager`, `ProducerAppendInfo`). Lives with
//! the log on its owner's core; pure: time comes in, files are the caller's. A batch is checked, then applied, in one
//! synchronous step, so that a retry of a batch that is still being made durable finds the first one.

mod entry;
mod hasher;
pub mod snapshot;
mod txns;

use std::collections::HashMap;

use slipring_protocol::batch::BatchHeader;
use slipring_protocol::ids::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

pub use entry::{BATCHES_REMEMBERED, BatchMetadata, ProducerEntry};
pub use txns::CompletedTxn;

use self::hasher::FixedState;
use self::snapshot::SnapshotEntry;
use self::txns::OpenTxns;

/// Producers remembered per log at most, about 25 MiB. Kafka has no such limit; beyond ours the longest idle producers
/// without an open transaction are forgotten, which for them is what expiry is.
pub const PRODUCERS_MAX: usize = 1 << 17;

/// Who appends, hence what is checked (Kafka's `AppendOrigin`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A client's produce: everything.
    Client,
    /// Records and markers built by a coordinator: epochs only, they carry no sequences.
    Coordinator,
    /// A leader's batches, copied or recovered: nothing, the leader has checked.
    Replication,
    /// The metadata log's leader: it has no producers.
    RaftLeader,
}

/// What to do with a batch that passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// Append it, then call [`ProducerState::apply`].
    Append,
    /// It is in the log already; answer as the first time, once that is durable.
    Duplicate {
        /// Offset of its first record.
        base_offset: Offset,
        /// Offset of its last record.
        last_offset: Offset,
        /// Its largest timestamp.
        timestamp: TimestampMs,
    },
}

/// Why a batch or marker is refused. Each has its own error code on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProducerError {
    /// A gap, or a duplicate older than the remembered ones.
    #[error(
        "out of order sequence of producer {producer_id} epoch {epoch}: {first_sequence} after {last_sequence}"
    )]
    OutOfOrderSequence {
        /// The producer.
        producer_id: ProducerId,
        /// Epoch in the batch.
        epoch: ProducerEpoch,
        /// First sequence in the batch.
        first_sequence: Sequence,
        /// Last sequence written, or -1.
        last_sequence: Sequence,
    },
    /// An older incarnation of the producer.
    #[error("epoch {epoch} of producer {producer_id} is below the current one, {current}")]
    InvalidProducerEpoch {
        /// The producer.
        producer_id: ProducerId,
        /// Epoch in the batch or marker.
        epoch: ProducerEpoch,
        /// Epoch last seen.
        current: ProducerEpoch,
    },
    /// A batch outside a transaction while the producer's transaction is open.
    #[error("producer {0} wrote outside its open transaction")]
    InvalidTxnState(ProducerId),
    /// A marker of a transaction coordinator that has been replaced.
    #[error(
        "marker for producer {producer_id} by coordinator epoch {epoch}, below the current one, {current}"
    )]
    TransactionCoordinatorFenced {
        /// The producer.
        producer_id: ProducerId,
        /// Coordinator epoch in the marker.
        epoch: i32,
        /// Coordinator epoch last seen.
        current: i32,
    },
}

/// An end-transaction marker with where it lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// The producer whose transaction ends.
    pub producer_id: ProducerId,
    /// Epoch in the marker's batch.
    pub epoch: ProducerEpoch,
    /// Epoch of the coordinator that decided.
    pub coordinator_epoch: i32,
    /// Commit, else abort.
    pub commit: bool,
    /// The marker record's timestamp.
    pub timestamp: TimestampMs,
}

/// State of all producers of one partition.
#[derive(Clone, Debug)]
pub struct ProducerState {
    producers: HashMap<ProducerId, ProducerEntry, FixedState>,
    txns: OpenTxns,
    /// Everything below has been applied.
    end: Offset,
    /// Offset of the latest snapshot.
    snapshot_end: Offset,
    producers_max: usize,
}

impl Default for ProducerState {
    fn default() -> Self {
        Self::new(Offset(0))
    }
}

impl ProducerState {
    /// No producers; the log starts at `start`.
    #[must_use]
    pub fn new(start: Offset) -> Self {
        Self {
            producers: HashMap::default(),
            txns: OpenTxns::default(),
            end: start,
            snapshot_end: start,
            producers_max: PRODUCERS_MAX,
        }
    }

    /// Another limit than [`PRODUCERS_MAX`].
    #[must_use]
    pub const fn with_producers_max(mut self, producers_max: usize) -> Self {
        self.producers_max = producers_max;
        self
    }

    /// Judges a data batch before its append. Changes nothing. Batches without a producer id always pass.
    ///
    /// # Errors
    /// When the batch must be refused.
    pub fn check(&self, batch: &BatchHeader, origin: Origin) -> Result<Check, ProducerError> {
        if !batch.has_producer_id() || matches!(origin, Origin::Replication | Origin::RaftLeader) {
            return Ok(Check::Append);
        }
        let Some(entry) = self.producers.get(&batch.producer_id) else {
            return Ok(Check::Append);
        };
        if origin == Origin::Client
            && batch.producer_epoch == entry.epoch
            && let Some(first) = entry.find(batch.base_sequence, batch.last_sequence())
        {
            return Ok(Check::Duplicate {
                base_offset: first.first_offset(),
                last_offset: first.last_offset,
                timestamp: first.timestamp,
            });
        }
        check_epoch(entry, batch.producer_id, batch.producer_epoch)?;
        if origin == Origin::Client {
            check_sequence(entry, batch)?;
        }
        if entry.txn_first_offset.is_some() && !batch.is_transactional() {
            return Err(ProducerError::InvalidTxnState(batch.producer_id));
        }
        Ok(Check::Append)
    }

    /// Takes over a data batch that was appended at `base_offset`. Also moves [`ProducerState::end`].
    pub fn apply(&mut self, batch: &BatchHeader, base_offset: Offset) {
        let last_offset = base_offset.plus(i64::from(batch.last_offset_delta));
        if batch.has_producer_id() {
            let entry = self.entry(batch.producer_id);
            entry.set_epoch(batch.producer_epoch);
            entry.push(BatchMetadata {
                last_sequence: batch.last_sequence(),
                last_offset,
                offset_delta: batch.last_offset_delta,
                timestamp: batch.max_timestamp,
            });
            if batch.is_transactional() && entry.txn_first_offset.is_none() {
                entry.txn_first_offset = Some(base_offset);
                self.txns.begin(base_offset, batch.producer_id);
            }
        }
        self.set_end(last_offset.plus(1));
    }

    /// Judges an end-transaction marker before its append. `transaction_version` is that of the request; 2 and above
    /// want the marker's epoch above the producer's, save when a marker is written again (KIP-890, KAFKA-19999).
    ///
    /// # Errors
    /// When the marker must be refused.
    pub fn check_marker(
        &self,
        marker: &Marker,
        origin: Origin,
        transaction_version: i16,
    ) -> Result<(), ProducerError> {
        let Some(entry) = self.producers.get(&marker.producer_id).filter(|_| origin != Origin::Replication)
        else {
            return Ok(());
        };
        let again = marker.epoch == entry.epoch && entry.txn_first_offset.is_none();
        if transaction_version >= 2 && marker.epoch <= entry.epoch && !again {
            return Err(ProducerError::InvalidProducerEpoch {
                producer_id: marker.producer_id,
                epoch: marker.epoch,
                current: entry.epoch,
            });
        }
        check_epoch(entry, marker.producer_id, marker.epoch)?;
        if marker.coordinator_epoch < entry.coordinator_epoch {
            return Err(ProducerError::TransactionCoordinatorFenced {
                producer_id: marker.producer_id,
                epoch: marker.coordinator_epoch,
                current: entry.coordinator_epoch,
            });
        }
        Ok(())
    }

    /// Takes over a marker that was appended at `offset`. The transaction it ended, when it held data here: an aborted
    /// one belongs into the segment's transaction index. Also moves [`ProducerState::end`].
    pub fn apply_marker(&mut self, marker: &Marker, offset: Offset) -> Option<CompletedTxn> {
        let entry = self.entry(marker.producer_id);
        entry.set_epoch(marker.epoch);
        entry.coordinator_epoch = marker.coordinator_epoch;
        entry.last_timestamp = marker.timestamp;
        entry.touched = offset;
        let first_offset = entry.txn_first_offset.take();
        self.set_end(offset.plus(1));
        first_offset.map(|first| self.txns.complete(marker.producer_id, first, offset, !marker.commit))
    }

    /// First offset that read_committed may not pass: of a transaction that is open, or decided by a marker that the
    /// high watermark has not passed yet.
    #[must_use]
    pub fn first_unstable_offset(&self) -> Option<Offset> {
        self.txns.first_unstable()
    }

    /// Timestamp of the oldest open transaction's last write, to notice hanging ones.
    #[must_use]
    pub fn oldest_txn_timestamp(&self) -> Option<TimestampMs> {
        let producer_id = self.txns.oldest_open()?;
        self.producers.get(&producer_id).map(|entry| entry.last_timestamp)
    }

    /// The high watermark moved: decided transactions whose marker lies below it become stable.
    pub fn on_high_watermark(&mut self, high_watermark: Offset) {
        self.txns.settle_below(high_watermark);
    }

    /// The log start moved. Producers stay: their retries are still recognised.
    pub fn on_log_start(&mut self, log_start: Offset) {
        self.txns.settle_below(log_start);
        self.end = self.end.max(log_start);
    }

    /// Forgets producers idle for `expiration_ms` (`producer.id.expiration.ms`), save those with an open transaction.
    /// Returns how many.
    pub fn expire(&mut self, now: TimestampMs, expiration_ms: i64) -> usize {
        let before = self.producers.len();
        self.producers
            .retain(|_, entry| !is_expired(entry.txn_first_offset, entry.last_timestamp, now, expiration_ms));
        if self.producers.len() < self.producers.capacity() / 4 {
            self.producers.shrink_to_fit();
        }
        before - self.producers.len()
    }

    /// Forgets everything; the log now is empty and starts at `start`.
    pub fn reset(&mut self, start: Offset) {
        self.producers.clear();
        self.txns = OpenTxns::default();
        self.end = start;
        self.snapshot_end = start;
    }

    /// Replaces everything by a snapshot taken at `at`, leaving out the expired. What lies between `at` and the log's end
    /// is the caller's to apply again.
    pub fn load(&mut self, at: Offset, entries: &[SnapshotEntry], now: TimestampMs, expiration_ms: i64) {
        self.reset(at);
        for entry in entries {
            if is_expired(entry.txn_first_offset, entry.timestamp, now, expiration_ms) {
                continue;
            }
            self.producers.insert(entry.producer_id, ProducerEntry::from_snapshot(entry));
            if let Some(first_offset) = entry.txn_first_offset {
                self.txns.begin(first_offset, entry.producer_id);
            }
        }
    }

    /// Everything a snapshot at [`ProducerState::end`] holds, by rising producer id. For [`snapshot::encode`].
    #[must_use]
    pub fn snapshot(&self) -> Vec<SnapshotEntry> {
        let mut entries: Vec<SnapshotEntry> =
            self.producers.iter().map(|(id, entry)| entry.to_snapshot(*id)).collect();
        entries.sort_unstable_by_key(|entry| entry.producer_id);
        entries
    }

    /// Whether something was appended since the last snapshot; else another one is not worth a file.
    #[must_use]
    pub fn needs_snapshot(&self) -> bool {
        self.end > self.snapshot_end
    }

    /// A snapshot at `at` is on disk.
    pub fn snapshot_taken(&mut self, at: Offset) {
        self.snapshot_end = self.snapshot_end.max(at);
    }

    /// Everything below is applied.
    #[must_use]
    pub const fn end(&self) -> Offset {
        self.end
    }

    /// Offset of the latest snapshot known.
    #[must_use]
    pub const fn snapshot_end(&self) -> Offset {
        self.snapshot_end
    }

    /// What was applied ends here: also batches without a producer move the end.
    pub fn set_end(&mut self, end: Offset) {
        self.end = end;
    }

    /// One producer.
    #[must_use]
    pub fn get(&self, producer_id: ProducerId) -> Option<&ProducerEntry> {
        self.producers.get(&producer_id)
    }

    /// Producers remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.producers.len()
    }

    /// Whether no producer is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    /// The producer's state for a change, made when new.
    fn entry(&mut self, producer_id: ProducerId) -> &mut ProducerEntry {
        if self.producers.len() >= self.producers_max && !self.producers.contains_key(&producer_id) {
            self.forget_idle();
        }
        self.producers.entry(producer_id).or_insert(ProducerEntry::EMPTY)
    }

    /// Makes room by a sixteenth at once, so that the search is paid rarely.
    fn forget_idle(&mut self) {
        let mut idle: Vec<(Offset, ProducerId)> = self
            .producers
            .iter()
            .filter(|(_, entry)| entry.txn_first_offset.is_none())
            .map(|(id, entry)| (entry.touched, *id))
            .collect();
        let forget = (self.producers_max / 16).max(1).min(idle.len());
        if forget == 0 {
            return;
        }
        idle.select_nth_unstable(forget - 1);
        for (_, producer_id) in &idle[..forget] {
            self.producers.remove(producer_id);
        }
    }
}

fn is_expired(
    txn_first_offset: Option<Offset>,
    last_timestamp: TimestampMs,
    now: TimestampMs,
    expiration_ms: i64,
) -> bool {
    txn_first_offset.is_none() && now.0.saturating_sub(last_timestamp.0) >= expiration_ms
}

fn check_epoch(
    entry: &ProducerEntry,
    producer_id: ProducerId,
    epoch: ProducerEpoch,
) -> Result<(), ProducerError> {
    if epoch < entry.epoch {
        return Err(ProducerError::InvalidProducerEpoch { producer_id, epoch, current: entry.epoch });
    }
    Ok(())
}

/// A new epoch starts at 0, within an epoch there is no gap; an entry without an epoch takes anything.
fn check_sequence(entry: &ProducerEntry, batch: &BatchHeader) -> Result<(), ProducerError> {
    let (first, last) = (batch.base_sequence, entry.last_sequence());
    let in_order = if entry.epoch == ProducerEpoch::NONE {
        true
    } else if batch.producer_epoch == entry.epoch {
        i64::from(first.0) == i64::from(last.0) + 1 || (first.0 == 0 && last.0 == i32::MAX)
    } else {
        first.0 == 0
    };
    if in_order {
        return Ok(());
    }
    Err(ProducerError::OutOfOrderSequence {
        producer_id: batch.producer_id,
        epoch: batch.producer_epoch,
        first_sequence: first,
        last_sequence: last,
    })
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
