//! One segment of a log: its file, its tail in memory, its indexes, and how far each has come. Owner core only; plain
//! state without input or output.
//!
//! Positions of one segment, in the order in which bytes pass them:
//! `end` (staged) >= `journaled` (handed to a commit) >= `promised` (durable: in the journal or in the file), and beside
//! them [`Blocks`], what the file itself holds.

use std::cell::Cell;

use bytes::Bytes;
use slipring_protocol::batch::BatchHeader;
use slipring_protocol::ids::{Offset, TimestampMs};

use super::blocks::Blocks;
use super::tail::{BatchStart, Tail};
use crate::disk::DiskFile;
use crate::error::StorageError;
use crate::limits::{block_ceil, block_floor};
use crate::segment::index::{self, IndexError, IndexView, OffsetIndex, OffsetPosition};
use crate::segment::time_index::{self, TimeIndex, TimeIndexView, TimestampOffset};

/// A segment.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) base: Offset,
    /// The offset after its last record.
    pub(crate) next: Offset,
    /// Bytes staged.
    pub(crate) end: u64,
    /// Bytes handed to commits.
    pub(crate) journaled: u64,
    /// Bytes that are durable in the journal or in the file.
    pub(crate) promised: u64,
    /// Bytes that the file held durably when it was opened, its last partial block included.
    pub(crate) on_disk: u64,
    pub(crate) blocks: Blocks,
    pub(crate) tail: Tail,
    pub(crate) file: FileState,
    /// The descriptor was used since the last look for idle ones.
    pub(crate) file_used: Cell<bool>,
    /// Size of the file, blocks allocated ahead included.
    pub(crate) allocated: u64,
    /// Where rolling by time counts from: the first batch's timestamp, else when the segment was made.
    pub(crate) first_timestamp: Option<TimestampMs>,
    pub(crate) created: Option<TimestampMs>,
    /// When it was last written to, by our clock; stands in for timestamps that the records do not have.
    pub(crate) modified: TimestampMs,
    pub(crate) indexes: Indexes,
    /// Set when the log rolled on: the segment no longer grows.
    pub(crate) seal: Option<Seal>,
}

/// The segment's file.
#[derive(Clone, Debug)]
pub(crate) enum FileState {
    /// Not there yet, or its directory entry is not durable yet: nothing may be written to it.
    Missing,
    /// There, but no descriptor is open.
    Closed,
    /// Open for writing.
    Open(DiskFile),
}

/// What is left to do for a segment that no longer grows.
#[derive(Debug)]
pub(crate) struct Seal {
    /// Producer state as it stood at the segment's end, in file format; `None` when there is nothing to keep.
    pub(crate) snapshot: Option<Vec<u8>>,
}

impl Segment {
    /// A new segment that starts at `base`; its file is not there yet.
    pub(crate) fn new(base: Offset, created: Option<TimestampMs>, index_bytes_max: usize) -> Segment {
        Segment {
            base,
            next: base,
            end: 0,
            journaled: 0,
            promised: 0,
            on_disk: 0,
            blocks: Blocks::new(0),
            tail: Tail::new(0, &[]),
            file: FileState::Missing,
            file_used: Cell::new(false),
            allocated: 0,
            first_timestamp: None,
            created,
            modified: created.unwrap_or(TimestampMs(0)),
            indexes: Indexes::new(base, index_bytes_max),
            seal: None,
        }
    }

    /// A segment found on disk, durable up to `size`, whose last partial block holds `partial`.
    pub(crate) fn found(base: Offset, next: Offset, size: u64, partial: &[u8], indexes: Indexes) -> Segment {
        let whole = block_floor(size);
        Segment {
            base,
            next,
            end: size,
            journaled: whole,
            promised: size,
            on_disk: size,
            blocks: Blocks::new(whole),
            tail: Tail::new(size, partial),
            file: FileState::Closed,
            file_used: Cell::new(false),
            allocated: size,
            first_timestamp: None,
            created: None,
            modified: TimestampMs(0),
            indexes,
            seal: None,
        }
    }

    /// A segment found on disk that will not grow: nothing of it is in memory.
    pub(crate) fn found_sealed(base: Offset, next: Offset, size: u64, indexes: Indexes) -> Segment {
        let whole = block_floor(size);
        Segment {
            tail: Tail::on_disk(size),
            blocks: Blocks::new(whole),
            ..Segment::found(base, next, 0, &[], indexes).sized(size)
        }
    }

    fn sized(mut self, size: u64) -> Segment {
        self.end = size;
        self.journaled = size;
        self.promised = size;
        self.on_disk = size;
        self.allocated = size;
        self
    }

    /// Bytes staged that no commit has taken.
    pub(crate) fn staged(&self) -> u64 {
        if self.end > self.promised.max(self.journaled) { self.end - self.journaled } else { 0 }
    }

    /// Whether the file holds everything durably.
    pub(crate) fn is_whole(&self) -> bool {
        self.end <= self.in_file()
    }

    /// Bytes that the file holds durably.
    pub(crate) fn in_file(&self) -> u64 {
        self.blocks.durable().max(self.on_disk)
    }

    /// Where bytes still come from memory: everything below can be read from the file.
    pub(crate) fn readable_in_file(&self) -> u64 {
        self.blocks.written().max(self.on_disk)
    }

    /// Up to where journaled bytes can be written back now: whole blocks, and all of a sealed segment.
    pub(crate) fn write_back_target(&self) -> u64 {
        if self.seal.is_some() && self.promised == self.end {
            if self.is_whole() { self.blocks.submitted() } else { block_ceil(self.end) }
        } else {
            block_floor(self.promised)
        }
    }

    /// Its largest timestamp, or when it was last written to where the records have none; `None` when the index files have
    /// to be loaded to know (`LogSegment.largestTimestamp`).
    pub(crate) fn largest_timestamp(&self) -> Option<TimestampMs> {
        let max = self.indexes.known_max_timestamp()?;
        Some(if max.0 >= 0 { max } else { self.modified })
    }

    /// Bytes that could be written back now.
    pub(crate) fn unwritten(&self) -> u64 {
        self.write_back_target().saturating_sub(self.blocks.submitted())
    }
}

/// Offset and time index of a segment: what its files held when it was opened (loaded on demand) and what was appended
/// since.
#[derive(Clone, Debug)]
pub(crate) struct Indexes {
    pub(crate) cold: Cold,
    pub(crate) offsets: OffsetIndex,
    pub(crate) times: TimeIndex,
    /// Largest timestamp appended since opening, and the last offset of its batch.
    pub(crate) max: TimestampOffset,
    /// Largest timestamp of the part in the files, once it has been seen.
    cold_max: Option<TimestampMs>,
    bytes_since_entry: u64,
}

/// The part of a segment's indexes that its files hold.
#[derive(Clone, Debug)]
pub(crate) enum Cold {
    /// There is none: the segment began in this run, or was scanned.
    Nothing,
    /// In the files.
    OnDisk,
    /// Loaded.
    Loaded(ColdIndexes),
}

/// Loaded index files.
#[derive(Clone, Debug)]
pub(crate) struct ColdIndexes {
    pub(crate) offsets: IndexView,
    pub(crate) times: TimeIndexView,
    pub(crate) offset_bytes: Bytes,
    pub(crate) time_bytes: Bytes,
}

impl ColdIndexes {
    /// Checks and wraps the files' bytes.
    pub(crate) fn new(
        base: Offset,
        offset_bytes: Bytes,
        time_bytes: Bytes,
    ) -> Result<ColdIndexes, IndexError> {
        let offsets = IndexView::new(base, offset_bytes.clone())?;
        offsets.check_order()?;
        let times = TimeIndexView::new(base, time_bytes.clone())?;
        times.check_order()?;
        Ok(ColdIndexes { offsets, times, offset_bytes, time_bytes })
    }

    /// Whether every entry lies within a segment of so many bytes.
    pub(crate) fn fits(&self, segment_end: u64) -> bool {
        self.offsets.last_entry().is_none_or(|entry| u64::from(entry.position) < segment_end)
    }

    fn bytes(&self) -> usize {
        self.offset_bytes.len() + self.time_bytes.len()
    }
}

impl Indexes {
    /// Empty ones.
    pub(crate) fn new(base: Offset, bytes_max: usize) -> Indexes {
        Indexes {
            cold: Cold::Nothing,
            offsets: OffsetIndex::new(base, bytes_max),
            times: TimeIndex::new(base, bytes_max),
            max: TimestampOffset { timestamp: TimestampMs(-1), offset: base },
            cold_max: None,
            bytes_since_entry: 0,
        }
    }

    /// Those of a segment whose index files hold `offset_bytes` and `time_bytes`, not loaded yet.
    pub(crate) fn on_disk(base: Offset, bytes_max: usize, offset_bytes: u64, time_bytes: u64) -> Indexes {
        let left = |used: u64| bytes_max.saturating_sub(used as usize);
        let mut indexes = Indexes::new(base, bytes_max);
        indexes.cold = Cold::OnDisk;
        indexes.offsets = OffsetIndex::new(base, left(offset_bytes));
        indexes.times = TimeIndex::new(base, left(time_bytes));
        indexes
    }

    /// Everything is in the loaded part: what was gathered by a scan was just written to the files.
    pub(crate) fn keep_only_cold(&mut self, base: Offset, bytes_max: usize) {
        let Cold::Loaded(cold) = &self.cold else { return };
        let (offsets, times) = (cold.offset_bytes.len() as u64, cold.time_bytes.len() as u64);
        let cold = self.cold.clone();
        *self = Indexes::on_disk(base, bytes_max, offsets, times);
        self.cold = cold;
    }

    /// Notes a batch that was appended at `position` (Kafka's `LogSegment.append`): an entry every `interval` bytes.
    pub(crate) fn note(&mut self, batch: &BatchHeader, last_offset: Offset, position: u64, interval: u64) {
        if batch.max_timestamp > self.max.timestamp {
            self.max = TimestampOffset { timestamp: batch.max_timestamp, offset: last_offset };
        }
        if self.bytes_since_entry > interval {
            // A full index makes the log roll before the append, and both fit by the roll's rules; an entry less only
            // makes a later search longer.
            let _ = self.offsets.append(last_offset, position as u32);
            let _ = self.times.maybe_append(self.max, false);
            self.bytes_since_entry = 0;
        }
        self.bytes_since_entry += batch.size() as u64;
    }

    /// The last indexed batch at or below `target`; `None` when the files have to be loaded first.
    pub(crate) fn lookup(&self, target: Offset) -> Option<OffsetPosition> {
        let fresh = self.offsets.lookup(target);
        if fresh.position > 0 {
            return Some(fresh);
        }
        match &self.cold {
            Cold::Nothing => Some(fresh),
            Cold::OnDisk => None,
            Cold::Loaded(cold) => Some(cold.offsets.lookup(target)),
        }
    }

    /// The first indexed batch that begins at or beyond `position`, among those known without loading.
    pub(crate) fn entry_from_position(&self, position: u64) -> Option<OffsetPosition> {
        let cold = match &self.cold {
            Cold::Loaded(cold) => cold.offsets.entry_from_position(position),
            Cold::Nothing | Cold::OnDisk => None,
        };
        cold.or_else(|| self.offsets.entry_from_position(position))
    }

    /// Whether no further entry fits; the log then rolls.
    pub(crate) fn is_full(&self) -> bool {
        self.offsets.is_full() || self.times.is_full()
    }

    /// The largest timestamp of the segment, -1 when it has none. The cold part must be loaded.
    pub(crate) fn max_timestamp(&self) -> TimestampMs {
        let cold = match &self.cold {
            Cold::Loaded(cold) => cold.times.last_entry().timestamp,
            Cold::Nothing | Cold::OnDisk => TimestampMs(-1),
        };
        cold.max(self.max.timestamp)
    }

    /// The same without loading anything; `None` when it is not known.
    pub(crate) fn known_max_timestamp(&self) -> Option<TimestampMs> {
        match self.cold {
            Cold::OnDisk => Some(self.cold_max?.max(self.max.timestamp)),
            Cold::Nothing | Cold::Loaded(_) => Some(self.max_timestamp()),
        }
    }

    /// Forgets the loaded files, which can be loaded again.
    pub(crate) fn unload(&mut self) {
        if let Cold::Loaded(cold) = &self.cold {
            self.cold_max = Some(cold.times.last_entry().timestamp);
            self.cold = Cold::OnDisk;
        }
    }

    /// An offset before which no record carries `target` or a later timestamp. The cold part must be loaded.
    pub(crate) fn offset_by_time(&self, target: TimestampMs) -> Offset {
        // An entry says that its timestamp is the largest so far: what carries a larger one comes behind it.
        let below = TimestampMs(target.0.saturating_sub(1));
        let fresh = self.times.lookup(below);
        match &self.cold {
            _ if fresh.timestamp.0 >= 0 => fresh.offset,
            Cold::Loaded(cold) => cold.times.lookup(below).offset,
            Cold::Nothing | Cold::OnDisk => fresh.offset,
        }
    }

    /// Whether what is loaded can be loaded again.
    pub(crate) fn is_on_disk(&self) -> bool {
        matches!(self.cold, Cold::Loaded(_))
    }

    /// Memory of what was loaded on demand.
    pub(crate) fn cold_bytes(&self) -> usize {
        match &self.cold {
            Cold::Loaded(cold) => cold.bytes(),
            Cold::Nothing | Cold::OnDisk => 0,
        }
    }
}

impl Segment {
    /// Where a search for `offset` may begin, from memory if it can be; `None` when the index files have to be loaded.
    pub(crate) fn search_from(&self, offset: Offset) -> Option<BatchStart> {
        let indexed = self
            .indexes
            .lookup(offset)
            .map(|found| BatchStart { offset: found.offset, position: u64::from(found.position) });
        let in_memory = self.tail.batch_at_or_before(offset);
        match (indexed, in_memory) {
            (Some(indexed), Some(memory)) if memory.position > indexed.position => Some(memory),
            (None, memory) => memory,
            (indexed, _) => indexed,
        }
    }
}

/// Why index files cannot be used; they are rebuilt from the segment.
pub(crate) fn index_damage(path: &std::path::Path, error: &IndexError) -> StorageError {
    StorageError::BadFile { path: path.to_path_buf(), reason: error.to_string() }
}

const _: () = assert!(index::ENTRY_SIZE == 8 && time_index::ENTRY_SIZE == 12, "Kafka's index formats");
