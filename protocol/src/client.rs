//! A small blocking client: one connection, one request at a time or several in flight, answers in order. For tests, tools
//! and load generators; the broker never runs it. It trusts its server: answers are decoded without a bounds walk.

use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::protocol::{Decodable, Request};

use crate::api::{ApiKey, codec_version, lookup};
use crate::fetch::{FetchRequest, FetchResponse};
use crate::frame::{self, FrameState};
use crate::header::{encode_request_header, parse_response};
use crate::produce::{ProduceRequest, ProduceResponse};
use crate::wire::WireError;

/// One connection.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    client_id: String,
    next_correlation_id: i32,
    out: Vec<u8>,
}

/// What must be known of a request to read its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InFlight {
    /// API of the request.
    pub key: ApiKey,
    /// Version of the request.
    pub version: i16,
    /// Number that the answer must carry.
    pub correlation_id: i32,
}

impl Client {
    /// Connects, with [`TIMEOUT`] for every send and receive.
    ///
    /// # Errors
    /// When the connection cannot be made.
    pub fn connect(address: impl ToSocketAddrs, client_id: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let client =
            Self { stream, client_id: client_id.to_owned(), next_correlation_id: 1, out: Vec::new() };
        client.set_timeout(Some(TIMEOUT))?;
        Ok(client)
    }

    /// Sets how long a send or receive may wait; for ever with `None`.
    ///
    /// # Errors
    /// When the duration is zero.
    pub fn set_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.stream.set_read_timeout(timeout)?;
        self.stream.set_write_timeout(timeout)
    }

    /// The connection itself, to close one side of it or to look at its addresses.
    #[must_use]
    pub const fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// Of the connection (`UnexpectedEof` when the broker closed it, `WouldBlock` or `TimedOut` when the time is up), or
    /// `InvalidData` when the answer cannot be read, or the request not be written in this version.
    pub fn call<R: Request>(&mut self, version: i16, request: &R) -> io::Result<R::Response> {
        let sent = self.send(version, request)?;
        self.receive::<R>(sent)
    }

    /// Sends a request; [`Self::receive`] gets the answer.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn send<R: Request>(&mut self, version: i16, request: &R) -> io::Result<InFlight> {
        let key = lookup(R::KEY).ok_or_else(|| invalid(WireError::UnknownKey(R::KEY)))?.key;
        self.send_with(key, version, |out| {
            request.encode(out, codec_version(key, version)).map_err(|error| invalid(error.to_string()))
        })
    }

    /// Waits for the answer to a request that was sent by [`Self::send`].
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn receive<R: Request>(&mut self, sent: InFlight) -> io::Result<R::Response> {
        let mut body = self.receive_body(sent)?;
        let response = R::Response::decode(&mut body, codec_version(sent.key, sent.version))
            .map_err(|error| invalid(error.to_string()))?;
        whole(&body)?;
        Ok(response)
    }

    /// Produces; no answer comes to acks=0.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn produce(&mut self, version: i16, request: &ProduceRequest) -> io::Result<Option<ProduceResponse>> {
        let sent = self.send_produce(version, request)?;
        if request.acks == 0 {
            return Ok(None);
        }
        self.receive_produce(sent).map(Some)
    }

    /// Sends a produce request.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn send_produce(&mut self, version: i16, request: &ProduceRequest) -> io::Result<InFlight> {
        self.send_with(ApiKey::Produce, version, |out| request.encode(version, out).map_err(invalid))
    }

    /// Waits for the answer to a produce request.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn receive_produce(&mut self, sent: InFlight) -> io::Result<ProduceResponse> {
        let body = self.receive_body(sent)?;
        ProduceResponse::decode(sent.version, body).map_err(invalid)
    }

    /// Fetches.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn fetch(&mut self, version: i16, request: &FetchRequest) -> io::Result<FetchResponse> {
        let sent = self.send_fetch(version, request)?;
        self.receive_fetch(sent)
    }

    /// Sends a fetch request.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn send_fetch(&mut self, version: i16, request: &FetchRequest) -> io::Result<InFlight> {
        self.send_with(ApiKey::Fetch, version, |out| request.encode(version, out).map_err(invalid))
    }

    /// Waits for the answer to a fetch request.
    ///
    /// # Errors
    /// As [`Self::call`].
    pub fn receive_fetch(&mut self, sent: InFlight) -> io::Result<FetchResponse> {
        let body = self.receive_body(sent)?;
        FetchResponse::decode(sent.version, body).map_err(invalid)
    }

    /// Sends a well-formed header of any key and version with any body; returns the correlation id. Keys that we do not know
    /// get a header of version 1.
    ///
    /// # Errors
    /// Of the connection.
    pub fn send_raw(&mut self, key: i16, version: i16, body: &[u8]) -> io::Result<i32> {
        let correlation_id = self.take_correlation_id();
        self.out.clear();
        let start = frame::begin(&mut self.out);
        match lookup(key) {
            Some(api) => {
                encode_request_header(api.key, version, correlation_id, Some(&self.client_id), &mut self.out)
            }
            None => {
                self.out.extend_from_slice(&key.to_be_bytes());
                self.out.extend_from_slice(&version.to_be_bytes());
                self.out.extend_from_slice(&correlation_id.to_be_bytes());
                self.out.extend_from_slice(&[0, 0]);
            }
        }
        self.out.extend_from_slice(body);
        frame::finish(&mut self.out, start, 0);
        self.stream.write_all(&self.out)?;
        Ok(correlation_id)
    }

    /// Sends bytes as they are: a frame that was encoded before, or no frame at all.
    ///
    /// # Errors
    /// Of the connection.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Waits for the next frame and returns it without its length.
    ///
    /// # Errors
    /// Of the connection, or `InvalidData` for a length that is negative or above [`FRAME_BYTES_MAX`].
    pub fn recv_raw(&mut self) -> io::Result<Bytes> {
        let mut length = [0; frame::LENGTH_BYTES];
        self.stream.read_exact(&mut length)?;
        let bytes = match frame::decode(&length, FRAME_BYTES_MAX) {
            FrameState::NeedMore { need, .. } => need - frame::LENGTH_BYTES,
            FrameState::Frame { .. } => 0,
            FrameState::TooLarge(_) | FrameState::Negative(_) => return Err(invalid("length of the frame")),
        };
        let mut body = vec![0; bytes];
        self.stream.read_exact(&mut body)?;
        Ok(Bytes::from(body))
    }

    /// Whether the broker closes the connection before it sends another byte; waits as long as the time-out says.
    ///
    /// # Errors
    /// Of the connection, such as the time-out; a reset counts as closed.
    pub fn is_closed_by_broker(&mut self) -> io::Result<bool> {
        match self.stream.read(&mut [0]) {
            Ok(bytes) => Ok(bytes == 0),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(true),
            Err(error) => Err(error),
        }
    }

    fn send_with(
        &mut self,
        key: ApiKey,
        version: i16,
        encode: impl FnOnce(&mut Vec<u8>) -> io::Result<()>,
    ) -> io::Result<InFlight> {
        let correlation_id = self.take_correlation_id();
        self.out.clear();
        let start = frame::begin(&mut self.out);
        encode_request_header(key, version, correlation_id, Some(&self.client_id), &mut self.out);
        encode(&mut self.out)?;
        frame::finish(&mut self.out, start, 0);
        self.stream.write_all(&self.out)?;
        Ok(InFlight { key, version, correlation_id })
    }

    fn receive_body(&mut self, sent: InFlight) -> io::Result<Bytes> {
        let frame = self.recv_raw()?;
        let (correlation_id, body) = parse_response(sent.key, sent.version, &frame).map_err(invalid)?;
        if correlation_id != sent.correlation_id {
            return Err(invalid(format!("answer {correlation_id} came for request {}", sent.correlation_id)));
        }
        Ok(body)
    }

    const fn take_correlation_id(&mut self) -> i32 {
        let correlation_id = self.next_correlation_id;
        self.next_correlation_id = correlation_id.wrapping_add(1);
        correlation_id
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

fn whole(rest: &Bytes) -> io::Result<()> {
    if rest.is_empty() { Ok(()) } else { Err(invalid(format!("{} bytes after the answer", rest.len()))) }
}

/// How long a send or receive may wait unless told otherwise.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// Longest answer that is read.
pub const FRAME_BYTES_MAX: usize = 512 << 20;

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use kafka_protocol::messages::{ListOffsetsRequest, ListOffsetsResponse, MetadataRequest};

    use super::*;
    use crate::header::RequestHeader;

    /// Answers one connection with what `answer` makes of each request, until the client goes.
    fn serve(
        answer: impl Fn(&RequestHeader, Bytes, &mut Vec<u8>) + Send + 'static,
    ) -> (Client, thread::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut length = [0; 4];
            while stream.read_exact(&mut length).is_ok() {
                let mut frame = vec![0; i32::from_be_bytes(length) as usize];
                stream.read_exact(&mut frame).unwrap();
                let Ok((header, body)) = RequestHeader::parse(&Bytes::from(frame)) else { return };
                let mut out = Vec::new();
                let start = header.begin_response(&mut out);
                answer(&header, body, &mut out);
                frame::finish(&mut out, start, 0);
                stream.write_all(&out).unwrap();
            }
        });
        (Client::connect(address, "test").unwrap(), server)
    }

    #[test]
    fn typed_calls_of_every_kind() {
        let (mut client, server) = serve(|header, body, out| match header.api.key {
            ApiKey::ListOffsets => {
                let request: ListOffsetsRequest = crate::bounds::decode(header.version, body).unwrap();
                assert_eq!(request.timeout_ms, 7);
                crate::bounds::encode(header.api.key, header.version, &ListOffsetsResponse::default(), out)
                    .unwrap();
            }
            ApiKey::Produce => {
                assert_eq!(ProduceRequest::decode(header.version, body).unwrap().timeout_ms, 9);
                let response = ProduceResponse { throttle_ms: 3, ..ProduceResponse::default() };
                response.encode(header.version, out).unwrap();
            }
            key => panic!("{key:?}"),
        });
        let request = ListOffsetsRequest::default().with_timeout_ms(7);
        assert_eq!(client.call(11, &request).unwrap(), ListOffsetsResponse::default());
        let request = ProduceRequest { timeout_ms: 9, acks: 1, ..ProduceRequest::default() };
        let sent = [client.send_produce(9, &request).unwrap(), client.send_produce(3, &request).unwrap()];
        for sent in sent {
            assert_eq!(client.receive_produce(sent).unwrap().throttle_ms, 3);
        }
        drop(client);
        server.join().unwrap();
    }

    #[test]
    fn errors_are_told_apart() {
        let (mut client, server) = serve(|_, _, out| out.push(1));
        let error = client.call(0, &MetadataRequest::default()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        client.send_raw(999, 0, b"").unwrap();
        assert!(client.is_closed_by_broker().unwrap());
        server.join().unwrap();
    }
}
