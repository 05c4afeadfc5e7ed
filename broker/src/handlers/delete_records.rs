//! DeleteRecords (key 21), v0-2. v2 flexible. Behaviour: the answer comes when the new log start is durable here, the only
//! replica; unknown partition → 3, internal topic → 17, topic that is only compacted → 44, beyond the high watermark or
//! negative (other than -1: the high watermark) → 1. Files go later, by retention.

use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::{DeleteRecordsRequest, DeleteRecordsResponse};
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::ids::{Offset, PartitionIndex, TopicIdPartition};

use super::scatter::Scattered;
use crate::controller::view::TopicView;
use crate::net::connection::Closed;
use crate::partition::records::DeleteRecordsQuery;
use crate::router::Request;
use crate::runtime::conn::Piece;
use crate::runtime::mailbox::ShardId;
use crate::shard::message::{ShardReply, ShardRequest};

/// Handles one request.
pub async fn handle(request: Request<'_>) -> Result<Vec<Piece>, Closed> {
    let body: DeleteRecordsRequest = request.decode()?;
    let view = request.shard.view();
    let mut scattered = Scattered::default();
    let mut answers = Vec::new();
    for topic in &body.topics {
        let found = view.topic(&topic.name);
        for asked in &topic.partitions {
            let partition = PartitionIndex(asked.partition_index);
            let mut answer = DeleteRecordsPartitionResult::default()
                .with_partition_index(asked.partition_index)
                .with_low_watermark(-1);
            match owner(found.map(AsRef::as_ref), partition) {
                Ok((topic, owner)) => {
                    let query = DeleteRecordsQuery {
                        partition: TopicIdPartition { topic_id: topic.id, partition },
                        before: Offset(asked.offset),
                    };
                    scattered.push(owner, answers.len(), query);
                }
                Err(error) => answer.error_code = error.code(),
            }
            answers.push(answer);
        }
    }
    let found = scattered
        .ask(request.shard, ShardRequest::DeleteRecords, |reply| match reply {
            ShardReply::DeleteRecords(answers) => answers,
            _ => unreachable!("deletions are answered with deletions"),
        })
        .await;
    for (place, found) in found {
        answers[place].error_code = found.error.code();
        answers[place].low_watermark = found.low_watermark.0;
    }
    let mut answers = answers.into_iter();
    let topics = body.topics.into_iter().map(|topic| {
        DeleteRecordsTopicResult::default()
            .with_partitions(answers.by_ref().take(topic.partitions.len()).collect())
            .with_name(topic.name)
    });
    request.respond(&DeleteRecordsResponse::default().with_topics(topics.collect()))
}

/// Who deletes records of this partition, or why nobody does.
fn owner(topic: Option<&TopicView>, partition: PartitionIndex) -> Result<(&TopicView, ShardId), ErrorCode> {
    let topic = topic.ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let owner = topic.owner(partition).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    if topic.is_internal() {
        return Err(ErrorCode::InvalidTopicException);
    }
    if topic.settings.cleanup.compact && !topic.settings.cleanup.delete {
        return Err(ErrorCode::PolicyViolation);
    }
    Ok((topic, owner))
}
