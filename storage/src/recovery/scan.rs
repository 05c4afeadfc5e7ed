//! Walking a segment file batch by batch, checking everything that can be checked. For recovery and for rebuilding
//! indexes, on any core; reads only.

use slipring_protocol::batch::{BATCH_HEADER_SIZE, BATCH_PREFIX_SIZE, BatchError, BatchHeader, crc_ok};
use slipring_protocol::ids::Offset;

use crate::disk::{AlignedBuf, Disk, DiskFile};
use crate::error::{IoContext, StorageError};
use crate::limits::{BLOCK, SCAN_STEP_BYTES, block_floor};

/// What to walk.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScanRange {
    /// A batch begins here.
    pub(crate) from: u64,
    /// End of the file, or of what is to be looked at.
    pub(crate) to: u64,
    /// No batch may begin below this offset.
    pub(crate) expected: Offset,
}

/// Where a walk ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScanEnd {
    /// End of the last valid batch.
    pub(crate) position: u64,
    /// The offset after it.
    pub(crate) next: Offset,
    /// Why the walk ended there; `None` when it is the range's end.
    pub(crate) invalid: Option<String>,
}

/// Walks the batches of a file and calls `visit` with each valid one: header, position, bytes. Ends at the first that is
/// not valid.
pub(crate) async fn scan(
    disk: &Disk,
    file: &DiskFile,
    range: ScanRange,
    mut visit: impl FnMut(&BatchHeader, u64, &[u8]),
) -> Result<ScanEnd, StorageError> {
    let mut window = ScanWindow { bytes: Vec::new(), start: range.from, filled_to: range.from, to: range.to };
    let mut end = ScanEnd { position: range.from, next: range.expected, invalid: None };
    while end.position < range.to {
        window.ensure(disk, file, end.position, BATCH_HEADER_SIZE).await?;
        let size = match BatchHeader::parse(window.at(end.position)) {
            Ok(header) => header.size(),
            Err(error) => {
                end.invalid = Some(describe(&error));
                break;
            }
        };
        if end.position + size as u64 > range.to {
            end.invalid = Some("a batch reaches beyond the end of the file".to_owned());
            break;
        }
        window.ensure(disk, file, end.position, size).await?;
        match check(&window.at(end.position)[..size], end.next) {
            Ok(header) => {
                visit(&header, end.position, &window.at(end.position)[..size]);
                end.position += size as u64;
                end.next = header.next_offset();
            }
            Err(reason) => {
                end.invalid = Some(reason);
                break;
            }
        }
    }
    Ok(end)
}

/// Whether these bytes are exactly one valid batch that continues a log at `expected`.
fn check(batch: &[u8], expected: Offset) -> Result<BatchHeader, String> {
    let header = BatchHeader::parse(batch).map_err(|error| describe(&error))?;
    if !crc_ok(batch) {
        return Err("the batch's checksum does not match".to_owned());
    }
    if header.base_offset < expected || header.last_offset_delta < 0 {
        return Err(format!("batch at offset {} where {expected} was expected", header.base_offset));
    }
    Ok(header)
}

fn describe(error: &BatchError) -> String {
    format!("no batch: {error}")
}

/// A moving view of a file.
struct ScanWindow {
    bytes: Vec<u8>,
    /// Position of the first byte.
    start: u64,
    /// Everything from `start` to here is in `bytes`.
    filled_to: u64,
    to: u64,
}

impl ScanWindow {
    /// Makes sure that `len` bytes at `position` are there, or all up to the end.
    async fn ensure(
        &mut self,
        disk: &Disk,
        file: &DiskFile,
        position: u64,
        len: usize,
    ) -> Result<(), StorageError> {
        let want = self.to.min(position + len as u64);
        if want <= self.filled_to {
            return Ok(());
        }
        let keep = (position - self.start) as usize;
        self.bytes.drain(..keep.min(self.bytes.len()));
        self.start = position;
        self.filled_to = self.filled_to.max(position);
        while self.filled_to < want {
            let from = block_floor(self.filled_to);
            let step = (want - from).next_multiple_of(BLOCK).max(SCAN_STEP_BYTES as u64);
            let (read, buf) = disk.read(file, from, AlignedBuf::zeroed(step as usize)).await;
            let read = read.context("reading", file.path())?;
            let got_to = (from + read as u64).min(self.to);
            if got_to <= self.filled_to {
                // The file is shorter than its size said: what is missing reads as nothing, hence as invalid.
                self.bytes.resize((want - self.start) as usize, 0);
                self.filled_to = want;
                break;
            }
            let skip = (self.filled_to - from) as usize;
            self.bytes.extend_from_slice(&buf[skip..(got_to - from) as usize]);
            self.filled_to = got_to;
        }
        Ok(())
    }

    fn at(&self, position: u64) -> &[u8] {
        &self.bytes[(position - self.start) as usize..]
    }
}

const _: () = assert!(BATCH_PREFIX_SIZE < BATCH_HEADER_SIZE);
