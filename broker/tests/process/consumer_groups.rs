//! The consumer protocol of groups (KIP-848) on the wire, and what is left of a group after kill -9.

use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::{
    ApiVersionsRequest, ConsumerGroupDescribeRequest, ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse, DescribeGroupsRequest, FindCoordinatorRequest, GroupId,
    ListGroupsRequest, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use slipring_protocol::client::Client;
use slipring_protocol::error_code::ErrorCode;

use crate::client::{connect, create_topic};
use crate::support::{Launch, TempDir, until};

fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

fn group() -> GroupId {
    GroupId(text("g"))
}

fn find_coordinator(client: &mut Client) {
    let request = FindCoordinatorRequest::default().with_coordinator_keys(vec![text("g")]);
    client.call(4, &request).unwrap();
    until("groups are loaded", || {
        client.call(5, &ListGroupsRequest::default()).unwrap().error_code == ErrorCode::None.code()
    });
}

fn joining(member_id: &str) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group())
        .with_member_id(text(member_id))
        .with_rebalance_timeout_ms(30_000)
        .with_subscribed_topic_names(Some(vec![TopicName(text("t"))]))
        .with_topic_partitions(Some(Vec::new()))
}

fn staying(member_id: &str, epoch: i32) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group())
        .with_member_id(text(member_id))
        .with_member_epoch(epoch)
}

fn beat(client: &mut Client, request: &ConsumerGroupHeartbeatRequest) -> ConsumerGroupHeartbeatResponse {
    client.call(1, request).unwrap()
}

/// What an answer assigns; none when it does not say.
fn partitions(answer: &ConsumerGroupHeartbeatResponse) -> Option<Vec<i32>> {
    let assignment = answer.assignment.as_ref()?;
    Some(assignment.topic_partitions.iter().flat_map(|topic| topic.partitions.clone()).collect())
}

#[test]
fn members_share_a_topic_and_outlive_kill_9() {
    let dir = TempDir::new();
    let start = || {
        Launch::new(dir.path())
            .data(&dir.path().join("data"))
            .args(&["--cores", "2"])
            .set("group.consumer.assignment.interval.ms=0")
            .start()
    };
    let broker = start();
    let mut client = connect(broker.client);
    let ask = ApiVersionsRequest::default()
        .with_client_software_name(text("test"))
        .with_client_software_version(text("1"));
    let versions = client.call(3, &ask).unwrap();
    let feature = versions.finalized_features.iter().find(|feature| &*feature.name == "group.version");
    assert_eq!(feature.map(|feature| feature.max_version_level), Some(1));
    create_topic(&mut client, "t", 4);
    find_coordinator(&mut client);
    let first = beat(&mut client, &joining("a"));
    assert_eq!((first.error_code, first.member_epoch), (0, 1), "{:?}", first.error_message);
    assert_eq!(partitions(&first), Some(vec![0, 1, 2, 3]));
    let topic_id = first.assignment.unwrap().topic_partitions[0].topic_id;
    let second = beat(&mut client, &joining("b"));
    assert_eq!((second.member_epoch, partitions(&second)), (2, Some(vec![])));
    let revoke = beat(&mut client, &staying("a", 1));
    assert_eq!(partitions(&revoke), Some(vec![0, 1]));
    broker.kill();

    let broker = start();
    let mut client = connect(broker.client);
    find_coordinator(&mut client);
    let owned = TopicPartitions::default().with_topic_id(topic_id).with_partitions(vec![0, 1]);
    let revoked = beat(&mut client, &staying("a", 1).with_topic_partitions(Some(vec![owned])));
    assert_eq!((revoked.error_code, revoked.member_epoch), (0, 2), "{:?}", revoked.error_message);
    assert_eq!(partitions(&beat(&mut client, &staying("b", 2))), Some(vec![2, 3]));

    let request = ConsumerGroupDescribeRequest::default().with_group_ids(vec![group()]);
    let described = client.call(1, &request).unwrap().groups.remove(0);
    assert_eq!((described.error_code, described.group_state.as_str()), (0, "Stable"));
    assert_eq!((described.group_epoch, described.assignor_name.as_str()), (2, "uniform"));
    assert_eq!(described.members.len(), 2);
    assert_eq!(described.members[0].assignment.topic_partitions[0].topic_name.as_str(), "t");
    let listed = client.call(5, &ListGroupsRequest::default()).unwrap().groups.remove(0);
    assert_eq!((listed.group_type.as_str(), listed.group_state.as_str()), ("consumer", "Stable"));
    let classic = client.call(6, &DescribeGroupsRequest::default().with_groups(vec![group()])).unwrap();
    assert_eq!(classic.groups[0].error_code, ErrorCode::GroupIdNotFound.code());
}
