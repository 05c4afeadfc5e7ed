//! DescribeQuorum (key 55), v0-2 (KIP-595). v1 when a voter last fetched · v2 directories and nodes. From this core's view: the
//! quorum is this node, and what is in a view is durable, so the end of the log is its high watermark.

use kafka_protocol::messages::describe_quorum_request::TopicData as AskedTopic;
use kafka_protocol::messages::describe_quorum_response::{
    Listener, Node, PartitionData, ReplicaState, TopicData,
};
use kafka_protocol::messages::{BrokerId as WireBrokerId, DescribeQuorumRequest, DescribeQuorumResponse};
use kafka_protocol::protocol::StrBytes;
use slipring_protocol::error_code::ErrorCode;

use crate::controller::metadata_log::TOPIC;
use crate::controller::view::ClusterView;
use crate::net::connection::Closed;
use crate::router::Request;
use crate::runtime;
use crate::runtime::conn::Piece;

/// Handles one request.
pub fn handle(request: Request<'_>) -> Result<Vec<Piece>, Closed> {
    let body: DescribeQuorumRequest = request.decode()?;
    let view = request.shard.view();
    let is_metadata = matches!(
        body.topics.as_slice(),
        [topic] if topic.topic_name.as_str() == TOPIC
            && matches!(topic.partitions.as_slice(), [partition] if partition.partition_index == 0)
    );
    let response = DescribeQuorumResponse::default().with_error_message(Some(StrBytes::default()));
    if !is_metadata {
        return request.respond(&response.with_topics(body.topics.iter().map(unknown).collect()));
    }
    let end = view.metadata_offset().plus(1).0;
    let now = runtime::wall_clock().0;
    let voter = ReplicaState::default()
        .with_replica_id(WireBrokerId(view.node().0))
        .with_log_end_offset(end)
        .with_last_fetch_timestamp(now)
        .with_last_caught_up_timestamp(now);
    let partition = PartitionData::default()
        .with_error_message(Some(StrBytes::default()))
        .with_leader_id(WireBrokerId(view.node().0))
        .with_leader_epoch(view.image().version().epoch.0)
        .with_high_watermark(end)
        .with_current_voters(vec![voter]);
    let topic = TopicData::default()
        .with_topic_name(body.topics[0].topic_name.clone())
        .with_partitions(vec![partition]);
    let response = response.with_topics(vec![topic]);
    request.respond(&match request.header.version {
        2.. => response.with_nodes(nodes(&view)),
        _ => response,
    })
}

fn unknown(topic: &AskedTopic) -> TopicData {
    let partitions = topic.partitions.iter().map(|partition| {
        PartitionData::default()
            .with_partition_index(partition.partition_index)
            .with_error_code(ErrorCode::UnknownTopicOrPartition.code())
            .with_error_message(Some(NO_PARTITION))
    });
    TopicData::default().with_topic_name(topic.topic_name.clone()).with_partitions(partitions.collect())
}

const NO_PARTITION: StrBytes = StrBytes::from_static_str("This server does not host this topic-partition.");

fn nodes(view: &ClusterView) -> Vec<Node> {
    let controllers = view.image().controllers().map(|controller| {
        let listeners = controller.endpoints.iter().map(|endpoint| {
            Listener::default()
                .with_name(StrBytes::from_string(endpoint.name.to_string()))
                .with_host(StrBytes::from_string(endpoint.host.to_string()))
                .with_port(endpoint.port)
        });
        Node::default().with_node_id(WireBrokerId(controller.id.0)).with_listeners(listeners.collect())
    });
    controllers.collect()
}
