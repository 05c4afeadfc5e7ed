//! SyncGroup (key 14), v0-5. v3 static members · v4 flexible · v5 protocol type and name, which must be there (KIP-559).
//! Decided by the group's coordinator.

use kafka_protocol::messages::{SyncGroupRequest, SyncGroupResponse};
use slipring_machine::group::{Command, Reply, Sync};
use slipring_protocol::error_code::ErrorCode;

use super::groups::{member, name, nullable_name, nullable_text, owned};
use crate::coordinator;
use crate::net::connection::Closed;
use crate::router::Request;
use crate::runtime::conn::Piece;

/// Handles one request.
pub async fn handle(request: Request<'_>) -> Result<Vec<Piece>, Closed> {
    let body: SyncGroupRequest = request.decode()?;
    let version = request.header.version;
    if version >= 5 && (body.protocol_type.is_none() || body.protocol_name.is_none()) {
        let error = ErrorCode::InconsistentGroupProtocol.code();
        return request.respond(&SyncGroupResponse::default().with_error_code(error));
    }
    let sync = Sync {
        member: member(&body.group_id, body.generation_id, &body.member_id, body.group_instance_id.as_ref()),
        protocol_type: nullable_name(body.protocol_type.as_ref()),
        protocol: nullable_name(body.protocol_name.as_ref()),
        assignments: body
            .assignments
            .iter()
            .map(|assigned| (name(&assigned.member_id), owned(&assigned.assignment)))
            .collect(),
    };
    let reply = match coordinator::ask(request.shard, &body.group_id, Command::Sync(sync)).await {
        Reply::Sync(reply) => reply,
        _ => unreachable!("syncs are answered as syncs"),
    };
    let mut response =
        SyncGroupResponse::default().with_error_code(reply.error.code()).with_assignment(reply.assignment);
    if version >= 5 {
        response.protocol_type = nullable_text(reply.protocol_type.as_ref());
        response.protocol_name = nullable_text(reply.protocol.as_ref());
    }
    request.respond(&response)
}
