//! DescribeConfigs of topics and brokers, whole and by key, with synonyms and documentation.

use serde_json::{Value, json};

use crate::differential::session::Session;

pub(super) fn run(session: &mut Session) {
    session.create("dc-plain", 1, &[]);
    let configs = [("retention.ms", "1234567"), ("cleanup.policy", "compact"), ("compression.type", "lz4")];
    session.create("dc-set", 1, &configs);
    for version in 1..=4 {
        let mut ask = |name: &str, resources: Value, synonyms: bool, documentation: bool| {
            let mut body = json!({ "resources": resources, "include_synonyms": synonyms });
            if version >= 3 {
                body["include_documentation"] = json!(documentation);
            }
            session.step(name, "DescribeConfigs", version, &body);
        };
        let resource = |kind: i8, name: &str, keys: Value| json!({ "resource_type": kind, "resource_name": name, "configuration_keys": keys });
        let all = || Value::Null;
        ask("topic", json!([resource(TOPIC, "dc-plain", all())]), false, false);
        ask("topic with settings", json!([resource(TOPIC, "dc-set", all())]), true, true);
        ask(
            "topic, some keys",
            json!([resource(TOPIC, "dc-set", json!(["retention.ms", "no.such"]))]),
            true,
            false,
        );
        ask("topic, no keys", json!([resource(TOPIC, "dc-set", json!([]))]), false, false);
        ask("unknown topic", json!([resource(TOPIC, "dc-unknown", all())]), false, false);
        ask("bad topic name", json!([resource(TOPIC, "a b", all())]), false, false);
        ask("broker", json!([resource(BROKER, "1", all())]), true, false);
        ask(
            "broker, some keys",
            json!([resource(BROKER, "1", json!(["log.retention.ms", "num.partitions"]))]),
            true,
            true,
        );
        ask("cluster-wide defaults", json!([resource(BROKER, "", all())]), true, false);
        ask("another broker", json!([resource(BROKER, "7", all())]), false, false);
        ask("no broker id", json!([resource(BROKER, "x", all())]), false, false);
        ask("unknown kind", json!([resource(99, "x", all())]), false, false);
        ask("unknown kind zero", json!([resource(0, "x", all())]), false, false);
        ask("nothing", json!([]), false, false);
        ask(
            "several",
            json!([
                resource(TOPIC, "dc-plain", json!(["segment.bytes"])),
                resource(TOPIC, "dc-unknown", all()),
                resource(BROKER, "1", json!(["log.segment.bytes"])),
            ]),
            false,
            false,
        );
    }
}

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
