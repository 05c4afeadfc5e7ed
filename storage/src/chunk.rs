//! The tail's memory in wire format. A chunk has one writer, on the partition's owner core; slices of what is
//! published go to any core and to the kernel. Published bytes never change again, and no reference ever covers
//! bytes that the writer may still write.

use std::fmt;
use std::ops::{Deref, Range};
use std::ptr::NonNull;
use std::sync::Arc;

use crate::disk::AlignedBuf;
use crate::disk::memory::{Region, Shelf};

/// The fixed sizes of chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChunkClass {
    /// 64 KiB: a partition with little traffic.
    Small,
    /// 256 KiB.
    Medium,
    /// 1 MiB: a busy partition.
    Large,
}

impl ChunkClass {
    /// All classes, smallest first.
    pub const ALL: [ChunkClass; 3] = [ChunkClass::Small, ChunkClass::Medium, ChunkClass::Large];

    /// Size in bytes.
    pub const fn bytes(self) -> usize {
        match self {
            ChunkClass::Small => 64 << 10,
            ChunkClass::Medium => 256 << 10,
            ChunkClass::Large => 1 << 20,
        }
    }

    /// The smallest class that holds `bytes`, or the largest there is.
    pub fn fitting(bytes: usize) -> ChunkClass {
        ChunkClass::ALL.into_iter().find(|class| class.bytes() >= bytes).unwrap_or(ChunkClass::Large)
    }
}

/// Where chunks come from; one per core. Chunks return on the last drop, from any thread.
#[derive(Clone)]
pub struct ChunkPool(Arc<Shelf>);

impl ChunkPool {
    /// A pool that keeps at most `cached_bytes_max` bytes of free chunks for reuse.
    pub fn new(cached_bytes_max: usize) -> ChunkPool {
        let sizes = ChunkClass::ALL.iter().map(|class| class.bytes()).collect();
        ChunkPool(Shelf::new(sizes, cached_bytes_max))
    }

    /// A fresh chunk whose first `lead` bytes are skipped, so that a position in the chunk equals the file offset
    /// modulo 4096. Skipped bytes can never be read.
    ///
    /// # Panics
    /// When `lead` is not below the chunk's size.
    pub fn take(&self, class: ChunkClass, lead: usize) -> ChunkWriter {
        assert!(lead < class.bytes(), "the lead leaves room for data");
        let region = self.0.take(class.bytes());
        let chunk = Chunk { region: Some(region), home: Arc::clone(&self.0) };
        ChunkWriter { chunk: Arc::new(chunk), readable_from: lead, filled: lead }
    }

    /// As [`ChunkPool::take`], but the lead is filled with `lead`, the bytes of the file's last partial block that
    /// come before this chunk, so that the block can be written whole from the chunk.
    ///
    /// # Panics
    /// When `lead` is not shorter than the chunk.
    pub fn take_with_lead(&self, class: ChunkClass, lead: &[u8]) -> ChunkWriter {
        assert!(lead.len() < class.bytes(), "the lead leaves room for data");
        let mut writer = self.take(class, 0);
        writer.append(lead);
        writer
    }

    /// Bytes of all chunks that are alive now, in whole chunks.
    pub fn bytes_out(&self) -> usize {
        self.0.bytes_out()
    }

    /// Bytes of free chunks kept for reuse.
    pub fn bytes_cached(&self) -> usize {
        self.0.bytes_cached()
    }
}

/// The one writer of a chunk. All positions are positions in the chunk's memory, the lead included.
pub struct ChunkWriter {
    chunk: Arc<Chunk>,
    readable_from: usize,
    filled: usize,
}

impl ChunkWriter {
    /// Copies as many of `bytes` as fit behind what is filled and publishes them; tells how many those were.
    pub fn append(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.room());
        self.append_with(taken, |free| free.copy_from_slice(&bytes[..taken]));
        taken
    }

    /// Lets `fill` write exactly `len` bytes in place, then publishes them. `fill` may see stale bytes.
    ///
    /// # Panics
    /// When `len` is above [`ChunkWriter::room`].
    pub fn append_with<R>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        assert!(len <= self.room(), "an append stays inside its chunk");
        // SAFETY: `filled + len` is at most the region's size; the memory is initialised; slices only ever cover
        // bytes below `filled`, and `&mut self` makes this the only writer, so nothing else refers to these bytes.
        let free =
            unsafe { std::slice::from_raw_parts_mut(self.chunk.start().as_ptr().add(self.filled), len) };
        let result = fill(free);
        self.filled += len;
        result
    }

    /// Published bytes at `range`, positions in the chunk's memory.
    ///
    /// # Panics
    /// When the range reaches into a skipped lead or beyond [`ChunkWriter::filled`].
    pub fn slice(&self, range: Range<usize>) -> ChunkSlice {
        assert!(
            range.start >= self.readable_from && range.start <= range.end && range.end <= self.filled,
            "a slice covers published bytes only"
        );
        // SAFETY: the range was just checked to lie inside the region.
        let start = unsafe { self.chunk.start().add(range.start) };
        ChunkSlice { start, len: range.len(), owner: Owner::Chunk(Arc::clone(&self.chunk)) }
    }

    /// End of the published bytes, the lead included.
    pub fn filled(&self) -> usize {
        self.filled
    }

    /// Size of the chunk in bytes, the lead included.
    pub fn capacity(&self) -> usize {
        self.chunk.bytes()
    }

    /// Bytes that can still be appended.
    pub fn room(&self) -> usize {
        self.capacity() - self.filled
    }
}

impl fmt::Debug for ChunkWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChunkWriter({} of {})", self.filled, self.capacity())
    }
}

/// A read-only view of published bytes that keeps its memory alive. Cheap to clone, usable on any core.
#[derive(Clone)]
pub struct ChunkSlice {
    start: NonNull<u8>,
    len: usize,
    owner: Owner,
}

// SAFETY: the bytes below are immutable for as long as any slice lives, and the owners are `Arc`s of Sync values.
unsafe impl Send for ChunkSlice {}
// SAFETY: as above.
unsafe impl Sync for ChunkSlice {}

#[derive(Clone)]
enum Owner {
    Chunk(Arc<Chunk>),
    Buf(Arc<AlignedBuf>),
}

impl ChunkSlice {
    /// The part of this slice at `range`, relative to the slice.
    ///
    /// # Panics
    /// When the range does not lie inside the slice.
    pub fn sub(&self, range: Range<usize>) -> ChunkSlice {
        assert!(range.start <= range.end && range.end <= self.len, "a sub-slice lies inside its slice");
        // SAFETY: the range lies inside this slice's memory.
        let start = unsafe { self.start.add(range.start) };
        ChunkSlice { start, len: range.len(), owner: self.owner.clone() }
    }

    /// Bytes of memory that this slice keeps alive: its whole chunk or buffer.
    pub fn bytes_held(&self) -> usize {
        match &self.owner {
            Owner::Chunk(chunk) => chunk.bytes(),
            Owner::Buf(buf) => buf.capacity(),
        }
    }

    pub(crate) fn from_buf(buf: AlignedBuf) -> ChunkSlice {
        let buf = Arc::new(buf);
        let start = NonNull::from(&buf[..]).cast();
        ChunkSlice { start, len: buf.len(), owner: Owner::Buf(buf) }
    }
}

impl Deref for ChunkSlice {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the owner keeps the memory alive, the bytes are published and so never written again.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl fmt::Debug for ChunkSlice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ChunkSlice({})", self.len)
    }
}

struct Chunk {
    region: Option<Region>,
    home: Arc<Shelf>,
}

impl Chunk {
    fn region(&self) -> &Region {
        self.region.as_ref().expect("a chunk has its memory until it is dropped")
    }

    fn start(&self) -> NonNull<u8> {
        self.region().start()
    }

    fn bytes(&self) -> usize {
        self.region().bytes()
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        if let Some(region) = self.region.take() {
            self.home.give_back(region);
        }
    }
}

#[cfg(test)]
mod tests;
