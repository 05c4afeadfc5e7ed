//! IncrementalAlterConfigs, AlterConfigs and ListConfigResources of topics, groups and client metrics: what is changed, what is
//! seen afterwards, and every way to be refused, word by word.

use serde_json::{Value, json};

use crate::differential::session::Session;

pub(super) fn run(session: &mut Session) {
    session.keep_texts();
    session.create("ac-set", 1, &[("retention.ms", "1000"), ("cleanup.policy", "compact")]);
    session.create("ac-old", 1, &[("retention.ms", "1000"), ("cleanup.policy", "compact")]);
    for version in 0..=1 {
        refusals(session, version);
    }
    changes(session);
    values(session);
    legacy(session);
    others(session);
    listed(session);
}

/// What is refused, or changes nothing.
fn refusals(session: &mut Session, version: i16) {
    let mut ask = |name: &str, resources: Value| alter(session, name, version, resources, false);
    ask("nothing", json!([]));
    ask("no configs", json!([topic("ac-set", &[])]));
    ask("unknown topic", json!([topic("ac-none", &[("retention.ms", SET, Some("1"))])]));
    ask("unknown topic, bad value", json!([topic("ac-none", &[("retention.ms", SET, Some("x"))])]));
    ask("unknown topic, no configs", json!([topic("ac-none", &[])]));
    ask("bad topic name", json!([topic("a b", &[("retention.ms", SET, Some("1"))])]));
    ask("empty topic name", json!([topic("", &[("retention.ms", SET, Some("1"))])]));
    ask("unknown config", json!([topic("ac-set", &[("no.such", SET, Some("1"))])]));
    ask("delete of an unknown config", json!([topic("ac-set", &[("no.such", DELETE, None)])]));
    ask("bad number", json!([topic("ac-set", &[("retention.ms", SET, Some("soon"))])]));
    ask("null to set", json!([topic("ac-set", &[("retention.ms", SET, None)])]));
    ask(
        "nulls to set",
        json!([topic("ac-set", &[("retention.ms", SET, None), ("segment.ms", APPEND, None)])]),
    );
    ask("append to a number", json!([topic("ac-set", &[("retention.ms", APPEND, Some("1"))])]));
    ask("subtract from a number", json!([topic("ac-set", &[("retention.ms", SUBTRACT, Some("1"))])]));
    ask("append to unknown", json!([topic("ac-set", &[("no.such", APPEND, Some("1"))])]));
    ask("unknown operation", json!([topic("ac-set", &[("retention.ms", 9, Some("1"))])]));
    ask("negative operation", json!([topic("ac-set", &[("retention.ms", -1, Some("1"))])]));
    let twice = [("retention.ms", SET, Some("1")), ("retention.ms", SET, Some("2"))];
    ask("a key twice", json!([topic("ac-set", &twice)]));
    let one = topic("ac-set", &[("retention.ms", SET, Some("5000"))]);
    ask("a resource twice", json!([one.clone(), one.clone()]));
    ask("a resource twice and another", json!([one.clone(), topic("ac-old", &[]), one]));
    for kind in [0, 1, 3, 64, 99, -1] {
        ask(&format!("kind {kind}"), json!([resource(kind, "x", &[("a", SET, Some("1"))])]));
    }
    ask(
        "good and bad",
        json!([topic("ac-old", &[("retention.ms", SET, Some("1000"))]), topic("ac-none", &[])]),
    );
    describe(
        session,
        &format!("unchanged v{version}"),
        json!([named(TOPIC, "ac-set"), named(TOPIC, "ac-old")]),
    );
}

/// What changes a topic.
fn changes(session: &mut Session) {
    let mut ask = |name: &str, ops: &[Op<'_>]| {
        alter(session, name, 1, json!([topic("ac-set", ops)]), false);
        describe(session, &format!("after {name}"), json!([named(TOPIC, "ac-set")]));
    };
    ask("set", &[("retention.ms", SET, Some("123456"))]);
    ask("set the same", &[("retention.ms", SET, Some("123456"))]);
    ask("set two", &[("segment.bytes", SET, Some("1048576")), ("compression.type", SET, Some("zstd"))]);
    ask("delete one, set one", &[("compression.type", DELETE, None), ("segment.ms", SET, Some(" 77 "))]);
    ask("delete with a value", &[("segment.ms", DELETE, Some("5"))]);
    ask("delete what is not set", &[("segment.ms", DELETE, None)]);
    ask("append", &[("cleanup.policy", APPEND, Some("delete"))]);
    ask("append again", &[("cleanup.policy", APPEND, Some("delete,compact"))]);
    ask("append nonsense", &[("cleanup.policy", APPEND, Some("forget"))]);
    ask("subtract", &[("cleanup.policy", SUBTRACT, Some("compact"))]);
    ask("subtract what is not there", &[("cleanup.policy", SUBTRACT, Some("compact"))]);
    ask("subtract the last", &[("cleanup.policy", SUBTRACT, Some("delete"))]);
    ask("append to nothing", &[("cleanup.policy", APPEND, Some("compact"))]);
    ask("delete the list", &[("cleanup.policy", DELETE, None)]);
    ask("append to the default", &[("cleanup.policy", APPEND, Some("compact"))]);
    ask("subtract from the default", &[("leader.replication.throttled.replicas", SUBTRACT, Some("0:1"))]);
    ask("append throttles", &[("leader.replication.throttled.replicas", APPEND, Some("0:1,1:1"))]);
    ask("append bad throttles", &[("leader.replication.throttled.replicas", APPEND, Some("x"))]);
    ask(
        "minimum above maximum",
        &[("min.compaction.lag.ms", SET, Some("5")), ("max.compaction.lag.ms", SET, Some("4"))],
    );
    ask("maximum first", &[("max.compaction.lag.ms", SET, Some("4"))]);
    ask("minimum then", &[("min.compaction.lag.ms", SET, Some("5"))]);
    let ops = [("retention.ms", SET, Some("1"))];
    alter(session, "only checked", 1, json!([topic("ac-set", &ops), topic("ac-none", &ops)]), true);
    describe(session, "after only checked", json!([named(TOPIC, "ac-set")]));
}

/// Values that fit, and that do not.
fn values(session: &mut Session) {
    let values = [
        ("retention.bytes", "-1"),
        ("retention.bytes", "-2"),
        ("retention.ms", "-2"),
        ("retention.ms", ""),
        ("segment.bytes", "13"),
        ("segment.bytes", "99999999999"),
        ("segment.index.bytes", "3"),
        ("cleanup.policy", ""),
        ("cleanup.policy", "delete,delete"),
        ("cleanup.policy", "delete,"),
        ("compression.type", "brotli"),
        ("compression.gzip.level", "10"),
        ("compression.lz4.level", "0"),
        ("compression.zstd.level", "23"),
        ("max.message.bytes", "-1"),
        ("message.timestamp.type", "x"),
        ("message.timestamp.before.max.ms", "-1"),
        ("min.cleanable.dirty.ratio", "2"),
        ("min.insync.replicas", "0"),
        ("preallocate", "maybe"),
        ("remote.storage.enable", "true"),
        ("local.retention.ms", "-3"),
        ("local.retention.ms", "99999999999"),
        ("local.retention.bytes", "5"),
        ("flush.messages", "0"),
        ("unclean.leader.election.enable", "x"),
        ("index.interval.bytes", "-1"),
        ("file.delete.delay.ms", "x"),
        ("remote.log.copy.disable", "true"),
        ("remote.log.delete.on.disable", "true"),
        ("segment.jitter.ms", "-1"),
    ];
    for (name, value) in values {
        let resources = json!([topic("ac-set", &[(name, SET, Some(value))])]);
        alter(session, &format!("{name}={value}"), 1, resources, true);
    }
}

/// AlterConfigs sets all that a resource has.
fn legacy(session: &mut Session) {
    for version in 0..=2 {
        let mut ask = |name: &str, resources: Value, validate_only: bool| {
            let body = json!({ "resources": resources, "validate_only": validate_only });
            session.step(name, "AlterConfigs", version, &body);
            describe(session, &format!("after v{version} {name}"), json!([named(TOPIC, "ac-old")]));
        };
        let all = |kind: i8, name: &str, configs: &[(&str, Option<&str>)]| {
            let configs: Vec<_> =
                configs.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
            json!({ "resource_type": kind, "resource_name": name, "configs": configs })
        };
        ask("old: nothing", json!([]), false);
        ask("old: set", json!([all(TOPIC, "ac-old", &[("segment.ms", Some("99"))])]), false);
        ask(
            "old: two",
            json!([all(TOPIC, "ac-old", &[("segment.ms", Some("98")), ("flush.ms", Some("7"))])]),
            false,
        );
        ask("old: only checked", json!([all(TOPIC, "ac-old", &[("segment.ms", Some("97"))])]), true);
        ask("old: bad", json!([all(TOPIC, "ac-old", &[("segment.ms", Some("x"))])]), false);
        ask("old: null", json!([all(TOPIC, "ac-old", &[("segment.ms", None)])]), false);
        ask("old: unknown", json!([all(TOPIC, "ac-old", &[("no.such", Some("1"))])]), false);
        ask(
            "old: a key twice",
            json!([all(TOPIC, "ac-old", &[("segment.ms", Some("1")), ("segment.ms", Some("1"))])]),
            false,
        );
        let one = all(TOPIC, "ac-old", &[]);
        ask("old: twice", json!([one.clone(), one]), false);
        ask("old: unknown topic", json!([all(TOPIC, "ac-none", &[("segment.ms", Some("1"))])]), false);
        ask("old: bad name", json!([all(TOPIC, "a b", &[("segment.ms", Some("1"))])]), false);
        ask("old: loggers", json!([all(8, "1", &[("kafka", Some("INFO"))])]), false);
        ask("old: kind 99", json!([all(99, "1", &[])]), false);
        ask("old: empty", json!([all(TOPIC, "ac-old", &[])]), false);
    }
}

/// Groups, client metrics and loggers.
fn others(session: &mut Session) {
    let mut ask = |name: &str, kind: i8, of: &str, ops: &[Op<'_>]| {
        alter(session, name, 1, json!([resource(kind, of, ops)]), false);
        if !of.is_empty() && kind != LOGGER {
            describe(session, &format!("after {name}"), json!([named(kind, of)]));
        }
    };
    ask("group", GROUP, "ac-group", &[("consumer.session.timeout.ms", SET, Some("50000"))]);
    ask("group, heartbeat", GROUP, "ac-group", &[("consumer.heartbeat.interval.ms", SET, Some("6000"))]);
    ask("group, too short", GROUP, "ac-group", &[("consumer.session.timeout.ms", SET, Some("1000"))]);
    ask("group, too long", GROUP, "ac-group", &[("consumer.session.timeout.ms", SET, Some("100000"))]);
    ask(
        "group, heartbeat too short",
        GROUP,
        "ac-group",
        &[("consumer.heartbeat.interval.ms", SET, Some("1"))],
    );
    ask(
        "group, heartbeat too long",
        GROUP,
        "ac-group",
        &[("consumer.heartbeat.interval.ms", SET, Some("16000"))],
    );
    ask("group, no number", GROUP, "ac-group", &[("consumer.session.timeout.ms", SET, Some("x"))]);
    ask("group, negative", GROUP, "ac-group", &[("consumer.session.timeout.ms", SET, Some("-1"))]);
    ask("group, unknown", GROUP, "ac-group", &[("no.such", SET, Some("1"))]);
    ask("group, append", GROUP, "ac-group", &[("consumer.session.timeout.ms", APPEND, Some("1"))]);
    ask("group, interval", GROUP, "ac-group", &[("consumer.assignment.interval.ms", SET, Some("15001"))]);
    ask("group, delete", GROUP, "ac-group", &[("consumer.session.timeout.ms", DELETE, None)]);
    ask("group without a name", GROUP, "", &[("consumer.session.timeout.ms", SET, Some("50000"))]);
    ask(
        "metrics",
        METRICS,
        "ac-metrics",
        &[("metrics", SET, Some("a,b")), ("interval.ms", SET, Some("1000"))],
    );
    ask("metrics, append", METRICS, "ac-metrics", &[("metrics", APPEND, Some("c,a"))]);
    ask("metrics, subtract", METRICS, "ac-metrics", &[("metrics", SUBTRACT, Some("b"))]);
    ask(
        "metrics, match",
        METRICS,
        "ac-metrics",
        &[("match", SET, Some("client_id=a.*,client_software_name=x"))],
    );
    ask("metrics, bad match", METRICS, "ac-metrics", &[("match", SET, Some("client=a"))]);
    ask("metrics, no match", METRICS, "ac-metrics", &[("match", SET, Some("client_id"))]);
    ask("metrics, bad pattern", METRICS, "ac-metrics", &[("match", SET, Some("client_id=[a"))]);
    ask("metrics, too often", METRICS, "ac-metrics", &[("interval.ms", SET, Some("99"))]);
    ask("metrics, too seldom", METRICS, "ac-metrics", &[("interval.ms", SET, Some("3600001"))]);
    ask("metrics, no number", METRICS, "ac-metrics", &[("interval.ms", SET, Some("x"))]);
    ask("metrics, unknown", METRICS, "ac-metrics", &[("no.such", SET, Some("1"))]);
    ask("metrics, append to a number", METRICS, "ac-metrics", &[("interval.ms", APPEND, Some("1"))]);
    ask("metrics without a name", METRICS, "", &[("metrics", SET, Some("a"))]);
    ask("metrics, delete", METRICS, "ac-metrics", &[("interval.ms", DELETE, None), ("match", DELETE, None)]);
    ask("logger", LOGGER, "1", &[("no.such.logger", SET, Some("INFO"))]);
    ask("logger, bad level", LOGGER, "1", &[("no.such.logger", SET, Some("LOUD"))]);
    ask("logger, delete", LOGGER, "1", &[("no.such.logger", DELETE, None)]);
    ask("logger, append", LOGGER, "1", &[("no.such.logger", APPEND, Some("INFO"))]);
    ask("logger of another", LOGGER, "7", &[("no.such.logger", SET, Some("INFO"))]);
    ask("logger of none", LOGGER, "x", &[("no.such.logger", SET, Some("INFO"))]);
    ask("logger without a name", LOGGER, "", &[("no.such.logger", SET, Some("INFO"))]);
    ask("logger, nothing", LOGGER, "1", &[]);
}

/// ListConfigResources names what has configs; topics, brokers and groups of other scripts are left out.
fn listed(session: &mut Session) {
    session.step("listed", "ListConfigResources", 0, &json!({}));
    for kinds in [
        json!([METRICS]),
        json!([GROUP]),
        json!([METRICS, GROUP]),
        json!([BROKER, LOGGER]),
        json!([BROKER]),
        json!([LOGGER]),
    ] {
        let body = json!({ "resource_types": kinds });
        session.step(format!("listed {kinds}"), "ListConfigResources", 1, &body);
    }
    for kinds in [json!([99]), json!([0]), json!([GROUP, 99]), json!([1]), json!([64])] {
        let body = json!({ "resource_types": kinds });
        session.step(format!("not listed {kinds}"), "ListConfigResources", 1, &body);
    }
    for kinds in [json!([]), json!([TOPIC])] {
        let mut answer = session.quiet("ListConfigResources", 1, &json!({ "resource_types": kinds }));
        if let Some(resources) = answer["config_resources"].as_array_mut() {
            let is_ours = |resource: &Value| {
                resource["resource_type"] != TOPIC
                    || resource["resource_name"].as_str().is_some_and(|name| name.starts_with("ac-"))
            };
            resources.retain(is_ours);
            resources.sort_by_key(ToString::to_string);
        }
        session.note(&format!("listed {kinds}"), &answer);
    }
}

type Op<'a> = (&'a str, i8, Option<&'a str>);

pub(super) fn alter(session: &mut Session, name: &str, version: i16, resources: Value, validate_only: bool) {
    let body = json!({ "resources": resources, "validate_only": validate_only });
    session.step(name, "IncrementalAlterConfigs", version, &body);
}

/// What is set, with all that stands behind it.
pub(super) fn describe(session: &mut Session, name: &str, resources: Value) {
    let fenced = fence(session);
    let body = json!({ "resources": resources, "include_synonyms": true });
    let mut answer = session.quiet("DescribeConfigs", 4, &body);
    answer["fenced"] = json!(fenced);
    for result in answer["results"].as_array_mut().into_iter().flatten() {
        let is_dynamic = |config: &Value| {
            let by_source = !matches!(config["config_source"].as_i64(), Some(4 | 5));
            let is_fence = config["name"].as_str().is_some_and(|name| FENCE.ends_with(name));
            by_source && !is_fence && config["name"] != "min.insync.replicas"
        };
        if let Some(configs) = result["configs"].as_array_mut() {
            configs.retain(is_dynamic);
        }
    }
    session.note(name, &answer);
}

/// Waits until everything so far has come through: Kafka's brokers act on a change some time after it is answered. What comes
/// last is a dynamic config of the cluster that changes nothing.
fn fence(session: &mut Session) -> bool {
    let value = (i64::MAX - 1_000_000 + session.steps() as i64).to_string();
    let set = json!([resource(BROKER, "", &[(FENCE, SET, Some(&value))])]);
    session.quiet("IncrementalAlterConfigs", 1, &json!({ "resources": set, "validate_only": false }));
    let asked = json!({ "resource_type": BROKER, "resource_name": "1", "configuration_keys": [FENCE] });
    (0..500).any(|_| {
        let answer = session.quiet("DescribeConfigs", 4, &json!({ "resources": [asked] }));
        answer["results"][0]["configs"][0]["value"] == value.as_str()
    })
}

const FENCE: &str = "log.message.timestamp.before.max.ms";

pub(super) fn topic(name: &str, ops: &[Op<'_>]) -> Value {
    resource(TOPIC, name, ops)
}

pub(super) fn resource(kind: i8, name: &str, ops: &[Op<'_>]) -> Value {
    let configs: Vec<_> = ops
        .iter()
        .map(
            |(name, operation, value)| json!({ "name": name, "config_operation": operation, "value": value }),
        )
        .collect();
    json!({ "resource_type": kind, "resource_name": name, "configs": configs })
}

pub(super) fn named(kind: i8, name: &str) -> Value {
    json!({ "resource_type": kind, "resource_name": name, "configuration_keys": null })
}

pub(super) const SET: i8 = 0;
pub(super) const DELETE: i8 = 1;
pub(super) const APPEND: i8 = 2;
pub(super) const SUBTRACT: i8 = 3;
const TOPIC: i8 = 2;
pub(super) const BROKER: i8 = 4;
const LOGGER: i8 = 8;
const METRICS: i8 = 16;
const GROUP: i8 = 32;
