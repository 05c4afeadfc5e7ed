//! AlterConfigs (key 33), v0-2: all that a resource sets from now on; what is not named goes. v2 flexible. Old clients only: two
//! of them at a time undo each other's changes, which IncrementalAlterConfigs does not.

use std::collections::BTreeMap;

use kafka_protocol::messages::alter_configs_request::AlterConfigsResource;
use kafka_protocol::messages::alter_configs_response::AlterConfigsResourceResponse;
use kafka_protocol::messages::{AlterConfigsRequest, AlterConfigsResponse};
use kafka_protocol::protocol::StrBytes;
use slipring_machine::controller::{ApiError, ConfigChange};

use super::configs::{self, Asked, BROKER_LOGGER};
use super::control;
use crate::net::connection::Closed;
use crate::router::Request;
use crate::runtime::conn::Piece;

/// Handles one request.
pub async fn handle(request: Request<'_>) -> Result<Vec<Piece>, Closed> {
    let body: AlterConfigsRequest = request.decode()?;
    let asked = body.resources.iter().map(|resource| Asked {
        kind: resource.resource_type,
        name: resource.resource_name.to_string(),
        change: wanted(resource).map(ConfigChange::All),
    });
    let results = configs::alter(request.shard, asked.collect(), body.validate_only).await;
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
    request.respond(&AlterConfigsResponse::default().with_responses(responses.collect()))
}

fn wanted(resource: &AlterConfigsResource) -> Result<BTreeMap<String, String>, ApiError> {
    let configs = &resource.configs;
    let nulls = configs.iter().filter(|config| config.value.is_none()).map(|config| config.name.as_str());
    configs::check_keys(configs.iter().map(|config| config.name.as_str()), nulls)?;
    if resource.resource_type == BROKER_LOGGER.0 {
        // Levels of loggers were never a matter of this request.
        return Err(configs::invalid(format!("Unknown resource type {}", BROKER_LOGGER.0)));
    }
    let pair =
        |name: &StrBytes, value: &Option<StrBytes>| Some((name.to_string(), value.as_ref()?.to_string()));
    Ok(configs.iter().filter_map(|config| pair(&config.name, &config.value)).collect())
}
