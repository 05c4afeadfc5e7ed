//! Produce requests whose record batches are wrong. They go to a topic that is there, so the batch itself is looked at.

use slipring_protocol::batch::{BATCH_HEADER_SIZE, BatchBuilder, Compression, compress, compute_crc};
use slipring_protocol::ids::{PartitionIndex, ProducerEpoch, ProducerId, Sequence, TimestampMs};
use slipring_protocol::produce::{ProducePartition, ProduceRequest, ProduceTopic};
use slipring_protocol::wire::WireStr;

use crate::malformed::case::Case;
use crate::malformed::{BOMBS, VICTIM};

/// Wrong batches of every kind.
pub(super) fn broken() -> Vec<Case> {
    let mut cases = vec![case("as it should be", &good()), null_records()];
    flipped(&mut cases);
    lengths(&mut cases);
    claims(&mut cases);
    records(&mut cases);
    codecs(&mut cases);
    cases
}

/// A produce request of one batch.
pub(super) fn produce(topic: &'static str, acks: i16, records: Option<Vec<u8>>) -> Vec<u8> {
    let partition = ProducePartition { index: PartitionIndex(0), records: records.map(Into::into) };
    let topic = ProduceTopic {
        name: WireStr::from_static_str(topic),
        partitions: std::iter::once(partition).collect(),
        ..ProduceTopic::default()
    };
    let topics = std::iter::once(topic).collect();
    let request = ProduceRequest { acks, timeout_ms: 5_000, topics, ..ProduceRequest::default() };
    let mut body = Vec::new();
    request.encode(VERSION, &mut body).expect("version 11 can say all of this");
    body
}

/// A produce request to the topic that takes large batches.
pub(super) fn bomb(name: String, batch: Vec<u8>) -> Case {
    let mut case = Case::request(name, 0, VERSION, &produce(BOMBS, -1, Some(batch)));
    case.version = None;
    case
}

fn case(name: &str, batch: &[u8]) -> Case {
    let body = produce(VICTIM, -1, Some(batch.to_vec()));
    let mut case = Case::request(format!("batch {name}"), 0, VERSION, &body);
    case.version = None;
    case
}

fn null_records() -> Case {
    let mut case = Case::request("batch null".to_owned(), 0, VERSION, &produce(VICTIM, -1, None));
    (case.version, case.is_dropped) = (None, true);
    case
}

fn builder() -> BatchBuilder {
    let mut builder = BatchBuilder::new();
    for number in 0..3 {
        builder.append(TimestampMs(1_000 + number), Some(b"key"), Some(b"value of some length"));
    }
    builder
}

fn good() -> Vec<u8> {
    builder().build()
}

/// One wrong byte, with the old checksum and with a fresh one.
fn flipped(cases: &mut Vec<Case>) {
    let good = good();
    for at in 0..good.len() {
        let place = match HEADER.iter().rev().find(|(start, _)| *start <= at) {
            Some((_, name)) => name,
            None => continue,
        };
        for bit in [1, 0x80] {
            let mut batch = good.clone();
            batch[at] ^= bit;
            let which = if *place == "length" { format!(" {at} bit {bit}") } else { String::new() };
            cases.push(case(&format!("with a wrong {place}{which}"), &batch));
            // The timestamps' and the producer's high bits make states of their own that depend on the order.
            if at >= ATTRIBUTES_AT && *place != "producer" {
                cases.push(case(&format!("with a sealed wrong byte {at} bit {bit}"), &sealed(batch)));
            }
        }
    }
}

fn lengths(cases: &mut Vec<Case>) {
    let good = good();
    for end in 0..good.len() {
        cases.push(case(
            if end < BATCH_HEADER_SIZE { "cut in its header" } else { "cut in its records" },
            &good[..end],
        ));
    }
    let exact = good.len() as i32 - 12;
    for length in [0, -1, 1, 48, 49, exact - 1, exact + 1, i32::MAX, i32::MIN] {
        let mut batch = good.clone();
        batch[8..12].copy_from_slice(&length.to_be_bytes());
        cases.push(case(&format!("of length {length}"), &batch));
    }
    cases.push(case("twice", &[&good[..], &good].concat()));
    cases.push(case("and a byte", &[&good[..], &[0]].concat()));
    cases.push(case("and half of it", &[&good[..], &good[..40]].concat()));
    cases.push(case("larger than allowed", &large(1_100_000)));
    for magic in [0, 1, 3, 0x7f, 0xff] {
        let mut batch = good.clone();
        batch[16] = magic;
        cases.push(case(&format!("of magic {magic}"), &sealed(batch)));
    }
}

/// Header fields that contradict the records.
fn claims(cases: &mut Vec<Case>) {
    let claim = |fields: &[(usize, i32)]| {
        let mut batch = good();
        for (at, value) in fields {
            batch[*at..at + 4].copy_from_slice(&value.to_be_bytes());
        }
        sealed(batch)
    };
    for count in [0, -1, 1, 2, 4, 1_000_000, i32::MAX, i32::MIN] {
        let delta = count.wrapping_sub(1);
        cases.push(case(&format!("of {count} records"), &claim(&[(57, count)])));
        cases.push(case(&format!("of last offset delta {count}"), &claim(&[(23, count)])));
        cases.push(case(&format!("of {count} records by both fields"), &claim(&[(57, count), (23, delta)])));
    }
    for codec in [5u8, 6, 7] {
        let mut batch = good();
        batch[22] |= codec;
        cases.push(case(&format!("of codec {codec}"), &sealed(batch)));
    }
    cases.push(case("with a control bit", &builder().control().build()));
    cases.push(case("of a transaction without a producer", &builder().transactional().build()));
    let mut sequenced = builder();
    sequenced.producer(ProducerId(7), ProducerEpoch(-1), Sequence(0));
    cases.push(case("of a producer without an epoch", &sequenced.build()));
    sequenced.producer(ProducerId(7), ProducerEpoch(0), Sequence(-1));
    cases.push(case("of a producer without a sequence", &sequenced.build()));
    cases.push(case("of the distant future", &stamped(i64::MAX)));
    cases.push(case("of a negative time", &stamped(-2)));
}

/// Record areas that are no records.
fn records(cases: &mut Vec<Case>) {
    let one = builder_of_one();
    let mut area = |name: &str, area: &[u8]| {
        cases.push(case(&format!("with records {name}"), &one.build_with_area(area)));
        for codec in CODECS {
            let batch = one.clone().compression(codec).build_with_area(&compress(codec, area));
            cases.push(case(&format!("with {} records {name}", codec.name()), &batch));
        }
    };
    area("that are none", &[]);
    area("of zeros", &[0; 100]);
    area("of ones", &[0xff; 100]);
    area("of length -1", &[1, 0, 0, 0, 1, 1, 0]);
    area("of the highest length", &[0xfe, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 1, 1, 0]);
    area("of the lowest length", &[0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0, 1, 1, 0]);
    area("with a key beyond the record", &[14, 0, 0, 0, 200, 1, 1, 0]);
    area("with a key of the highest length", &[22, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff, 0x0f, 1, 0, 0]);
    area("with a value of length -2", &[12, 0, 0, 0, 1, 3, 0]);
    area("with the highest count of headers", &[20, 0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f]);
    area("with a negative count of headers", &[12, 0, 0, 0, 1, 1, 1]);
    area("with a header without a name", &[16, 0, 0, 0, 1, 1, 2, 1, 1]);
    area("with an endless varint", &[0xff; 12]);
    area("with attributes", &[12, 0xff, 0, 0, 1, 1, 0]);
    area("with an offset delta that leaps", &[12, 0, 0, 20, 1, 1, 0]);
    area("and bytes after them", &[12, 0, 0, 0, 1, 1, 0, 12, 0, 0]);
    area("that end early", &[12, 0, 0, 0, 1]);
}

/// Compressed areas that are broken.
fn codecs(cases: &mut Vec<Case>) {
    let one = builder_of_one();
    for codec in CODECS {
        let good = compress(codec, builder().area());
        let mut area = |name: &str, area: &[u8]| {
            let batch = builder().compression(codec).build_with_area(area);
            cases.push(case(&format!("{} {name}", codec.name()), &batch));
        };
        area("as it should be", &good);
        area("of nothing", &[]);
        area("that is not compressed", builder().area());
        area("of zeros", &[0; 200]);
        area("of ones", &[0xff; 200]);
        for end in 1..good.len() {
            area(&format!("cut at {end}"), &good[..end]);
        }
        for at in 0..good.len() {
            let mut broken = good.clone();
            broken[at] ^= 0x55;
            area(&format!("with a wrong byte {at}"), &broken);
        }
        area("and bytes after it", &[&good[..], &[1, 2, 3]].concat());
        let batch = one.clone().compression(codec).build_with_area(&compress(codec, &[0; 60_000]));
        cases.push(case(&format!("{} of many empty records", codec.name()), &batch));
    }
}

fn builder_of_one() -> BatchBuilder {
    let mut builder = BatchBuilder::new();
    builder.append(TimestampMs(1), None, None);
    builder
}

fn stamped(timestamp: i64) -> Vec<u8> {
    BatchBuilder::new().append(TimestampMs(timestamp), None, Some(b"value")).build()
}

fn large(bytes: usize) -> Vec<u8> {
    BatchBuilder::new().append(TimestampMs(1), None, Some(&vec![7; bytes])).build()
}

fn sealed(mut batch: Vec<u8>) -> Vec<u8> {
    let crc = compute_crc(&batch);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}

/// Where the fields of a batch begin.
const HEADER: &[(usize, &str)] = &[
    (0, "base offset"),
    (8, "length"),
    (12, "leader epoch"),
    (16, "magic"),
    (17, "checksum"),
    (ATTRIBUTES_AT, "attribute"),
    (23, "last offset delta"),
    (27, "timestamp"),
    (43, "producer"),
    (57, "count"),
    (BATCH_HEADER_SIZE, "record"),
];
const ATTRIBUTES_AT: usize = 21;
const CODECS: [Compression; 4] =
    [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
const VERSION: i16 = 11;
