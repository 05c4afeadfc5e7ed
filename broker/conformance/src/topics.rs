//! Topics by the raw protocol: create and wait until they are served, delete, wait for records.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::session::connection::Connection;

/// Creates a topic and waits until every partition has a leader.
///
/// # Errors
/// Says what the broker answered.
pub(crate) fn create(
    connection: &mut Connection,
    name: &str,
    partitions: i32,
    configs: &Value,
) -> Result<(), String> {
    let request = json!({
        "topics": [{ "name": name, "num_partitions": partitions, "replication_factor": 1, "configs": configs }],
        "timeout_ms": 30_000,
    });
    let answer = connection.call("CreateTopics", 7, &request).answer();
    if answer["topics"][0]["error_code"] != 0 {
        return Err(format!("CreateTopics: {answer}"));
    }
    await_leaders(connection, name, partitions)
}

/// Waits until every partition of a topic has a leader which answers for it: Kafka shows a leader before that broker
/// has taken the partition.
///
/// # Errors
/// When that does not happen within 30 s.
pub(crate) fn await_leaders(connection: &mut Connection, name: &str, partitions: i32) -> Result<(), String> {
    let request = json!({ "topics": [{ "name": name }], "allow_auto_topic_creation": false });
    poll(|| {
        let answer = connection.call("Metadata", 9, &request).answer();
        let list = answer["topics"][0]["partitions"].as_array().map(Vec::as_slice).unwrap_or_default();
        let led = list.iter().filter(|partition| partition["leader_id"].as_i64().is_some_and(|id| id >= 0));
        if led.count() != partitions as usize {
            return Err(format!("no leaders: {answer}"));
        }
        ends(connection, name, partitions).map(|_| ())
    })
}

/// Waits until groups are coordinated: the topic of their offsets made, and all of its partitions loaded.
///
/// # Errors
/// When that does not happen within 30 s.
pub(crate) fn await_coordinators(connection: &mut Connection) -> Result<(), String> {
    // So many that every partition has some.
    let groups: Vec<String> = (0..500).map(|number| format!("nobody-{number}")).collect();
    let find = json!({ "key_type": 0, "coordinator_keys": [groups[0]] });
    let describe = json!({ "groups": groups, "include_authorized_operations": false });
    poll(|| {
        let found = connection.call("FindCoordinator", 4, &find).answer();
        if found["coordinators"][0]["error_code"] != 0 {
            return Err(format!("no coordinator: {found}"));
        }
        let answer = connection.call("DescribeGroups", 5, &describe).answer();
        let groups = answer["groups"].as_array().map(Vec::as_slice).unwrap_or_default();
        let unready = |code: &Value| COORDINATOR_ERRORS.iter().any(|error| code == error);
        match groups.iter().find(|group| unready(&group["error_code"])) {
            None if groups.len() == 500 => Ok(()),
            None => Err(format!("groups left out: {answer}")),
            Some(group) => Err(format!("not coordinated: {group}")),
        }
    })
}

/// COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR.
const COORDINATOR_ERRORS: [i32; 3] = [14, 15, 16];

/// Deletes a topic and waits until it is gone.
///
/// # Errors
/// Says what the broker answered.
pub(crate) fn delete(connection: &mut Connection, name: &str) -> Result<(), String> {
    let request = json!({ "topics": [{ "name": name }], "timeout_ms": 30_000 });
    let answer = connection.call("DeleteTopics", 6, &request).answer();
    if answer["responses"][0]["error_code"] != 0 {
        return Err(format!("DeleteTopics: {answer}"));
    }
    let request = json!({ "topics": [{ "name": name }], "allow_auto_topic_creation": false });
    poll(|| match &connection.call("Metadata", 9, &request).answer()["topics"][0]["error_code"] {
        code if *code == 3 => Ok(()),
        code => Err(format!("deleted topic: error {code}")),
    })
}

/// The end offset of every partition.
///
/// # Errors
/// Says what the broker answered.
pub(crate) fn ends(connection: &mut Connection, name: &str, partitions: i32) -> Result<Vec<i64>, String> {
    let list: Vec<_> =
        (0..partitions).map(|partition| json!({ "partition_index": partition, "timestamp": -1 })).collect();
    let request = json!({ "replica_id": -1, "topics": [{ "name": name, "partitions": list }] });
    let answer = connection.call("ListOffsets", 7, &request).answer();
    let mut ends = vec![-1; partitions as usize];
    for partition in answer["topics"][0]["partitions"].as_array().map(Vec::as_slice).unwrap_or_default() {
        if partition["error_code"] != 0 {
            return Err(format!("ListOffsets: {partition}"));
        }
        let index = partition["partition_index"].as_u64().unwrap_or(u64::MAX) as usize;
        *ends.get_mut(index).ok_or("ListOffsets: unknown partition")? =
            partition["offset"].as_i64().unwrap_or(-1);
    }
    if ends.contains(&-1) { Err(format!("ListOffsets: {answer}")) } else { Ok(ends) }
}

/// Waits until a topic holds so many records (acks=0 answers before they are there); gives the end offsets.
///
/// # Errors
/// When the count is not reached within 30 s, or passed.
pub(crate) fn await_records(
    connection: &mut Connection,
    name: &str,
    partitions: i32,
    records: u64,
) -> Result<Vec<i64>, String> {
    poll(|| {
        let ends = ends(connection, name, partitions)?;
        let sum: i64 = ends.iter().sum();
        if sum as u64 == records { Ok(ends) } else { Err(format!("{sum} records instead of {records}")) }
    })
}

fn poll<T>(mut attempt: impl FnMut() -> Result<T, String>) -> Result<T, String> {
    let start = Instant::now();
    loop {
        match attempt() {
            Err(_) if start.elapsed() < Duration::from_secs(30) => {}
            result => return result,
        }
        thread::sleep(Duration::from_millis(20));
    }
}
