//! OffsetForLeaderEpoch (key 23), v2-4. v3 replica id · v4 flexible. Where an epoch ends in our log, so that a client that
//! read further learns that its records are gone (KIP-101, KIP-320).

use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::{OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse};
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::ids::{LeaderEpoch, PartitionIndex, TopicIdPartition};

use super::scatter::Scattered;
use crate::net::connection::Closed;
use crate::partition::offsets::EpochEndQuery;
use crate::router::Request;
use crate::runtime::conn::Piece;
use crate::shard::message::{ShardReply, ShardRequest};

/// Handles one request.
pub async fn handle(request: Request<'_>) -> Result<Vec<Piece>, Closed> {
    let body: OffsetForLeaderEpochRequest = request.decode()?;
    let view = request.shard.view();
    let mut scattered = Scattered::default();
    let mut answers = Vec::new();
    for topic in &body.topics {
        let found = view.topic(&topic.topic);
        for asked in &topic.partitions {
            let partition = PartitionIndex(asked.partition);
            let mut answer = EpochEndOffset::default()
                .with_partition(asked.partition)
                .with_leader_epoch(-1)
                .with_end_offset(-1);
            match found.and_then(|topic| Some((topic, topic.owner(partition)?))) {
                Some((topic, owner)) => {
                    let query = EpochEndQuery {
                        partition: TopicIdPartition { topic_id: topic.id, partition },
                        current_leader_epoch: LeaderEpoch(asked.current_leader_epoch),
                        leader_epoch: LeaderEpoch(asked.leader_epoch),
                    };
                    scattered.push(owner, answers.len(), query);
                }
                None => answer.error_code = ErrorCode::UnknownTopicOrPartition.code(),
            }
            answers.push(answer);
        }
    }
    let found = scattered
        .ask(request.shard, ShardRequest::EpochEnds, |reply| match reply {
            ShardReply::EpochEnds(answers) => answers,
            _ => unreachable!("epoch ends are answered with epoch ends"),
        })
        .await;
    for (place, found) in found {
        let answer = &mut answers[place];
        answer.error_code = found.error.code();
        answer.leader_epoch = found.leader_epoch.0;
        answer.end_offset = found.end_offset.0;
    }
    let mut answers = answers.into_iter();
    let topics = body.topics.into_iter().map(|topic| {
        OffsetForLeaderTopicResult::default()
            .with_partitions(answers.by_ref().take(topic.partitions.len()).collect())
            .with_topic(topic.topic)
    });
    request.respond(&OffsetForLeaderEpochResponse::default().with_topics(topics.collect()))
}
