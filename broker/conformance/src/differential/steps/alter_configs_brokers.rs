//! Dynamic configs of this broker and of the cluster: what they change, whom they shadow, and every way to be refused, word by
//! word. All are taken back in the end.

use serde_json::{Value, json};

use super::alter_configs::{APPEND, BROKER, DELETE, SET, SUBTRACT, alter, describe, named, resource};
use crate::differential::session::Session;

pub(super) fn run(session: &mut Session) {
    session.keep_texts();
    session.create("ab-topic", 1, &[("max.message.bytes", "1000")]);
    session.create("ab-plain", 1, &[]);
    refusals(session);
    layers(session);
    shadows(session);
    created(session);
    legacy(session);
}

fn refusals(session: &mut Session) {
    let mut ask = |name: &str, broker: &str, ops: &[(&str, i8, Option<&str>)]| {
        alter(session, name, 1, json!([resource(BROKER, broker, ops)]), false);
    };
    ask("another broker", "7", &[("message.max.bytes", SET, Some("1000"))]);
    ask("no broker id", "x", &[("message.max.bytes", SET, Some("1000"))]);
    ask("negative broker id", "-1", &[("message.max.bytes", SET, Some("1000"))]);
    for broker in ["1", ""] {
        ask(&format!("read-only of {broker:?}"), broker, &[("node.id", SET, Some("5"))]);
        ask(
            &format!("read-only with others of {broker:?}"),
            broker,
            &[("message.max.bytes", SET, Some("1000")), ("num.partitions", SET, Some("5"))],
        );
        ask(&format!("delete of read-only of {broker:?}"), broker, &[("num.partitions", DELETE, None)]);
        ask(&format!("bad value of {broker:?}"), broker, &[("message.max.bytes", SET, Some("x"))]);
        ask(&format!("low value of {broker:?}"), broker, &[("message.max.bytes", SET, Some("-1"))]);
        ask(&format!("null of {broker:?}"), broker, &[("message.max.bytes", SET, None)]);
        ask(
            &format!("append to a number of {broker:?}"),
            broker,
            &[("message.max.bytes", APPEND, Some("1"))],
        );
        ask(
            &format!("subtract from a number of {broker:?}"),
            broker,
            &[("message.max.bytes", SUBTRACT, Some("1"))],
        );
        ask(&format!("unknown operation of {broker:?}"), broker, &[("message.max.bytes", 9, Some("1"))]);
        ask(&format!("security of {broker:?}"), broker, &[("ssl.keystore.type", SET, Some("PEM"))]);
        ask(&format!("policy of {broker:?}"), broker, &[("log.cleanup.policy", SET, Some("forget"))]);
        ask(&format!("codec of {broker:?}"), broker, &[("compression.type", SET, Some("brotli"))]);
        ask(
            &format!("a key twice of {broker:?}"),
            broker,
            &[("message.max.bytes", SET, Some("1000")), ("message.max.bytes", SET, Some("1000"))],
        );
        ask(&format!("retention of 0 of {broker:?}"), broker, &[("log.retention.ms", SET, Some("0"))]);
    }
    ask("listeners of all", "", &[("listeners", SET, Some("PLAINTEXT://:1"))]);
    ask("append to unknown", "1", &[("no.such.key", APPEND, Some("x"))]);
    ask("unknown operation and read-only", "1", &[("num.partitions", 9, Some("1"))]);
}

/// The cluster's values, this broker's over them, and what is left when they go.
fn layers(session: &mut Session) {
    let mut ask = |name: &str, broker: &str, ops: &[(&str, i8, Option<&str>)], validate_only: bool| {
        alter(session, name, 1, json!([resource(BROKER, broker, ops)]), validate_only);
        see(session, &format!("after {name}"));
    };
    ask("all", "", &[("message.max.bytes", SET, Some("2000000"))], false);
    ask("all again", "", &[("message.max.bytes", SET, Some("2000000"))], false);
    ask("one", "1", &[("message.max.bytes", SET, Some("3000000"))], false);
    ask("one only checked", "1", &[("message.max.bytes", SET, Some("4000000"))], true);
    ask("hours of all", "", &[("log.retention.hours", SET, Some("5"))], false);
    ask("minutes of one", "1", &[("log.retention.minutes", SET, Some("7"))], false);
    ask("millis of all", "", &[("log.retention.ms", SET, Some("600001"))], false);
    ask("policy", "1", &[("log.cleanup.policy", APPEND, Some("compact"))], false);
    ask("policy less", "1", &[("log.cleanup.policy", SUBTRACT, Some("delete"))], false);
    ask(
        "segments",
        "",
        &[("log.segment.bytes", SET, Some("2097152")), ("log.roll.hours", SET, Some("3"))],
        false,
    );
    ask("codec", "", &[("compression.type", SET, Some("lz4"))], false);
    ask("unknown key", "1", &[("no.such.key", SET, Some("1"))], false);
    ask("unknown key gone", "1", &[("no.such.key", DELETE, None)], false);
    ask("connections", "", &[("max.connections", SET, Some("5000"))], false);
    ask("producers expire", "", &[("producer.id.expiration.ms", SET, Some("5000"))], false);
    ask(
        "one gone",
        "1",
        &[
            ("message.max.bytes", DELETE, None),
            ("log.retention.minutes", DELETE, None),
            ("log.cleanup.policy", DELETE, None),
        ],
        false,
    );
}

/// What a topic shows of it.
fn shadows(session: &mut Session) {
    for name in ["ab-topic", "ab-plain"] {
        let body = json!({ "resources": [named(2, name)], "include_synonyms": true });
        session.step(format!("topic {name}"), "DescribeConfigs", 4, &body);
    }
}

/// What a new topic is told of it.
fn created(session: &mut Session) {
    let topics = json!([{ "name": "ab-new", "num_partitions": 1, "replication_factor": 1 }]);
    session.step("new topic", "CreateTopics", 7, &json!({ "topics": topics, "timeout_ms": 20_000 }));
}

/// AlterConfigs takes all back.
fn legacy(session: &mut Session) {
    for version in 0..=2 {
        let mut ask = |name: &str, broker: &str, configs: Value, validate_only: bool| {
            let resources = json!([{ "resource_type": BROKER, "resource_name": broker, "configs": configs }]);
            let body = json!({ "resources": resources, "validate_only": validate_only });
            session.step(name, "AlterConfigs", version, &body);
            see(session, &format!("after v{version} {name}"));
        };
        ask("old: one", "1", json!([{ "name": "message.max.bytes", "value": "3000001" }]), false);
        ask("old: another", "1", json!([{ "name": "log.segment.bytes", "value": "3000001" }]), false);
        ask("old: read-only", "1", json!([{ "name": "num.partitions", "value": "3" }]), false);
        ask("old: bad", "1", json!([{ "name": "log.segment.bytes", "value": "x" }]), false);
        ask("old: another broker", "7", json!([]), false);
        ask("old: only checked", "1", json!([]), true);
        ask("old: none of one", "1", json!([]), false);
    }
    alter(
        session,
        "all gone",
        1,
        json!([resource(
            BROKER,
            "",
            &[
                ("message.max.bytes", DELETE, None),
                ("log.retention.hours", DELETE, None),
                ("log.retention.ms", DELETE, None),
                ("log.segment.bytes", DELETE, None),
                ("log.roll.hours", DELETE, None),
                ("compression.type", DELETE, None),
                ("max.connections", DELETE, None),
                ("producer.id.expiration.ms", DELETE, None),
            ]
        )]),
        false,
    );
    see(session, "after all gone");
}

fn see(session: &mut Session, name: &str) {
    describe(session, name, json!([named(BROKER, "1"), named(BROKER, "")]));
}
