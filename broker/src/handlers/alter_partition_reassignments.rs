//! AlterPartitionReassignments (key 45), v0-1 (KIP-455). v1 may forbid another number of replicas (KIP-860). Decided by the
//! controller. Missing: replicas that move to other brokers.

use kafka_protocol::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use kafka_protocol::messages::{AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse};
use kafka_protocol::protocol::StrBytes;
use slipring_machine::controller::{AlterReassignments, Command, Reassignment, Reply};
use slipring_protocol::ids::{BrokerId, PartitionIndex};

use super::control;
use crate::net::connection::Closed;
use crate::router::Request;
use crate::runtime::conn::Piece;

/// Handles one request.
pub async fn handle(request: Request<'_>) -> Result<Vec<Piece>, Closed> {
    let body: AlterPartitionReassignmentsRequest = request.decode()?;
    let partitions = body.topics.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| Reassignment {
            topic: topic.name.to_string(),
            partition: PartitionIndex(partition.partition_index),
            replicas: partition
                .replicas
                .as_ref()
                .map(|replicas| replicas.iter().map(|broker| BrokerId(broker.0)).collect()),
        })
    });
    let command = AlterReassignments {
        partitions: partitions.collect(),
        may_change_factor: request.header.version == 0 || body.allow_replication_factor_change,
    };
    let response = AlterPartitionReassignmentsResponse::default()
        .with_allow_replication_factor_change(
            body.allow_replication_factor_change || request.header.version == 0,
        )
        .with_error_message((body.topics.is_empty()).then(StrBytes::default));
    let reply = control::execute(request.shard, Command::AlterReassignments(command)).await;
    let Some(Reply::AlterReassignments(results)) = reply else {
        let error = control::stopping();
        let response = response.with_error_code(error.code.code());
        return request.respond(&response.with_error_message(control::message(&error)));
    };
    let mut results = results.into_iter();
    let topics = body.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().zip(results.by_ref()).map(|(partition, result)| {
            let response = ReassignablePartitionResponse::default()
                .with_partition_index(partition.partition_index)
                .with_error_message(None);
            match result {
                Ok(()) => response,
                Err(error) => {
                    let message = error.message.map(StrBytes::from_string);
                    response.with_error_code(error.code.code()).with_error_message(message)
                }
            }
        });
        ReassignableTopicResponse::default()
            .with_name(topic.name.clone())
            .with_partitions(partitions.collect())
    });
    request.respond(&response.with_responses(topics.collect()))
}
