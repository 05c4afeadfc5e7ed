//! Produce as it should be: every version, all acks, all codecs, both kinds of timestamps.

use serde_json::{Value, json};
use slipring_protocol::batch::Compression;

use super::FOR_EVER;
use crate::differential::batches::{CODECS, T0, batch, numbered, sized, varied};
use crate::differential::session::{FOREIGN_ID, Session};
use crate::session::codec::to_hex;

pub(super) fn run(session: &mut Session) {
    session.create("pr", 3, &[FOR_EVER]);
    for version in 3..=13 {
        session.produce("one batch", version, ("pr", 0), Some(&batch(3)));
        for acks in [1, 0, 2, -2] {
            let body = session.produce_body(version, acks, ("pr", 1), Some(&batch(2)));
            if acks == 0 {
                let _ = session.connection.send_only("Produce", version, &body);
                // Requests of one connection are done in order: this sees what the one before it did.
                session.list_end(format!("end after acks=0 at {version}"), "pr", 1);
            } else {
                session.step(format!("acks={acks}"), "Produce", version, &body);
            }
        }
        for codec in CODECS {
            session.produce(format!("{codec:?}"), version, ("pr", 2), Some(&varied(codec)));
        }
    }
    for partition in 0..3 {
        session.show(format!("partition {partition} in the end"), "pr", partition);
    }
    addressing(session);
    acks_0_errors(session);
    timestamps(session);
    compacted(session);
    requests(session);
}

/// Topics and partitions that are not there, and several in one request.
fn addressing(session: &mut Session) {
    let records = batch(1);
    for version in [3, 9, 12] {
        session.produce("unknown topic", version, ("pr-unknown", 0), Some(&records));
        session.produce("bad topic name", version, ("a b", 0), Some(&records));
    }
    for version in [3, 9, 13] {
        session.produce("partition 3 of 3", version, ("pr", 3), Some(&records));
        session.produce("partition -1", version, ("pr", -1), Some(&records));
    }
    let data = |index: i32| json!({ "index": index, "records": to_hex(&records) });
    let mut ask = |name: &str, version: i16, topics: Value| {
        let body = json!({ "acks": -1, "timeout_ms": 10_000, "topic_data": topics });
        session.step(name, "Produce", version, &body);
    };
    ask("unknown id", 13, json!([{ "topic_id": FOREIGN_ID, "partition_data": [data(0)] }]));
    ask("no topics", 12, json!([]));
    ask("no partitions", 12, json!([{ "name": "pr", "partition_data": [] }]));
    ask(
        "good and bad partitions",
        12,
        json!([{ "name": "pr", "partition_data": [data(0), data(7), data(1)] }]),
    );
    ask(
        "good and unknown topics",
        12,
        json!([{ "name": "pr-none", "partition_data": [data(0)] }, { "name": "pr", "partition_data": [data(0)] }]),
    );
    ask("the same partition twice", 12, json!([{ "name": "pr", "partition_data": [data(0), data(0)] }]));
    ask(
        "the same topic twice",
        12,
        json!([{ "name": "pr", "partition_data": [data(0)] }, { "name": "pr", "partition_data": [data(1)] }]),
    );
    session.list_end("after all these", "pr", 0);
}

/// Nothing answers an error of acks=0 but the end of the connection.
fn acks_0_errors(session: &mut Session) {
    let body = session.produce_body(12, 0, ("pr-unknown", 0), Some(&batch(1)));
    let _ = session.connection.send_only("Produce", 12, &body);
    session.step("after acks=0 to an unknown topic", "Metadata", 12, &json!({ "topics": [] }));
    let mut spoilt = batch(1);
    spoilt[70] ^= 1;
    let body = session.produce_body(12, 0, ("pr", 0), Some(&spoilt));
    let _ = session.connection.send_only("Produce", 12, &body);
    session.step("after acks=0 with a bad checksum", "Metadata", 12, &json!({ "topics": [] }));
}

fn timestamps(session: &mut Session) {
    session.create("pr-append", 1, &[FOR_EVER, ("message.timestamp.type", "LogAppendTime")]);
    for version in [3, 9, 13] {
        session.produce("append time", version, ("pr-append", 0), Some(&batch(2)));
        for codec in CODECS {
            let name = format!("append time {codec:?}");
            session.produce(name, version, ("pr-append", 0), Some(&varied(codec)));
        }
    }
    let mut stamped = numbered(0, 2);
    stamped.log_append_time(slipring_protocol::ids::TimestampMs(T0));
    session.produce("append time set by the client", 12, ("pr-append", 0), Some(&stamped.build()));
    session.produce("append time of the client", 12, ("pr", 0), Some(&stamped.build()));
    session.show("append time in the end", "pr-append", 0);

    session.create("pr-before", 1, &[FOR_EVER, ("message.timestamp.before.max.ms", "1000")]);
    session.produce("too old", 12, ("pr-before", 0), Some(&batch(2)));
    session.create("pr-after", 1, &[FOR_EVER, ("message.timestamp.after.max.ms", "1000")]);
    let mut future = slipring_protocol::batch::BatchBuilder::new();
    for number in 0..12 {
        future.append(slipring_protocol::ids::TimestampMs(FAR_FUTURE + number), None, Some(b"late"));
    }
    session.produce("too new", 12, ("pr-after", 0), Some(&future.build()));
    session.produce("too new by default", 12, ("pr", 0), Some(&future.build()));
    future.compression(Compression::Zstd);
    session.produce("too new, compressed", 12, ("pr", 0), Some(&future.build()));
    let mut none = slipring_protocol::batch::BatchBuilder::new();
    none.append(slipring_protocol::ids::TimestampMs(-1), None, Some(b"no time"));
    session.produce("no timestamp", 12, ("pr", 0), Some(&none.build()));
    let mut wrong_max = numbered(0, 3);
    wrong_max.max_timestamp(slipring_protocol::ids::TimestampMs(T0 + 5));
    session.produce("max timestamp too small", 12, ("pr-max", 0), Some(&wrong_max.build()));
    session.create("pr-max", 1, &[FOR_EVER]);
    session.produce("max timestamp wrong", 12, ("pr-max", 0), Some(&wrong_max.build()));
    wrong_max.compression(Compression::Gzip);
    session.produce("max timestamp wrong, compressed", 12, ("pr-max", 0), Some(&wrong_max.build()));
    session.show("max timestamp in the end", "pr-max", 0);
}

/// What else a request may say: other time-outs, a transactional id beside plain batches, good beside spoilt ones.
fn requests(session: &mut Session) {
    session.create("pr-request", 3, &[FOR_EVER]);
    for version in [3, 8, 12, 13] {
        let body = session.produce_body(version, -1, ("pr-request", 0), Some(&batch(1)));
        for timeout in [0, -1, i32::MAX] {
            let mut body = body.clone();
            body["timeout_ms"] = json!(timeout);
            session.step(format!("time-out {timeout}"), "Produce", version, &body);
        }
        let mut body = body.clone();
        body["transactional_id"] = json!("tx");
        session.step("transactional id and a plain batch", "Produce", version, &body);
        let mut spoilt = batch(2);
        spoilt[70] ^= 1;
        let data = |index: i32, records: &[u8]| json!({ "index": index, "records": to_hex(records) });
        let partitions = json!([data(0, &batch(1)), data(1, &spoilt), data(2, &batch(1)), data(9, &spoilt)]);
        for acks in [-1, 1, 7] {
            let mut body = body.clone();
            body["transactional_id"] = Value::Null;
            body["acks"] = json!(acks);
            body["topic_data"][0]["partition_data"] = partitions.clone();
            session.step(format!("good and spoilt, acks={acks}"), "Produce", version, &body);
        }
    }
    session.list_end("after spoilt neighbours", "pr-request", 2);
    session.create("pr-insync", 1, &[FOR_EVER, ("min.insync.replicas", "2")]);
    for acks in [-1, 0, 1] {
        let body = session.produce_body(12, acks, ("pr-insync", 0), Some(&batch(1)));
        if acks == 0 {
            let _ = session.connection.send_only("Produce", 12, &body);
            session.step("after acks=0", "Metadata", 12, &json!({ "topics": [] }));
        } else {
            session.step(format!("too few replicas, acks={acks}"), "Produce", 12, &body);
        }
    }
    session.create("pr-negative", 1, &[FOR_EVER]);
    for times in [[-1, -1], [-5, -7], [-1, 5], [0, 0], [i64::MIN, 3]] {
        let mut builder = slipring_protocol::batch::BatchBuilder::new();
        for time in times {
            builder.append(slipring_protocol::ids::TimestampMs(time), None, Some(b"v"));
        }
        for codec in [Compression::None, Compression::Lz4] {
            let records = builder.compression(codec).build();
            session.produce(format!("{codec:?} at {times:?}"), 12, ("pr-negative", 0), Some(&records));
        }
    }
    session.show("negative times", "pr-negative", 0);
    for at in [-3, 0, 3, 4] {
        let item = json!({ "partition_index": 0, "timestamp": at });
        let topics = json!([{ "name": "pr-negative", "partitions": [item] }]);
        let body = json!({ "replica_id": -1, "topics": topics });
        session.step(format!("negative times at {at}"), "ListOffsets", 7, &body);
    }
}

fn compacted(session: &mut Session) {
    session.create("pr-compact", 1, &[("cleanup.policy", "compact")]);
    session.produce("keys", 12, ("pr-compact", 0), Some(&batch(2)));
    for codec in [Compression::None, Compression::Lz4] {
        // Records 1 and 3 have no key.
        session.produce(format!("no keys, {codec:?}"), 12, ("pr-compact", 0), Some(&varied(codec)));
        session.produce(format!("no keys, {codec:?}"), 3, ("pr-compact", 0), Some(&varied(codec)));
    }
    session.list_end("compacted topic", "pr-compact", 0);
    session.create("pr-small", 1, &[FOR_EVER, ("max.message.bytes", "1000")]);
    for size in [100, 925, 926, 927, 928, 929, 930, 931, 932, 2000] {
        session.produce(format!("value of {size}"), 12, ("pr-small", 0), Some(&sized(size)));
    }
    session.list_end("small batches only", "pr-small", 0);
    for size in [1_048_510, 1_048_520, 1_200_000] {
        session.produce(format!("value of {size}"), 12, ("pr", 0), Some(&sized(size)));
    }
}

/// In the year 2100.
const FAR_FUTURE: i64 = 4_102_444_800_000;
