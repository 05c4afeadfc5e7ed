//! DeleteRecords: how far it may go, and what is left to read afterwards.

use serde_json::{Value, json};

use super::FOR_EVER;
use crate::differential::batches::numbered;
use crate::differential::session::{Fetch, Session};

pub(super) fn run(session: &mut Session) {
    for version in 0..=2 {
        let topic = format!("dr-{version}");
        session.create(&topic, 2, &[FOR_EVER]);
        // Batches of five records: offsets 0 to 19.
        for from in [0, 5, 10, 15] {
            session.quiet_produce(&topic, 0, &numbered(from, 5).build());
        }
        for (name, offset) in [
            ("nothing", 0),
            ("one batch", 5),
            ("inside a batch", 7),
            ("back", 3),
            ("once more", 7),
            ("beyond the end", 21),
            ("negative", -2),
            ("very far", i64::MAX),
        ] {
            ask(session, name, version, json!([partition(&topic, 0, offset)]));
        }
        session.step(format!("v{version} earliest"), "ListOffsets", 7, &offsets(&topic, -2));
        session.step(format!("v{version} by time below the start"), "ListOffsets", 7, &offsets(&topic, 0));
        for from in [0, 6, 7, 8] {
            session.fetch(
                format!("v{version} from {from}"),
                12,
                &topic,
                Fetch { offset: from, ..Fetch::default() },
            );
        }
        ask(session, "an empty log", version, json!([partition(&topic, 1, 0)]));
        ask(session, "beyond an empty log", version, json!([partition(&topic, 1, 1)]));
        ask(session, "to the high watermark", version, json!([partition(&topic, 0, -1)]));
        session.step(format!("v{version} earliest of all deleted"), "ListOffsets", 7, &offsets(&topic, -2));
        session.quiet_produce(&topic, 0, &numbered(20, 2).build());
        session.fetch(
            format!("v{version} what came afterwards"),
            12,
            &topic,
            Fetch { offset: 20, ..Fetch::default() },
        );
        ask(session, "no such partition", version, json!([partition(&topic, 2, 0)]));
        ask(session, "no such topic", version, json!([partition("dr-none", 0, 0)]));
        ask(session, "bad name", version, json!([partition("a b", 0, 0)]));
        ask(session, "none", version, json!([]));
    }
    for (topic, policy) in [("dr-compact", "compact"), ("dr-both", "compact,delete"), ("dr-never", "")] {
        session.create(topic, 1, &[FOR_EVER, ("cleanup.policy", policy)]);
        ask(session, format!("policy {policy}"), 2, json!([partition(topic, 0, 0)]));
        ask(session, format!("policy {policy} beyond the end"), 2, json!([partition(topic, 0, 1)]));
    }
}

fn ask(session: &mut Session, name: impl AsRef<str>, version: i16, topics: Value) {
    let body = json!({ "topics": topics, "timeout_ms": 20_000 });
    session.step(name, "DeleteRecords", version, &body);
}

fn partition(topic: &str, index: i32, offset: i64) -> Value {
    json!({ "name": topic, "partitions": [{ "partition_index": index, "offset": offset }] })
}

fn offsets(topic: &str, at: i64) -> Value {
    json!({
        "replica_id": -1,
        "topics": [{ "name": topic, "partitions": [{ "partition_index": 0, "timestamp": at }] }],
    })
}
