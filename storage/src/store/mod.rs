//! One core's logs of one data directory: appends, group commits, reads, background work. Lives on its core (`Rc` inside)
//! and knows nothing of requests; other cores only read the ranges it hands out. No borrow of its state is held over an
//! await: methods take what they need, wait, and look again.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use slipring_protocol::ids::{LeaderEpoch, Offset, TimestampMs, TopicIdPartition};

use crate::chunk::ChunkPool;
use crate::directory::DataDirectory;
use crate::disk::{BufPool, Disk};
use crate::error::{AppendError, ReadError, StorageError};
use crate::journal::{Journal, journal_path};
use crate::limits;
use crate::log::{Append, Appended, Log, LogBounds, LogConfig};
use crate::read::{ReadPlan, ReadRange};

mod background;
mod close;
mod commit;
mod files;
mod finish;
mod gather;
mod logs;
mod lookup;
mod reads;
mod relief;
mod removals;
mod retain;
mod signal;
mod slots;
mod tail_target;
mod usage;

pub use logs::{LogOpenReport, NewLog};
pub use lookup::TimestampedOffset;
pub use reads::Planned;
pub use retain::DeleteRecordsError;
pub use slots::LogId;
pub use usage::StoreUsage;

use signal::{Gate, Signal};
use slots::Slots;
use tail_target::TailTarget;

/// How a core's store behaves.
#[derive(Clone, Copy, Debug)]
pub struct StoreConfig {
    /// Size of the journal once it is prewritten.
    pub journal_bytes: u64,
    /// Staged bytes of one log from which a commit writes them straight to the segment.
    pub direct_switch_bytes: usize,
    /// Journaled blocks of one log from which they are written back before the journal needs it, in bytes.
    pub write_back_bytes: u64,
    /// Budget of the tail's chunks. Undurable bytes are kept whatever it is.
    pub tail_bytes: usize,
    /// Staged and uncommitted bytes from which appends are told to wait.
    pub staged_bytes_max: usize,
    /// Segment descriptors kept open.
    pub open_files_max: usize,
    /// Memory for index files that reads asked for.
    pub index_cache_bytes: usize,
    /// `producer.id.expiration.ms`.
    pub producer_id_expiration_ms: i64,
    /// A bug to plant, so that tests can show that they would find it.
    #[cfg(any(test, feature = "sim"))]
    pub planted: Option<PlantedBug>,
}

/// Bugs that the crash tests must find.
#[cfg(any(test, feature = "sim"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlantedBug {
    /// Commits are acknowledged without being durable.
    AcknowledgeEarly,
    /// Journal space counts as free when its write-back is done, not when it is durable.
    FreeEarly,
    /// Retention removes files before the new log start is durable.
    DeleteEarly,
}

impl Default for StoreConfig {
    fn default() -> StoreConfig {
        StoreConfig {
            journal_bytes: limits::JOURNAL_BYTES_DEFAULT,
            direct_switch_bytes: limits::DIRECT_SWITCH_BYTES,
            write_back_bytes: limits::WRITE_BACK_BYTES,
            tail_bytes: limits::TAIL_BYTES_DEFAULT,
            staged_bytes_max: limits::STAGED_BYTES_MAX,
            open_files_max: limits::OPEN_FILES_DEFAULT,
            index_cache_bytes: limits::INDEX_CACHE_BYTES_DEFAULT,
            producer_id_expiration_ms: 86_400_000,
            #[cfg(any(test, feature = "sim"))]
            planted: None,
        }
    }
}

/// What a commit brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Logs whose acknowledged end moved, and to where.
    pub advanced: Vec<(LogId, Offset)>,
    /// Logs that were fenced meanwhile: nothing more of them will ever be acknowledged.
    pub failed: Vec<LogId>,
}

/// One core's logs of one data directory.
#[derive(Clone)]
pub struct Store {
    inner: Rc<Inner>,
}

struct Inner {
    disk: Disk,
    directory: Arc<DataDirectory>,
    core: u32,
    state: RefCell<State>,
    /// One commit at a time.
    committing: Gate,
    /// One background step at a time.
    stepping: Gate,
    /// One at a time makes the journal larger.
    growing: Gate,
    /// Room in the journal or in memory.
    room: Signal,
    /// Something for the background to do soon.
    work: Signal,
}

/// What a store remembers.
struct State {
    config: StoreConfig,
    logs: Slots,
    by_id: BTreeMap<TopicIdPartition, LogId>,
    journal: Journal,
    chunks: ChunkPool,
    bufs: BufPool,
    /// Logs with staged bytes, in the order in which they got them.
    dirty: VecDeque<LogId>,
    /// Appended bytes that no commit has taken.
    staged: usize,
    /// Bytes of chunks held by tails.
    tail_bytes: usize,
    /// Bytes of chunks that tails may keep.
    tail_target: TailTarget,
    /// Logs by the oldest commit they need, as last looked at.
    pin_order: BTreeSet<(u64, LogId)>,
    /// Logs to copy forward in the next commit.
    carry: VecDeque<LogId>,
    /// Logs with much to write back.
    write_back: VecDeque<LogId>,
    /// Logs that need blocks ahead.
    allocate: VecDeque<LogId>,
    /// Segments whose file has to be made or opened.
    files_due: VecDeque<(LogId, Offset)>,
    /// Logs with sealed segments to finish.
    finish: VecDeque<LogId>,
    /// Chunks in the order of their taking, for eviction.
    chunk_owners: VecDeque<(LogId, u64)>,
    /// Logs whose staged bytes wait for their segment's file.
    waiting_for_file: Vec<LogId>,
    /// Deletions to be journaled, and those that are: their number and the commit.
    deletes: Vec<commit::Deletion>,
    deleted: Vec<(u64, u64)>,
    /// Directories of deleted logs being renamed: until then their deletions must stay in the journal.
    renaming: usize,
    /// Logs that need commits up to here are being copied forward; a log whose pins are all younger was.
    carry_round: u64,
    /// Numbers given to deletions.
    numbers: u64,
    /// Index files loaded on demand, the longest loaded first.
    cold_loaded: VecDeque<(LogId, Offset)>,
    /// Directories of deleted logs, to be removed.
    removals: VecDeque<PathBuf>,
    /// The one that is being removed.
    removing: Option<removals::Removing>,
    /// Logs that retention has yet to look at, and the wall clock it goes by.
    retention: VecDeque<LogId>,
    retention_now: TimestampMs,
    /// Until the last of them has been dealt with.
    retaining: bool,
    /// Renamed files by when to unlink them.
    doomed: BTreeMap<(u64, u64), retain::Doomed>,
    /// What commits brought that the caller of [`Store::commit`] has not seen yet.
    outcome: Committed,
    open_files: usize,
    cold_bytes: usize,
    checkpoint_due: bool,
    checkpoint_at_ms: u64,
    flush_since_ms: Option<u64>,
    flush_wanted: bool,
    /// Only a flush lets the journal move on.
    flush_urgent: bool,
    /// Logs on their way into this store.
    opening: usize,
    closed: bool,
}

impl Store {
    /// Opens a core's store: prepares its journal for a new run. `recover_directory` has run for the directory.
    ///
    /// # Errors
    /// When the journal cannot be made or written, or was not replayed.
    pub async fn open(
        disk: Disk,
        directory: Arc<DataDirectory>,
        core: u32,
        config: StoreConfig,
    ) -> Result<Store, StorageError> {
        directory.clear_clean(&disk).await.map_err(|error| StorageError::BadFile {
            path: directory.path().to_path_buf(),
            reason: error.to_string(),
        })?;
        let path = journal_path(directory.path(), core);
        let bytes = config.journal_bytes.max(limits::journal_bytes_for(1));
        let journal = Journal::open(&disk, &path, bytes).await?;
        let state = State {
            config,
            logs: Slots::default(),
            by_id: BTreeMap::new(),
            journal,
            chunks: ChunkPool::new(config.tail_bytes / 4),
            bufs: BufPool::new(BUF_CACHE_BYTES),
            dirty: VecDeque::new(),
            staged: 0,
            tail_bytes: 0,
            tail_target: TailTarget::new(config.tail_bytes),
            pin_order: BTreeSet::new(),
            carry: VecDeque::new(),
            write_back: VecDeque::new(),
            allocate: VecDeque::new(),
            files_due: VecDeque::new(),
            finish: VecDeque::new(),
            chunk_owners: VecDeque::new(),
            waiting_for_file: Vec::new(),
            deletes: Vec::new(),
            deleted: Vec::new(),
            renaming: 0,
            carry_round: 0,
            numbers: 0,
            cold_loaded: VecDeque::new(),
            removals: VecDeque::new(),
            removing: None,
            retention: VecDeque::new(),
            retention_now: TimestampMs(0),
            retaining: false,
            doomed: BTreeMap::new(),
            outcome: Committed::default(),
            open_files: 0,
            cold_bytes: 0,
            checkpoint_due: false,
            checkpoint_at_ms: 0,
            flush_since_ms: None,
            flush_wanted: false,
            flush_urgent: false,
            opening: 0,
            closed: false,
        };
        let inner = Inner {
            disk,
            directory,
            core,
            state: RefCell::new(state),
            committing: Gate::default(),
            stepping: Gate::default(),
            growing: Gate::default(),
            room: Signal::default(),
            work: Signal::default(),
        };
        Ok(Store { inner: Rc::new(inner) })
    }

    /// Number of the core, as in the journal's name.
    #[must_use]
    pub fn core(&self) -> u32 {
        self.inner.core
    }

    /// Checks a batch and stages it in the log's tail: one copy, patched with its offset and epoch. Nothing is promised
    /// until a commit has moved the log's `acknowledged_end` beyond the batch.
    ///
    /// # Errors
    /// See [`AppendError`]; nothing changed then. [`AppendError::Busy`]: wait for [`Store::wait_for_room`].
    pub fn append(&self, id: LogId, append: &Append<'_>) -> Result<Appended, AppendError> {
        let mut state = self.inner.state.borrow_mut();
        let state = &mut *state;
        if state.closed {
            return Err(AppendError::NoSuchLog);
        }
        if state.is_full() {
            self.inner.work.notify();
            return Err(AppendError::Busy);
        }
        let log = state.logs.get_mut(id).filter(|log| !log.deleting).ok_or(AppendError::NoSuchLog)?;
        let (appended, staged) = log.append(&state.chunks, append)?;
        if staged.bytes > 0 && !log.queued {
            log.queued = true;
            state.dirty.push_back(id);
        }
        state.staged += staged.bytes;
        if staged.chunk_bytes > 0 {
            state.tail_bytes += staged.chunk_bytes;
            state.chunk_owners.push_back((id, log.appends));
        }
        if staged.rolled {
            state.files_due.push_back((id, log.active().base));
            state.finish.push_back(id);
            self.inner.work.notify();
        }
        if state.tail_bytes > state.tail_target.bytes() {
            self.inner.work.notify();
        }
        Ok(appended)
    }

    /// The log's offsets.
    ///
    /// # Errors
    /// [`StorageError::NoSuchLog`].
    pub fn bounds(&self, id: LogId) -> Result<LogBounds, StorageError> {
        self.with(id, |log| log.bounds())
    }

    /// Why the log is fenced, if it is.
    #[must_use]
    pub fn fence_of(&self, id: LogId) -> Option<Arc<StorageError>> {
        self.inner.state.borrow().logs.get(id).and_then(|log| log.fence.clone())
    }

    /// Why all logs of this store are fenced: its journal failed.
    #[must_use]
    pub fn failure(&self) -> Option<Arc<StorageError>> {
        self.inner.state.borrow().journal.failed.clone()
    }

    /// Fences every log: another core's journal in the same directory failed.
    pub fn fence_all(&self, cause: &Arc<StorageError>) {
        self.inner.state.borrow_mut().fence_all(cause);
        self.inner.room.notify();
    }

    /// The log of a partition.
    #[must_use]
    pub fn find(&self, id: TopicIdPartition) -> Option<LogId> {
        self.inner.state.borrow().by_id.get(&id).copied()
    }

    /// All logs.
    #[must_use]
    pub fn logs(&self) -> Vec<(LogId, TopicIdPartition)> {
        self.inner.state.borrow().by_id.iter().map(|(id, log)| (*log, *id)).collect()
    }

    /// New configuration, in force from the next append on.
    pub fn set_config(&self, id: LogId, config: LogConfig) {
        if let Some(log) = self.inner.state.borrow_mut().logs.get_mut(id) {
            log.config = config;
        }
    }

    /// A new leader epoch begins at the log's end.
    pub fn set_leader_epoch(&self, id: LogId, epoch: LeaderEpoch) {
        let mut state = self.inner.state.borrow_mut();
        if let Some(log) = state.logs.get_mut(id) {
            log.set_leader_epoch(epoch);
            state.checkpoint_due = true;
        }
    }

    /// Replication sets the high watermark from now on; it never shows what is not acknowledged here.
    pub fn set_high_watermark(&self, id: LogId, offset: Offset) {
        if let Some(log) = self.inner.state.borrow_mut().logs.get_mut(id) {
            log.set_high_watermark(offset);
        }
    }

    /// A single replica (the default): the high watermark follows what is acknowledged.
    pub fn follow_acknowledged(&self, id: LogId) {
        if let Some(log) = self.inner.state.borrow_mut().logs.get_mut(id) {
            log.follow_acknowledged();
        }
    }

    /// Whether a commit would do something, or has something to tell.
    #[must_use]
    pub fn has_staged(&self) -> bool {
        let state = self.inner.state.borrow();
        !state.dirty.is_empty() || !state.outcome.advanced.is_empty() || !state.outcome.failed.is_empty()
    }

    /// Appended bytes that no commit has taken.
    #[must_use]
    pub fn staged_bytes(&self) -> usize {
        self.inner.state.borrow().staged
    }

    /// Resolves when appends have room again (or the store is closed, or failed).
    pub async fn wait_for_room(&self) {
        self.inner.room.wait_until(|| !self.inner.state.borrow().is_full()).await;
    }

    /// Resolves when [`Store::background`] should be called before the time it gave.
    pub async fn background_wanted(&self) {
        self.inner.work.wait().await;
    }

    /// Plans a read, loading what it needs (index files, a descriptor) first. See [`Store::try_plan_read`].
    ///
    /// # Errors
    /// See [`ReadError`].
    pub async fn plan_read(&self, id: LogId, range: ReadRange) -> Result<ReadPlan, ReadError> {
        self.plan_read_loading(id, range).await
    }

    /// Pool for the buffers of [`crate::read::read_range`] on this core.
    #[must_use]
    pub fn buf_pool(&self) -> BufPool {
        self.inner.state.borrow().bufs.clone()
    }

    fn with<R>(&self, id: LogId, look: impl FnOnce(&Log) -> R) -> Result<R, StorageError> {
        let state = self.inner.state.borrow();
        state.logs.get(id).map(look).ok_or(StorageError::NoSuchLog)
    }
}

impl State {
    /// Whether appends have to wait.
    fn is_full(&self) -> bool {
        if self.journal.failed.is_some() || self.closed {
            return false;
        }
        let ring = &self.journal.ring;
        self.staged >= self.config.staged_bytes_max
            || self.tail_bytes >= self.config.tail_bytes.saturating_mul(2)
            || ring.used() + ring.capacity() / 8 >= ring.capacity()
    }

    fn fence_all(&mut self, cause: &Arc<StorageError>) {
        if self.journal.failed.is_none() {
            self.journal.failed = Some(Arc::clone(cause));
        }
        for (id, log) in self.logs.iter_mut() {
            if log.fence.is_none() {
                log.fence(StorageError::Fenced(Arc::clone(cause)));
                self.outcome.failed.push(id);
            }
        }
    }

    /// Fences one log and lets the next commit's caller know. What it had staged goes nowhere, and takes no room any more.
    fn fence(&mut self, id: LogId, cause: StorageError) {
        if let Some(log) = self.logs.get_mut(id).filter(|log| log.fence.is_none()) {
            log.fence(cause);
            self.staged -= std::mem::take(&mut log.uncommitted);
            // The last commit may describe a direct write that has just failed.
            (log.end_due, log.carry) = (true, true);
            self.carry.push_front(id);
            self.journal.cut_short = Some(self.journal.ring.next_sequence() - 1);
            self.outcome.failed.push(id);
        }
    }

    /// Gives back commits that the log no longer needs.
    fn release_pins(&mut self, id: LogId) {
        let Some(log) = self.logs.get_mut(id) else { return };
        let ring = &mut self.journal.ring;
        log.release_pins(|sequence| ring.unpin(sequence));
        if let (None, Some(first)) = (log.pin_key, log.pins.front()) {
            log.pin_key = Some(first.sequence);
            self.pin_order.insert((first.sequence, id));
        }
    }

    /// Gives back all commits that hold something of a log which leaves the journal.
    fn release_all_pins(&mut self, id: LogId) {
        let Some(log) = self.logs.get_mut(id) else { return };
        let ring = &mut self.journal.ring;
        log.release_all_pins(|sequence| ring.unpin(sequence));
        if let Some(key) = log.pin_key.take() {
            self.pin_order.remove(&(key, id));
        }
    }
}

/// Free buffers kept for commits and reads.
const BUF_CACHE_BYTES: usize = 16 << 20;
