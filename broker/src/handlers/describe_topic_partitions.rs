//! DescribeTopicPartitions (key 75), v0 (KIP-966): partitions of topics page by page. From this core's view; nothing hops.
//! Behaviour: topics by name, each once; a page ends after `response_partition_limit` partitions, at most
//! `max.request.partition.size.limit` and at least one; eligible leader replicas are those of a log of Kafka.

use std::collections::BTreeSet;

use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::{
    BrokerId as WireBrokerId, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::ids::{BrokerId, PartitionIndex};

use super::create_topics;
use super::metadata::TOPIC_OPERATIONS;
use crate::controller::view::{ClusterView, PartitionView, TopicView, is_internal};
use crate::net::connection::Closed;
use crate::router::Request;
use crate::runtime::conn::Piece;

/// Handles one request.
pub fn handle(request: Request<'_>) -> Result<Vec<Piece>, Closed> {
    let body: DescribeTopicPartitionsRequest = request.decode()?;
    let view = request.shard.view();
    let is_all = body.topics.is_empty();
    let first = body.cursor.as_ref().map_or("", |cursor| cursor.topic_name.as_str());
    let names: BTreeSet<&str> = if is_all {
        view.topics().map(|topic| &*topic.name).filter(|name| *name >= first).collect()
    } else {
        body.topics.iter().map(|topic| topic.name.as_str()).filter(|name| *name >= first).collect()
    };
    if let Some(cursor) = &body.cursor
        && (cursor.partition_index < 0 || !is_all && !names.contains(first))
    {
        return request.respond(&refuse_all(&body));
    }
    let limit = body.response_partition_limit.min(view.config().topics.partitions_per_page_max).max(1);
    let mut page = Page { left: usize::try_from(limit).unwrap_or(1), next: None, topics: Vec::new() };
    for name in names {
        let from = match &body.cursor {
            Some(cursor) if name == first => cursor.partition_index,
            _ => 0,
        };
        page.add(&view, name, usize::try_from(from).unwrap_or(0));
        if page.next.is_some() {
            break;
        }
    }
    let response = DescribeTopicPartitionsResponse::default().with_topics(page.topics);
    request.respond(&response.with_next_cursor(page.next))
}

/// The request as a whole is refused.
fn refuse_all(body: &DescribeTopicPartitionsRequest) -> DescribeTopicPartitionsResponse {
    let refuse = |name: &TopicName| {
        DescribeTopicPartitionsResponseTopic::default()
            .with_error_code(ErrorCode::InvalidRequest.code())
            .with_name(Some(name.clone()))
    };
    let topics = body.topics.iter().map(|topic| refuse(&topic.name));
    DescribeTopicPartitionsResponse::default().with_topics(topics.collect())
}

struct Page {
    /// Partitions that still fit.
    left: usize,
    next: Option<Cursor>,
    topics: Vec<DescribeTopicPartitionsResponseTopic>,
}

impl Page {
    /// Adds a topic from a partition on, or says where the next page begins.
    fn add(&mut self, view: &ClusterView, name: &str, from: usize) {
        if self.left == 0 {
            self.next = Some(Cursor::default().with_topic_name(wire_name(name)).with_partition_index(0));
            return;
        }
        let Some(topic) = view.topic(name) else {
            self.topics.push(missing(name));
            return;
        };
        let end = topic.partitions.len().min(from.saturating_add(self.left));
        let partitions: Vec<_> = (from..end).filter_map(|index| partition(view, topic, index)).collect();
        self.left -= partitions.len();
        self.topics.push(
            DescribeTopicPartitionsResponseTopic::default()
                .with_name(Some(wire_name(name)))
                .with_topic_id(topic.id.0)
                .with_is_internal(topic.is_internal())
                .with_partitions(partitions)
                .with_topic_authorized_operations(TOPIC_OPERATIONS),
        );
        if end < topic.partitions.len() {
            let next = Cursor::default().with_topic_name(wire_name(name));
            self.next = Some(next.with_partition_index(i32::try_from(end).unwrap_or(i32::MAX)));
        }
    }
}

fn missing(name: &str) -> DescribeTopicPartitionsResponseTopic {
    let error = match create_topics::is_valid_name(name) {
        true => ErrorCode::UnknownTopicOrPartition,
        false => ErrorCode::InvalidTopicException,
    };
    DescribeTopicPartitionsResponseTopic::default()
        .with_error_code(error.code())
        .with_name(Some(wire_name(name)))
        .with_is_internal(is_internal(name))
        .with_topic_authorized_operations(TOPIC_OPERATIONS)
}

fn partition(
    view: &ClusterView,
    topic: &TopicView,
    index: usize,
) -> Option<DescribeTopicPartitionsResponsePartition> {
    let number = i32::try_from(index).ok()?;
    let image = view.image().partition_by_name(&topic.name, PartitionIndex(number))?;
    let PartitionView { leader, leader_epoch, replicas, isr, offline, .. } = topic.partitions.get(index)?;
    let error = if leader.0 < 0 { ErrorCode::LeaderNotAvailable } else { ErrorCode::None };
    Some(
        DescribeTopicPartitionsResponsePartition::default()
            .with_error_code(error.code())
            .with_partition_index(number)
            .with_leader_id(WireBrokerId(leader.0))
            .with_leader_epoch(leader_epoch.0)
            .with_replica_nodes(ids(replicas))
            .with_isr_nodes(ids(isr))
            .with_eligible_leader_replicas(Some(ids(&image.eligible_leaders)))
            .with_last_known_elr(Some(ids(&image.last_known_eligible)))
            .with_offline_replicas(ids(offline)),
    )
}

fn ids(brokers: &[BrokerId]) -> Vec<WireBrokerId> {
    brokers.iter().map(|broker| WireBrokerId(broker.0)).collect()
}

fn wire_name(name: &str) -> TopicName {
    TopicName(StrBytes::from_string(name.to_owned()))
}
