//! Looking into a stored batch: the record at a timestamp (ListOffsets) and the whole record area. Works on compressed
//! batches through the same stream as validation. For helper threads when [`super::is_long`] says so.

use std::borrow::Cow;
use std::io::Read;

use super::compression::Compression;
use super::decompress::{CodecError, Decompressor};
use super::header::{BATCH_HEADER_SIZE, BatchError, BatchHeader, TimestampType};
use super::records::RecordError;
use super::stream::{Next, RecordHead, RecordStream, RecordsError};
use crate::ids::{Offset, TimestampMs};

/// A record by offset and timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampedOffset {
    /// Offset of the record.
    pub offset: Offset,
    /// Its timestamp.
    pub timestamp: TimestampMs,
}

/// Why a stored batch could not be looked into. Damage on disk, or a leader's fault: it was valid once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LookupError {
    /// It is no batch.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// Its records cannot be read.
    #[error(transparent)]
    Records(#[from] RecordsError),
    /// Its records are larger than the caller takes.
    #[error("records of more than {0} bytes")]
    TooLarge(usize),
}

impl From<CodecError> for LookupError {
    fn from(error: CodecError) -> Self {
        Self::Records(error.into())
    }
}

/// The first record of the whole batch `batch` at or after both `target` and `from`
/// (`FileRecords.searchForTimestamp`). `None` when the batch has none.
///
/// # Errors
/// When the batch is damaged.
pub fn first_record_at_or_after(
    batch: &[u8],
    target: TimestampMs,
    from: Offset,
) -> Result<Option<TimestampedOffset>, LookupError> {
    let header = BatchHeader::parse(batch)?;
    if header.max_timestamp < target || header.last_offset() < from {
        return Ok(None);
    }
    find(batch, &header, |record| record.timestamp >= target && record.offset >= from)
}

/// The first record that has the batch's max timestamp (`RecordBatch.offsetOfMaxTimestamp`).
///
/// # Errors
/// When the batch is damaged.
pub fn record_of_max_timestamp(batch: &[u8]) -> Result<Option<TimestampedOffset>, LookupError> {
    let header = BatchHeader::parse(batch)?;
    find(batch, &header, |record| record.timestamp == header.max_timestamp)
}

/// The uncompressed record area of the whole batch `batch`, for [`super::Records`]: as it lies there, or inflated.
///
/// # Errors
/// When the batch is damaged or its records take more than `bytes_max`.
pub fn record_area(batch: &[u8], bytes_max: usize) -> Result<Cow<'_, [u8]>, LookupError> {
    let (header, area) = split(batch)?;
    let codec = header.compression()?;
    if codec == Compression::None {
        return Ok(Cow::Borrowed(area));
    }
    let mut inflater = Inflater(Decompressor::new(codec, area)?, None).take(bytes_max as u64 + 1);
    let mut inflated = Vec::new();
    let read = inflater.read_to_end(&mut inflated);
    if let Some(error) = inflater.get_ref().1 {
        return Err(error.into());
    }
    if read.is_err() || inflated.len() > bytes_max {
        return Err(LookupError::TooLarge(bytes_max));
    }
    Ok(Cow::Owned(inflated))
}

fn split(batch: &[u8]) -> Result<(BatchHeader, &[u8]), BatchError> {
    let header = BatchHeader::parse(batch)?;
    let area = batch.get(BATCH_HEADER_SIZE..header.size()).ok_or(BatchError::Short { have: batch.len() })?;
    Ok((header, area))
}

fn find(
    batch: &[u8],
    header: &BatchHeader,
    wanted: impl Fn(&TimestampedOffset) -> bool,
) -> Result<Option<TimestampedOffset>, LookupError> {
    let (_, area) = split(batch)?;
    let mut stream = RecordStream::new(header.compression()?, area)?;
    let mut budget = usize::MAX;
    for _ in 0..header.record_count {
        let Next::Ready(head) = stream.next(&mut budget)? else {
            break;
        };
        if !head.length_ok {
            return Err(RecordsError::Record(RecordError::Short).into());
        }
        let record = absolute(header, &head);
        if wanted(&record) {
            return Ok(Some(record));
        }
    }
    Ok(None)
}

fn absolute(header: &BatchHeader, head: &RecordHead) -> TimestampedOffset {
    let timestamp = match header.timestamp_type() {
        TimestampType::CreateTime => TimestampMs(header.base_timestamp.0.wrapping_add(head.timestamp_delta)),
        TimestampType::LogAppendTime => header.max_timestamp,
    };
    TimestampedOffset { offset: header.base_offset.plus(head.offset_delta.into()), timestamp }
}

/// A decompressor as a reader that keeps its own error.
struct Inflater<'a>(Decompressor<&'a [u8]>, Option<CodecError>);

impl Read for Inflater<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if out.is_empty() {
            return Ok(0);
        }
        self.0.fill(out).map_err(|error| {
            self.1 = Some(error);
            std::io::ErrorKind::InvalidData.into()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::BatchBuilder;
    use super::*;

    fn batch(codec: Compression) -> Vec<u8> {
        let mut builder = BatchBuilder::new();
        builder.base_offset(Offset(100)).compression(codec);
        for timestamp in [50, 40, 70, 60, 70] {
            builder.append(TimestampMs(timestamp), None, Some(b"value"));
        }
        builder.build()
    }

    #[test]
    fn exact_in_every_codec() {
        let found = |offset, timestamp| {
            Ok(Some(TimestampedOffset { offset: Offset(offset), timestamp: TimestampMs(timestamp) }))
        };
        for codec in Compression::ALL {
            let batch = batch(codec);
            let first = |target, from| first_record_at_or_after(&batch, TimestampMs(target), Offset(from));
            assert_eq!(first(0, 0), found(100, 50));
            assert_eq!(first(45, 101), found(102, 70));
            assert_eq!(first(55, 0), found(102, 70));
            assert_eq!(first(55, 103), found(103, 60));
            assert_eq!(first(71, 0), Ok(None));
            assert_eq!(first(0, 105), Ok(None));
            assert_eq!(record_of_max_timestamp(&batch), found(102, 70));
            assert_eq!(record_area(&batch, 1_000).unwrap().len(), 5 * 12);
            if codec != Compression::None {
                assert_eq!(record_area(&batch, 59), Err(LookupError::TooLarge(59)));
            }
        }
    }

    #[test]
    fn append_time_holds_for_every_record() {
        let mut builder = BatchBuilder::new();
        builder.base_offset(Offset(7)).log_append_time(TimestampMs(900));
        builder.append(TimestampMs(1), None, None).append(TimestampMs(2), None, None);
        let batch = builder.build();
        let expected = Some(TimestampedOffset { offset: Offset(7), timestamp: TimestampMs(900) });
        assert_eq!(first_record_at_or_after(&batch, TimestampMs(800), Offset(0)), Ok(expected));
        assert_eq!(record_of_max_timestamp(&batch), Ok(expected));
    }

    #[test]
    fn a_cut_batch_is_told() {
        let batch = batch(Compression::None);
        let cut = &batch[..batch.len() - 1];
        assert_eq!(record_of_max_timestamp(cut), Err(BatchError::Short { have: cut.len() }.into()));
    }
}
