//! DeleteGroups (key 42), v0-2. v2 flexible. Each group is asked at its coordinator; only empty ones go, with their offsets.

use std::collections::BTreeSet;

use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::{DeleteGroupsRequest, DeleteGroupsResponse};
use slipring_machine::group::{Command, Reply};
use slipring_protocol::error_code::ErrorCode;

use super::groups::name;
use crate::coordinator;
use crate::net::connection::Closed;
use crate::router::Request;
use crate::runtime::conn::Piece;

/// Handles one request.
pub async fn handle(request: Request<'_>) -> Result<Vec<Piece>, Closed> {
    let body: DeleteGroupsRequest = request.decode()?;
    let mut results = Vec::with_capacity(body.groups_names.len());
    let mut seen = BTreeSet::new();
    // Named twice, it is deleted and answered once.
    for id in body.groups_names.iter().filter(|id| seen.insert(id.as_str())) {
        let command = Command::DeleteGroups(vec![name(id)]);
        let error = match coordinator::ask(request.shard, id, command).await {
            Reply::DeleteGroups(Ok(outcomes)) => {
                outcomes.first().map_or(ErrorCode::None, |(_, error)| *error)
            }
            Reply::DeleteGroups(Err(error)) => error,
            _ => unreachable!("deletions of groups are answered as such"),
        };
        results.push(DeletableGroupResult::default().with_group_id(id.clone()).with_error_code(error.code()));
    }
    request.respond(&DeleteGroupsResponse::default().with_results(results))
}
