//! The simulated machine: its files, the operations under way, the faults to come, and the moment its power goes.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::Waker;

use super::TracedOp;
use super::fault::{Fault, FaultRule};
use super::random::Random;
use super::tree::{Node, Tree, errno};
use crate::disk::file::Handle;
use crate::disk::request::{Answer, Outcome, Request};
use crate::disk::{DiskFile, Durability};

pub(super) struct World {
    pub(super) random: Random,
    pub(super) tree: Tree,
    pub(super) direct: bool,
    pub(super) capacity_bytes: Option<u64>,
    pub(super) rules: Vec<FaultRule>,
    pub(super) trace: Vec<TracedOp>,
    pub(super) power_cut_at: Option<u64>,
    id: u64,
    ops: u64,
    power_is_off: bool,
    under_way: BTreeMap<u64, Pending>,
    /// Writes and the like that were under way when the power went: each happened whole, in part or not at all.
    cut_short: Vec<Request>,
    answered: BTreeMap<u64, Answer>,
    abandoned: BTreeSet<u64>,
    open: Vec<(Node, Weak<()>)>,
}

struct Pending {
    request: Request,
    fault: Option<Fault>,
    waker: Option<Waker>,
}

/// An open simulated file.
pub(crate) struct SimHandle {
    world: u64,
    node: Node,
    _open: Arc<()>,
}

static WORLDS: AtomicU64 = AtomicU64::new(1);

impl World {
    pub(super) fn new(random: Random, tree: Tree) -> World {
        World {
            random,
            tree,
            direct: true,
            capacity_bytes: None,
            rules: Vec::new(),
            trace: Vec::new(),
            power_cut_at: None,
            id: WORLDS.fetch_add(1, Ordering::Relaxed),
            ops: 0,
            power_is_off: false,
            under_way: BTreeMap::new(),
            cut_short: Vec::new(),
            answered: BTreeMap::new(),
            abandoned: BTreeSet::new(),
            open: Vec::new(),
        }
    }

    pub(super) fn ops(&self) -> u64 {
        self.ops
    }

    pub(super) fn in_flight(&self) -> usize {
        self.under_way.len()
    }

    pub(super) fn check_power(&self) -> io::Result<()> {
        if self.power_is_off { Err(io::Error::other(POWER_IS_OFF)) } else { Ok(()) }
    }

    /// The file behind a handle of this world.
    pub(super) fn node(&self, file: &DiskFile) -> io::Result<Node> {
        match file.simulated() {
            Some(handle) if handle.world == self.id => Ok(handle.node),
            _ => Err(errno(libc::EBADF)),
        }
    }

    /// Takes an operation in; its answer comes when a step picks it.
    pub(super) fn start(&mut self, request: Request) -> u64 {
        let op = self.ops;
        self.ops += 1;
        if self.power_cut_at.is_some_and(|at| op >= at) {
            self.cut_power();
        }
        if let Err(error) = self.check_power().and_then(|()| request.check()) {
            self.answered.insert(op, (Err(error), request));
            return op;
        }
        let traced = TracedOp::of(op, &request);
        let fault = self.rules.iter_mut().find_map(|rule| rule.befalls(op, traced.kind, &traced.path));
        self.trace.push(traced);
        self.under_way.insert(op, Pending { request, fault, waker: None });
        op
    }

    pub(super) fn poll(&mut self, op: u64, waker: &Waker) -> Option<Answer> {
        if let Some(pending) = self.under_way.get_mut(&op) {
            pending.waker = Some(waker.clone());
            return None;
        }
        Some(self.answered.remove(&op).expect("an operation is under way or answered until it was polled"))
    }

    /// Nobody waits for the operation any more; it goes on all the same.
    pub(super) fn abandon(&mut self, op: u64) {
        if self.answered.remove(&op).is_none() {
            self.abandoned.insert(op);
        }
    }

    /// Completes one operation of those under way, picked by chance; `None` when there is none. The waker is the
    /// caller's to wake.
    pub(super) fn step(&mut self) -> Option<Option<Waker>> {
        if self.under_way.is_empty() {
            return None;
        }
        let pick = self.random.below(self.under_way.len());
        let op = *self.under_way.keys().nth(pick).expect("the pick is below the count");
        let Pending { mut request, fault, waker } = self.under_way.remove(&op).expect("just found");
        let result = self.apply(&mut request, fault);
        self.answer(op, (result, request));
        Some(waker)
    }

    /// From now on nothing happens any more and everything fails.
    pub(super) fn cut_power(&mut self) {
        if self.power_is_off {
            return;
        }
        self.power_is_off = true;
        for (op, pending) in std::mem::take(&mut self.under_way) {
            let Pending { request, waker, .. } = pending;
            self.cut_short.extend(changing(&request));
            self.answer(op, (Err(io::Error::other(POWER_IS_OFF)), request));
            waker.into_iter().for_each(Waker::wake);
        }
    }

    /// What the next start finds on the disk.
    pub(super) fn after_power_cut(&self, random: &mut Random) -> Tree {
        let mut scratch = World::new(random.clone(), self.tree.clone());
        scratch.id = self.id;
        let mut requests: Vec<Request> = self.cut_short.iter().filter_map(changing).collect();
        while !requests.is_empty() {
            let mut request = requests.swap_remove(random.below(requests.len()));
            if let Request::Write { durability, .. } = &mut request {
                *durability = Durability::Volatile;
            }
            if random.percent(75) {
                drop(scratch.apply(&mut request, None));
            }
        }
        scratch.tree.after_power_cut(random)
    }

    /// Completes everything, as the kernel does for a killed process.
    pub(super) fn finish_all(&mut self) {
        while self.step().is_some() {}
    }

    pub(super) fn apply(&mut self, request: &mut Request, fault: Option<Fault>) -> io::Result<Outcome> {
        if let Some(Fault::Errno(number)) = fault {
            self.fail(request);
            return Err(errno(number));
        }
        let done = |()| Outcome::Done;
        match request {
            Request::Open { path, options } => {
                let node = self.tree.open(path, options.create)?;
                Ok(Outcome::Opened(self.handle(node, path, options.direct, options.write)))
            }
            Request::Write { file, offset, parts, durability } => {
                let node = self.node(file)?;
                let data: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
                self.reserve(node, *offset + data.len() as u64)?;
                match durability {
                    Durability::Volatile => self.tree.file_mut(node).write(*offset, &data),
                    Durability::Durable => self.tree.file_mut(node).write_durably(*offset, &data),
                }
                Ok(Outcome::Done)
            }
            Request::Read { file, offset, buf } => {
                let node = self.node(file)?;
                let read = self.tree.file(node).live().read(*offset, buf);
                Ok(Outcome::Bytes(spoil(&mut buf[..read], fault)))
            }
            Request::Sync { file } => {
                let node = self.node(file)?;
                self.tree.file_mut(node).sync();
                Ok(Outcome::Done)
            }
            Request::Allocate { file, offset, len } => {
                let node = self.node(file)?;
                self.reserve(node, *offset + *len)?;
                self.tree.file_mut(node).grow_to(*offset + *len);
                Ok(Outcome::Done)
            }
            Request::Truncate { file, len } => {
                let node = self.node(file)?;
                self.tree.file_mut(node).resize(*len);
                Ok(Outcome::Done)
            }
            Request::CreateDir { path } => self.tree.create_dir(path).map(done),
            Request::RemoveFile { path } => self.tree.remove_file(path).map(done),
            Request::RemoveDir { path } => self.tree.remove_dir(path).map(done),
            Request::Rename { from, to } => self.tree.rename(from, to).map(done),
            Request::SyncDir { path } => self.tree.sync_dir(path).map(done),
        }
    }

    pub(super) fn used_bytes(&mut self) -> u64 {
        self.open.retain(|(_, open)| open.strong_count() > 0);
        let open = self.open.iter().map(|(node, _)| *node).collect();
        self.tree.forget_unused(&open);
        self.tree.bytes()
    }

    /// What a failing operation does all the same.
    fn fail(&mut self, request: &Request) {
        match request {
            Request::Write { file, offset, parts, .. } => {
                let data: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
                if let Ok(node) = self.node(file) {
                    self.tree.file_mut(node).write_torn(*offset, &data, &mut self.random);
                }
            }
            Request::Sync { file } => {
                if let Ok(node) = self.node(file) {
                    self.tree.file_mut(node).sync_failed(&mut self.random);
                }
            }
            _ => {}
        }
    }

    /// ENOSPC when the file cannot grow to `end`.
    fn reserve(&mut self, node: Node, end: u64) -> io::Result<()> {
        let Some(capacity) = self.capacity_bytes else { return Ok(()) };
        let growth = end.saturating_sub(self.tree.file(node).live().len());
        if growth > 0 && self.used_bytes() + growth > capacity {
            return Err(errno(libc::ENOSPC));
        }
        Ok(())
    }

    fn handle(&mut self, node: Node, path: &Path, direct: bool, write: bool) -> DiskFile {
        let open = Arc::new(());
        self.open.push((node, Arc::downgrade(&open)));
        let handle = Handle::Sim(SimHandle { world: self.id, node, _open: open });
        DiskFile::new(handle, path, direct && self.direct, write)
    }

    fn answer(&mut self, op: u64, answer: Answer) {
        if !self.abandoned.remove(&op) {
            self.answered.insert(op, answer);
        }
    }
}

/// A copy of a request that changes the disk; `None` for the others.
fn changing(request: &Request) -> Option<Request> {
    match request {
        Request::Write { file, offset, parts, durability } => {
            let parts = parts.iter().map(|part| crate::disk::AlignedBuf::copy_of(part).into()).collect();
            Some(Request::Write { file: file.clone(), offset: *offset, parts, durability: *durability })
        }
        Request::Open { path, options } if options.create => {
            Some(Request::Open { path: path.clone(), options: *options })
        }
        Request::Allocate { file, offset, len } => {
            Some(Request::Allocate { file: file.clone(), offset: *offset, len: *len })
        }
        Request::Truncate { file, len } => Some(Request::Truncate { file: file.clone(), len: *len }),
        Request::CreateDir { path } => Some(Request::CreateDir { path: path.clone() }),
        Request::RemoveFile { path } => Some(Request::RemoveFile { path: path.clone() }),
        Request::RemoveDir { path } => Some(Request::RemoveDir { path: path.clone() }),
        Request::Rename { from, to } => Some(Request::Rename { from: from.clone(), to: to.clone() }),
        Request::Open { .. } | Request::Read { .. } | Request::Sync { .. } | Request::SyncDir { .. } => None,
    }
}

fn spoil(read: &mut [u8], fault: Option<Fault>) -> usize {
    match fault {
        Some(Fault::ShortRead(most)) => read.len().min(most),
        Some(Fault::FlipBit { byte, bit }) if !read.is_empty() => {
            let at = byte % read.len();
            read[at] ^= 1 << (bit % 8);
            read.len()
        }
        Some(Fault::FlipBit { .. } | Fault::Errno(_)) | None => read.len(),
    }
}

const POWER_IS_OFF: &str = "the simulated machine has lost its power";
