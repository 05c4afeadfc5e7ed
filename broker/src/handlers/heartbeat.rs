//! Heartbeat (key 12), v0-4. v3 static members · v4 flexible. Decided by the group's coordinator; while it loads, every member
//! hears that all is well, as in Kafka.

use kafka_protocol::messages::{HeartbeatRequest, HeartbeatResponse};
use slipring_machine::group::{Command, Reply};

use super::groups::member;
use crate::coordinator;
use crate::net::connection::Closed;
use crate::router::Request;
use crate::runtime::conn::Piece;

/// Handles one request.
pub async fn handle(request: Request<'_>) -> Result<Vec<Piece>, Closed> {
    let body: HeartbeatRequest = request.decode()?;
    let member = member(&body.group_id, body.generation_id, &body.member_id, body.group_instance_id.as_ref());
    match coordinator::ask(request.shard, &body.group_id, Command::Heartbeat(member)).await {
        Reply::Heartbeat(error) => {
            request.respond(&HeartbeatResponse::default().with_error_code(error.code()))
        }
        _ => unreachable!("heartbeats are answered as heartbeats"),
    }
}
