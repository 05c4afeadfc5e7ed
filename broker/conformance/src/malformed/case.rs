//! One hostile conversation: what is sent, how it ends, and what can be read back.

use slipring_protocol::api::lookup;

/// A conversation.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// Row of the table of expectations.
    pub(crate) name: String,
    /// Version of the request, where the row speaks of several.
    pub(crate) version: Option<i16>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) ending: Ending,
    /// Requests that may be answered, in order.
    pub(crate) asked: Vec<Asked>,
    /// Whether the connection is watched after the last answer.
    pub(crate) is_watched: bool,
    /// Kafka says nothing to it and waits, although the request is whole.
    pub(crate) is_dropped: bool,
}

/// What the client does once everything is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It waits.
    Stay,
    /// It closes its side.
    HalfClose,
    /// It goes without reading anything.
    Reset,
}

/// A request that may be answered.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Its name; empty for a key that Kafka does not know.
    pub(crate) api: &'static str,
    pub(crate) version: i16,
}

impl Case {
    /// One request with a well-formed header.
    pub(crate) fn request(name: String, key: i16, version: i16, body: &[u8]) -> Self {
        let api = lookup(key).map_or("", |api| api.name);
        Self {
            name,
            version: Some(version),
            bytes: frame(key, version, body),
            ending: Ending::Stay,
            asked: vec![Asked { api, version }],
            is_watched: false,
            is_dropped: false,
        }
    }

    /// Bytes that are no request.
    pub(crate) fn raw(name: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self {
            name: name.into(),
            version: None,
            bytes,
            ending: Ending::Stay,
            asked: Vec::new(),
            is_watched: true,
            is_dropped: false,
        }
    }

    #[must_use]
    pub(crate) fn ending(mut self, ending: Ending) -> Self {
        self.ending = ending;
        self
    }

    /// Whether the broker is expected to wait: mostly since the last frame is not whole.
    pub(crate) fn is_left_waiting(&self) -> bool {
        self.is_dropped || self.is_incomplete()
    }

    fn is_incomplete(&self) -> bool {
        let mut rest = &self.bytes[..];
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let length = i32::from_be_bytes(*length);
            match usize::try_from(length) {
                Ok(length) if length <= FRAME_BYTES_MAX => match after.get(length..) {
                    Some(after) => rest = after,
                    None => return self.ending == Ending::Stay,
                },
                _ => return false,
            }
        }
        self.ending == Ending::Stay && (!rest.is_empty() || self.bytes.is_empty())
    }
}

/// A whole frame: length, header as the version wants it, body. The correlation id is [`CORRELATION_ID`].
pub(crate) fn frame(key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 4];
    frame.extend_from_slice(&key.to_be_bytes());
    frame.extend_from_slice(&version.to_be_bytes());
    frame.extend_from_slice(&CORRELATION_ID.to_be_bytes());
    frame.extend_from_slice(b"\0\x06attack");
    if lookup(key).is_some_and(|api| api.request_header_version(version) >= 2) {
        frame.push(0);
    }
    frame.extend_from_slice(body);
    close(frame)
}

/// Sets the length of the frame that `bytes`, beginning with room for it, are.
pub(crate) fn close(mut bytes: Vec<u8>) -> Vec<u8> {
    let length = (bytes.len() - 4) as u32;
    bytes[..4].copy_from_slice(&length.to_be_bytes());
    bytes
}

/// Of every request here.
pub(crate) const CORRELATION_ID: i32 = 0x0bad_cafe;
/// `socket.request.max.bytes`, unless configured.
pub(crate) const FRAME_BYTES_MAX: usize = 100 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incomplete_means_that_more_must_come() {
        let incomplete = |bytes: &[u8]| Case::raw("", bytes.to_vec()).is_incomplete();
        assert!(
            incomplete(b"")
                && incomplete(b"\0\0\0")
                && incomplete(b"\0\0\0\x01")
                && incomplete(b"\0\0\0\0\0")
        );
        assert!(!incomplete(b"\0\0\0\0") && !incomplete(b"\0\0\0\x01a") && !incomplete(b"\xff\xff\xff\xff"));
        assert!(!incomplete(b"\x7f\xff\xff\xff"));
        assert!(!Case::raw("", vec![0]).ending(Ending::HalfClose).is_incomplete());
    }
}
