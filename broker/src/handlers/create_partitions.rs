//! CreatePartitions (key 37), v0-3. v2 flexible. Decided by the controller; answered when every core serves the new
//! partitions.

use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::{CreatePartitionsRequest, CreatePartitionsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use slipring_machine::controller::{
    ApiError, Command, CreatePartitions, MorePartitions, PartitionsResult, Reply,
};
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::ids::BrokerId;

use super::control;
use crate::net::connection::Closed;
use crate::router::Request;
use crate::runtime::conn::Piece;

/// Handles one request.
pub async fn handle(request: Request<'_>) -> Result<Vec<Piece>, Closed> {
    let body: CreatePartitionsRequest = request.decode()?;
    let shard = request.shard;
    let command = CreatePartitions {
        topics: body.topics.iter().map(more_partitions).collect(),
        validate_only: body.validate_only,
        placement_seed: u64::from(shard.random()),
    };
    let results = match control::execute(shard, Command::CreatePartitions(command)).await {
        Some(Reply::CreatePartitions(Ok(results))) => results,
        Some(Reply::CreatePartitions(Err(error))) => fail_all(&body, &error),
        _ => fail_all(&body, &control::stopping()),
    };
    let results = results.into_iter().map(answer);
    request.respond(&CreatePartitionsResponse::default().with_results(results.collect()))
}

fn more_partitions(topic: &CreatePartitionsTopic) -> MorePartitions {
    let assignments = topic.assignments.as_ref().map(|assignments| {
        let brokers =
            |ids: &[kafka_protocol::messages::BrokerId]| ids.iter().map(|id| BrokerId(id.0)).collect();
        assignments.iter().map(|assignment| brokers(&assignment.broker_ids)).collect()
    });
    MorePartitions { name: topic.name.to_string(), count: topic.count, assignments }
}

fn fail_all(body: &CreatePartitionsRequest, error: &ApiError) -> Vec<PartitionsResult> {
    let fail = |topic: &CreatePartitionsTopic| PartitionsResult {
        name: topic.name.to_string(),
        result: Err(error.clone()),
    };
    body.topics.iter().map(fail).collect()
}

fn answer(result: PartitionsResult) -> CreatePartitionsTopicResult {
    let answer =
        CreatePartitionsTopicResult::default().with_name(TopicName(StrBytes::from_string(result.name)));
    match result.result {
        Ok(()) => answer,
        Err(error) => {
            // Kafka has no words for a topic that is not there.
            let message = match error.code {
                ErrorCode::UnknownTopicOrPartition => error.message.clone().map(StrBytes::from_string),
                _ => control::message(&error),
            };
            answer.with_error_code(error.code.code()).with_error_message(message)
        }
    }
}
