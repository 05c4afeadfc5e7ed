//! ListOffsets (key 2), v1-11. v2 isolation level · v4 leader epochs · v7 max timestamp (-3) · v8 earliest local (-4) ·
//! v9 latest tiered (-5) · v10 time-out · v11 earliest pending upload (-6). A special timestamp that the version does not
//! know is UNSUPPORTED_VERSION for its partition; a partition named twice is INVALID_REQUEST.

use std::collections::BTreeMap;

use kafka_protocol::messages::list_offsets_request::ListOffsetsPartition;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse};
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::ids::{LeaderEpoch, PartitionIndex, TimestampMs, TopicIdPartition};

use super::scatter::Scattered;
use crate::net::connection::Closed;
use crate::partition::offsets::{OffsetAnswer, OffsetQuery};
use crate::router::Request;
use crate::runtime::conn::Piece;
use crate::shard::message::{ShardReply, ShardRequest};

/// Handles one request.
pub async fn handle(request: Request<'_>) -> Result<Vec<Piece>, Closed> {
    let body: ListOffsetsRequest = request.decode()?;
    let version = request.header.version;
    let view = request.shard.view();
    let mut named = BTreeMap::new();
    for topic in &body.topics {
        for partition in &topic.partitions {
            *named.entry((&topic.name, partition.partition_index)).or_insert(0) += 1;
        }
    }
    let mut scattered = Scattered::default();
    let mut answers = Vec::new();
    let mut counts = Vec::with_capacity(body.topics.len());
    for topic in &body.topics {
        let found = view.topic(&topic.name);
        let before = answers.len();
        for partition in &topic.partitions {
            // Named several times: refused once, at the first place.
            let Some(times) = named.get_mut(&(&topic.name, partition.partition_index)) else { continue };
            let times = std::mem::replace(times, 0);
            if times == 0 {
                continue;
            }
            let index = PartitionIndex(partition.partition_index);
            let outcome = if times > 1 {
                Err(ErrorCode::InvalidRequest)
            } else if !is_known_timestamp(partition.timestamp, version) {
                Err(ErrorCode::UnsupportedVersion)
            } else {
                found
                    .and_then(|topic| Some((topic, topic.owner(index)?)))
                    .ok_or(ErrorCode::UnknownTopicOrPartition)
            };
            match outcome {
                Ok((topic, owner)) => {
                    let id = TopicIdPartition { topic_id: topic.id, partition: index };
                    scattered.push(owner, answers.len(), query(id, partition, body.isolation_level));
                    answers.push(failed(index, ErrorCode::UnknownServerError));
                }
                Err(error) => answers.push(failed(index, error)),
            }
        }
        counts.push(answers.len() - before);
    }
    let found = scattered
        .ask(request.shard, ShardRequest::Offsets, |reply| match reply {
            ShardReply::Offsets(answers) => answers,
            _ => unreachable!("offsets are answered with offsets"),
        })
        .await;
    for (place, answer) in found {
        answers[place] = response(PartitionIndex(answers[place].partition_index), answer, version);
    }
    let mut answers = answers.into_iter();
    // As Kafka groups its answers: a topic without partitions is not among them.
    let topics = body.topics.into_iter().zip(counts).filter(|(_, count)| *count > 0).map(|(topic, count)| {
        ListOffsetsTopicResponse::default()
            .with_name(topic.name)
            .with_partitions(answers.by_ref().take(count).collect())
    });
    request.respond(&ListOffsetsResponse::default().with_topics(topics.collect()))
}

/// Whether a request of this version may ask for this timestamp (the lowest special value each version brought).
fn is_known_timestamp(timestamp: i64, version: i16) -> bool {
    let lowest = match version {
        ..7 => -2,
        7 => -3,
        8 => -4,
        9 | 10 => -5,
        _ => -6,
    };
    timestamp >= lowest
}

fn query(partition: TopicIdPartition, asked: &ListOffsetsPartition, isolation_level: i8) -> OffsetQuery {
    OffsetQuery {
        partition,
        current_leader_epoch: LeaderEpoch(asked.current_leader_epoch),
        timestamp: TimestampMs(asked.timestamp),
        read_committed: isolation_level == 1,
    }
}

fn failed(index: PartitionIndex, error: ErrorCode) -> ListOffsetsPartitionResponse {
    ListOffsetsPartitionResponse::default().with_partition_index(index.0).with_error_code(error.code())
}

fn response(index: PartitionIndex, answer: OffsetAnswer, version: i16) -> ListOffsetsPartitionResponse {
    let response =
        failed(index, answer.error).with_timestamp(answer.timestamp.0).with_offset(answer.offset.0);
    if version >= 4 { response.with_leader_epoch(answer.leader_epoch.0) } else { response }
}
