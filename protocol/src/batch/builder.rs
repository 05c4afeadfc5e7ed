//! Builds whole batches: for coordinators, the metadata log, the perf tool and tests. Produced batches never pass here.

use super::compression::{Compression, compress};
use super::header::{
    BATCH_HEADER_SIZE, BATCH_PREFIX_SIZE, CONTROL_BIT, CRC_AT, DELETE_HORIZON_BIT, LOG_APPEND_TIME_BIT,
    TRANSACTIONAL_BIT, compute_crc,
};
use super::varint::{put_varint, put_varlong};
use crate::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

/// One batch in the making. Setters may come in any order before [`BatchBuilder::build`], which may be called again
/// after more records.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    base_offset: Offset,
    leader_epoch: LeaderEpoch,
    compression: Compression,
    flags: i16,
    producer: (ProducerId, ProducerEpoch, Sequence),
    base_timestamp: Option<TimestampMs>,
    max_timestamp: TimestampMs,
    max_timestamp_override: Option<TimestampMs>,
    last_offset_delta: Option<i32>,
    next_delta: i32,
    count: i32,
    area: Vec<u8>,
    body: Vec<u8>,
}

/// A record to append; offset and timestamp are absolute or follow the batch.
#[derive(Clone, Copy, Debug, Default)]
pub struct RecordSpec<'a> {
    /// `None`: one after the record before.
    pub offset_delta: Option<i32>,
    /// Its timestamp; the first record's becomes the batch's base timestamp.
    pub timestamp: TimestampMs,
    /// Key.
    pub key: Option<&'a [u8]>,
    /// Value.
    pub value: Option<&'a [u8]>,
    /// Header names and values.
    pub headers: &'a [(&'a [u8], Option<&'a [u8]>)],
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl BatchBuilder {
    /// An empty, uncompressed batch at offset 0, CreateTime, with no producer and no leader epoch.
    #[must_use]
    pub fn new() -> Self {
        Self {
            base_offset: Offset(0),
            leader_epoch: LeaderEpoch::NONE,
            compression: Compression::None,
            flags: 0,
            producer: (ProducerId::NONE, ProducerEpoch::NONE, Sequence::NONE),
            base_timestamp: None,
            max_timestamp: TimestampMs(-1),
            max_timestamp_override: None,
            last_offset_delta: None,
            next_delta: 0,
            count: 0,
            area: Vec::new(),
            body: Vec::new(),
        }
    }

    /// Offset of the first record.
    pub fn base_offset(&mut self, offset: Offset) -> &mut Self {
        self.base_offset = offset;
        self
    }

    /// Leader epoch to stamp.
    pub fn leader_epoch(&mut self, epoch: LeaderEpoch) -> &mut Self {
        self.leader_epoch = epoch;
        self
    }

    /// Codec of the records.
    pub fn compression(&mut self, codec: Compression) -> &mut Self {
        self.compression = codec;
        self
    }

    /// The idempotence triple.
    pub fn producer(&mut self, id: ProducerId, epoch: ProducerEpoch, base_sequence: Sequence) -> &mut Self {
        self.producer = (id, epoch, base_sequence);
        self
    }

    /// Part of a transaction.
    pub fn transactional(&mut self) -> &mut Self {
        self.flags |= TRANSACTIONAL_BIT;
        self
    }

    /// Holds control records.
    pub fn control(&mut self) -> &mut Self {
        self.flags |= CONTROL_BIT;
        self
    }

    /// LogAppendTime with this max timestamp.
    pub fn log_append_time(&mut self, at: TimestampMs) -> &mut Self {
        self.flags |= LOG_APPEND_TIME_BIT;
        self.max_timestamp_override = Some(at);
        self
    }

    /// A max timestamp other than the records' (for tests of its correction).
    pub fn max_timestamp(&mut self, max: TimestampMs) -> &mut Self {
        self.max_timestamp_override = Some(max);
        self
    }

    /// A base timestamp other than the first record's; only before the first record.
    ///
    /// # Panics
    /// After a record.
    pub fn base_timestamp(&mut self, base: TimestampMs) -> &mut Self {
        assert_eq!(self.count, 0, "deltas are already written against another base");
        self.base_timestamp = Some(base);
        self
    }

    /// The cleaner's delete horizon, which stands in for the base timestamp (KIP-534); only before the first record.
    pub fn delete_horizon(&mut self, horizon: TimestampMs) -> &mut Self {
        self.flags |= DELETE_HORIZON_BIT;
        self.base_timestamp(horizon)
    }

    /// A last offset delta other than the last record's: what compaction leaves.
    pub fn last_offset_delta(&mut self, delta: i32) -> &mut Self {
        self.last_offset_delta = Some(delta);
        self
    }

    /// Appends a record at the next offset, without headers.
    pub fn append(&mut self, timestamp: TimestampMs, key: Option<&[u8]>, value: Option<&[u8]>) -> &mut Self {
        self.append_record(&RecordSpec { timestamp, key, value, ..RecordSpec::default() })
    }

    /// Appends a record.
    ///
    /// # Panics
    /// When a field, the record or the count passes `i32::MAX`.
    pub fn append_record(&mut self, record: &RecordSpec<'_>) -> &mut Self {
        let base = *self.base_timestamp.get_or_insert(record.timestamp);
        let delta = record.offset_delta.unwrap_or(self.next_delta);
        self.body.clear();
        self.body.push(0);
        put_varlong(&mut self.body, record.timestamp.0.wrapping_sub(base.0));
        put_varint(&mut self.body, delta);
        put_nullable(&mut self.body, record.key);
        put_nullable(&mut self.body, record.value);
        put_varint(&mut self.body, length(record.headers.len()));
        for &(name, value) in record.headers {
            put_nullable(&mut self.body, Some(name));
            put_nullable(&mut self.body, value);
        }
        put_varint(&mut self.area, length(self.body.len()));
        self.area.extend_from_slice(&self.body);
        self.max_timestamp = self.max_timestamp.max(record.timestamp);
        self.next_delta = delta.wrapping_add(1);
        self.count = self.count.checked_add(1).expect("a batch counts its records in 31 bits");
        self
    }

    /// Records so far.
    #[must_use]
    pub const fn count(&self) -> i32 {
        self.count
    }

    /// Bytes of the batch if it were built now without a codec.
    #[must_use]
    pub const fn uncompressed_size(&self) -> usize {
        BATCH_HEADER_SIZE + self.area.len()
    }

    /// The whole batch with its CRC.
    ///
    /// # Panics
    /// When it passes 2 GiB.
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        let mut batch = vec![0; BATCH_HEADER_SIZE];
        if self.compression == Compression::None {
            batch.extend_from_slice(&self.area);
        } else {
            batch.extend_from_slice(&compress(self.compression, &self.area));
        }
        self.write_header(&mut batch);
        batch
    }

    /// The whole batch around a record area that the caller compressed (other framings, broken bytes in tests).
    #[must_use]
    pub fn build_with_area(&self, area: &[u8]) -> Vec<u8> {
        let mut batch = vec![0; BATCH_HEADER_SIZE];
        batch.extend_from_slice(area);
        self.write_header(&mut batch);
        batch
    }

    /// The record area as it stands, without a codec.
    #[must_use]
    pub fn area(&self) -> &[u8] {
        &self.area
    }

    fn write_header(&self, batch: &mut [u8]) {
        let batch_length = length(batch.len() - BATCH_PREFIX_SIZE);
        let (producer_id, producer_epoch, base_sequence) = self.producer;
        let base_timestamp = self.base_timestamp.unwrap_or(TimestampMs(-1));
        let mut head = Vec::with_capacity(BATCH_HEADER_SIZE);
        head.extend_from_slice(&self.base_offset.0.to_be_bytes());
        head.extend_from_slice(&batch_length.to_be_bytes());
        head.extend_from_slice(&self.leader_epoch.0.to_be_bytes());
        head.push(2);
        head.extend_from_slice(&[0; 4]);
        head.extend_from_slice(&(self.flags | self.compression.bits()).to_be_bytes());
        head.extend_from_slice(&self.last_offset_delta.unwrap_or(self.next_delta - 1).to_be_bytes());
        head.extend_from_slice(&base_timestamp.0.to_be_bytes());
        head.extend_from_slice(&self.max_timestamp_override.unwrap_or(self.max_timestamp).0.to_be_bytes());
        head.extend_from_slice(&producer_id.0.to_be_bytes());
        head.extend_from_slice(&producer_epoch.0.to_be_bytes());
        head.extend_from_slice(&base_sequence.0.to_be_bytes());
        head.extend_from_slice(&self.count.to_be_bytes());
        batch[..BATCH_HEADER_SIZE].copy_from_slice(&head);
        let crc = compute_crc(batch);
        batch[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
    }
}

fn put_nullable(out: &mut Vec<u8>, field: Option<&[u8]>) {
    match field {
        Some(bytes) => {
            put_varint(out, length(bytes.len()));
            out.extend_from_slice(bytes);
        }
        None => put_varint(out, -1),
    }
}

/// A length of our own data as the format holds it.
fn length(bytes: usize) -> i32 {
    i32::try_from(bytes).expect("a batch is smaller than 2 GiB")
}

#[cfg(test)]
mod tests {
    use super::super::{BatchHeader, Records, crc_ok};
    use super::*;

    #[test]
    fn what_was_appended_is_read_back() {
        let mut builder = BatchBuilder::new();
        builder.base_offset(Offset(40)).leader_epoch(LeaderEpoch(3)).transactional();
        builder.producer(ProducerId(9), ProducerEpoch(1), Sequence(7));
        builder.append(TimestampMs(100), Some(b"a"), None);
        let headers = [(&b"h"[..], Some(&b"1"[..])), (b"", None)];
        builder.append_record(&RecordSpec {
            timestamp: TimestampMs(90),
            value: Some(b"vv"),
            headers: &headers,
            ..RecordSpec::default()
        });
        let batch = builder.build();
        assert!(crc_ok(&batch));
        let header = BatchHeader::parse(&batch).unwrap();
        assert_eq!(header.last_offset(), Offset(41));
        assert_eq!(header.last_sequence(), Sequence(8));
        assert_eq!((header.base_timestamp, header.max_timestamp), (TimestampMs(100), TimestampMs(100)));
        assert!(header.is_transactional() && !header.is_control());
        let records: Vec<_> = Records::new(&batch[BATCH_HEADER_SIZE..], 2).map(Result::unwrap).collect();
        assert_eq!((records[0].key, records[0].value), (Some(&b"a"[..]), None));
        assert_eq!((records[1].timestamp_delta, records[1].offset_delta), (-10, 1));
        assert_eq!(records[1].headers.collect::<Vec<_>>(), headers);
    }
}
