//! Fetch sessions (KIP-227): full, incremental, forgotten partitions, closing, ids and epochs that are wrong.

use serde_json::{Value, json};

use super::FOR_EVER;
use crate::differential::batches::batch;
use crate::differential::session::{FOREIGN_ID, Session};

pub(super) fn run(session: &mut Session) {
    session.create("fs", 3, &[FOR_EVER]);
    session.create("fs-other", 1, &[FOR_EVER]);
    session.quiet_produce("fs", 0, &batch(2));
    for version in [7, 9, 12, 13, 18] {
        one_session(session, version);
        wrong_sessions(session, version);
    }
    unknown_topics(session);
    names_then_ids(session);
    deleted_topic(session);
}

fn one_session(session: &mut Session, version: i16) {
    let mut asker = Asker::new(session, version);
    let id = asker.step("full", 0, 0, &[("fs", 0, 0), ("fs", 1, 0), ("fs", 2, 0)], &[]);
    asker.step("nothing new", id, 1, &[], &[]);
    asker.step("moved on", id, 2, &[("fs", 0, 2)], &[]);
    asker.step("nothing new after moving on", id, 3, &[], &[]);
    asker.session.quiet_produce("fs", 1, &batch(1));
    asker.step("one has news", id, 4, &[], &[]);
    asker.step("the same news again", id, 5, &[], &[]);
    asker.step("forget one", id, 6, &[], &[("fs", 1)]);
    asker.step("after forgetting", id, 7, &[], &[]);
    asker.step("add one of another topic", id, 8, &[("fs-other", 0, 0)], &[]);
    asker.step("forget what is not there", id, 9, &[], &[("fs", 1)]);
    asker.step("out of range", id, 10, &[("fs", 2, 99)], &[]);
    asker.step("still out of range", id, 11, &[], &[]);
    asker.step("back in range", id, 12, &[("fs", 2, 0)], &[]);
    asker.step("unknown partition", id, 13, &[("fs", 9, 0)], &[]);
    asker.step("full within the session", id, 0, &[("fs", 0, 0)], &[]);
    asker.step("old id after a full one", id, 1, &[], &[]);
    // The log has grown by one record: the next version finds the same as this one.
    asker.session.delete("fs");
    asker.session.create("fs", 3, &[FOR_EVER]);
    asker.session.quiet_produce("fs", 0, &batch(2));
}

fn wrong_sessions(session: &mut Session, version: i16) {
    let mut asker = Asker::new(session, version);
    asker.step("unknown id", 123_456_789, 1, &[], &[]);
    asker.step("unknown id, epoch 0", 123_456_789, 0, &[("fs", 0, 0)], &[]);
    asker.step("negative id", -5, 1, &[], &[]);
    asker.step("no id, epoch 1", 0, 1, &[("fs", 0, 0)], &[]);
    asker.step("no id, epoch -1", 0, -1, &[("fs", 0, 0)], &[]);
    asker.step("empty full", 0, 0, &[], &[]);
    let id = asker.step("to be disturbed", 0, 0, &[("fs", 0, 0)], &[]);
    asker.step("epoch too high", id, 2, &[], &[]);
    asker.step("epoch too low", id, -7, &[], &[]);
    asker.step("right epoch after wrong ones", id, 1, &[], &[]);
    asker.step("the same epoch again", id, 1, &[], &[]);
    asker.step("close", id, -1, &[("fs", 0, 1)], &[]);
    asker.step("after closing", id, 2, &[], &[]);
    let id = asker.step("to be emptied", 0, 0, &[("fs", 0, 0)], &[]);
    asker.step("forget the last", id, 1, &[], &[("fs", 0)]);
    asker.step("after forgetting the last", id, 2, &[], &[]);
}

fn unknown_topics(session: &mut Session) {
    let mut asker = Asker::new(session, 13);
    let partition = json!({ "partition": 0, "fetch_offset": 0, "partition_max_bytes": 1 << 20 });
    let unknown = json!([{ "topic_id": FOREIGN_ID, "partitions": [partition] }]);
    let id = asker.send("unknown id in a full one", 0, 0, &unknown, &json!([]));
    asker.send("unknown id stays", id, 1, &json!([]), &json!([]));
    let mut asker = Asker::new(session, 12);
    let id = asker.step("unknown name in a full one", 0, 0, &[("fs-none", 0, 0), ("fs", 0, 1)], &[]);
    asker.step("unknown name stays", id, 1, &[], &[]);
    session.create("fs-none", 1, &[FOR_EVER]);
    let mut asker = Asker::new(session, 12);
    asker.step("unknown name is created", id, 2, &[], &[]);
}

/// A session is of names or of ids; it cannot change.
fn names_then_ids(session: &mut Session) {
    let id = Asker::new(session, 12).step("by names", 0, 0, &[("fs", 0, 0)], &[]);
    Asker::new(session, 13).step("names, then ids", id, 1, &[("fs", 1, 0)], &[]);
    Asker::new(session, 12).step("names again", id, 2, &[], &[]);
    let id = Asker::new(session, 13).step("by ids", 0, 0, &[("fs", 0, 0)], &[]);
    Asker::new(session, 12).step("ids, then names", id, 1, &[("fs", 1, 0)], &[]);
}

fn deleted_topic(session: &mut Session) {
    for version in [12, 13] {
        session.create("fs-gone", 1, &[FOR_EVER]);
        session.quiet_produce("fs-gone", 0, &batch(2));
        let mut asker = Asker::new(session, version);
        let id = asker.step("soon to be deleted", 0, 0, &[("fs-gone", 0, 0), ("fs", 0, 1)], &[]);
        asker.session.delete("fs-gone");
        asker.step("deleted", id, 1, &[], &[]);
        asker.session.create("fs-gone", 1, &[FOR_EVER]);
        asker.step("created anew", id, 2, &[], &[]);
        asker.session.delete("fs-gone");
    }
}

struct Asker<'a> {
    session: &'a mut Session,
    version: i16,
}

impl<'a> Asker<'a> {
    const fn new(session: &'a mut Session, version: i16) -> Self {
        Self { session, version }
    }

    /// Fetches `(topic, partition, offset)`s and forgets `(topic, partition)`s; gives the session's id.
    fn step(
        &mut self,
        name: &str,
        id: i64,
        epoch: i32,
        wanted: &[(&str, i32, i64)],
        forgotten: &[(&str, i32)],
    ) -> i64 {
        let mut topics: Vec<Value> = Vec::new();
        for (topic, partition, offset) in wanted {
            let item =
                json!({ "partition": partition, "fetch_offset": offset, "partition_max_bytes": 1 << 20 });
            self.add(&mut topics, topic, item);
        }
        let mut forget: Vec<Value> = Vec::new();
        for (topic, partition) in forgotten {
            self.add(&mut forget, topic, json!(partition));
        }
        self.send(name, id, epoch, &json!(topics), &json!(forget))
    }

    fn send(&mut self, name: &str, id: i64, epoch: i32, topics: &Value, forgotten: &Value) -> i64 {
        let body = json!({
            "max_wait_ms": 0, "min_bytes": 0, "max_bytes": 1 << 20,
            "session_id": id, "session_epoch": epoch,
            "topics": topics, "forgotten_topics_data": forgotten,
        });
        let answer = self.session.step(name, "Fetch", self.version, &body);
        answer["session_id"].as_i64().unwrap_or(0)
    }

    fn add(&mut self, topics: &mut Vec<Value>, topic: &str, item: Value) {
        let (field, value) = match self.version {
            13.. => ("topic_id", self.session.topic_id(topic)),
            _ => ("topic", topic.to_owned()),
        };
        match topics.iter_mut().find(|known| known[field] == json!(value)) {
            Some(known) => {
                if let Some(list) = known["partitions"].as_array_mut() {
                    list.push(item);
                }
            }
            None => topics.push(json!({ field: value, "partitions": [item] })),
        }
    }
}
