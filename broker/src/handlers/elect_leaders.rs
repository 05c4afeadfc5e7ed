//! ElectLeaders (key 43), v0-2 (KIP-460). v1 unclean elections and a top-level error · v2 flexible. Decided by the controller.
//! Behaviour: a partition whose leader is as wanted → ELECTION_NOT_NEEDED, or nothing where all partitions were asked for.

use kafka_protocol::messages::elect_leaders_response::{PartitionResult, ReplicaElectionResult};
use kafka_protocol::messages::{ElectLeadersRequest, ElectLeadersResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use slipring_machine::controller::{ApiError, Command, ElectLeaders, ElectionKind, ElectionResult, Reply};
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::ids::PartitionIndex;

use super::control;
use crate::net::connection::Closed;
use crate::router::Request;
use crate::runtime::conn::Piece;

const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;

/// Handles one request.
pub async fn handle(request: Request<'_>) -> Result<Vec<Piece>, Closed> {
    let body: ElectLeadersRequest = request.decode()?;
    let kind = match body.election_type {
        _ if request.header.version == 0 => ElectionKind::Preferred,
        PREFERRED => ElectionKind::Preferred,
        UNCLEAN => ElectionKind::Unclean,
        other => {
            let message = format!("Unknown election type {other}");
            return request.respond(&refuse_all(&body, &ApiError::new(ErrorCode::InvalidRequest, message)));
        }
    };
    let topics = body.topic_partitions.as_ref().map(|topics| {
        let partitions = |indexes: &[i32]| indexes.iter().copied().map(PartitionIndex).collect();
        topics.iter().map(|topic| (topic.topic.to_string(), partitions(&topic.partitions))).collect()
    });
    let command = Command::ElectLeaders(ElectLeaders { kind, topics });
    match control::execute(request.shard, command).await {
        Some(Reply::ElectLeaders(results)) => {
            let results = results.into_iter().map(answer).collect();
            request.respond(&ElectLeadersResponse::default().with_replica_election_results(results))
        }
        _ => request.respond(&refuse_all(&body, &control::stopping())),
    }
}

fn answer(result: ElectionResult) -> ReplicaElectionResult {
    let partition = |(index, result): (PartitionIndex, Result<(), ApiError>)| {
        let response = PartitionResult::default().with_partition_id(index.0).with_error_message(None);
        match result {
            Ok(()) => response,
            Err(error) => {
                response.with_error_code(error.code.code()).with_error_message(control::message(&error))
            }
        }
    };
    ReplicaElectionResult::default()
        .with_topic(TopicName(StrBytes::from_string(result.topic)))
        .with_partition_result(result.partitions.into_iter().map(partition).collect())
}

fn refuse_all(body: &ElectLeadersRequest, error: &ApiError) -> ElectLeadersResponse {
    let topics = body.topic_partitions.iter().flatten().map(|topic| {
        let partitions = topic.partitions.iter().map(|&index| {
            PartitionResult::default()
                .with_partition_id(index)
                .with_error_code(error.code.code())
                .with_error_message(control::message(error))
        });
        ReplicaElectionResult::default()
            .with_topic(topic.topic.clone())
            .with_partition_result(partitions.collect())
    });
    let response = ElectLeadersResponse::default().with_replica_election_results(topics.collect());
    response.with_error_code(error.code.code())
}
