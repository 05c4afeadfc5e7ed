//! Classic groups: a member's life at every version, what is refused, static members, commits from outside, operators.

use serde_json::{Value, json};

use crate::differential::session::{FOREIGN_ID, Session};
use crate::topics;

pub(super) fn run(session: &mut Session) {
    own_topics(session);
    if let Err(why) = topics::await_coordinators(&mut session.connection) {
        session.note("coordinators", &json!(why));
    }
    session.create(TOPIC, 2, &[]);
    session.create("gr-other", 1, &[]);
    coordinators(session);
    for version in 0..=9 {
        member(session, version);
    }
    refused(session);
    static_members(session);
    outside(session);
    offsets(session);
    operators(session);
}

/// The broker's own topics are what they must be also when a client's Metadata makes them.
fn own_topics(session: &mut Session) {
    for topic in ["__consumer_offsets", "__transaction_state", "__share_group_state"] {
        let ask = json!({ "topics": [{ "name": topic }], "allow_auto_topic_creation": true });
        session.quiet("Metadata", 12, &ask);
        session.await_topic(topic, 50);
        session.step(format!("{topic} made"), "Metadata", 12, &ask);
        let resource = json!({ "resource_type": 2, "resource_name": topic, "configuration_keys": null });
        session.step(format!("{topic} made"), "DescribeConfigs", 4, &json!({ "resources": [resource] }));
    }
}

fn coordinators(session: &mut Session) {
    for version in 0..=6 {
        for kind in [0, 3, -1].into_iter().take(if version == 0 { 1 } else { 3 }) {
            let mut body = if version < 4 {
                json!({ "key": "gr" })
            } else {
                json!({ "coordinator_keys": ["gr", "", "gr", "größe"] })
            };
            if version >= 1 {
                body["key_type"] = json!(kind);
            }
            session.step(format!("coordinator of kind {kind}"), "FindCoordinator", version, &body);
        }
    }
    session.step("coordinator of nothing", "FindCoordinator", 4, &json!({ "coordinator_keys": [] }));
}

/// One member from its first join to the group's end.
fn member(session: &mut Session, version: i16) {
    let group = format!("gr-{version}");
    let first = session.step(format!("{group} first"), "JoinGroup", version, &join(version, &group, ""));
    let mut joined = first;
    if version >= 4 {
        let id = joined["member_id"].as_str().unwrap_or_default().to_owned();
        joined = session.step(format!("{group} with id"), "JoinGroup", version, &join(version, &group, &id));
    }
    let id = joined["member_id"].as_str().unwrap_or_default().to_owned();
    let early = commit(10, &group, 1, &id);
    session.step(format!("{group} before its assignment"), "OffsetCommit", 10, &early);
    let describe = json!({ "groups": [group] });
    session.step(format!("{group} joined"), "DescribeGroups", version.min(6), &describe);
    let again = join(version, &group, &id);
    session.step(format!("{group} joins again"), "JoinGroup", version, &again);
    let sync_version = version.min(5);
    let assigned =
        json!([{ "member_id": id, "assignment": "aabb" }, { "member_id": "nobody", "assignment": "cc" }]);
    let mut body = sync(sync_version, &group, 1, &id);
    body["assignments"] = assigned;
    session.step(format!("{group} leads"), "SyncGroup", sync_version, &body);
    session.step(format!("{group} again"), "SyncGroup", sync_version, &sync(sync_version, &group, 1, &id));
    session.step(format!("{group} lives"), "Heartbeat", version.min(4), &heartbeat(&group, 1, &id));
    session.step(format!("{group} stable"), "DescribeGroups", version.min(6), &describe);
    let commit_version = (version + 2).min(10);
    let body = commit(commit_version, &group, 1, &id);
    session.step(format!("{group} commits"), "OffsetCommit", commit_version, &body);
    let fetch_version = version + 1;
    let body = fetch(session, fetch_version, &group, true);
    session.step(format!("{group} fetches"), "OffsetFetch", fetch_version, &body);
    if fetch_version >= 2 {
        let body = fetch(session, fetch_version, &group, false);
        session.step(format!("{group} fetches all"), "OffsetFetch", fetch_version, &body);
    }
    session.step(
        format!("{group} in use"),
        "DeleteGroups",
        version.min(2),
        &json!({ "groups_names": [group] }),
    );
    for topic in [TOPIC, "gr-other", "gr-nowhere"] {
        let body = delete_offsets(&group, &[topic]);
        session.step(format!("{group} in use, {topic}"), "OffsetDelete", 0, &body);
    }
    let leave_version = version.min(5);
    let body = leave(leave_version, &group, &id);
    session.step(format!("{group} leaves"), "LeaveGroup", leave_version, &body);
    session.step(format!("{group} leaves again"), "LeaveGroup", leave_version, &body);
    session.step(format!("{group} empty"), "DescribeGroups", version.min(6), &describe);
    session.step(format!("{group} late"), "Heartbeat", version.min(4), &heartbeat(&group, 1, &id));
    let late = sync(sync_version, &group, 1, &id);
    session.step(format!("{group} late"), "SyncGroup", sync_version, &late);
    session.step(format!("{group} late"), "JoinGroup", version, &join(version, &group, &id));
}

/// Requests that are refused, of groups that are there and that are not.
fn refused(session: &mut Session) {
    for (name, group) in [("no group", ""), ("unknown group", "gr-none"), ("empty group", "gr-9")] {
        for (who, id) in [("nobody", ""), ("a stranger", "stranger")] {
            let name = format!("{name}, {who}");
            session.step(&name, "Heartbeat", 4, &heartbeat(group, 1, id));
            session.step(&name, "SyncGroup", 5, &sync(5, group, 1, id));
            for version in [2, 3, 5] {
                session.step(&name, "LeaveGroup", version, &leave(version, group, id));
            }
            for version in [2, 8, 9] {
                for generation in [-1, 1] {
                    let name = format!("{name} of generation {generation}");
                    let body = commit(version, group, generation, id);
                    session.step(&name, "OffsetCommit", version, &body);
                }
            }
        }
        session.step(name, "DescribeGroups", 5, &json!({ "groups": [group] }));
        session.step(
            name,
            "DescribeGroups",
            6,
            &json!({ "groups": [group], "include_authorized_operations": true }),
        );
        for version in [1, 5, 7, 9] {
            let body = fetch(session, version, group, true);
            session.step(name, "OffsetFetch", version, &body);
        }
        for topics in [&[][..], &[TOPIC], &["gr-nowhere"], &[TOPIC, "gr-nowhere"]] {
            let body = delete_offsets(group, topics);
            session.step(format!("{name}, {topics:?}"), "OffsetDelete", 0, &body);
        }
    }
    let mut bad = |name: &str, change: &dyn Fn(&mut Value)| {
        for version in [3, 9] {
            let mut body = join(version, "gr-bad", "");
            change(&mut body);
            session.step(name, "JoinGroup", version, &body);
        }
    };
    bad("session too short", &|body| body["session_timeout_ms"] = json!(5_999));
    bad("session too long", &|body| body["session_timeout_ms"] = json!(1_800_001));
    bad("unknown member", &|body| body["member_id"] = json!("stranger"));
    bad("no protocols", &|body| body["protocols"] = json!([]));
    bad("no protocol type", &|body| body["protocol_type"] = json!(""));
    bad("no group", &|body| body["group_id"] = json!(""));
    session.step("after refusals", "DescribeGroups", 6, &json!({ "groups": ["gr-bad"] }));
}

fn static_members(session: &mut Session) {
    let group = "gr-static";
    for (name, version) in [("one", 5), ("one back", 7), ("one back, knows", 9)] {
        let mut body = join(version, group, "");
        body["group_instance_id"] = json!("one");
        let joined = session.step(name, "JoinGroup", version, &body);
        let id = joined["member_id"].as_str().unwrap_or_default().to_owned();
        let generation = joined["generation_id"].as_i64().unwrap_or(-1);
        let mut body = sync(5, group, generation, &id);
        body["group_instance_id"] = json!("one");
        body["assignments"] = json!([{ "member_id": id, "assignment": "dd" }]);
        session.step(name, "SyncGroup", 5, &body);
        let mut beat = heartbeat(group, generation, &id);
        for (who, instance) in
            [("itself", json!("one")), ("no instance", json!(null)), ("another", json!("two"))]
        {
            beat["group_instance_id"] = instance;
            session.step(format!("{name} as {who}"), "Heartbeat", 4, &beat);
        }
        beat["group_instance_id"] = json!("one");
        beat["member_id"] = json!("stranger");
        session.step(format!("{name} as a stranger"), "Heartbeat", 4, &beat);
        session.step(name, "DescribeGroups", 6, &json!({ "groups": [group] }));
    }
    for (name, id, instance) in [
        ("stranger", "stranger", "one"),
        ("unknown", "", "two"),
        ("by instance", "", "one"),
        ("again", "", "one"),
    ] {
        let member = json!({ "member_id": id, "group_instance_id": instance });
        let body = json!({ "group_id": group, "members": [member] });
        session.step(format!("static leaves, {name}"), "LeaveGroup", 5, &body);
    }
    session.step("static group empty", "DescribeGroups", 6, &json!({ "groups": [group] }));
}

/// Commits from outside any group.
fn outside(session: &mut Session) {
    for version in 2..=9 {
        let group = "gr-simple";
        let body = commit(version, group, -1, "");
        session.step("from outside", "OffsetCommit", version, &body);
        let body = fetch(session, version, group, true);
        session.step("from outside", "OffsetFetch", version, &body);
    }
    session.step("simple group", "DescribeGroups", 6, &json!({ "groups": ["gr-simple"] }));
    session.step(
        "twice and unknown",
        "DeleteGroups",
        2,
        &json!({ "groups_names": ["gr-simple", "gr-none", "gr-simple"] }),
    );
    let body = fetch(session, 9, "gr-simple", false);
    session.step("after deletion", "OffsetFetch", 9, &body);
}

/// What may be committed, and what of it is kept.
fn offsets(session: &mut Session) {
    let id = session.topic_id(TOPIC);
    let partition = |index: i32, offset: i64, metadata: Value| json!({ "partition_index": index, "committed_offset": offset, "committed_metadata": metadata });
    let long = "m".repeat(4_097);
    for (name, partitions) in [
        ("negative offset", json!([partition(0, -5, json!(null))])),
        ("no such partition", json!([partition(2, 1, json!(null)), partition(1, 1, json!(null))])),
        ("negative partition", json!([partition(-1, 1, json!(null))])),
        ("long metadata", json!([partition(0, 7, json!(long)), partition(1, 7, json!("m"))])),
        ("nothing", json!([])),
    ] {
        let topics = json!([{ "name": TOPIC, "partitions": partitions }, { "name": "gr-nowhere", "partitions": partitions }]);
        let body = json!({ "group_id": "gr-offsets", "generation_id_or_member_epoch": -1, "member_id": "", "topics": topics });
        session.step(name, "OffsetCommit", 8, &body);
        let body = fetch(session, 8, "gr-offsets", false);
        session.step(format!("after {name}"), "OffsetFetch", 8, &body);
    }
    for (name, id) in [("known", id.as_str()), ("unknown", FOREIGN_ID)] {
        let topics = json!([{ "topic_id": id, "partitions": [partition(0, 9, json!("x"))] }]);
        let body = json!({ "group_id": "gr-ids", "generation_id_or_member_epoch": -1, "member_id": "", "topics": topics });
        session.step(format!("{name} id"), "OffsetCommit", 10, &body);
        let asked = json!({ "topic_id": id, "partition_indexes": [0, 1, 7] });
        let body = json!({ "groups": [{ "group_id": "gr-ids", "topics": [asked] }, { "group_id": "gr-ids", "topics": null }] });
        session.step(format!("{name} id"), "OffsetFetch", 10, &body);
    }
    // A topic's name with another topic behind it.
    session.create("gr-anew", 1, &[]);
    let topics = json!([{ "name": "gr-anew", "partitions": [partition(0, 3, json!(""))] }]);
    let body = json!({ "group_id": "gr-anew", "generation_id_or_member_epoch": -1, "member_id": "", "topics": topics });
    session.step("before the topic goes", "OffsetCommit", 9, &body);
    let whole = fetch(session, 9, "gr-anew", false);
    session.step("before the topic goes", "OffsetFetch", 9, &whole);
    session.delete("gr-anew");
    session.create("gr-anew", 1, &[]);
    session.step("the topic came back", "OffsetFetch", 9, &whole);
}

/// Lists with filters, and what became of all groups.
fn operators(session: &mut Session) {
    for version in 0..=5 {
        session.step("all", "ListGroups", version, &json!({}));
    }
    for (name, states, types) in [
        ("empty", json!(["Empty"]), json!([])),
        ("in any case", json!(["eMPTY", " stable "]), json!([])),
        ("unknown state", json!(["Sleepy"]), json!([])),
        ("classic", json!([]), json!(["Classic"])),
        ("consumer", json!([]), json!(["consumer"])),
        ("unknown type", json!([]), json!(["sleepy"])),
    ] {
        let body = json!({ "states_filter": states, "types_filter": types });
        session.step(name, "ListGroups", 5, &body);
    }
    let all: Vec<String> = (0..=9).map(|version| format!("gr-{version}")).collect();
    session.step(
        "several",
        "DescribeGroups",
        6,
        &json!({ "groups": all, "include_authorized_operations": true }),
    );
    session.step("several", "DeleteGroups", 2, &json!({ "groups_names": all }));
    session.step(
        "several, gone",
        "DescribeGroups",
        5,
        &json!({ "groups": all, "include_authorized_operations": true }),
    );
}

fn join(version: i16, group: &str, id: &str) -> Value {
    let mut body = json!({
        "group_id": group, "session_timeout_ms": 30_000, "member_id": id, "protocol_type": "consumer",
        "protocols": [{ "name": "range", "metadata": SUBSCRIPTION }, { "name": "other", "metadata": SUBSCRIPTION }],
    });
    if version >= 1 {
        body["rebalance_timeout_ms"] = json!(30_000);
    }
    body
}

fn sync(version: i16, group: &str, generation: i64, id: &str) -> Value {
    let mut body =
        json!({ "group_id": group, "generation_id": generation, "member_id": id, "assignments": [] });
    if version >= 5 {
        body["protocol_type"] = json!("consumer");
        body["protocol_name"] = json!("range");
    }
    body
}

fn heartbeat(group: &str, generation: i64, id: &str) -> Value {
    json!({ "group_id": group, "generation_id": generation, "member_id": id })
}

fn leave(version: i16, group: &str, id: &str) -> Value {
    if version < 3 {
        json!({ "group_id": group, "member_id": id })
    } else {
        json!({ "group_id": group, "members": [{ "member_id": id, "group_instance_id": null }] })
    }
}

fn commit(version: i16, group: &str, generation: i64, id: &str) -> Value {
    let partition = json!({ "partition_index": 0, "committed_offset": 5, "committed_metadata": "note" });
    let topics = if version < 10 {
        json!([{ "name": TOPIC, "partitions": [partition] }])
    } else {
        json!([{ "topic_id": FOREIGN_ID, "partitions": [partition] }])
    };
    json!({ "group_id": group, "generation_id_or_member_epoch": generation, "member_id": id, "topics": topics })
}

/// A fetch of some offsets, or of all.
fn fetch(session: &mut Session, version: i16, group: &str, some: bool) -> Value {
    let mut topics = json!(null);
    if some {
        topics = json!([{ "partition_indexes": [0, 1, 9] }]);
        if version < 10 {
            topics[0]["name"] = json!(TOPIC);
        } else {
            topics[0]["topic_id"] = json!(session.topic_id(TOPIC));
        }
    }
    if version < 8 {
        json!({ "group_id": group, "topics": topics })
    } else {
        json!({ "groups": [{ "group_id": group, "topics": topics }] })
    }
}

fn delete_offsets(group: &str, topics: &[&str]) -> Value {
    let topics: Vec<Value> = topics
        .iter()
        .map(|name| json!({ "name": name, "partitions": [{ "partition_index": 0 }, { "partition_index": 8 }] }))
        .collect();
    json!({ "group_id": group, "topics": topics })
}

const TOPIC: &str = "gr";
/// A consumer's: version 0, the topic `gr`, no data.
const SUBSCRIPTION: &str = "00000000000100026772ffffffff";
