//! OffsetCommit (key 8), v2-10. v5 no retention time · v6 leader epoch · v7 static members · v8 flexible · v9 group epochs ·
//! v10 topic ids. Topics and partitions that are not there are refused here; the rest is decided by the group's coordinator
//! and answered when it is durable.

use std::sync::Arc;

use slipring_machine::group::{Command, Commit, CommitPartition, CommitTopic, Member, Reply};
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::ids::PartitionIndex;
use slipring_protocol::offsets::{
    OffsetCommitRequest, OffsetCommitResponse, OffsetCommitTopic, OffsetCommitTopicResponse, TOPIC_IDS_FROM,
};

use super::groups::name;
use crate::controller::view::{ClusterView, TopicView};
use crate::coordinator;
use crate::net::connection::Closed;
use crate::router::Request;
use crate::runtime::conn::Piece;

/// Handles one request.
pub async fn handle(request: Request<'_>) -> Result<Vec<Piece>, Closed> {
    let version = request.header.version;
    let body = OffsetCommitRequest::decode(version, request.body.clone())
        .map_err(|error| Closed::Protocol(format!("OffsetCommit v{version}: {error}")))?;
    let view = request.shard.view();
    let mut response = OffsetCommitResponse::default();
    let mut topics = Vec::new();
    // For each topic of the command, where it stands in the request.
    let mut places = Vec::new();
    for (place, topic) in body.topics.iter().enumerate() {
        let (valid, refused) = split(&view, topic, version);
        if !valid.partitions.is_empty() {
            topics.push(valid);
            places.push(place);
        }
        response.topics.push(OffsetCommitTopicResponse {
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            partitions: refused,
        });
    }
    // With nothing to commit the group is not asked, and not made, as in Kafka.
    if !topics.is_empty() {
        let commit = Commit {
            member: Member {
                group: name(&body.group_id),
                generation: body.generation_or_epoch,
                member_id: name(&body.member_id),
                instance_id: body.instance_id.as_deref().map(Arc::from),
            },
            knows_group_id_not_found: version >= 9,
            retention_ms: Some(body.retention_ms).filter(|&retention_ms| retention_ms != -1),
            topics,
        };
        let asked: Vec<Vec<PartitionIndex>> = commit
            .topics
            .iter()
            .map(|topic| topic.partitions.iter().map(|partition| partition.index).collect())
            .collect();
        let outcomes = match coordinator::ask(request.shard, &body.group_id, Command::Commit(commit)).await {
            Reply::Commit(Ok(outcomes)) => outcomes,
            Reply::Commit(Err(error)) => asked
                .into_iter()
                .map(|partitions| partitions.into_iter().map(|index| (index, error)).collect())
                .collect(),
            _ => unreachable!("commits are answered as commits"),
        };
        for (place, outcome) in places.into_iter().zip(outcomes) {
            response.topics[place].partitions.extend(outcome);
        }
    }
    request.respond_with(|out| response.encode(version, out))
}

/// What of a topic may be committed, and what is refused.
fn split(
    view: &ClusterView,
    asked: &OffsetCommitTopic,
    version: i16,
) -> (CommitTopic, Vec<(PartitionIndex, ErrorCode)>) {
    let (topic, unknown): (Option<&Arc<TopicView>>, _) = if version >= TOPIC_IDS_FROM {
        (view.topic_by_id(asked.topic_id), ErrorCode::UnknownTopicId)
    } else {
        (view.topic(&asked.name), ErrorCode::UnknownTopicOrPartition)
    };
    let Some(topic) = topic else {
        let refused = asked.partitions.iter().map(|partition| (partition.index, unknown)).collect();
        let nothing = CommitTopic { name: name(""), topic_id: asked.topic_id, partitions: Vec::new() };
        return (nothing, refused);
    };
    let mut valid = CommitTopic { name: topic.name.clone(), topic_id: topic.id, partitions: Vec::new() };
    let mut refused = Vec::new();
    for partition in &asked.partitions {
        if topic.partition(partition.index).is_none() {
            refused.push((partition.index, ErrorCode::UnknownTopicOrPartition));
            continue;
        }
        valid.partitions.push(CommitPartition {
            index: partition.index,
            offset: partition.offset,
            leader_epoch: partition.leader_epoch,
            metadata: partition.metadata.as_deref().map(Arc::from),
        });
    }
    (valid, refused)
}
