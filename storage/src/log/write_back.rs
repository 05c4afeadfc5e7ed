//! What only the journal holds goes to the segment file, in whole blocks, off the acknowledgement path. Owner core only,
//! synchronous: plans the writes and notes what became of them.

use slipring_protocol::ids::Offset;

use super::Log;
use crate::disk::{AlignedBuf, BLOCK_BYTES, DiskFile, IoPart};
use crate::limits::{ALLOCATE_FROM_BYTES, ALLOCATE_STEP_MAX, ALLOCATE_STEP_MIN, BLOCK, block_floor};
use crate::log::segment::{FileState, Segment};

/// A write of journaled blocks into their segment.
#[derive(Debug)]
pub(crate) struct WriteBack {
    pub(crate) segment: Offset,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) file: DiskFile,
    pub(crate) parts: Vec<IoPart>,
}

/// Whether a log has something to write back.
#[derive(Debug)]
pub(crate) enum BackLog {
    /// All whole blocks are in their files or on the way.
    Nothing,
    /// The file of the segment with this base has to be made or opened first.
    NeedsFile(Offset),
    /// This.
    Write(WriteBack),
}

impl Log {
    /// Bytes that could be written back now.
    pub(crate) fn unwritten(&self) -> u64 {
        self.segments.range(self.first_open()..).map(Segment::unwritten).sum()
    }

    /// Whether a write to one of the open segments is under way.
    pub(crate) fn is_writing(&self) -> bool {
        self.segments.range(self.first_open()..).any(|segment| segment.blocks.is_busy())
    }

    /// Takes up to `bytes_max` of the oldest journaled blocks that no one writes yet.
    pub(crate) fn take_write_back(&mut self, bytes_max: u64) -> BackLog {
        if self.fence.is_some() {
            return BackLog::Nothing;
        }
        let first = self.first_open();
        for segment in self.segments.range_mut(first..) {
            if segment.unwritten() == 0 {
                continue;
            }
            let FileState::Open(file) = &segment.file else {
                return BackLog::NeedsFile(segment.base);
            };
            let file = file.clone();
            let from = segment.blocks.submitted();
            let to = segment.write_back_target().min(from + bytes_max.max(BLOCK));
            let parts = blocks_of(segment, from, to);
            segment.blocks.submit(to);
            return BackLog::Write(WriteBack { segment: segment.base, from, to, file, parts });
        }
        BackLog::Nothing
    }

    /// Drops the oldest chunk that the files hold durably; the last one only of an idle log. Gives its bytes.
    pub(crate) fn evict(&mut self, idle: bool) -> Option<usize> {
        let active = self.active().base;
        for segment in &mut self.segments {
            let durable = segment.blocks.durable();
            let freed = segment.tail.evict_front(durable);
            if freed.is_some() {
                return freed;
            }
            if segment.tail.chunk_bytes() == 0 {
                continue;
            }
            if segment.base < active && segment.seal.is_none() && segment.is_whole() {
                return Some(segment.tail.clear());
            }
            if idle && segment.base == active {
                return segment.tail.shrink_to_stub(durable);
            }
        }
        None
    }

    pub(crate) fn has_chunks(&self) -> bool {
        self.segments.iter().any(|segment| segment.tail.chunk_bytes() > 0)
    }

    /// Closes descriptors that no one used since the last call. Gives how many.
    pub(crate) fn close_idle_files(&mut self) -> usize {
        let mut closed = 0;
        for segment in &mut self.segments {
            let idle = !segment.file_used.replace(false) && !segment.blocks.is_busy();
            if idle && matches!(segment.file, FileState::Open(_)) && !segment.blocks.needs_flush() {
                segment.file = FileState::Closed;
                closed += 1;
            }
        }
        closed
    }

    /// What a flush that starts now makes durable: segments, positions and files.
    pub(crate) fn flush_targets(&self) -> Vec<(Offset, u64, DiskFile)> {
        let open = self.segments.range(self.first_open()..).filter(|segment| segment.blocks.needs_flush());
        open.filter_map(|segment| match &segment.file {
            FileState::Open(file) => Some((segment.base, segment.blocks.flush_target(), file.clone())),
            FileState::Missing | FileState::Closed => None,
        })
        .collect()
    }

    /// The next range to allocate ahead in the active segment: start and length.
    pub(crate) fn allocation_due(&self) -> Option<(u64, u64)> {
        let active = self.active();
        let limit = block_floor(self.config.segment_bytes);
        if !matches!(active.file, FileState::Open(_)) || active.end < ALLOCATE_FROM_BYTES {
            return None;
        }
        // A step of a quarter of what was written: busy logs get large steps, slow ones waste little.
        let step = (active.end / 4).next_power_of_two().clamp(ALLOCATE_STEP_MIN, ALLOCATE_STEP_MAX);
        let ahead = active.allocated.saturating_sub(active.end);
        if ahead >= step / 2 || active.allocated >= limit {
            return None;
        }
        let from = block_floor(active.allocated.max(active.end));
        let len = step.min(limit.saturating_sub(from));
        (len > 0).then_some((from, len))
    }
}

/// The bytes of `from..to` as aligned parts; beyond the segment's end zeros fill the last block.
fn blocks_of(segment: &Segment, from: u64, to: u64) -> Vec<IoPart> {
    let whole = to.min(block_floor(segment.end));
    let mut parts: Vec<IoPart> = if from < whole { segment.tail.slices(from..whole) } else { Vec::new() }
        .into_iter()
        .map(IoPart::Chunk)
        .collect();
    if to > whole {
        let mut last = AlignedBuf::zeroed(BLOCK_BYTES);
        let len = (segment.end - whole) as usize;
        assert!(segment.tail.copy_at(whole, &mut last[..len]), "the last block is in memory");
        parts.push(IoPart::Buf(last));
    }
    parts
}
