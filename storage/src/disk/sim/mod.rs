//! The simulated disk: files and directories in memory, each with what readers see and what is on stable storage.
//! Operations complete in a seeded order; a power cut loses, tears (at 512 bytes) and reorders what was not made
//! durable; faults come by plan. The same seed and the same calls give the same run. Single-threaded.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use slipring_protocol::ids::TimestampMs;

mod content;
mod fault;
pub(super) mod random;
mod run;
mod tree;
mod world;

pub use fault::{Fault, FaultRule};
pub use run::{JoinHandle, Spawner, yield_now};
pub(crate) use world::SimHandle;

use super::request::{Answer, Request};
use super::{DirEntry, DiskFile, Durability, Space};
use random::Random;
use tree::Tree;
use world::World;

/// A simulated machine's disk. Clones share it.
#[derive(Clone)]
pub struct SimDisk(Rc<RefCell<World>>);

/// The kinds of operation, as faults and traces name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OpKind {
    /// Opening a file.
    Open,
    /// Writing, durably or not.
    Write,
    /// Reading.
    Read,
    /// fdatasync of a file.
    Sync,
    /// Allocating space.
    Allocate,
    /// Setting a file's size.
    Truncate,
    /// Creating a directory.
    CreateDir,
    /// Removing a file.
    RemoveFile,
    /// Removing a directory.
    RemoveDir,
    /// Renaming.
    Rename,
    /// Making a directory's entries durable.
    SyncDir,
}

/// One operation as it was issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedOp {
    /// Its number; the first is 0.
    pub op: u64,
    /// What it was.
    pub kind: OpKind,
    /// The file or directory; where to, for a rename.
    pub path: PathBuf,
    /// First byte, where that has a meaning.
    pub offset: u64,
    /// Bytes, where that has a meaning.
    pub len: u64,
    /// Whether it was a durable write.
    pub durable: bool,
}

impl SimDisk {
    /// An empty disk that does direct I/O.
    pub fn new(seed: u64) -> SimDisk {
        SimDisk::of(World::new(Random::new(seed), Tree::new()))
    }

    /// The same disk on a file system that knows no direct I/O.
    #[must_use]
    pub fn without_direct_io(self) -> SimDisk {
        self.0.borrow_mut().direct = false;
        self
    }

    /// Operations issued so far: the number that the next one gets.
    pub fn ops(&self) -> u64 {
        self.0.borrow().ops()
    }

    /// Operations issued and not completed.
    pub fn in_flight(&self) -> usize {
        self.0.borrow().in_flight()
    }

    /// Every operation that was issued while there was power.
    pub fn trace(&self) -> Vec<TracedOp> {
        self.0.borrow().trace.clone()
    }

    /// Adds a fault to the plan.
    pub fn plan(&self, rule: FaultRule) {
        self.0.borrow_mut().rules.push(rule);
    }

    /// Fails operation number `op` with `errno`.
    pub fn fail_at(&self, op: u64, errno: i32) {
        self.plan(FaultRule::at(op, Fault::Errno(errno)));
    }

    /// Drops what is left of the plan.
    pub fn clear_faults(&self) {
        self.0.borrow_mut().rules.clear();
    }

    /// Limits the sizes of all files together; growing beyond fails with ENOSPC. `None`: no limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.0.borrow_mut().capacity_bytes = bytes;
    }

    /// Cuts the power when operation number `op` is issued: it and all later ones are refused and leave no trace,
    /// and those under way may have happened whole, in part or not at all.
    pub fn crash_at(&self, op: u64) {
        self.0.borrow_mut().power_cut_at = Some(op);
    }

    /// Cuts the power now.
    pub fn crash(&self) {
        self.0.borrow_mut().cut_power();
    }

    /// Whether the power is gone.
    pub fn is_crashed(&self) -> bool {
        self.0.borrow().check_power().is_err()
    }

    /// The disk as the next start finds it after a power cut (cut now, if it was not). Each call draws another of
    /// the possible images. Faults, capacity limit and counters do not carry over; the capability of direct I/O
    /// does.
    pub fn reopen(&self) -> SimDisk {
        let mut world = self.0.borrow_mut();
        world.cut_power();
        let mut random = Random::new(world.random.next());
        let tree = world.after_power_cut(&mut random);
        let mut reopened = World::new(random, tree);
        reopened.direct = world.direct;
        SimDisk::of(reopened)
    }

    /// As [`SimDisk::reopen`], but the image depends on `seed` alone.
    pub fn reopen_seeded(&self, seed: u64) -> SimDisk {
        self.0.borrow_mut().random = Random::new(seed);
        self.reopen()
    }

    /// The disk as another process finds it after this one was killed: every operation under way completes, nothing
    /// is lost, and what was not durable still is not. This disk refuses everything from now on.
    pub fn kill(&self) -> SimDisk {
        let mut world = self.0.borrow_mut();
        world.finish_all();
        world.cut_power();
        let seed = world.random.next();
        let mut successor = World::new(Random::new(seed), world.tree.clone());
        successor.direct = world.direct;
        SimDisk::of(successor)
    }

    /// What readers of the file see now, without any operation.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn peek(&self, path: &Path) -> io::Result<Vec<u8>> {
        let world = self.0.borrow();
        let live = world.tree.file(world.tree.find(path)?).live();
        let mut bytes = vec![0; live.len() as usize];
        live.read(0, &mut bytes);
        Ok(bytes)
    }

    /// Changes bytes at rest, as decay of the medium would.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn poke(&self, path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut world = self.0.borrow_mut();
        let node = world.tree.find(path)?;
        world.tree.file_mut(node).poke(offset, bytes);
        Ok(())
    }

    pub(super) fn len(&self, file: &DiskFile) -> io::Result<u64> {
        let world = self.0.borrow();
        world.check_power()?;
        Ok(world.tree.file(world.node(file)?).live().len())
    }

    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let world = self.0.borrow();
        world.check_power()?;
        let entries = world.tree.list(path)?;
        let entry = |(name, node, is_dir)| {
            let len = if is_dir { 0 } else { world.tree.file(node).live().len() };
            DirEntry { name, is_dir, len, modified: TimestampMs(0) }
        };
        Ok(entries.into_iter().map(entry).collect())
    }

    pub(super) fn space(&self, path: &Path) -> io::Result<Space> {
        let mut world = self.0.borrow_mut();
        world.check_power()?;
        world.tree.list(path)?;
        let total = world.capacity_bytes.unwrap_or(SPACE_BYTES);
        let available = total.saturating_sub(world.used_bytes());
        Ok(Space { total, available })
    }

    pub(super) async fn call(&self, request: Request) -> Answer {
        Call { disk: self.clone(), state: State::Fresh(request) }.await
    }

    pub(super) async fn call_many(&self, requests: Vec<Request>) -> Vec<Answer> {
        let calls: Vec<Call> = {
            let mut world = self.0.borrow_mut();
            let mut start = |request| State::Issued(world.start(request));
            requests.into_iter().map(|request| Call { disk: self.clone(), state: start(request) }).collect()
        };
        let mut answers = Vec::with_capacity(calls.len());
        for call in calls {
            answers.push(call.await);
        }
        answers
    }

    fn of(world: World) -> SimDisk {
        SimDisk(Rc::new(RefCell::new(world)))
    }
}

impl TracedOp {
    fn of(op: u64, request: &Request) -> TracedOp {
        let on = |kind, path: &Path, offset, len| TracedOp {
            op,
            kind,
            path: path.to_path_buf(),
            offset,
            len,
            durable: false,
        };
        match request {
            Request::Open { path, .. } => on(OpKind::Open, path, 0, 0),
            Request::Write { file, offset, parts, durability } => {
                let len = parts.iter().map(|part| part.len() as u64).sum();
                let durable = *durability == Durability::Durable;
                TracedOp { durable, ..on(OpKind::Write, file.path(), *offset, len) }
            }
            Request::Read { file, offset, buf } => on(OpKind::Read, file.path(), *offset, buf.len() as u64),
            Request::Sync { file } => on(OpKind::Sync, file.path(), 0, 0),
            Request::Allocate { file, offset, len } => on(OpKind::Allocate, file.path(), *offset, *len),
            Request::Truncate { file, len } => on(OpKind::Truncate, file.path(), 0, *len),
            Request::CreateDir { path } => on(OpKind::CreateDir, path, 0, 0),
            Request::RemoveFile { path } => on(OpKind::RemoveFile, path, 0, 0),
            Request::RemoveDir { path } => on(OpKind::RemoveDir, path, 0, 0),
            Request::Rename { to, .. } => on(OpKind::Rename, to, 0, 0),
            Request::SyncDir { path } => on(OpKind::SyncDir, path, 0, 0),
        }
    }
}

/// A simulated operation: issued at the first poll, goes on when dropped.
struct Call {
    disk: SimDisk,
    state: State,
}

enum State {
    Fresh(Request),
    Issued(u64),
    Over,
}

impl Future for Call {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Answer> {
        let disk = self.disk.clone();
        let mut world = disk.0.borrow_mut();
        let op = match std::mem::replace(&mut self.state, State::Over) {
            State::Fresh(request) => world.start(request),
            State::Issued(op) => op,
            State::Over => panic!("a call is not polled after its answer"),
        };
        match world.poll(op, context.waker()) {
            Some(answer) => Poll::Ready(answer),
            None => {
                self.state = State::Issued(op);
                Poll::Pending
            }
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let State::Issued(op) = self.state {
            self.disk.0.borrow_mut().abandon(op);
        }
    }
}

/// Size of a simulated disk without a limit.
const SPACE_BYTES: u64 = 1 << 40;
