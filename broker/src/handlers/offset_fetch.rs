//! OffsetFetch (key 9), v1-10. v2 all topics · v5 leader epoch · v6 flexible · v7 require-stable · v8 many groups (KIP-709) · v9
//! member epochs · v10 topic ids. Each group is asked at its coordinator. Every answer is stable: no transaction can be open yet.

use std::sync::Arc;

use slipring_machine::group::{Command, Fetch, FetchedTopic, Reply};
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::group_records::CommittedOffset;
use slipring_protocol::ids::TopicId;
use slipring_protocol::offsets::{
    OffsetFetchGroup, OffsetFetchGroupResponse, OffsetFetchPartition, OffsetFetchRequest,
    OffsetFetchResponse, OffsetFetchTopicResponse, TOPIC_IDS_FROM,
};
use slipring_protocol::wire::WireStr;

use super::groups::{name, text};
use crate::controller::view::ClusterView;
use crate::coordinator;
use crate::net::connection::Closed;
use crate::router::Request;
use crate::runtime::conn::Piece;

/// Handles one request.
pub async fn handle(request: Request<'_>) -> Result<Vec<Piece>, Closed> {
    let version = request.header.version;
    let body = OffsetFetchRequest::decode(version, request.body.clone())
        .map_err(|error| Closed::Protocol(format!("OffsetFetch v{version}: {error}")))?;
    let mut response = OffsetFetchResponse::default();
    for group in &body.groups {
        response.groups.push(fetch(&request, group, version).await);
    }
    if version == 1 {
        // An error of the group has no place but its partitions.
        for group in &mut response.groups {
            let error = group.error;
            let partitions = group.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
            partitions.filter(|_| error != ErrorCode::None).for_each(|partition| partition.error = error);
        }
    }
    request.respond_with(|out| response.encode(version, out))
}

async fn fetch(request: &Request<'_>, group: &OffsetFetchGroup, version: i16) -> OffsetFetchGroupResponse {
    let view = request.shard.view();
    // Ids of topics that are not there are answered here.
    let (mut known, mut topics) = (Vec::new(), Vec::new());
    for topic in group.topics.iter().flatten() {
        let found = if version >= TOPIC_IDS_FROM {
            view.topic_by_id(topic.topic_id).map(|found| found.name.clone())
        } else {
            Some(name(&topic.name))
        };
        let without = |index| OffsetFetchPartition::without(index, ErrorCode::UnknownTopicId);
        topics.push(OffsetFetchTopicResponse {
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            partitions: if found.is_none() {
                topic.partitions.iter().map(|index| without(*index)).collect()
            } else {
                Vec::new()
            },
        });
        if let Some(found) = found {
            known.push((topics.len() - 1, found, topic.partitions.clone()));
        }
    }
    let asked = known.iter().map(|(_, name, partitions)| (name.clone(), partitions.clone())).collect();
    // Kafka's rule for nobody in particular.
    let member = (group.member_id.is_some() || group.member_epoch >= 0)
        .then(|| (group.member_id.as_deref().map(name).unwrap_or_default(), group.member_epoch));
    let fetch =
        Fetch { group: name(&group.group_id), member, topics: group.topics.is_some().then_some(asked) };
    let error = match coordinator::ask(request.shard, &group.group_id, Command::Fetch(fetch)).await {
        Reply::Fetch(Ok(found)) if group.topics.is_none() => {
            topics = found.into_iter().filter_map(|topic| whole(&view, topic, version)).collect();
            ErrorCode::None
        }
        Reply::Fetch(Ok(found)) => {
            for ((place, ..), topic) in known.iter().zip(found) {
                topics[*place].partitions = partitions(topic, topics[*place].topic_id);
            }
            ErrorCode::None
        }
        Reply::Fetch(Err(error)) => {
            if version == 1 {
                for (place, _, partitions) in &known {
                    let without = |index| OffsetFetchPartition::without(index, error);
                    topics[*place].partitions = partitions.iter().map(|index| without(*index)).collect();
                }
            } else {
                topics.clear();
            }
            error
        }
        _ => unreachable!("fetches of offsets are answered as such"),
    };
    OffsetFetchGroupResponse { group_id: group.group_id.clone(), error, topics }
}

/// A topic of an answer with all topics; one that is gone has no id to name it by.
fn whole(view: &Arc<ClusterView>, topic: FetchedTopic, version: i16) -> Option<OffsetFetchTopicResponse> {
    let (name, topic_id) = if version >= TOPIC_IDS_FROM {
        (WireStr::default(), view.topic(&topic.name)?.id)
    } else {
        (text(&topic.name), TopicId::NONE)
    };
    Some(OffsetFetchTopicResponse { name, topic_id, partitions: partitions(topic, TopicId::NONE) })
}

/// What was committed under another id than the one asked for was committed in an earlier topic of the name
/// (`OffsetMetadataManager.isMismatchedTopicId`).
fn partitions(topic: FetchedTopic, asked: TopicId) -> Vec<OffsetFetchPartition> {
    let is_asked =
        |committed: &CommittedOffset| [asked, TopicId::NONE].contains(&committed.topic_id) || asked.is_none();
    let answer = |(index, committed): (_, Option<_>)| match committed.filter(is_asked) {
        None => OffsetFetchPartition::without(index, ErrorCode::None),
        Some(committed) => OffsetFetchPartition::committed(index, committed),
    };
    topic.partitions.into_iter().map(answer).collect()
}
