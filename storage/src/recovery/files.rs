//! Small file operations that recovery, creation and clean stops share: index files, snapshots, a segment's last block. On
//! whichever core needs them.

use std::io;
use std::path::Path;

use bytes::Bytes;
use slipring_protocol::batch::BatchHeader;
use slipring_protocol::ids::{Offset, TimestampMs};

use super::scan::{ScanRange, scan};
use crate::disk::{AlignedBuf, Disk, DiskFile, Durability, OpenOptions};
use crate::error::{IoContext, StorageError};
use crate::layout::SegmentFile;
use crate::limits::{BLOCK, block_floor};
use crate::log::segment::{Cold, ColdIndexes, Indexes};
use crate::segment::time_index::TimeIndexView;

/// Loads a closed part of a segment's indexes; missing or damaged files are rebuilt from the segment.
pub(crate) async fn load_indexes(
    disk: &Disk,
    directory: &Path,
    base: Offset,
    segment_end: u64,
    interval: u64,
    index_bytes_max: usize,
) -> Result<ColdIndexes, StorageError> {
    let offsets_path = directory.join(SegmentFile::OffsetIndex.name(base));
    let times_path = directory.join(SegmentFile::TimeIndex.name(base));
    let offsets = read_if_there(disk, &offsets_path).await?;
    let times = read_if_there(disk, &times_path).await?;
    if let (Some(offsets), Some(times)) = (offsets, times) {
        let bytes = (Bytes::from(offsets), Bytes::from(times));
        match ColdIndexes::new(base, bytes.0, bytes.1) {
            Ok(indexes) if indexes.fits(segment_end) => return Ok(indexes),
            Ok(_) => {
                tracing::warn!(path = %offsets_path.display(), "index reaches beyond its segment, rebuilt")
            }
            Err(error) => tracing::warn!(path = %offsets_path.display(), %error, "index rebuilt"),
        }
    }
    let path = directory.join(SegmentFile::Log.name(base));
    let file = disk
        .open(&path, OpenOptions { write: false, create: false, direct: true })
        .await
        .context("opening", &path)?;
    let mut indexes = Indexes::new(base, index_bytes_max);
    let range = ScanRange { from: 0, to: segment_end, expected: base };
    let end = scan(disk, &file, range, |header, position, _| {
        indexes.note(header, header.last_offset(), position, interval);
    })
    .await?;
    if let Some(reason) = end.invalid {
        return Err(StorageError::Damaged { path, position: end.position, reason });
    }
    Ok(indexes.into_cold(base))
}

/// Writes a segment's index files durably, replacing what was there. `indexes` must not be [`Cold::OnDisk`].
pub(crate) async fn write_indexes(
    disk: &Disk,
    directory: &Path,
    base: Offset,
    indexes: &Indexes,
) -> Result<ColdIndexes, StorageError> {
    let (offsets, times) = indexes.file_bytes(base);
    let offsets_path = directory.join(SegmentFile::OffsetIndex.name(base));
    let times_path = directory.join(SegmentFile::TimeIndex.name(base));
    write_file(disk, &offsets_path, &offsets).await?;
    write_file(disk, &times_path, &times).await?;
    ColdIndexes::new(base, Bytes::from(offsets), Bytes::from(times))
        .map_err(|error| crate::log::segment::index_damage(&offsets_path, &error))
}

/// Writes a whole small file in place, durably but not atomically: only for files that are rebuilt when torn. Their
/// directory is synced by the caller.
pub(crate) async fn write_file(disk: &Disk, path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
    let options = OpenOptions { write: true, create: true, direct: false };
    let file = disk.open(path, options).await.context("opening", path)?;
    disk.truncate(&file, 0).await.context("truncating", path)?;
    if !bytes.is_empty() {
        let part = AlignedBuf::copy_of(bytes).into();
        disk.write(&file, 0, vec![part], Durability::Volatile).await.0.context("writing", path)?;
    }
    disk.sync(&file).await.context("syncing", path)
}

/// A whole small file; `None` when there is none.
pub(crate) async fn read_if_there(disk: &Disk, path: &Path) -> Result<Option<Vec<u8>>, StorageError> {
    match disk.read_whole(path).await {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StorageError::io("reading", path, error)),
    }
}

/// Removes segments that lie wholly below the log start: what a crash left of a deletion, in whatever state. `bases` are
/// those of all segments, ascending. Gives the first base that stays.
pub(crate) async fn remove_below(
    disk: &Disk,
    directory: &Path,
    log_start: Offset,
    bases: &[Offset],
) -> Result<Option<Offset>, StorageError> {
    let gone = bases.partition_point(|base| *base <= log_start).saturating_sub(1);
    for base in &bases[..gone] {
        for kind in SegmentFile::ALL {
            let path = directory.join(kind.name(*base));
            match disk.remove_file(&path).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(StorageError::io("removing", &path, error));
                }
                _ => {}
            }
        }
    }
    Ok(bases.get(gone).copied())
}

/// The bytes of the last partial block of a file that ends at `end`.
pub(crate) async fn last_block(disk: &Disk, file: &DiskFile, end: u64) -> Result<Vec<u8>, StorageError> {
    let from = block_floor(end);
    if from == end {
        return Ok(Vec::new());
    }
    let (read, buf) = disk.read(file, from, AlignedBuf::zeroed(BLOCK as usize)).await;
    let read = read.context("reading", file.path())?;
    let len = (end - from) as usize;
    if read < len {
        let reason = "the file is shorter than its size".to_owned();
        return Err(StorageError::Damaged { path: file.path().to_path_buf(), position: from, reason });
    }
    Ok(buf[..len].to_vec())
}

/// Largest timestamp of the first batch of a segment's file; `None` when it holds none.
pub(crate) async fn first_timestamp(
    disk: &Disk,
    file: &DiskFile,
    size: u64,
) -> Result<Option<TimestampMs>, StorageError> {
    if size == 0 {
        return Ok(None);
    }
    let (read, buf) = disk.read(file, 0, AlignedBuf::zeroed(BLOCK as usize)).await;
    read.context("reading", file.path())?;
    // What is damaged is found when it is read.
    Ok(BatchHeader::parse(&buf).ok().map(|header| header.max_timestamp))
}

impl Indexes {
    /// The bytes of both index files: what they held and what was appended since, with the closing time entry.
    pub(crate) fn file_bytes(&self, base: Offset) -> (Vec<u8>, Vec<u8>) {
        let mut times = self.times.clone();
        // Only refused when it would not rise, and then it is not needed.
        let _ = times.maybe_append(self.max, true);
        let (mut offset_bytes, mut time_bytes) = match &self.cold {
            Cold::Loaded(cold) => (cold.offset_bytes.to_vec(), cold.time_bytes.to_vec()),
            Cold::Nothing | Cold::OnDisk => (Vec::new(), Vec::new()),
        };
        offset_bytes.extend_from_slice(self.offsets.bytes());
        // Both files rise; entries appended since must not repeat what the file ends with.
        let known = TimeIndexView::new(base, Bytes::copy_from_slice(&time_bytes))
            .map_or(i64::MIN, |view| view.last_entry().timestamp.0);
        for entry in times.bytes().chunks_exact(crate::segment::time_index::ENTRY_SIZE) {
            let timestamp = i64::from_be_bytes(entry[..8].try_into().expect("an entry begins with 8 bytes"));
            if timestamp > known {
                time_bytes.extend_from_slice(entry);
            }
        }
        (offset_bytes, time_bytes)
    }

    /// All of it as loaded files.
    pub(crate) fn into_cold(self, base: Offset) -> ColdIndexes {
        let (offsets, times) = self.file_bytes(base);
        ColdIndexes::new(base, Bytes::from(offsets), Bytes::from(times)).expect("built in order just now")
    }
}
