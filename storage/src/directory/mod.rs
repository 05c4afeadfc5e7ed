//! A data directory's root: who it belongs to (`meta.properties`), who uses it (`.lock`), whether it was left cleanly
//! (`.kafka_cleanshutdown`), which partitions lie in it, and its offset checkpoints. Opened once per process at the start,
//! then shared by all cores. Opens no log.

mod book;
mod lock;
mod meta;
mod scan;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use slipring_protocol::ids::{BrokerId, encode_uuid};
use uuid::Uuid;

pub use book::OffsetChange;
pub use lock::Holder;
pub use meta::{MetaError, MetaProperties};
pub use scan::{DamagedDirectory, DirectoryScan, PartitionDirectory};

use self::book::OffsetBook;
use self::lock::{DirectoryLock, LockFailure};
use crate::checkpoint::{FileError, OffsetMap, load_offsets, store_offsets};
use crate::disk::Disk;
use crate::layout;

/// What the broker that opens a directory says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// The cluster it belongs to, when it knows: from its configuration or another data directory.
    pub cluster_id: Option<String>,
    /// Its node id.
    pub node_id: BrokerId,
    /// Cluster id for a new directory when `cluster_id` is not known.
    pub new_cluster_id: String,
    /// Id of the directory when it has none yet.
    pub new_directory_id: Uuid,
}

impl Expectation {
    /// With fresh random ids, made as Kafka makes them.
    #[must_use]
    pub fn new(cluster_id: Option<String>, node_id: BrokerId) -> Self {
        let new_cluster_id = encode_uuid(random_id());
        Self { cluster_id, node_id, new_cluster_id, new_directory_id: random_id() }
    }
}

/// A random id as Kafka's `Uuid.randomUuid` draws it: never one whose text begins with a dash, which command lines take
/// for an option.
#[must_use]
pub fn random_id() -> Uuid {
    loop {
        let id = Uuid::new_v4();
        if !encode_uuid(id).starts_with('-') {
            return id;
        }
    }
}

/// Why a data directory cannot be used: one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// It is missing and cannot be made.
    #[error(
        "cannot create data directory {path}: {source}; create it for the broker's user or choose another with log.dirs",
        path = .path.display()
    )]
    Create {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something else has that name.
    #[error("data directory {path} is not a directory; choose another with log.dirs", path = .path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// It cannot be read or written.
    #[error(
        "data directory {path} is not readable and writable for user id {user}: {source}; change its owner or choose another with log.dirs",
        path = .path.display()
    )]
    NotWritable {
        /// The directory.
        path: PathBuf,
        /// Effective user id of this process.
        user: u32,
        /// What the system said.
        source: io::Error,
    },
    /// Another broker uses it.
    #[error(
        "data directory {path} is in use by {holder}; stop it first or choose another directory with log.dirs",
        path = .path.display()
    )]
    Locked {
        /// The directory.
        path: PathBuf,
        /// Who holds the lock.
        holder: Holder,
    },
    /// It belongs to another cluster.
    #[error(
        "data directory {path} belongs to cluster {found}, this broker to {expected}; correct the cluster id or choose another directory with log.dirs",
        path = .path.display()
    )]
    ForeignCluster {
        /// The directory.
        path: PathBuf,
        /// Cluster id in its `meta.properties`.
        found: String,
        /// The broker's.
        expected: String,
    },
    /// It belongs to another node.
    #[error(
        "data directory {path} belongs to node {found}, this broker is node {expected}; set node.id={found} or choose another directory with log.dirs",
        path = .path.display()
    )]
    ForeignNode {
        /// The directory.
        path: PathBuf,
        /// Node id in its `meta.properties`.
        found: BrokerId,
        /// The broker's.
        expected: BrokerId,
    },
    /// `meta.properties` does not read.
    #[error("{path} is damaged: {source}; restore it from a backup or from another data directory", path = .path.display())]
    DamagedMeta {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: MetaError,
    },
    /// Logs without `meta.properties`: making a new one would hand them to a new cluster.
    #[error(
        "data directory {path} holds logs ({example}) but no meta.properties; restore that file or choose another directory with log.dirs",
        path = .path.display()
    )]
    MissingMeta {
        /// The directory.
        path: PathBuf,
        /// One of the logs.
        example: String,
    },
    /// Any other failure of the disk.
    #[error("data directory {path}: {action} failed: {source}", path = .path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// Keeps brokers out of a data directory while it is only read; let go when it is dropped. Nothing is written.
#[derive(Debug)]
pub struct ReadLock {
    _lock: Option<DirectoryLock>,
}

impl ReadLock {
    /// Takes it without waiting. Where there is no lock file no broker has ever run, and none is kept out.
    ///
    /// # Errors
    /// [`DirectoryError::Locked`] when a broker runs on the directory, or the system's word.
    pub fn take(path: &Path) -> Result<Self, DirectoryError> {
        match DirectoryLock::share(path) {
            Ok(lock) => Ok(Self { _lock: lock }),
            Err(LockFailure::Held(holder)) => Err(DirectoryError::Locked { path: path.into(), holder }),
            Err(LockFailure::Io(source)) => {
                Err(DirectoryError::Io { path: path.into(), action: "locking", source })
            }
        }
    }
}

/// The offset checkpoints at the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RootCheckpoint {
    /// Everything below is durable in the segments.
    RecoveryPoint,
    /// The first offset clients may read.
    LogStart,
    /// The high watermark.
    HighWatermark,
    /// Everything below has been compacted.
    Cleaner,
}

impl RootCheckpoint {
    /// The file's name.
    #[must_use]
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::RecoveryPoint => layout::RECOVERY_POINT_CHECKPOINT,
            Self::LogStart => layout::LOG_START_CHECKPOINT,
            Self::HighWatermark => layout::HIGH_WATERMARK_CHECKPOINT,
            Self::Cleaner => layout::CLEANER_CHECKPOINT,
        }
    }
}

/// A locked data directory of this broker. The lock is let go when it is dropped.
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    cluster_id: String,
    node_id: BrokerId,
    directory_id: Uuid,
    was_clean: bool,
    clean_broker_epoch: Option<i64>,
    marked: AtomicBool,
    book: OffsetBook,
    _lock: Option<DirectoryLock>,
}

impl DataDirectory {
    /// Opens a data directory: makes it when it is missing, locks it, and reads or writes its `meta.properties`.
    ///
    /// # Errors
    /// See [`DirectoryError`]; nothing stays locked.
    pub async fn open(disk: &Disk, path: &Path, expectation: &Expectation) -> Result<Self, DirectoryError> {
        ensure_directory(disk, path).await?;
        let lock = take_lock(disk, path)?;
        let meta = read_meta(disk, path).await?;
        let known = judge_meta(path, meta.as_ref(), expectation)?;
        if meta.is_none() {
            refuse_logs_without_meta(disk, path)?;
        }
        if meta.as_ref() != Some(&known) {
            let bytes = known.encode();
            let written = disk.replace_whole(&path.join(layout::META_PROPERTIES), bytes).await;
            written.map_err(|source| access_error(path, "writing meta.properties", source))?;
        }
        let marker = match disk.read_whole(&path.join(layout::CLEAN_SHUTDOWN)).await {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(access_error(path, "reading the clean-shutdown marker", source)),
        };
        Ok(Self {
            path: path.into(),
            cluster_id: known.cluster_id,
            node_id: known.node_id,
            directory_id: known.directory_id.expect("judge_meta sets it"),
            was_clean: marker.is_some(),
            clean_broker_epoch: marker.as_deref().and_then(meta::decode_clean_marker),
            marked: AtomicBool::new(marker.is_some()),
            book: OffsetBook::new(),
            _lock: lock,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where one partition's directory is.
    #[must_use]
    pub fn partition_path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The cluster it belongs to.
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// The node it belongs to.
    #[must_use]
    pub const fn node_id(&self) -> BrokerId {
        self.node_id
    }

    /// Its own id, which metadata records name (KIP-858).
    #[must_use]
    pub const fn directory_id(&self) -> Uuid {
        self.directory_id
    }

    /// Whether the last broker that used it stopped cleanly. Stays as it was at the open.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.was_clean
    }

    /// The broker epoch that the clean-shutdown marker names (KIP-966).
    #[must_use]
    pub const fn clean_broker_epoch(&self) -> Option<i64> {
        self.clean_broker_epoch
    }

    /// Removes the clean-shutdown marker, durably: before the first write, so that a crash from now on is noticed.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn clear_clean(&self, disk: &Disk) -> Result<(), DirectoryError> {
        if !self.marked.load(Ordering::Acquire) {
            return Ok(());
        }
        let failed = |source| access_error(&self.path, "removing the clean-shutdown marker", source);
        match disk.remove_file(&self.path.join(layout::CLEAN_SHUTDOWN)).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => disk.sync_dir(&self.path).await.map_err(failed)?,
        }
        self.marked.store(false, Ordering::Release);
        Ok(())
    }

    /// Writes the clean-shutdown marker, durably: last of all, when every log of the directory is closed.
    ///
    /// # Errors
    /// When the disk fails; the next start then recovers as after a crash.
    pub async fn mark_clean(&self, disk: &Disk, broker_epoch: i64) -> Result<(), DirectoryError> {
        let bytes = meta::encode_clean_marker(broker_epoch);
        let written = disk.replace_whole(&self.path.join(layout::CLEAN_SHUTDOWN), bytes).await;
        written.map_err(|source| access_error(&self.path, "writing the clean-shutdown marker", source))?;
        self.marked.store(true, Ordering::Release);
        Ok(())
    }

    /// What lies in the directory. Reads every partition's `partition.metadata`; for the start only.
    ///
    /// # Errors
    /// When the directory cannot be listed. A partition whose file is damaged is reported, not an error.
    pub async fn scan(&self, disk: &Disk) -> Result<DirectoryScan, DirectoryError> {
        let entries = disk.list(&self.path).map_err(|source| access_error(&self.path, "listing", source))?;
        Ok(scan::scan(disk, &self.path, entries).await)
    }

    /// Reads one of the offset checkpoints; a missing one has no entries.
    ///
    /// # Errors
    /// When it cannot be read or is damaged. Kafka then goes on as if it had no entries.
    pub async fn load_checkpoint(
        &self,
        disk: &Disk,
        checkpoint: RootCheckpoint,
    ) -> Result<OffsetMap, FileError> {
        load_offsets(disk, &self.path.join(checkpoint.file_name())).await
    }

    /// Changes entries of one of the offset checkpoints, atomically and durably, and keeps all others. For any core; those
    /// that come at the same time take turns.
    ///
    /// # Errors
    /// When the disk fails; the old file then still stands.
    pub async fn update_checkpoint(
        &self,
        disk: &Disk,
        checkpoint: RootCheckpoint,
        changes: Vec<OffsetChange>,
    ) -> Result<(), FileError> {
        self.update_checkpoint_with(disk, checkpoint, || changes).await
    }

    /// As [`DataDirectory::update_checkpoint`], with changes that are looked up when the caller's turn has come: so nothing
    /// older replaces what another task wrote meanwhile.
    ///
    /// # Errors
    /// When the disk fails; the old file then still stands.
    pub async fn update_checkpoint_with(
        &self,
        disk: &Disk,
        checkpoint: RootCheckpoint,
        changes: impl FnOnce() -> Vec<OffsetChange>,
    ) -> Result<(), FileError> {
        self.book.update(disk, &self.path, checkpoint, changes).await
    }

    /// Replaces one of the offset checkpoints, atomically and durably. One caller at a time per checkpoint.
    ///
    /// # Errors
    /// When the disk fails; the old file then still stands.
    pub async fn store_checkpoint(
        &self,
        disk: &Disk,
        checkpoint: RootCheckpoint,
        offsets: &OffsetMap,
    ) -> Result<(), FileError> {
        store_offsets(disk, &self.path.join(checkpoint.file_name()), offsets).await
    }
}

/// Makes the directory and whatever is missing above it, each entry durable.
async fn ensure_directory(disk: &Disk, path: &Path) -> Result<(), DirectoryError> {
    let mut missing = Vec::new();
    let mut place = path;
    loop {
        match disk.list(place) {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push(place),
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(DirectoryError::NotADirectory { path: place.into() });
            }
            // A parent that may be passed but not listed is no obstacle.
            Err(_) if !missing.is_empty() => break,
            Err(source) => return Err(access_error(path, "listing", source)),
        }
        match place.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => place = parent,
            _ => break,
        }
    }
    for place in missing.into_iter().rev() {
        let failed = |source| DirectoryError::Create { path: path.into(), source };
        match disk.create_dir(place).await {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed(error)),
            _ => {}
        }
        let parent = place.parent().filter(|parent| !parent.as_os_str().is_empty());
        disk.sync_dir(parent.unwrap_or(Path::new("."))).await.map_err(failed)?;
    }
    Ok(())
}

/// Only real directories are locked: a simulated one belongs to its process alone.
fn take_lock(disk: &Disk, path: &Path) -> Result<Option<DirectoryLock>, DirectoryError> {
    match disk {
        Disk::Uring(_) => DirectoryLock::take(path).map(Some).map_err(|failure| match failure {
            LockFailure::Held(holder) => DirectoryError::Locked { path: path.into(), holder },
            LockFailure::Io(source) => access_error(path, "locking", source),
        }),
        #[cfg(any(test, feature = "sim"))]
        Disk::Sim(_) => Ok(None),
    }
}

async fn read_meta(disk: &Disk, path: &Path) -> Result<Option<MetaProperties>, DirectoryError> {
    let file = path.join(layout::META_PROPERTIES);
    let bytes = match disk.read_whole(&file).await {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(access_error(path, "reading meta.properties", source)),
    };
    if bytes.is_empty() {
        return Ok(None);
    }
    let meta = MetaProperties::decode(&bytes);
    meta.map(Some).map_err(|source| DirectoryError::DamagedMeta { path: file, source })
}

/// Compares what the directory says with what the broker says; the result is what the file should hold.
fn judge_meta(
    path: &Path,
    meta: Option<&MetaProperties>,
    expectation: &Expectation,
) -> Result<MetaProperties, DirectoryError> {
    let Some(meta) = meta else {
        let cluster_id = expectation.cluster_id.as_ref().unwrap_or(&expectation.new_cluster_id);
        return Ok(MetaProperties {
            cluster_id: cluster_id.clone(),
            node_id: expectation.node_id,
            directory_id: Some(expectation.new_directory_id),
        });
    };
    if let Some(expected) = expectation.cluster_id.as_ref().filter(|expected| **expected != meta.cluster_id) {
        let (found, expected) = (meta.cluster_id.clone(), expected.clone());
        return Err(DirectoryError::ForeignCluster { path: path.into(), found, expected });
    }
    if meta.node_id != expectation.node_id {
        let (found, expected) = (meta.node_id, expectation.node_id);
        return Err(DirectoryError::ForeignNode { path: path.into(), found, expected });
    }
    let directory_id = meta.directory_id.unwrap_or(expectation.new_directory_id);
    Ok(MetaProperties { directory_id: Some(directory_id), ..meta.clone() })
}

fn refuse_logs_without_meta(disk: &Disk, path: &Path) -> Result<(), DirectoryError> {
    let entries = disk.list(path).map_err(|source| access_error(path, "listing", source))?;
    let log = |name: &str| layout::parse_partition_directory(name).is_some();
    match entries.into_iter().find(|entry| entry.is_dir && log(&entry.name)) {
        Some(entry) => Err(DirectoryError::MissingMeta { path: path.into(), example: entry.name }),
        None => Ok(()),
    }
}

fn access_error(path: &Path, action: &'static str, source: io::Error) -> DirectoryError {
    match source.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            DirectoryError::NotWritable { path: path.into(), user: lock::effective_user(), source }
        }
        _ => DirectoryError::Io { path: path.into(), action, source },
    }
}
