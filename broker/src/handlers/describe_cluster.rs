//! DescribeCluster (key 60), v0-2. v1 endpoint type (KIP-919): controllers are not reachable over this listener ·
//! v2 fenced brokers (KIP-1073).

use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::{BrokerId as WireBrokerId, DescribeClusterRequest, DescribeClusterResponse};
use kafka_protocol::protocol::StrBytes;
use slipring_protocol::error_code::ErrorCode;

use super::metadata::CLUSTER_OPERATIONS;
use crate::net::connection::Closed;
use crate::router::Request;
use crate::runtime::conn::Piece;

/// `endpoint_type` of brokers.
const BROKERS: i8 = 1;
/// `endpoint_type` of controllers.
const CONTROLLERS: i8 = 2;

/// Handles one request.
pub fn handle(request: Request<'_>) -> Result<Vec<Piece>, Closed> {
    let body: DescribeClusterRequest = request.decode()?;
    let refused = |error: ErrorCode, message: &'static str| {
        DescribeClusterResponse::default()
            .with_error_code(error.code())
            .with_error_message(Some(StrBytes::from_static_str(message)))
    };
    if request.header.version >= 1 && body.endpoint_type != BROKERS {
        let response = match body.endpoint_type {
            CONTROLLERS => refused(
                ErrorCode::MismatchedEndpointType,
                "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER",
            ),
            _ => refused(ErrorCode::UnsupportedEndpointType, "Unsupported endpoint type"),
        };
        return request.respond(&response.with_endpoint_type(BROKERS));
    }
    let view = request.shard.view();
    let brokers =
        view.brokers().filter(|broker| body.include_fenced_brokers || !broker.fenced).map(|broker| {
            DescribeClusterBroker::default()
                .with_broker_id(WireBrokerId(broker.id.0))
                .with_host(StrBytes::from_string(broker.host.clone()))
                .with_port(i32::from(broker.port))
                .with_rack(broker.rack.clone().map(StrBytes::from_string))
                .with_is_fenced(broker.fenced)
        });
    let mut response = DescribeClusterResponse::default()
        .with_endpoint_type(BROKERS)
        .with_cluster_id(StrBytes::from_string(view.cluster_id().to_owned()))
        .with_controller_id(WireBrokerId(view.controller_id().0))
        .with_brokers(brokers.collect());
    if body.include_cluster_authorized_operations {
        response.cluster_authorized_operations = CLUSTER_OPERATIONS;
    }
    request.respond(&response)
}
