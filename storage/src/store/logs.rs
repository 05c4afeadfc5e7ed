//! Logs come and go: creation, opening, deletion. On the store's core; every name is durable before anything relies on it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use slipring_protocol::ids::{LeaderEpoch, Offset, TimestampMs, TopicIdPartition, TopicPartition};

use super::commit::Deletion;
use super::{LogId, Store};
use crate::checkpoint::{self, FileError};
use crate::directory::{RootCheckpoint, random_id};
use crate::error::{IoContext, StorageError};
use crate::journal::build::LogHead;
use crate::layout;
use crate::log::{Log, LogConfig, LogParts, Segment};
use crate::producer_state::ProducerState;
use crate::recovery::{self, DirectoryRecovery, OpenedLog, ProducerExpiry};

/// A log to create or open.
#[derive(Clone, Debug)]
pub struct NewLog {
    /// Topic id and partition.
    pub id: TopicIdPartition,
    /// Name of the topic.
    pub topic: Arc<str>,
    /// Its configuration.
    pub config: LogConfig,
    /// Epoch of its leader; begins at the log's end.
    pub leader_epoch: LeaderEpoch,
}

/// How a log was opened.
#[derive(Clone, Debug, Default)]
pub struct LogOpenReport {
    /// Where it ends.
    pub log_end: Offset,
    /// Segments it has.
    pub segments: usize,
    /// Checkpoints were enough.
    pub trusted: bool,
    /// Bytes scanned.
    pub scanned_bytes: u64,
    /// Bytes of a torn tail that were cut off; nothing of it had been acknowledged.
    pub truncated_bytes: u64,
    /// What was found damaged: the log is open for reading below it, and fenced.
    pub damage: Option<StorageError>,
}

impl Store {
    /// Creates a log: directory, `partition.metadata`, first segment, all names durable.
    ///
    /// # Errors
    /// When it exists already or the disk fails.
    pub async fn create_log(&self, new: NewLog) -> Result<LogId, StorageError> {
        self.inner.state.borrow_mut().opening += 1;
        let made = match self.make_journal_fit().await {
            Ok(()) => self.make_log(new).await,
            Err(error) => Err(error),
        };
        self.inner.state.borrow_mut().opening -= 1;
        made
    }

    async fn make_log(&self, new: NewLog) -> Result<LogId, StorageError> {
        let path = self.log_path(&new);
        self.refuse_known(new.id, &path)?;
        let disk = &self.inner.disk;
        match disk.create_dir(&path).await {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                self.adopt(&path, &new).await?
            }
            Err(error) => return Err(StorageError::io("creating", &path, error)),
        }
        self.forget_checkpoints(&TopicPartition {
            topic: Arc::clone(&new.topic),
            partition: new.id.partition,
        })
        .await?;
        self.name_owner(&path, &new).await?;
        let segment = Segment::new(Offset(0), None, new.config.segment_index_bytes);
        let log = Log::new(LogParts {
            id: new.id,
            topic: Arc::clone(&new.topic),
            directory: path,
            config: new.config,
            segments: [segment].into(),
            log_start: Offset(0),
            epochs: crate::epoch_cache::EpochCache::new(),
            producers: ProducerState::new(Offset(0)),
        });
        let id = self.insert(log, &new);
        self.open_segment(id, Offset(0)).await?;
        Ok(id)
    }

    /// Says whose the log is. Its directory's own entry is made durable first: so wherever the owner is named, also after a
    /// creation that a crash cut short, the directory stays.
    async fn name_owner(&self, path: &Path, new: &NewLog) -> Result<(), StorageError> {
        let (disk, root) = (&self.inner.disk, self.inner.directory.path());
        disk.sync_dir(root).await.context("syncing", root)?;
        let metadata = path.join(layout::PARTITION_METADATA);
        let stored = checkpoint::store_partition_metadata(disk, &metadata, new.id.topic_id).await;
        stored.map_err(file_error)
    }

    /// A directory of that name is there: a creation that was cut short may be taken up, anything else not.
    async fn adopt(&self, path: &Path, new: &NewLog) -> Result<(), StorageError> {
        let disk = &self.inner.disk;
        let entries = disk.list(path).context("listing", path)?;
        let data = entries.iter().any(|entry| entry.len > 0 && entry.name.ends_with(".log"));
        let metadata = path.join(layout::PARTITION_METADATA);
        let owner = checkpoint::load_partition_metadata(disk, &metadata).await.map_err(file_error)?;
        match owner {
            _ if data => Err(StorageError::Exists(path.to_path_buf())),
            Some(owner) if owner != new.id.topic_id => Err(wrong_topic(path, owner.to_string(), new)),
            Some(_) | None => Ok(()),
        }
    }

    /// Opens a log that is on disk, recovering it as `recovered` says; producers idle for too long by `now`, the wall clock,
    /// are forgotten. A damaged log is opened fenced: what is valid before
    /// the damage can be read; the report tells.
    ///
    /// # Errors
    /// When it is open already, its directory is missing or another topic's, or the disk fails.
    pub async fn open_log(
        &self,
        new: NewLog,
        recovered: &DirectoryRecovery,
        now: TimestampMs,
    ) -> Result<(LogId, LogOpenReport), StorageError> {
        self.inner.state.borrow_mut().opening += 1;
        if let Err(error) = self.make_journal_fit().await {
            // What is there must open all the same: a full disk is no reason to refuse reading.
            tracing::warn!(%error, "the journal is smaller than its logs need");
        }
        let found = self.find_log(new, recovered, now).await;
        self.inner.state.borrow_mut().opening -= 1;
        found
    }

    async fn find_log(
        &self,
        new: NewLog,
        recovered: &DirectoryRecovery,
        now: TimestampMs,
    ) -> Result<(LogId, LogOpenReport), StorageError> {
        let path = self.log_path(&new);
        self.refuse_known(new.id, &path)?;
        let metadata = path.join(layout::PARTITION_METADATA);
        let owner =
            checkpoint::load_partition_metadata(&self.inner.disk, &metadata).await.map_err(file_error)?;
        if let Some(owner) = owner.filter(|owner| *owner != new.id.topic_id) {
            return Err(wrong_topic(&path, owner.to_string(), &new));
        }
        if owner.is_none() {
            // Without it the next recovery would not know whose the journal's records are.
            self.name_owner(&path, &new).await?;
        }
        let after_ms = self.inner.state.borrow().config.producer_id_expiration_ms;
        let expiry = ProducerExpiry { now, after_ms };
        let opened = recovery::open(&self.inner.disk, path, &new, recovered, expiry).await?;
        let OpenedLog { log, report } = opened;
        let id = self.insert(log, &new);
        if !report.trusted {
            let mut state = self.inner.state.borrow_mut();
            state.checkpoint_due = true;
            // A clean stop then leaves what the next start trusts: above all a snapshot of the producers that the scan found.
            if let Some(log) = state.logs.get_mut(id) {
                log.touched = true;
            }
        }
        Ok((id, report))
    }

    /// Changes `producer.id.expiration.ms`; the next look for idle producers goes by it.
    pub fn set_producer_expiry(&self, after_ms: i64) {
        self.inner.state.borrow_mut().config.producer_id_expiration_ms = after_ms;
    }

    /// Forgets the producers of all logs that are idle for `producer.id.expiration.ms`; `now` is the wall clock. Returns how
    /// many.
    pub fn expire_producers(&self, now: TimestampMs) -> usize {
        let mut state = self.inner.state.borrow_mut();
        let after_ms = state.config.producer_id_expiration_ms;
        state.logs.iter_mut().map(|(_, log)| log.producers.expire(now, after_ms)).sum()
    }

    /// Deletes a log: no one finds it from now on; its deletion is journaled, its directory renamed, its files removed in
    /// the background.
    ///
    /// # Errors
    /// When there is no such log, or the disk fails; the log is gone from this store all the same.
    pub async fn delete_log(&self, id: LogId) -> Result<(), StorageError> {
        let (path, partition, number) = self.inner.state.borrow_mut().begin_deletion(id)?;
        let pinned = self.journal_deletion(number).await;
        {
            // Only now may the journal forget the log: before, a crash would leave it with holes.
            let mut state = self.inner.state.borrow_mut();
            state.release_all_pins(id);
            state.remove(id);
        }
        let pinned = pinned?;
        let disk = &self.inner.disk;
        let root = self.inner.directory.path();
        let name = layout::delete_directory(&partition.topic, partition.partition, random_id());
        let target = self.inner.directory.partition_path(&name);
        self.inner.state.borrow_mut().renaming += 1;
        let renamed = match disk.rename(&path, &target).await.context("renaming", &path) {
            Ok(()) => disk.sync_dir(root).await.context("syncing", root),
            Err(error) => Err(error),
        };
        {
            // Also when the directory stays: whatever the journal holds of the log stands before its deletion, and goes first.
            let mut state = self.inner.state.borrow_mut();
            state.renaming -= 1;
            if let Some(sequence) = pinned {
                state.journal.ring.unpin(sequence);
            }
            if renamed.is_ok() {
                state.removals.push_back(target);
            }
        }
        self.inner.work.notify();
        self.inner.room.notify();
        renamed?;
        self.forget_checkpoints(&partition).await
    }

    /// Removes what checkpoints say of a partition. Also before a log is created: a crash may have kept a deletion from
    /// doing so, and the new log must not inherit where the old one began.
    async fn forget_checkpoints(&self, partition: &TopicPartition) -> Result<(), StorageError> {
        for checkpoint in [
            RootCheckpoint::RecoveryPoint,
            RootCheckpoint::LogStart,
            RootCheckpoint::HighWatermark,
            RootCheckpoint::Cleaner,
        ] {
            let change = vec![(partition.clone(), None)];
            let updated = self.inner.directory.update_checkpoint(&self.inner.disk, checkpoint, change).await;
            updated.map_err(file_error)?;
        }
        Ok(())
    }

    /// Waits until the deletion with this number is in the journal; gives the commit that holds it.
    async fn journal_deletion(&self, number: u64) -> Result<Option<u64>, StorageError> {
        loop {
            {
                let mut state = self.inner.state.borrow_mut();
                if let Some(at) = state.deleted.iter().position(|(done, _)| *done == number) {
                    return Ok(Some(state.deleted.swap_remove(at).1));
                }
                if let Some(cause) = &state.journal.failed {
                    return Err(StorageError::Fenced(Arc::clone(cause)));
                }
                if !state.deletes.iter().any(|deletion| deletion.number == number) {
                    return Ok(None);
                }
            }
            let done = || {
                let state = self.inner.state.borrow();
                !state.deletes.iter().any(|deletion| deletion.number == number)
                    || state.journal.failed.is_some()
            };
            self.commit_unless(done).await;
        }
    }

    fn log_path(&self, new: &NewLog) -> PathBuf {
        let name = layout::partition_directory(&new.topic, new.id.partition);
        self.inner.directory.partition_path(&name)
    }

    fn refuse_known(&self, id: TopicIdPartition, path: &Path) -> Result<(), StorageError> {
        match self.find(id) {
            Some(_) => Err(StorageError::Exists(path.to_path_buf())),
            None => Ok(()),
        }
    }

    fn insert(&self, mut log: Log, new: &NewLog) -> LogId {
        log.set_leader_epoch(new.leader_epoch);
        let mut state = self.inner.state.borrow_mut();
        state.checkpoint_due = true;
        if let Some(cause) = &state.journal.failed {
            log.fence(StorageError::Fenced(Arc::clone(cause)));
        }
        let base = log.active().base;
        let missing = matches!(log.active().file, crate::log::segment::FileState::Missing);
        let loaded: Vec<Offset> = log
            .segments
            .iter()
            .filter(|segment| segment.indexes.is_on_disk())
            .map(|segment| segment.base)
            .collect();
        state.cold_bytes += log.segments.iter().map(|segment| segment.indexes.cold_bytes()).sum::<usize>();
        let id = state.logs.insert(log);
        state.cold_loaded.extend(loaded.into_iter().map(|base| (id, base)));
        state.by_id.insert(new.id, id);
        if missing {
            state.files_due.push_back((id, base));
        }
        id
    }
}

impl super::State {
    /// Hides a log that is to be deleted and queues the record of its deletion, if the journal knows the log at all.
    fn begin_deletion(&mut self, id: LogId) -> Result<(PathBuf, TopicPartition, u64), StorageError> {
        self.numbers += 1;
        let number = self.numbers;
        let log = self.logs.get_mut(id).filter(|log| !log.deleting).ok_or(StorageError::NoSuchLog)?;
        log.deleting = true;
        if log.order > 0 {
            let head = LogHead { key: log.key(), leader_epoch: -1, promise: true };
            self.deletes.push(Deletion { log: id, head, order: log.order, number });
        }
        self.by_id.remove(&log.id);
        let partition = log.partition();
        Ok((log.directory.clone(), partition, number))
    }

    fn remove(&mut self, id: LogId) {
        let Some(mut log) = self.logs.remove(id) else { return };
        self.staged -= log.uncommitted;
        self.forget_segments(log.segments.make_contiguous());
    }
}

fn wrong_topic(path: &Path, found: String, new: &NewLog) -> StorageError {
    StorageError::WrongTopic { path: path.to_path_buf(), found, wanted: new.id.topic_id.to_string() }
}

pub(super) fn file_error(error: FileError) -> StorageError {
    match error {
        FileError::Io { path, source } => StorageError::io("accessing", &path, source),
        FileError::Damaged { path, source } => StorageError::BadFile { path, reason: source.to_string() },
    }
}
