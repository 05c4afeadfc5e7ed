//! Metadata (key 3), v0-13. From this core's view, without a hop; a missing topic is created first where the client and
//! the broker allow it.
//!
//! v0 no topics = all · v1 null = all, controller id · v4 allow_auto_topic_creation · v8 authorised operations · v9 flexible ·
//! v10 topic ids, unusable before v12 · v11 cluster operations gone · v13 top-level error.
//! Behaviour beyond Kafka's: automatic creation is waited for, so the first answer holds the topic where Kafka's first
//! answer is UNKNOWN_TOPIC_OR_PARTITION (3) and the client asks again.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{BrokerId as WireBrokerId, MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::ids::{BrokerId, TopicId};

use super::create_topics;
use crate::controller::view::{ClusterView, TopicView, is_internal};
use crate::net::connection::Closed;
use crate::router::Request;
use crate::runtime::conn::Piece;
use crate::shard::Shard;

/// Topic ids may be asked for from this version on; v10 and v11 have the field but Kafka refuses its use.
const IDS_FROM: i16 = 12;

/// Operations on a topic that an unsecured broker allows, as a bit field of Kafka's `AclOperation` codes: read, write,
/// create, delete, alter, describe, describe configs, alter configs.
pub(super) const TOPIC_OPERATIONS: i32 =
    1 << 3 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10 | 1 << 11;
/// The same for the cluster: create, alter, describe, cluster action, describe configs, alter configs, idempotent write.
pub(super) const CLUSTER_OPERATIONS: i32 = 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12;

/// Handles one request.
pub async fn handle(request: Request<'_>) -> Result<Vec<Piece>, Closed> {
    let body: MetadataRequest = request.decode()?;
    let version = request.header.version;
    let wanted = match &body.topics {
        None => None,
        Some(topics) if topics.is_empty() && version == 0 => None,
        Some(topics) => Some(topics),
    };
    let topics = match wanted {
        None => {
            let view = request.shard.view();
            view.topics().map(|topic| found(topic, &body)).collect()
        }
        Some(topics) if version < IDS_FROM && topics.iter().any(names_by_id) => {
            return request.respond(&refuse_all(topics, ErrorCode::InvalidRequest));
        }
        Some(topics) if topics.iter().any(|topic| !topic.topic_id.is_nil()) => {
            by_id(request.shard, topics, &body)
        }
        Some(topics) if topics.iter().any(|topic| topic.name.is_none()) => {
            return request.respond(&refuse_all(topics, ErrorCode::UnknownServerError));
        }
        Some(topics) => {
            create_missing(request.shard, &body, topics).await;
            let view = request.shard.view();
            let names: Vec<&TopicName> = topics.iter().filter_map(|topic| topic.name.as_ref()).collect();
            distinct(names).map(|name| by_name(&view, name, &body)).collect()
        }
    };
    let view = request.shard.view();
    let mut response = MetadataResponse::default()
        .with_brokers(brokers(&view))
        .with_cluster_id(Some(StrBytes::from_string(view.cluster_id().to_owned())))
        .with_controller_id(WireBrokerId(view.controller_id().0))
        .with_topics(topics);
    if (8..=10).contains(&version) && body.include_cluster_authorized_operations {
        response.cluster_authorized_operations = CLUSTER_OPERATIONS;
    }
    request.respond(&response)
}

fn names_by_id(topic: &MetadataRequestTopic) -> bool {
    topic.name.is_none() || !topic.topic_id.is_nil()
}

/// The request as a whole is refused: nothing is told of the cluster either.
fn refuse_all(topics: &[MetadataRequestTopic], error: ErrorCode) -> MetadataResponse {
    let refuse = |topic: &MetadataRequestTopic| {
        MetadataResponseTopic::default()
            .with_error_code(error.code())
            .with_name(Some(topic.name.clone().unwrap_or_default()))
            .with_topic_id(topic.topic_id)
    };
    MetadataResponse::default()
        .with_cluster_id(None)
        .with_controller_id(WireBrokerId(-1))
        .with_topics(topics.iter().map(refuse).collect())
        .with_error_code(error.code())
}

/// Creates the topics that are asked for by name and are not there, if both sides allow it. Failures show in the look-up.
async fn create_missing(shard: &Rc<Shard>, body: &MetadataRequest, topics: &[MetadataRequestTopic]) {
    if !(body.allow_auto_topic_creation && shard.config.topics.creation_automatic) {
        return;
    }
    let view = shard.view();
    let missing: BTreeSet<&str> = topics
        .iter()
        .filter_map(|topic| topic.name.as_ref().map(|name| name.as_str()))
        .filter(|name| view.topic(name).is_none() && create_topics::is_valid_name(name))
        .collect();
    if !missing.is_empty() {
        create_topics::create_automatically(shard, missing.into_iter().map(Arc::from).collect()).await;
    }
}

/// The topics of these ids; where one id is asked for, names are not looked at.
fn by_id(
    shard: &Shard,
    topics: &[MetadataRequestTopic],
    body: &MetadataRequest,
) -> Vec<MetadataResponseTopic> {
    let view = shard.view();
    let ids = topics.iter().map(|topic| topic.topic_id).filter(|id| !id.is_nil()).collect();
    let answer = |id| match view.topic_by_id(TopicId(id)) {
        Some(topic) => found(topic, body),
        None => MetadataResponseTopic::default()
            .with_error_code(ErrorCode::UnknownTopicId.code())
            .with_name(None)
            .with_topic_id(id),
    };
    distinct(ids).map(answer).collect()
}

fn by_name(view: &ClusterView, name: &TopicName, body: &MetadataRequest) -> MetadataResponseTopic {
    let error = match view.topic(name) {
        Some(topic) => return found(topic, body),
        None if !create_topics::is_valid_name(name) => ErrorCode::InvalidTopicException,
        None => ErrorCode::UnknownTopicOrPartition,
    };
    let mut response = MetadataResponseTopic::default()
        .with_error_code(error.code())
        .with_name(Some(name.clone()))
        .with_is_internal(is_internal(name));
    if body.include_topic_authorized_operations {
        response.topic_authorized_operations = TOPIC_OPERATIONS;
    }
    response
}

/// Each once, in order.
fn distinct<T: Ord + Clone>(asked: Vec<T>) -> impl Iterator<Item = T> {
    let mut seen = BTreeSet::new();
    asked.into_iter().filter(move |item| seen.insert(item.clone()))
}

fn found(topic: &Arc<TopicView>, body: &MetadataRequest) -> MetadataResponseTopic {
    let partitions = (0..).zip(&topic.partitions).map(|(index, partition)| {
        let error = if partition.leader.0 < 0 { ErrorCode::LeaderNotAvailable } else { ErrorCode::None };
        MetadataResponsePartition::default()
            .with_error_code(error.code())
            .with_partition_index(index)
            .with_leader_id(WireBrokerId(partition.leader.0))
            .with_leader_epoch(partition.leader_epoch.0)
            .with_replica_nodes(ids(&partition.replicas))
            .with_isr_nodes(ids(&partition.isr))
            .with_offline_replicas(ids(&partition.offline))
    });
    let mut response = MetadataResponseTopic::default()
        .with_name(Some(TopicName(StrBytes::from_string(topic.name.to_string()))))
        .with_topic_id(topic.id.0)
        .with_is_internal(topic.is_internal())
        .with_partitions(partitions.collect());
    if body.include_topic_authorized_operations {
        response.topic_authorized_operations = TOPIC_OPERATIONS;
    }
    response
}

fn ids(brokers: &[BrokerId]) -> Vec<WireBrokerId> {
    brokers.iter().map(|broker| WireBrokerId(broker.0)).collect()
}

fn brokers(view: &ClusterView) -> Vec<MetadataResponseBroker> {
    view.brokers()
        .filter(|broker| !broker.fenced)
        .map(|broker| {
            MetadataResponseBroker::default()
                .with_node_id(WireBrokerId(broker.id.0))
                .with_host(StrBytes::from_string(broker.host.clone()))
                .with_port(i32::from(broker.port))
                .with_rack(broker.rack.clone().map(StrBytes::from_string))
        })
        .collect()
}
