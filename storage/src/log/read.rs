//! Finding the bytes of a fetch: "the owner decides, the connection's core moves the bytes". Owner core only, synchronous:
//! what is in memory becomes slices, what is in a file becomes a range that any core can read.

use slipring_protocol::batch::BATCH_HEADER_SIZE;
use slipring_protocol::ids::Offset;

use super::Log;
use super::segment::{FileState, Segment};
use super::tail::BatchStart;
use crate::error::{ReadError, StorageError};
use crate::read::{FileRange, ReadLimit, ReadPlan, ReadRange, ReadSlice};

/// Where a read found its bytes, or what is missing to say so.
#[derive(Debug)]
pub(crate) enum Located {
    /// All that is needed was at hand.
    Plan(ReadPlan),
    /// The index files of the segment with this base have to be loaded.
    NeedsIndex(Offset),
    /// The file of the segment with this base has to be opened.
    NeedsFile(Offset),
}

/// First bytes of a batch that a walk looks at.
const WALK_BYTES: usize = 27;
/// How far before the wanted end the search for an indexed batch begins.
const INDEX_SLACK_BYTES: u64 = 16 << 10;

/// A batch as a walk sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadAt {
    pub(crate) position: u64,
    pub(crate) size: u64,
    pub(crate) base: Offset,
    pub(crate) last: Offset,
}

impl ReadAt {
    fn end(&self) -> u64 {
        self.position + self.size
    }
}

impl Log {
    /// Plans a read without touching a disk.
    pub(crate) fn locate(&self, range: &ReadRange) -> Result<Located, ReadError> {
        if range.start < self.log_start || range.start > self.log_end {
            return Err(ReadError::OffsetOutOfRange {
                requested: range.start,
                log_start: self.log_start,
                log_end: self.log_end,
            });
        }
        let limit = self.limit(range.upto);
        let nothing = || Ok(Located::Plan(ReadPlan::empty(self.bounds())));
        if range.start >= limit {
            return nothing();
        }
        let first = self.segment_for(range.start).unwrap_or(0);
        let Some(segment) = self.segments.range(first..).find(|segment| range.start < segment.next) else {
            return nothing();
        };
        let Some(from) = segment.search_from(range.start.max(segment.base)) else {
            return Ok(Located::NeedsIndex(segment.base));
        };
        if from.position < segment.tail.start() {
            return Ok(self.in_file(segment, from, range, limit));
        }
        let slices = self.in_memory(segment, from, range, limit)?;
        Ok(Located::Plan(ReadPlan::new(slices, segment.next < limit, self.bounds())))
    }

    fn limit(&self, upto: ReadLimit) -> Offset {
        match upto {
            ReadLimit::HighWatermark => self.high_watermark(),
            ReadLimit::LastStable => self.bounds().last_stable,
            ReadLimit::LogEnd => self.log_end,
        }
    }

    fn in_file(&self, segment: &Segment, from: BatchStart, range: &ReadRange, limit: Offset) -> Located {
        let FileState::Open(file) = &segment.file else {
            return Located::NeedsFile(segment.base);
        };
        segment.file_used.set(true);
        let file_end = segment.tail.start();
        debug_assert!(
            file_end <= segment.readable_in_file(),
            "the tail begins where the file ends at the latest"
        );
        let in_memory = segment.tail.first_batch();
        let boundary = in_memory.map_or(segment.tail.end(), |batch| batch.position);
        let is_short = boundary - from.position < range.bytes_max as u64;
        let goes_on =
            segment.next < limit || (is_short && in_memory.is_some_and(|batch| batch.offset < limit));
        let range = FileRange {
            file: file.clone(),
            position: from.position,
            file_end,
            straddle: segment.tail.slices(file_end..boundary),
            start: range.start,
            limit,
            bytes_max: range.bytes_max,
            min_one_batch: range.min_one_batch,
        };
        let later = self.segments.iter().rev().take_while(|later| later.base > segment.base);
        let behind = segment.end - from.position + later.map(|later| later.end).sum::<u64>();
        let plan = ReadPlan::new(vec![ReadSlice::File(range)], goes_on, self.bounds());
        Located::Plan(ReadPlan { missed_by: Some(behind), ..plan })
    }

    fn in_memory(
        &self,
        segment: &Segment,
        from: BatchStart,
        range: &ReadRange,
        limit: Offset,
    ) -> Result<Vec<ReadSlice>, ReadError> {
        let mut first = self.batch_at(segment, from.position)?;
        while first.last < range.start && first.end() < segment.end {
            first = self.batch_at(segment, first.end())?;
        }
        let too_large = first.size > range.bytes_max as u64;
        if first.base >= limit || first.last < range.start || (too_large && !range.min_one_batch) {
            return Ok(Vec::new());
        }
        let end = if too_large { first.end() } else { self.read_end(segment, first, range, limit)? };
        Ok(segment.tail.slices(first.position..end).into_iter().map(ReadSlice::Memory).collect())
    }

    /// The end of the last whole batch within both limits; `first` fits.
    fn read_end(
        &self,
        segment: &Segment,
        first: ReadAt,
        range: &ReadRange,
        limit: Offset,
    ) -> Result<u64, ReadError> {
        let target = first.position + range.bytes_max as u64;
        if let Some(end) = self.position_of(segment, limit).filter(|end| *end <= target) {
            return Ok(end);
        }
        let mut end = first.end();
        // Most of the way is skipped by the index; its entries name a batch's last offset.
        let skip = target.saturating_sub(INDEX_SLACK_BYTES);
        if let Some(entry) = segment.indexes.entry_from_position(skip) {
            let position = u64::from(entry.position);
            if entry.offset < limit && position > end && position <= target {
                end = position;
            }
        }
        while end < segment.end {
            let batch = self.batch_at(segment, end)?;
            if batch.base >= limit || batch.end() > target {
                break;
            }
            end = batch.end();
        }
        Ok(end)
    }

    /// Where `limit` lies in the segment, for the ends that are known by position.
    fn position_of(&self, segment: &Segment, limit: Offset) -> Option<u64> {
        if limit >= segment.next {
            return Some(segment.end);
        }
        [self.durable, self.written]
            .into_iter()
            .find(|mark| mark.offset == limit && mark.segment == segment.base)
            .map(|mark| mark.position)
    }

    /// The batch at `position`, which is in memory.
    pub(crate) fn batch_at(&self, segment: &Segment, position: u64) -> Result<ReadAt, ReadError> {
        let mut head = [0; WALK_BYTES];
        let whole = segment.tail.copy_at(position, &mut head);
        let field = |at: usize| i32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let length = i64::from(field(8)) + 12;
        if !whole || length < BATCH_HEADER_SIZE as i64 {
            // Memory holds what was staged and validated here: this is bad memory or our own fault.
            return Err(ReadError::Storage(StorageError::Damaged {
                path: self.directory.clone(),
                position,
                reason: "no batch where the index says one is".to_owned(),
            }));
        }
        let base = Offset((i64::from(field(0)) << 32) | i64::from(field(4) as u32));
        Ok(ReadAt { position, size: length as u64, base, last: base.plus(i64::from(field(23))) })
    }
}
