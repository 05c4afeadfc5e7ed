//! The kernel's disk: one io_uring per core, driven by that core's thread alone. Every operation is an owned slot
//! that lives until its completion was seen, whatever becomes of the future that waits for it. Never waits by
//! itself: a registered eventfd tells the core's runtime when [`UringDisk::reap`] has work.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

mod call;
mod flight;
mod ring;
mod setup;

use super::error::DiskError;
use super::request::{Answer, Request};
use call::{Call, CallMany};
use ring::Ring;
use setup::Supported;

/// A core's own ring. Clones share it; it never leaves its thread.
#[derive(Clone)]
pub struct UringDisk(Rc<Shared>);

struct Shared {
    ring: RefCell<Ring>,
    event_fd: OwnedFd,
    supported: Supported,
    /// Directories whose file systems refuse direct I/O.
    buffered_below: RefCell<Vec<PathBuf>>,
}

impl UringDisk {
    /// Sets up a ring with room for `entries` submissions at once; more operations queue up behind them. To be
    /// called on the thread that will use it.
    ///
    /// # Errors
    /// Why io_uring cannot be used, in words for an operator.
    pub fn new(entries: u32) -> Result<UringDisk, DiskError> {
        let (ring, event_fd, supported) = setup::set_up(entries)?;
        Ok(UringDisk(Rc::new(Shared {
            ring: RefCell::new(Ring::new(ring)),
            event_fd,
            supported,
            buffered_below: RefCell::default(),
        })))
    }

    /// A blocking eventfd that becomes readable when completions wait. Read its 8 bytes, then [`UringDisk::reap`];
    /// the disk itself never reads it. May be signalled although nothing waits any more. It belongs to the disk:
    /// who needs a descriptor to own and close takes a duplicate.
    pub fn event_fd(&self) -> RawFd {
        self.0.event_fd.as_raw_fd()
    }

    /// Takes in all completions and wakes who waits for them. Never blocks.
    pub fn reap(&self) {
        let mut woken = self.0.ring.borrow_mut().reap();
        woken.drain(..).for_each(Waker::wake);
        self.0.ring.borrow_mut().recycle(woken);
    }

    /// Operations taken in and not completed, those of dropped futures included.
    pub fn in_flight(&self) -> usize {
        self.0.ring.borrow().in_flight()
    }

    /// Waits in the kernel until a completion is there or `timeout` has passed.
    pub(super) fn wait(&self, timeout: Duration) -> io::Result<()> {
        self.0.ring.borrow_mut().wait(timeout)
    }

    pub(super) fn forbid_direct_below(&self, directory: &Path) {
        self.0.buffered_below.borrow_mut().push(directory.to_path_buf());
    }

    pub(super) async fn call(&self, request: Request) -> Answer {
        Call::new(self.clone(), request).await
    }

    pub(super) async fn call_many(&self, requests: Vec<Request>) -> Vec<Answer> {
        CallMany::new(self.clone(), requests).await
    }

    fn direct_allowed(&self, request: &Request) -> bool {
        match request {
            Request::Open { path, .. } => {
                !self.0.buffered_below.borrow().iter().any(|directory| path.starts_with(directory))
            }
            _ => true,
        }
    }
}
