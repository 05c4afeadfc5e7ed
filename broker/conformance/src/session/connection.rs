//! One connection that sends trees and receives trees.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use slipring_protocol::api::lookup;
use slipring_protocol::client::Client;

use super::codec;
use super::schema::Schema;

/// A connection that is made anew when the broker has closed it.
pub(crate) struct Connection {
    schema: Schema,
    address: SocketAddr,
    client: Option<Client>,
    patience: Duration,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// An answer, decoded.
    Answer(Value),
    /// The broker closed the connection.
    Closed,
    /// Nothing came in time.
    Silence,
    /// Something came that is no answer.
    Garbled(String),
}

impl Outcome {
    /// The answer; `Null` for everything else.
    pub(crate) fn answer(self) -> Value {
        if let Self::Answer(tree) = self { tree } else { Value::Null }
    }

    /// As it stands in a trace.
    pub(crate) fn tree(&self) -> Value {
        match self {
            Self::Answer(tree) => tree.clone(),
            Self::Closed => json!({ "outcome": "connection closed" }),
            Self::Silence => json!({ "outcome": "no answer" }),
            Self::Garbled(why) => json!({ "outcome": "not an answer", "why": why }),
        }
    }
}

impl Connection {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { schema: Schema::load(), address, client: None, patience: Duration::from_secs(20) }
    }

    /// How long to wait for an answer.
    pub(crate) fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
        self.client = None;
    }

    /// Closes the connection; the next request opens another.
    pub(crate) fn reopen(&mut self) {
        self.client = None;
    }

    /// Sends a request by its name and waits for the answer.
    ///
    /// # Panics
    /// When the tree does not fit the request: a slip in the script.
    pub(crate) fn call(&mut self, api: &str, version: i16, body: &Value) -> Outcome {
        let request = self.schema.request(api);
        let key = request.key;
        let bytes = codec::encode(request, version, body).expect("the script's request fits its definition");
        self.call_raw(api, key, version, &bytes)
    }

    /// Sends a request body as it is and waits for the answer to `api`.
    pub(crate) fn call_raw(&mut self, api: &str, key: i16, version: i16, body: &[u8]) -> Outcome {
        let outcome = self.exchange(key, version, body);
        let result = match outcome {
            Ok((sent, frame)) => self.read(api, key, version, sent, &frame),
            Err(error) => outcome_of(&error),
        };
        if !matches!(result, Outcome::Answer(_)) {
            self.client = None;
        }
        result
    }

    /// Sends a request that has no answer.
    ///
    /// # Errors
    /// Of the connection.
    pub(crate) fn send_only(&mut self, api: &str, version: i16, body: &Value) -> io::Result<()> {
        let request = self.schema.request(api);
        let key = request.key;
        let bytes = codec::encode(request, version, body).expect("the script's request fits its definition");
        self.client()?.send_raw(key, version, &bytes).map(|_| ())
    }

    /// Sends bytes that are no frame of ours and tells what comes back: a frame's length, or how the connection ended.
    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) -> Outcome {
        let answer = self.client().and_then(|client| {
            client.send_bytes(bytes)?;
            client.recv_raw()
        });
        self.client = None;
        match answer {
            Ok(frame) => Outcome::Answer(json!({ "frame": codec::to_hex(&frame) })),
            Err(error) => outcome_of(&error),
        }
    }

    /// Waits until the broker answers ApiVersions and lists itself in Metadata.
    pub(crate) fn await_ready(&mut self, limit: Duration) -> bool {
        let start = Instant::now();
        self.patience = Duration::from_secs(2);
        let ready = loop {
            let answer = self.call("Metadata", 9, &json!({ "topics": [] })).answer();
            if answer["brokers"].as_array().is_some_and(|brokers| !brokers.is_empty()) {
                break true;
            }
            if start.elapsed() > limit {
                break false;
            }
            std::thread::sleep(Duration::from_millis(50));
        };
        self.set_patience(Duration::from_secs(20));
        ready
    }

    fn exchange(&mut self, key: i16, version: i16, body: &[u8]) -> io::Result<(i32, Vec<u8>)> {
        let client = self.client()?;
        let sent = client.send_raw(key, version, body)?;
        Ok((sent, client.recv_raw()?.to_vec()))
    }

    fn read(&self, api: &str, key: i16, version: i16, sent: i32, frame: &[u8]) -> Outcome {
        let Some((id, body)) = frame.split_first_chunk::<4>() else {
            return Outcome::Garbled("no correlation id".to_owned());
        };
        if i32::from_be_bytes(*id) != sent {
            return Outcome::Garbled("another correlation id".to_owned());
        }
        let flexible = lookup(key).is_some_and(|api| api.response_header_version(version) > 0);
        let response = self.schema.response(api);
        // An ApiVersions request above what the broker knows is answered in version 0 (KIP-511).
        let error = body.first_chunk::<2>().map(|code| i16::from_be_bytes(*code));
        let version = if key == 18 && error == Some(35) { 0 } else { version };
        let body = if flexible { codec::skip_header_tags(body) } else { Ok(body) };
        match body.and_then(|body| codec::decode(response, version, body)) {
            Ok(tree) => Outcome::Answer(tree),
            Err(why) => Outcome::Garbled(why),
        }
    }

    fn client(&mut self) -> io::Result<&mut Client> {
        let client = match self.client.take() {
            Some(client) => client,
            None => {
                let client = Client::connect(self.address, "conformance")?;
                client.set_timeout(Some(self.patience))?;
                client
            }
        };
        Ok(self.client.insert(client))
    }
}

fn outcome_of(error: &io::Error) -> Outcome {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Outcome::Silence,
        io::ErrorKind::InvalidData => Outcome::Garbled(error.to_string()),
        _ => Outcome::Closed,
    }
}
