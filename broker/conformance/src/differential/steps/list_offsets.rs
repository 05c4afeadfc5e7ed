//! ListOffsets: all special timestamps, and times that lie before, on, between and after records, also inside batches.

use serde_json::{Value, json};
use slipring_protocol::batch::BatchBuilder;
use slipring_protocol::ids::TimestampMs;

use super::FOR_EVER;
use crate::differential::batches::{CODECS, T0, numbered};
use crate::differential::session::Session;

pub(super) fn run(session: &mut Session) {
    session.create("lo", 3, &[FOR_EVER]);
    // Batches of five records, a second apart, with all codecs: record n is at T0 + n seconds.
    for (number, codec) in (0..).zip(CODECS) {
        let mut builder = numbered(number * 5, 5);
        session.quiet_produce("lo", 0, &builder.compression(codec).build());
    }
    // Times that jump: the second batch is older than the first, its last record the newest but one.
    for from in [100, 50, 99, 20, 200, 120] {
        session.quiet_produce("lo", 1, &numbered(from, 2).build());
    }
    for version in 1..=11 {
        for special in -8..=-1 {
            ask(session, format!("special {special}"), version, "lo", 0, special);
            ask(session, format!("special {special} with jumps"), version, "lo", 1, special);
            ask(session, format!("special {special} of an empty log"), version, "lo", 2, special);
        }
        ask(session, "no such partition", version, "lo", 7, -1);
        ask(session, "negative partition", version, "lo", -1, -1);
        ask(session, "no such topic", version, "lo-missing", 0, -1);
        ask(session, "bad name", version, "a b", 0, -1);
        ask(session, "in the middle", version, "lo", 0, T0 + 7_500);
        ask(session, "after the end", version, "lo", 0, T0 + 1_000_000);
    }
    for millis in
        [-1, 0, 1, 999, 1000, 4000, 4001, 5000, 9999, 12_000, 17_300, 22_001, 23_999, 24_000, 24_001]
    {
        ask(session, format!("at {millis}"), 7, "lo", 0, T0 + millis);
    }
    for millis in [0, 19_000, 20_000, 51_000, 99_000, 100_000, 100_001, 101_001, 121_001, 200_001, 201_001] {
        ask(session, format!("with jumps at {millis}"), 7, "lo", 1, T0 + millis);
    }
    ask(session, "time zero", 7, "lo", 0, 0);
    ask(session, "end of time", 7, "lo", 0, i64::MAX);
    ask(session, "in an empty log", 7, "lo", 2, T0);
    variations(session);
    append_time(session);
}

/// Times of the broker's clock: every record of a batch has the same.
fn append_time(session: &mut Session) {
    session.create("lo-append", 1, &[FOR_EVER, ("message.timestamp.type", "LogAppendTime")]);
    session.create("lo-none", 1, &[FOR_EVER]);
    session.quiet_produce("lo-append", 0, &numbered(0, 3).build());
    let mut without = BatchBuilder::new();
    without.append(TimestampMs(-1), None, None).append(TimestampMs(-1), None, None);
    session.quiet_produce("lo-none", 0, &without.build());
    for topic in ["lo-append", "lo-none"] {
        for at in [-3, -2, -1, 0, T0, i64::MAX] {
            ask(session, format!("{topic} at {at}"), 7, topic, 0, at);
        }
    }
}

fn ask(session: &mut Session, name: impl AsRef<str>, version: i16, topic: &str, partition: i32, at: i64) {
    let item = json!({ "partition_index": partition, "timestamp": at });
    session.step(name, "ListOffsets", version, &request(version, topic, json!([item])));
}

fn request(version: i16, topic: &str, partitions: Value) -> Value {
    let mut body = json!({ "replica_id": -1, "topics": [{ "name": topic, "partitions": partitions }] });
    if version >= 10 {
        body["timeout_ms"] = json!(5000);
    }
    body
}

fn variations(session: &mut Session) {
    for version in [2, 4, 7, 11] {
        for level in [1, 3] {
            let mut body = request(version, "lo", json!([{ "partition_index": 0, "timestamp": -1 }]));
            body["isolation_level"] = json!(level);
            session.step(format!("isolation level {level}"), "ListOffsets", version, &body);
        }
        let list = json!([
            { "partition_index": 0, "timestamp": -1 },
            { "partition_index": 1, "timestamp": -2 },
            { "partition_index": 9, "timestamp": -1 },
            { "partition_index": 2, "timestamp": -3 },
        ]);
        session.step("several", "ListOffsets", version, &request(version, "lo", list));
        let twice = json!([
            { "partition_index": 0, "timestamp": -1 },
            { "partition_index": 0, "timestamp": -2 },
            { "partition_index": 1, "timestamp": -1 },
        ]);
        session.step("the same partition twice", "ListOffsets", version, &request(version, "lo", twice));
        session.step("no partitions", "ListOffsets", version, &request(version, "lo", json!([])));
        session.step("nothing", "ListOffsets", version, &json!({ "replica_id": -1, "topics": [] }));
        let mut replica = request(version, "lo", json!([{ "partition_index": 0, "timestamp": -1 }]));
        for id in [1, 5, -2] {
            replica["replica_id"] = json!(id);
            session.step(format!("replica {id}"), "ListOffsets", version, &replica);
        }
        if version < 4 {
            continue;
        }
        for epoch in [0, 1, 7] {
            let item = json!({ "partition_index": 0, "current_leader_epoch": epoch, "timestamp": -1 });
            let body = request(version, "lo", json!([item]));
            session.step(format!("current leader epoch {epoch}"), "ListOffsets", version, &body);
        }
    }
}
