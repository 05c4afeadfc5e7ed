//! Topics that belong to the broker itself: who may see, make, fill and delete them.

use serde_json::json;

use crate::differential::batches::batch;
use crate::differential::session::{Fetch, Session};

pub(super) fn run(session: &mut Session) {
    for topic in ["__cluster_metadata", "__consumer_offsets", "__transaction_state", "__share_group_state"] {
        let asked = json!({ "topics": [{ "name": topic }], "allow_auto_topic_creation": false });
        session.step(format!("metadata of {topic}"), "Metadata", 12, &asked);
        session.produce(format!("to {topic}"), 12, (topic, 0), Some(&batch(1)));
        session.fetch(format!("from {topic}"), 12, topic, Fetch::default());
        session.list_end(format!("end of {topic}"), topic, 0);
        let more =
            json!({ "topics": [{ "name": topic, "count": 60, "assignments": null }], "timeout_ms": 20_000 });
        session.step(format!("more of {topic}"), "CreatePartitions", 3, &more);
        let gone = json!({ "topics": [{ "name": topic }], "timeout_ms": 20_000 });
        session.step(format!("deletes {topic}"), "DeleteTopics", 6, &gone);
        let resource =
            json!({ "resource_type": 2, "resource_name": topic, "configuration_keys": ["retention.ms"] });
        session.step(
            format!("configs of {topic}"),
            "DescribeConfigs",
            4,
            &json!({ "resources": [resource] }),
        );
        let partition = json!({ "partition": 0, "current_leader_epoch": -1, "leader_epoch": 0 });
        let ends = json!({ "replica_id": -1, "topics": [{ "topic": topic, "partitions": [partition] }] });
        session.step(format!("epochs of {topic}"), "OffsetForLeaderEpoch", 4, &ends);
    }
    // By the id that the metadata log's topic has.
    let id = "00000000000000000000000000000001";
    let asked = json!({ "topics": [{ "name": null, "topic_id": id }], "allow_auto_topic_creation": false });
    session.step("metadata by id of __cluster_metadata", "Metadata", 12, &asked);
    let mut fetch = session.fetch_body(12, "it", Fetch::default());
    fetch["topics"][0] = json!({ "topic_id": id, "partitions": fetch["topics"][0]["partitions"] });
    session.step("fetch by id of __cluster_metadata", "Fetch", 13, &fetch);
    let mut produce = session.produce_body(12, -1, ("it", 0), Some(&batch(1)));
    produce["topic_data"][0] =
        json!({ "topic_id": id, "partition_data": produce["topic_data"][0]["partition_data"] });
    session.step("produce by id of __cluster_metadata", "Produce", 13, &produce);
    let gone = json!({ "topics": [{ "name": null, "topic_id": id }], "timeout_ms": 20_000 });
    session.step("deletes by id __cluster_metadata", "DeleteTopics", 6, &gone);
    let one = |name: &str| json!({ "name": name, "num_partitions": 1, "replication_factor": 1 });
    for name in ["__cluster_metadata", "__it", "__consumer_offsets"] {
        let body = json!({ "topics": [one(name)], "timeout_ms": 20_000, "validate_only": true });
        session.step(format!("creates {name}"), "CreateTopics", 7, &body);
    }
}
