//! What one producer last wrote to one partition: epoch, the last five batches, its open transaction (Kafka's
//! `ProducerStateEntry`, `BatchMetadata`). Fixed size, lives in the map of `ProducerState`.

use slipring_protocol::ids::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

use super::snapshot::SnapshotEntry;

/// How many batches per producer are remembered to recognise a retry (`ProducerStateEntry.NUM_BATCHES_TO_RETAIN`).
pub const BATCHES_REMEMBERED: usize = 5;

/// One remembered batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchMetadata {
    /// Sequence of its last record.
    pub last_sequence: Sequence,
    /// Offset of its last record.
    pub last_offset: Offset,
    /// Last offset minus base offset.
    pub offset_delta: i32,
    /// Its largest timestamp.
    pub timestamp: TimestampMs,
}

impl BatchMetadata {
    const NONE: Self = Self {
        last_sequence: Sequence::NONE,
        last_offset: Offset(-1),
        offset_delta: 0,
        timestamp: TimestampMs(-1),
    };

    /// Sequence of its first record, wrapping below 0 (`DefaultRecordBatch.decrementSequence`).
    #[must_use]
    pub const fn first_sequence(&self) -> Sequence {
        let (last, delta) = (self.last_sequence.0 as i64, self.offset_delta as i64);
        let first = if last < delta { last - delta + (1 << 31) } else { last - delta };
        Sequence(first as i32)
    }

    /// Offset of its first record.
    #[must_use]
    pub const fn first_offset(&self) -> Offset {
        self.last_offset.plus(-(self.offset_delta as i64))
    }
}

/// State of one producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerEntry {
    pub(super) epoch: ProducerEpoch,
    pub(super) coordinator_epoch: i32,
    pub(super) last_timestamp: TimestampMs,
    pub(super) txn_first_offset: Option<Offset>,
    /// Offset of the last batch or marker: who is idle longest.
    pub(super) touched: Offset,
    batches: [BatchMetadata; BATCHES_REMEMBERED],
    len: u8,
}

impl ProducerEntry {
    /// A producer that never wrote.
    pub(super) const EMPTY: Self = Self {
        epoch: ProducerEpoch::NONE,
        coordinator_epoch: -1,
        last_timestamp: TimestampMs(-1),
        txn_first_offset: None,
        touched: Offset(-1),
        batches: [BatchMetadata::NONE; BATCHES_REMEMBERED],
        len: 0,
    };

    pub(super) fn from_snapshot(entry: &SnapshotEntry) -> Self {
        let mut state = Self {
            epoch: entry.epoch,
            coordinator_epoch: entry.coordinator_epoch,
            last_timestamp: entry.timestamp,
            txn_first_offset: entry.txn_first_offset,
            touched: entry.last_offset,
            ..Self::EMPTY
        };
        if entry.last_offset.0 >= 0 {
            state.batches[0] = BatchMetadata {
                last_sequence: entry.last_sequence,
                last_offset: entry.last_offset,
                offset_delta: entry.offset_delta,
                timestamp: entry.timestamp,
            };
            state.len = 1;
        }
        state
    }

    pub(super) fn to_snapshot(self, producer_id: ProducerId) -> SnapshotEntry {
        let last = self.last_batch().unwrap_or(BatchMetadata::NONE);
        SnapshotEntry {
            producer_id,
            epoch: self.epoch,
            last_sequence: last.last_sequence,
            last_offset: last.last_offset,
            offset_delta: last.offset_delta,
            timestamp: self.last_timestamp,
            coordinator_epoch: self.coordinator_epoch,
            txn_first_offset: self.txn_first_offset,
        }
    }

    /// The remembered batches, oldest first.
    #[must_use]
    pub fn batches(&self) -> &[BatchMetadata] {
        &self.batches[..usize::from(self.len)]
    }

    /// The batch written last, if its epoch is still the producer's.
    #[must_use]
    pub fn last_batch(&self) -> Option<BatchMetadata> {
        self.batches().last().copied()
    }

    /// Sequence of the last record written, [`Sequence::NONE`] when no batch of this epoch is remembered.
    #[must_use]
    pub fn last_sequence(&self) -> Sequence {
        self.last_batch().map_or(Sequence::NONE, |batch| batch.last_sequence)
    }

    /// The producer's epoch.
    #[must_use]
    pub const fn epoch(&self) -> ProducerEpoch {
        self.epoch
    }

    /// Epoch of the transaction coordinator that wrote the last marker, -1 when there was none.
    #[must_use]
    pub const fn coordinator_epoch(&self) -> i32 {
        self.coordinator_epoch
    }

    /// Largest timestamp of the last batch or marker.
    #[must_use]
    pub const fn last_timestamp(&self) -> TimestampMs {
        self.last_timestamp
    }

    /// First offset of the open transaction.
    #[must_use]
    pub const fn txn_first_offset(&self) -> Option<Offset> {
        self.txn_first_offset
    }

    /// Takes an epoch over; another one forgets the batches.
    pub(super) fn set_epoch(&mut self, epoch: ProducerEpoch) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.len = 0;
        }
    }

    pub(super) fn push(&mut self, batch: BatchMetadata) {
        if usize::from(self.len) == BATCHES_REMEMBERED {
            self.batches.rotate_left(1);
            self.len -= 1;
        }
        self.batches[usize::from(self.len)] = batch;
        self.len += 1;
        self.last_timestamp = batch.timestamp;
        self.touched = batch.last_offset;
    }

    /// The remembered batch with exactly these sequences.
    pub(super) fn find(&self, first: Sequence, last: Sequence) -> Option<BatchMetadata> {
        self.batches()
            .iter()
            .find(|batch| batch.last_sequence == last && batch.first_sequence() == first)
            .copied()
    }
}
