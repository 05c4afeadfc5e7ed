//! DescribeConfigs (key 32), v1-4. v3 documentation · v4 flexible. Resources: topics, this broker, its loggers, groups and
//! client metrics. From this core's view and the declaration table; nothing hops.

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResult, DescribeConfigsSynonym,
};
use kafka_protocol::messages::{DescribeConfigsRequest, DescribeConfigsResponse};
use kafka_protocol::protocol::StrBytes;
use slipring_machine::controller::check_topic_name;
use slipring_machine::image::ConfigKind;
use slipring_protocol::error_code::ErrorCode;

use super::configs::BROKER_LOGGER;
use crate::config::describe::{self, BrokerResource, Entry, Wanted};
use crate::controller::view::{dynamic_configs, overrides};
use crate::net::connection::Closed;
use crate::router::Request;
use crate::runtime::conn::Piece;

/// Handles one request.
pub fn handle(request: Request<'_>) -> Result<Vec<Piece>, Closed> {
    let body: DescribeConfigsRequest = request.decode()?;
    if body.resources.iter().any(|resource| !KINDS.contains(&ConfigKind(resource.resource_type))) {
        return request.respond(&refuse_all(&body));
    }
    let results = body.resources.iter().map(|resource| {
        let mut result = DescribeConfigsResult::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone());
        match describe(&request, resource, &body) {
            Ok(entries) => result.configs = entries.into_iter().map(entry).collect(),
            Err((error, message)) => {
                result.error_code = error.code();
                result.error_message = Some(StrBytes::from_string(message));
            }
        }
        result
    });
    request.respond(&DescribeConfigsResponse::default().with_results(results.collect()))
}

fn describe(
    request: &Request<'_>,
    resource: &DescribeConfigsResource,
    body: &DescribeConfigsRequest,
) -> Result<Vec<Entry>, (ErrorCode, String)> {
    let keys: Vec<&str> = resource.configuration_keys.iter().flatten().map(|key| key.as_str()).collect();
    let wanted =
        Wanted { keys: &keys, synonyms: body.include_synonyms, documentation: body.include_documentation };
    let view = request.shard.view();
    let values = view.config().values();
    let name = resource.resource_name.as_str();
    let set = |kind| dynamic_configs(view.image(), kind, name);
    match ConfigKind(resource.resource_type) {
        ConfigKind::TOPIC => match view.topic(name) {
            Some(topic) => Ok(describe::topic(values, &overrides(view.image(), &topic.name), wanted)),
            None => Err(match check_topic_name(name) {
                Ok(()) => (ErrorCode::UnknownTopicOrPartition, String::new()),
                Err(error) => (error.code, error.message.unwrap_or_default()),
            }),
        },
        ConfigKind::BROKER => Ok(match describe::broker_resource(name, view.node())? {
            BrokerResource::ThisBroker => describe::broker(values, wanted),
            BrokerResource::ClusterDefault => describe::cluster_default(values, wanted),
        }),
        BROKER_LOGGER => {
            describe::check_logger_resource(name, view.node())?;
            // Ours are set by an environment variable at start and are not configs.
            Ok(Vec::new())
        }
        ConfigKind::GROUP if name.is_empty() => {
            Err((ErrorCode::InvalidRequest, "Group name must not be empty".to_owned()))
        }
        ConfigKind::GROUP => Ok(describe::group(values, &set(ConfigKind::GROUP), wanted)),
        ConfigKind::CLIENT_METRICS if name.is_empty() => {
            Err((ErrorCode::InvalidRequest, "Client metrics subscription name must not be empty".to_owned()))
        }
        ConfigKind::CLIENT_METRICS => Ok(describe::client_metrics(&set(ConfigKind::CLIENT_METRICS), wanted)),
        ConfigKind(_) => unreachable!("refused with the whole request"),
    }
}

/// What has configs.
const KINDS: [ConfigKind; 5] =
    [ConfigKind::TOPIC, ConfigKind::BROKER, BROKER_LOGGER, ConfigKind::CLIENT_METRICS, ConfigKind::GROUP];

/// One resource of an unknown kind fails the whole request.
fn refuse_all(body: &DescribeConfigsRequest) -> DescribeConfigsResponse {
    let refuse = |resource: &DescribeConfigsResource| {
        DescribeConfigsResult::default()
            .with_resource_type(resource.resource_type)
            .with_resource_name(resource.resource_name.clone())
            .with_error_code(ErrorCode::InvalidRequest.code())
            .with_error_message(Some(StrBytes::from_static_str(ErrorCode::InvalidRequest.message())))
    };
    DescribeConfigsResponse::default().with_results(body.resources.iter().map(refuse).collect())
}

fn entry(entry: Entry) -> DescribeConfigsResourceResult {
    let text = StrBytes::from_string;
    let synonyms = entry.synonyms.into_iter().map(|synonym| {
        DescribeConfigsSynonym::default()
            .with_name(text(synonym.name))
            .with_value(synonym.value.map(text))
            .with_source(synonym.source.code())
    });
    DescribeConfigsResourceResult::default()
        .with_name(text(entry.name))
        .with_value(entry.value.map(text))
        .with_read_only(entry.read_only)
        .with_config_source(entry.source.code())
        .with_is_sensitive(entry.is_sensitive)
        .with_synonyms(synonyms.collect())
        .with_config_type(entry.type_code)
        .with_documentation(entry.documentation.map(StrBytes::from_static_str))
}
