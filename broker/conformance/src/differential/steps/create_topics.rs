//! CreateTopics: what is made, and every way to be refused.

use serde_json::{Value, json};

use crate::differential::session::Session;

pub(super) fn run(session: &mut Session) {
    for version in 2..=7 {
        let mut ask = |name: &str, topics: Value| {
            session.step(name, "CreateTopics", version, &request(topics));
        };
        let fresh = format!("ct-{version}");
        ask("one", json!([plain(&fresh)]));
        ask("exists", json!([plain(&fresh)]));
        ask("two, one exists", json!([plain(&format!("ct-{version}-b")), plain(&fresh)]));
        ask("none", json!([]));
        ask("the same twice", json!([plain(&format!("ct-{version}-c")), plain(&format!("ct-{version}-c"))]));
        ask("defaults", json!([sized(&format!("ct-{version}-d"), -1, -1)]));
        let mut only_checked = request(json!([plain(&format!("ct-{version}-e")), plain(&fresh)]));
        only_checked["validate_only"] = json!(true);
        session.step("validate only", "CreateTopics", version, &only_checked);
    }
    names(session);
    sizes(session);
    timeouts(session);
    assignments(session);
    configs(session);
    session.await_topic("ct-config-twice", 1);
    session.step("all in the end", "Metadata", 12, &json!({ "topics": null }));
}

fn names(session: &mut Session) {
    ask(session, "collision", json!([plain("ct.under")]));
    ask(session, "collides with it", json!([plain("ct_under")]));
    let long = "n".repeat(249);
    ask(session, "longest name", json!([plain(&long)]));
    let longer = "n".repeat(250);
    let bad = ["", ".", "..", "a b", "a/b", "a:b", "ü", "a\u{0}b", &longer];
    for (number, name) in bad.iter().enumerate() {
        ask(session, &format!("bad name {number}"), json!([plain(name)]));
    }
    ask(session, "collision within a request", json!([plain("ct.both"), plain("ct_both")]));
    ask(session, "case matters", json!([plain("CT-2")]));
    ask(session, "good and bad names", json!([plain("ct-good"), plain("ct bad")]));
}

/// Nobody waits for ever, and some not at all: only that the topic is there in the end is sure.
fn timeouts(session: &mut Session) {
    for (number, timeout) in (0..).zip([1_000_000, i32::MAX]) {
        let mut body = request(json!([plain(&format!("ct-time-{number}"))]));
        body["timeout_ms"] = json!(timeout);
        session.step(format!("time-out {timeout}"), "CreateTopics", 7, &body);
    }
}

fn sizes(session: &mut Session) {
    for partitions in [0, -2, i32::MIN] {
        ask(session, &format!("{partitions} partitions"), json!([sized("ct-size", partitions, 1)]));
    }
    for factor in [0, -2, 2, 3, i16::MAX] {
        ask(session, &format!("replication factor {factor}"), json!([sized("ct-size", 1, factor)]));
    }
    ask(session, "partitions and replication wrong", json!([sized("ct-size", 0, 2)]));
    ask(session, "too many partitions", json!([sized("ct-size", 10_001, 1)]));
    ask(session, "hundred partitions", json!([sized("ct-hundred", 100, 1)]));
}

fn assignments(session: &mut Session) {
    let with = |partitions: i32, factor: i32, list: Value| {
        json!([{
            "name": "ct-assigned", "num_partitions": partitions, "replication_factor": factor, "assignments": list,
        }])
    };
    let one =
        |partition: i32, brokers: &[i32]| json!({ "partition_index": partition, "broker_ids": brokers });
    let cases = [
        ("unknown broker", with(-1, -1, json!([one(0, &[7])]))),
        ("no brokers", with(-1, -1, json!([one(0, &[])]))),
        ("a broker twice", with(-1, -1, json!([one(0, &[1, 1])]))),
        ("gap", with(-1, -1, json!([one(0, &[1]), one(2, &[1])]))),
        ("the same partition twice", with(-1, -1, json!([one(0, &[1]), one(0, &[1])]))),
        ("negative partition", with(-1, -1, json!([one(-1, &[1])]))),
        ("assignment and partitions", with(1, -1, json!([one(0, &[1])]))),
        ("assignment and factor", with(-1, 1, json!([one(0, &[1])]))),
        ("assigned", with(-1, -1, json!([one(0, &[1]), one(1, &[1])]))),
    ];
    for (name, topics) in cases {
        ask(session, name, topics);
    }
}

fn configs(session: &mut Session) {
    let with = |topic: &str, name: &str, value: Value| {
        json!([{
            "name": topic, "num_partitions": 1, "replication_factor": 1, "configs": [{ "name": name, "value": value }],
        }])
    };
    let bad = [
        ("unknown", "no.such.config", json!("1")),
        ("null value", "retention.ms", Value::Null),
        ("empty value", "retention.ms", json!("")),
        ("no number", "retention.ms", json!("soon")),
        ("below the least", "retention.ms", json!("-2")),
        ("unknown policy", "cleanup.policy", json!("forget")),
        ("unknown codec", "compression.type", json!("brotli")),
        ("no flag", "preallocate", json!("maybe")),
        ("segment too small", "segment.bytes", json!("13")),
        ("ratio above one", "min.cleanable.dirty.ratio", json!("1.5")),
        ("no timestamp type", "message.timestamp.type", json!("Never")),
        ("min.insync.replicas of 0", "min.insync.replicas", json!("0")),
        ("local retention above retention", "local.retention.ms", json!("99999999999999")),
        ("remote storage", "remote.storage.enable", json!("true")),
    ];
    for (name, config, value) in bad {
        ask(session, &format!("config: {name}"), with("ct-config", config, value));
    }
    let good = [
        ("retention.ms", "-1"),
        ("cleanup.policy", "compact,delete"),
        ("compression.type", "zstd"),
        ("message.timestamp.type", "LogAppendTime"),
        ("max.message.bytes", "2000000"),
        ("segment.bytes", "1048576"),
        ("retention.bytes", " 1000 "),
        ("preallocate", "TRUE"),
        ("min.insync.replicas", "2"),
    ];
    for (number, (config, value)) in good.into_iter().enumerate() {
        let topic = format!("ct-config-{number}");
        ask(session, &format!("config: {config}"), with(&topic, config, json!(value)));
    }
    let twice = json!([{
        "name": "ct-config-twice", "num_partitions": 1, "replication_factor": 1,
        "configs": [{ "name": "retention.ms", "value": "1000" }, { "name": "retention.ms", "value": "2000" }],
    }]);
    ask(session, "config: the same twice", twice);
}

fn ask(session: &mut Session, name: &str, topics: Value) {
    session.step(name, "CreateTopics", 7, &request(topics));
}

fn request(topics: Value) -> Value {
    json!({ "topics": topics, "timeout_ms": 20_000 })
}

fn plain(name: &str) -> Value {
    sized(name, 2, 1)
}

fn sized(name: &str, partitions: i32, factor: i16) -> Value {
    json!({ "name": name, "num_partitions": partitions, "replication_factor": factor })
}
