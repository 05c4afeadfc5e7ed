//! Request and response headers. On the connection's core, for every request; the client id stays a slice of the frame.

use bytes::Bytes;

use crate::api::{ApiInfo, ApiKey, lookup};
use crate::frame;
use crate::wire::{Decoder, WireError, WireStr, Writer};

/// Head of a request.
#[derive(Clone, Debug)]
pub struct RequestHeader {
    /// API key, as [`Self::api`] has it.
    pub key: i16,
    /// Version of the request; served, but for ApiVersions (see [`Self::is_unsupported_api_versions`]).
    pub version: i16,
    /// Returned with the response.
    pub correlation_id: i32,
    /// What the client calls itself; Kafka takes null for empty.
    pub client_id: Option<WireStr>,
    /// The row of the API table.
    pub api: &'static ApiInfo,
}

impl RequestHeader {
    /// Splits a frame (without its length) into header and body.
    ///
    /// # Errors
    /// For an unknown key, a version that is not served, or malformed bytes. Kafka closes the connection then
    /// (`SocketServer.parseRequestHeader`). An ApiVersions request of any version passes, so that it can be answered.
    pub fn parse(frame: &Bytes) -> Result<(Self, Bytes), WireError> {
        let mut decoder = Decoder::new(frame, false);
        let key = decoder.i16()?;
        let version = decoder.i16()?;
        let api = lookup(key).ok_or(WireError::UnknownKey(key))?;
        if !api.serves(version) && api.key != ApiKey::ApiVersions {
            return Err(WireError::UnsupportedVersion { key, version });
        }
        let correlation_id = decoder.i32()?;
        // Not compact in any version: an old broker must be able to read the header of a newer ApiVersions request.
        let client_id = decoder.nullable_text()?;
        let left = if api.request_header_version(version) >= 2 {
            let mut tags = crate::wire::Reader::new(&frame[frame.len() - decoder.left()..], true);
            tags.skip_tags()?;
            tags.left()
        } else {
            decoder.left()
        };
        let body = frame.slice(frame.len() - left..);
        Ok((Self { key, version, correlation_id, client_id, api }, body))
    }

    /// An ApiVersions request of a version that we do not know: its body is not read, and the answer is written in version 0
    /// with `UnsupportedVersion` and our ranges (KIP-511).
    #[must_use]
    pub fn is_unsupported_api_versions(&self) -> bool {
        self.api.key == ApiKey::ApiVersions && !self.api.serves(self.version)
    }

    /// The version in which the answer is written: the request's own, but 0 for an unknown ApiVersions.
    #[must_use]
    pub fn response_version(&self) -> i16 {
        if self.is_unsupported_api_versions() { 0 } else { self.version }
    }

    /// Opens the frame of the answer; see [`begin_response`].
    pub fn begin_response(&self, out: &mut Vec<u8>) -> usize {
        begin_response(self.api.key, self.response_version(), self.correlation_id, out)
    }
}

/// Appends a request's header (what a client writes).
pub fn encode_request_header(
    key: ApiKey,
    version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
    out: &mut Vec<u8>,
) {
    let mut writer = Writer::new(out, false);
    writer.i16(key.code());
    writer.i16(version);
    writer.i32(correlation_id);
    writer.nullable_text(client_id);
    if key.info().request_header_version(version) >= 2 {
        out.push(0);
    }
}

/// Appends a response's header.
pub fn encode_response_header(key: ApiKey, version: i16, correlation_id: i32, out: &mut Vec<u8>) {
    out.extend_from_slice(&correlation_id.to_be_bytes());
    if key.info().response_header_version(version) >= 1 {
        out.push(0);
    }
}

/// Opens a response frame at the end of `out`: room for the length, then the header. The body follows; `frame::finish` with
/// the returned place closes it.
pub fn begin_response(key: ApiKey, version: i16, correlation_id: i32, out: &mut Vec<u8>) -> usize {
    let start = frame::begin(out);
    encode_response_header(key, version, correlation_id, out);
    start
}

/// Splits a response frame (without its length) into correlation id and body.
///
/// # Errors
/// When the bytes end in the header.
pub fn parse_response(key: ApiKey, version: i16, frame: &Bytes) -> Result<(i32, Bytes), WireError> {
    let flexible = key.info().response_header_version(version) >= 1;
    let mut decoder = Decoder::new(frame, flexible);
    let correlation_id = decoder.i32()?;
    decoder.skip_tags()?;
    let body = frame.slice(frame.len() - decoder.left()..);
    Ok((correlation_id, body))
}
