//! InitProducerId and sequences: duplicates, gaps, epochs, the window of five batches, wrap-around.

use std::time::Duration;

use serde_json::{Value, json};

use super::FOR_EVER;
use crate::differential::batches::sequenced;
use crate::differential::session::Session;

pub(super) fn run(session: &mut Session) {
    await_producer_ids(session);
    init_producer_id(session);
    session.create("id", 4, &[FOR_EVER]);
    for version in [3, 7, 9, 13] {
        let producer = new_producer(session);
        let mut send = Sender { session: &mut *session, producer, epoch: 0, partition: 0, version };
        let base = i32::from(version) * 100;
        send.batch("first", base, 3);
        send.batch("again", base, 3);
        send.batch("next", base + 3, 2);
        send.batch("gap", base + 7, 1);
        send.batch("part of the first", base, 2);
        send.batch("overlap", base + 1, 3);
        send.batch("last again", base + 3, 2);
    }
    window(session);
    epochs(session);
    wrap(session);
    for partition in 0..4 {
        session.show(format!("partition {partition} in the end"), "id", partition);
    }
}

struct Sender<'a> {
    session: &'a mut Session,
    producer: i64,
    epoch: i16,
    partition: i32,
    version: i16,
}

impl Sender<'_> {
    fn batch(&mut self, name: &str, sequence: i32, count: i64) {
        let records = sequenced(self.producer, self.epoch, sequence, count);
        let name = format!("{name}: partition {} epoch {} sequence {sequence}", self.partition, self.epoch);
        self.session.produce(name, self.version, ("id", self.partition), Some(&records));
    }
}

fn init_producer_id(session: &mut Session) {
    for version in 0..=6 {
        let mut ask = |name: &str, body: Value| session.step(name, "InitProducerId", version, &body);
        let plain = json!({ "transactional_id": null, "transaction_timeout_ms": 60_000 });
        ask("plain", plain.clone());
        ask("time-out of zero", json!({ "transactional_id": null, "transaction_timeout_ms": 0 }));
        ask("negative time-out", json!({ "transactional_id": null, "transaction_timeout_ms": -1 }));
        ask("empty transactional id", json!({ "transactional_id": "", "transaction_timeout_ms": 60_000 }));
        if version >= 3 {
            let with = |id: i64, epoch: i16| {
                let mut body = plain.clone();
                body["producer_id"] = json!(id);
                body["producer_epoch"] = json!(epoch);
                body
            };
            ask("with id and epoch", with(9_000_000_000, 5));
            ask("with an id alone", with(9_000_000_000, -1));
            ask("with an epoch alone", with(-1, 5));
            ask("last epoch", with(9_000_000_000, i16::MAX));
        }
    }
}

/// Kafka fetches its first block of ids when the first one is asked for, and answers `COORDINATOR_LOAD_IN_PROGRESS`
/// until then.
fn await_producer_ids(session: &mut Session) {
    for _ in 0..100 {
        if new_producer(session) >= 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn new_producer(session: &mut Session) -> i64 {
    let body = json!({ "transactional_id": null, "transaction_timeout_ms": 60_000 });
    session.quiet("InitProducerId", 4, &body)["producer_id"].as_i64().unwrap_or(-1)
}

/// Five batches are remembered.
fn window(session: &mut Session) {
    let producer = new_producer(session);
    let mut send = Sender { session, producer, epoch: 0, partition: 1, version: 12 };
    for sequence in 0..7 {
        send.batch("window", sequence, 1);
    }
    for sequence in (0..7).rev() {
        send.batch("window again", sequence, 1);
    }
    send.batch("window after", 7, 1);
}

fn epochs(session: &mut Session) {
    let producer = new_producer(session);
    let mut send = Sender { session, producer, epoch: 5, partition: 2, version: 12 };
    send.batch("any first sequence", 40, 2);
    send.batch("next", 42, 1);
    send.epoch = 4;
    send.batch("old epoch", 43, 1);
    send.batch("old epoch", 0, 1);
    send.epoch = 6;
    send.batch("new epoch not at zero", 43, 1);
    send.batch("new epoch", 0, 1);
    send.batch("new epoch again", 0, 1);
    send.epoch = 5;
    send.batch("duplicate of the epoch before", 42, 1);
    send.epoch = 6;
    send.batch("new epoch", 1, 1);
    // A producer that this broker never gave out.
    send.producer = 9_000_000_100;
    send.epoch = 0;
    send.batch("unknown producer", 17, 1);
    send.batch("unknown producer", 18, 1);
    send.batch("unknown producer, gap", 20, 1);
}

fn wrap(session: &mut Session) {
    let producer = new_producer(session);
    let mut send = Sender { session, producer, epoch: 0, partition: 3, version: 12 };
    send.batch("near the end", i32::MAX - 2, 2);
    send.batch("over the end", i32::MAX, 3);
    send.batch("over the end again", i32::MAX, 3);
    send.batch("after the end", 2, 1);
    send.batch("after the end, gap", 4, 1);
}
