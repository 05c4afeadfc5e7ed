//! JoinGroup (key 11), v0-9. v1 rebalance time-out · v4 member id required · v5 static members · v6 flexible · v7 protocol type ·
//! v8 reason · v9 skip assignment (KIP-814). Answered when the group has a generation; decided by the group's coordinator.

use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::{JoinGroupRequest, JoinGroupResponse};
use slipring_machine::group::{Command, Join, JoinReply, Reply};

use super::groups::{name, nullable_name, nullable_text, owned, text};
use crate::coordinator;
use crate::net::connection::Closed;
use crate::router::Request;
use crate::runtime;
use crate::runtime::conn::Piece;

/// Handles one request.
pub async fn handle(request: Request<'_>) -> Result<Vec<Piece>, Closed> {
    let body: JoinGroupRequest = request.decode()?;
    let version = request.header.version;
    let join = Join {
        group: name(&body.group_id),
        member_id: name(&body.member_id),
        instance_id: nullable_name(body.group_instance_id.as_ref()),
        client_id: name(request.header.client_id.as_deref().unwrap_or_default()),
        client_host: format!("/{}", request.connection.peer).into(),
        session_timeout_ms: body.session_timeout_ms,
        rebalance_timeout_ms: if version == 0 { body.session_timeout_ms } else { body.rebalance_timeout_ms },
        protocol_type: name(&body.protocol_type),
        protocols: body
            .protocols
            .iter()
            .map(|protocol| (name(&protocol.name), owned(&protocol.metadata)))
            .collect(),
        requires_known_member_id: version >= 4,
        knows_skip_assignment: version >= 9,
        fresh_id: runtime::random_id(),
    };
    match coordinator::ask(request.shard, &body.group_id, Command::Join(join)).await {
        Reply::Join(reply) => request.respond(&response(reply, version)),
        _ => unreachable!("joins are answered as joins"),
    }
}

fn response(reply: JoinReply, version: i16) -> JoinGroupResponse {
    let members = reply.members.into_iter().map(|member| {
        let instance_id = nullable_text(member.instance_id.as_ref()).filter(|_| version >= 5);
        JoinGroupResponseMember::default()
            .with_member_id(text(&member.member_id))
            .with_group_instance_id(instance_id)
            .with_metadata(member.metadata)
    });
    let protocol = nullable_text(reply.protocol.as_ref());
    let mut response = JoinGroupResponse::default()
        .with_error_code(reply.error.code())
        .with_generation_id(reply.generation)
        .with_protocol_name(if version < 7 { Some(protocol.unwrap_or_default()) } else { protocol })
        .with_leader(text(&reply.leader))
        .with_member_id(text(&reply.member_id))
        .with_members(members.collect());
    if version >= 7 {
        response.protocol_type = nullable_text(reply.protocol_type.as_ref());
    }
    if version >= 9 {
        response.skip_assignment = reply.skip_assignment;
    }
    response
}
