//! Owned block-aligned buffers and their pool, and the parts of a gathered write. A buffer belongs to exactly one
//! owner at a time: the caller, or the disk while an operation is under way. Any thread may drop one.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use super::memory::{BLOCK_BYTES, Region, Shelf, round_up_to_block};
use crate::chunk::ChunkSlice;

/// Owned bytes, aligned to 4096 in memory; the capacity is a multiple of 4096. Every byte of the capacity is
/// initialised, but bytes that were not written since [`BufPool::take`] may be stale ones of an earlier use.
pub struct AlignedBuf {
    region: Option<Region>,
    len: usize,
    home: Option<Arc<Shelf>>,
}

impl AlignedBuf {
    /// A zeroed buffer outside any pool with `len` bytes; the capacity is `len` rounded up to whole blocks.
    pub fn zeroed(len: usize) -> AlignedBuf {
        AlignedBuf { region: Some(Region::new(round_up_to_block(len.max(1)))), len, home: None }
    }

    /// A buffer outside any pool that holds a copy of `bytes`.
    pub fn copy_of(bytes: &[u8]) -> AlignedBuf {
        let mut buf = AlignedBuf::zeroed(bytes.len());
        buf.copy_from_slice(bytes);
        buf
    }

    /// Bytes that fit, a multiple of 4096.
    pub fn capacity(&self) -> usize {
        self.region().bytes()
    }

    /// Sets the length. Grown bytes keep whatever the memory held.
    ///
    /// # Panics
    /// When `len` is above the capacity.
    pub fn set_len(&mut self, len: usize) {
        assert!(len <= self.capacity(), "a buffer cannot be longer than its capacity");
        self.len = len;
    }

    /// Shortens the buffer to `len` bytes; does nothing when it is shorter already.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Appends as many of `bytes` as fit and tells how many those were.
    pub fn append(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.capacity() - self.len);
        let start = self.len;
        self.len += taken;
        self[start..].copy_from_slice(&bytes[..taken]);
        taken
    }

    /// Grows the length to the next whole block, the new bytes being zero.
    pub fn pad_to_block(&mut self) {
        let start = self.len;
        self.len = round_up_to_block(start);
        self[start..].fill(0);
    }

    /// Turns the buffer into a shared read-only slice that can go wherever slices of chunks go.
    pub fn freeze(self) -> ChunkSlice {
        ChunkSlice::from_buf(self)
    }

    fn region(&self) -> &Region {
        self.region.as_ref().expect("a buffer has its memory until it is dropped")
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the region is owned by this buffer alone, initialised, and at least `len` bytes long.
        unsafe { std::slice::from_raw_parts(self.region().start().as_ptr(), self.len) }
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`; `&mut self` makes this the only access.
        unsafe { std::slice::from_raw_parts_mut(self.region().start().as_ptr(), self.len) }
    }
}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        if let (Some(region), Some(home)) = (self.region.take(), self.home.take()) {
            home.give_back(region);
        }
    }
}

impl fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AlignedBuf({} of {})", self.len, self.capacity())
    }
}

/// Hands out buffers in powers of two from 4 KiB to 4 MiB and keeps returned ones, so that their pages stay
/// mapped. One per core; a buffer may be dropped on any thread.
#[derive(Clone)]
pub struct BufPool(Arc<Shelf>);

impl BufPool {
    /// A pool that keeps at most `cached_bytes_max` bytes of returned buffers.
    pub fn new(cached_bytes_max: usize) -> BufPool {
        let sizes = (0..=10).map(|shift| BLOCK_BYTES << shift).collect();
        BufPool(Shelf::new(sizes, cached_bytes_max))
    }

    /// A buffer of `len` bytes, whose contents are unspecified.
    pub fn take(&self, len: usize) -> AlignedBuf {
        AlignedBuf { region: Some(self.0.take(len)), len, home: Some(Arc::clone(&self.0)) }
    }

    /// Bytes of all buffers that are in use now.
    pub fn bytes_out(&self) -> usize {
        self.0.bytes_out()
    }

    /// Bytes kept for reuse.
    pub fn bytes_cached(&self) -> usize {
        self.0.bytes_cached()
    }
}

/// One piece of a gathered write. The disk owns it until the kernel is done, also when the future is dropped.
#[derive(Debug)]
pub enum IoPart {
    /// A buffer of the caller's.
    Buf(AlignedBuf),
    /// Published bytes of the tail.
    Chunk(ChunkSlice),
}

impl Deref for IoPart {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            IoPart::Buf(buf) => buf,
            IoPart::Chunk(slice) => slice,
        }
    }
}

impl From<AlignedBuf> for IoPart {
    fn from(buf: AlignedBuf) -> IoPart {
        IoPart::Buf(buf)
    }
}

impl From<ChunkSlice> for IoPart {
    fn from(slice: ChunkSlice) -> IoPart {
        IoPart::Chunk(slice)
    }
}
