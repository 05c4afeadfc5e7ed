//! CreatePartitions.

use serde_json::{Value, json};

use crate::differential::session::Session;

pub(super) fn run(session: &mut Session) {
    for version in 0..=3 {
        let topic = format!("cp-{version}");
        session.create(&topic, 1, &[]);
        let mut ask = |name: &str, topics: Value| {
            let body = json!({ "topics": topics, "timeout_ms": 20_000 });
            session.step(name, "CreatePartitions", version, &body);
        };
        ask("three", json!([{ "name": topic, "count": 3, "assignments": null }]));
        ask("as many as there are", json!([{ "name": topic, "count": 3, "assignments": null }]));
        ask("fewer", json!([{ "name": topic, "count": 2, "assignments": null }]));
        ask("zero", json!([{ "name": topic, "count": 0, "assignments": null }]));
        ask("negative", json!([{ "name": topic, "count": -1, "assignments": null }]));
        ask("unknown topic", json!([{ "name": "cp-unknown", "count": 3, "assignments": null }]));
        ask("bad name", json!([{ "name": "cp unknown", "count": 3, "assignments": null }]));
        ask("none", json!([]));
        let four = json!({ "name": topic, "count": 4, "assignments": null });
        ask("the same twice", json!([four, four]));
        let assigned =
            |count: i32, list: Value| json!([{ "name": topic, "count": count, "assignments": list }]);
        ask("too few assignments", assigned(5, json!([{ "broker_ids": [1] }])));
        ask("too many assignments", assigned(4, json!([{ "broker_ids": [1] }, { "broker_ids": [1] }])));
        ask("unknown broker", assigned(4, json!([{ "broker_ids": [9] }])));
        ask("no brokers", assigned(4, json!([{ "broker_ids": [] }])));
        ask("a broker twice", assigned(4, json!([{ "broker_ids": [1, 1] }])));
        ask("empty assignments", assigned(4, json!([])));
        ask("assigned", assigned(4, json!([{ "broker_ids": [1] }])));
        let only_checked = json!({
            "topics": [{ "name": topic, "count": 9, "assignments": null }, { "name": "cp-unknown", "count": 2 }],
            "timeout_ms": 20_000,
            "validate_only": true,
        });
        session.step("validate only", "CreatePartitions", version, &only_checked);
    }
    session.await_topic("cp-3", 4);
    for version in 0..=3 {
        let body =
            json!({ "topics": [{ "name": format!("cp-{version}") }], "allow_auto_topic_creation": false });
        session.step(format!("cp-{version} in the end"), "Metadata", 12, &body);
    }
}
