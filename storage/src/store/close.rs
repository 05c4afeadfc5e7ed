//! Checkpoints, and the clean stop: everything into segments, files trimmed, indexes and snapshots written, the journal
//! emptied. The directory's clean marker is the caller's, once all its stores are closed.

use futures_util::stream::{self, StreamExt};
use slipring_protocol::ids::Offset;

use super::logs::file_error;
use super::{LogId, State, Store};
use crate::checkpoint;
use crate::directory::{OffsetChange, RootCheckpoint};
use crate::error::{IoContext, StorageError};
use crate::layout::{self, SegmentFile};
use crate::limits::WRITE_BACK_STEP_BYTES;
use crate::log::segment::{Cold, FileState, Indexes, Seal};
use crate::log::{BackLog, Log, WriteBack};
use crate::producer_state::snapshot;
use crate::recovery::files::{write_file, write_indexes};

impl Store {
    /// Stops cleanly. Afterwards nothing can be appended, and the journal holds nothing that is needed.
    ///
    /// # Errors
    /// When a log is fenced or the disk fails: the directory must not be marked clean then; everything acknowledged is
    /// still found by the next start's recovery.
    pub async fn close(&self) -> Result<(), StorageError> {
        let _stepping = self.inner.stepping.enter().await;
        let mut left = self.staged_bytes();
        let mut rounds = 0;
        while self.has_staged_bytes() {
            self.commit_quietly().await;
            self.make_files().await;
            if let Some(cause) = self.failure() {
                return Err(StorageError::Fenced(cause));
            }
            rounds = if self.staged_bytes() < left { 0 } else { rounds + 1 };
            left = self.staged_bytes();
            if rounds > FRUITLESS_ROUNDS_MAX {
                let reason = "the journal is too small for what it has to hold".to_owned();
                return Err(StorageError::BadFile { path: self.journal_path(), reason });
            }
        }
        // What `written` logs have only written counts as being in the files once it is flushed.
        self.flush_now().await;
        self.inner.state.borrow_mut().closed = true;
        self.inner.room.notify();
        self.inner.work.notify();
        let mut failed = None;
        let ids = self.inner.state.borrow().logs.ids();
        // Side by side: a file system gathers the flushes of many files into one commit of its own.
        let mut closing = stream::iter(ids)
            .map(|id| async move { (id, self.close_log(id).await) })
            .buffer_unordered(CLOSING_MAX);
        while let Some((id, closed)) = closing.next().await {
            if let Err(error) = closed {
                self.inner.state.borrow_mut().fence(id, error.clone());
                failed = Some(error);
            }
        }
        drop(closing);
        self.write_checkpoints().await?;
        match failed {
            Some(error) => Err(error),
            None => self.empty_journal().await,
        }
    }

    fn journal_path(&self) -> std::path::PathBuf {
        self.inner.state.borrow().journal.file.path().to_path_buf()
    }

    fn has_staged_bytes(&self) -> bool {
        let state = self.inner.state.borrow();
        state.journal.failed.is_none() && (!state.dirty.is_empty() || !state.waiting_for_file.is_empty())
    }

    /// Brings one log to rest: its files then say all there is to say.
    async fn close_log(&self, id: LogId) -> Result<(), StorageError> {
        self.with(id, |log| log.check_fence())??;
        if !self.with(id, |log| log.touched)? {
            return Ok(());
        }
        while let Some(more) = self.finish_segment(id).await? {
            self.with(id, |log| log.check_fence())??;
            if !more {
                // Only a background write still under way can be waited for here: everything staged is committed.
                self.inner.room.next().await;
            }
        }
        self.close_active(id).await?;
        let (directory, end, bytes) = {
            let state = self.inner.state.borrow();
            let log = state.logs.get(id).ok_or(StorageError::NoSuchLog)?;
            let bytes = log.producers.needs_snapshot().then(|| snapshot::encode(&log.producers.snapshot()));
            (log.directory.clone(), log.log_end, bytes)
        };
        if let Some(bytes) = bytes {
            write_file(&self.inner.disk, &directory.join(SegmentFile::ProducerSnapshot.name(end)), &bytes)
                .await?;
        }
        self.inner.disk.sync_dir(&directory).await.context("syncing", &directory)?;
        let mut state = self.inner.state.borrow_mut();
        let log = state.logs.get_mut(id).ok_or(StorageError::NoSuchLog)?;
        log.producers.snapshot_taken(end);
        log.recovery_point = end;
        Ok(())
    }

    /// The active segment: all blocks, the last one too, exact size, indexes.
    async fn close_active(&self, id: LogId) -> Result<(), StorageError> {
        let base = self.with(id, |log| log.active().base)?;
        self.open_segment(id, base).await?;
        self.inner.state.borrow_mut().seal_active(id);
        loop {
            let whole = self.with(id, |log| log.active().is_whole())?;
            if whole {
                break;
            }
            match self.take_last_blocks(id) {
                Some(write) => self.write_back_all(vec![(id, write)]).await,
                None => self.inner.room.next().await,
            }
            self.with(id, |log| log.check_fence())??;
        }
        if self.with(id, |log| matches!(log.active().indexes.cold, Cold::OnDisk))? {
            self.load_cold(id, base).await?;
        }
        let (file, end, directory, indexes) = {
            let state = self.inner.state.borrow();
            let log = state.logs.get(id).ok_or(StorageError::NoSuchLog)?;
            let active = log.active();
            let FileState::Open(file) = &active.file else { return Err(StorageError::NoSuchLog) };
            (file.clone(), active.end, log.directory.clone(), active.indexes.clone())
        };
        let disk = &self.inner.disk;
        disk.truncate(&file, end).await.context("truncating", file.path())?;
        disk.sync(&file).await.context("syncing", file.path())?;
        let written: Indexes = indexes;
        write_indexes(disk, &directory, base, &written).await?;
        Ok(())
    }

    fn take_last_blocks(&self, id: LogId) -> Option<WriteBack> {
        self.inner.state.borrow_mut().take_write_back_of(id)
    }

    /// Writes what checkpoints exist for: leader epochs of logs where they changed, recovery points, log starts, high
    /// watermarks.
    pub(super) async fn write_checkpoints(&self) -> Result<(), StorageError> {
        let ids = self.inner.state.borrow().logs.ids();
        let mut writing =
            stream::iter(ids.iter().copied()).map(|id| self.write_epochs(id)).buffer_unordered(CLOSING_MAX);
        let mut written = Ok(());
        while let Some(one) = writing.next().await {
            written = written.and(one);
        }
        drop(writing);
        written?;
        for checkpoint in
            [RootCheckpoint::RecoveryPoint, RootCheckpoint::LogStart, RootCheckpoint::HighWatermark]
        {
            let changes = || self.inner.state.borrow().checkpoint_changes(checkpoint);
            let (disk, directory) = (&self.inner.disk, &self.inner.directory);
            directory.update_checkpoint_with(disk, checkpoint, changes).await.map_err(file_error)?;
        }
        Ok(())
    }

    async fn write_epochs(&self, id: LogId) -> Result<(), StorageError> {
        let (path, entries) = {
            let mut state = self.inner.state.borrow_mut();
            let Some(log) = state.logs.get_mut(id).filter(|log| log.epochs_dirty) else { return Ok(()) };
            log.epochs_dirty = false;
            (log.directory.join(layout::LEADER_EPOCH_CHECKPOINT), log.epochs.entries().to_vec())
        };
        let stored = checkpoint::store_epochs(&self.inner.disk, &path, &entries).await;
        if let (Err(_), Some(log)) = (&stored, self.inner.state.borrow_mut().logs.get_mut(id)) {
            log.epochs_dirty = true;
        }
        stored.map_err(file_error)
    }

    async fn empty_journal(&self) -> Result<(), StorageError> {
        let (pending, file) = {
            let mut state = self.inner.state.borrow_mut();
            for id in state.logs.ids() {
                state.release_all_pins(id);
            }
            (state.journal.mark_empty(), state.journal.file.clone())
        };
        pending.write(&self.inner.disk, &file).await?;
        self.inner.state.borrow_mut().journal.superblock_written(&pending);
        Ok(())
    }
}

impl State {
    /// Takes whatever a log can write back now.
    pub(super) fn take_write_back_of(&mut self, id: LogId) -> Option<WriteBack> {
        match self.logs.get_mut(id)?.take_write_back(WRITE_BACK_STEP_BYTES) {
            BackLog::Write(write) => Some(write),
            BackLog::Nothing | BackLog::NeedsFile(_) => None,
        }
    }

    /// The active segment gets no more batches: its last block may be written.
    fn seal_active(&mut self, id: LogId) {
        if let Some(log) = self.logs.get_mut(id) {
            log.active_mut().seal = Some(Seal { snapshot: None });
        }
    }

    /// What a checkpoint is to say of this store's logs now.
    fn checkpoint_changes(&self, checkpoint: RootCheckpoint) -> Vec<OffsetChange> {
        let logs = self.logs.ids().into_iter().filter_map(|id| self.logs.get(id));
        let change = |log: &Log| match checkpoint {
            RootCheckpoint::RecoveryPoint => log.fence.is_none().then_some(Some(log.recovery_point)),
            // Also where the first file's name tells it: a replay after a crash must know what is gone.
            RootCheckpoint::LogStart => Some((log.log_start > Offset(0)).then_some(log.log_start)),
            RootCheckpoint::HighWatermark => Some(Some(log.high_watermark())),
            RootCheckpoint::Cleaner => None,
        };
        logs.filter_map(|log| Some((log.partition(), change(log)?))).collect()
    }
}

/// Logs brought to rest at the same time.
const CLOSING_MAX: usize = 32;

/// Commits that may bring nothing (they wait for files or for room) before a stop gives up.
const FRUITLESS_ROUNDS_MAX: u32 = 256;
