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
    /// with `UnsupportedVersion` and one range, that of ApiVersions itself (KIP-511).
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

#[cfg(test)]
mod tests {
    use super::*;

    fn request(key: i16, version: i16, rest: &[u8]) -> Bytes {
        [&key.to_be_bytes()[..], &version.to_be_bytes(), &7i32.to_be_bytes(), rest].concat().into()
    }

    fn parse(key: i16, version: i16, rest: &[u8]) -> Result<(RequestHeader, Bytes), WireError> {
        RequestHeader::parse(&request(key, version, rest))
    }

    #[test]
    fn both_versions_and_what_follows_them() {
        let (header, body) = parse(3, 8, b"\0\x02mebody").unwrap();
        assert_eq!((header.api.name, header.version, header.correlation_id), ("Metadata", 8, 7));
        assert_eq!((header.client_id.as_deref(), &body[..]), (Some("me"), &b"body"[..]));
        // Version 2 has tagged fields behind the client id, here one that nobody knows.
        let (header, body) = parse(3, 9, b"\xff\xff\x01\x05\x03abcbody").unwrap();
        assert_eq!((header.client_id, &body[..]), (None, &b"body"[..]));
        let (header, body) = parse(18, 0, b"\0\x01\xff").unwrap();
        assert_eq!((header.client_id.as_deref(), body.len()), (Some("\u{fffd}"), 0));
    }

    #[test]
    fn what_kafka_closes_the_connection_for() {
        let error = |key, version, rest: &[u8]| parse(key, version, rest).unwrap_err();
        assert_eq!(error(999, 0, b"\0\0"), WireError::UnknownKey(999));
        assert_eq!(error(4, 0, b"\0\0"), WireError::UnknownKey(4));
        assert_eq!(error(-1, 0, b"\0\0"), WireError::UnknownKey(-1));
        for (key, version) in [(0, 2), (3, 14), (3, -1), (22, 6), (2, 0), (52, 0)] {
            assert_eq!(error(key, version, b"\0\0"), WireError::UnsupportedVersion { key, version });
        }
        assert!(parse(3, 9, b"\0\0").is_err(), "no tagged fields");
        assert!(parse(3, 9, b"\0\x09me").is_err(), "client id cut off");
        let whole = request(18, 3, b"\0\x02me\0");
        for end in 0..whole.len() {
            assert!(RequestHeader::parse(&whole.slice(..end)).is_err());
        }
    }

    #[test]
    fn api_versions_of_any_version_can_be_answered() {
        for (version, rest) in [(99, &b"\0\0\0junk"[..]), (-1, b"\0\0"), (5, b"\0\0\0")] {
            let (header, _) = parse(18, version, rest).unwrap();
            assert!(header.is_unsupported_api_versions());
            let mut out = Vec::new();
            let start = header.begin_response(&mut out);
            frame::finish(&mut out, start, 0);
            assert_eq!((header.response_version(), out), (0, vec![0, 0, 0, 4, 0, 0, 0, 7]));
        }
        let (header, _) = parse(18, 4, b"\0\0\0").unwrap();
        assert_eq!((header.is_unsupported_api_versions(), header.response_version()), (false, 4));
        // Version 5 has a header with tagged fields, which are not there.
        assert!(parse(18, 5, b"\0\0").is_err());
    }
}
