//! ListPartitionReassignments (key 46), v0 (KIP-455). From this core's view: what a metadata log of Kafka says is under way; none
//! is begun here.

use kafka_protocol::messages::list_partition_reassignments_response::{
    OngoingPartitionReassignment, OngoingTopicReassignment,
};
use kafka_protocol::messages::{
    BrokerId as WireBrokerId, ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
    TopicName,
};
use kafka_protocol::protocol::StrBytes;
use slipring_machine::image::{PartitionImage, TopicImage};
use slipring_protocol::ids::{BrokerId, PartitionIndex};

use crate::net::connection::Closed;
use crate::router::Request;
use crate::runtime::conn::Piece;

/// Handles one request.
pub fn handle(request: Request<'_>) -> Result<Vec<Piece>, Closed> {
    let body: ListPartitionReassignmentsRequest = request.decode()?;
    let view = request.shard.view();
    let topics: Vec<OngoingTopicReassignment> = match &body.topics {
        None => view.image().topics().filter_map(|topic| ongoing(topic, |_| true)).collect(),
        Some(asked) => asked
            .iter()
            .filter_map(|asked| {
                let topic = view.image().topic(&asked.name)?;
                ongoing(topic, |index| asked.partition_indexes.contains(&index.0))
            })
            .collect(),
    };
    request
        .respond(&ListPartitionReassignmentsResponse::default().with_error_message(None).with_topics(topics))
}

fn ongoing(
    topic: &TopicImage,
    is_wanted: impl Fn(PartitionIndex) -> bool,
) -> Option<OngoingTopicReassignment> {
    let is_moving =
        |partition: &PartitionImage| !partition.adding.is_empty() || !partition.removing.is_empty();
    let partitions: Vec<_> = topic
        .partitions()
        .filter(|(index, partition)| is_wanted(*index) && is_moving(partition))
        .map(|(index, partition)| {
            OngoingPartitionReassignment::default()
                .with_partition_index(index.0)
                .with_replicas(ids(&partition.replicas))
                .with_adding_replicas(ids(&partition.adding))
                .with_removing_replicas(ids(&partition.removing))
        })
        .collect();
    let name = TopicName(StrBytes::from_string(topic.name.to_string()));
    (!partitions.is_empty())
        .then(|| OngoingTopicReassignment::default().with_name(name).with_partitions(partitions))
}

fn ids(brokers: &[BrokerId]) -> Vec<WireBrokerId> {
    brokers.iter().map(|broker| WireBrokerId(broker.0)).collect()
}
