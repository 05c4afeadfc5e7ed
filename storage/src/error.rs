//! Why the log engine refuses or fails. Plain values; what they mean on the wire is the broker's to say.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use slipring_protocol::ids::Offset;

use crate::producer_state::ProducerError;

/// The disk's fault, or an operator's. A log that saw one is fenced and says so until the process ends.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StorageError {
    /// An operation failed.
    #[error("{operation} {}: {source}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// Bytes that were promised to be durable are not valid: damage, never a torn tail.
    #[error("damaged: {} at byte {position}: {reason}", path.display())]
    Damaged {
        /// The segment file.
        path: PathBuf,
        /// First byte of the batch that is not valid.
        position: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A commit of the journal that must be valid is not: what it held is unknown, so the whole directory is reported.
    #[error("journal damaged: {} at byte {position}: {reason}", path.display())]
    JournalDamaged {
        /// The journal file.
        path: PathBuf,
        /// First byte of the commit.
        position: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// What fenced logs left in the journal fills it: nothing more can be made durable in this directory.
    #[error("journal full of what failed logs could not write to their files: {}", path.display())]
    JournalFull {
        /// The journal file.
        path: PathBuf,
    },
    /// A small file (checkpoint, metadata) cannot be used.
    #[error("{}: {reason}", path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An earlier failure fenced this log; later successes pretend nothing.
    #[error("fenced by an earlier failure: {0}")]
    Fenced(Arc<StorageError>),
    /// There is no such log here (any more).
    #[error("no such log")]
    NoSuchLog,
    /// A log with this id or directory is here already.
    #[error("log exists already: {}", .0.display())]
    Exists(PathBuf),
    /// The directory belongs to another topic id.
    #[error("{} belongs to topic id {found}, not {wanted}", path.display())]
    WrongTopic {
        /// The partition's directory.
        path: PathBuf,
        /// Id in its metadata file.
        found: String,
        /// Id that was asked for.
        wanted: String,
    },
}

impl StorageError {
    /// An operation on `path` failed.
    pub(crate) fn io(operation: &'static str, path: &Path, source: io::Error) -> StorageError {
        StorageError::Io { operation, path: path.to_path_buf(), source: Arc::new(source) }
    }

    /// Whether something only ran out, on the disk or in the process: it may be there again later, and nothing was lost.
    pub(crate) fn is_shortage(&self) -> bool {
        let StorageError::Io { source, .. } = self else { return false };
        let errno = source.raw_os_error();
        self.is_disk_full() || matches!(errno, Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM))
    }

    /// Whether the file system had no room left.
    #[must_use]
    pub fn is_disk_full(&self) -> bool {
        match self {
            StorageError::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            StorageError::Fenced(cause) => cause.is_disk_full(),
            _ => false,
        }
    }
}

/// Adds what was tried to an I/O error.
pub(crate) trait IoContext<T> {
    fn context(self, operation: &'static str, path: &Path) -> Result<T, StorageError>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn context(self, operation: &'static str, path: &Path) -> Result<T, StorageError> {
        self.map_err(|source| StorageError::io(operation, path, source))
    }
}

/// Why a batch was not appended. Nothing of the log changed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// There is no such log here (any more).
    #[error("no such log")]
    NoSuchLog,
    /// The log is fenced.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// No room in the journal or in memory right now: wait for [`crate::store::Store::wait_for_room`] and try again.
    #[error("no room right now, to be tried again")]
    Busy,
    /// Idempotence or transaction rules.
    #[error(transparent)]
    Producer(#[from] ProducerError),
    /// Larger than `segment.bytes`.
    #[error("batch of {size} bytes is larger than a segment ({segment_bytes_max} bytes)")]
    TooLarge {
        /// Bytes of the batch.
        size: usize,
        /// `segment.bytes`.
        segment_bytes_max: u64,
    },
    /// Given offsets (replication) that do not continue the log.
    #[error("batch at offset {base_offset} does not continue a log that ends at {log_end}")]
    OutOfOrderOffsets {
        /// First offset of the batch.
        base_offset: Offset,
        /// Where the log ends.
        log_end: Offset,
    },
    /// The header does not describe the bytes given with it.
    #[error("batch header and bytes do not agree")]
    BadBatch,
}

/// Why a read could not be planned or done.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no such log here (any more).
    #[error("no such log")]
    NoSuchLog,
    /// Before the log's start or beyond its end.
    #[error("offset {requested} is outside {log_start}..={log_end}")]
    OffsetOutOfRange {
        /// What was asked for.
        requested: Offset,
        /// First readable offset.
        log_start: Offset,
        /// End of the log.
        log_end: Offset,
    },
    /// The disk's fault.
    #[error(transparent)]
    Storage(#[from] StorageError),
}
