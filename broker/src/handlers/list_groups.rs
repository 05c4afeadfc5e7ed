//! ListGroups (key 16), v0-5. v3 flexible · v4 state filter (KIP-518) · v5 type filter (KIP-848). All cores that own a partition
//! of `__consumer_offsets` are asked.

use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{ListGroupsRequest, ListGroupsResponse};
use kafka_protocol::protocol::StrBytes;
use slipring_machine::group::List;

use super::groups::{group_id, text};
use crate::coordinator;
use crate::net::connection::Closed;
use crate::router::Request;
use crate::runtime::conn::Piece;

/// Handles one request.
pub async fn handle(request: Request<'_>) -> Result<Vec<Piece>, Closed> {
    let body: ListGroupsRequest = request.decode()?;
    let version = request.header.version;
    let filters = List {
        states: body.states_filter.iter().map(ToString::to_string).collect(),
        types: body.types_filter.iter().map(ToString::to_string).collect(),
    };
    let groups = match coordinator::list(request.shard, &filters).await {
        Ok(groups) => groups,
        Err(error) => {
            return request.respond(&ListGroupsResponse::default().with_error_code(error.code()));
        }
    };
    let groups = groups.into_iter().map(|group| {
        let mut listed = ListedGroup::default()
            .with_group_id(group_id(&group.group))
            .with_protocol_type(text(&group.protocol_type));
        if version >= 4 {
            listed.group_state = StrBytes::from_static_str(group.state);
        }
        if version >= 5 {
            listed.group_type = StrBytes::from_static_str(group.group_type);
        }
        listed
    });
    request.respond(&ListGroupsResponse::default().with_groups(groups.collect()))
}
