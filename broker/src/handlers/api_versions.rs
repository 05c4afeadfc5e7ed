//! ApiVersions (key 18), v0-4. Derived from the API table; a version above ours is answered in v0 with
//! UNSUPPORTED_VERSION (35) and our ranges (KIP-511). v3 flexible, client software name and version · v4 features with
//! minimum level 0.

use kafka_protocol::messages::api_versions_response::{ApiVersion, FinalizedFeatureKey, SupportedFeatureKey};
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use kafka_protocol::protocol::StrBytes;
use slipring_protocol::api::{self, ApiInfo, ApiKey};
use slipring_protocol::error_code::ErrorCode;

use crate::net::connection::Closed;
use crate::router::Request;
use crate::runtime::conn::Piece;

/// Handles one request.
pub fn handle(request: Request<'_>) -> Result<Vec<Piece>, Closed> {
    let mut error = ErrorCode::None;
    if request.header.is_unsupported_api_versions() {
        error = ErrorCode::UnsupportedVersion;
    } else {
        let body: ApiVersionsRequest = request.decode()?;
        if request.header.version >= 3
            && !(is_software_name(&body.client_software_name)
                && is_software_name(&body.client_software_version))
        {
            error = ErrorCode::InvalidRequest;
        }
    }
    request.respond(&response(&request, error))
}

/// What a client may call itself (KIP-511): letters, digits, dots and dashes, not at the ends.
fn is_software_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    name.chars().all(inner) && edge(name.chars().next()) && edge(name.chars().last())
}

fn response(request: &Request<'_>, error: ErrorCode) -> ApiVersionsResponse {
    let mut response = ApiVersionsResponse::default().with_error_code(error.code());
    if error == ErrorCode::InvalidRequest {
        return response;
    }
    if error == ErrorCode::UnsupportedVersion {
        // Only what the client needs to ask again.
        response.api_keys = vec![range(ApiKey::ApiVersions.info())];
        return response;
    }
    response.api_keys = api::advertised().map(range).collect();
    let view = request.shard.view();
    // Before v4, a client stumbles over a minimum level of 0 and gets 1 (KAFKA-17011).
    let lowest = if request.header.version >= 4 { 0 } else { 1 };
    response.supported_features = view
        .supported_features()
        .filter(|feature| feature.min >= lowest)
        .map(|feature| {
            SupportedFeatureKey::default()
                .with_name(StrBytes::from_string(feature.name.to_owned()))
                .with_min_version(feature.min)
                .with_max_version(feature.max)
        })
        .collect();
    response.finalized_features_epoch = view.metadata_offset().0;
    response.finalized_features = view
        .finalized_features()
        .map(|(name, level)| {
            FinalizedFeatureKey::default()
                .with_name(StrBytes::from_string(name.to_owned()))
                .with_min_version_level(level)
                .with_max_version_level(level)
        })
        .collect();
    response
}

fn range(info: &ApiInfo) -> ApiVersion {
    ApiVersion::default().with_api_key(info.key.code()).with_min_version(info.min).with_max_version(info.max)
}

#[cfg(test)]
mod tests {
    use super::is_software_name;

    #[test]
    fn software_names() {
        for (name, valid) in [
            ("apache-kafka-java", true),
            ("4.3.0", true),
            ("", false),
            ("-a", false),
            ("a.", false),
            ("a b", false),
        ] {
            assert_eq!(is_software_name(name), valid, "{name:?}");
        }
    }
}
