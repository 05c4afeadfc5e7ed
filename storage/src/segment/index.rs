//! Offset index of a segment (`.index`): 8-byte entries, offset relative to the base and byte position, both big-endian
//! (Kafka's `OffsetIndex`). An entry names the *last* offset of the batch that starts at the position. Pure over bytes:
//! the owner's core keeps the active segment's index in memory in file format; loaded ones are searched in place.

use bytes::Bytes;
use slipring_protocol::ids::Offset;

/// Size of one entry in bytes.
pub const ENTRY_SIZE: usize = 8;

/// Where a batch lies in its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetPosition {
    /// Last offset of the batch, or the segment's base offset for the implied entry at position 0.
    pub offset: Offset,
    /// First byte of the batch in the segment file.
    pub position: u32,
}

/// Why an index refused an entry or a loaded file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// The next entry would pass `segment.index.bytes`; the segment has to roll.
    #[error("the index is full ({0} entries)")]
    Full(usize),
    /// The offset is below the base or more than 2^31-1 above it; the segment has to roll.
    #[error("offset {offset} does not fit an index with base offset {base}")]
    OutOfRange {
        /// The offset that does not fit.
        offset: Offset,
        /// Base offset of the segment.
        base: Offset,
    },
    /// The entry is not beyond the last one.
    #[error("entry for offset {offset} is not beyond the last one, {last}")]
    NotIncreasing {
        /// The refused offset.
        offset: Offset,
        /// Offset of the last entry.
        last: Offset,
    },
    /// A timestamp below the last entry's.
    #[error("entry for timestamp {timestamp} is below the last one, {last}")]
    TimestampBack {
        /// The refused timestamp in milliseconds.
        timestamp: i64,
        /// Timestamp of the last entry in milliseconds.
        last: i64,
    },
    /// The file's length is no multiple of the entry size.
    #[error("index file of {len} bytes is damaged: not a multiple of {entry_size}")]
    Length {
        /// Length of the file in bytes.
        len: usize,
        /// Bytes of one entry.
        entry_size: usize,
    },
    /// The last entry contradicts the base offset or the first entry.
    #[error("index file is damaged: its last entry ({0}) lies before its first or its base offset")]
    LastEntry(i64),
    /// Entry `0` is not beyond the one before it.
    #[error("index file is damaged at entry {0}: not beyond the entry before it")]
    Order(usize),
}

/// The growing index of an active segment, held in file format.
#[derive(Clone, Debug)]
pub struct OffsetIndex {
    base: Offset,
    bytes: Vec<u8>,
    entries_max: usize,
}

impl OffsetIndex {
    /// An empty index of a segment that starts at `base`; `bytes_max` is `segment.index.bytes`.
    #[must_use]
    pub const fn new(base: Offset, bytes_max: usize) -> Self {
        Self { base, bytes: Vec::new(), entries_max: bytes_max / ENTRY_SIZE }
    }

    /// Takes over a file's bytes for further appends, after the checks of [`IndexView::check_order`].
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn load(base: Offset, bytes: Vec<u8>, bytes_max: usize) -> Result<Self, IndexError> {
        check_last(base, &bytes)?;
        check_order(&bytes)?;
        Ok(Self { base, bytes, entries_max: bytes_max / ENTRY_SIZE })
    }

    /// Appends the batch that ends with `offset` and starts at `position`.
    ///
    /// # Errors
    /// When the index is full, the offset does not fit, or is not beyond the last entry's.
    pub fn append(&mut self, offset: Offset, position: u32) -> Result<(), IndexError> {
        if self.is_full() {
            return Err(IndexError::Full(self.len()));
        }
        let relative = relative_offset(self.base, offset)?;
        if let Some(last) = self.last_entry().filter(|last| offset <= last.offset) {
            return Err(IndexError::NotIncreasing { offset, last: last.offset });
        }
        self.bytes.extend_from_slice(&relative.to_be_bytes());
        self.bytes.extend_from_slice(&position.to_be_bytes());
        Ok(())
    }

    /// The last entry at or below `target`; the segment's start when there is none.
    #[must_use]
    pub fn lookup(&self, target: Offset) -> OffsetPosition {
        lookup(self.base, &self.bytes, target)
    }

    /// The first entry whose position is at or beyond `position`: where a read of so many bytes surely ends.
    #[must_use]
    pub fn entry_from_position(&self, position: u64) -> Option<OffsetPosition> {
        entry_from_position(self.base, &self.bytes, position)
    }

    /// Drops every entry at or beyond `offset`.
    pub fn truncate_to(&mut self, offset: Offset) {
        let keep = count_below(self.base, &self.bytes, offset);
        self.bytes.truncate(keep * ENTRY_SIZE);
    }

    /// The last entry.
    #[must_use]
    pub fn last_entry(&self) -> Option<OffsetPosition> {
        self.len().checked_sub(1).map(|last| entry(self.base, &self.bytes, last))
    }

    /// Whether the next append would be refused; the segment then rolls.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.len() >= self.entries_max
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

    /// Base offset of the segment.
    #[must_use]
    pub const fn base(&self) -> Offset {
        self.base
    }

    /// The whole file's bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// File bytes from entry `from` on, for a write that only appends; they belong at `from * ENTRY_SIZE`.
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

/// The index of a closed segment, loaded and searched in place.
#[derive(Clone, Debug)]
pub struct IndexView {
    base: Offset,
    bytes: Bytes,
}

impl IndexView {
    /// Wraps a file's bytes after Kafka's sanity check: whole entries, last one not before the base.
    ///
    /// # Errors
    /// When the file is damaged: the index is to be rebuilt from the segment.
    pub fn new(base: Offset, bytes: Bytes) -> Result<Self, IndexError> {
        check_last(base, &bytes)?;
        Ok(Self { base, bytes })
    }

    /// Looks at every entry; Kafka does not, but a bit flip inside would lead a binary search astray.
    ///
    /// # Errors
    /// When offsets do not rise or positions fall.
    pub fn check_order(&self) -> Result<(), IndexError> {
        check_order(&self.bytes)
    }

    /// As [`OffsetIndex::lookup`].
    #[must_use]
    pub fn lookup(&self, target: Offset) -> OffsetPosition {
        lookup(self.base, &self.bytes, target)
    }

    /// As [`OffsetIndex::entry_from_position`].
    #[must_use]
    pub fn entry_from_position(&self, position: u64) -> Option<OffsetPosition> {
        entry_from_position(self.base, &self.bytes, position)
    }

    /// The last entry.
    #[must_use]
    pub fn last_entry(&self) -> Option<OffsetPosition> {
        self.len().checked_sub(1).map(|last| entry(self.base, &self.bytes, last))
    }

    /// All entries in order.
    pub fn entries(&self) -> impl Iterator<Item = OffsetPosition> {
        (0..self.len()).map(|slot| entry(self.base, &self.bytes, slot))
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

/// `offset` relative to `base`, as index files hold it (`AbstractIndex.toRelative`).
///
/// # Errors
/// When it is negative or above 2^31-1.
pub fn relative_offset(base: Offset, offset: Offset) -> Result<u32, IndexError> {
    offset
        .0
        .checked_sub(base.0)
        .and_then(|relative| i32::try_from(relative).ok())
        .and_then(|relative| u32::try_from(relative).ok())
        .ok_or(IndexError::OutOfRange { offset, base })
}

/// Reads one entry of an index file.
#[must_use]
pub fn decode_entry(base: Offset, bytes: &[u8; ENTRY_SIZE]) -> OffsetPosition {
    entry(base, bytes, 0)
}

fn entry(base: Offset, bytes: &[u8], slot: usize) -> OffsetPosition {
    let at = slot * ENTRY_SIZE;
    OffsetPosition {
        offset: base.plus(i64::from(read_i32(bytes, at))),
        position: read_i32(bytes, at + 4) as u32,
    }
}

pub(super) fn read_i32(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes were sliced"))
}

/// Number of entries in front for which `before` holds; it must hold for a prefix.
pub(super) fn partition_point(len: usize, before: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, len);
    while low < high {
        let middle = low + (high - low) / 2;
        if before(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

fn lookup(base: Offset, bytes: &[u8], target: Offset) -> OffsetPosition {
    let len = bytes.len() / ENTRY_SIZE;
    match partition_point(len, |slot| entry(base, bytes, slot).offset <= target) {
        0 => OffsetPosition { offset: base, position: 0 },
        above => entry(base, bytes, above - 1),
    }
}

fn count_below(base: Offset, bytes: &[u8], offset: Offset) -> usize {
    partition_point(bytes.len() / ENTRY_SIZE, |slot| entry(base, bytes, slot).offset < offset)
}

fn entry_from_position(base: Offset, bytes: &[u8], position: u64) -> Option<OffsetPosition> {
    let len = bytes.len() / ENTRY_SIZE;
    let slot = partition_point(len, |slot| u64::from(entry(base, bytes, slot).position) < position);
    (slot < len).then(|| entry(base, bytes, slot))
}

fn check_last(base: Offset, bytes: &[u8]) -> Result<(), IndexError> {
    if !bytes.len().is_multiple_of(ENTRY_SIZE) {
        return Err(IndexError::Length { len: bytes.len(), entry_size: ENTRY_SIZE });
    }
    match (bytes.len() / ENTRY_SIZE).checked_sub(1) {
        Some(last) if entry(base, bytes, last).offset < base => {
            Err(IndexError::LastEntry(entry(base, bytes, last).offset.0))
        }
        _ => Ok(()),
    }
}

fn check_order(bytes: &[u8]) -> Result<(), IndexError> {
    let mut last: Option<(i32, u32)> = None;
    for slot in 0..bytes.len() / ENTRY_SIZE {
        let at = slot * ENTRY_SIZE;
        let (relative, position) = (read_i32(bytes, at), read_i32(bytes, at + 4) as u32);
        if relative < 0 || last.is_some_and(|(offset, at)| relative <= offset || position <= at) {
            return Err(IndexError::Order(slot));
        }
        last = Some((relative, position));
    }
    Ok(())
}
