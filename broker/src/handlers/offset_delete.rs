//! OffsetDelete (key 47), v0 (KIP-496). Topics and partitions that are not there are refused here; the rest is decided by the
//! group's coordinator.

use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::{OffsetDeleteRequest, OffsetDeleteResponse};
use slipring_machine::group::{Command, DeleteOffsets, Reply};
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::ids::PartitionIndex;

use super::groups::name;
use crate::coordinator;
use crate::net::connection::Closed;
use crate::router::Request;
use crate::runtime::conn::Piece;

/// Handles one request.
pub async fn handle(request: Request<'_>) -> Result<Vec<Piece>, Closed> {
    let body: OffsetDeleteRequest = request.decode()?;
    let view = request.shard.view();
    let (mut topics, mut places, mut answers) = (Vec::new(), Vec::new(), Vec::new());
    for (place, topic) in body.topics.iter().enumerate() {
        let found = view.topic(&topic.name);
        let mut valid = Vec::new();
        let mut answer = Vec::new();
        for asked in &topic.partitions {
            let index = PartitionIndex(asked.partition_index);
            match found.and_then(|found| found.partition(index)) {
                Some(_) => valid.push(index),
                None => answer.push(partition(index, ErrorCode::UnknownTopicOrPartition)),
            }
        }
        if !valid.is_empty() {
            topics.push((name(&topic.name), valid));
            places.push(place);
        }
        answers
            .push(OffsetDeleteResponseTopic::default().with_name(topic.name.clone()).with_partitions(answer));
    }
    // Asked also with nothing to delete: the answer of a group that is not there counts more than those of topics.
    let delete = DeleteOffsets { group: name(&body.group_id), topics };
    match coordinator::ask(request.shard, &body.group_id, Command::DeleteOffsets(delete)).await {
        Reply::DeleteOffsets(Ok(outcomes)) => {
            for (place, outcome) in places.into_iter().zip(outcomes) {
                let outcome = outcome.into_iter().map(|(index, error)| partition(index, error));
                answers[place].partitions.extend(outcome);
            }
            request.respond(&OffsetDeleteResponse::default().with_topics(answers))
        }
        Reply::DeleteOffsets(Err(error)) => {
            request.respond(&OffsetDeleteResponse::default().with_error_code(error.code()))
        }
        _ => unreachable!("deletions of offsets are answered as such"),
    }
}

fn partition(index: PartitionIndex, error: ErrorCode) -> OffsetDeleteResponsePartition {
    OffsetDeleteResponsePartition::default().with_partition_index(index.0).with_error_code(error.code())
}
