//! CreateTopics (key 19), v2-7. v4 defaults (-1) · v5 configs in the answer, flexible · v7 topic ids. Decided by the
//! controller; answered when every core serves the new partitions.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_protocol::messages::{CreateTopicsRequest, CreateTopicsResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use slipring_machine::controller::{
    ApiError, Command, CreateTopics, CreatedTopic, NewTopic, PartitionAssignment, Reply, TopicConfig,
    TopicDefaults, check_topic_name,
};
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::ids::{BrokerId, PartitionIndex, TopicId};

use super::control;
use crate::config::{TopicOverrides, describe, topic};
use crate::net::connection::Closed;
use crate::router::Request;
use crate::runtime;
use crate::runtime::conn::Piece;
use crate::shard::Shard;

/// Handles one request.
pub async fn handle(request: Request<'_>) -> Result<Vec<Piece>, Closed> {
    let body: CreateTopicsRequest = request.decode()?;
    let shard = request.shard;
    let command = CreateTopics {
        topics: body.topics.iter().map(|topic| new_topic(shard, topic)).collect(),
        validate_only: body.validate_only,
        defaults: defaults(shard),
        placement_seed: u64::from(shard.random()),
    };
    let results = match control::execute(shard, Command::CreateTopics(command)).await {
        Some(Reply::CreateTopics(Ok(results))) => {
            results.into_iter().map(|created| (created.name, created.result)).collect()
        }
        Some(Reply::CreateTopics(Err(error))) => fail_all(&body, &error),
        _ => fail_all(&body, &control::stopping()),
    };
    let topics = results.into_iter().map(|(name, result)| {
        let asked = body.topics.iter().find(|topic| topic.name.as_str() == name);
        answer(shard, name, result, asked)
    });
    request.respond(&CreateTopicsResponse::default().with_topics(topics.collect()))
}

/// Creates topics that somebody needs and nobody described. Who needs them looks them up after.
pub async fn create_automatically(shard: &Rc<Shard>, names: Vec<Arc<str>>) {
    create(shard, names.iter().map(|name| undescribed(shard, name)).collect()).await;
}

/// A topic of the broker's own as it must be, whoever asks for it first; any other with the broker's defaults.
fn undescribed(shard: &Shard, name: &str) -> NewTopic {
    let own = shard.config.internal_topics.iter().find(|own| own.name == name);
    let config =
        |(name, value): &(&str, String)| TopicConfig { name: (*name).to_owned(), value: Some(value.clone()) };
    let configs: Vec<TopicConfig> = own.into_iter().flat_map(|own| &own.configs).map(config).collect();
    let brokers = shard.view().brokers().filter(|broker| !broker.fenced).count();
    let replicas = i16::try_from(brokers.clamp(1, OWN_REPLICAS)).expect("at most three");
    NewTopic {
        name: name.to_owned(),
        id: TopicId(runtime::random_id()),
        partitions: own.map_or(-1, |own| own.partitions),
        replication_factor: own.map_or(-1, |own| own.replication_factor.unwrap_or(replicas)),
        assignments: Vec::new(),
        config_error: config_error(shard, &configs),
        configs,
    }
}

/// Kafka's default replication factor of the broker's own topics.
const OWN_REPLICAS: usize = 3;

async fn create(shard: &Rc<Shard>, topics: Vec<NewTopic>) {
    let command = CreateTopics {
        topics,
        validate_only: false,
        defaults: defaults(shard),
        placement_seed: u64::from(shard.random()),
    };
    if let Some(Reply::CreateTopics(Ok(results))) =
        control::execute(shard, Command::CreateTopics(command)).await
    {
        for result in results {
            match result.result {
                Ok(created) => {
                    tracing::info!(topic = result.name, id = %created.id, "topic created automatically");
                }
                // Another client may have been faster; but what does not fit the topic's configs is for the operator.
                Err(error) if error.code == ErrorCode::InvalidConfig => {
                    tracing::warn!(topic = result.name, %error, "automatic creation refused");
                }
                Err(error) => tracing::debug!(topic = result.name, %error, "automatic creation refused"),
            }
        }
    }
}

/// Whether Kafka takes this as a topic name.
#[must_use]
pub fn is_valid_name(name: &str) -> bool {
    check_topic_name(name).is_ok()
}

fn defaults(shard: &Shard) -> TopicDefaults {
    let topics = shard.config.topics;
    TopicDefaults {
        partitions: topics.partitions,
        replication_factor: i16::try_from(topics.replication_factor).unwrap_or(i16::MAX),
    }
}

fn new_topic(shard: &Shard, asked: &CreatableTopic) -> NewTopic {
    let configs: Vec<TopicConfig> = asked
        .configs
        .iter()
        .map(|config| TopicConfig {
            name: config.name.to_string(),
            value: config.value.as_ref().map(ToString::to_string),
        })
        .collect();
    NewTopic {
        name: asked.name.to_string(),
        id: TopicId(runtime::random_id()),
        partitions: asked.num_partitions,
        replication_factor: asked.replication_factor,
        assignments: asked
            .assignments
            .iter()
            .map(|assignment| PartitionAssignment {
                partition: PartitionIndex(assignment.partition_index),
                replicas: assignment.broker_ids.iter().map(|broker| BrokerId(broker.0)).collect(),
            })
            .collect(),
        config_error: config_error(shard, &configs),
        configs,
    }
}

fn config_error(shard: &Shard, configs: &[TopicConfig]) -> Option<ApiError> {
    let wanted: BTreeMap<String, Option<String>> =
        configs.iter().map(|config| (config.name.clone(), config.value.clone())).collect();
    let refused = topic::validate(shard.config_now().values(), &wanted).err();
    refused.map(|(code, message)| ApiError::new(code, message))
}

fn fail_all(body: &CreateTopicsRequest, error: &ApiError) -> Vec<(String, Result<CreatedTopic, ApiError>)> {
    body.topics.iter().map(|topic| (topic.name.to_string(), Err(error.clone()))).collect()
}

fn answer(
    shard: &Shard,
    name: String,
    result: Result<CreatedTopic, ApiError>,
    asked: Option<&CreatableTopic>,
) -> CreatableTopicResult {
    let mut answer = CreatableTopicResult::default()
        .with_name(TopicName(StrBytes::from_string(name)))
        .with_error_message(None)
        .with_num_partitions(-1)
        .with_replication_factor(-1);
    match result {
        Err(error) => {
            answer.error_code = error.code.code();
            answer.error_message = control::message(&error);
        }
        Ok(created) => {
            answer.topic_id = created.id.0;
            answer.num_partitions = created.partitions;
            answer.replication_factor = created.replication_factor;
            answer.configs = Some(configs(shard, asked));
        }
    }
    answer
}

fn configs(shard: &Shard, asked: Option<&CreatableTopic>) -> Vec<CreatableTopicConfigs> {
    let set: TopicOverrides = asked
        .into_iter()
        .flat_map(|topic| &topic.configs)
        .filter_map(|config| Some((config.name.to_string(), config.value.as_ref()?.to_string())))
        .collect();
    let entry = |entry: describe::Entry| {
        CreatableTopicConfigs::default()
            .with_name(StrBytes::from_string(entry.name))
            .with_value(entry.value.map(StrBytes::from_string))
            .with_read_only(entry.read_only)
            .with_config_source(entry.source.code())
            .with_is_sensitive(entry.is_sensitive)
    };
    describe::created_topic(shard.config_now().values(), &set).into_iter().map(entry).collect()
}
