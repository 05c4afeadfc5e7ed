//! The end of one segment in memory, in wire format: everything not yet durable in the segment file, and what recent
//! readers want. Owner core only; hands out shared slices. Knows nothing of offsets beyond where batches begin.
//!
//! Positions are file positions. The tail starts on a block boundary, every chunk does, and all chunks but the last are
//! full, so whole blocks go to the disk straight from here. An idle log keeps only the bytes of its last partial block.

use std::collections::VecDeque;
use std::ops::Range;

use slipring_protocol::ids::Offset;

use crate::chunk::{ChunkClass, ChunkPool, ChunkSlice, ChunkWriter};
use crate::disk::{AlignedBuf, BLOCK_BYTES};
use crate::limits::{BLOCK, block_floor};

/// Where a batch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchStart {
    pub(crate) offset: Offset,
    pub(crate) position: u64,
}

/// The tail of a segment.
#[derive(Debug)]
pub(crate) struct Tail {
    start: u64,
    end: u64,
    chunks: VecDeque<TailChunk>,
    /// Bytes from `start` to `end` while there is no chunk; always below a block.
    stub: Vec<u8>,
}

#[derive(Debug)]
struct TailChunk {
    start: u64,
    writer: ChunkWriter,
    first_batch: Option<BatchStart>,
}

impl TailChunk {
    fn end(&self) -> u64 {
        self.start + self.writer.filled() as u64
    }

    fn slice(&self, range: Range<u64>) -> ChunkSlice {
        let at = |position: u64| (position - self.start) as usize;
        self.writer.slice(at(range.start)..at(range.end))
    }
}

impl Tail {
    /// The tail of a segment that ends at `end`, whose last partial block holds `partial`.
    pub(crate) fn new(end: u64, partial: &[u8]) -> Tail {
        let start = block_floor(end);
        assert_eq!(end - start, partial.len() as u64, "the partial block is whole");
        Tail { start, end, chunks: VecDeque::new(), stub: partial.to_vec() }
    }

    /// The tail of a segment that is whole on disk: nothing in memory.
    pub(crate) fn on_disk(end: u64) -> Tail {
        Tail { start: end, end, chunks: VecDeque::new(), stub: Vec::new() }
    }

    /// First position in memory.
    pub(crate) fn start(&self) -> u64 {
        self.start
    }

    /// The byte after the last.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Memory held in whole chunks.
    pub(crate) fn chunk_bytes(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.writer.capacity()).sum()
    }

    /// Appends the pieces of one batch, which begins at `offset`. Gives the bytes of chunks that were taken for it.
    pub(crate) fn append(&mut self, pool: &ChunkPool, offset: Offset, pieces: [&[u8]; 2]) -> usize {
        let begin = BatchStart { offset, position: self.end };
        let mut taken = 0;
        let mut fresh = true;
        let mut left: usize = pieces.iter().map(|piece| piece.len()).sum();
        for mut piece in pieces {
            while !piece.is_empty() {
                if self.chunks.back().is_none_or(|chunk| chunk.writer.room() == 0) {
                    taken += self.add_chunk(pool, left);
                }
                let chunk = self.chunks.back_mut().expect("one was just made sure of");
                if std::mem::take(&mut fresh) && chunk.first_batch.is_none() {
                    chunk.first_batch = Some(begin);
                }
                let copied = chunk.writer.append(piece);
                piece = &piece[copied..];
                left -= copied;
                self.end += copied as u64;
            }
        }
        taken
    }

    /// Adds a chunk behind the last; it takes over the stub. A log that fills its chunks gets larger ones.
    fn add_chunk(&mut self, pool: &ChunkPool, wanted: usize) -> usize {
        let grown = match self.chunks.back().map(|chunk| chunk.writer.capacity()) {
            None => ChunkClass::Small,
            Some(last) => ChunkClass::fitting(last * 4),
        };
        let class = grown.max(ChunkClass::fitting(wanted + self.stub.len()));
        let start = if self.chunks.is_empty() { self.start } else { self.end };
        assert!(start.is_multiple_of(BLOCK), "chunks start on a block");
        let writer = pool.take_with_lead(class, &self.stub);
        self.stub = Vec::new();
        let bytes = writer.capacity();
        self.chunks.push_back(TailChunk { start, writer, first_batch: None });
        bytes
    }

    /// The bytes of `range`, which must lie in memory.
    pub(crate) fn slices(&self, range: Range<u64>) -> Vec<ChunkSlice> {
        let mut slices = Vec::new();
        self.for_each(range, |slice| slices.push(slice));
        slices
    }

    /// Calls `take` with every piece of `range`, which must lie in memory.
    pub(crate) fn for_each(&self, range: Range<u64>, mut take: impl FnMut(ChunkSlice)) {
        assert!(self.start <= range.start && range.end <= self.end, "only what is in memory");
        if range.is_empty() {
            return;
        }
        if self.chunks.is_empty() {
            let at = |position: u64| (position - self.start) as usize;
            take(AlignedBuf::copy_of(&self.stub[at(range.start)..at(range.end)]).freeze());
            return;
        }
        let first = self.chunks.partition_point(|chunk| chunk.end() <= range.start);
        for chunk in self.chunks.range(first..) {
            if chunk.start >= range.end {
                break;
            }
            take(chunk.slice(range.start.max(chunk.start)..range.end.min(chunk.end())));
        }
    }

    /// Fills `out` with the bytes at `position`; false when they are not all in memory.
    pub(crate) fn copy_at(&self, position: u64, out: &mut [u8]) -> bool {
        let end = position + out.len() as u64;
        if position < self.start || end > self.end {
            return false;
        }
        if self.chunks.is_empty() {
            let at = (position - self.start) as usize;
            out.copy_from_slice(&self.stub[at..at + out.len()]);
            return true;
        }
        let mut filled = 0;
        self.for_each(position..end, |slice| {
            out[filled..filled + slice.len()].copy_from_slice(&slice);
            filled += slice.len();
        });
        true
    }

    /// The last chunk whose first batch begins at or before `offset`: where a walk through memory may begin.
    pub(crate) fn batch_at_or_before(&self, offset: Offset) -> Option<BatchStart> {
        self.batches().rev().find(|batch| batch.offset <= offset)
    }

    /// The first batch that begins in memory; what lies before it in memory is the rest of an earlier one.
    pub(crate) fn first_batch(&self) -> Option<BatchStart> {
        self.batches().next()
    }

    fn batches(&self) -> impl DoubleEndedIterator<Item = BatchStart> + '_ {
        self.chunks.iter().filter_map(|chunk| chunk.first_batch)
    }

    /// Drops the first chunk when all of it lies below `durable` and another follows. Gives its bytes.
    pub(crate) fn evict_front(&mut self, durable: u64) -> Option<usize> {
        let first = self.chunks.front()?;
        if self.chunks.len() < 2 || first.end() > durable {
            return None;
        }
        let bytes = first.writer.capacity();
        self.chunks.pop_front();
        self.start = self.chunks.front().map_or(self.end, |chunk| chunk.start);
        Some(bytes)
    }

    /// Drops the last chunk too when what is not durable fits a partial block, which is copied. Gives its bytes.
    pub(crate) fn shrink_to_stub(&mut self, durable: u64) -> Option<usize> {
        if self.chunks.len() != 1 || self.end - durable.min(self.end) >= BLOCK {
            return None;
        }
        let start = block_floor(self.end).min(durable);
        if start < block_floor(self.end) {
            return None;
        }
        let mut stub = vec![0; (self.end - start) as usize];
        assert!(self.copy_at(start, &mut stub), "the last block is in memory");
        let bytes = self.chunk_bytes();
        self.chunks.clear();
        self.start = start;
        self.stub = stub;
        Some(bytes)
    }

    /// Drops everything: the segment is whole on disk and will not grow. Gives the bytes of its chunks.
    pub(crate) fn clear(&mut self) -> usize {
        let bytes = self.chunk_bytes();
        self.chunks.clear();
        self.stub = Vec::new();
        self.start = self.end;
        bytes
    }
}

const _: () = assert!(BLOCK as usize == BLOCK_BYTES);

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tail: &Tail, range: Range<u64>) -> Vec<u8> {
        tail.slices(range).iter().flat_map(|slice| slice.to_vec()).collect()
    }

    fn bytes(range: Range<u64>) -> Vec<u8> {
        range.map(|position| (position % 251) as u8).collect()
    }

    fn append(tail: &mut Tail, pool: &ChunkPool, offset: i64, len: u64) {
        let data = bytes(tail.end()..tail.end() + len);
        let (head, rest) = data.split_at(7);
        tail.append(pool, Offset(offset), [head, rest]);
    }

    #[test]
    fn memory_and_file_agree_modulo_a_block() {
        let pool = ChunkPool::new(0);
        let mut tail = Tail::new(5000, &bytes(4096..5000));
        assert_eq!(read(&tail, 4100..5000), bytes(4100..5000));
        for offset in 0..100 {
            append(&mut tail, &pool, offset, 9_001);
        }
        assert_eq!(tail.start(), 4096);
        assert_eq!(read(&tail, 4096..tail.end()), bytes(4096..tail.end()));
        for slice in tail.slices(8192..block_floor(tail.end())) {
            assert_eq!(slice.as_ptr() as usize % BLOCK_BYTES, 0);
            assert_eq!(slice.len() % BLOCK_BYTES, 0);
        }
        let mut out = [0; 10_000];
        assert!(tail.copy_at(60_000, &mut out));
        assert_eq!(&out[..], &bytes(60_000..70_000)[..]);
        assert!(!tail.copy_at(4000, &mut out));
    }

    #[test]
    fn an_idle_tail_keeps_only_its_partial_block() {
        let pool = ChunkPool::new(0);
        let mut tail = Tail::new(0, &[]);
        append(&mut tail, &pool, 0, 70_000);
        append(&mut tail, &pool, 1, 70_000);
        assert!(tail.shrink_to_stub(0).is_none());
        assert!(tail.evict_front(65_535).is_none(), "not durable yet");
        let durable = block_floor(tail.end());
        while tail.evict_front(durable).is_some() {}
        assert!(tail.shrink_to_stub(durable).is_some());
        assert_eq!((tail.start(), tail.chunk_bytes(), pool.bytes_out()), (durable, 0, 0));
        assert_eq!(read(&tail, durable..tail.end()), bytes(durable..tail.end()));
        append(&mut tail, &pool, 2, 100);
        assert_eq!(tail.first_batch().map(|batch| batch.position), Some(140_000));
        assert_eq!(read(&tail, durable..tail.end()), bytes(durable..tail.end()));
    }
}
