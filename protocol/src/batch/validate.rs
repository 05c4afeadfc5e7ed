//! The checks of a produced record set, as Kafka makes them (`ProduceRequest.validateRecords`,
//! `UnifiedLog.analyzeAndValidateRecords`, `LogValidator`), in its order. Runs on the connection's core. What needs no
//! decompression is done at once, in one pass; a compressed batch continues in `deep`. The sequence checks against
//! producer state are storage's.
//!
//! A batch in another codec than its topic's `compression.type` is written anew on the way (`repack`).

use bytes::Bytes;

use super::compression::{Compression, StoredCodec};
use super::deep::DeepCheck;
use super::fault::{BatchFault, InvalidBatch, Refusals};
use super::header::{
    BATCH_HEADER_SIZE, BATCH_PREFIX_SIZE, BatchHeader, MAGIC_AT, TimestampType, crc_ok, patch_max_timestamp,
};
use super::records::Records;
use super::repack::Repacker;
use super::stream::RecordHead;
use crate::ids::{Offset, TimestampMs};

/// A batch that may be appended: whole, checked, timestamps as the topic wants them. Only validation makes one. Base
/// offset and leader epoch are still the producer's; storage patches them in its copy.
#[derive(Clone, Debug)]
pub struct CheckedBatch {
    header: BatchHeader,
    bytes: Bytes,
}

impl CheckedBatch {
    /// Its header, after any correction of timestamps.
    #[must_use]
    pub const fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The batch: a slice of the request, or a copy where timestamps were set or the codec is another.
    #[must_use]
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What the Produce response gives as log append time: -1 unless the topic has LogAppendTime.
    #[must_use]
    pub const fn log_append_time(&self) -> TimestampMs {
        match self.header.timestamp_type() {
            TimestampType::CreateTime => TimestampMs(-1),
            TimestampType::LogAppendTime => self.header.max_timestamp,
        }
    }
}

/// A topic's configs that decide what it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchRules {
    /// `max.message.bytes`: largest batch, header included, compressed as it is.
    pub message_bytes_max: usize,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`.
    pub timestamp_before_max_ms: i64,
    /// `message.timestamp.after.max.ms`.
    pub timestamp_after_max_ms: i64,
    /// Whether `cleanup.policy` contains `compact`: records need keys.
    pub compacted: bool,
    /// `compression.type`: the codec batches are stored with; `None` for their producer's.
    pub stored: Option<StoredCodec>,
}

impl Default for BatchRules {
    /// Kafka 4.3's defaults.
    fn default() -> Self {
        Self {
            message_bytes_max: 1_048_588,
            timestamp_type: TimestampType::CreateTime,
            timestamp_before_max_ms: i64::MAX,
            timestamp_after_max_ms: 3_600_000,
            compacted: false,
            stored: None,
        }
    }
}

/// How far the cheap stage came.
#[derive(Debug)]
pub enum Checked {
    /// All of it.
    Done(CheckedBatch),
    /// The records are compressed or to be compressed: everything but them is checked.
    Deep(Box<DeepCheck>),
}

/// Checks the records of one partition of a Produce request: envelope, CRC and, where they are not compressed, the
/// records. `now` is the broker's clock.
///
/// # Errors
/// When the set is refused, with what the response says of it.
pub fn check_produced(
    records: &Bytes,
    produce_version: i16,
    rules: &BatchRules,
    now: TimestampMs,
) -> Result<Checked, InvalidBatch> {
    let (header, codec) = check_envelope(records, produce_version, rules)?;
    let mut checker = Checker {
        bytes: records.slice(..header.size()),
        header,
        rules: *rules,
        now,
        max_timestamp: TimestampMs(-1),
        index: 0,
        refusals: Refusals::default(),
        misshapen: None,
        repacker: rules
            .stored
            .filter(|stored| stored.codec != codec)
            .map(|stored| Repacker::new(stored, rules.message_bytes_max)),
    };
    if codec != Compression::None || checker.repacker.is_some() {
        return DeepCheck::new(checker, codec).map(|check| Checked::Deep(Box::new(check)));
    }
    let bytes = checker.bytes.clone();
    for record in Records::new(&bytes[BATCH_HEADER_SIZE..], header.record_count) {
        let record = record.map_err(BatchFault::from)?;
        checker.record(&RecordHead {
            timestamp_delta: record.timestamp_delta,
            offset_delta: record.offset_delta,
            has_key: record.key.is_some(),
            length_ok: true,
            ..RecordHead::default()
        });
    }
    checker.finish().map(Checked::Done)
}

/// Whether checking a batch is likely to take longer than a core should spend between two looks at its sockets (about
/// half a millisecond): such a check belongs on a helper thread. An estimate from what the header claims.
#[must_use]
pub fn is_long(header: &BatchHeader) -> bool {
    // Compressed bytes that inflate and walk in that time at an ordinary ratio.
    let bytes_max = match header.compression() {
        Ok(Compression::None) => 2 << 20,
        Ok(Compression::Gzip) => 24 << 10,
        Ok(Compression::Zstd) => 64 << 10,
        Ok(Compression::Snappy | Compression::Lz4) => 128 << 10,
        Err(_) => return false,
    };
    header.size() > bytes_max || header.record_count > LONG_RECORD_COUNT
}

/// The check of one batch's records while it goes on.
pub(super) struct Checker {
    pub(super) bytes: Bytes,
    pub(super) header: BatchHeader,
    rules: BatchRules,
    now: TimestampMs,
    max_timestamp: TimestampMs,
    /// Records seen.
    pub(super) index: i32,
    refusals: Refusals,
    /// What is wrong with the first misshapen record of a compressed batch. Refused records are told rather than it.
    misshapen: Option<BatchFault>,
    /// Writes the batch in the topic's own codec.
    pub(super) repacker: Option<Repacker>,
}

impl Checker {
    /// Takes note of the next record (`LogValidator.validateRecord`): its key where one is needed, then its timestamp.
    #[inline]
    pub(super) fn record(&mut self, head: &RecordHead) {
        let timestamp = self.header.timestamp_of(head.timestamp_delta).0;
        if self.rules.compacted && !head.has_key {
            self.refusals.refuse_key(self.index);
        } else if self.rules.timestamp_type == TimestampType::CreateTime && timestamp != -1 {
            self.check_timestamp(timestamp);
        } else if self.header.timestamp_type() == TimestampType::LogAppendTime {
            self.refusals.refuse_timestamp(self.index, || {
                "a producer cannot set the timestamp type LogAppendTime".into()
            });
        }
        self.max_timestamp = self.max_timestamp.max(TimestampMs(timestamp));
        self.index = self.index.saturating_add(1);
    }

    /// As [`Checker::record`], for streamed ones. Those that stay as they are must count their offsets from 0: Kafka would
    /// rebuild such a batch (and fails to). A record whose length is wrong passes Kafka, but none of its consumers could
    /// read it.
    pub(super) fn streamed_record(&mut self, head: &RecordHead) {
        let index = self.index;
        if let Some(repacker) = &mut self.repacker {
            repacker.end_record();
        }
        if head.offset_delta != index && self.repacker.is_none() {
            let fault = BatchFault::OffsetDelta { index, delta: head.offset_delta };
            self.misshapen.get_or_insert(fault);
        } else if !head.length_ok {
            self.misshapen.get_or_insert(BatchFault::RecordLength { index });
        }
        self.record(head);
    }

    /// Wraps where Kafka's subtraction wraps: a timestamp far enough in the past counts as the future.
    fn check_timestamp(&mut self, timestamp: i64) {
        let age = self.now.0.wrapping_sub(timestamp);
        let BatchRules { timestamp_before_max_ms: before, timestamp_after_max_ms: after, .. } = self.rules;
        if age > before || age.wrapping_neg() > after {
            let now = self.now.0;
            self.refusals.refuse_timestamp(self.index, || {
                let (from, until) = (now.saturating_sub(before), now.saturating_add(after));
                format!("timestamp {timestamp} is not between {from} and {until}")
            });
        }
    }

    /// After the last record: refuses, or makes the batch to append. Timestamp type and max timestamp become what the
    /// topic wants; only where that changes the header, or the codec is another, are the bytes others.
    pub(super) fn finish(self) -> Result<CheckedBatch, InvalidBatch> {
        self.refusals.into_result()?;
        if let Some(fault) = self.misshapen {
            return Err(fault.into());
        }
        let max_timestamp = match self.rules.timestamp_type {
            TimestampType::CreateTime => self.max_timestamp,
            TimestampType::LogAppendTime => self.now,
        };
        let timestamp_type = self.rules.timestamp_type;
        if let Some(repacker) = self.repacker {
            let (header, bytes) = repacker.finish(&self.header, timestamp_type, max_timestamp)?;
            return Ok(CheckedBatch { header, bytes: bytes.into() });
        }
        if self.header.timestamp_type() == timestamp_type && self.header.max_timestamp == max_timestamp {
            return Ok(CheckedBatch { header: self.header, bytes: self.bytes });
        }
        let mut copy = self.bytes.to_vec();
        patch_max_timestamp(&mut copy, timestamp_type, max_timestamp);
        let header = BatchHeader::parse(&copy).expect("a parsed header stays one with another timestamp");
        Ok(CheckedBatch { header, bytes: copy.into() })
    }
}

/// Everything that can be told without looking at a record, in Kafka's order.
fn check_envelope(
    records: &[u8],
    produce_version: i16,
    rules: &BatchRules,
) -> Result<(BatchHeader, Compression), BatchFault> {
    let (size, magic) = whole_batch(records)?.ok_or(BatchFault::NoBatch)?;
    if magic != 2 {
        return Err(BatchFault::OldMagic(magic));
    }
    let (batch, rest) = records.split_at(size);
    // Whole by its own length, of magic 2, and still no header: the length is too small for one.
    let header =
        BatchHeader::parse(batch).map_err(|_| BatchFault::Length((size - BATCH_PREFIX_SIZE) as i32))?;
    let codec = header.compression().map_err(|_| BatchFault::Codec((header.attributes & 7) as u8));
    if codec == Ok(Compression::Zstd) && produce_version < ZSTD_PRODUCE_VERSION {
        return Err(BatchFault::ZstdTooEarly(produce_version));
    }
    // A partial batch behind the first is cut off in silence, a whole one is not.
    if whole_batch(rest)?.is_some() {
        return Err(BatchFault::SecondBatch);
    }
    if header.base_offset != Offset(0) {
        return Err(BatchFault::BaseOffset(header.base_offset));
    }
    if size > rules.message_bytes_max {
        return Err(BatchFault::TooLarge { size, max: rules.message_bytes_max });
    }
    if !crc_ok(batch) {
        return Err(BatchFault::Crc);
    }
    check_header(&header)?;
    Ok((header, codec?))
}

/// `LogValidator.validateBatch` for a client's batch.
fn check_header(header: &BatchHeader) -> Result<(), BatchFault> {
    let (count, last_offset_delta) = (header.record_count, header.last_offset_delta);
    if count <= 0 || i64::from(last_offset_delta) + 1 != i64::from(count) {
        return Err(BatchFault::Count { count, last_offset_delta });
    }
    if header.is_control() {
        return Err(BatchFault::Control);
    }
    if header.has_producer_id() && header.base_sequence.0 < 0 {
        return Err(BatchFault::Sequence(header.base_sequence));
    }
    Ok(())
}

/// Size and magic of the batch of any format at the start of `bytes`; `None` when it is not all there
/// (`ByteBufferLogInputStream.nextBatch`).
fn whole_batch(bytes: &[u8]) -> Result<Option<(usize, i8)>, BatchFault> {
    let Some(prefix) = bytes.first_chunk::<BATCH_PREFIX_SIZE>() else {
        return Ok(None);
    };
    let [.., a, b, c, d] = *prefix;
    let length = i32::from_be_bytes([a, b, c, d]);
    if length < OLD_BATCH_LENGTH_MIN {
        return Err(BatchFault::Length(length));
    }
    let Some(&magic) = bytes.get(MAGIC_AT) else {
        return Ok(None);
    };
    if magic > 2 {
        return Err(BatchFault::UnknownMagic(magic as i8));
    }
    let size = BATCH_PREFIX_SIZE + length as usize;
    Ok((size <= bytes.len()).then_some((size, magic as i8)))
}

/// The shortest record of format 0 after the length field: the least that Kafka asks of any format at first.
const OLD_BATCH_LENGTH_MIN: i32 = 14;
/// First Produce version that may carry zstd (KIP-110).
const ZSTD_PRODUCE_VERSION: i16 = 7;
/// Tiny records that are walked in about half a millisecond.
const LONG_RECORD_COUNT: i32 = 40_000;
