//! Walks bytes batch by batch, as a log file, a fetch response or a produce request holds them.

use super::header::{BATCH_PREFIX_SIZE, BatchError, BatchHeader, MAGIC_AT};

/// Iterator over the whole batches at the start of a slice. Ends at the first partial batch (which is normal at the
/// end of a fetch) or after the first error. CRCs are not checked.
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    bytes: &'a [u8],
    position: usize,
    failed: bool,
}

/// One whole batch of the bytes walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch<'a> {
    /// Its header.
    pub header: BatchHeader,
    /// The batch, header included: exactly `header.size()` bytes.
    pub bytes: &'a [u8],
    /// Where it starts in the bytes walked.
    pub position: usize,
}

impl<'a> Batches<'a> {
    /// Starts at the first byte, which must be the first of a batch.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0, failed: false }
    }

    /// Bytes of the whole batches seen so far: where the next batch starts, or the partial or bad one.
    #[must_use]
    pub const fn whole_bytes(&self) -> usize {
        self.position
    }

    /// Bytes not yet walked: after the end, those of a partial or bad batch.
    #[must_use]
    pub const fn rest(&self) -> usize {
        self.bytes.len() - self.position
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<Batch<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let rest = self.bytes.get(self.position..)?;
        match whole_batch(rest) {
            Ok(Some((header, bytes))) => {
                let position = self.position;
                self.position += bytes.len();
                Some(Ok(Batch { header, bytes, position }))
            }
            Ok(None) => None,
            Err(error) => {
                self.failed = true;
                Some(Err(error))
            }
        }
    }
}

/// The batch at the start of `rest`, `None` when it is not all there. A claimed length is believed only as far as the
/// bytes reach; magic and a too small length are told as soon as they can be seen (`ByteBufferLogInputStream`).
fn whole_batch(rest: &[u8]) -> Result<Option<(BatchHeader, &[u8])>, BatchError> {
    if rest.len() <= MAGIC_AT {
        return Ok(None);
    }
    let header = match BatchHeader::parse(rest) {
        Ok(header) => header,
        Err(BatchError::Short { .. }) => return short_header(rest).map(|()| None),
        Err(error) => return Err(error),
    };
    Ok(rest.get(..header.size()).map(|bytes| (header, bytes)))
}

/// A partial header may still show that its length is wrong.
fn short_header(rest: &[u8]) -> Result<(), BatchError> {
    let Some(field) = rest.get(8..BATCH_PREFIX_SIZE).and_then(|field| field.first_chunk::<4>()) else {
        return Ok(());
    };
    let length = i32::from_be_bytes(*field);
    if length < MIN_LENGTH { Err(BatchError::Length(length)) } else { Ok(()) }
}

const MIN_LENGTH: i32 = (super::header::BATCH_HEADER_SIZE - BATCH_PREFIX_SIZE) as i32;

#[cfg(test)]
mod tests {
    use super::super::builder::BatchBuilder;
    use super::*;
    use crate::ids::{Offset, TimestampMs};

    fn two_batches() -> Vec<u8> {
        let mut bytes = Vec::new();
        for base in [10, 12] {
            let mut builder = BatchBuilder::new();
            builder.base_offset(Offset(base));
            builder.append(TimestampMs(1), None, Some(b"a")).append(TimestampMs(2), None, Some(b"b"));
            bytes.extend(builder.build());
        }
        bytes
    }

    #[test]
    fn every_cut_gives_the_whole_batches_before_it() {
        let bytes = two_batches();
        let first = Batches::new(&bytes).next().unwrap().unwrap().bytes.len();
        for cut in 0..=bytes.len() {
            let mut batches = Batches::new(&bytes[..cut]);
            let whole: Vec<Batch<'_>> = batches.by_ref().map(Result::unwrap).collect();
            let expected = if cut == bytes.len() { 2 } else { usize::from(cut >= first) };
            assert_eq!(whole.len(), expected);
            assert_eq!(batches.whole_bytes(), [0, first, bytes.len()][expected]);
            assert_eq!(batches.whole_bytes() + batches.rest(), cut);
        }
    }

    #[test]
    fn an_error_ends_the_walk() {
        let mut bytes = two_batches();
        let first = Batches::new(&bytes).next().unwrap().unwrap().bytes.len();
        bytes[first + MAGIC_AT] = 0;
        let mut batches = Batches::new(&bytes);
        assert!(batches.next().unwrap().is_ok());
        assert_eq!(batches.next(), Some(Err(BatchError::Magic(0))));
        assert_eq!(batches.next(), None);
        assert_eq!(batches.whole_bytes(), first);
    }
}
