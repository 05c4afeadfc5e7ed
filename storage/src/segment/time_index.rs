//! Time index of a segment (`.timeindex`): 12-byte entries, timestamp and offset relative to the base, big-endian
//! (Kafka's `TimeIndex`). An entry says: the largest timestamp up to here is this one, at that offset. Pure over bytes,
//! on the core that owns the log.

use bytes::Bytes;
use slipring_protocol::ids::{Offset, TimestampMs};

use super::index::{IndexError, partition_point, read_i32, relative_offset};

/// Size of one entry in bytes.
pub const ENTRY_SIZE: usize = 12;
/// What an empty index answers: no timestamp.
const NO_TIMESTAMP: TimestampMs = TimestampMs(-1);

/// A timestamp and the offset that carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampOffset {
    /// Milliseconds since the epoch; -1 when there is none.
    pub timestamp: TimestampMs,
    /// The offset; the segment's base offset when there is no timestamp.
    pub offset: Offset,
}

/// The growing time index of an active segment, held in file format.
#[derive(Clone, Debug)]
pub struct TimeIndex {
    base: Offset,
    bytes: Vec<u8>,
    entries_max: usize,
}

impl TimeIndex {
    /// An empty index of a segment that starts at `base`; `bytes_max` is `segment.index.bytes`.
    #[must_use]
    pub const fn new(base: Offset, bytes_max: usize) -> Self {
        Self { base, bytes: Vec::new(), entries_max: bytes_max / ENTRY_SIZE }
    }

    /// Takes over a file's bytes for further appends, after the checks of [`TimeIndexView::check_order`].
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn load(base: Offset, bytes: Vec<u8>, bytes_max: usize) -> Result<Self, IndexError> {
        check_ends(base, &bytes)?;
        check_order(&bytes)?;
        Ok(Self { base, bytes, entries_max: bytes_max / ENTRY_SIZE })
    }

    /// Adds an entry when `timestamp` is above the last entry's, else nothing. `closing` also takes the one entry that
    /// is kept free for the roll of the segment.
    ///
    /// # Errors
    /// When the index is full, the offset does not fit, or offset or timestamp lie before the last entry's.
    pub fn maybe_append(&mut self, entry: TimestampOffset, closing: bool) -> Result<(), IndexError> {
        if !closing && self.is_full() {
            return Err(IndexError::Full(self.len()));
        }
        let last = self.last_entry();
        if !self.is_empty() && entry.offset < last.offset {
            return Err(IndexError::NotIncreasing { offset: entry.offset, last: last.offset });
        }
        if !self.is_empty() && entry.timestamp < last.timestamp {
            return Err(IndexError::TimestampBack { timestamp: entry.timestamp.0, last: last.timestamp.0 });
        }
        if entry.timestamp <= last.timestamp {
            return Ok(());
        }
        if self.len() >= self.entries_max {
            return Err(IndexError::Full(self.len()));
        }
        let relative = relative_offset(self.base, entry.offset)?;
        self.bytes.extend_from_slice(&entry.timestamp.0.to_be_bytes());
        self.bytes.extend_from_slice(&relative.to_be_bytes());
        Ok(())
    }

    /// The last entry at or below `target`: no record before its offset carries a timestamp above it. (-1, base) when
    /// there is none.
    #[must_use]
    pub fn lookup(&self, target: TimestampMs) -> TimestampOffset {
        lookup(self.base, &self.bytes, target)
    }

    /// Drops every entry whose offset is at or beyond `offset`.
    pub fn truncate_to(&mut self, offset: Offset) {
        let base = self.base;
        let keep = partition_point(self.len(), |slot| entry_at(base, &self.bytes, slot).offset < offset);
        self.bytes.truncate(keep * ENTRY_SIZE);
    }

    /// The last entry, (-1, base) when there is none.
    #[must_use]
    pub fn last_entry(&self) -> TimestampOffset {
        last_entry(self.base, &self.bytes)
    }

    /// Whether no further entry fits, one being kept for the roll; the segment then rolls.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.len() + 1 >= self.entries_max
    }

    /// Number of entries.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes.len() / ENTRY_SIZE
    }

    /// Whether there is no entry.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The whole file's bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// File bytes from entry `from` on; they belong at `from * ENTRY_SIZE`.
    #[must_use]
    pub fn bytes_from(&self, from: usize) -> &[u8] {
        &self.bytes[(from * ENTRY_SIZE).min(self.bytes.len())..]
    }

    /// Gives the file bytes away, for the write when the segment rolls.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// The time index of a closed segment, loaded and searched in place.
#[derive(Clone, Debug)]
pub struct TimeIndexView {
    base: Offset,
    bytes: Bytes,
}

impl TimeIndexView {
    /// Wraps a file's bytes after Kafka's sanity check.
    ///
    /// # Errors
    /// When the file is damaged: the index is to be rebuilt from the segment.
    pub fn new(base: Offset, bytes: Bytes) -> Result<Self, IndexError> {
        check_ends(base, &bytes)?;
        Ok(Self { base, bytes })
    }

    /// Looks at every entry.
    ///
    /// # Errors
    /// When timestamps do not rise or offsets fall.
    pub fn check_order(&self) -> Result<(), IndexError> {
        check_order(&self.bytes)
    }

    /// As [`TimeIndex::lookup`].
    #[must_use]
    pub fn lookup(&self, target: TimestampMs) -> TimestampOffset {
        lookup(self.base, &self.bytes, target)
    }

    /// The last entry, (-1, base) when there is none: the largest timestamp of a closed segment.
    #[must_use]
    pub fn last_entry(&self) -> TimestampOffset {
        last_entry(self.base, &self.bytes)
    }

    /// All entries in order.
    pub fn entries(&self) -> impl Iterator<Item = TimestampOffset> {
        (0..self.len()).map(|slot| entry_at(self.base, &self.bytes, slot))
    }

    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len() / ENTRY_SIZE
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// Reads one entry of an index file.
#[must_use]
pub fn decode_entry(base: Offset, bytes: &[u8; ENTRY_SIZE]) -> TimestampOffset {
    entry_at(base, bytes, 0)
}

fn timestamp_at(bytes: &[u8], slot: usize) -> i64 {
    let at = slot * ENTRY_SIZE;
    i64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes were sliced"))
}

fn entry_at(base: Offset, bytes: &[u8], slot: usize) -> TimestampOffset {
    let relative = read_i32(bytes, slot * ENTRY_SIZE + 8);
    TimestampOffset {
        timestamp: TimestampMs(timestamp_at(bytes, slot)),
        offset: base.plus(i64::from(relative)),
    }
}

fn last_entry(base: Offset, bytes: &[u8]) -> TimestampOffset {
    match bytes.len() / ENTRY_SIZE {
        0 => TimestampOffset { timestamp: NO_TIMESTAMP, offset: base },
        len => entry_at(base, bytes, len - 1),
    }
}

fn lookup(base: Offset, bytes: &[u8], target: TimestampMs) -> TimestampOffset {
    let len = bytes.len() / ENTRY_SIZE;
    match partition_point(len, |slot| timestamp_at(bytes, slot) <= target.0) {
        0 => TimestampOffset { timestamp: NO_TIMESTAMP, offset: base },
        above => entry_at(base, bytes, above - 1),
    }
}

fn check_ends(base: Offset, bytes: &[u8]) -> Result<(), IndexError> {
    if !bytes.len().is_multiple_of(ENTRY_SIZE) {
        return Err(IndexError::Length { len: bytes.len(), entry_size: ENTRY_SIZE });
    }
    if bytes.is_empty() {
        return Ok(());
    }
    let last = last_entry(base, bytes);
    if last.timestamp.0 < timestamp_at(bytes, 0) {
        return Err(IndexError::LastEntry(last.timestamp.0));
    }
    if last.offset < base {
        return Err(IndexError::LastEntry(last.offset.0));
    }
    Ok(())
}

fn check_order(bytes: &[u8]) -> Result<(), IndexError> {
    let mut last: Option<(i64, i32)> = None;
    for slot in 0..bytes.len() / ENTRY_SIZE {
        let (timestamp, relative) = (timestamp_at(bytes, slot), read_i32(bytes, slot * ENTRY_SIZE + 8));
        if relative < 0 || last.is_some_and(|(time, offset)| timestamp <= time || relative < offset) {
            return Err(IndexError::Order(slot));
        }
        last = Some((timestamp, relative));
    }
    Ok(())
}
