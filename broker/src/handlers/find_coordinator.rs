//! FindCoordinator (key 10), v0-6. v1 key types · v3 flexible · v4 many keys at once (KIP-699) · v6 share groups' keys.
//! Groups: the broker that leads their partition of `__consumer_offsets`, which is made at the first question and waited for,
//! where Kafka answers COORDINATOR_NOT_AVAILABLE and makes it behind the answer. Missing: transactions and share groups, whose
//! coordinators are not built: COORDINATOR_NOT_AVAILABLE (15).

use std::rc::Rc;

use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{BrokerId as WireBrokerId, FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;
use slipring_protocol::error_code::ErrorCode;

use super::create_topics;
use crate::config::internal_topic::OFFSETS_TOPIC;
use crate::controller::view::{BrokerView, ClusterView};
use crate::coordinator::partition_of;
use crate::net::connection::Closed;
use crate::router::Request;
use crate::runtime::conn::Piece;
use crate::shard::Shard;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;
/// From this version on keys come in a list.
const LIST_FROM: i16 = 4;
/// From this version on there are share groups' keys.
const SHARES_FROM: i16 = 6;

/// Handles one request.
pub async fn handle(request: Request<'_>) -> Result<Vec<Piece>, Closed> {
    let body: FindCoordinatorRequest = request.decode()?;
    let version = request.header.version;
    let single = [body.key.clone()];
    let keys: &[StrBytes] = if version >= LIST_FROM { &body.coordinator_keys } else { &single };
    if body.key_type == GROUP && !keys.is_empty() {
        create_offsets_topic(request.shard).await;
    }
    let view = request.shard.view();
    let found = |key| match find(request.shard, &view, body.key_type, key, version) {
        Ok(broker) => (ErrorCode::None, answer(broker)),
        Err(error) => (error, Coordinator::default().with_node_id(WireBrokerId(-1)).with_port(-1)),
    };
    let response = if version >= LIST_FROM {
        // Kafka gives no text with an error that it found key by key, only with one of the whole request.
        let text = |error| if is_known(body.key_type) { "" } else { ErrorCode::message(error) };
        let coordinators = keys.iter().map(|key| {
            let (error, coordinator) = found(key);
            coordinator
                .with_key(key.clone())
                .with_error_code(error.code())
                .with_error_message(Some(StrBytes::from_static_str(text(error))))
        });
        FindCoordinatorResponse::default().with_coordinators(coordinators.collect())
    } else {
        let (error, only) = found(&body.key);
        // Where there is no error, Kafka gives its name.
        let text = if error == ErrorCode::None { "NONE" } else { error.message() };
        FindCoordinatorResponse::default()
            .with_error_code(error.code())
            .with_error_message((version >= 1).then(|| StrBytes::from_static_str(text)))
            .with_node_id(only.node_id)
            .with_host(only.host)
            .with_port(only.port)
    };
    request.respond(&response)
}

/// Makes the topic of groups and offsets if it is not there. Failures show in the look-up.
async fn create_offsets_topic(shard: &Rc<Shard>) {
    if shard.view().topic(OFFSETS_TOPIC).is_none() {
        create_topics::create_automatically(shard, vec![OFFSETS_TOPIC.into()]).await;
    }
}

fn answer(broker: &BrokerView) -> Coordinator {
    Coordinator::default()
        .with_node_id(WireBrokerId(broker.id.0))
        .with_host(StrBytes::from_string(broker.host.clone()))
        .with_port(i32::from(broker.port))
}

const fn is_known(key_type: i8) -> bool {
    matches!(key_type, GROUP | TRANSACTION | SHARE)
}

fn find<'a>(
    shard: &Shard,
    view: &'a ClusterView,
    key_type: i8,
    key: &str,
    version: i16,
) -> Result<&'a BrokerView, ErrorCode> {
    match key_type {
        GROUP => leader(shard, view, key).ok_or(ErrorCode::CoordinatorNotAvailable),
        SHARE if version < SHARES_FROM => Err(ErrorCode::InvalidRequest),
        TRANSACTION | SHARE => Err(ErrorCode::CoordinatorNotAvailable),
        _ => Err(ErrorCode::InvalidRequest),
    }
}

fn leader<'a>(shard: &Shard, view: &'a ClusterView, group: &str) -> Option<&'a BrokerView> {
    let partition = view.topic(OFFSETS_TOPIC)?.partition(partition_of(shard, group)?)?;
    view.brokers().find(|broker| broker.id == partition.leader && !broker.fenced)
}
