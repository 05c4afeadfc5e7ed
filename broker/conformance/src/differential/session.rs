//! What the scripts speak through: every step is sent, its answer normalised and kept under a name.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::normal::Normaliser;
use crate::session::codec::to_hex;
use crate::session::connection::{Connection, Outcome};
use crate::topics;

/// One recorded answer.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// `section/name`, the same on both sides.
    pub(crate) name: String,
    pub(crate) tree: Value,
}

/// A script's run against one broker.
pub(crate) struct Session {
    pub(crate) connection: Connection,
    section: &'static str,
    steps: Vec<Step>,
    normaliser: Normaliser,
}

impl Session {
    /// A script's run against the broker at `address`, which keeps its data in `directory`.
    pub(crate) fn new(address: SocketAddr, directory: &Path) -> Self {
        let mut normaliser = Normaliser::new();
        normaliser.learn_place(address.port(), &directory.display().to_string());
        Self { connection: Connection::new(address), section: "", steps: Vec::new(), normaliser }
    }

    /// The broker has come back elsewhere.
    pub(crate) fn move_to(&mut self, address: SocketAddr) {
        self.connection = Connection::new(address);
        self.normaliser.learn_place(address.port(), "");
    }

    /// Begins a section: a name for the steps that follow, and a fresh connection.
    pub(crate) fn section(&mut self, name: &'static str) {
        self.section = name;
        self.connection.reopen();
        self.normaliser.keep_texts(false);
    }

    /// In this section error messages are compared word by word.
    pub(crate) const fn keep_texts(&mut self) {
        self.normaliser.keep_texts(true);
    }

    /// How many steps were kept.
    pub(crate) const fn steps(&self) -> usize {
        self.steps.len()
    }

    /// The trace.
    pub(crate) fn finish(self) -> Vec<Step> {
        self.steps
    }

    /// Sends a request, keeps what came of it, and returns the answer as it came (`Null` when there was none).
    pub(crate) fn step(&mut self, name: impl AsRef<str>, api: &str, version: i16, body: &Value) -> Value {
        let outcome = self.connection.call(api, version, body);
        self.keep(format!("{} {api} v{version}", name.as_ref()), &outcome);
        outcome.answer()
    }

    /// Sends a body of any bytes for `api`'s key.
    pub(crate) fn raw(&mut self, name: impl AsRef<str>, api: &str, key: i16, version: i16, body: &[u8]) {
        let outcome = self.connection.call_raw(api, key, version, body);
        self.keep(format!("{} {api} v{version}", name.as_ref()), &outcome);
    }

    /// Keeps the outcome of something that is no plain request.
    pub(crate) fn keep(&mut self, name: String, outcome: &Outcome) {
        let mut tree = outcome.tree();
        self.normaliser.normalise(&mut tree);
        let name = format!("{}/{name}", self.section);
        assert!(!self.steps.iter().any(|step| step.name == name), "two steps called {name}");
        self.steps.push(Step { name, tree });
    }

    /// Keeps what a script has made of several answers.
    pub(crate) fn note(&mut self, name: &str, tree: &Value) {
        self.keep(name.to_owned(), &Outcome::Answer(tree.clone()));
    }

    /// Something that should have gone well did not: a step of its own, which the other side hardly has.
    fn failed(&mut self, what: &str, why: &Value) {
        let name = format!("{what} failed, after step {}", self.steps.len());
        self.keep(name, &Outcome::Answer(json!({ "why": why })));
    }

    /// Sends a request that is no step.
    pub(crate) fn quiet(&mut self, api: &str, version: i16, body: &Value) -> Value {
        self.connection.call(api, version, body).answer()
    }

    /// Creates a topic that is served when this returns; what went wrong becomes a step of its own.
    pub(crate) fn create(&mut self, topic: &str, partitions: i32, configs: &[(&str, &str)]) {
        let configs: Vec<_> =
            configs.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
        if let Err(why) = topics::create(&mut self.connection, topic, partitions, &json!(configs)) {
            self.failed(&format!("create {topic}"), &json!(why));
        }
        self.topic_id(topic);
    }

    /// Waits for a topic that came into being by itself.
    pub(crate) fn await_topic(&mut self, topic: &str, partitions: i32) {
        if let Err(why) = topics::await_leaders(&mut self.connection, topic, partitions) {
            self.failed(&format!("await {topic}"), &json!(why));
        }
        self.topic_id(topic);
    }

    /// Deletes a topic; it is gone when this returns.
    pub(crate) fn delete(&mut self, topic: &str) {
        if let Err(why) = topics::delete(&mut self.connection, topic) {
            self.failed(&format!("delete {topic}"), &json!(why));
        }
    }

    /// The id of a topic.
    pub(crate) fn topic_id(&mut self, topic: &str) -> String {
        let request = json!({ "topics": [{ "name": topic }], "allow_auto_topic_creation": false });
        let answer = self.quiet("Metadata", 12, &request);
        let id = answer["topics"][0]["topic_id"].as_str().unwrap_or(NO_ID).to_owned();
        self.normaliser.name_topic(topic, &id);
        id
    }

    /// A step that produces to one partition: by name up to version 12, by id from 13 on.
    pub(crate) fn produce(
        &mut self,
        name: impl AsRef<str>,
        version: i16,
        to: (&str, i32),
        records: Option<&[u8]>,
    ) -> Value {
        let body = self.produce_body(version, -1, to, records);
        self.step(name, "Produce", version, &body)
    }

    /// The request of [`Self::produce`].
    pub(crate) fn produce_body(
        &mut self,
        version: i16,
        acks: i16,
        (topic, partition): (&str, i32),
        records: Option<&[u8]>,
    ) -> Value {
        let mut topic = match version {
            13.. => json!({ "topic_id": self.topic_id(topic) }),
            _ => json!({ "name": topic }),
        };
        topic["partition_data"] = json!([{ "index": partition, "records": records.map(to_hex) }]);
        json!({ "acks": acks, "timeout_ms": 10_000, "topic_data": [topic] })
    }

    /// A step that fetches one partition without a session and without waiting.
    pub(crate) fn fetch(&mut self, name: impl AsRef<str>, version: i16, topic: &str, at: Fetch) -> Value {
        let body = self.fetch_body(version, topic, at);
        self.step(name, "Fetch", version, &body)
    }

    /// The request of [`Self::fetch`].
    pub(crate) fn fetch_body(&mut self, version: i16, topic: &str, at: Fetch) -> Value {
        let mut topic = match version {
            13.. => json!({ "topic_id": self.topic_id(topic) }),
            _ => json!({ "topic": topic }),
        };
        topic["partitions"] = json!([{
            "partition": at.partition,
            "fetch_offset": at.offset,
            "partition_max_bytes": at.partition_bytes_max,
        }]);
        json!({
            "max_wait_ms": 0,
            "min_bytes": 0,
            "max_bytes": at.bytes_max,
            "topics": [topic],
        })
    }

    /// Produces one batch that is no step; a refusal becomes one.
    pub(crate) fn quiet_produce(&mut self, topic: &str, partition: i32, records: &[u8]) {
        let body = self.produce_body(9, -1, (topic, partition), Some(records));
        let answer = self.quiet("Produce", 9, &body);
        let result = &answer["responses"][0]["partition_responses"][0];
        if result["error_code"] != 0 {
            self.failed(&format!("produce to {topic}-{partition}"), result);
        }
    }

    /// A step that asks where a partition ends.
    pub(crate) fn list_end(&mut self, name: impl AsRef<str>, topic: &str, partition: i32) {
        let item = json!({ "partition_index": partition, "timestamp": -1 });
        let topics = json!([{ "name": topic, "partitions": [item] }]);
        self.step(name, "ListOffsets", 5, &json!({ "replica_id": -1, "topics": topics }));
    }

    /// A step that shows the whole log of a partition.
    pub(crate) fn show(&mut self, name: impl AsRef<str>, topic: &str, partition: i32) {
        self.fetch(name, 12, topic, Fetch { partition, ..Fetch::default() });
    }

    /// Changes how long to wait for an answer.
    pub(crate) fn set_patience(&mut self, patience: Duration) {
        self.connection.set_patience(patience);
    }
}

/// Where to fetch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fetch {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) partition_bytes_max: i32,
    pub(crate) bytes_max: i32,
}

impl Default for Fetch {
    fn default() -> Self {
        Self { partition: 0, offset: 0, partition_bytes_max: 10 << 20, bytes_max: 50 << 20 }
    }
}

/// The id that no topic has.
pub(crate) const NO_ID: &str = "00000000000000000000000000000000";

/// An id that no topic has here.
pub(crate) const FOREIGN_ID: &str = "0123456789abcdef0123456789abcdef";
