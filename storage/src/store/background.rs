//! Work off the acknowledgement path, in bounded steps: files of new segments, write-back of what only the journal holds,
//! blocks ahead, sealed segments, memory, flushes of `written` logs, checkpoints, growth of the journal. On the store's
//! core, in a task of its own; commits go on between its awaits.

use std::sync::Arc;
use std::time::Duration;

use slipring_protocol::ids::Offset;

use super::{LogId, State, Store};
use crate::disk::{Durability, WriteRequest};
use crate::error::StorageError;
use crate::limits::{CHECKPOINT_INTERVAL_MS, FLUSH_INTERVAL_MS};
use crate::log::WriteBack;
use crate::log::segment::FileState;

/// Pause between steps that are in no hurry.
const LEISURE: Duration = Duration::from_millis(5);

impl Store {
    /// One bounded step of background work. `now_ms` is a monotonic clock. Gives when to call again: at once when there is
    /// more to do, later for what is timed, `None` when only [`Store::background_wanted`] can bring something. After it
    /// returns [`Store::has_staged`] may have become true. One task calls it, and is not cancelled.
    pub async fn background(&self, now_ms: u64) -> Option<Duration> {
        let Some(_pass) = self.inner.stepping.try_enter() else { return Some(LEISURE) };
        if self.inner.state.borrow().closed {
            return None;
        }
        let mut again = self.make_files().await;
        again |= self.write_back().await;
        if self.inner.state.borrow().needs_carry() {
            self.commit_carry().await;
        }
        again |= self.allocate_ahead().await;
        again |= self.finish_segments().await;
        again |= self.evict(now_ms);
        let removal = self.remove_directories().await;
        again |= self.retain(now_ms).await;
        let unlink = self.unlink(now_ms).await;
        let flush = self.flush(now_ms).await;
        let checkpoint = self.checkpoint_if_due(now_ms).await;
        if again {
            return Some(Duration::ZERO);
        }
        let grow = self.grow_journal().await;
        [flush, checkpoint, unlink, removal, grow].into_iter().flatten().min()
    }

    /// Writes journaled blocks to their segments: of logs with much of it, and of those that keep the journal from moving
    /// on. True when there may be more.
    async fn write_back(&self) -> bool {
        let (writes, more) = self.inner.state.borrow_mut().plan_write_back(false);
        if std::mem::take(&mut self.inner.state.borrow_mut().flush_urgent) {
            self.flush_now().await;
        }
        if writes.is_empty() {
            return more && !self.inner.state.borrow().files_due.is_empty();
        }
        self.write_back_all(writes).await;
        true
    }

    pub(super) async fn write_back_all(&self, writes: Vec<(LogId, WriteBack)>) {
        let durability = self.write_back_durability();
        let mut requests = Vec::with_capacity(writes.len());
        let mut targets = Vec::with_capacity(writes.len());
        for (id, write) in writes {
            targets.push((id, write.segment, write.to, write.file.path().to_path_buf()));
            requests.push(WriteRequest {
                file: write.file,
                offset: write.from,
                parts: write.parts,
                durability,
            });
        }
        let written = self.inner.disk.write_many(requests).await;
        let mut state = self.inner.state.borrow_mut();
        for ((id, segment, to, path), (result, _)) in targets.into_iter().zip(written) {
            match result {
                Ok(()) => {
                    if let Some(log) = state.logs.get_mut(id) {
                        log.blocks_written(segment, to, true);
                    }
                    state.release_pins(id);
                }
                Err(error) => state.fence(id, StorageError::io("writing", &path, error)),
            }
        }
        drop(state);
        self.inner.room.notify();
    }

    /// Durable, since the journal forgets what was written back.
    fn write_back_durability(&self) -> Durability {
        #[cfg(any(test, feature = "sim"))]
        if self.inner.state.borrow().config.planted == Some(super::PlantedBug::FreeEarly) {
            return Durability::Volatile;
        }
        Durability::Durable
    }

    async fn allocate_ahead(&self) -> bool {
        let Some(id) = self.inner.state.borrow_mut().allocate.pop_front() else { return false };
        let due = {
            let mut state = self.inner.state.borrow_mut();
            let Some(log) = state.logs.get_mut(id) else { return true };
            log.allocation_queued = false;
            let file = match &log.active().file {
                FileState::Open(file) => Some(file.clone()),
                FileState::Missing | FileState::Closed => None,
            };
            log.allocation_due().zip(file).map(|due| (due, log.active().base))
        };
        let Some((((from, len), file), base)) = due else { return true };
        let allocated = self.inner.disk.allocate(&file, from, len).await;
        let mut state = self.inner.state.borrow_mut();
        if let Some(segment) = state.logs.get_mut(id).and_then(|log| log.segment_mut(base)) {
            // Refused (a full disk, a file system without it): writes go on without blocks ahead.
            segment.allocated = if allocated.is_ok() { from + len } else { u64::MAX };
        }
        true
    }

    /// Drops chunks while the tail is over its budget. True when something was freed and more could be.
    fn evict(&self, now_ms: u64) -> bool {
        let mut state = self.inner.state.borrow_mut();
        state.tail_target.relax(now_ms);
        let before = state.tail_bytes;
        state.evict();
        state.close_idle_files();
        let over = state.tail_bytes > state.tail_target.bytes();
        let freed = state.tail_bytes < before;
        drop(state);
        if freed {
            self.inner.room.notify();
        }
        over && freed
    }

    /// Flushes what `written` logs have only written. Gives when the next flush is due.
    async fn flush(&self, now_ms: u64) -> Option<Duration> {
        {
            let mut state = self.inner.state.borrow_mut();
            if !state.flush_wanted {
                return None;
            }
            let since = *state.flush_since_ms.get_or_insert(now_ms);
            let waited = now_ms.saturating_sub(since);
            if waited < FLUSH_INTERVAL_MS / 2 {
                return Some(Duration::from_millis(FLUSH_INTERVAL_MS / 2 - waited));
            }
        }
        self.flush_now().await;
        None
    }

    /// Makes everything durable that has been written so far.
    pub(super) async fn flush_now(&self) {
        let plan = {
            let mut state = self.inner.state.borrow_mut();
            state.flush_wanted = false;
            state.flush_since_ms = None;
            state.plan_flush()
        };
        if let Some(journal) = &plan.journal {
            if let Err(error) = self.inner.disk.sync(journal).await {
                let error = StorageError::io("syncing", journal.path(), error);
                self.inner.state.borrow_mut().fence_all(&Arc::new(error));
                return;
            }
            let mut state = self.inner.state.borrow_mut();
            state.journal.synced_through = state.journal.synced_through.max(plan.journal_sequence);
        }
        for flush in plan.logs {
            let mut failed = None;
            for (_, _, file) in &flush.segments {
                if let Err(error) = self.inner.disk.sync(file).await {
                    failed = Some(StorageError::io("syncing", file.path(), error));
                }
            }
            let mut state = self.inner.state.borrow_mut();
            match failed {
                Some(error) => state.fence(flush.id, error),
                None => state.flushed(&flush),
            }
        }
        self.inner.room.notify();
    }

    async fn checkpoint_if_due(&self, now_ms: u64) -> Option<Duration> {
        let due = {
            let state = self.inner.state.borrow();
            if !state.checkpoint_due {
                return None;
            }
            state.checkpoint_at_ms
        };
        if now_ms < due {
            return Some(Duration::from_millis(due - now_ms));
        }
        {
            let mut state = self.inner.state.borrow_mut();
            state.checkpoint_due = false;
            state.checkpoint_at_ms = now_ms + CHECKPOINT_INTERVAL_MS;
        }
        if let Err(error) = self.write_checkpoints().await {
            // The old ones still stand; they only make a recovery longer.
            tracing::warn!(%error, "checkpoints not written, to be tried again");
            self.inner.state.borrow_mut().checkpoint_due = true;
        }
        None
    }

    async fn grow_journal(&self) -> Option<Duration> {
        let _growing = self.inner.growing.try_enter()?;
        let (file, (from, to)) = {
            let state = self.inner.state.borrow();
            (state.journal.file.clone(), state.journal.growth()?)
        };
        let grown = crate::journal::prewrite(&self.inner.disk, &file, from, to).await;
        let mut state = self.inner.state.borrow_mut();
        match grown {
            Ok(()) => state.journal.ring.grow(to),
            Err(error) => {
                tracing::warn!(%error, bytes = from, "the journal stays smaller than configured");
                state.journal.stop_growing();
            }
        }
        Some(LEISURE)
    }
}

/// What a flush covers.
pub(super) struct FlushPlan {
    journal: Option<crate::disk::DiskFile>,
    journal_sequence: u64,
    logs: Vec<LogFlush>,
}

/// What a flush covers of one log.
pub(super) struct LogFlush {
    id: LogId,
    written: crate::log::Mark,
    segments: Vec<(Offset, u64, crate::disk::DiskFile)>,
}

impl State {
    /// Whether the background has something to do at once.
    pub(super) fn wants_background(&self) -> bool {
        self.is_pressed()
            || self.flush_wanted
            || !self.write_back.is_empty()
            || !self.files_due.is_empty()
            || !self.allocate.is_empty()
            || self.tail_bytes > self.tail_target.bytes()
    }

    pub(super) fn requeue_waiting(&mut self) {
        for id in std::mem::take(&mut self.waiting_for_file) {
            if self.logs.get(id).is_some_and(|log| log.fence.is_none()) {
                self.dirty.push_back(id);
            }
        }
    }

    fn evict(&mut self) {
        let budget = self.tail_target.bytes();
        for _ in 0..self.chunk_owners.len() {
            if self.tail_bytes <= budget {
                return;
            }
            let Some((id, appends)) = self.chunk_owners.pop_front() else { return };
            let Some(log) = self.logs.get_mut(id) else { continue };
            let idle = log.appends == appends;
            match log.evict(idle) {
                Some(bytes) => self.tail_bytes -= bytes,
                None if log.has_chunks() => {
                    if log.unwritten() > 0 && !log.write_back_queued && log.fence.is_none() {
                        log.write_back_queued = true;
                        self.write_back.push_back(id);
                    }
                    self.chunk_owners.push_back((id, log.appends));
                }
                None => {}
            }
        }
    }

    /// Closes descriptors that were not used since the last look, while there are too many.
    fn close_idle_files(&mut self) {
        if self.open_files <= self.config.open_files_max {
            return;
        }
        let mut closed = 0;
        let wanted = self.open_files - self.config.open_files_max + self.config.open_files_max / 8;
        for (_, log) in self.logs.iter_mut() {
            if closed >= wanted {
                break;
            }
            closed += log.close_idle_files();
        }
        self.open_files -= closed;
    }

    fn plan_flush(&mut self) -> FlushPlan {
        let ring_sequence = self.journal.ring.last_written();
        let journal = (self.journal.synced_through < ring_sequence).then(|| self.journal.file.clone());
        let mut logs = Vec::new();
        for (id, log) in self.logs.iter_mut() {
            if log.fence.is_none() && log.written.offset > log.durable.offset {
                logs.push(LogFlush { id, written: log.written, segments: log.flush_targets() });
            }
        }
        FlushPlan { journal, journal_sequence: ring_sequence, logs }
    }

    fn flushed(&mut self, flush: &LogFlush) {
        let Some(log) = self.logs.get_mut(flush.id).filter(|log| log.fence.is_none()) else { return };
        for (base, target, _) in &flush.segments {
            if let Some(segment) = log.segment_mut(*base) {
                segment.blocks.flushed(*target);
            }
        }
        if flush.written.offset > log.durable.offset {
            log.durable = flush.written;
        }
        if log.acknowledge() {
            let end = log.acknowledged().offset;
            self.outcome.advanced.push((flush.id, end));
        }
        self.release_pins(flush.id);
    }
}
