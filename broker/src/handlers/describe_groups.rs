//! DescribeGroups (key 15), v0-6. v3 authorised operations · v4 static members · v5 flexible · v6 GROUP_ID_NOT_FOUND (KIP-1043).
//! Each group is asked at its coordinator.

use std::sync::Arc;

use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::{DescribeGroupsRequest, DescribeGroupsResponse, GroupId};
use kafka_protocol::protocol::StrBytes;
use slipring_machine::group::{self, Command, Reply};
use slipring_protocol::error_code::ErrorCode;

use super::groups::{name, nullable_text, text};
use crate::coordinator;
use crate::net::connection::Closed;
use crate::router::Request;
use crate::runtime::conn::Piece;

/// Operations on a group that an unsecured broker allows, as a bit field of Kafka's `AclOperation` codes: read, delete,
/// describe, describe configs, alter configs.
pub(super) const GROUP_OPERATIONS: i32 = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11;

/// Handles one request.
pub async fn handle(request: Request<'_>) -> Result<Vec<Piece>, Closed> {
    let body: DescribeGroupsRequest = request.decode()?;
    let version = request.header.version;
    let mut groups = Vec::with_capacity(body.groups.len());
    for id in &body.groups {
        let command = Command::Describe(vec![name(id)]);
        let mut answer = match coordinator::ask(request.shard, id, command).await {
            Reply::Describe(Ok(mut described)) => {
                match described.pop().and_then(|(_, described)| described) {
                    Some(described) => found(id, described, version),
                    None => missing(id, version),
                }
            }
            Reply::Describe(Err(error)) => {
                DescribedGroup::default().with_group_id(id.clone()).with_error_code(error.code())
            }
            _ => unreachable!("descriptions are answered as such"),
        };
        if version >= 3 && body.include_authorized_operations && answer.error_code == ErrorCode::None.code() {
            answer.authorized_operations = GROUP_OPERATIONS;
        }
        groups.push(answer);
    }
    request.respond(&DescribeGroupsResponse::default().with_groups(groups))
}

fn found(id: &GroupId, described: group::DescribedGroup, version: i16) -> DescribedGroup {
    let members = described.members.into_iter().map(|member| {
        DescribedGroupMember::default()
            .with_member_id(text(&member.member_id))
            .with_group_instance_id(nullable_text(member.instance_id.as_ref()).filter(|_| version >= 4))
            .with_client_id(text(&member.client_id))
            .with_client_host(text(&member.client_host))
            .with_member_metadata(member.metadata)
            .with_member_assignment(member.assignment)
    });
    DescribedGroup::default()
        .with_group_id(id.clone())
        .with_group_state(StrBytes::from_static_str(described.state))
        .with_protocol_type(text(&described.protocol_type))
        .with_protocol_data(text(&described.protocol))
        .with_members(members.collect())
}

/// A group that is not there is dead to older clients.
fn missing(id: &GroupId, version: i16) -> DescribedGroup {
    let dead = DescribedGroup::default()
        .with_group_id(id.clone())
        .with_group_state(StrBytes::from_static_str("Dead"));
    if version < 6 {
        return dead;
    }
    let message: Arc<str> = format!("Group {} not found.", id.as_str()).into();
    dead.with_error_code(ErrorCode::GroupIdNotFound.code()).with_error_message(Some(text(&message)))
}
