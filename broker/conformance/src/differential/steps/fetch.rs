//! Fetch without sessions: offsets, limits, epochs, topics that are not there.

use serde_json::{Value, json};

use super::FOR_EVER;
use crate::differential::batches::{CODECS, batch, numbered, sized};
use crate::differential::session::{FOREIGN_ID, Fetch, Session};

pub(super) fn run(session: &mut Session) {
    session.create("fe", 2, &[FOR_EVER]);
    // Batches of five records at 0, 5, 10, 15 and 20, each with another codec, then three of one record.
    for (number, codec) in (0..).zip(CODECS) {
        let mut builder = numbered(number * 5, 5);
        session.quiet_produce("fe", 0, &builder.compression(codec).build());
    }
    for _ in 0..3 {
        session.quiet_produce("fe", 0, &batch(1));
    }
    for version in 4..=18 {
        for offset in [0, 3, 5, 14, 27, 28, 29, 1_000_000, -1, i64::MIN] {
            session.fetch(format!("from {offset}"), version, "fe", Fetch { offset, ..Fetch::default() });
        }
        session.fetch("empty partition", version, "fe", Fetch { partition: 1, ..Fetch::default() });
        session.fetch("no such partition", version, "fe", Fetch { partition: 2, ..Fetch::default() });
        session.fetch("negative partition", version, "fe", Fetch { partition: -1, ..Fetch::default() });
        if version <= 12 {
            session.fetch("unknown topic", version, "fe-unknown", Fetch::default());
        }
        isolation(session, version);
        epochs(session, version);
    }
    limits(session);
    several(session);
    waiting(session);
    odd_numbers(session);
    more_than_a_read(session);
    epoch_ends(session);
}

fn isolation(session: &mut Session, version: i16) {
    let mut body = session.fetch_body(version, "fe", Fetch { offset: 20, ..Fetch::default() });
    for level in [1, 2] {
        body["isolation_level"] = json!(level);
        session.step(format!("isolation level {level}"), "Fetch", version, &body);
    }
}

fn epochs(session: &mut Session, version: i16) {
    if version < 9 {
        return;
    }
    let body = session.fetch_body(version, "fe", Fetch { offset: 20, ..Fetch::default() });
    for epoch in [0, 1, 7] {
        let mut body = body.clone();
        body["topics"][0]["partitions"][0]["current_leader_epoch"] = json!(epoch);
        session.step(format!("current leader epoch {epoch}"), "Fetch", version, &body);
    }
    if version < 12 {
        return;
    }
    for epoch in [0, 1] {
        let mut body = body.clone();
        body["topics"][0]["partitions"][0]["last_fetched_epoch"] = json!(epoch);
        session.step(format!("last fetched epoch {epoch}"), "Fetch", version, &body);
    }
}

fn limits(session: &mut Session) {
    session.create("fe-size", 2, &[FOR_EVER]);
    for size in [10_000, 100, 100, 50_000, 100] {
        for partition in 0..2 {
            session.quiet_produce("fe-size", partition, &sized(size));
        }
    }
    for (partition_bytes_max, bytes_max) in [
        (0, 1000),
        (1, 1),
        (100, 100_000),
        (10_073, 100_000),
        (10_300, 100_000),
        (100_000, 100),
        (100_000, 10_400),
        (100_000, 0),
        (-1, 100_000),
        (100_000, -1),
    ] {
        let at = Fetch { partition_bytes_max, bytes_max, ..Fetch::default() };
        let name = format!("limits {partition_bytes_max} of {bytes_max}");
        session.fetch(&name, 12, "fe-size", at);
        session.fetch(&name, 3 + 1, "fe-size", at);
        let both = |partition: i32| json!({ "partition": partition, "fetch_offset": 0, "partition_max_bytes": partition_bytes_max });
        let body = json!({
            "max_wait_ms": 0, "min_bytes": 0, "max_bytes": bytes_max,
            "topics": [{ "topic": "fe-size", "partitions": [both(0), both(1)] }],
        });
        session.step(format!("two partitions, {name}"), "Fetch", 12, &body);
    }
}

fn several(session: &mut Session) {
    let one = |partition: i32, offset: i64| json!({ "partition": partition, "fetch_offset": offset, "partition_max_bytes": 1 << 20 });
    let mut ask = |name: &str, version: i16, topics: Value| {
        let body = json!({ "max_wait_ms": 0, "min_bytes": 0, "max_bytes": 1 << 20, "topics": topics });
        session.step(name, "Fetch", version, &body);
    };
    ask("nothing", 12, json!([]));
    ask("no partitions", 12, json!([{ "topic": "fe", "partitions": [] }]));
    ask(
        "good and unknown partitions",
        12,
        json!([{ "topic": "fe", "partitions": [one(0, 25), one(9, 0), one(1, 0)] }]),
    );
    ask(
        "good and unknown topics",
        12,
        json!([{ "topic": "fe-none", "partitions": [one(0, 0)] }, { "topic": "fe", "partitions": [one(0, 27)] }]),
    );
    ask("the same partition twice", 12, json!([{ "topic": "fe", "partitions": [one(0, 27), one(0, 26)] }]));
    ask("unknown id", 13, json!([{ "topic_id": FOREIGN_ID, "partitions": [one(0, 0)] }]));
    ask("bad name", 12, json!([{ "topic": "a b", "partitions": [one(0, 0)] }]));
    let mut follower = json!({
        "replica_id": 1, "max_wait_ms": 0, "min_bytes": 0, "max_bytes": 1 << 20,
        "topics": [{ "topic": "fe", "partitions": [one(0, 27)] }],
    });
    session.step("as the leader itself", "Fetch", 12, &follower);
    follower["replica_id"] = json!(5);
    session.step("as a replica that is none", "Fetch", 12, &follower);
    follower["replica_id"] = json!(-2);
    session.step("as a debugging consumer", "Fetch", 12, &follower);
}

/// Odd numbers where clients give sensible ones.
fn odd_numbers(session: &mut Session) {
    for version in [4, 12, 18] {
        let body = session.fetch_body(version, "fe", Fetch { offset: 28, ..Fetch::default() });
        let mut ask = |name: &str, field: &str, value: Value| {
            let mut body = body.clone();
            body[field] = value;
            session.step(name, "Fetch", version, &body);
        };
        ask("negative wait", "max_wait_ms", json!(-1));
        ask("negative least bytes", "min_bytes", json!(-1));
        let mut far = body.clone();
        far["max_wait_ms"] = json!(100);
        far["min_bytes"] = json!(i32::MAX);
        session.step("more than there is", "Fetch", version, &far);
        far["topics"][0]["partitions"][0]["fetch_offset"] = json!(27);
        session.step("more than there is, some is", "Fetch", version, &far);
        if version >= 5 {
            let mut behind = body.clone();
            behind["topics"][0]["partitions"][0]["log_start_offset"] = json!(5);
            session.step("log start of a follower", "Fetch", version, &behind);
        }
        if version >= 11 {
            let mut body = body.clone();
            body["rack_id"] = json!("somewhere");
            session.step("with a rack", "Fetch", version, &body);
        }
    }
}

/// More is wanted than one read can give, and nobody waits for it.
fn more_than_a_read(session: &mut Session) {
    session.create("fe-roll", 1, &[FOR_EVER, ("segment.bytes", "1048576")]);
    for _ in 0..5 {
        session.quiet_produce("fe-roll", 0, &sized(400_000));
    }
    for offset in [0, 1, 2, 3] {
        let mut body = session.fetch_body(12, "fe-roll", Fetch { offset, ..Fetch::default() });
        body["max_wait_ms"] = json!(60_000);
        body["min_bytes"] = json!(5_000_000);
        session.step(format!("older segment from {offset}"), "Fetch", 12, &body);
        body["topics"][0]["partitions"][0]["partition_max_bytes"] = json!(500_000);
        session.step(format!("older segment from {offset}, a batch at most"), "Fetch", 12, &body);
    }
    let mut body =
        session.fetch_body(12, "fe-roll", Fetch { offset: 4, bytes_max: 1_000, ..Fetch::default() });
    body["max_wait_ms"] = json!(60_000);
    body["min_bytes"] = json!(300_000);
    session.step("least bytes above the limit", "Fetch", 12, &body);
}

/// Nothing new within the wait: an empty answer.
fn waiting(session: &mut Session) {
    let at_end = |max_wait: i32, min_bytes: i32| {
        let end = json!({ "partition": 0, "fetch_offset": 28, "partition_max_bytes": 1 << 20 });
        let topics = json!([{ "topic": "fe", "partitions": [end] }]);
        json!({ "max_wait_ms": max_wait, "min_bytes": min_bytes, "max_bytes": 1 << 20, "topics": topics })
    };
    session.step("waits in vain", "Fetch", 12, &at_end(200, 1));
    session.step("wants no bytes", "Fetch", 12, &at_end(60_000, 0));
    let mut two = at_end(300, 1);
    two["topics"][0]["partitions"] = json!([
        { "partition": 0, "fetch_offset": 28, "partition_max_bytes": 1 << 20 },
        { "partition": 7, "fetch_offset": 0, "partition_max_bytes": 1 << 20 },
    ]);
    session.step("an unknown partition waits", "Fetch", 12, &two);
    two["max_wait_ms"] = json!(60_000);
    two["topics"][0]["partitions"] = json!([
        { "partition": 0, "fetch_offset": 29, "partition_max_bytes": 1 << 20 },
    ]);
    session.step("out of range does not wait", "Fetch", 12, &two);
}

fn epoch_ends(session: &mut Session) {
    for version in 2..=4 {
        let mut ask = |name: &str, topic: &str, partition: i32, current: i32, epoch: i32| {
            let body = json!({
                "replica_id": -1,
                "topics": [{
                    "topic": topic,
                    "partitions": [{
                        "partition": partition, "current_leader_epoch": current, "leader_epoch": epoch,
                    }],
                }],
            });
            session.step(name, "OffsetForLeaderEpoch", version, &body);
        };
        for epoch in [0, 1, -1, -2, 99] {
            ask(&format!("end of epoch {epoch}"), "fe", 0, -1, epoch);
            ask(&format!("end of epoch {epoch} of an empty log"), "fe", 1, -1, epoch);
        }
        ask("current epoch right", "fe", 0, 0, 0);
        ask("current epoch ahead", "fe", 0, 3, 0);
        ask("no such partition", "fe", 5, -1, 0);
        ask("no such topic", "fe-none", 0, -1, 0);
        let one = json!({ "partition": 0, "current_leader_epoch": -1, "leader_epoch": 0 });
        let topics = json!([
            { "topic": "fe", "partitions": [one, one] }, { "topic": "fe-none", "partitions": [one] },
            { "topic": "fe", "partitions": [one] }, { "topic": "fe-size", "partitions": [] },
        ]);
        let body = json!({ "replica_id": -1, "topics": topics });
        session.step("several and twice", "OffsetForLeaderEpoch", version, &body);
        let nothing = json!({ "replica_id": -1, "topics": [] });
        session.step("nothing", "OffsetForLeaderEpoch", version, &nothing);
    }
}
