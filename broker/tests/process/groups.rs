//! Consumer groups on the wire: what a client's library does, and what is left after kill -9.

use std::fs;

use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::offset_fetch_response::OffsetFetchResponseGroup;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DescribeGroupsRequest, FindCoordinatorRequest, GroupId,
    HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, ListGroupsRequest, OffsetCommitRequest,
    OffsetFetchRequest, SyncGroupRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use slipring_protocol::client::Client;
use slipring_protocol::error_code::ErrorCode;

use crate::client::{connect, create_topic};
use crate::support::{Launch, TempDir, until};

pub fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub fn group() -> GroupId {
    GroupId(text("g"))
}

/// The coordinator answers once the group's partition is loaded.
pub fn find_coordinator(client: &mut Client) {
    let request = FindCoordinatorRequest::default().with_coordinator_keys(vec![text("g")]);
    let found = client.call(4, &request).unwrap();
    assert_eq!(found.coordinators[0].error_code, ErrorCode::None.code());
    assert_eq!(found.coordinators[0].node_id.0, 1);
    until("groups are loaded", || {
        client.call(5, &ListGroupsRequest::default()).unwrap().error_code == ErrorCode::None.code()
    });
}

pub fn join(client: &mut Client, member_id: &StrBytes) -> JoinGroupResponse {
    try_join(client, member_id).unwrap()
}

fn try_join(client: &mut Client, member_id: &StrBytes) -> std::io::Result<JoinGroupResponse> {
    let protocol = JoinGroupRequestProtocol::default().with_name(text("range"));
    let request = JoinGroupRequest::default()
        .with_group_id(group())
        .with_session_timeout_ms(30_000)
        .with_rebalance_timeout_ms(30_000)
        .with_member_id(member_id.clone())
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol.with_metadata(b"\0\0\0\0\0\0\xff\xff\xff\xff".as_slice().into())]);
    client.call(9, &request)
}

fn commit(client: &mut Client, member_id: &StrBytes, offset: i64) -> i16 {
    commit_as(client, member_id, 1, offset)
}

/// Brings the assignment of the first generation, "all" for the leader alone; gives the request without it.
pub fn lead(client: &mut Client, member_id: &StrBytes) -> SyncGroupRequest {
    let assignment = SyncGroupRequestAssignment::default()
        .with_member_id(member_id.clone())
        .with_assignment(b"all".as_slice().into());
    let sync = SyncGroupRequest::default()
        .with_group_id(group())
        .with_generation_id(1)
        .with_member_id(member_id.clone())
        .with_protocol_type(Some(text("consumer")))
        .with_protocol_name(Some(text("range")));
    let synced = client.call(5, &sync.clone().with_assignments(vec![assignment])).unwrap();
    assert_eq!((synced.error_code, &synced.assignment[..]), (0, &b"all"[..]));
    sync
}

pub fn commit_from_outside(client: &mut Client, offset: i64) -> i16 {
    commit_as(client, &StrBytes::default(), -1, offset)
}

fn commit_as(client: &mut Client, member_id: &StrBytes, generation: i32, offset: i64) -> i16 {
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(offset);
    let topic = OffsetCommitRequestTopic::default()
        .with_name(TopicName(text("t")))
        .with_partitions(vec![partition.with_committed_metadata(Some(text("note")))]);
    let request = OffsetCommitRequest::default()
        .with_group_id(group())
        .with_generation_id_or_member_epoch(generation)
        .with_member_id(member_id.clone())
        .with_topics(vec![topic]);
    client.call(9, &request).unwrap().topics[0].partitions[0].error_code
}

fn committed(client: &mut Client) -> i64 {
    let answer = fetch(client, &group());
    assert_eq!(answer.error_code, ErrorCode::None.code());
    answer.topics[0].partitions[0].committed_offset
}

fn fetch(client: &mut Client, group: &GroupId) -> OffsetFetchResponseGroup {
    let topic =
        OffsetFetchRequestTopics::default().with_name(TopicName(text("t"))).with_partition_indexes(vec![0]);
    let asked =
        OffsetFetchRequestGroup::default().with_group_id(group.clone()).with_topics(Some(vec![topic]));
    let mut answer = client.call(9, &OffsetFetchRequest::default().with_groups(vec![asked])).unwrap();
    answer.groups.remove(0)
}

#[test]
fn a_group_and_its_offsets_outlive_kill_9() {
    let dir = TempDir::new();
    let start = || {
        Launch::new(dir.path())
            .data(&dir.path().join("data"))
            .args(&["--cores", "2"])
            .set("group.initial.rebalance.delay.ms=0")
            .start()
    };
    let broker = start();
    let mut client = connect(broker.client);
    create_topic(&mut client, "t", 1);
    find_coordinator(&mut client);
    let asked = join(&mut client, &StrBytes::default());
    assert_eq!(asked.error_code, ErrorCode::MemberIdRequired.code());
    let joined = join(&mut client, &asked.member_id);
    assert_eq!((joined.error_code, joined.generation_id), (0, 1));
    let member_id = joined.member_id;
    let sync = lead(&mut client, &member_id);
    for offset in 0..50 {
        assert_eq!(commit(&mut client, &member_id, offset), 0);
    }
    broker.kill();

    let broker = start();
    let mut client = connect(broker.client);
    find_coordinator(&mut client);
    assert_eq!(committed(&mut client), 49);
    let heartbeat = HeartbeatRequest::default()
        .with_group_id(group())
        .with_generation_id(1)
        .with_member_id(member_id.clone());
    assert_eq!(client.call(4, &heartbeat).unwrap().error_code, 0);
    let synced = client.call(5, &sync).unwrap();
    assert_eq!(&synced.assignment[..], b"all");
    let described = client.call(5, &DescribeGroupsRequest::default().with_groups(vec![group()])).unwrap();
    assert_eq!(described.groups[0].group_state.as_str(), "Stable");
    assert_eq!(described.groups[0].members[0].member_id, member_id);
}

/// A consumer that is told of no offset begins anew, or at the end: nothing is better than a part.
#[test]
fn damaged_offsets_are_not_served_in_part() {
    let dir = TempDir::new();
    let data = dir.path().join("data");
    let start = || Launch::new(dir.path()).data(&data).args(&["--cores", "1"]).start();
    let mut broker = start();
    let mut client = connect(broker.client);
    create_topic(&mut client, "t", 1);
    find_coordinator(&mut client);
    for offset in 0..3 {
        assert_eq!(commit_from_outside(&mut client, offset), 0);
    }
    assert!(broker.stop().0.success());
    // The partition of the group "g".
    let log = data.join("__consumer_offsets-3/00000000000000000000.log");
    let mut bytes = fs::read(&log).unwrap();
    let notes: Vec<usize> = (0..bytes.len() - 4).filter(|at| bytes[*at..].starts_with(b"note")).collect();
    assert_eq!(notes.len(), 3);
    bytes[notes[1]] ^= 1;
    fs::write(&log, bytes).unwrap();

    let broker = start();
    let mut client = connect(broker.client);
    find_coordinator(&mut client);
    assert_eq!(fetch(&mut client, &group()).error_code, ErrorCode::NotCoordinator.code());
    assert_eq!(commit_from_outside(&mut client, 4), ErrorCode::NotCoordinator.code());
    assert_eq!(fetch(&mut client, &GroupId(text("another"))).error_code, ErrorCode::None.code());
    assert!(broker.process.log().contains("groups can't be loaded"));
}

#[test]
fn a_stop_does_not_wait_for_a_member_that_waits_for_others() {
    let dir = TempDir::new();
    let mut broker = Launch::new(dir.path())
        .data(&dir.path().join("data"))
        .set("group.initial.rebalance.delay.ms=600000")
        .start();
    let mut client = connect(broker.client);
    find_coordinator(&mut client);
    let asked = join(&mut client, &StrBytes::default());
    let waiting = std::thread::spawn(move || try_join(&mut client, &asked.member_id));
    let mut other = connect(broker.client);
    until("the group rebalances", || {
        let groups = other.call(5, &ListGroupsRequest::default()).unwrap().groups;
        groups.first().is_some_and(|group| group.group_state.as_str() == "PreparingRebalance")
    });
    let (status, _) = broker.stop();
    assert_eq!(status.code(), Some(0));
    // It is told to look for another coordinator, if its connection's core is still there to tell it.
    let told = waiting.join().unwrap().map_or(ErrorCode::NotCoordinator.code(), |answer| answer.error_code);
    assert_eq!(told, ErrorCode::NotCoordinator.code());
}

/// Commits offset 7 for so many partitions at once, each with a note of 4,096 bytes; gives their errors.
fn commit_much(client: &mut Client, partitions: i32) -> Vec<i16> {
    let partition = |index| {
        OffsetCommitRequestPartition::default()
            .with_partition_index(index)
            .with_committed_offset(7)
            .with_committed_metadata(Some(text(&"n".repeat(4_096))))
    };
    let topic = OffsetCommitRequestTopic::default()
        .with_name(TopicName(text("t")))
        .with_partitions((0..partitions).map(partition).collect());
    let request = OffsetCommitRequest::default()
        .with_group_id(group())
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic]);
    let answer = client.call(9, &request).unwrap();
    answer.topics[0].partitions.iter().map(|partition| partition.error_code).collect()
}

fn assert_only_large_commits_fail(client: &mut Client, partitions: i32) {
    find_coordinator(client);
    assert_eq!(commit_from_outside(client, 1), 0);
    let failed = vec![ErrorCode::UnknownServerError.code(); partitions as usize];
    assert_eq!(commit_much(client, partitions), failed);
    assert_eq!(committed(client), 1);
    assert_eq!(commit_from_outside(client, 2), 0);
    assert_eq!(committed(client), 2);
}

#[test]
fn a_commit_that_its_topic_does_not_take_fails_alone() {
    let dir = TempDir::new();
    let broker = Launch::new(dir.path()).data(&dir.path().join("data")).start();
    let mut client = connect(broker.client);
    create_topic(&mut client, "t", 1);
    let config =
        CreatableTopicConfig::default().with_name(text("max.message.bytes")).with_value(Some(text("4000")));
    let topic = CreatableTopic::default()
        .with_name(TopicName(text("__consumer_offsets")))
        .with_num_partitions(50)
        .with_replication_factor(1)
        .with_configs(vec![config]);
    let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
    assert_eq!(client.call(7, &request).unwrap().topics[0].error_code, 0);
    assert_only_large_commits_fail(&mut client, 1);
}

#[test]
fn a_commit_larger_than_a_segment_fails_alone() {
    let dir = TempDir::new();
    let broker = Launch::new(dir.path())
        .data(&dir.path().join("data"))
        .set("message.max.bytes=8388608")
        .set("offsets.topic.segment.bytes=1048576")
        .start();
    let mut client = connect(broker.client);
    create_topic(&mut client, "t", 300);
    assert_only_large_commits_fail(&mut client, 300);
}

#[test]
fn groups_keep_their_offsets_when_partitions_are_added() {
    let dir = TempDir::new();
    let broker =
        Launch::new(dir.path()).data(&dir.path().join("data")).set("offsets.topic.num.partitions=1").start();
    let mut client = connect(broker.client);
    create_topic(&mut client, "t", 1);
    find_coordinator(&mut client);
    assert_eq!(commit_from_outside(&mut client, 5), 0);
    let more = CreatePartitionsTopic::default()
        .with_name(TopicName(text("__consumer_offsets")))
        .with_count(50)
        .with_assignments(None);
    let request = CreatePartitionsRequest::default().with_topics(vec![more]).with_timeout_ms(30_000);
    assert_eq!(client.call(3, &request).unwrap().results[0].error_code, 0);
    assert_eq!(committed(&mut client), 5);
    assert_eq!(commit_from_outside(&mut client, 6), 0);
    assert_eq!(committed(&mut client), 6);
}

/// As Kafka, which finds out when the topic is to be made.
#[test]
fn an_offsets_topic_that_no_topic_may_be_is_not_made() {
    let dir = TempDir::new();
    let broker = Launch::new(dir.path())
        .data(&dir.path().join("data"))
        .set("offsets.topic.segment.bytes=1000")
        .start();
    let mut client = connect(broker.client);
    let request = FindCoordinatorRequest::default().with_coordinator_keys(vec![text("g")]);
    let found = client.call(4, &request).unwrap();
    assert_eq!(found.coordinators[0].error_code, ErrorCode::CoordinatorNotAvailable.code());
    let log = broker.process.log();
    assert!(log.contains("automatic creation refused") && log.contains("segment.bytes"), "{log}");
}

#[test]
fn coordinators_come_with_the_words_that_kafka_gives() {
    let dir = TempDir::new();
    let broker = Launch::new(dir.path()).data(&dir.path().join("data")).start();
    let mut client = connect(broker.client);
    find_coordinator(&mut client);
    let invalid = ErrorCode::InvalidRequest;
    for (version, kind, error, words) in [
        (1, 0, ErrorCode::None, "NONE"),
        (3, 0, ErrorCode::None, "NONE"),
        (2, 2, invalid, invalid.message()),
        (2, 9, invalid, invalid.message()),
        (4, 0, ErrorCode::None, ""),
        (5, 2, invalid, ""),
        (6, 9, invalid, invalid.message()),
    ] {
        let request = FindCoordinatorRequest::default().with_key_type(kind);
        let (code, message) = if version < 4 {
            let found = client.call(version, &request.with_key(text("g"))).unwrap();
            (found.error_code, found.error_message)
        } else {
            let found = client.call(version, &request.with_coordinator_keys(vec![text("g")])).unwrap();
            (found.coordinators[0].error_code, found.coordinators[0].error_message.clone())
        };
        assert_eq!((code, message.as_deref()), (error.code(), Some(words)), "v{version} kind {kind}");
    }
}
