//! Writing a batch anew in its topic's own codec (`LogValidator.buildRecordsAndAssignOffsets`), from the record bytes that
//! validation streams past: never a batch in memory unpacked. Offsets become dense, deltas count from the first record's
//! timestamp, attributes of records are dropped. Runs where validation runs.

use super::compression::StoredCodec;
use super::encoder::Encoder;
use super::fault::BatchFault;
use super::header::{BATCH_HEADER_SIZE, BatchHeader, TimestampType, renew_header};
use super::stream::RecordHead;
use super::varint::{VARINT_BYTES_MAX, VARLONG_BYTES_MAX, put_varint, put_varlong, varlong_bytes};
use crate::ids::TimestampMs;

/// A batch being written anew.
pub(super) struct Repacker {
    stored: StoredCodec,
    output: Output,
    size_max: usize,
    base_timestamp: Option<TimestampMs>,
    index: i32,
    /// Bytes seen of the record whose head is not complete yet.
    head_bytes: usize,
    is_head_written: bool,
    head: Vec<u8>,
}

/// A codec's state is up to megabytes: it is there only while records pass.
enum Output {
    NotBegun,
    Open(Encoder),
    TooLarge,
}

impl Repacker {
    /// `size_max` is `max.message.bytes`: the new batch has to keep to it as well.
    pub(super) fn new(stored: StoredCodec, size_max: usize) -> Self {
        Self {
            stored,
            output: Output::NotBegun,
            size_max,
            base_timestamp: None,
            index: 0,
            head_bytes: 0,
            is_head_written: false,
            head: Vec::with_capacity(HEAD_BYTES_MAX),
        }
    }

    /// Takes on the next bytes of the current record; `head` once all that stands before its key has been seen.
    pub(super) fn bytes(&mut self, source: &BatchHeader, mut bytes: &[u8], head: Option<&RecordHead>) {
        if matches!(self.output, Output::NotBegun) {
            self.output = Output::Open(Encoder::new(self.stored, vec![0; BATCH_HEADER_SIZE]));
        }
        let Output::Open(encoder) = &mut self.output else { return };
        if !self.is_head_written {
            let Some(head) = head else {
                self.head_bytes += bytes.len();
                return;
            };
            let timestamp = source.timestamp_of(head.timestamp_delta);
            let base = *self.base_timestamp.get_or_insert(timestamp);
            self.head.clear();
            put_head(&mut self.head, head, timestamp.0.wrapping_sub(base.0), self.index);
            encoder.write(&self.head);
            self.is_head_written = true;
            bytes = &bytes[head.head_bytes - self.head_bytes..];
        }
        encoder.write(bytes);
        if encoder.len() > self.size_max {
            self.output = Output::TooLarge;
        }
    }

    /// The record is complete.
    pub(super) fn end_record(&mut self) {
        self.index = self.index.wrapping_add(1);
        self.head_bytes = 0;
        self.is_head_written = false;
    }

    /// The batch with these timestamps in its header; the producer's fields stay.
    pub(super) fn finish(
        self,
        source: &BatchHeader,
        timestamp_type: TimestampType,
        max_timestamp: TimestampMs,
    ) -> Result<(BatchHeader, Vec<u8>), BatchFault> {
        let too_large = |size| BatchFault::TooLarge { size, max: self.size_max };
        let mut batch = match self.output {
            Output::NotBegun => return Err(BatchFault::NoBatch),
            Output::Open(encoder) => encoder.finish(),
            Output::TooLarge => return Err(too_large(self.size_max + 1)),
        };
        if batch.len() > self.size_max {
            return Err(too_large(batch.len()));
        }
        let base_timestamp = self.base_timestamp.unwrap_or(source.base_timestamp);
        let header = renew_header(
            &mut batch,
            &BatchHeader { base_timestamp, max_timestamp, ..*source },
            self.stored.codec,
            timestamp_type,
        );
        Ok((header, batch))
    }
}

/// Writes what stands before a record's key. A record that claims a wrong length is refused in the end, so what becomes
/// of that does not matter.
fn put_head(out: &mut Vec<u8>, head: &RecordHead, timestamp_delta: i64, offset_delta: i32) {
    let after_length = 1 + varlong_bytes(timestamp_delta) + varlong_bytes(i64::from(offset_delta));
    put_varint(out, head.rest_length.wrapping_add(after_length as i32));
    out.push(0);
    put_varlong(out, timestamp_delta);
    put_varint(out, offset_delta);
}

/// Length, attributes, timestamp and offset delta.
const HEAD_BYTES_MAX: usize = VARINT_BYTES_MAX + 1 + VARLONG_BYTES_MAX + VARINT_BYTES_MAX;
