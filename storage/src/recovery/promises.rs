//! `slipring-recovery` at a data directory's root: what replayed journals promised of each log. Written before the journals
//! are emptied, so that a crash between replay and the logs' own recovery forgets no promise. Removed at the next clean
//! start. Pure bytes plus whole-file reads and writes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rkyv::rancor;
use slipring_protocol::ids::{Offset, PartitionIndex, TopicId, TopicIdPartition};
use uuid::Uuid;

use super::files::read_if_there;
use crate::disk::Disk;
use crate::error::{IoContext, StorageError};
use crate::journal::format::LogKey;

/// Up to where a log was promised to be durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Promise {
    pub(crate) segment: Offset,
    /// Everything below, in that segment and all before it, must be valid.
    pub(crate) position: u64,
    /// The log ends here or beyond.
    pub(crate) end: Offset,
}

pub(crate) type Promises = BTreeMap<TopicIdPartition, Promise>;

const NAME: &str = "slipring-recovery";
const MAGIC: [u8; 8] = *b"SLIPRECV";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 16;

#[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
struct Entry {
    log: LogKey,
    segment: i64,
    position: u64,
    end: i64,
}

fn path(root: &Path) -> PathBuf {
    root.join(NAME)
}

/// Replaces the file.
pub(crate) async fn store(disk: &Disk, root: &Path, promises: &Promises) -> Result<(), StorageError> {
    let path = path(root);
    disk.replace_whole(&path, encode(promises)).await.context("writing", &path)
}

/// Reads the file; empty when there is none.
pub(crate) async fn load(disk: &Disk, root: &Path) -> Result<Promises, StorageError> {
    let path = path(root);
    match read_if_there(disk, &path).await? {
        None => Ok(Promises::new()),
        Some(bytes) => {
            decode(&bytes).map_err(|reason| StorageError::BadFile { path, reason: reason.to_owned() })
        }
    }
}

/// Removes the file durably.
pub(crate) async fn remove(disk: &Disk, root: &Path) -> Result<(), StorageError> {
    let path = path(root);
    match disk.remove_file(&path).await {
        Ok(()) => disk.sync_dir(root).await.context("syncing", root),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StorageError::io("removing", &path, error)),
    }
}

/// The log that a descriptor's key names.
pub(crate) fn log_id(key: LogKey) -> TopicIdPartition {
    TopicIdPartition {
        topic_id: TopicId(Uuid::from_bytes(key.topic_id)),
        partition: PartitionIndex(key.partition),
    }
}

fn encode(promises: &Promises) -> Vec<u8> {
    let entries: Vec<Entry> = promises
        .iter()
        .map(|(id, promise)| Entry {
            log: LogKey { topic_id: *id.topic_id.0.as_bytes(), partition: id.partition.0 },
            segment: promise.segment.0,
            position: promise.position,
            end: promise.end.0,
        })
        .collect();
    let archived = rkyv::to_bytes::<rancor::Error>(&entries).expect("plain numbers always serialize");
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(&archived).to_le_bytes());
    bytes.extend_from_slice(&archived);
    bytes
}

fn decode(bytes: &[u8]) -> Result<Promises, &'static str> {
    let (head, body) = bytes.split_at_checked(HEADER_BYTES).ok_or("too short")?;
    if head[..8] != MAGIC || head[8..12] != VERSION.to_le_bytes() {
        return Err("unknown format");
    }
    if head[12..] != crc32c::crc32c(body).to_le_bytes() {
        return Err("checksum does not match");
    }
    let mut aligned = rkyv::util::AlignedVec::<16>::with_capacity(body.len());
    aligned.extend_from_slice(body);
    let entries = rkyv::from_bytes::<Vec<Entry>, rancor::Error>(&aligned).map_err(|_| "does not parse")?;
    let promise = |entry: &Entry| Promise {
        segment: Offset(entry.segment),
        position: entry.position,
        end: Offset(entry.end),
    };
    Ok(entries.iter().map(|entry| (log_id(entry.log), promise(entry))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn promises_read_back_and_damage_shows() {
        let id = TopicIdPartition { topic_id: TopicId(Uuid::from_u128(7)), partition: PartitionIndex(2) };
        let promise = Promise { segment: Offset(5), position: 8192, end: Offset(17) };
        let promises = Promises::from([(id, promise)]);
        let bytes = encode(&promises);
        assert_eq!(decode(&bytes), Ok(promises));
        for byte in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[byte] ^= 0x40;
            assert!(decode(&bad).is_err(), "byte {byte}");
        }
        assert!(decode(&bytes[..10]).is_err());
    }
}
