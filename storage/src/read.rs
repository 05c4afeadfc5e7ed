//! Reads as data: what the owner's core planned, and the one function that executes the file part of it on whichever core
//! holds the connection. Knows nothing of logs; trusts nothing in the file.

use std::fmt;

use slipring_protocol::batch::{BATCH_HEADER_SIZE, BatchHeader};
use slipring_protocol::ids::Offset;

use crate::chunk::ChunkSlice;
use crate::disk::{AlignedBuf, BufPool, Disk, DiskFile};
use crate::error::{IoContext, StorageError};
use crate::limits::{block_ceil, block_floor};
use crate::log::LogBounds;
use crate::segment::txn_index::AbortedTxn;

/// What a fetch wants of one log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadRange {
    /// First wanted offset; the batch that contains it is returned whole.
    pub start: Offset,
    /// Bytes wanted at most.
    pub bytes_max: usize,
    /// Return the first batch even when it is larger than `bytes_max`.
    pub min_one_batch: bool,
    /// Where to stop.
    pub upto: ReadLimit,
}

/// Up to where a reader may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadLimit {
    /// Consumers with read_uncommitted.
    HighWatermark,
    /// Consumers with read_committed.
    LastStable,
    /// Replicas and the broker itself: also what is staged only.
    LogEnd,
}

/// Where the bytes of a fetch are.
#[derive(Debug)]
pub struct ReadPlan {
    /// In order; whole batches. At most one file range, and then nothing else.
    pub slices: Vec<ReadSlice>,
    /// Bytes of the slices; for a file range the most it can give.
    pub bytes: usize,
    /// It ends where a segment does, or a segment's part in its file, and not for a limit: there is more to read at once.
    pub goes_on: bool,
    /// The log's bounds when the plan was made.
    pub bounds: LogBounds,
    /// Aborted transactions in the range (transactions come later: empty).
    pub aborted: Vec<AbortedTxn>,
    /// A file has to be read, so many bytes before the log's end.
    pub(crate) missed_by: Option<u64>,
}

/// One piece of a read.
#[derive(Clone, Debug)]
pub enum ReadSlice {
    /// In the tail: ready to send.
    Memory(ChunkSlice),
    /// In a segment file: for [`read_range`].
    File(FileRange),
}

/// A range of a segment file. Any core may execute it.
#[derive(Clone)]
pub struct FileRange {
    pub(crate) file: DiskFile,
    /// A batch begins here, at or before the wanted one.
    pub(crate) position: u64,
    /// Everything below can be read from the file.
    pub(crate) file_end: u64,
    /// The rest, from memory, of a batch that begins in the file and ends beyond `file_end`.
    pub(crate) straddle: Vec<ChunkSlice>,
    pub(crate) start: Offset,
    pub(crate) limit: Offset,
    pub(crate) bytes_max: usize,
    pub(crate) min_one_batch: bool,
}

impl fmt::Debug for FileRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileRange({:?} from {} to {})", self.file, self.position, self.file_end)
    }
}

impl FileRange {
    /// The same with a lower limit, which the first batch has to keep to as well.
    #[must_use]
    pub fn limited(mut self, bytes_max: usize) -> Self {
        self.bytes_max = self.bytes_max.min(bytes_max);
        self.min_one_batch = false;
        self
    }

    /// Bytes it can give at most, unless its first batch alone is larger.
    #[must_use]
    pub fn bytes_most(&self) -> usize {
        let straddle: usize = self.straddle.iter().map(|slice| slice.len()).sum();
        let there = usize::try_from(self.file_end - self.position).unwrap_or(usize::MAX);
        there.saturating_add(straddle).min(self.bytes_max)
    }
}

/// Record bytes, ready to send: whole batches.
#[derive(Clone, Debug, Default)]
pub struct ReadBytes {
    /// In order.
    pub slices: Vec<ChunkSlice>,
    /// Bytes of all slices.
    pub bytes: usize,
}

impl ReadPlan {
    pub(crate) fn new(slices: Vec<ReadSlice>, goes_on: bool, bounds: LogBounds) -> ReadPlan {
        let bytes = slices
            .iter()
            .map(|slice| match slice {
                ReadSlice::Memory(slice) => slice.len(),
                ReadSlice::File(range) => range.bytes_most(),
            })
            .sum();
        ReadPlan { slices, bytes, goes_on, bounds, aborted: Vec::new(), missed_by: None }
    }

    pub(crate) fn empty(bounds: LogBounds) -> ReadPlan {
        ReadPlan::new(Vec::new(), false, bounds)
    }
}

/// Reads a file range: the whole batches from the one that contains its start, within its limits. Empty when the first
/// does not fit and need not be returned.
///
/// # Errors
/// When the disk fails, or the file holds no batches where it should ([`StorageError::Damaged`]).
pub async fn read_range(disk: &Disk, pool: &BufPool, range: &FileRange) -> Result<ReadBytes, StorageError> {
    let mut position = range.position;
    let mut want = range.bytes_max.saturating_add(READ_SLACK_BYTES).min(READ_BYTES_MAX);
    loop {
        let window = Window::read(disk, pool, range, position, want).await?;
        match window.select(range)? {
            Selected::Done(bytes) => return Ok(bytes),
            Selected::More { from, bytes } => {
                position = from;
                want = bytes;
            }
        }
    }
}

/// Part of a file in memory, from a batch's start.
struct Window {
    slice: ChunkSlice,
    position: u64,
}

/// What a window gave.
enum Selected {
    Done(ReadBytes),
    /// Read on from here; the batch there takes so many bytes.
    More {
        from: u64,
        bytes: usize,
    },
}

impl Window {
    async fn read(
        disk: &Disk,
        pool: &BufPool,
        range: &FileRange,
        position: u64,
        bytes: usize,
    ) -> Result<Window, StorageError> {
        let from = block_floor(position);
        let to = range.file_end.min(position.saturating_add(bytes as u64));
        let buf = pool.take((block_ceil(to) - from) as usize);
        let (read, mut buf) = disk.read(&range.file, from, buf).await;
        let read = read.context("reading", range.file.path())?;
        if from + (read as u64) < to {
            return Err(damaged(range, from + read as u64, "the file is shorter than it was"));
        }
        buf.truncate((to - from) as usize);
        let slice = AlignedBuf::freeze(buf);
        let skip = (position - from) as usize;
        let slice = slice.sub(skip..slice.len());
        Ok(Window { slice, position })
    }

    /// Walks the batches and picks those wanted. At the end of the file the walk goes on into the part from memory.
    fn select(&self, range: &FileRange) -> Result<Selected, StorageError> {
        let at_end = self.position + self.slice.len() as u64 == range.file_end;
        let straddle: usize = range.straddle.iter().map(|slice| slice.len()).sum();
        let there = self.slice.len() + if at_end { straddle } else { 0 };
        let mut at = 0;
        let mut chosen: Option<(usize, usize)> = None;
        while at < there {
            let from = self.position + at as u64;
            let Some(header) = self.header_at(range, at, there)? else {
                let more = Selected::More { from, bytes: READ_SLACK_BYTES };
                return self.done_or(range, chosen, at_end, more);
            };
            let size = header.size();
            let whole = at + size <= there;
            if !whole && header.last_offset() < range.start {
                return self.done_or(range, chosen, at_end, Selected::More { from, bytes: size });
            }
            if header.last_offset() < range.start {
                at += size;
                continue;
            }
            let first = chosen.map_or(at, |(first, _)| first);
            let obligatory = chosen.is_none() && range.min_one_batch;
            if header.base_offset >= range.limit || (at + size - first > range.bytes_max && !obligatory) {
                break;
            }
            if !whole {
                let more = Selected::More { from, bytes: size };
                return self.done_or(range, chosen, at_end, more);
            }
            at += size;
            chosen = Some((first, at));
        }
        let more =
            Selected::More { from: self.position + at as u64, bytes: range.bytes_max + READ_SLACK_BYTES };
        match chosen {
            None if at >= there && !at_end => Ok(more),
            _ => Ok(Selected::Done(self.chosen(range, chosen))),
        }
    }

    /// The window ended inside a batch: what was chosen before it, or read on; at the segment's end it is damage.
    fn done_or(
        &self,
        range: &FileRange,
        chosen: Option<(usize, usize)>,
        at_end: bool,
        more: Selected,
    ) -> Result<Selected, StorageError> {
        match more {
            Selected::More { from, .. } if at_end => {
                Err(damaged(range, from, "a batch reaches beyond the segment's end"))
            }
            _ if chosen.is_some() => Ok(Selected::Done(self.chosen(range, chosen))),
            more => Ok(more),
        }
    }

    /// The header at `at` of the `there` bytes at hand; `None` when they end inside it.
    fn header_at(
        &self,
        range: &FileRange,
        at: usize,
        there: usize,
    ) -> Result<Option<BatchHeader>, StorageError> {
        if at + BATCH_HEADER_SIZE > there {
            return Ok(None);
        }
        let mut head = [0; BATCH_HEADER_SIZE];
        let mut filled = 0;
        for slice in self.pieces(range, at, at + BATCH_HEADER_SIZE) {
            head[filled..filled + slice.len()].copy_from_slice(&slice);
            filled += slice.len();
        }
        let from = self.position + at as u64;
        let header = BatchHeader::parse(&head).map_err(|error| damaged(range, from, &error.to_string()))?;
        if header.last_offset_delta < 0 {
            return Err(damaged(range, from, "a batch ends before it begins"));
        }
        Ok(Some(header))
    }

    fn chosen(&self, range: &FileRange, chosen: Option<(usize, usize)>) -> ReadBytes {
        let Some((first, end)) = chosen else { return ReadBytes::default() };
        ReadBytes { slices: self.pieces(range, first, end), bytes: end - first }
    }

    /// The bytes from `first` to `end` of the window, which may reach into the part from memory.
    fn pieces(&self, range: &FileRange, first: usize, end: usize) -> Vec<ChunkSlice> {
        let mut pieces = Vec::with_capacity(1);
        let mut start = 0;
        for slice in std::iter::once(&self.slice).chain(&range.straddle) {
            let (from, to) = (first.max(start), end.min(start + slice.len()));
            if from < to {
                pieces.push(slice.sub(from - start..to - start));
            }
            start += slice.len();
        }
        pieces
    }
}

fn damaged(range: &FileRange, position: u64, reason: &str) -> StorageError {
    StorageError::Damaged { path: range.file.path().to_path_buf(), position, reason: reason.to_owned() }
}

/// Read beyond the wanted bytes, for what lies between an index entry and the wanted batch.
const READ_SLACK_BYTES: usize = 16 << 10;
/// Largest first read; a single batch may need a larger one.
const READ_BYTES_MAX: usize = 4 << 20;
