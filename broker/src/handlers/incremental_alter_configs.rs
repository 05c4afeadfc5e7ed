//! IncrementalAlterConfigs (key 44), v0-1 (KIP-339). v1 flexible. Topics, this broker and the cluster's defaults, groups, client
//! metrics. Decided by the controller; answered when every core acts on the new values.

use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::incremental_alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse};
use kafka_protocol::protocol::StrBytes;
use slipring_machine::controller::{ApiError, ConfigChange, ConfigOperation};

use super::configs::{self, Asked};
use super::control;
use crate::net::connection::Closed;
use crate::router::Request;
use crate::runtime::conn::Piece;

/// Handles one request.
pub async fn handle(request: Request<'_>) -> Result<Vec<Piece>, Closed> {
    let body: IncrementalAlterConfigsRequest = request.decode()?;
    let asked = body.resources.iter().map(asked).collect();
    let results = configs::alter(request.shard, asked, body.validate_only).await;
    let responses = results.into_iter().map(|(resource, result)| {
        let response = AlterConfigsResourceResponse::default()
            .with_resource_type(resource.kind)
            .with_resource_name(StrBytes::from_string(resource.name));
        match result {
            Ok(()) => response.with_error_message(None),
            Err(error) => {
                response.with_error_code(error.code.code()).with_error_message(control::message(&error))
            }
        }
    });
    request.respond(&IncrementalAlterConfigsResponse::default().with_responses(responses.collect()))
}

fn asked(resource: &AlterConfigsResource) -> Asked {
    Asked {
        kind: resource.resource_type,
        name: resource.resource_name.to_string(),
        change: changes(resource).map(ConfigChange::Some),
    }
}

fn changes(resource: &AlterConfigsResource) -> Result<Vec<(String, ConfigOperation)>, ApiError> {
    let configs = &resource.configs;
    let is_null = |config: &&AlterableConfig| config.config_operation != DELETE && config.value.is_none();
    let keys = configs.iter().map(|config| config.name.as_str());
    configs::check_keys(keys, configs.iter().filter(is_null).map(|config| config.name.as_str()))?;
    configs.iter().map(|config| Ok((config.name.to_string(), operation(config)?))).collect()
}

fn operation(config: &AlterableConfig) -> Result<ConfigOperation, ApiError> {
    let value = config.value.as_ref().map(ToString::to_string).unwrap_or_default();
    match config.config_operation {
        SET => Ok(ConfigOperation::Set(value)),
        DELETE => Ok(ConfigOperation::Delete),
        APPEND => Ok(ConfigOperation::Append(value)),
        SUBTRACT => Ok(ConfigOperation::Subtract(value)),
        other => Err(configs::invalid(format!("Unknown operations type {other}"))),
    }
}

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;
