//! DescribeProducers (key 61), v0 (KIP-664): the idempotent producers that a partition remembers.

use kafka_protocol::messages::describe_producers_response::{
    PartitionResponse, ProducerState, TopicResponse,
};
use kafka_protocol::messages::{DescribeProducersRequest, DescribeProducersResponse, ProducerId};
use kafka_protocol::protocol::StrBytes;
use slipring_machine::controller::check_topic_name;
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::ids::{PartitionIndex, TopicIdPartition};
use slipring_storage::producer_state::snapshot::SnapshotEntry;

use super::control;
use super::scatter::Scattered;
use crate::net::connection::Closed;
use crate::router::Request;
use crate::runtime::conn::Piece;
use crate::shard::message::{ShardReply, ShardRequest};

/// Handles one request.
pub async fn handle(request: Request<'_>) -> Result<Vec<Piece>, Closed> {
    let body: DescribeProducersRequest = request.decode()?;
    let view = request.shard.view();
    let mut scattered = Scattered::default();
    let mut answers = Vec::new();
    for topic in &body.topics {
        let name_error = check_topic_name(&topic.name).err();
        for &index in &topic.partition_indexes {
            let mut answer =
                PartitionResponse::default().with_partition_index(index).with_error_message(None);
            let partition = PartitionIndex(index);
            let found = view.topic(&topic.name);
            match (&name_error, found, found.and_then(|topic| topic.owner(partition))) {
                (Some(error), ..) => {
                    answer.error_code = error.code.code();
                    answer.error_message = control::message(error);
                }
                (None, Some(topic), Some(owner)) => {
                    let id = TopicIdPartition { topic_id: topic.id, partition };
                    scattered.push(owner, answers.len(), id);
                }
                // Kafka has words for a topic that is not there, none for a partition.
                (None, topic, _) => {
                    answer.error_code = ErrorCode::UnknownTopicOrPartition.code();
                    answer.error_message = topic.is_none().then_some(NO_TOPIC);
                }
            }
            answers.push(answer);
        }
    }
    let found = scattered
        .ask(request.shard, ShardRequest::Producers, |reply| match reply {
            ShardReply::Producers(answers) => answers,
            _ => unreachable!("producers are answered with producers"),
        })
        .await;
    for (place, found) in found {
        match found {
            Some(producers) => answers[place].active_producers = producers.iter().map(producer).collect(),
            None => answers[place].error_code = ErrorCode::NotLeaderOrFollower.code(),
        }
    }
    let mut answers = answers.into_iter();
    let topics = body.topics.into_iter().map(|topic| {
        TopicResponse::default()
            .with_partitions(answers.by_ref().take(topic.partition_indexes.len()).collect())
            .with_name(topic.name)
    });
    request.respond(&DescribeProducersResponse::default().with_topics(topics.collect()))
}

const NO_TOPIC: StrBytes = StrBytes::from_static_str("This server does not host this topic-partition.");

fn producer(entry: &SnapshotEntry) -> ProducerState {
    ProducerState::default()
        .with_producer_id(ProducerId(entry.producer_id.0))
        .with_producer_epoch(i32::from(entry.epoch.0))
        .with_last_sequence(entry.last_sequence.0)
        .with_last_timestamp(entry.timestamp.0)
        .with_coordinator_epoch(entry.coordinator_epoch)
        .with_current_txn_start_offset(entry.txn_first_offset.map_or(-1, |offset| offset.0))
}
