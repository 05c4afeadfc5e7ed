//! LeaveGroup (key 13), v0-5. v3 many members, static ones by their instance (KIP-345) · v4 flexible · v5 reason. Decided by
//! the group's coordinator.

use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::{LeaveGroupRequest, LeaveGroupResponse};
use slipring_machine::group::{Command, Leave, LeavingMember, Reply};
use slipring_protocol::error_code::ErrorCode;

use super::groups::{name, nullable_name, nullable_text, text};
use crate::coordinator;
use crate::net::connection::Closed;
use crate::router::Request;
use crate::runtime::conn::Piece;

/// From this version on the request names many members and the answer says what became of each.
const MEMBERS_FROM: i16 = 3;

/// Handles one request.
pub async fn handle(request: Request<'_>) -> Result<Vec<Piece>, Closed> {
    let body: LeaveGroupRequest = request.decode()?;
    let version = request.header.version;
    let members = if version >= MEMBERS_FROM {
        let leaving = body.members.iter().map(|member| LeavingMember {
            member_id: name(&member.member_id),
            instance_id: nullable_name(member.group_instance_id.as_ref()),
        });
        leaving.collect()
    } else {
        vec![LeavingMember { member_id: name(&body.member_id), instance_id: None }]
    };
    let leave = Leave { group: name(&body.group_id), members };
    let outcome = match coordinator::ask(request.shard, &body.group_id, Command::Leave(leave)).await {
        Reply::Leave(outcome) => outcome,
        _ => unreachable!("leaves are answered as leaves"),
    };
    let mut response = LeaveGroupResponse::default();
    match outcome {
        Err(error) => response.error_code = error.code(),
        Ok(members) if version < MEMBERS_FROM => {
            let only = members.first().map_or(ErrorCode::None, |(_, error)| *error);
            response.error_code = only.code();
        }
        Ok(members) => {
            let answer = |(member, error): (LeavingMember, ErrorCode)| {
                MemberResponse::default()
                    .with_member_id(text(&member.member_id))
                    .with_group_instance_id(nullable_text(member.instance_id.as_ref()))
                    .with_error_code(error.code())
            };
            response.members = members.into_iter().map(answer).collect();
        }
    }
    request.respond(&response)
}
