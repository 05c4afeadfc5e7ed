//! Open files: reference-counted handles that any core's disk may read through. The last drop closes the file.

use std::fmt;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// An open file. Clones share one descriptor; the last drop closes it.
#[derive(Clone)]
pub struct DiskFile(Arc<Inner>);

struct Inner {
    handle: Handle,
    path: PathBuf,
    direct: bool,
    writable: bool,
    generation: u64,
}

/// What stands behind an open file.
pub(crate) enum Handle {
    /// A descriptor of the operating system.
    Os(OwnedFd),
    /// A file of a simulated disk.
    #[cfg(any(test, feature = "sim"))]
    Sim(super::sim::SimHandle),
}

static GENERATIONS: AtomicU64 = AtomicU64::new(1);

impl DiskFile {
    pub(crate) fn new(handle: Handle, path: &Path, direct: bool, writable: bool) -> DiskFile {
        let generation = GENERATIONS.fetch_add(1, Ordering::Relaxed);
        DiskFile(Arc::new(Inner { handle, path: path.to_path_buf(), direct, writable, generation }))
    }

    /// The path that the file was opened under. For messages: the file may have been renamed since.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Whether operations bypass the page cache; then offsets, lengths and memory must be multiples of 4096.
    pub fn is_direct(&self) -> bool {
        self.0.direct
    }

    /// Whether the file was opened for writing.
    pub fn is_writable(&self) -> bool {
        self.0.writable
    }

    /// A number that no other opening in this process has, so that a stale handle is told from a fresh one.
    pub fn generation(&self) -> u64 {
        self.0.generation
    }

    /// The operating system's descriptor; `None` for a simulated file.
    pub fn raw_fd(&self) -> Option<RawFd> {
        match &self.0.handle {
            Handle::Os(fd) => Some(fd.as_raw_fd()),
            #[cfg(any(test, feature = "sim"))]
            Handle::Sim(_) => None,
        }
    }

    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn simulated(&self) -> Option<&super::sim::SimHandle> {
        match &self.0.handle {
            Handle::Os(_) => None,
            Handle::Sim(handle) => Some(handle),
        }
    }
}

impl fmt::Debug for DiskFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DiskFile({}#{})", self.0.path.display(), self.0.generation)
    }
}
