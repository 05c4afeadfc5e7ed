//! Producer snapshot files (`.snapshot`, Kafka's `ProducerSnapshot.json` version 1 and `ProducerStateManager`): version,
//! CRC-32C over what follows it, count, fixed-size entries, all big-endian. Bytes in and out, no file.

use slipring_protocol::ids::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

/// The one version Kafka writes and reads.
const VERSION: i16 = 1;
const CRC_AT: usize = 2;
const ENTRIES_AT: usize = 6;
const HEADER_SIZE: usize = 10;
/// Bytes of one entry.
const ENTRY_SIZE: usize = 46;

/// One producer as a snapshot holds it: only its last batch survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotEntry {
    /// Producer id.
    pub producer_id: ProducerId,
    /// Its epoch.
    pub epoch: ProducerEpoch,
    /// Sequence of the last record, -1 when no batch is remembered.
    pub last_sequence: Sequence,
    /// Offset of the last record, -1 when no batch is remembered.
    pub last_offset: Offset,
    /// Last minus first offset of the last batch.
    pub offset_delta: i32,
    /// Largest timestamp of the last batch or marker.
    pub timestamp: TimestampMs,
    /// Epoch of the transaction coordinator that wrote the last marker, -1 when there was none.
    pub coordinator_epoch: i32,
    /// First offset of the open transaction.
    pub txn_first_offset: Option<Offset>,
}

/// A damaged snapshot: to be removed, the state being rebuilt from an older one and the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Too short for a header.
    #[error("producer snapshot of {0} bytes is too short")]
    Short(usize),
    /// Another version.
    #[error("producer snapshot has unknown version {0}")]
    Version(i16),
    /// The count does not agree with the length.
    #[error("producer snapshot names {count} producers but has {bytes} bytes for them")]
    Count {
        /// The count in the file.
        count: i32,
        /// Bytes after the header.
        bytes: usize,
    },
    /// The checksum is wrong.
    #[error("producer snapshot is damaged: stored CRC {stored:#010x}, computed {computed:#010x}")]
    Crc {
        /// What the file says.
        stored: u32,
        /// What its bytes give.
        computed: u32,
    },
}

/// The file's bytes for these producers.
///
/// # Panics
/// Beyond 2^31-1 entries, which `ProducerState` never holds.
#[must_use]
pub fn encode(entries: &[SnapshotEntry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_SIZE + entries.len() * ENTRY_SIZE);
    out.extend_from_slice(&VERSION.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    let count = i32::try_from(entries.len()).expect("the number of producers is bounded");
    out.extend_from_slice(&count.to_be_bytes());
    for entry in entries {
        out.extend_from_slice(&entry.producer_id.0.to_be_bytes());
        out.extend_from_slice(&entry.epoch.0.to_be_bytes());
        out.extend_from_slice(&entry.last_sequence.0.to_be_bytes());
        out.extend_from_slice(&entry.last_offset.0.to_be_bytes());
        out.extend_from_slice(&entry.offset_delta.to_be_bytes());
        out.extend_from_slice(&entry.timestamp.0.to_be_bytes());
        out.extend_from_slice(&entry.coordinator_epoch.to_be_bytes());
        out.extend_from_slice(&entry.txn_first_offset.map_or(-1, |offset| offset.0).to_be_bytes());
    }
    let crc = crc32c::crc32c(&out[ENTRIES_AT..]);
    out[CRC_AT..ENTRIES_AT].copy_from_slice(&crc.to_be_bytes());
    out
}

/// Reads a file's bytes.
///
/// # Errors
/// When they are damaged in any way; nothing is allocated before the length has been checked.
pub fn decode(bytes: &[u8]) -> Result<Vec<SnapshotEntry>, SnapshotError> {
    if bytes.len() < HEADER_SIZE {
        return Err(SnapshotError::Short(bytes.len()));
    }
    let version = i16::from_be_bytes([bytes[0], bytes[1]]);
    if version != VERSION {
        return Err(SnapshotError::Version(version));
    }
    let stored = u32::from_be_bytes(array(bytes, CRC_AT));
    let computed = crc32c::crc32c(&bytes[ENTRIES_AT..]);
    if stored != computed {
        return Err(SnapshotError::Crc { stored, computed });
    }
    let count = i32::from_be_bytes(array(bytes, ENTRIES_AT));
    let body = &bytes[HEADER_SIZE..];
    if usize::try_from(count).ok().and_then(|count| count.checked_mul(ENTRY_SIZE)) != Some(body.len()) {
        return Err(SnapshotError::Count { count, bytes: body.len() });
    }
    Ok(body.chunks_exact(ENTRY_SIZE).map(decode_entry).collect())
}

fn decode_entry(bytes: &[u8]) -> SnapshotEntry {
    let txn_first_offset = i64::from_be_bytes(array(bytes, 38));
    SnapshotEntry {
        producer_id: ProducerId(i64::from_be_bytes(array(bytes, 0))),
        epoch: ProducerEpoch(i16::from_be_bytes(array(bytes, 8))),
        last_sequence: Sequence(i32::from_be_bytes(array(bytes, 10))),
        last_offset: Offset(i64::from_be_bytes(array(bytes, 14))),
        offset_delta: i32::from_be_bytes(array(bytes, 22)),
        timestamp: TimestampMs(i64::from_be_bytes(array(bytes, 26))),
        coordinator_epoch: i32::from_be_bytes(array(bytes, 34)),
        txn_first_offset: (txn_first_offset >= 0).then_some(Offset(txn_first_offset)),
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the slice has the array's length")
}

/// Snapshots that belong to no segment, as Kafka's `removeStraySnapshots` finds them at start-up: all whose offset is no
/// segment's base, save the newest when it lies above every segment's base (a clean stop writes that one).
#[must_use]
pub fn stray_snapshots(snapshots: &[Offset], segment_bases: &[Offset]) -> Vec<Offset> {
    let mut stray: Vec<Offset> =
        snapshots.iter().copied().filter(|offset| !segment_bases.contains(offset)).collect();
    stray.sort_unstable();
    let newest_base = segment_bases.iter().max();
    if stray.last().is_some_and(|newest| newest_base.is_none_or(|base| newest >= base)) {
        stray.pop();
    }
    stray
}
