//! Produce with record sets that are wrong in one place each.

use std::time::Duration;

use slipring_protocol::batch::{BatchBuilder, Compression, RecordSpec, compress};
use slipring_protocol::ids::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};

use super::FOR_EVER;
use crate::differential::batches::{CODECS, T0, batch, forged, numbered, spoilt, varied};
use crate::differential::session::Session;

pub(super) fn run(session: &mut Session) {
    session.create("bad", 1, &[FOR_EVER]);
    for version in [3, 7, 8, 9, 12, 13] {
        let mut send = |name: &str, records: Option<&[u8]>| {
            session.produce(name, version, ("bad", 0), records);
        };
        send("no bytes", Some(b""));
        send("two batches", Some(&[batch(1), batch(1)].concat()));
        send("bad checksum", Some(&spoilt(batch(2), 70, 0xff)));
        send("magic 0", Some(&old_message(0)));
        send("magic 1", Some(&old_message(1)));
        send("magic 3", Some(&spoilt(batch(1), 16, 3)));
    }
    // Kafka 4.3.0 never answers this: not worth waiting for.
    session.set_patience(Duration::from_secs(2));
    for version in [3, 9, 13] {
        session.produce("null records", version, ("bad", 0), None);
    }
    session.set_patience(Duration::from_secs(20));
    headers(session);
    lengths(session);
    records(session);
    compressed(session);
    session.produce("a good one", 12, ("bad", 0), Some(&batch(2)));
    session.show("in the end", "bad", 0);
}

fn headers(session: &mut Session) {
    let mut send = |name: &str, records: &[u8]| {
        session.produce(name, 12, ("bad", 0), Some(records));
    };
    send("one record counted as two", &forged(batch(1), 57, &[0, 0, 0, 2]));
    send("two records counted as one", &forged(batch(2), 57, &[0, 0, 0, 1]));
    send("no records counted", &forged(batch(1), 57, &[0, 0, 0, 0]));
    send("negative count", &forged(batch(1), 57, &[0xff; 4]));
    send("huge count", &forged(batch(1), 57, &[0x7f, 0xff, 0xff, 0xff]));
    send("last offset delta too large", &forged(batch(2), 23, &[0, 0, 0, 5]));
    send("last offset delta too small", &forged(batch(2), 23, &[0, 0, 0, 0]));
    send("negative last offset delta", &forged(batch(1), 23, &[0xff; 4]));
    send("codec 5", &forged(batch(1), 21, &[0, 5]));
    send("codec 7", &forged(batch(1), 21, &[0, 7]));
    send("unused attribute bits", &forged(batch(1), 21, &[0x55, 0x80]));
    send("control", numbered(0, 1).control().build().as_slice());
    send("transactional without a producer", numbered(0, 1).transactional().build().as_slice());
    let mut horizon = BatchBuilder::new();
    horizon.delete_horizon(TimestampMs(T0)).append(TimestampMs(T0), Some(b"k"), Some(b"v"));
    send("delete horizon", &horizon.build());
    send("base offset 77", numbered(0, 2).base_offset(Offset(77)).build().as_slice());
    send("leader epoch 9", &spoilt(batch(2), 15, 9));
    let producer = |id: i64, epoch: i16, sequence: i32| {
        numbered(0, 1).producer(ProducerId(id), ProducerEpoch(epoch), Sequence(sequence)).build()
    };
    send("producer without a sequence", &producer(9_000_000_001, 0, -1));
    send("producer without an epoch", &producer(9_000_000_002, -1, 0));
    send("sequence without a producer", &producer(-1, -1, 5));
    send("epoch without a producer", &producer(-1, 3, -1));
    send("producer -2", &producer(-2, 0, 0));
    let transactional = numbered(0, 1)
        .producer(ProducerId(9_000_000_003), ProducerEpoch(0), Sequence(0))
        .transactional()
        .build();
    send("transactional, not in a transaction", &transactional);
}

fn lengths(session: &mut Session) {
    let good = batch(3);
    let mut send = |name: String, records: &[u8]| {
        session.produce(name, 12, ("bad", 0), Some(records));
    };
    for cut in [1, 11, 12, 16, 17, 30, 60, 61, 62, good.len() - 1] {
        send(format!("cut to {cut} bytes"), &good[..cut]);
    }
    send("one byte after the batch".to_owned(), &[&good[..], b"x"].concat());
    send("batch and a cut batch".to_owned(), &[&good[..], &good[..20]].concat());
    for (name, length) in [("negative", -1), ("zero", 0), ("too small", 48), ("too large", i32::MAX)] {
        let mut wrong = good.clone();
        wrong[8..12].copy_from_slice(&i32::to_be_bytes(length));
        send(format!("batch length {name}"), &wrong);
    }
    send("only zeros".to_owned(), &[0; 100]);
    send("only ones".to_owned(), &[0xff; 100]);
}

fn records(session: &mut Session) {
    let mut send = |name: &str, records: &[u8]| {
        session.produce(name, 12, ("bad", 0), Some(records));
    };
    let with_delta = |deltas: &[i32]| {
        let mut builder = BatchBuilder::new();
        for (number, delta) in (0..).zip(deltas) {
            builder.append_record(&RecordSpec {
                offset_delta: Some(*delta),
                timestamp: TimestampMs(T0 + number),
                value: Some(b"v"),
                ..RecordSpec::default()
            });
        }
        builder
    };
    send("offset deltas with a gap", &with_delta(&[0, 2]).build());
    send("offset deltas backwards", &with_delta(&[1, 0]).last_offset_delta(1).build());
    send("offset delta twice", &with_delta(&[0, 0]).last_offset_delta(1).build());
    send("first offset delta 1", &with_delta(&[1, 2]).build());
    let forged_area = |area: &[u8]| numbered(0, 1).build_with_area(area);
    let area = numbered(0, 1).area().to_vec();
    send("record area cut", &forged_area(&area[..area.len() - 1]));
    send("record area with more", &forged_area(&[&area[..], b"more"].concat()));
    send("record area empty", &forged_area(b""));
    send("record length zero", &forged_area(b"\0"));
    send("record length negative", &forged_area(b"\x01"));
    send("record length huge", &forged_area(b"\xfe\xff\xff\xff\x0f"));
    // Length, attributes, time and offset deltas, then a key of 100 bytes.
    send("key beyond the record", &forged_area(b"\x0a\0\0\0\xc8\x01"));
    send("header count negative", &forged_area(b"\x0c\0\0\0\x01\x01\x01"));
    send("header count huge", &forged_area(b"\x12\0\0\0\x01\x01\xfe\xff\xff\x0f"));
    send("header without a name", &forged_area(b"\x10\0\0\0\x01\x01\x02\x01\x01"));
    send("bytes left in the record", &forged_area(b"\x10\0\0\0\x01\x01\0ab"));
    send("record attributes set", &forged_area(b"\x0c\xff\0\0\x01\x01\0"));
}

fn compressed(session: &mut Session) {
    for codec in CODECS {
        let mut send = |name: &str, records: &[u8]| {
            session.produce(format!("{codec:?}: {name}"), 12, ("bad", 0), Some(records));
        };
        let mut builder = numbered(0, 3);
        let area = builder.area().to_vec();
        let packed = compress(codec, &area);
        builder.compression(codec);
        send("good", &builder.build());
        send("counted as four", &forged(builder.build(), 57, &[0, 0, 0, 4]));
        send("counted as two", &forged(builder.build(), 57, &[0, 0, 0, 2]));
        send("cut stream", &builder.build_with_area(&packed[..packed.len() - 3]));
        send("no stream", &builder.build_with_area(b""));
        send("stream of garbage", &builder.build_with_area(b"this is no stream of any codec"));
        send("bytes after the stream", &builder.build_with_area(&[&packed[..], b"more"].concat()));
        let longer = compress(codec, &[&area[..], b"more"].concat());
        send("records with more", &builder.build_with_area(&longer));
        let shorter = compress(codec, &area[..area.len() - 2]);
        send("records cut", &builder.build_with_area(&shorter));
        send("bad checksum", &spoilt(varied(codec), 70, 0xee));
    }
    for version in [3, 6, 7] {
        let zstd = varied(Compression::Zstd);
        session.produce("zstd by version", version, ("bad", 0), Some(&zstd));
    }
}

/// A message of the formats before record batches.
fn old_message(magic: u8) -> Vec<u8> {
    let mut body = vec![magic, 0];
    if magic == 1 {
        body.extend_from_slice(&T0.to_be_bytes());
    }
    body.extend_from_slice(&[0xff; 4]);
    body.extend_from_slice(b"\0\0\0\x05value");
    let mut message = vec![0; 8];
    message.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
    // The checksum of the old formats is CRC-32, which no refusal waits for.
    message.extend_from_slice(&[0; 4]);
    message.extend_from_slice(&body);
    message
}
