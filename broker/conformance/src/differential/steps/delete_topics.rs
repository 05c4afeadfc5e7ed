//! DeleteTopics by name and by id, and what is left of a topic afterwards.

use serde_json::{Value, json};

use super::FOR_EVER;
use crate::differential::batches::batch;
use crate::differential::session::{FOREIGN_ID, Fetch, NO_ID, Session};

pub(super) fn run(session: &mut Session) {
    for version in 1..=5 {
        let topic = format!("dt-{version}");
        let other = format!("dt-{version}-b");
        session.create(&topic, 2, &[]);
        session.create(&other, 1, &[]);
        let mut ask = |name: &str, names: Value| {
            let body = json!({ "topic_names": names, "timeout_ms": 20_000 });
            session.step(name, "DeleteTopics", version, &body);
        };
        ask("none", json!([]));
        ask("unknown", json!(["dt-unknown"]));
        ask("bad name", json!(["dt unknown", ""]));
        ask("the same twice", json!([other, other]));
        ask("one and an unknown one", json!([topic, "dt-unknown"]));
        ask("once more", json!([topic]));
    }
    newest(session);
    afterwards(session);
}

fn newest(session: &mut Session) {
    for name in ["dt-6", "dt-6-b", "dt-6-c", "dt-6-d"] {
        session.create(name, 1, &[]);
    }
    let id = session.topic_id("dt-6");
    let id_c = session.topic_id("dt-6-c");
    let mut ask = |name: &str, topics: Value| {
        session.step(name, "DeleteTopics", 6, &json!({ "topics": topics, "timeout_ms": 20_000 }));
    };
    ask("by id", json!([{ "name": null, "topic_id": id }]));
    ask("by id once more", json!([{ "name": null, "topic_id": id }]));
    ask("by name", json!([{ "name": "dt-6-b" }]));
    ask("unknown id", json!([{ "name": null, "topic_id": FOREIGN_ID }]));
    ask("neither", json!([{ "name": null, "topic_id": NO_ID }]));
    ask("both", json!([{ "name": "dt-6-d", "topic_id": id_c }]));
    ask("by name and by id", json!([{ "name": "dt-6-c" }, { "name": null, "topic_id": id_c }]));
    ask("the same name twice", json!([{ "name": "dt-6-d" }, { "name": "dt-6-d" }]));
}

/// The old id is gone for good, and the name begins anew.
fn afterwards(session: &mut Session) {
    session.create("dt-again", 1, &[FOR_EVER]);
    let old = session.topic_id("dt-again");
    session.produce("before", 12, ("dt-again", 0), Some(&batch(3)));
    session.delete("dt-again");
    let by_name = session.fetch_body(12, "dt-again", Fetch::default());
    let mut by_old_id = session.fetch_body(13, "dt-again", Fetch::default());
    by_old_id["topics"][0]["topic_id"] = json!(old);
    let mut to_old_id = session.produce_body(13, -1, ("dt-again", 0), Some(&batch(1)));
    to_old_id["topic_data"][0]["topic_id"] = json!(old);
    session.step("fetch by name from the deleted", "Fetch", 12, &by_name);
    session.step("fetch by id from the deleted", "Fetch", 13, &by_old_id);
    session.step("produce by id to the deleted", "Produce", 13, &to_old_id);
    session.produce("by name to the deleted", 12, ("dt-again", 0), Some(&batch(1)));
    session.create("dt-again", 1, &[FOR_EVER]);
    session.step("fetch by the old id", "Fetch", 13, &by_old_id);
    session.step("produce by the old id", "Produce", 13, &to_old_id);
    session.produce("anew", 13, ("dt-again", 0), Some(&batch(2)));
    session.show("anew", "dt-again", 0);
}
