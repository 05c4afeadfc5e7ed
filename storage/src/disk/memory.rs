//! Page-aligned memory regions and the bounded shelves that keep freed ones warm. Used by the buffers of `disk`
//! and by the tail's chunks; any thread may take and return. Never hands one region out twice, never exposes
//! uninitialised bytes.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Alignment of offset, length and memory of every direct operation, in bytes.
pub const BLOCK_BYTES: usize = 4096;

/// `value` rounded up to whole blocks.
pub const fn round_up_to_block(value: usize) -> usize {
    value.next_multiple_of(BLOCK_BYTES)
}

/// `value` rounded down to whole blocks.
pub const fn round_down_to_block(value: usize) -> usize {
    value - value % BLOCK_BYTES
}

/// One owned, block-aligned, always initialised piece of memory.
pub(crate) struct Region {
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: a region owns its memory exclusively and has no ties to the thread that made it.
unsafe impl Send for Region {}
// SAFETY: `&Region` only gives out the address; who may read or write behind it is decided by the owners above.
unsafe impl Sync for Region {}

impl Region {
    /// A zeroed region of `bytes`, a positive multiple of [`BLOCK_BYTES`].
    pub(crate) fn new(bytes: usize) -> Region {
        let layout = Region::layout(bytes);
        // SAFETY: the layout's size is not zero.
        let start = unsafe { alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start) else { handle_alloc_error(layout) };
        Region { start, bytes }
    }

    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    fn layout(bytes: usize) -> Layout {
        assert!(bytes > 0 && bytes.is_multiple_of(BLOCK_BYTES), "regions are whole blocks");
        Layout::from_size_align(bytes, BLOCK_BYTES).expect("sizes are far below isize::MAX")
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with the same layout, freed once.
        unsafe { dealloc(self.start.as_ptr(), Region::layout(self.bytes)) }
    }
}

/// Freed regions of a few fixed sizes, up to a bound of cached bytes.
pub(crate) struct Shelf {
    sizes: Vec<usize>,
    cached_bytes_max: usize,
    free: Mutex<Free>,
    bytes_out: AtomicUsize,
}

struct Free {
    by_size: Vec<Vec<Region>>,
    bytes: usize,
}

impl Shelf {
    /// `sizes` ascending.
    pub(crate) fn new(sizes: Vec<usize>, cached_bytes_max: usize) -> Arc<Shelf> {
        let by_size = sizes.iter().map(|_| Vec::new()).collect();
        Arc::new(Shelf {
            sizes,
            cached_bytes_max,
            free: Mutex::new(Free { by_size, bytes: 0 }),
            bytes_out: AtomicUsize::new(0),
        })
    }

    /// A region of at least `bytes`: the smallest size that fits, or one of its own when none does.
    pub(crate) fn take(&self, bytes: usize) -> Region {
        let class = self.sizes.partition_point(|size| *size < bytes);
        let region = match self.sizes.get(class) {
            Some(size) => self.take_free(class).unwrap_or_else(|| Region::new(*size)),
            None => Region::new(round_up_to_block(bytes.max(1))),
        };
        self.bytes_out.fetch_add(region.bytes(), Ordering::Relaxed);
        region
    }

    /// Takes a region back: kept when there is room, freed otherwise.
    pub(crate) fn give_back(&self, region: Region) {
        self.bytes_out.fetch_sub(region.bytes(), Ordering::Relaxed);
        let Ok(class) = self.sizes.binary_search(&region.bytes()) else { return };
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.bytes + region.bytes() <= self.cached_bytes_max {
            free.bytes += region.bytes();
            free.by_size[class].push(region);
        }
    }

    pub(crate) fn bytes_out(&self) -> usize {
        self.bytes_out.load(Ordering::Relaxed)
    }

    pub(crate) fn bytes_cached(&self) -> usize {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).bytes
    }

    fn take_free(&self, class: usize) -> Option<Region> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let region = free.by_size[class].pop()?;
        free.bytes -= region.bytes();
        Some(region)
    }
}
