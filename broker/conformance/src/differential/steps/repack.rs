//! Topics with a codec of their own: the broker writes batches anew, and what that does to offsets, times and sizes.

use slipring_protocol::batch::{BatchBuilder, Compression, RecordSpec};
use slipring_protocol::ids::TimestampMs;

use super::FOR_EVER;
use crate::differential::batches::{CODECS, T0, forged, numbered, sequenced, sized, varied};
use crate::differential::session::Session;

pub(super) fn run(session: &mut Session) {
    for codec in ["uncompressed", "gzip", "snappy", "lz4", "zstd"] {
        let topic = format!("rp-{codec}");
        session.create(&topic, 1, &[FOR_EVER, ("compression.type", codec)]);
        for version in [3, 13] {
            for source in CODECS.into_iter().filter(|codec| version > 7 || *codec != Compression::Zstd) {
                session.produce(
                    format!("{source:?} to {topic}"),
                    version,
                    (&topic, 0),
                    Some(&varied(source)),
                );
            }
        }
        // More than a core does beside its other work.
        for source in [Compression::None, Compression::Zstd] {
            let records = numbered(0, 20_000).compression(source).build();
            session.produce(format!("{source:?}, large, to {topic}"), 12, (&topic, 0), Some(&records));
        }
        shapes(session, &topic);
        session.show(format!("{topic} in the end"), &topic, 0);
        times(session, codec);
        refusals(session, codec);
    }
    for (codec, level, value) in [
        ("gzip", "compression.gzip.level", "1"),
        ("lz4", "compression.lz4.level", "17"),
        ("zstd", "compression.zstd.level", "-7"),
    ] {
        let topic = format!("rp-{codec}-level");
        session.create(&topic, 1, &[FOR_EVER, ("compression.type", codec), (level, value)]);
        session.produce(format!("to {topic}"), 12, (&topic, 0), Some(&varied(Compression::Snappy)));
        session.show(format!("{topic} in the end"), &topic, 0);
    }
}

/// Offset deltas that are not dense, and a producer's batch with its duplicate.
fn shapes(session: &mut Session, topic: &str) {
    for source in [Compression::None, Compression::Gzip] {
        let mut gap = BatchBuilder::new();
        for (number, delta) in (0..).zip([3, 3, 2]) {
            gap.append_record(&RecordSpec {
                offset_delta: Some(delta),
                timestamp: TimestampMs(T0 - number),
                ..RecordSpec::default()
            });
        }
        gap.compression(source);
        // A topic of the same codec keeps the batch, which is another matter.
        let is_kept =
            topic.ends_with(source.name()) || topic == "rp-uncompressed" && source == Compression::None;
        if !is_kept {
            session.produce(
                format!("{topic}: odd offset deltas, {source:?}"),
                12,
                (topic, 0),
                Some(&gap.build()),
            );
        }
        let flags = forged(numbered(0, 2).compression(source).build(), 21, &[0x55, source.bits() as u8]);
        session.produce(format!("{topic}: unused attribute bits, {source:?}"), 12, (topic, 0), Some(&flags));
    }
    for (number, sequence) in (0..).zip([0, 2, 0, 5]) {
        let records = sequenced(PRODUCER, 0, sequence, 2);
        session.produce(
            format!("{topic}: batch {number}, sequence {sequence}"),
            12,
            (topic, 0),
            Some(&records),
        );
    }
}

fn times(session: &mut Session, codec: &str) {
    let topic = format!("rp-{codec}-time");
    let configs = [FOR_EVER, ("compression.type", codec), ("message.timestamp.type", "LogAppendTime")];
    session.create(&topic, 1, &configs);
    for source in [Compression::None, Compression::Lz4] {
        session.produce(format!("{source:?} to {topic}"), 12, (&topic, 0), Some(&varied(source)));
    }
    session.show(format!("{topic} in the end"), &topic, 0);
}

/// A limit that holds before and after, and records that a compacted topic does not take.
fn refusals(session: &mut Session, codec: &str) {
    let topic = format!("rp-{codec}-small");
    let configs = [
        FOR_EVER,
        ("compression.type", codec),
        ("max.message.bytes", "1000"),
        ("message.timestamp.after.max.ms", "1000"),
    ];
    session.create(&topic, 1, &configs);
    let mut inflates = BatchBuilder::new();
    inflates.append(TimestampMs(T0), None, Some(&[b'x'; 5_000]));
    for source in CODECS {
        let records = inflates.compression(source).build();
        session.produce(format!("{source:?} to {topic}"), 12, (&topic, 0), Some(&records));
    }
    session.produce(format!("fits in {topic}"), 12, (&topic, 0), Some(&sized(900)));
    let mut late = BatchBuilder::new();
    late.append(TimestampMs(T0), None, Some(b"now")).append(TimestampMs(4_102_444_800_000), None, None);
    for source in [Compression::None, Compression::Zstd] {
        let records = late.compression(source).build();
        session.produce(format!("too new for {topic}, {source:?}"), 12, (&topic, 0), Some(&records));
        let counted = forged(numbered(0, 3).compression(source).build(), 57, &[0, 0, 0, 2]);
        session.produce(format!("miscounted to {topic}, {source:?}"), 12, (&topic, 0), Some(&counted));
    }
    session.list_end(format!("end of {topic}"), &topic, 0);
    let topic = format!("rp-{codec}-compact");
    session.create(&topic, 1, &[("cleanup.policy", "compact"), ("compression.type", codec)]);
    for source in [Compression::None, Compression::Snappy] {
        session.produce(format!("{source:?} to {topic}"), 12, (&topic, 0), Some(&varied(source)));
    }
}

const PRODUCER: i64 = 9_000_000_555;
