//! Kafka's small text files: offset checkpoints at a data directory's root, `leader-epoch-checkpoint` and
//! `partition.metadata` in a partition's (`CheckpointFile`, `OffsetCheckpointFile`, `LeaderEpochCheckpointFile`,
//! `PartitionMetadataFile`). Bytes in and out; the async functions at the end only read or replace one whole file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use slipring_protocol::ids::{LeaderEpoch, Offset, PartitionIndex, TopicId, TopicPartition};

use crate::disk::Disk;
use crate::epoch_cache::EpochEntry;

/// The version of every checkpoint file, and of `partition.metadata`.
const VERSION: i32 = 0;

/// Offsets by partition, in a fixed order.
pub type OffsetMap = BTreeMap<TopicPartition, Offset>;

/// A text file that does not read as Kafka would have written it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Bytes that are no UTF-8.
    #[error("not a text file")]
    NotText,
    /// Another version.
    #[error("version {0} is not known, expected {VERSION}")]
    Version(i32),
    /// A line without the expected fields.
    #[error("line {line} is malformed: {text:?}")]
    Malformed {
        /// Its number, from 1.
        line: usize,
        /// Its beginning.
        text: String,
    },
    /// Fewer or more entries than the second line says.
    #[error("{found} entries where the file promises {expected}")]
    Count {
        /// What the second line says.
        expected: i32,
        /// What follows.
        found: usize,
    },
}

/// A file that could not be read, written or understood.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The disk's fault.
    #[error("{path}: {source}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file's contents.
    #[error("{path} is damaged: {source}", path = .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: CheckpointError,
    },
}

/// Bytes of an offset checkpoint file.
#[must_use]
pub fn encode_offsets(offsets: &OffsetMap) -> Vec<u8> {
    let mut out = heading(offsets.len());
    for (partition, offset) in offsets {
        push_line(&mut out, format_args!("{} {} {offset}", partition.topic, partition.partition));
    }
    out.into_bytes()
}

/// Reads an offset checkpoint file; an empty file has no entries.
///
/// # Errors
/// When it is damaged. Kafka then warns and goes on as if it were empty, which only costs recovery time.
pub fn decode_offsets(bytes: &[u8]) -> Result<OffsetMap, CheckpointError> {
    let entries = decode_entries(bytes, |line| {
        let [topic, partition, offset] = fields(line)?;
        let partition =
            TopicPartition { topic: Arc::from(topic), partition: PartitionIndex(partition.parse().ok()?) };
        Some((partition, Offset(offset.parse().ok()?)))
    })?;
    Ok(entries.into_iter().collect())
}

/// Bytes of a `leader-epoch-checkpoint` file.
#[must_use]
pub fn encode_epochs(entries: &[EpochEntry]) -> Vec<u8> {
    let mut out = heading(entries.len());
    for entry in entries {
        push_line(&mut out, format_args!("{} {}", entry.epoch, entry.start));
    }
    out.into_bytes()
}

/// Reads a `leader-epoch-checkpoint` file; an empty file has no entries.
///
/// # Errors
/// When it is damaged.
pub fn decode_epochs(bytes: &[u8]) -> Result<Vec<EpochEntry>, CheckpointError> {
    decode_entries(bytes, |line| {
        let [epoch, start] = fields(line)?;
        Some(EpochEntry { epoch: LeaderEpoch(epoch.parse().ok()?), start: Offset(start.parse().ok()?) })
    })
}

/// Bytes of a `partition.metadata` file (no newline at its end, as Kafka writes it).
#[must_use]
pub fn encode_partition_metadata(topic_id: TopicId) -> Vec<u8> {
    format!("version: {VERSION}\ntopic_id: {topic_id}").into_bytes()
}

/// Reads a `partition.metadata` file. Later versions are taken, as Kafka takes them.
///
/// # Errors
/// When it is damaged or names no topic id.
pub fn decode_partition_metadata(bytes: &[u8]) -> Result<TopicId, CheckpointError> {
    let text = std::str::from_utf8(bytes).map_err(|_| CheckpointError::NotText)?;
    let mut lines = text.lines();
    let mut value = |line: usize| {
        let text = lines.next().unwrap_or_default();
        let value = text.split_once(':').map(|(_, value)| value.trim());
        value.ok_or_else(|| malformed(line, text))
    };
    let version = value(1)?;
    let version: i32 = version.parse().map_err(|_| malformed(1, version))?;
    if version < VERSION {
        return Err(CheckpointError::Version(version));
    }
    let topic_id = value(2)?;
    match topic_id.parse::<TopicId>() {
        Ok(id) if !id.is_none() => Ok(id),
        _ => Err(malformed(2, topic_id)),
    }
}

/// Reads an offset checkpoint; a missing file has no entries.
///
/// # Errors
/// When the file cannot be read or is damaged.
pub async fn load_offsets(disk: &Disk, path: &Path) -> Result<OffsetMap, FileError> {
    let bytes = read_or_empty(disk, path).await?;
    decode_offsets(&bytes).map_err(|source| FileError::Damaged { path: path.into(), source })
}

/// Replaces an offset checkpoint, atomically and durably.
///
/// # Errors
/// When the disk fails; the old file then still stands.
pub async fn store_offsets(disk: &Disk, path: &Path, offsets: &OffsetMap) -> Result<(), FileError> {
    replace(disk, path, encode_offsets(offsets)).await
}

/// Reads a `leader-epoch-checkpoint`; a missing file has no entries.
///
/// # Errors
/// When the file cannot be read or is damaged.
pub async fn load_epochs(disk: &Disk, path: &Path) -> Result<Vec<EpochEntry>, FileError> {
    let bytes = read_or_empty(disk, path).await?;
    decode_epochs(&bytes).map_err(|source| FileError::Damaged { path: path.into(), source })
}

/// Replaces a `leader-epoch-checkpoint`, atomically and durably.
///
/// # Errors
/// When the disk fails; the old file then still stands.
pub async fn store_epochs(disk: &Disk, path: &Path, entries: &[EpochEntry]) -> Result<(), FileError> {
    replace(disk, path, encode_epochs(entries)).await
}

/// Reads a `partition.metadata`; `None` when there is none (a directory of before topic ids).
///
/// # Errors
/// When the file cannot be read or is damaged.
pub async fn load_partition_metadata(disk: &Disk, path: &Path) -> Result<Option<TopicId>, FileError> {
    let bytes = read_or_empty(disk, path).await?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let id = decode_partition_metadata(&bytes);
    id.map(Some).map_err(|source| FileError::Damaged { path: path.into(), source })
}

/// Writes a `partition.metadata`, atomically and durably.
///
/// # Errors
/// When the disk fails.
pub async fn store_partition_metadata(disk: &Disk, path: &Path, topic_id: TopicId) -> Result<(), FileError> {
    replace(disk, path, encode_partition_metadata(topic_id)).await
}

async fn read_or_empty(disk: &Disk, path: &Path) -> Result<Vec<u8>, FileError> {
    match disk.read_whole(path).await {
        Ok(bytes) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(FileError::Io { path: path.into(), source }),
    }
}

async fn replace(disk: &Disk, path: &Path, bytes: Vec<u8>) -> Result<(), FileError> {
    disk.replace_whole(path, bytes).await.map_err(|source| FileError::Io { path: path.into(), source })
}

fn heading(count: usize) -> String {
    format!("{VERSION}\n{count}\n")
}

fn push_line(out: &mut String, line: std::fmt::Arguments<'_>) {
    out.write_fmt(line).expect("a string takes any text");
    out.push('\n');
}

/// Exactly `N` fields between white space.
fn fields<const N: usize>(line: &str) -> Option<[&str; N]> {
    let mut parts = line.split_ascii_whitespace();
    let mut found = [""; N];
    for field in &mut found {
        *field = parts.next()?;
    }
    parts.next().is_none().then_some(found)
}

/// Version, count, one entry a line (`CheckpointFile.CheckpointReadBuffer`). The count is only compared, never trusted.
fn decode_entries<T>(bytes: &[u8], parse: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, CheckpointError> {
    let text = std::str::from_utf8(bytes).map_err(|_| CheckpointError::NotText)?;
    let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line));
    let Some(version) = lines.next().map(number).transpose()? else {
        return Ok(Vec::new());
    };
    if version != VERSION {
        return Err(CheckpointError::Version(version));
    }
    let Some(expected) = lines.next().map(number).transpose()? else {
        return Ok(Vec::new());
    };
    let mut entries = Vec::new();
    for (at, line) in lines {
        entries.push(parse(line).ok_or_else(|| malformed(at, line))?);
    }
    if usize::try_from(expected) != Ok(entries.len()) {
        return Err(CheckpointError::Count { expected, found: entries.len() });
    }
    Ok(entries)
}

fn number((at, line): (usize, &str)) -> Result<i32, CheckpointError> {
    line.parse().map_err(|_| malformed(at, line))
}

fn malformed(line: usize, text: &str) -> CheckpointError {
    CheckpointError::Malformed { line, text: text.chars().take(80).collect() }
}

#[cfg(test)]
mod tests;
