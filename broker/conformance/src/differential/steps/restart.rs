//! What outlives a clean stop and start: records, producer state, epochs, topics and their ids.

use serde_json::json;

use super::FOR_EVER;
use crate::differential::batches::{batch, numbered, sequenced, sequenced_now};
use crate::differential::session::{Fetch, Session};

/// Before the stop.
pub(super) fn prepare(session: &mut Session) {
    session.create("rs", 2, &[FOR_EVER]);
    session.create("rs-gone", 1, &[FOR_EVER]);
    session.quiet_produce("rs", 0, &batch(3));
    for sequence in 0..3 {
        let records = sequenced_now(PRODUCER, 2, sequence, 1);
        session.produce(format!("sequence {sequence} before"), 12, ("rs", 0), Some(&records));
    }
    let records = sequenced(PRODUCER, 0, 7, 1);
    session.produce("of an expired producer before", 12, ("rs", 1), Some(&records));
    session.delete("rs-gone");
    ask_epochs(session, "before");
}

/// After the start.
pub(super) fn run(session: &mut Session) {
    session.await_topic("rs", 2);
    let all =
        json!({ "topics": [{ "name": "rs" }, { "name": "rs-gone" }], "allow_auto_topic_creation": false });
    session.step("topics after", "Metadata", 12, &all);
    session.show("records of before", "rs", 0);
    for sequence in [2, 0, 3, 5] {
        let records = sequenced_now(PRODUCER, 2, sequence, 1);
        session.produce(format!("sequence {sequence} after"), 12, ("rs", 0), Some(&records));
    }
    let records = sequenced_now(PRODUCER, 1, 4, 1);
    session.produce("old epoch after", 12, ("rs", 0), Some(&records));
    // Its newest record is years old: Kafka forgets such a producer when it loads its state.
    let records = sequenced(PRODUCER, 0, 7, 1);
    session.produce("of an expired producer after", 12, ("rs", 1), Some(&records));
    session.produce("plain after", 12, ("rs", 0), Some(&numbered(50, 2).build()));
    session.show("records after", "rs", 0);
    session.show("other partition after", "rs", 1);
    ask_epochs(session, "after");
    for epoch in 0..=3 {
        let mut body = session.fetch_body(12, "rs", Fetch { offset: 3, ..Fetch::default() });
        body["topics"][0]["partitions"][0]["current_leader_epoch"] = json!(epoch);
        session.step(format!("current leader epoch {epoch} after"), "Fetch", 12, &body);
        body["topics"][0]["partitions"][0]["current_leader_epoch"] = json!(-1);
        body["topics"][0]["partitions"][0]["last_fetched_epoch"] = json!(epoch);
        session.step(format!("last fetched epoch {epoch} after"), "Fetch", 12, &body);
        let item = json!({ "partition_index": 0, "current_leader_epoch": epoch, "timestamp": -1 });
        let body = json!({ "replica_id": -1, "topics": [{ "name": "rs", "partitions": [item] }] });
        session.step(format!("current leader epoch {epoch} after"), "ListOffsets", 7, &body);
    }
}

fn ask_epochs(session: &mut Session, when: &str) {
    for (partition, epoch) in (0..2).flat_map(|partition| (-1..=3).map(move |epoch| (partition, epoch))) {
        let item = json!({ "partition": partition, "current_leader_epoch": -1, "leader_epoch": epoch });
        let body = json!({ "replica_id": -1, "topics": [{ "topic": "rs", "partitions": [item] }] });
        let name = format!("end of epoch {epoch} of partition {partition} {when}");
        session.step(name, "OffsetForLeaderEpoch", 4, &body);
    }
}

const PRODUCER: i64 = 9_000_000_777;
