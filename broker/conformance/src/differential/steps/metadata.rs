//! Metadata at every version: all, none, unknown, by id, automatic creation, authorized operations.

use serde_json::{Value, json};

use super::FOR_EVER;
use crate::differential::session::{FOREIGN_ID, NO_ID, Session};

pub(super) fn run(session: &mut Session) {
    session.create("meta.one", 1, &[FOR_EVER]);
    session.create("meta-three", 3, &[]);
    for version in 0..=13 {
        let empty = json!({ "topics": [] });
        session.step("empty list", "Metadata", version, &empty);
        if version >= 1 {
            session.step("null list", "Metadata", version, &json!({ "topics": null }));
        }
        let flag = if version >= 4 { json!(false) } else { json!(true) };
        let named = |names: &[&str]| {
            let topics: Vec<_> = names.iter().map(|name| json!({ "name": name })).collect();
            json!({ "topics": topics, "allow_auto_topic_creation": flag })
        };
        session.step("two", "Metadata", version, &named(&["meta-three", "meta.one"]));
        session.step("the same twice", "Metadata", version, &named(&["meta.one", "meta.one"]));
        session.step("bad name", "Metadata", version, &named(&["not a name", "meta.one"]));
        if version >= 4 {
            session.step("unknown", "Metadata", version, &named(&["meta-unknown", "meta.one"]));
        }
    }
    authorized_operations(session);
    by_id(session);
    mixtures(session);
    automatic_creation(session);
}

/// Topics that are there beside topics that are not, asked for in several ways at once.
fn mixtures(session: &mut Session) {
    let id = session.topic_id("meta.one");
    let other = session.topic_id("meta-three");
    for version in 12..=13 {
        let mut ask = |name: &str, topics: Value, creates: bool| {
            let body = json!({
                "topics": topics, "allow_auto_topic_creation": creates,
                "include_topic_authorized_operations": true,
            });
            session.step(name, "Metadata", version, &body);
        };
        let by_id = |id: &str| json!({ "topic_id": id, "name": null });
        let by_name = |name: &str| json!({ "topic_id": NO_ID, "name": name });
        ask("two ids", json!([by_id(&id), by_id(&other)]), false);
        ask("an id twice", json!([by_id(&id), by_id(&id)]), false);
        ask("known and unknown ids", json!([by_id(&id), by_id(FOREIGN_ID)]), true);
        ask("a name and an id", json!([by_name("meta-three"), by_id(&id)]), false);
        ask("the same by name and by id", json!([by_name("meta.one"), by_id(&id)]), false);
        ask("unknown name, known id", json!([by_name("meta-nowhere"), by_id(&id)]), false);
        ask("unknown name and id", json!([by_name("meta-nowhere"), by_id(FOREIGN_ID)]), false);
        ask("many names", json!([by_name("meta-nowhere"), by_name("meta.one"), by_name("a b")]), false);
    }
}

fn authorized_operations(session: &mut Session) {
    for version in 8..=13 {
        let mut body = json!({
            "topics": [{ "name": "meta.one" }],
            "allow_auto_topic_creation": false,
            "include_topic_authorized_operations": true,
        });
        if version <= 10 {
            body["include_cluster_authorized_operations"] = json!(true);
        }
        session.step("authorized operations", "Metadata", version, &body);
    }
}

fn by_id(session: &mut Session) {
    let id = session.topic_id("meta.one");
    for version in 12..=13 {
        let mut ask = |name: &str, topics: Value| {
            let body = json!({ "topics": topics, "allow_auto_topic_creation": false });
            session.step(name, "Metadata", version, &body);
        };
        ask("by id", json!([{ "topic_id": id, "name": null }]));
        ask("by unknown id", json!([{ "topic_id": FOREIGN_ID, "name": null }]));
        ask("id and name", json!([{ "topic_id": id, "name": "meta-three" }]));
        ask("no id and no name", json!([{ "topic_id": NO_ID, "name": null }]));
    }
    for version in 10..=11 {
        let body = json!({ "topics": [{ "topic_id": id, "name": null }] });
        session.step("by id too early", "Metadata", version, &body);
    }
}

fn automatic_creation(session: &mut Session) {
    for (version, name) in [(1, "meta-auto-1"), (4, "meta-auto-4"), (9, "meta-auto-9"), (13, "meta-auto-13")]
    {
        let body = json!({ "topics": [{ "name": name }], "allow_auto_topic_creation": true });
        session.step("created automatically, first answer", "Metadata", version, &body);
        session.await_topic(name, 1);
        session.step("created automatically, then", "Metadata", version, &body);
    }
    let off = json!({ "topics": [{ "name": "meta-auto-off" }], "allow_auto_topic_creation": false });
    session.step("not to be created, first", "Metadata", 9, &off);
    session.step("not to be created, then", "Metadata", 12, &off);
    for (what, name) in
        [("empty", ""), ("dots", ".."), ("long", &*"x".repeat(250)), ("collision", "meta_one")]
    {
        let body = json!({ "topics": [{ "name": name }], "allow_auto_topic_creation": true });
        session.step(format!("not to be created: {what}"), "Metadata", 9, &body);
    }
    session.step("all in the end", "Metadata", 13, &json!({ "topics": null }));
}
