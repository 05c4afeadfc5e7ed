//! FindCoordinator (key 10), v0-6. v1 key types · v3 flexible · v4 many keys at once (KIP-699) · v6 share groups' keys.
//! Groups: the broker that leads their partition of `__consumer_offsets`, which is made at the first question and waited for,
//! where Kafka answers COORDINATOR_NOT_AVAILABLE and makes it behind the answer. Missing: transactions and share groups, whose
//! coordinators are not built: COORDINATOR_NOT_AVAILABLE (15).

use std::rc::Rc;
use std::sync::Arc;

use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{BrokerId as WireBrokerId, FindCoordinatorRequest, FindCoordinatorResponse};
use kafka_protocol::protocol::StrBytes;
use slipring_protocol::error_code::ErrorCode;

use super::create_topics;
use crate::config::internal_topic::OFFSETS_TOPIC;
use crate::controller::view::{BrokerView, ClusterView};
use crate::coordinator::partition_for;
use crate::net::connection::Closed;
use crate::router::Request;
use crate::runtime::conn::Piece;
use crate::shard::Shard;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;
/// From this version on keys come in a list.
const LIST_FROM: i16 = 4;

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
    let mut found = keys.iter().map(|key| find(&view, body.key_type, key));
    let response = if version >= LIST_FROM {
        FindCoordinatorResponse::default().with_coordinators(found.collect())
    } else {
        let only = found.next().expect("there is a single key");
        FindCoordinatorResponse::default()
            .with_error_code(only.error_code)
            .with_error_message(only.error_message.filter(|_| version >= 1))
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

fn find(view: &Arc<ClusterView>, key_type: i8, key: &StrBytes) -> Coordinator {
    let answer = Coordinator::default().with_key(key.clone());
    let failed = |error: ErrorCode| {
        answer
            .clone()
            .with_node_id(WireBrokerId(-1))
            .with_port(-1)
            .with_error_code(error.code())
            .with_error_message(Some(StrBytes::from_static_str(error.message())))
    };
    match key_type {
        GROUP => match leader(view, key) {
            Some(broker) => answer
                .with_node_id(WireBrokerId(broker.id.0))
                .with_host(StrBytes::from_string(broker.host.clone()))
                .with_port(i32::from(broker.port)),
            None => failed(ErrorCode::CoordinatorNotAvailable),
        },
        TRANSACTION | SHARE => failed(ErrorCode::CoordinatorNotAvailable),
        _ => failed(ErrorCode::InvalidRequest),
    }
}

fn leader<'a>(view: &'a Arc<ClusterView>, group: &str) -> Option<&'a BrokerView> {
    let topic = view.topic(OFFSETS_TOPIC)?;
    let partition = topic.partition(partition_for(group, topic.partitions.len()))?;
    view.brokers().find(|broker| broker.id == partition.leader && !broker.fenced)
}
