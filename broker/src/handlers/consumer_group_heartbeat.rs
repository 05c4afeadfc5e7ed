//! ConsumerGroupHeartbeat (key 68), v0-1 (KIP-848). v1 regular expressions, the member names itself (KIP-1082). Checked here,
//! decided by the group's coordinator.

use std::sync::Arc;

use kafka_protocol::messages::consumer_group_heartbeat_response::{Assignment, TopicPartitions};
use kafka_protocol::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use kafka_protocol::protocol::StrBytes;
use slipring_machine::group::{Command, ConsumerBeat, ConsumerHeartbeat, Refusal, Reply};
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::group_records::Partitions;
use slipring_protocol::ids::{PartitionIndex, TopicId};

use super::groups::{name, nullable_name, text};
use crate::controller::view::GROUP_VERSION;
use crate::coordinator;
use crate::net::connection::Closed;
use crate::router::Request;
use crate::runtime::conn::Piece;

/// Handles one request.
pub async fn handle(request: Request<'_>) -> Result<Vec<Piece>, Closed> {
    let body: ConsumerGroupHeartbeatRequest = request.decode()?;
    if request.shard.view().image().feature(GROUP_VERSION) < 1 {
        return request.respond(&refused(ErrorCode::UnsupportedVersion.into()));
    }
    let is_named = !body.member_id.trim().is_empty();
    let beat = read(&request, &body);
    let assignors = request.shard.config.groups.consumer.assignors;
    let response = match beat.check(request.header.version, is_named, assignors) {
        Err(refusal) => refused(refusal),
        Ok(()) => {
            let command = Command::ConsumerHeartbeat(Box::new(beat));
            match coordinator::ask(request.shard, &body.group_id, command).await {
                Reply::ConsumerHeartbeat(Ok(beat)) => beaten(beat),
                Reply::ConsumerHeartbeat(Err(refusal)) => refused(refusal),
                _ => unreachable!("heartbeats are answered as heartbeats"),
            }
        }
    };
    request.respond(&response)
}

fn read(request: &Request<'_>, body: &ConsumerGroupHeartbeatRequest) -> ConsumerHeartbeat {
    let member_id = if body.member_id.is_empty() {
        Arc::from(slipring_protocol::ids::TopicId(crate::runtime::random_id()).to_string())
    } else {
        name(&body.member_id)
    };
    let owned = body.topic_partitions.as_ref().map(|topics| {
        let mut owned = Partitions::new();
        for topic in topics {
            let partitions = topic.partitions.iter().copied().map(PartitionIndex);
            owned.entry(TopicId(topic.topic_id)).or_default().extend(partitions);
        }
        owned
    });
    ConsumerHeartbeat {
        group: name(&body.group_id),
        member_id,
        epoch: body.member_epoch,
        instance_id: nullable_name(body.instance_id.as_ref()),
        rack_id: nullable_name(body.rack_id.as_ref()),
        rebalance_timeout_ms: Some(body.rebalance_timeout_ms).filter(|&timeout_ms| timeout_ms != -1),
        topics: body
            .subscribed_topic_names
            .as_ref()
            .map(|names| names.iter().map(|topic| name(topic)).collect()),
        regex: nullable_name(body.subscribed_topic_regex.as_ref()),
        assignor: nullable_name(body.server_assignor.as_ref()),
        owned,
        client_id: name(request.header.client_id.as_deref().unwrap_or_default()),
        client_host: format!("/{}", request.connection.peer).into(),
    }
}

fn beaten(beat: ConsumerBeat) -> ConsumerGroupHeartbeatResponse {
    let assignment = beat.assignment.map(|partitions| {
        let topics = partitions.into_iter().map(|(topic, partitions)| {
            TopicPartitions::default()
                .with_topic_id(topic.0)
                .with_partitions(partitions.into_iter().map(|partition| partition.0).collect())
        });
        Assignment::default().with_topic_partitions(topics.collect())
    });
    ConsumerGroupHeartbeatResponse::default()
        .with_member_id(Some(text(&beat.member_id)))
        .with_member_epoch(beat.epoch)
        .with_heartbeat_interval_ms(beat.heartbeat_interval_ms)
        .with_assignment(assignment)
}

fn refused(refusal: Refusal) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse::default()
        .with_error_code(refusal.error.code())
        .with_error_message(Some(words(refusal)))
}

/// A refusal in words: its own, or those of its code.
pub(super) fn words(refusal: Refusal) -> StrBytes {
    if refusal.message.is_empty() {
        return StrBytes::from_static_str(refusal.error.message());
    }
    StrBytes::from_string(refusal.message)
}
