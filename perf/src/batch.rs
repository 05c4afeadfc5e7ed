//! The record batches that are sent: built once, CRC and all, and then sent again and again. The bytes of the records are
//! noise, so that nothing on the way can shrink them.

use clap::Args;
use serde::{Deserialize, Serialize};
use slipring_protocol::batch::{BATCH_HEADER_SIZE, BatchBuilder, compute_crc};
use slipring_protocol::ids::TimestampMs;

/// What a batch holds.
#[derive(Args, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BatchSpec {
    /// Bytes of each record's value; records have no key.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(8..=64 << 20))]
    pub(crate) record_bytes: u32,
    /// Size that a batch must not pass; it is filled with as many records as fit.
    #[arg(long, default_value_t = 65_536)]
    pub(crate) batch_bytes: u32,
    /// Records of a batch; over --batch-bytes unless 0.
    #[arg(long, default_value_t = 0)]
    pub(crate) records_per_batch: u32,
}

/// A batch ready to send.
#[derive(Clone, Debug)]
pub(crate) struct EncodedBatch {
    /// The batch, header included.
    pub(crate) bytes: Vec<u8>,
    /// Records in it.
    pub(crate) records: u32,
    number_at: usize,
}

impl BatchSpec {
    /// Batches of one record.
    pub(crate) const fn single(record_bytes: u32) -> Self {
        Self { record_bytes, batch_bytes: 0, records_per_batch: 1 }
    }

    /// Batches of as many records as fit.
    pub(crate) const fn filled(record_bytes: u32, batch_bytes: u32) -> Self {
        Self { record_bytes, batch_bytes, records_per_batch: 0 }
    }

    /// Builds the batch; its records carry `now` as their time.
    pub(crate) fn encode(&self, now: TimestampMs) -> EncodedBatch {
        let value = noise(self.record_bytes as usize);
        let records = match self.records_per_batch {
            0 => self.records_that_fit(now, &value),
            records => records,
        };
        let mut builder = BatchBuilder::new();
        for _ in 0..records {
            builder.append(now, None, Some(&value));
        }
        let bytes = builder.build();
        // The value is the last but one field of a record; the last, the count of headers, takes one byte.
        let number_at = bytes.len() - 1 - value.len();
        EncodedBatch { bytes, records, number_at }
    }

    fn records_that_fit(&self, now: TimestampMs, value: &[u8]) -> u32 {
        let mut builder = BatchBuilder::new();
        let mut records = 0;
        while builder.append(now, None, Some(value)).uncompressed_size() <= self.batch_bytes as usize {
            records += 1;
        }
        records.max(1)
    }
}

impl EncodedBatch {
    /// Writes a number into the last record and renews the CRC.
    pub(crate) fn set_number(&mut self, number: u64) {
        put_number(&mut self.bytes, self.number_at, number);
    }

    /// The number that [`Self::set_number`] wrote into a batch of this form; none when the batch has another form.
    pub(crate) fn number_of(&self, batch: &[u8]) -> Option<u64> {
        if batch.len() != self.bytes.len() {
            return None;
        }
        let field = batch.get(self.number_at..)?.first_chunk::<8>()?;
        Some(u64::from_be_bytes(*field))
    }
}

fn put_number(batch: &mut [u8], at: usize, number: u64) {
    batch[at..at + 8].copy_from_slice(&number.to_be_bytes());
    let crc = compute_crc(batch);
    batch[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
}

/// Bytes that do not compress (xorshift64*, a fixed seed: every run sends the same).
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Where the CRC stands in a batch (`slipring_protocol::batch` draws the header).
const CRC_AT: usize = 17;
const _: () = assert!(CRC_AT + 4 < BATCH_HEADER_SIZE, "the CRC is part of the header");

#[cfg(test)]
mod tests {
    use slipring_protocol::batch::{BatchHeader, Records, crc_ok};

    use super::*;

    fn values(batch: &EncodedBatch) -> Vec<Vec<u8>> {
        Records::new(&batch.bytes[BATCH_HEADER_SIZE..], batch.records as i32)
            .map(|record| record.unwrap().value.unwrap().to_vec())
            .collect()
    }

    #[test]
    fn a_batch_is_filled_but_never_over() {
        let batch = BatchSpec::filled(1024, 65_536).encode(TimestampMs(7));
        assert!(crc_ok(&batch.bytes));
        assert_eq!(BatchHeader::parse(&batch.bytes).unwrap().record_count, 63);
        assert_eq!(batch.records, 63);
        assert!(batch.bytes.len() <= 65_536 && batch.bytes.len() + 1040 > 65_536);
        assert!(values(&batch).iter().all(|value| value.len() == 1024));
    }

    #[test]
    fn a_record_larger_than_the_batch_goes_alone() {
        assert_eq!(BatchSpec::filled(4096, 100).encode(TimestampMs(7)).records, 1);
        assert_eq!(BatchSpec::single(100).encode(TimestampMs(7)).records, 1);
        let three = BatchSpec { records_per_batch: 3, ..BatchSpec::filled(100, 10) };
        assert_eq!(three.encode(TimestampMs(7)).records, 3);
    }

    #[test]
    fn a_number_is_read_back_and_the_crc_holds() {
        for spec in [BatchSpec::single(8), BatchSpec::single(1024), BatchSpec::filled(100, 2000)] {
            let mut batch = spec.encode(TimestampMs(7));
            batch.set_number(0xDEAD_BEEF);
            assert!(crc_ok(&batch.bytes));
            assert_eq!(batch.number_of(&batch.bytes), Some(0xDEAD_BEEF));
            assert_eq!(values(&batch).last().unwrap()[..8], 0xDEAD_BEEF_u64.to_be_bytes());
            assert_eq!(batch.number_of(&batch.bytes[1..]), None);
        }
    }

    #[test]
    fn noise_does_not_repeat() {
        let bytes = noise(1021);
        assert_eq!(bytes.len(), 1021);
        assert_ne!(bytes[..512], bytes[509..]);
    }
}
