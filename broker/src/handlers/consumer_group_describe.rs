//! ConsumerGroupDescribe (key 69), v0-1 (KIP-848). v1 says which protocol a member speaks (KIP-1099). Each group is asked at its
//! coordinator.

use kafka_protocol::messages::consumer_group_describe_response::{
    Assignment, DescribedGroup, Member, TopicPartitions,
};
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, GroupId, TopicName,
};
use kafka_protocol::protocol::StrBytes;
use slipring_machine::group::{
    Command, DescribedConsumer, DescribedConsumerGroup, DescribedTopic, Refusal, Reply,
};
use slipring_protocol::error_code::ErrorCode;

use super::consumer_group_heartbeat::words;
use super::describe_groups::GROUP_OPERATIONS;
use super::groups::{name, nullable_text, text};
use crate::controller::view::GROUP_VERSION;
use crate::coordinator;
use crate::net::connection::Closed;
use crate::router::Request;
use crate::runtime::conn::Piece;

/// Handles one request.
pub async fn handle(request: Request<'_>) -> Result<Vec<Piece>, Closed> {
    let body: ConsumerGroupDescribeRequest = request.decode()?;
    let version = request.header.version;
    let is_enabled = request.shard.view().image().feature(GROUP_VERSION) >= 1;
    let mut groups = Vec::with_capacity(body.group_ids.len());
    for id in &body.group_ids {
        let described = if !is_enabled {
            Err(ErrorCode::UnsupportedVersion.into())
        } else if id.is_empty() {
            Err(ErrorCode::InvalidGroupId.into())
        } else {
            match coordinator::ask(request.shard, id, Command::ConsumerDescribe(name(id))).await {
                Reply::ConsumerDescribe(described) => described,
                _ => unreachable!("descriptions are answered as such"),
            }
        };
        groups.push(answer(id, described, version, body.include_authorized_operations));
    }
    request.respond(&ConsumerGroupDescribeResponse::default().with_groups(groups))
}

fn answer(
    id: &GroupId,
    described: Result<DescribedConsumerGroup, Refusal>,
    version: i16,
    wants_operations: bool,
) -> DescribedGroup {
    let answer = DescribedGroup::default().with_group_id(id.clone());
    match described {
        Err(refusal) => {
            let message = (!refusal.message.is_empty()).then(|| words(refusal.clone()));
            answer.with_error_code(refusal.error.code()).with_error_message(message)
        }
        Ok(group) => answer
            .with_group_state(StrBytes::from_static_str(group.state))
            .with_group_epoch(group.epoch)
            .with_assignment_epoch(group.target_epoch)
            .with_assignor_name(StrBytes::from_static_str(group.assignor))
            .with_members(group.members.into_iter().map(|found| member(found, version)).collect())
            .with_authorized_operations(if wants_operations { GROUP_OPERATIONS } else { i32::MIN }),
    }
}

fn member(found: DescribedConsumer, version: i16) -> Member {
    let said = &found.metadata;
    let mut member = Member::default()
        .with_member_id(text(&found.member_id))
        .with_instance_id(nullable_text(said.instance_id.as_ref()))
        .with_rack_id(nullable_text(said.rack_id.as_ref()))
        .with_member_epoch(found.epoch)
        .with_client_id(text(&said.client_id))
        .with_client_host(text(&said.client_host))
        .with_subscribed_topic_names(said.topics.iter().map(|topic| TopicName(text(topic))).collect())
        .with_subscribed_topic_regex(nullable_text(said.regex.as_ref()))
        .with_assignment(assignment(found.assignment))
        .with_target_assignment(assignment(found.target));
    if version >= 1 {
        member.member_type = i8::from(said.classic.is_none());
    }
    member
}

fn assignment(topics: Vec<DescribedTopic>) -> Assignment {
    let topics = topics.into_iter().map(|topic| {
        TopicPartitions::default()
            .with_topic_id(topic.id.0)
            .with_topic_name(TopicName(text(&topic.name)))
            .with_partitions(topic.partitions.iter().map(|partition| partition.0).collect())
    });
    Assignment::default().with_topic_partitions(topics.collect())
}
