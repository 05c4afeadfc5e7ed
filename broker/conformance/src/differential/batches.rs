//! The batches that scripts send. All times are fixed, so that the same bytes go to both brokers.

use std::time::{SystemTime, UNIX_EPOCH};

use slipring_protocol::batch::{BatchBuilder, Compression, RecordSpec};
use slipring_protocol::ids::{ProducerEpoch, ProducerId, Sequence, TimestampMs};

/// Time of the first record of scripts: long past, so topics keep their records for ever.
pub(crate) const T0: i64 = 1_700_000_000_000;

/// All codecs.
pub(crate) const CODECS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

/// A builder with records `from..from + count`: key `k<i>`, value `value <i>`, a second apart.
pub(crate) fn numbered(from: i64, count: i64) -> BatchBuilder {
    numbered_since(T0, from, count)
}

/// As [`numbered`], with another time of record 0.
fn numbered_since(since: i64, from: i64, count: i64) -> BatchBuilder {
    let mut builder = BatchBuilder::new();
    for number in from..from + count {
        let key = format!("k{number}");
        let value = format!("value {number}");
        builder.append(TimestampMs(since + number * 1000), Some(key.as_bytes()), Some(value.as_bytes()));
    }
    builder
}

/// A plain batch of `count` records.
pub(crate) fn batch(count: i64) -> Vec<u8> {
    numbered(0, count).build()
}

/// A batch of records with all sorts of keys, values and headers.
pub(crate) fn varied(codec: Compression) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    let long = "long ".repeat(400);
    let headers: [(&[u8], Option<&[u8]>); 3] = [(b"h1", Some(b"v1")), (b"", None), (b"h1", Some(b""))];
    let values = [None, Some(&b""[..]), Some(b"value"), Some(long.as_bytes())];
    for (number, value) in (0..).zip(values) {
        builder.append_record(&RecordSpec {
            timestamp: TimestampMs(T0 + number * 1000),
            key: (number % 2 == 0).then_some(&b"key"[..]),
            value,
            headers: if number == 1 { &headers } else { &[] },
            ..RecordSpec::default()
        });
    }
    builder.compression(codec).build()
}

/// A batch of one record with a value of so many bytes.
pub(crate) fn sized(bytes: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    builder.append(TimestampMs(T0), Some(b"key"), Some(&vec![b'x'; bytes]));
    builder.build()
}

/// A batch of an idempotent producer.
pub(crate) fn sequenced(producer: i64, epoch: i16, sequence: i32, count: i64) -> Vec<u8> {
    let mut builder = numbered(i64::from(sequence), count);
    builder.producer(ProducerId(producer), ProducerEpoch(epoch), Sequence(sequence)).build()
}

/// A batch of an idempotent producer that was written just now: its state does not expire.
pub(crate) fn sequenced_now(producer: i64, epoch: i16, sequence: i32, count: i64) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(T0, |since| since.as_millis() as i64);
    let mut builder = numbered_since(now, i64::from(sequence), count);
    builder.producer(ProducerId(producer), ProducerEpoch(epoch), Sequence(sequence)).build()
}

/// A batch with one byte other than it was; the checksum is left as it is.
pub(crate) fn spoilt(mut batch: Vec<u8>, at: usize, to: u8) -> Vec<u8> {
    batch[at] = to;
    batch
}

/// A batch with some bytes other than they were and a checksum that holds.
pub(crate) fn forged(mut batch: Vec<u8>, at: usize, to: &[u8]) -> Vec<u8> {
    batch[at..at + to.len()].copy_from_slice(to);
    let crc = crc32c::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}
