//! What operators' tools ask of one node: partitions page by page, directories, producers, the quorum, reassignments, elections,
//! features and the registration of brokers, error messages word by word.

use serde_json::{Value, json};

use crate::differential::batches::{numbered, sequenced_now};
use crate::differential::session::Session;

pub(super) fn run(session: &mut Session) {
    session.keep_texts();
    session.create("ad-a", 3, &[]);
    session.create("ad-b", 2, &[]);
    session.create("ad-c", 1, &[]);
    session.quiet_produce("ad-a", 0, &numbered(0, 3).build());
    pages(session);
    directories(session);
    producers(session);
    quorum(session);
    reassignments(session);
    elections(session);
    features(session);
    brokers(session);
}

/// DescribeTopicPartitions.
fn pages(session: &mut Session) {
    let mut ask = |name: &str, topics: &[&str], limit: i32, cursor: Value| {
        let topics: Vec<_> = topics.iter().map(|name| json!({ "name": name })).collect();
        let body = json!({ "topics": topics, "response_partition_limit": limit, "cursor": cursor });
        session.step(name, "DescribeTopicPartitions", 0, &body);
    };
    let at = |topic: &str, partition: i32| json!({ "topic_name": topic, "partition_index": partition });
    ask("one", &["ad-a"], 100, Value::Null);
    ask("three", &["ad-c", "ad-a", "ad-b"], 100, Value::Null);
    ask("one twice", &["ad-a", "ad-a"], 100, Value::Null);
    ask("one unknown", &["ad-a", "ad-none"], 100, Value::Null);
    ask("bad names", &["a b", "", "ad-c"], 100, Value::Null);
    for limit in [i32::MIN, -1, 0, 1, 2, 3, 4, 5, 6] {
        ask(&format!("limit {limit}"), &["ad-a", "ad-b", "ad-c"], limit, Value::Null);
    }
    ask("limit 3 and unknown", &["ad-a", "ad-none"], 3, Value::Null);
    ask("cursor", &["ad-a", "ad-b"], 100, at("ad-a", 1));
    ask("cursor in the second", &["ad-a", "ad-b"], 100, at("ad-b", 1));
    ask("cursor past the end", &["ad-a", "ad-b"], 100, at("ad-a", 9));
    ask("cursor and limit", &["ad-a", "ad-b"], 2, at("ad-a", 2));
    ask("cursor elsewhere", &["ad-a"], 100, at("ad-b", 0));
    ask("cursor before", &["ad-b"], 100, at("ad-a", 0));
    ask("negative cursor", &["ad-a"], 100, at("ad-a", -1));
    ask("cursor at unknown", &["ad-none"], 100, at("ad-none", 0));
}

/// DescribeLogDirs: what differs from machine to machine is left out.
fn directories(session: &mut Session) {
    for version in 1..=5 {
        let mut ask = |name: &str, topics: Value| {
            let mut answer = session.quiet("DescribeLogDirs", version, &json!({ "topics": topics }));
            for result in answer["results"].as_array_mut().into_iter().flatten() {
                for field in ["log_dir", "total_bytes", "usable_bytes"] {
                    if result[field].as_i64().is_none_or(|bytes| bytes > 0) && !result[field].is_null() {
                        result[field] = json!("<of this machine>");
                    }
                }
                let Some(topics) = result["topics"].as_array_mut() else { continue };
                topics.retain(|topic| topic["name"].as_str().is_some_and(|name| name.starts_with("ad-")));
                topics.sort_by_key(|topic| topic["name"].to_string());
                for topic in topics {
                    if let Some(partitions) = topic["partitions"].as_array_mut() {
                        partitions.sort_by_key(|partition| partition["partition_index"].as_i64());
                    }
                }
            }
            session.note(&format!("directories v{version}, {name}"), &answer);
        };
        let of = |name: &str, partitions: &[i32]| json!({ "topic": name, "partitions": partitions });
        ask("all", Value::Null);
        ask("none", json!([]));
        ask("some", json!([of("ad-a", &[0, 2]), of("ad-b", &[1])]));
        ask("unknown", json!([of("ad-none", &[0]), of("ad-a", &[7, 1])]));
        ask("none of a topic", json!([of("ad-a", &[])]));
    }
}

/// DescribeProducers.
fn producers(session: &mut Session) {
    let mut ask = |name: &str, topic: &str, partitions: &[i32]| {
        let topics = json!([{ "name": topic, "partition_indexes": partitions }]);
        let mut answer = session.quiet("DescribeProducers", 0, &json!({ "topics": topics }));
        for topic in answer["topics"].as_array_mut().into_iter().flatten() {
            for partition in topic["partitions"].as_array_mut().into_iter().flatten() {
                for producer in partition["active_producers"].as_array_mut().into_iter().flatten() {
                    if producer["last_timestamp"].as_i64().is_some_and(|time| time > 0) {
                        producer["last_timestamp"] = json!("<now>");
                    }
                }
            }
        }
        session.note(name, &answer);
    };
    ask("producers: none", "ad-a", &[0]);
    ask("producers: unknown partition", "ad-a", &[0, 9]);
    ask("producers: unknown topic", "ad-none", &[0, 1]);
    ask("producers: bad topic", "a b", &[0]);
    ask("producers: no partitions", "ad-a", &[]);
    for sequence in [0, 3] {
        let batch = sequenced_now(5_000_000, 2, sequence, 3);
        session.quiet_produce("ad-b", 1, &batch);
    }
    let mut ask = |name: &str| {
        let topics = json!([{ "name": "ad-b", "partition_indexes": [0, 1] }]);
        let mut answer = session.quiet("DescribeProducers", 0, &json!({ "topics": topics }));
        let partitions = answer["topics"][0]["partitions"].as_array_mut();
        for partition in partitions.into_iter().flatten() {
            for producer in partition["active_producers"].as_array_mut().into_iter().flatten() {
                producer["last_timestamp"] = json!(producer["last_timestamp"].as_i64() > Some(0));
            }
        }
        session.note(name, &answer);
    };
    ask("producers: one");
}

/// DescribeQuorum: offsets and times are each node's own.
fn quorum(session: &mut Session) {
    for version in 0..=2 {
        for (name, topic, partitions) in [
            ("quorum", "__cluster_metadata", &[0][..]),
            ("quorum of another partition", "__cluster_metadata", &[1]),
            ("quorum of another topic", "ad-a", &[0]),
            ("quorum of two partitions", "__cluster_metadata", &[0, 1]),
            ("quorum of none", "__cluster_metadata", &[]),
        ] {
            let partitions: Vec<_> =
                partitions.iter().map(|index| json!({ "partition_index": index })).collect();
            let topics = json!([{ "topic_name": topic, "partitions": partitions }]);
            let mut answer = session.quiet("DescribeQuorum", version, &json!({ "topics": topics }));
            mask(&mut answer);
            session.note(&format!("{name} v{version}"), &answer);
        }
        let mut answer = session.quiet("DescribeQuorum", version, &json!({ "topics": [] }));
        mask(&mut answer);
        session.note(&format!("quorum of nothing v{version}"), &answer);
    }
}

fn mask(tree: &mut Value) {
    match tree {
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::Object(fields) => {
            for (name, value) in fields {
                let is_own = matches!(
                    name.as_str(),
                    "high_watermark"
                        | "leader_epoch"
                        | "log_end_offset"
                        | "last_fetch_timestamp"
                        | "last_caught_up_timestamp"
                );
                match value.as_i64() {
                    Some(number) if is_own && number > 0 => *value = json!("<of its own>"),
                    _ if name == "replica_directory_id" && *value != "00000000000000000000000000000000" => {
                        *value = json!("<id>");
                    }
                    _ => mask(value),
                }
            }
        }
        _ => {}
    }
}

/// AlterPartitionReassignments and ListPartitionReassignments: with one broker nothing ever moves.
fn reassignments(session: &mut Session) {
    for version in 0..=1 {
        let mut ask = |name: &str, topic: &str, partition: i32, replicas: Value| {
            let partitions = json!([{ "partition_index": partition, "replicas": replicas }]);
            let body =
                json!({ "timeout_ms": 20_000, "topics": [{ "name": topic, "partitions": partitions }] });
            session.step(name, "AlterPartitionReassignments", version, &body);
        };
        ask("as it is", "ad-a", 0, json!([1]));
        ask("to another broker", "ad-a", 0, json!([2]));
        ask("to another broker too", "ad-a", 0, json!([1, 2]));
        ask("to no broker", "ad-a", 0, json!([]));
        ask("to a broker twice", "ad-a", 0, json!([1, 1]));
        ask("to a negative broker", "ad-a", 0, json!([-1]));
        ask("cancel", "ad-a", 0, Value::Null);
        ask("unknown partition", "ad-a", 9, json!([1]));
        ask("unknown topic", "ad-none", 0, json!([1]));
        ask("cancel unknown", "ad-none", 0, Value::Null);
        ask("bad topic", "a b", 0, json!([1]));
        let twice =
            json!([{ "partition_index": 0, "replicas": [1] }, { "partition_index": 0, "replicas": null }]);
        let body = json!({ "timeout_ms": 20_000, "topics": [{ "name": "ad-a", "partitions": twice }] });
        session.step("a partition twice", "AlterPartitionReassignments", version, &body);
        let body = json!({ "timeout_ms": 20_000, "topics": [] });
        session.step("nothing to reassign", "AlterPartitionReassignments", version, &body);
    }
    for (name, topics) in [
        ("reassigning: all", Value::Null),
        ("reassigning: none", json!([])),
        ("reassigning: some", json!([{ "name": "ad-a", "partition_indexes": [0, 9] }])),
        ("reassigning: unknown", json!([{ "name": "ad-none", "partition_indexes": [0] }])),
    ] {
        let body = json!({ "timeout_ms": 20_000, "topics": topics });
        session.step(name, "ListPartitionReassignments", 0, &body);
    }
}

/// ElectLeaders.
fn elections(session: &mut Session) {
    for version in 0..=2 {
        let mut ask = |name: &str, kind: i8, topics: Value| {
            let mut body = json!({ "topic_partitions": topics, "timeout_ms": 20_000 });
            if version > 0 {
                body["election_type"] = json!(kind);
            }
            session.step(name, "ElectLeaders", version, &body);
        };
        let of = |topic: &str, partitions: &[i32]| json!({ "topic": topic, "partitions": partitions });
        ask("preferred", 0, json!([of("ad-a", &[0, 1])]));
        ask("preferred, unknown", 0, json!([of("ad-a", &[0, 9]), of("ad-none", &[0])]));
        ask("preferred, none", 0, json!([]));
        ask("preferred, no partitions", 0, json!([of("ad-a", &[])]));
        if version > 0 {
            ask("unclean", 1, json!([of("ad-a", &[0])]));
            ask("unclean, unknown", 1, json!([of("ad-none", &[0])]));
            ask("kind 2", 2, json!([of("ad-a", &[0])]));
            ask("kind -1", -1, json!([of("ad-a", &[0])]));
        }
        let body = json!({ "topic_partitions": null, "timeout_ms": 20_000 });
        let mut answer = session.quiet("ElectLeaders", version, &body);
        // One entry for each topic of all scripts, with nothing in it.
        let topics = answer["replica_election_results"].as_array_mut();
        let ours = topics.map(|topics| {
            topics.retain(|topic| topic["topic"].as_str().is_some_and(|name| name.starts_with("ad-")));
            topics.sort_by_key(ToString::to_string);
        });
        session.note(&format!("preferred, all v{version}: {}", ours.is_some()), &answer);
    }
}

/// UpdateFeatures; nothing is changed for good.
fn features(session: &mut Session) {
    for version in 0..=2 {
        let mut ask = |name: &str, feature: &str, level: i16, upgrade: i8, validate_only: bool| {
            let mut update = json!({ "feature": feature, "max_version_level": level });
            let mut body = json!({ "timeout_ms": 20_000 });
            if version == 0 {
                update["allow_downgrade"] = json!(upgrade > 1);
            } else {
                update["upgrade_type"] = json!(upgrade);
                body["validate_only"] = json!(validate_only);
            }
            body["feature_updates"] = json!([update]);
            session.step(name, "UpdateFeatures", version, &body);
        };
        ask("as it is", "metadata.version", 30, 1, false);
        ask("unknown feature", "no.such.feature", 1, 1, false);
        ask("too high", "metadata.version", 31, 1, false);
        ask("too low", "metadata.version", 6, 3, false);
        ask("negative", "metadata.version", -1, 1, false);
        ask("off", "metadata.version", 0, 2, false);
        ask("lower", "metadata.version", 29, 1, false);
        ask("lower, unsafe", "metadata.version", 7, 3, false);
        ask("lower, safe", "metadata.version", 7, 2, false);
        ask("without a name", "", 1, 1, false);
        if version > 0 {
            ask("only checked", "metadata.version", 30, 1, true);
            ask("upgrade type 0", "metadata.version", 30, 0, false);
            ask("upgrade type 9", "metadata.version", 30, 9, false);
        }
        let body = json!({ "timeout_ms": 20_000, "feature_updates": [] });
        session.step("nothing to update", "UpdateFeatures", version, &body);
        let two = json!([
            { "feature": "metadata.version", "max_version_level": 30 },
            { "feature": "no.such.feature", "max_version_level": 1 },
        ]);
        let body = json!({ "timeout_ms": 20_000, "feature_updates": two });
        session.step("one good, one unknown", "UpdateFeatures", version, &body);
    }
}

/// UnregisterBroker, of brokers that are not there.
fn brokers(session: &mut Session) {
    for broker in [7, 0, -1, i32::MAX] {
        session.step(format!("unregister {broker}"), "UnregisterBroker", 0, &json!({ "broker_id": broker }));
    }
}
