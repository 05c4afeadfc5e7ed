//! Staging a batch: checks, offsets, the one copy into the tail. Owner core only, synchronous; what is staged is promised
//! to nobody yet.

use slipring_protocol::batch::{BATCH_HEADER_SIZE, BatchHeader, patch_base_offset_and_epoch};
use slipring_protocol::ids::{LeaderEpoch, Offset, TimestampMs};

use super::Log;
use super::roll::{RollInput, should_roll};
use crate::chunk::ChunkPool;
use crate::error::AppendError;
use crate::producer_state::{Check, Origin};

/// One batch to append, already validated.
#[derive(Clone, Copy, Debug)]
pub struct Append<'a> {
    /// Exactly one batch.
    pub batch: &'a [u8],
    /// Its header.
    pub header: &'a BatchHeader,
    /// Epoch to stamp. With [`Origin::Replication`] the batch keeps its own.
    pub leader_epoch: LeaderEpoch,
    /// Who appends.
    pub origin: Origin,
    /// The wall clock.
    pub now: TimestampMs,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// Offset of its last record. May be acknowledged once the log's `acknowledged_end` is above it.
    pub last_offset: Offset,
    /// First readable offset of the log.
    pub log_start: Offset,
    /// It was in the log already, with this largest timestamp; the offsets are those of the first time.
    pub duplicate: Option<TimestampMs>,
}

/// What an append added to memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Staged {
    pub(crate) bytes: usize,
    /// Bytes of chunks taken for it.
    pub(crate) chunk_bytes: usize,
    /// A new segment was begun, whose file has to be made.
    pub(crate) rolled: bool,
}

impl Log {
    /// Checks a batch and stages it, or finds that it is a duplicate.
    pub(crate) fn append(
        &mut self,
        pool: &ChunkPool,
        append: &Append<'_>,
    ) -> Result<(Appended, Staged), AppendError> {
        self.check_fence()?;
        let header = append.header;
        if header.size() != append.batch.len() || header.last_offset_delta < 0 {
            return Err(AppendError::BadBatch);
        }
        let size = append.batch.len();
        if size as u64 > self.config.segment_bytes {
            return Err(AppendError::TooLarge { size, segment_bytes_max: self.config.segment_bytes });
        }
        if let Check::Duplicate { base_offset, last_offset, timestamp } = self.check_producer(append)? {
            let log_start = self.log_start;
            let appended = Appended { base_offset, last_offset, log_start, duplicate: Some(timestamp) };
            return Ok((appended, Staged::default()));
        }
        let base_offset = self.next_base_offset(append)?;
        let last_offset = base_offset.plus(i64::from(header.last_offset_delta));
        let rolled = self.maybe_roll(append, last_offset);
        let chunk_bytes = self.stage(pool, append, base_offset, last_offset);
        let appended = Appended { base_offset, last_offset, log_start: self.log_start, duplicate: None };
        Ok((appended, Staged { bytes: size, chunk_bytes, rolled }))
    }

    fn check_producer(&self, append: &Append<'_>) -> Result<Check, AppendError> {
        if append.header.is_control() {
            return Ok(Check::Append);
        }
        Ok(self.producers.check(append.header, append.origin)?)
    }

    fn next_base_offset(&self, append: &Append<'_>) -> Result<Offset, AppendError> {
        if append.origin != Origin::Replication {
            return Ok(self.log_end);
        }
        let base_offset = append.header.base_offset;
        if base_offset < self.log_end {
            return Err(AppendError::OutOfOrderOffsets { base_offset, log_end: self.log_end });
        }
        Ok(base_offset)
    }

    fn maybe_roll(&mut self, append: &Append<'_>, last_offset: Offset) -> bool {
        let created = *self.active_mut().created.get_or_insert(append.now);
        let active = self.active();
        let roll = should_roll(&RollInput {
            size: active.end,
            batch_size: append.batch.len() as u64,
            segment_bytes: self.config.segment_bytes,
            roll_ms: self.config.segment_ms - self.jitter_ms(active.base),
            first_timestamp: active.first_timestamp,
            created,
            batch_timestamp: append.header.max_timestamp,
            now: append.now,
            index_full: active.indexes.is_full(),
            base: active.base,
            last_offset,
        });
        // A segment that holds nothing cannot roll onto its own base offset. The new one begins where the log ends, also
        // when replication leaves a gap there: so recovery can tell a missing tail from a gap.
        let base = self.log_end;
        let roll = roll && base > active.base;
        if roll {
            self.roll(base, append.now);
        }
        roll
    }

    fn stage(
        &mut self,
        pool: &ChunkPool,
        append: &Append<'_>,
        base_offset: Offset,
        last_offset: Offset,
    ) -> usize {
        let header = append.header;
        let epoch = match append.origin {
            Origin::Replication => header.leader_epoch,
            Origin::Client | Origin::Coordinator | Origin::RaftLeader => append.leader_epoch,
        };
        let (head, rest) = append.batch.split_at(BATCH_HEADER_SIZE);
        let mut patched = [0; BATCH_HEADER_SIZE];
        patched.copy_from_slice(head);
        patch_base_offset_and_epoch(&mut patched, base_offset, epoch);
        self.epochs.assign(epoch, base_offset);
        // The first record of an epoch, whenever that began.
        self.epochs_dirty |= self.epochs.latest().is_some_and(|latest| latest.start == base_offset);
        let interval = self.config.index_interval_bytes;
        let segment = self.active_mut();
        let position = segment.end;
        let chunk_bytes = segment.tail.append(pool, base_offset, [&patched, rest]);
        segment.end = segment.tail.end();
        segment.next = last_offset.plus(1);
        if position == 0 {
            segment.first_timestamp = Some(header.max_timestamp);
        }
        segment.modified = append.now;
        segment.indexes.note(header, last_offset, position, interval);
        self.log_end = last_offset.plus(1);
        self.note_in_producers(header, base_offset);
        self.appends += 1;
        self.uncommitted += append.batch.len();
        self.touched = true;
        chunk_bytes
    }

    /// Applies a batch to the producer state, whether appended now or found in the log by recovery.
    pub(crate) fn note_in_producers(&mut self, header: &BatchHeader, base_offset: Offset) {
        if header.is_control() {
            self.producers.set_end(base_offset.plus(i64::from(header.last_offset_delta) + 1));
        } else {
            self.producers.apply(header, base_offset);
        }
    }
}
