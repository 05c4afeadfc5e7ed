//! The group commit: everything staged becomes durable with one journal write, large runs beside it straight to their
//! segments. One commit is under way at a time, the next gathers meanwhile. All parts are issued together and all must
//! succeed before anything is acknowledged.
//!
//! Order that recovery relies on: a commit is issued only when the one before it is done, so after a crash only the parts
//! of the last one may be incomplete. Ring space is reused only when a durable header or superblock says that nobody needs
//! what stood there.

use std::sync::Arc;

use slipring_protocol::ids::Offset;

use super::gather::{Scope, Taken};
use super::relief::Relief;
use super::{Committed, LogId, State, Store};
use crate::disk::{DiskFile, Durability, IoPart, WriteRequest};
use crate::error::{IoContext, StorageError};
use crate::journal::PendingSuperblock;
use crate::journal::build::{CommitBuilder, Extent, LogHead, commit_bytes_max};
use crate::journal::format::{CommitHeader, Kind, Place};
use crate::journal::ring::Room;
use crate::log::{PART_ESTIMATE, Part, Planned};

/// A deletion to be journaled.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deletion {
    pub(super) log: LogId,
    pub(super) head: LogHead,
    pub(super) order: u64,
    /// Which one, for its caller to find it done.
    pub(super) number: u64,
}

/// What to do next for a commit.
enum Step {
    /// Nothing is staged, or the journal has failed.
    Nothing,
    /// A superblock first.
    Superblock(PendingSuperblock, DiskFile),
    /// The journal is full.
    NeedsRoom,
    /// Issue these writes.
    Issue(Box<InFlight>),
}

/// A commit under way.
struct InFlight {
    sequence: u64,
    oldest: Place,
    durable: bool,
    logs: Vec<Taken>,
    /// The journal holds commits that no flush has covered: this one flushes them too.
    sync_journal: bool,
    /// For each write behind the journal's: whose, which segment, up to where.
    direct: Vec<(LogId, Offset, u64, bool)>,
    writes: Vec<WriteRequest>,
    deletions: usize,
}

impl Store {
    /// One group commit over all logs with staged bytes; waits for a commit that is under way first. Must be awaited to its
    /// end once polled: run it in a task that nobody cancels.
    pub async fn commit(&self) -> Committed {
        self.run_commit(Scope::All).await;
        let outcome = std::mem::take(&mut self.inner.state.borrow_mut().outcome);
        if !outcome.advanced.is_empty() || !outcome.failed.is_empty() {
            self.inner.room.notify();
        }
        outcome
    }

    /// Copies forward what holds the oldest commits, without taking anything new.
    pub(super) async fn commit_carry(&self) {
        self.run_commit(Scope::Carry).await;
    }

    /// A commit whose outcome the next caller of [`Store::commit`] gets.
    pub(super) async fn commit_quietly(&self) {
        self.run_commit(Scope::All).await;
    }

    /// As [`Store::commit_quietly`], unless `done` comes to hold before it is its turn: who waits here must be able to go on
    /// while a commit waits for room.
    pub(super) async fn commit_unless(&self, done: impl Fn() -> bool) {
        if let Some(_pass) = self.inner.committing.enter_unless(done).await {
            self.commit_steps(Scope::All).await;
        }
    }

    async fn run_commit(&self, wanted: Scope) {
        let _pass = self.inner.committing.enter().await;
        self.commit_steps(wanted).await;
    }

    /// The commit itself; the gate is taken.
    async fn commit_steps(&self, wanted: Scope) {
        let mut scope = wanted;
        loop {
            let step = self.inner.state.borrow_mut().next_step(scope);
            match step {
                // What was to be copied forward can go to its file by now.
                Step::Nothing if scope != wanted => scope = wanted,
                Step::Nothing => return,
                Step::Superblock(pending, file) => {
                    let written = self.write_superblock(&pending, &file).await;
                    let mut state = self.inner.state.borrow_mut();
                    match written {
                        Ok(()) => state.journal.superblock_written(&pending),
                        Err(error) => {
                            state.fence_all(&Arc::new(error));
                            return;
                        }
                    }
                }
                Step::NeedsRoom if wanted == Scope::Carry => return,
                Step::NeedsRoom => match self.relieve().await {
                    Relief::Some => scope = wanted,
                    Relief::OnlyCarry if scope == Scope::All => scope = Scope::Carry,
                    Relief::OnlyCarry | Relief::None => return self.give_up_journal(),
                },
                Step::Issue(flight) => {
                    self.execute(*flight).await;
                    if scope == wanted {
                        return;
                    }
                    // A commit that only copied forward may have made room for the one that was asked for.
                    scope = wanted;
                }
            }
        }
    }

    /// A superblock vouches for all commits before it: what was only written is flushed first.
    async fn write_superblock(
        &self,
        pending: &PendingSuperblock,
        file: &DiskFile,
    ) -> Result<(), StorageError> {
        let last = self.inner.state.borrow().journal.ring.last_written();
        if self.inner.state.borrow().journal.synced_through < last {
            self.inner.disk.sync(file).await.context("syncing", file.path())?;
            let mut state = self.inner.state.borrow_mut();
            state.journal.synced_through = state.journal.synced_through.max(last);
        }
        pending.write(&self.inner.disk, file).await
    }

    async fn execute(&self, mut flight: InFlight) {
        let writes = std::mem::take(&mut flight.writes);
        #[cfg(any(test, feature = "sim"))]
        let planted = self.inner.state.borrow().config.planted;
        #[cfg(any(test, feature = "sim"))]
        let writes = match planted {
            Some(super::PlantedBug::AcknowledgeEarly) => make_volatile(writes),
            _ => writes,
        };
        let journal = writes[0].file.clone();
        let written = self.inner.disk.write_many(writes).await;
        let mut results: Vec<_> = written.into_iter().map(|(result, _)| result).collect();
        if flight.sync_journal && results[0].is_ok() {
            results[0] = self.inner.disk.sync(&journal).await;
        }
        self.inner.state.borrow_mut().finish_commit(flight, results);
        self.inner.room.notify();
        self.inner.committing.poke();
        if self.inner.state.borrow().wants_background() {
            self.inner.work.notify();
        }
    }
}

#[cfg(any(test, feature = "sim"))]
fn make_volatile(writes: Vec<WriteRequest>) -> Vec<WriteRequest> {
    writes.into_iter().map(|write| WriteRequest { durability: Durability::Volatile, ..write }).collect()
}

impl State {
    /// Gathers a commit and takes its room, or says what has to happen before.
    fn next_step(&mut self, scope: Scope) -> Step {
        if self.journal.failed.is_some() {
            return Step::Nothing;
        }
        let gathered = self.gather(scope);
        let deletions = match scope {
            Scope::All => self.deletes.len().min(self.journal_bytes_max() / 4 / PART_ESTIMATE),
            Scope::Carry => 0,
        };
        if gathered.taken.is_empty() && deletions == 0 {
            self.put_back(gathered.later);
            return Step::Nothing;
        }
        let fragment_bytes: usize = gathered.taken.iter().map(|taken| taken.planned.fragment_bytes).sum();
        let parts: usize = gathered.taken.iter().map(|taken| taken.planned.parts.len()).sum();
        let size = Size { fragment_bytes, descriptors: parts + deletions };
        let reserve = match scope {
            Scope::All => self.carry_reserve(),
            Scope::Carry => 0,
        };
        let step = match self.journal.ring.room(size.bytes_max() as u64, reserve) {
            Room::At(position) => {
                self.put_back(gathered.later);
                let flight = self.build(gathered.taken, deletions, scope, size, position);
                return Step::Issue(Box::new(flight));
            }
            Room::NextLap => Step::Superblock(self.journal.open_next_lap(), self.journal.file.clone()),
            Room::RecordFirst => Step::Superblock(self.journal.record_oldest(), self.journal.file.clone()),
            Room::Full => Step::NeedsRoom,
        };
        let taken = gathered.taken.into_iter().map(|taken| (taken.id, taken.source));
        let all: Vec<_> = taken.chain(gathered.again).chain(gathered.later).collect();
        self.put_back(all);
        step
    }

    /// Builds the commit's writes and takes its room at `position`.
    fn build(
        &mut self,
        logs: Vec<Taken>,
        deletions: usize,
        scope: Scope,
        size: Size,
        position: u64,
    ) -> InFlight {
        let mut builder = CommitBuilder::new(&self.bufs, size.fragment_bytes, size.descriptors);
        let mut writes = Vec::with_capacity(1);
        let mut direct = Vec::new();
        let mut durable = deletions > 0;
        for Taken { id, planned, flushed, .. } in &logs {
            let log = self.logs.get_mut(*id).expect("gathered logs are there");
            durable |= flushed;
            for (segment, to, request) in describe(log, planned, *flushed, &mut builder) {
                direct.push((*id, segment, to, *flushed));
                writes.push(request);
            }
            log.take(planned);
            self.staged -= planned.uncommitted;
            let more = log.uncommitted > 0 && log.fence.is_none() && !log.deleting;
            if more && !(log.queued && scope == Scope::Carry) {
                self.dirty.push_back(*id);
            }
            log.queued = more;
        }
        for deletion in &self.deletes[..deletions] {
            // Behind whatever was copied forward of the log since.
            let order = self.logs.get(deletion.log).map_or(deletion.order, |log| log.order);
            let nothing = extent(order, Offset(0), 0, Offset(0), Offset(0));
            builder.describe(deletion.head, nothing, Kind::Delete);
        }
        let pins = (logs.len() + deletions) as u32;
        let (buf, sequence, oldest) = self.seal(builder, position, pins, durable);
        let journal = WriteRequest {
            file: self.journal.file.clone(),
            offset: position,
            parts: vec![IoPart::Buf(buf)],
            durability: if durable { Durability::Durable } else { Durability::Volatile },
        };
        writes.insert(0, journal);
        let sync_journal = durable && self.journal.synced_through + 1 < sequence;
        InFlight { sequence, oldest, durable, logs, sync_journal, direct, writes, deletions }
    }

    fn seal(
        &mut self,
        builder: CommitBuilder,
        position: u64,
        pins: u32,
        durable: bool,
    ) -> (crate::disk::AlignedBuf, u64, Place) {
        let journal = &mut self.journal;
        let (id, lap, synced_through) = (journal.id, journal.ring.lap(), journal.synced_through);
        let ring = &mut journal.ring;
        let mut begun = (0, Place { sequence: 0, position: 0 });
        let buf = builder.seal(|length| {
            let sequence = ring.begin(position, length, pins);
            let oldest = ring.oldest();
            begun = (sequence, oldest);
            CommitHeader {
                journal: id,
                sequence,
                lap,
                length,
                oldest,
                synced_through,
                descriptors_at: 0,
                descriptors_length: 0,
                durable,
            }
        });
        (buf, begun.0, begun.1)
    }

    /// All writes of the commit have come back.
    fn finish_commit(&mut self, flight: InFlight, results: Vec<std::io::Result<()>>) {
        let mut results = results.into_iter();
        let journal = results.next().expect("the journal write is the first");
        if let Err(error) = journal {
            let path = self.journal.file.path().to_path_buf();
            self.fence_all(&Arc::new(StorageError::io("writing", &path, error)));
            return;
        }
        // What a header that may be lost says frees nothing.
        self.journal.ring.finish(flight.sequence, flight.durable.then_some(flight.oldest));
        if flight.durable {
            self.journal.synced_through = flight.sequence;
        } else {
            self.flush_wanted = true;
        }
        for ((id, segment, to, durable), result) in flight.direct.into_iter().zip(results) {
            match (result, self.logs.get_mut(id)) {
                (_, None) => {}
                (Ok(()), Some(log)) => log.blocks_written(segment, to, durable),
                (Err(error), Some(log)) => {
                    let cause = StorageError::io("writing", &log.directory, error);
                    self.fence(id, cause);
                }
            }
        }
        for taken in &flight.logs {
            self.finish_log(taken, flight.sequence);
        }
        let sequence = flight.sequence;
        self.deleted
            .extend(self.deletes.drain(..flight.deletions).map(|deletion| (deletion.number, sequence)));
    }

    fn finish_log(&mut self, taken: &Taken, sequence: u64) {
        let (id, write_back_bytes) = (taken.id, self.config.write_back_bytes);
        let Some(log) = self.logs.get_mut(id) else {
            self.journal.ring.unpin(sequence);
            return;
        };
        if log.committed(&taken.planned, sequence, taken.flushed) {
            let end = log.acknowledged().offset;
            self.outcome.advanced.push((id, end));
        }
        self.flush_wanted |= log.written.offset > log.durable.offset;
        if log.allocation_due().is_some() && !log.allocation_queued {
            log.allocation_queued = true;
            self.allocate.push_back(id);
        }
        if log.unwritten() >= write_back_bytes && !log.write_back_queued {
            log.write_back_queued = true;
            self.write_back.push_back(id);
        }
        self.release_pins(id);
    }
}

/// What a commit will hold.
#[derive(Clone, Copy)]
struct Size {
    fragment_bytes: usize,
    descriptors: usize,
}

impl Size {
    fn bytes_max(self) -> usize {
        commit_bytes_max(self.fragment_bytes, self.descriptors)
    }
}

/// Writes a log's descriptors and fragments into the commit; gives its direct writes.
fn describe(
    log: &crate::log::Log,
    planned: &Planned,
    durable: bool,
    builder: &mut CommitBuilder,
) -> Vec<(Offset, u64, WriteRequest)> {
    let epoch = log.epochs.latest().map_or(-1, |entry| entry.epoch.0);
    let promise = !log.needs_flush() && (durable || planned.direct_bytes == 0);
    let head = LogHead { key: log.key(), leader_epoch: epoch, promise };
    let mut direct = Vec::new();
    for (order, part) in (log.order..).zip(&planned.parts) {
        match part {
            Part::Fragment { segment, from, to, base_offset, end_offset } => {
                let extent = extent(order, *segment, *from, *base_offset, *end_offset);
                let mut fragment = builder.begin_fragment();
                if from < to {
                    let tail = &log.segments[log.index_of(*segment)].tail;
                    tail.for_each(*from..*to, |slice| builder.push(&mut fragment, &slice));
                }
                builder.end_fragment(head, extent, &fragment);
            }
            Part::Direct { segment, from, to, base_offset, end_offset, file } => {
                let extent = extent(order, *segment, *from, *base_offset, *end_offset);
                builder.describe(head, extent, Kind::Direct { length: to - from });
                let tail = &log.segments[log.index_of(*segment)].tail;
                let parts = tail.slices(*from..*to).into_iter().map(IoPart::Chunk).collect();
                let durability = if durable { Durability::Durable } else { Durability::Volatile };
                let request = WriteRequest { file: file.clone(), offset: *from, parts, durability };
                direct.push((*segment, *to, request));
            }
        }
    }
    direct
}

fn extent(order: u64, segment: Offset, from: u64, base_offset: Offset, end_offset: Offset) -> Extent {
    Extent { order, segment, from, base_offset, end_offset }
}
