//! The 61-byte header of a batch: parse it, patch what is not under the CRC, check and renew the CRC.
//! Free functions over slices, used on every core's hot path; they allocate nothing.

use super::compression::Compression;
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

/// Size of a v2 batch header; the records follow it.
pub const BATCH_HEADER_SIZE: usize = 61;
/// Bytes before those that the batch length counts: base offset and the length itself (`Records.LOG_OVERHEAD`).
pub const BATCH_PREFIX_SIZE: usize = 12;

/// Every field of a batch header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record (as it was when the batch was written; compaction may have removed that record).
    pub base_offset: Offset,
    /// Bytes after the length field; never less than the header needs.
    pub batch_length: i32,
    /// Epoch of the leader that appended the batch.
    pub leader_epoch: LeaderEpoch,
    /// CRC-32C as written. See [`crc_ok`].
    pub crc: u32,
    /// Codec and flags, raw.
    pub attributes: i16,
    /// Offset of the last record minus the base offset; stays when compaction removes records.
    pub last_offset_delta: i32,
    /// Timestamp the records' deltas are relative to; the delete horizon when [`BatchHeader::has_delete_horizon`].
    pub base_timestamp: TimestampMs,
    /// Largest timestamp of the records, or the append time under LogAppendTime.
    pub max_timestamp: TimestampMs,
    /// Producer, or [`ProducerId::NONE`].
    pub producer_id: ProducerId,
    /// Epoch of the producer.
    pub producer_epoch: ProducerEpoch,
    /// Sequence of the first record.
    pub base_sequence: Sequence,
    /// Records in the batch as claimed. Untrusted until validated.
    pub record_count: i32,
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`, which may be longer or shorter than the batch.
    ///
    /// # Errors
    /// When there are fewer than 61 bytes, the magic is not 2, or the length cannot hold a header. The CRC is not
    /// checked, and no field is compared with another.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        // The magic stands at the same place in all formats, so an old batch is named as such even when it is short.
        if let Some(&magic) = bytes.get(MAGIC_AT)
            && magic != 2
        {
            return Err(BatchError::Magic(magic as i8));
        }
        let Some(head) = bytes.first_chunk::<BATCH_HEADER_SIZE>() else {
            return Err(BatchError::Short { have: bytes.len() });
        };
        let batch_length = i32_at::<8>(head);
        if batch_length < (BATCH_HEADER_SIZE - BATCH_PREFIX_SIZE) as i32 {
            return Err(BatchError::Length(batch_length));
        }
        Ok(Self {
            base_offset: Offset(i64_at::<0>(head)),
            batch_length,
            leader_epoch: LeaderEpoch(i32_at::<EPOCH_AT>(head)),
            crc: i32_at::<CRC_AT>(head) as u32,
            attributes: i16_at::<ATTRIBUTES_AT>(head),
            last_offset_delta: i32_at::<23>(head),
            base_timestamp: TimestampMs(i64_at::<27>(head)),
            max_timestamp: TimestampMs(i64_at::<MAX_TIMESTAMP_AT>(head)),
            producer_id: ProducerId(i64_at::<43>(head)),
            producer_epoch: ProducerEpoch(i16_at::<51>(head)),
            base_sequence: Sequence(i32_at::<53>(head)),
            record_count: i32_at::<57>(head),
        })
    }

    /// Bytes of the whole batch, header included.
    #[must_use]
    pub const fn size(&self) -> usize {
        BATCH_PREFIX_SIZE + self.batch_length as usize
    }

    /// Offset of the last record: inclusive.
    #[must_use]
    pub const fn last_offset(&self) -> Offset {
        self.base_offset.plus(self.last_offset_delta as i64)
    }

    /// The offset after the batch.
    #[must_use]
    pub const fn next_offset(&self) -> Offset {
        self.base_offset.plus(self.last_offset_delta as i64 + 1)
    }

    /// Sequence of the last record, or [`Sequence::NONE`] without a base sequence.
    #[must_use]
    pub const fn last_sequence(&self) -> Sequence {
        if self.base_sequence.0 < 0 || self.last_offset_delta < 0 {
            return Sequence::NONE;
        }
        self.base_sequence.plus(self.last_offset_delta)
    }

    /// The codec of the records.
    ///
    /// # Errors
    /// When the three bits name no codec (5-7).
    pub const fn compression(&self) -> Result<Compression, BatchError> {
        match Compression::from_attributes(self.attributes) {
            Some(codec) => Ok(codec),
            None => Err(BatchError::Codec((self.attributes & 7) as u8)),
        }
    }

    /// Timestamp of a record of the batch.
    #[must_use]
    pub const fn timestamp_of(&self, timestamp_delta: i64) -> TimestampMs {
        match self.timestamp_type() {
            TimestampType::CreateTime => TimestampMs(self.base_timestamp.0.wrapping_add(timestamp_delta)),
            TimestampType::LogAppendTime => self.max_timestamp,
        }
    }

    /// Who set the timestamps.
    #[must_use]
    pub const fn timestamp_type(&self) -> TimestampType {
        if self.attributes & LOG_APPEND_TIME_BIT != 0 {
            TimestampType::LogAppendTime
        } else {
            TimestampType::CreateTime
        }
    }

    /// Part of a transaction (also true of its markers).
    #[must_use]
    pub const fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_BIT != 0
    }

    /// Holds control records: markers, leader changes.
    #[must_use]
    pub const fn is_control(&self) -> bool {
        self.attributes & CONTROL_BIT != 0
    }

    /// Whether the cleaner put a delete horizon where the base timestamp was (KIP-534).
    #[must_use]
    pub const fn has_delete_horizon(&self) -> bool {
        self.attributes & DELETE_HORIZON_BIT != 0
    }

    /// Written by an idempotent or transactional producer.
    #[must_use]
    pub const fn has_producer_id(&self) -> bool {
        self.producer_id.0 > ProducerId::NONE.0
    }
}

/// What the timestamps of a batch mean (`message.timestamp.type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's clock.
    #[default]
    CreateTime,
    /// The broker's clock at append; it stands in the max timestamp and holds for every record.
    LogAppendTime,
}

/// Bytes that are not a v2 batch. The blame is with whoever wrote them: a client, a peer or the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// The bytes end inside the header or the batch.
    #[error("batch cut short after {have} bytes")]
    Short {
        /// Bytes there are.
        have: usize,
    },
    /// Another record format.
    #[error("record format with magic {0}, only 2 is known")]
    Magic(i8),
    /// The length field cannot hold a header.
    #[error("batch length {0} is smaller than a batch header")]
    Length(i32),
    /// Codec bits that mean nothing.
    #[error("unknown compression codec {0}")]
    Codec(u8),
}

/// Puts offset and leader epoch into the batch at the start of `batch`. Neither is under the CRC.
///
/// # Panics
/// When `batch` is shorter than a header: callers hold a validated batch.
pub fn patch_base_offset_and_epoch(batch: &mut [u8], base_offset: Offset, leader_epoch: LeaderEpoch) {
    let head = batch.first_chunk_mut::<BATCH_HEADER_SIZE>().expect("a validated batch has a whole header");
    head[..8].copy_from_slice(&base_offset.0.to_be_bytes());
    head[EPOCH_AT..MAGIC_AT].copy_from_slice(&leader_epoch.0.to_be_bytes());
}

/// Sets timestamp type and max timestamp in the one batch that `batch` is, and renews the CRC over it
/// (`DefaultRecordBatch.setMaxTimestamp`). Nothing is touched when both are so already.
///
/// # Panics
/// When `batch` is shorter than a header: callers hold a validated batch.
pub fn patch_max_timestamp(batch: &mut [u8], timestamp_type: TimestampType, max_timestamp: TimestampMs) {
    let head = batch.first_chunk_mut::<BATCH_HEADER_SIZE>().expect("a validated batch has a whole header");
    let attributes = i16_at::<ATTRIBUTES_AT>(head);
    let wanted = match timestamp_type {
        TimestampType::CreateTime => attributes & !LOG_APPEND_TIME_BIT,
        TimestampType::LogAppendTime => attributes | LOG_APPEND_TIME_BIT,
    };
    if attributes == wanted && i64_at::<MAX_TIMESTAMP_AT>(head) == max_timestamp.0 {
        return;
    }
    // Kafka writes the attributes anew here, and so without the bits that mean nothing.
    let wanted = wanted & KNOWN_BITS;
    head[ATTRIBUTES_AT..ATTRIBUTES_AT + 2].copy_from_slice(&wanted.to_be_bytes());
    head[MAX_TIMESTAMP_AT..MAX_TIMESTAMP_AT + 8].copy_from_slice(&max_timestamp.0.to_be_bytes());
    let crc = compute_crc(batch);
    batch[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
}

/// Writes the header of the one batch that `batch` is, whose records were written anew: the fields of `header` with this
/// codec and timestamp type, and the length and CRC of what is there. Of the other flags only that of a transaction stays.
///
/// # Panics
/// When `batch` is shorter than a header or longer than 2 GiB: callers have written it.
pub(super) fn renew_header(
    batch: &mut [u8],
    header: &BatchHeader,
    codec: Compression,
    timestamp_type: TimestampType,
) -> BatchHeader {
    let batch_length = i32::try_from(batch.len() - BATCH_PREFIX_SIZE).expect("a batch is smaller than 2 GiB");
    let time = if timestamp_type == TimestampType::LogAppendTime { LOG_APPEND_TIME_BIT } else { 0 };
    let attributes = codec.bits() | time | (header.attributes & TRANSACTIONAL_BIT);
    let mut head = Vec::with_capacity(BATCH_HEADER_SIZE);
    head.extend_from_slice(&header.base_offset.0.to_be_bytes());
    head.extend_from_slice(&batch_length.to_be_bytes());
    head.extend_from_slice(&header.leader_epoch.0.to_be_bytes());
    head.push(2);
    head.extend_from_slice(&[0; 4]);
    head.extend_from_slice(&attributes.to_be_bytes());
    head.extend_from_slice(&header.last_offset_delta.to_be_bytes());
    head.extend_from_slice(&header.base_timestamp.0.to_be_bytes());
    head.extend_from_slice(&header.max_timestamp.0.to_be_bytes());
    head.extend_from_slice(&header.producer_id.0.to_be_bytes());
    head.extend_from_slice(&header.producer_epoch.0.to_be_bytes());
    head.extend_from_slice(&header.base_sequence.0.to_be_bytes());
    head.extend_from_slice(&header.record_count.to_be_bytes());
    batch[..BATCH_HEADER_SIZE].copy_from_slice(&head);
    let crc = compute_crc(batch);
    batch[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
    BatchHeader { batch_length, attributes, crc, ..*header }
}

/// The CRC-32C a batch should carry; `batch` is exactly one batch. 0 for bytes too short to have one.
#[must_use]
pub fn compute_crc(batch: &[u8]) -> u32 {
    crc32c::crc32c(batch.get(ATTRIBUTES_AT..).unwrap_or_default())
}

/// Whether `batch`, exactly one whole batch, carries the right CRC-32C. Too short bytes do not.
#[must_use]
pub fn crc_ok(batch: &[u8]) -> bool {
    match batch.first_chunk::<BATCH_HEADER_SIZE>() {
        Some(head) => i32_at::<CRC_AT>(head) as u32 == compute_crc(batch),
        None => false,
    }
}

pub(crate) const EPOCH_AT: usize = 12;
pub(crate) const MAGIC_AT: usize = 16;
pub(crate) const CRC_AT: usize = 17;
pub(crate) const ATTRIBUTES_AT: usize = 21;
pub(crate) const MAX_TIMESTAMP_AT: usize = 35;
pub(crate) const LOG_APPEND_TIME_BIT: i16 = 1 << 3;
pub(crate) const TRANSACTIONAL_BIT: i16 = 1 << 4;
pub(crate) const CONTROL_BIT: i16 = 1 << 5;
pub(crate) const DELETE_HORIZON_BIT: i16 = 1 << 6;
const KNOWN_BITS: i16 = 0x7f;

fn i16_at<const AT: usize>(head: &[u8; BATCH_HEADER_SIZE]) -> i16 {
    i16::from_be_bytes([head[AT], head[AT + 1]])
}

fn i32_at<const AT: usize>(head: &[u8; BATCH_HEADER_SIZE]) -> i32 {
    i32::from_be_bytes([head[AT], head[AT + 1], head[AT + 2], head[AT + 3]])
}

fn i64_at<const AT: usize>(head: &[u8; BATCH_HEADER_SIZE]) -> i64 {
    let high = i32_at::<AT>(head);
    let low = [head[AT + 4], head[AT + 5], head[AT + 6], head[AT + 7]];
    i64::from(high) << 32 | i64::from(u32::from_be_bytes(low))
}

#[cfg(test)]
mod tests {
    use super::super::builder::BatchBuilder;
    use super::*;

    fn one_record() -> Vec<u8> {
        let mut builder = BatchBuilder::new();
        builder.append(TimestampMs(1_000), Some(b"k"), Some(b"v"));
        builder.build()
    }

    #[test]
    fn offset_and_epoch_are_not_under_the_crc() {
        let mut batch = one_record();
        patch_base_offset_and_epoch(&mut batch, Offset(77), LeaderEpoch(5));
        assert!(crc_ok(&batch));
        let header = BatchHeader::parse(&batch).unwrap();
        assert_eq!((header.base_offset, header.leader_epoch), (Offset(77), LeaderEpoch(5)));
        assert_eq!((header.last_offset(), header.next_offset()), (Offset(77), Offset(78)));
        assert_eq!(header.size(), batch.len());
    }

    #[test]
    fn append_time_renews_the_crc() {
        let mut batch = one_record();
        patch_max_timestamp(&mut batch, TimestampType::LogAppendTime, TimestampMs(-5));
        assert!(crc_ok(&batch));
        let header = BatchHeader::parse(&batch).unwrap();
        assert_eq!(header.timestamp_type(), TimestampType::LogAppendTime);
        assert_eq!(header.max_timestamp, TimestampMs(-5));
        assert_eq!(header.base_timestamp, TimestampMs(1_000));
    }

    #[test]
    fn not_a_batch() {
        let batch = one_record();
        assert_eq!(BatchHeader::parse(&batch[..60]), Err(BatchError::Short { have: 60 }));
        let mut old = batch.clone();
        old[MAGIC_AT] = 1;
        assert_eq!(BatchHeader::parse(&old[..30]), Err(BatchError::Magic(1)));
        let mut short = batch.clone();
        short[8..12].copy_from_slice(&48i32.to_be_bytes());
        assert_eq!(BatchHeader::parse(&short), Err(BatchError::Length(48)));
        let mut flipped = batch;
        flipped[30] ^= 1;
        assert!(!crc_ok(&flipped));
        assert!(!crc_ok(&flipped[..20]));
    }
}
