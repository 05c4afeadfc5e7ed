//! The answers of Apache Kafka 4.3.0 on a one-node server (`golden/`), and rows seen there by hand, against ours.

use std::collections::BTreeMap;

use super::*;
use crate::config::{BrokerConfig, Overrides};

/// A row of a golden file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    name: String,
    kind: String,
    value: String,
    source: String,
    read_only: bool,
    sensitive: bool,
    synonyms: Vec<String>,
}

fn golden(text: &str) -> Vec<Row> {
    let rows = text.lines().skip(1).map(|line| {
        let columns: Vec<&str> = line.split('\t').collect();
        Row {
            name: columns[0].to_owned(),
            kind: columns[1].to_owned(),
            value: columns[2].replace("DATA_DIR", "/data"),
            source: columns[3].to_owned(),
            read_only: columns[4] == "true",
            sensitive: columns[5] == "true",
            synonyms: columns[6].split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        }
    });
    rows.collect()
}

fn row(entry: &Entry) -> Row {
    let mut synonyms: Vec<String> = entry.synonyms.iter().map(|candidate| candidate.name.clone()).collect();
    synonyms.dedup();
    Row {
        name: entry.name.clone(),
        kind: KINDS[usize::try_from(entry.type_code).unwrap()].to_owned(),
        value: entry.value.clone().unwrap_or_else(|| "null".to_owned()),
        source: match entry.source {
            Source::DynamicDefaultBroker => "DYNAMIC_DEFAULT_BROKER_CONFIG",
            Source::StaticBroker => "STATIC_BROKER_CONFIG",
            Source::Default => "DEFAULT_CONFIG",
            other => panic!("the golden server has nothing of {other:?}"),
        }
        .to_owned(),
        read_only: entry.read_only,
        sensitive: entry.is_sensitive,
        synonyms,
    }
}

const KINDS: &[&str] =
    &["UNKNOWN", "BOOLEAN", "STRING", "INT", "SHORT", "LONG", "DOUBLE", "LIST", "CLASS", "PASSWORD"];

const BROKER: &str = include_str!("../golden/kafka-4.3-broker.tsv");
const TOPIC: &str = include_str!("../golden/kafka-4.3-topic.tsv");
const GROUP: &str = include_str!("../golden/kafka-4.3-group.tsv");

const ALL: Wanted<'static> = Wanted { keys: &[], synonyms: true, documentation: false };

/// A broker with the settings of the golden server.
fn golden_server() -> BrokerConfig {
    let sets: Vec<(String, String)> = golden(BROKER)
        .into_iter()
        .filter(|row| row.source == "STATIC_BROKER_CONFIG")
        .map(|row| match row.name.as_str() {
            "listeners" => (row.name, "PLAINTEXT://h:9092,CONTROLLER://h:9093".to_owned()),
            "advertised.listeners" => (row.name, "PLAINTEXT://h:9092".to_owned()),
            "controller.quorum.voters" => (row.name, "1@h:9093".to_owned()),
            _ => (row.name, row.value),
        })
        .collect();
    let (config, _) = BrokerConfig::load(None, &sets, &Overrides::default()).unwrap();
    let cluster = BTreeMap::from([("min.insync.replicas".to_owned(), "1".to_owned())]);
    config.with_dynamic(cluster, BTreeMap::new()).unwrap()
}

/// Compares by name; `intended` names the Kafka keys whose value may differ, and why.
fn compare(entries: &[Entry], golden: Vec<Row>, intended: &[(&str, &str)]) {
    let ours: BTreeMap<&str, Row> = entries.iter().map(|entry| (entry.name.as_str(), row(entry))).collect();
    let mut wrong = Vec::new();
    for mut expected in golden {
        let name = expected.name.clone();
        expected.value = expected.value.replace("HOST:PORT,CONTROLLER", "h:9092,CONTROLLER");
        let controller = expected.value.contains("CONTROLLER") || expected.value.contains('@');
        expected.value = expected.value.replace("HOST:PORT", if controller { "h:9093" } else { "h:9092" });
        let Some(actual) = ours.get(name.as_str()) else {
            wrong.push(format!("{name} is missing"));
            continue;
        };
        if intended.iter().any(|(key, _)| *key == name) {
            assert_ne!(*actual, expected, "{name} no longer differs");
            expected.value.clone_from(&actual.value);
        }
        if *actual != expected {
            wrong.push(format!("expected {expected:?}\n     got {actual:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// All that Kafka does not list.
fn only_ours(entries: &[Entry], golden: &[Row]) -> Vec<String> {
    let names = entries.iter().map(|entry| entry.name.clone());
    names.filter(|name| !golden.iter().any(|row| row.name == *name)).collect()
}

#[test]
fn a_broker_is_described_as_kafka_describes_it() {
    let entries = broker(golden_server().values(), ALL);
    compare(&entries, golden(BROKER), &[("log.dir", "Slipring keeps its data under ./data")]);
    assert_eq!(
        only_ours(&entries, &golden(BROKER)),
        [
            "slipring.cores",
            "slipring.disk.reserve.bytes",
            "slipring.durability",
            "slipring.journal.bytes",
            "slipring.memory.bytes",
            "slipring.metrics.lag.series",
            "slipring.metrics.listener"
        ]
    );
}

#[test]
fn a_topic_is_described_as_kafka_describes_it() {
    let entries = topic(golden_server().values(), &TopicOverrides::new(), ALL);
    compare(&entries, golden(TOPIC), &[]);
    assert_eq!(only_ours(&entries, &golden(TOPIC)), ["slipring.durability"]);
}

#[test]
fn a_group_is_described_as_kafka_describes_it() {
    let entries = group(golden_server().values(), &DynamicValues::new(), ALL);
    compare(&entries, golden(GROUP), &[]);
    assert!(only_ours(&entries, &golden(GROUP)).is_empty());
}

/// The defaults of a server that sets nothing, but for Slipring's own.
#[test]
fn defaults_are_kafkas() {
    let kafka: BTreeMap<String, Row> =
        golden(BROKER).into_iter().map(|row| (row.name.clone(), row)).collect();
    for key in table::broker_keys().filter(|key| !key.internal && !key.is_ours()) {
        let row = &kafka[key.name];
        let default = match key.default {
            crate::config::key::DefaultValue::Ours { kafka, .. } => kafka,
            other => other.value(),
        };
        if row.source == "DEFAULT_CONFIG" && key.name != "log.dir" {
            assert_eq!(default.unwrap_or("null"), row.value, "{}", key.name);
        }
    }
    // The golden server sets these; the defaults are in Kafka's source.
    for (name, default) in [
        ("group.coordinator.rebalance.protocols", "classic,consumer,streams"),
        ("num.partitions", "1"),
        ("offsets.topic.replication.factor", "3"),
        ("share.coordinator.state.topic.min.isr", "2"),
        ("share.coordinator.state.topic.replication.factor", "3"),
        ("transaction.state.log.min.isr", "2"),
        ("transaction.state.log.replication.factor", "3"),
    ] {
        assert_eq!(table::broker_key(name).unwrap().default.value(), Some(default), "{name}");
    }
}

fn config(sets: &[(&str, &str)]) -> BrokerConfig {
    let sets: Vec<_> = sets.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    BrokerConfig::load(None, &sets, &Overrides::default()).unwrap().0
}

/// `name=value source [synonym=value source ...]`, as short text.
fn shown(entry: &Entry) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "null".to_owned());
    let synonyms: Vec<_> = entry
        .synonyms
        .iter()
        .map(|candidate| format!("{}={} {}", candidate.name, text(&candidate.value), candidate.source.code()))
        .collect();
    format!("{}={} {} [{}]", entry.name, text(&entry.value), entry.source.code(), synonyms.join(", "))
}

fn only<'a>(key: &'a [&'a str]) -> Wanted<'a> {
    Wanted { keys: key, synonyms: true, documentation: false }
}

/// Seen on a Kafka 4.3.0 with these settings.
#[test]
fn candidates_come_in_kafkas_order() {
    let config = config(&[
        ("log.roll.hours", "100"),
        ("log.retention.minutes", "1000"),
        ("foo.bar", "baz"),
        ("listener.name.plaintext.ssl.keystore.location", "/x"),
        ("listener.name.plaintext.max.connections", "77"),
    ]);
    let cases = [
        ("log.roll.hours", "log.roll.hours=100 4 [log.roll.hours=100 4, log.roll.hours=168 5]"),
        ("log.roll.ms", "log.roll.ms=null 5 []"),
        ("log.retention.ms", "log.retention.ms=null 5 []"),
        (
            "log.retention.minutes",
            "log.retention.minutes=1000 4 [log.retention.minutes=1000 4, log.retention.hours=168 5]",
        ),
        ("log.retention.hours", "log.retention.hours=168 5 [log.retention.hours=168 5]"),
        (
            "log.flush.scheduler.interval.ms",
            "log.flush.scheduler.interval.ms=9223372036854775807 5 \
             [log.flush.scheduler.interval.ms=9223372036854775807 5]",
        ),
        ("foo.bar", "foo.bar=null 4 [foo.bar=null 4]"),
        (
            "listener.name.plaintext.max.connections",
            "listener.name.plaintext.max.connections=77 4 \
             [listener.name.plaintext.max.connections=77 4, max.connections=2147483647 5]",
        ),
        (
            "listener.name.plaintext.ssl.keystore.location",
            "listener.name.plaintext.ssl.keystore.location=/x 4 [listener.name.plaintext.ssl.keystore.location=/x 4]",
        ),
        ("advertised.listeners", "advertised.listeners=null 5 []"),
    ];
    for (name, expected) in cases {
        let entries = broker(config.values(), only(&[name]));
        assert_eq!(entries.len(), 1, "{name}");
        assert_eq!(shown(&entries[0]), expected);
    }
    let unknown = &broker(config.values(), only(&["foo.bar"]))[0];
    assert_eq!((unknown.is_sensitive, unknown.read_only, unknown.type_code), (true, true, 0));
    assert!(broker(config.values(), only(&["no.such.key"])).is_empty());
}

/// Seen on the same Kafka.
#[test]
fn a_topics_own_configs_come_first() {
    let config = config(&[("log.roll.hours", "100"), ("log.retention.minutes", "1000")]);
    let own = |pairs: &[(&str, &str)]| -> TopicOverrides {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str);
    let cases: &[Case<'_>] = &[
        (
            &[("cleanup.policy", "compact,delete")],
            "cleanup.policy",
            "cleanup.policy=compact,delete 1 [cleanup.policy=compact,delete 1, log.cleanup.policy=delete 5]",
        ),
        (&[("segment.ms", "5000")], "segment.ms", "segment.ms=5000 1 [segment.ms=5000 1]"),
        (&[], "segment.ms", "segment.ms=360000000 5 []"),
        (&[], "retention.ms", "retention.ms=60000000 5 []"),
        (&[("retention.ms", " 500 ")], "retention.ms", "retention.ms=500 1 [retention.ms=500 1]"),
        (
            &[("preallocate", "TRUE")],
            "preallocate",
            "preallocate=true 1 [preallocate=true 1, log.preallocate=false 5]",
        ),
        (
            &[("internal.segment.bytes", "2000")],
            "internal.segment.bytes",
            "internal.segment.bytes=2000 1 [internal.segment.bytes=2000 1]",
        ),
        (
            &[("internal.segment.bytes", "2000")],
            "segment.bytes",
            "segment.bytes=1073741824 5 [log.segment.bytes=1073741824 5]",
        ),
    ];
    for (overrides, name, expected) in cases {
        let entries = topic(config.values(), &own(overrides), only(&[name]));
        assert_eq!(shown(&entries[0]), *expected);
    }
}

#[test]
fn dynamic_values_outrank_static_ones() {
    let config = config(&[("message.max.bytes", "100")]);
    let layer = |value: &str| DynamicValues::from([("message.max.bytes".to_owned(), value.to_owned())]);
    let config = config.with_dynamic(layer("200"), layer("300")).unwrap();
    let entries = broker(config.values(), only(&["message.max.bytes"]));
    assert_eq!(
        shown(&entries[0]),
        "message.max.bytes=300 2 [message.max.bytes=300 2, message.max.bytes=200 3, \
         message.max.bytes=100 4, message.max.bytes=1048588 5]"
    );
    let entries = cluster_default(config.values(), ALL);
    assert_eq!(
        entries.iter().map(shown).collect::<Vec<_>>(),
        ["message.max.bytes=200 3 [message.max.bytes=200 3]"]
    );
    assert_eq!(config.topic_defaults.message_bytes_max, 300);
}

#[test]
fn secrets_are_never_shown() {
    let config = config(&[("ssl.key.password", "secret"), ("listener.name.x.ssl.key.password", "secret")]);
    for entry in broker(config.values(), ALL) {
        assert_eq!(entry.value.as_deref().filter(|value| value.contains("secret")), None, "{}", entry.name);
        for candidate in entry.synonyms {
            assert_ne!(candidate.value.as_deref(), Some("secret"), "{}", entry.name);
        }
    }
    let entry = &broker(config.values(), only(&["ssl.key.password"]))[0];
    assert_eq!((entry.is_sensitive, entry.type_code), (true, 9));
}

#[test]
fn flags_of_the_request_are_obeyed() {
    let config = config(&[]);
    let bare = &broker(config.values(), Wanted { keys: &["node.id"], ..Wanted::default() })[0];
    assert_eq!((bare.synonyms.len(), bare.documentation), (0, None));
    let documented = Wanted { documentation: true, ..only(&["max.message.bytes"]) };
    assert!(topic(config.values(), &TopicOverrides::new(), documented)[0].documentation.is_some());
}

#[test]
fn other_brokers_are_refused_in_kafkas_words() {
    let own = BrokerId(1);
    assert_eq!(broker_resource("", own), Ok(BrokerResource::ClusterDefault));
    assert_eq!(broker_resource("1", own), Ok(BrokerResource::ThisBroker));
    let message = |result: Result<BrokerResource, (ErrorCode, String)>| {
        let (code, message) = result.unwrap_err();
        assert_eq!(code, ErrorCode::InvalidRequest);
        message
    };
    assert_eq!(
        message(broker_resource("2", own)),
        "Unexpected broker id, expected 1 or empty string, but received 2"
    );
    assert_eq!(message(broker_resource("abc", own)), "Broker id must be an integer, but it is: abc");
    assert_eq!(check_logger_resource("1", own), Ok(()));
    assert_eq!(check_logger_resource("", own).unwrap_err().1, "Broker id must not be empty");
    assert_eq!(
        check_logger_resource("2", own).unwrap_err().1,
        "Unexpected broker id, expected 1 but received 2"
    );
}

#[test]
fn a_created_topic_is_told_what_is_in_force() {
    let config = config(&[("log.roll.hours", "100"), ("num.partitions", "3"), ("log.retention.hours", "2")]);
    let overrides = TopicOverrides::from([("max.message.bytes".to_owned(), " 7 ".to_owned())]);
    let entries = created_topic(config.values(), &overrides);
    assert_eq!(entries.len(), 34);
    let of = |name: &str| {
        let entry = entries.iter().find(|entry| entry.name == name).unwrap();
        (entry.value.clone().unwrap_or_default(), entry.source)
    };
    assert_eq!(of("max.message.bytes"), (" 7 ".to_owned(), Source::DynamicTopic));
    assert_eq!(of("segment.ms"), ("360000000".to_owned(), Source::StaticBroker));
    assert_eq!(of("retention.ms"), ("7200000".to_owned(), Source::StaticBroker));
    assert_eq!(of("cleanup.policy"), ("delete".to_owned(), Source::Default));
}
