//! ListConfigResources (key 74), v0-1. v0 lists client metrics only · v1 any kinds (KIP-1142). From this core's view; nothing hops.

use kafka_protocol::messages::list_config_resources_response::ConfigResource;
use kafka_protocol::messages::{ListConfigResourcesRequest, ListConfigResourcesResponse};
use kafka_protocol::protocol::StrBytes;
use slipring_machine::image::ConfigKind;
use slipring_protocol::error_code::ErrorCode;

use super::configs::BROKER_LOGGER;
use crate::controller::view::ClusterView;
use crate::net::connection::Closed;
use crate::router::Request;
use crate::runtime::conn::Piece;

/// What can be listed, in Kafka's order.
const KINDS: [ConfigKind; 5] =
    [ConfigKind::GROUP, ConfigKind::CLIENT_METRICS, BROKER_LOGGER, ConfigKind::BROKER, ConfigKind::TOPIC];

/// Handles one request.
pub fn handle(request: Request<'_>) -> Result<Vec<Piece>, Closed> {
    let body: ListConfigResourcesRequest = request.decode()?;
    let kinds: Vec<ConfigKind> = match request.header.version {
        0 => vec![ConfigKind::CLIENT_METRICS],
        _ if body.resource_types.is_empty() => KINDS.to_vec(),
        _ => KINDS.into_iter().filter(|kind| body.resource_types.contains(&kind.0)).collect(),
    };
    let response = ListConfigResourcesResponse::default();
    if body.resource_types.iter().any(|kind| !KINDS.contains(&ConfigKind(*kind))) {
        return request.respond(&response.with_error_code(ErrorCode::UnsupportedVersion.code()));
    }
    let view = request.shard.view();
    let resources = kinds.into_iter().flat_map(|kind| {
        names(&view, kind).into_iter().map(move |name| {
            ConfigResource::default()
                .with_resource_name(StrBytes::from_string(name))
                .with_resource_type(kind.0)
        })
    });
    request.respond(&response.with_config_resources(resources.collect()))
}

/// Topics and brokers always have configs; groups and subscriptions exist only by theirs.
fn names(view: &ClusterView, kind: ConfigKind) -> Vec<String> {
    match kind {
        ConfigKind::TOPIC => view.topics().map(|topic| topic.name.to_string()).collect(),
        ConfigKind::BROKER | BROKER_LOGGER => view.brokers().map(|broker| broker.id.to_string()).collect(),
        kind => {
            let resources = view.image().config_resources();
            let mut names: Vec<String> = resources
                .filter(|(resource, _)| resource.kind == kind)
                .map(|(resource, _)| resource.name.to_string())
                .collect();
            names.sort();
            names
        }
    }
}
