//! UnregisterBroker (key 64), v0 (KIP-631): forgets a broker that is gone for good. Decided by the controller.

use kafka_protocol::messages::{UnregisterBrokerRequest, UnregisterBrokerResponse};
use slipring_machine::controller::{Command, Reply};
use slipring_protocol::ids::BrokerId;

use super::control;
use crate::net::connection::Closed;
use crate::router::Request;
use crate::runtime::conn::Piece;

/// Handles one request.
pub async fn handle(request: Request<'_>) -> Result<Vec<Piece>, Closed> {
    let body: UnregisterBrokerRequest = request.decode()?;
    let id = BrokerId(body.broker_id.0);
    let error = match control::execute(request.shard, Command::UnregisterBroker(id)).await {
        Some(Reply::UnregisterBroker(Ok(()))) => None,
        Some(Reply::UnregisterBroker(Err(error))) => Some(error),
        _ => Some(control::stopping()),
    };
    let response = UnregisterBrokerResponse::default();
    request.respond(&match error {
        None => response.with_error_message(None),
        Some(error) => {
            response.with_error_code(error.code.code()).with_error_message(control::message(&error))
        }
    })
}
