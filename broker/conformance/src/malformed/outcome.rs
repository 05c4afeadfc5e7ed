//! What came of a conversation, as text: `answer 0,3`, `answer 0, closed`, `closed`, `waits`.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Read};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;
use slipring_protocol::api::lookup;

use super::case::{Asked, CORRELATION_ID, Case};
use crate::session::codec;
use crate::session::schema::Schema;

/// What came of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Outcome(Vec<String>);

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.join(", "))
    }
}

impl Outcome {
    #[cfg(test)]
    pub(crate) fn of(text: &str) -> Self {
        Self(vec![text.to_owned()])
    }
}

/// Reads what the broker has to say, up to `patience` after the last byte of it.
pub(crate) fn read(schema: &Schema, case: &Case, stream: &mut TcpStream, patience: Duration) -> Outcome {
    let mut said = Vec::new();
    let mut asked = case.asked.iter();
    loop {
        let next = asked.next();
        if next.is_none() && !case.is_watched {
            return Outcome(said);
        }
        match receive(stream, patience) {
            Ok(frame) => said.push(describe(schema, next, &frame)),
            Err(error) => {
                said.push(ended(&error).to_owned());
                return Outcome(said);
            }
        }
        if said.len() > ANSWERS_MAX {
            return Outcome(said);
        }
    }
}

/// When the connection could not even be made, or the bytes not be sent.
pub(crate) fn refused(error: &io::Error) -> Outcome {
    Outcome(vec![format!("not connected: {:?}", error.kind())])
}

fn receive(stream: &mut TcpStream, patience: Duration) -> io::Result<Vec<u8>> {
    let deadline = Instant::now() + patience;
    let mut length = [0; 4];
    read_all(stream, &mut length, deadline)?;
    let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > ANSWER_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut frame = vec![0; length];
    read_all(stream, &mut frame, deadline)?;
    Ok(frame)
}

fn read_all(stream: &mut TcpStream, mut bytes: &mut [u8], deadline: Instant) -> io::Result<()> {
    while !bytes.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        stream.set_read_timeout(Some(left))?;
        match stream.read(bytes) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => bytes = &mut bytes[read..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn ended(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "waits",
        io::ErrorKind::InvalidData => "not a frame",
        _ => "closed",
    }
}

/// An answer by the error codes in it.
fn describe(schema: &Schema, asked: Option<&Asked>, frame: &[u8]) -> String {
    let Some((correlation_id, body)) = frame.split_first_chunk::<4>() else {
        return "no answer".to_owned();
    };
    let Some(asked) = asked.filter(|asked| !asked.api.is_empty()) else {
        return "an answer that nothing asked for".to_owned();
    };
    if i32::from_be_bytes(*correlation_id) != CORRELATION_ID {
        return "an answer to something else".to_owned();
    }
    match tree(schema, asked, body) {
        Ok(tree) => {
            let mut codes = BTreeSet::new();
            error_codes(&tree, &mut codes);
            let codes: Vec<String> = codes.iter().map(i64::to_string).collect();
            if codes.is_empty() { "answer".to_owned() } else { format!("answer {}", codes.join(",")) }
        }
        Err(why) => format!("an answer that can't be read: {why}"),
    }
}

fn tree(schema: &Schema, asked: &Asked, body: &[u8]) -> Result<Value, String> {
    let api = schema.request(asked.api);
    let flexible = lookup(api.key).is_some_and(|api| api.response_header_version(asked.version) > 0);
    // An unknown version of ApiVersions is answered in version 0 (KIP-511).
    let is_unsupported = asked.api == "ApiVersions" && body.starts_with(&[0, 35]);
    let version = if is_unsupported { 0 } else { asked.version };
    let body = if flexible { codec::skip_header_tags(body)? } else { body };
    codec::decode(schema.response(asked.api), version, body)
}

fn error_codes(tree: &Value, codes: &mut BTreeSet<i64>) {
    match tree {
        Value::Array(items) => items.iter().for_each(|item| error_codes(item, codes)),
        Value::Object(fields) => fields.iter().for_each(|(name, value)| match value.as_i64() {
            Some(code) if name == "error_code" => drop(codes.insert(code)),
            _ => error_codes(value, codes),
        }),
        _ => {}
    }
}

const ANSWERS_MAX: usize = 64;
const ANSWER_BYTES_MAX: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_by_their_error_codes() {
        let schema = Schema::load();
        let asked = Asked { api: "ListOffsets", version: 1 };
        let body = [
            &CORRELATION_ID.to_be_bytes()[..],
            &[0, 0, 0, 1, 0, 1, b'a', 0, 0, 0, 1, 0, 0, 0, 0, 0, 3],
            &[0xff; 16],
        ]
        .concat();
        assert_eq!(describe(&schema, Some(&asked), &body), "answer 3");
        assert_eq!(describe(&schema, Some(&asked), b"\0\0\0\0"), "an answer to something else");
        assert_eq!(describe(&schema, None, &body), "an answer that nothing asked for");
        assert!(describe(&schema, Some(&asked), &body[..9]).starts_with("an answer that can't be read"));
    }
}
