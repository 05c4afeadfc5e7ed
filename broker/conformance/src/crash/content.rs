//! What producers write: numbered records whose bytes follow from their number, in batches.

use std::sync::OnceLock;

use bytes::Bytes;
use slipring_protocol::batch::{BATCH_HEADER_SIZE, BatchBuilder, BatchHeader, Record, Records};
use slipring_protocol::ids::{ProducerEpoch, ProducerId, Sequence, TimestampMs};

use crate::chance::{Chance, mix};

/// Where a record goes: an index into [`super::PLACES`].
pub(crate) type Slot = usize;

/// Names one producer's record in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) producer: u16,
    pub(crate) slot: Slot,
    /// Counts the producer's records in this partition, from 0.
    pub(crate) number: u64,
}

/// A batch as it goes out, and again when it is retried.
#[derive(Clone, Debug)]
pub(crate) struct Batch {
    /// Its first record; the numbers of the others follow.
    pub(crate) first: Name,
    pub(crate) records: u32,
    /// As it stands in the batch; it covers the bytes of all records.
    pub(crate) crc: u32,
    pub(crate) bytes: Bytes,
}

/// How large a batch becomes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) records: u32,
    /// Bytes of a value, at least and below.
    pub(crate) value: (u64, u64),
}

impl Size {
    /// A few records, up to about 4 KiB: far below what goes past the journal.
    pub(crate) fn small(chance: &mut Chance) -> Self {
        Self { records: chance.between(1, 16) as u32, value: (HEAD as u64, 300) }
    }

    /// 64 to 800 KiB: mostly above what goes past the journal.
    pub(crate) fn large(chance: &mut Chance) -> Self {
        let size = chance.between(400, 1_600);
        let bytes = chance.between(64 << 10, 800 << 10);
        Self { records: (bytes / size) as u32, value: (size - 100, size + 100) }
    }
}

/// Builds a batch. `identity` makes it one of an idempotent producer, whose sequence is the record's number.
pub(crate) fn batch(
    first: Name,
    size: Size,
    identity: Option<(ProducerId, ProducerEpoch)>,
    now: TimestampMs,
    chance: &mut Chance,
) -> Batch {
    let mut builder = BatchBuilder::new();
    if let Some((id, epoch)) = identity {
        builder.producer(id, epoch, sequence(first.number));
    }
    let mut value = Vec::new();
    for index in 0..size.records {
        let name = Name { number: first.number + u64::from(index), ..first };
        write_value(name, chance.between(size.value.0, size.value.1) as usize, &mut value);
        builder.append(now, None, Some(&value));
    }
    let bytes = builder.build();
    let crc = BatchHeader::parse(&bytes).expect("a built batch has a header").crc;
    Batch { first, records: size.records, crc, bytes: bytes.into() }
}

/// The sequence of a record: its number, which wraps as Kafka's sequences do.
pub(crate) const fn sequence(number: u64) -> Sequence {
    Sequence((number & i32::MAX as u64) as i32)
}

/// The first record of a fetched batch, after every record in it was found to be the next one with the right bytes.
///
/// # Errors
/// Says which record is wrong.
pub(crate) fn read(header: &BatchHeader, bytes: &[u8]) -> Result<Name, String> {
    let area = bytes.get(BATCH_HEADER_SIZE..).unwrap_or_default();
    let mut first = None;
    for (count, record) in (0..).zip(Records::new(area, header.record_count)) {
        let record = record.map_err(|error| format!("record {count}: {error}"))?;
        let name = read_value(&record).ok_or_else(|| format!("record {count} is none of ours"))?;
        let head = *first.get_or_insert(name);
        if (name.producer, name.slot, name.number) != (head.producer, head.slot, head.number + count) {
            return Err(format!("record {count} is {name:?} in a batch that begins with {head:?}"));
        }
        if i64::from(record.offset_delta) != count as i64 {
            return Err(format!("record {count} has offset delta {}", record.offset_delta));
        }
    }
    first.ok_or_else(|| "a batch without records".to_owned())
}

/// Producer, slot, length and number, then bytes that follow from the number.
fn write_value(name: Name, length: usize, value: &mut Vec<u8>) {
    value.clear();
    value.extend_from_slice(&name.producer.to_be_bytes());
    value.extend_from_slice(&(name.slot as u16).to_be_bytes());
    value.extend_from_slice(&(length as u32).to_be_bytes());
    value.extend_from_slice(&name.number.to_be_bytes());
    value.extend_from_slice(filler(name, length - HEAD));
}

fn read_value(record: &Record<'_>) -> Option<Name> {
    let value = record.value?;
    let (head, rest) = value.split_first_chunk::<HEAD>()?;
    let name = Name {
        producer: u16::from_be_bytes([head[0], head[1]]),
        slot: Slot::from(u16::from_be_bytes([head[2], head[3]])),
        number: u64::from_be_bytes(*head.last_chunk()?),
    };
    let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
    (length == value.len() && rest.len() <= FILLER_MAX && rest == filler(name, rest.len())).then_some(name)
}

fn filler(name: Name, length: usize) -> &'static [u8] {
    static NOISE: OnceLock<Vec<u8>> = OnceLock::new();
    let noise = NOISE.get_or_init(|| Chance::new(0x51b).bytes(NOISE_BYTES));
    let start = mix(name.number ^ (name.slot as u64) << 40 ^ u64::from(name.producer) << 50) as usize;
    let start = start % (NOISE_BYTES - FILLER_MAX);
    &noise[start..start + length]
}

const HEAD: usize = 16;
const FILLER_MAX: usize = 4 << 10;
const NOISE_BYTES: usize = 256 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(size: Size) -> (Batch, BatchHeader) {
        let first = Name { producer: 3, slot: 7, number: 1_000_000_007 };
        let identity = Some((ProducerId(9), ProducerEpoch(0)));
        let batch = batch(first, size, identity, TimestampMs(5), &mut Chance::new(1));
        let header = BatchHeader::parse(&batch.bytes).unwrap();
        (batch, header)
    }

    #[test]
    fn what_is_written_is_recognised() {
        let mut chance = Chance::new(2);
        for size in [Size::small(&mut chance), Size::large(&mut chance), Size { records: 1, value: (16, 17) }]
        {
            let (batch, header) = sample(size);
            assert_eq!(read(&header, &batch.bytes), Ok(batch.first));
            assert_eq!((header.base_sequence.0, header.record_count as u32), (1_000_000_007, size.records));
        }
    }

    #[test]
    fn one_wrong_byte_of_a_value_is_seen() {
        let (batch, header) = sample(Size { records: 3, value: (20, 40) });
        // Beyond the last value stands one byte: no headers.
        for index in batch.bytes.len() - 17..batch.bytes.len() {
            let mut bytes = batch.bytes.to_vec();
            bytes[index] ^= 0x10;
            assert_ne!(read(&header, &bytes), Ok(batch.first), "byte {index}");
        }
    }
}
