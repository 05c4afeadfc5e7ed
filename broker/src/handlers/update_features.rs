//! UpdateFeatures (key 57), v0-2 (KIP-584). v1 upgrade types and validate-only · v2 no results of single features. Decided by the
//! controller, all features or none.

use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
use kafka_protocol::messages::update_features_response::UpdatableFeatureResult;
use kafka_protocol::messages::{UpdateFeaturesRequest, UpdateFeaturesResponse};
use kafka_protocol::protocol::StrBytes;
use slipring_machine::controller::{Command, FeatureDirection, FeatureUpdate, Reply, UpdateFeatures};

use super::control;
use crate::net::connection::Closed;
use crate::router::Request;
use crate::runtime::conn::Piece;

/// Handles one request.
pub async fn handle(request: Request<'_>) -> Result<Vec<Piece>, Closed> {
    let body: UpdateFeaturesRequest = request.decode()?;
    let version = request.header.version;
    let command = UpdateFeatures {
        updates: body.feature_updates.iter().map(|update| feature_update(update, version)).collect(),
        validate_only: body.validate_only,
    };
    let error = match control::execute(request.shard, Command::UpdateFeatures(command)).await {
        Some(Reply::UpdateFeatures(Ok(()))) => None,
        Some(Reply::UpdateFeatures(Err(mut error))) => {
            let why = error.message.take().unwrap_or_default();
            error.message = Some(format!(
                "The update failed for all features since the following feature had an error: {why}"
            ));
            Some(error)
        }
        _ => Some(control::stopping()),
    };
    let response = UpdateFeaturesResponse::default();
    request.respond(&match error {
        Some(error) => {
            response.with_error_code(error.code.code()).with_error_message(control::message(&error))
        }
        None if version <= 1 => {
            let done = |update: &FeatureUpdateKey| {
                UpdatableFeatureResult::default()
                    .with_feature(update.feature.clone())
                    .with_error_message(Some(StrBytes::from_static_str("NONE")))
            };
            response.with_error_message(None).with_results(body.feature_updates.iter().map(done).collect())
        }
        None => response.with_error_message(None),
    })
}

fn feature_update(update: &FeatureUpdateKey, version: i16) -> FeatureUpdate {
    let direction = match update.upgrade_type {
        // Kafka looks at the upgrade type only, which version 0 does not have.
        _ if version == 0 => Some(FeatureDirection::Upgrade),
        1 => Some(FeatureDirection::Upgrade),
        2 => Some(FeatureDirection::SafeDowngrade),
        3 => Some(FeatureDirection::UnsafeDowngrade),
        _ => None,
    };
    FeatureUpdate { feature: update.feature.to_string(), level: update.max_version_level, direction }
}
