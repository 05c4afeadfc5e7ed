//! DeleteTopics (key 20), v1-6. v4 flexible · v5 error messages · v6 by topic id. Decided by the controller; answered when no
//! core serves the topics any more. With `delete.topic.enable=false` every topic is TOPIC_DELETION_DISABLED (73), before v3
//! INVALID_REQUEST.

use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{DeleteTopicsRequest, DeleteTopicsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use slipring_machine::controller::{ApiError, Command, DeleteResult, DeleteTopics, Reply, TopicSelector};
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::ids::TopicId;

use super::control;
use crate::net::connection::Closed;
use crate::router::Request;
use crate::runtime::conn::Piece;

/// Topics by name or id from this version on.
const SELECTORS_FROM: i16 = 6;
/// Error messages from this version on.
const MESSAGES_FROM: i16 = 5;
/// TOPIC_DELETION_DISABLED from this version on.
const DISABLED_FROM: i16 = 3;

/// Handles one request.
pub async fn handle(request: Request<'_>) -> Result<Vec<Piece>, Closed> {
    let body: DeleteTopicsRequest = request.decode()?;
    let version = request.header.version;
    let topics = selectors(version, &body);
    let shard = request.shard;
    let results = if shard.config.topics.deletion_enabled {
        match control::execute(shard, Command::DeleteTopics(DeleteTopics { topics: topics.clone() })).await {
            Some(Reply::DeleteTopics(Ok(results))) => results,
            Some(Reply::DeleteTopics(Err(error))) => fail_all(topics, &error),
            _ => fail_all(topics, &control::stopping()),
        }
    } else {
        let code = if version < DISABLED_FROM {
            ErrorCode::InvalidRequest
        } else {
            ErrorCode::TopicDeletionDisabled
        };
        fail_all(topics, &ApiError::bare(code))
    };
    let responses = results.into_iter().map(|result| answer(version, result));
    request.respond(&DeleteTopicsResponse::default().with_responses(responses.collect()))
}

fn selectors(version: i16, body: &DeleteTopicsRequest) -> Vec<TopicSelector> {
    if version < SELECTORS_FROM {
        let by_name = |name: &TopicName| TopicSelector { name: Some(name.to_string()), id: TopicId::NONE };
        return body.topic_names.iter().map(by_name).collect();
    }
    let selector = |topic: &kafka_protocol::messages::delete_topics_request::DeleteTopicState| {
        TopicSelector { name: topic.name.as_ref().map(|name| name.to_string()), id: TopicId(topic.topic_id) }
    };
    body.topics.iter().map(selector).collect()
}

fn fail_all(topics: Vec<TopicSelector>, error: &ApiError) -> Vec<DeleteResult> {
    topics
        .into_iter()
        .map(|topic| DeleteResult { name: topic.name, id: topic.id, result: Err(error.clone()) })
        .collect()
}

fn answer(version: i16, deleted: DeleteResult) -> DeletableTopicResult {
    let mut answer = DeletableTopicResult::default()
        .with_name(deleted.name.map(|name| TopicName(StrBytes::from_string(name))));
    if version >= SELECTORS_FROM {
        answer.topic_id = deleted.id.0;
    }
    if let Err(error) = deleted.result {
        answer.error_code = error.code.code();
        answer.error_message = (version >= MESSAGES_FROM).then(|| control::message(&error)).flatten();
    }
    answer
}
