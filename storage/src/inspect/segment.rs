//! Walking the batches of a segment, or of a metadata snapshot, past what is wrong with them where that is possible.

use std::io;

use slipring_protocol::batch::{BATCH_HEADER_SIZE, BatchHeader};
use slipring_protocol::ids::Offset;

use super::{STEP_BYTES, Source, Window};

/// Where the bytes under a batch's CRC begin.
const CRC_FROM: u64 = 21;

/// The batches of one file.
#[derive(Debug)]
pub struct BatchWalk<'a, S: ?Sized> {
    window: Window<'a, S>,
    position: u64,
    base: Offset,
    next: Offset,
    ended: bool,
}

/// A batch whose length can be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenBatch {
    /// Its header.
    pub header: BatchHeader,
    /// First byte in the file.
    pub position: u64,
    /// What is wrong with it; the walk goes on behind it.
    pub faults: Vec<String>,
}

/// One step of a walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A batch.
    Batch(SeenBatch),
    /// No batch begins here, and nothing tells where one would: the walk is over.
    Lost {
        /// First byte that is no batch's.
        position: u64,
        /// Bytes from there to the end of the file.
        left: u64,
        /// What is wrong.
        reason: String,
    },
}

impl<'a, S: Source + ?Sized> BatchWalk<'a, S> {
    /// Starts at the first byte; no batch may begin below `base`.
    pub const fn new(source: &'a S, base: Offset) -> Self {
        Self { window: Window::new(source), position: 0, base, next: base, ended: false }
    }

    /// The offset after the batches seen so far.
    #[must_use]
    pub const fn next_offset(&self) -> Offset {
        self.next
    }

    /// The next batch, `None` at the end.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn step(&mut self) -> io::Result<Option<Step>> {
        let size = self.window.size();
        if self.ended || self.position >= size {
            return Ok(None);
        }
        let (position, left) = (self.position, size - self.position);
        let header = match BatchHeader::parse(self.window.get(position, BATCH_HEADER_SIZE)?) {
            Ok(header) if header.size() as u64 <= left => header,
            outcome => {
                self.ended = true;
                let reason = match outcome {
                    Ok(header) => format!("a batch of {} bytes, but the file has {left} more", header.size()),
                    Err(error) => format!("no batch: {error}"),
                };
                return Ok(Some(Step::Lost { position, left, reason }));
            }
        };
        let faults = self.check(&header, position)?;
        self.position += header.size() as u64;
        Ok(Some(Step::Batch(SeenBatch { header, position, faults })))
    }

    fn check(&mut self, header: &BatchHeader, position: u64) -> io::Result<Vec<String>> {
        let mut faults = Vec::new();
        let computed = self.crc(position + CRC_FROM, position + header.size() as u64)?;
        if computed != header.crc {
            faults.push(format!("the CRC is {computed:#010x} where the batch says {:#010x}", header.crc));
        }
        if let Err(error) = header.compression() {
            faults.push(error.to_string());
        }
        let delta = i64::from(header.last_offset_delta);
        let farthest = self.base.plus(i32::MAX.into());
        match header.base_offset.0.checked_add(delta + 1) {
            Some(_) if header.last_offset() > farthest => {
                let reason = "more than an index can tell";
                faults.push(format!(
                    "offset {} in a file from {}: {reason}",
                    header.last_offset(),
                    self.base
                ));
            }
            Some(next) if delta >= 0 && header.base_offset >= self.next => self.next = Offset(next),
            Some(_) if delta >= 0 => {
                faults.push(format!("base offset {} where {} was expected", header.base_offset, self.next));
            }
            _ => faults.push(format!("offsets from {} with a delta of {delta}", header.base_offset)),
        }
        if header.record_count < 0 || i64::from(header.record_count) > delta.max(-1) + 1 {
            faults.push(format!("{} records in {} offsets", header.record_count, delta + 1));
        }
        Ok(faults)
    }

    fn crc(&mut self, from: u64, to: u64) -> io::Result<u32> {
        let (mut at, mut crc) = (from, 0);
        while at < to {
            let want = usize::try_from(to - at).unwrap_or(usize::MAX).min(STEP_BYTES);
            let bytes = self.window.get(at, want)?;
            if bytes.is_empty() {
                break;
            }
            crc = crc32c::crc32c_append(crc, bytes);
            at += bytes.len() as u64;
        }
        Ok(crc)
    }

    /// The whole bytes of a batch that the walk gave; `None` beyond `bytes_max`.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn bytes(&self, batch: &SeenBatch, bytes_max: usize) -> io::Result<Option<Vec<u8>>> {
        if batch.header.size() > bytes_max {
            return Ok(None);
        }
        let mut bytes = vec![0; batch.header.size()];
        let read = self.window.source.read_at(batch.position, &mut bytes)?;
        bytes.truncate(read);
        Ok(Some(bytes))
    }
}
