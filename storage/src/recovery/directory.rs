//! Recovery of a whole data directory, before any log is opened and whatever cores will own them: journals into segments,
//! promises collected, journals emptied. On one core, once per start.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use slipring_protocol::ids::{Offset, TopicId, TopicIdPartition, TopicPartition};

use super::promises::{self, Promise, Promises, log_id};
use super::replayed::{Replayer, cut_files, sum_up};
use crate::checkpoint::{FileError, OffsetMap};
use crate::directory::{DataDirectory, RootCheckpoint, random_id};
use crate::disk::Disk;
use crate::error::{IoContext, StorageError};
use crate::journal::format::{LogKey, Superblock};
use crate::journal::replay::{FoundJournal, find_commits};
use crate::journal::{JOURNAL_PREFIX, write_superblock};
use crate::layout::{self, FileState, SegmentFile};

/// What the directory's recovery found; every log is opened with it.
#[derive(Debug, Default)]
pub struct DirectoryRecovery {
    /// The last stop was clean: checkpoints are trusted.
    pub clean: bool,
    /// Slipring wrote last: a log of which nothing is promised was not touched since its checkpoint. Otherwise Kafka may
    /// have, and every log is recovered by its rules.
    pub ours: bool,
    /// Journals found.
    pub journals: usize,
    /// Commits replayed.
    pub commits: usize,
    /// Bytes that replay had to write.
    pub replayed_bytes: u64,
    /// Logs that journals speak of and whose directory is gone. Their acknowledged data is lost: to be reported.
    pub lost: Vec<TopicIdPartition>,
    /// Logs whose deletion a journal tells; their directories are out of the way.
    pub deleted: Vec<TopicIdPartition>,
    promises: Promises,
    recovery_points: OffsetMap,
    log_starts: OffsetMap,
    high_watermarks: OffsetMap,
}

impl DirectoryRecovery {
    /// A new directory's: nothing is there.
    #[must_use]
    pub fn empty() -> DirectoryRecovery {
        DirectoryRecovery { clean: true, ..DirectoryRecovery::default() }
    }

    pub(crate) fn promise(&self, id: TopicIdPartition) -> Option<Promise> {
        self.promises.get(&id).copied()
    }

    pub(crate) fn recovery_point(&self, partition: &TopicPartition) -> Option<Offset> {
        self.recovery_points.get(partition).copied()
    }

    pub(crate) fn log_start(&self, partition: &TopicPartition) -> Option<Offset> {
        self.log_starts.get(partition).copied()
    }

    /// The high watermark last checkpointed; replication starts from it.
    #[must_use]
    pub fn high_watermark(&self, partition: &TopicPartition) -> Option<Offset> {
        self.high_watermarks.get(partition).copied()
    }
}

/// Replays all journals of a directory, of any number of cores, and collects what is known of its logs.
///
/// # Errors
/// When the disk fails, or a journal is damaged where it must be valid ([`StorageError::JournalDamaged`]).
pub async fn recover_directory(
    disk: &Disk,
    directory: &DataDirectory,
) -> Result<DirectoryRecovery, StorageError> {
    let mut recovery = DirectoryRecovery { clean: directory.is_clean(), ..DirectoryRecovery::default() };
    recovery.recovery_points = load(disk, directory, RootCheckpoint::RecoveryPoint).await?;
    recovery.log_starts = load(disk, directory, RootCheckpoint::LogStart).await?;
    recovery.high_watermarks = load(disk, directory, RootCheckpoint::HighWatermark).await?;
    let journals = find_journals(disk, directory).await?;
    recovery.journals = journals.len();
    if recovery.clean {
        for journal in journals.iter().filter(|journal| !journal.superblock.empty) {
            tracing::warn!(path = %journal.path.display(), "journal ignored: the directory was left cleanly since");
            empty(disk, journal).await?;
        }
        promises::remove(disk, directory.path()).await?;
        return Ok(recovery);
    }
    recovery.promises = promises::load(disk, directory.path()).await?;
    recovery.ours = !recovery.promises.is_empty() || journals.iter().any(|journal| !journal.superblock.empty);
    replay(disk, directory, &journals, &mut recovery).await?;
    if recovery.ours {
        promises::store(disk, directory.path(), &recovery.promises).await?;
    }
    for journal in journals.iter().filter(|journal| !journal.superblock.empty) {
        empty(disk, journal).await?;
    }
    Ok(recovery)
}

/// A damaged checkpoint counts as empty, as in Kafka: it only costs recovery time.
async fn load(
    disk: &Disk,
    directory: &DataDirectory,
    checkpoint: RootCheckpoint,
) -> Result<OffsetMap, StorageError> {
    match directory.load_checkpoint(disk, checkpoint).await {
        Ok(map) => Ok(map),
        Err(FileError::Damaged { path, source }) => {
            tracing::warn!(path = %path.display(), error = %source, "checkpoint ignored");
            Ok(OffsetMap::new())
        }
        Err(FileError::Io { path, source }) => Err(StorageError::io("reading", &path, source)),
    }
}

async fn find_journals(disk: &Disk, directory: &DataDirectory) -> Result<Vec<FoundJournal>, StorageError> {
    let root = directory.path();
    let mut journals = Vec::new();
    for entry in disk.list(root).context("listing", root)? {
        if !entry.is_dir && entry.name.starts_with(JOURNAL_PREFIX) {
            let path = root.join(&entry.name);
            if directory.is_clean() {
                journals.extend(crate::journal::replay::find_superblock(disk, &path).await?);
            } else {
                journals.extend(find_commits(disk, &path).await?);
            }
        }
    }
    Ok(journals)
}

async fn replay(
    disk: &Disk,
    directory: &DataDirectory,
    journals: &[FoundJournal],
    recovery: &mut DirectoryRecovery,
) -> Result<(), StorageError> {
    let replays = sum_up(journals);
    recovery.commits = journals.iter().map(|journal| journal.commits.len()).sum();
    let directories = find_directories(disk, directory).await?;
    let live_from = live_from(disk, &directories, &recovery.log_starts)?;
    let mut replayer = Replayer::new(disk, &directories, &live_from);
    for journal in journals {
        replayer.apply(journal, &replays).await?;
    }
    recovery.replayed_bytes = replayer.bytes;
    for (key, replay) in &replays {
        let id = log_id(*key);
        recovery.promises.remove(&id);
        match directories.get(key) {
            Some(path) if replay.deleted => {
                put_aside(disk, directory, path).await?;
                recovery.deleted.push(id);
            }
            None if replay.deleted => recovery.deleted.push(id),
            Some(path) => {
                if let (true, Some((_, segment, position))) = (replay.cut_is_last, replay.cut) {
                    cut_files(disk, path, segment, position).await?;
                }
                // Without a promise the log was touched all the same, and is not to be trusted unscanned.
                let touched = Promise { segment: Offset(0), position: 0, end: Offset(0) };
                recovery.promises.insert(id, replay.promise.unwrap_or(touched));
            }
            None if replay.promise.is_some() => {
                tracing::error!(log = %id, "the journal holds data of a log whose directory is gone");
                recovery.lost.push(id);
            }
            None => {}
        }
    }
    let present: BTreeSet<TopicIdPartition> = directories.keys().map(|key| log_id(*key)).collect();
    recovery.promises.retain(|id, _| present.contains(id));
    Ok(())
}

/// Base of the first segment that each log still has, where its log start tells: what lies before was deleted, and its
/// bytes in the journals are nobody's.
fn live_from(
    disk: &Disk,
    directories: &BTreeMap<LogKey, PathBuf>,
    log_starts: &OffsetMap,
) -> Result<BTreeMap<LogKey, Offset>, StorageError> {
    let mut live = BTreeMap::new();
    for (key, path) in directories {
        let name =
            path.file_name().and_then(|name| name.to_str()).and_then(layout::parse_partition_directory);
        let Some(start) = name.and_then(|name| log_starts.get(&name.partition)) else { continue };
        let entries = disk.list(path).context("listing", path)?;
        let bases = entries.iter().filter_map(|entry| {
            let name = layout::parse_segment_file(&entry.name)?;
            let is_log = name.kind == SegmentFile::Log && name.state == FileState::Live;
            (is_log && name.base <= *start).then_some(name.base)
        });
        live.extend(bases.max().map(|base| (*key, base)));
    }
    Ok(live)
}

/// Where each log is, by topic id.
async fn find_directories(
    disk: &Disk,
    directory: &DataDirectory,
) -> Result<BTreeMap<LogKey, PathBuf>, StorageError> {
    let scan = directory.scan(disk).await.map_err(|error| StorageError::BadFile {
        path: directory.path().to_path_buf(),
        reason: error.to_string(),
    })?;
    let mut found = BTreeMap::new();
    for partition in scan.partitions {
        let Some(topic_id) = partition.topic_id else { continue };
        let key = LogKey { topic_id: *topic_id.0.as_bytes(), partition: partition.partition.partition.0 };
        found.insert(key, directory.partition_path(&partition.name));
    }
    if scan.metadata_log {
        let key = LogKey { topic_id: *TopicId::CLUSTER_METADATA.0.as_bytes(), partition: 0 };
        found.insert(key, directory.partition_path(layout::METADATA_LOG_DIRECTORY));
    }
    Ok(found)
}

/// Renames a deleted log's directory so that nothing takes it for a log; its removal is the broker's.
async fn put_aside(disk: &Disk, directory: &DataDirectory, path: &Path) -> Result<(), StorageError> {
    let name = path.file_name().and_then(|name| name.to_str()).and_then(layout::parse_partition_directory);
    let Some(name) = name else { return Ok(()) };
    let (topic, partition) = (&name.partition.topic, name.partition.partition);
    let target = directory.partition_path(&layout::delete_directory(topic, partition, random_id()));
    disk.rename(path, &target).await.context("renaming", path)?;
    disk.sync_dir(directory.path()).await.context("syncing", directory.path())
}

/// Says durably that nothing in a journal is needed any more.
async fn empty(disk: &Disk, journal: &FoundJournal) -> Result<(), StorageError> {
    let last =
        journal.commits.last().map_or(journal.superblock.oldest.sequence, |commit| commit.header.sequence);
    let mut superblock: Superblock = journal.superblock;
    superblock.generation += 1;
    superblock.empty = true;
    superblock.oldest.sequence = superblock.oldest.sequence.max(last) + 1;
    write_superblock(disk, &journal.file, &superblock).await
}
