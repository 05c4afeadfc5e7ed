//! A client's end of a connection: real frames over a simulated pipe. Holds the broker to the order of its answers, their
//! correlation ids, and to answering at all.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::{Decodable, Request};
use slipring::runtime::conn::{Piece, SendQueue};
use slipring::runtime::sim::SimConn;
use slipring::runtime::{self, Instant};
use slipring_protocol::api::{ApiKey, codec_version, lookup};
use slipring_protocol::fetch::{FetchRequest, FetchResponse};
use slipring_protocol::frame::{self, FrameState};
use slipring_protocol::header::{encode_request_header, parse_response};
use slipring_protocol::produce::{ProduceRequest, ProduceResponse};

/// Virtual time within which a request must be answered, its own waiting not counted.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// The longest frame that a client takes.
const FRAME_BYTES_MAX: usize = 64 << 20;
/// What a receive makes room for.
const RECEIVE_BYTES: usize = 64 << 10;

/// The connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// A request without its answer.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Which API.
    pub key: ApiKey,
    /// In which version.
    pub version: i16,
    correlation_id: i32,
    /// When it was sent.
    pub at: Instant,
    /// How long it may wait by its own wish.
    pub patience: Duration,
}

/// A client's connection.
pub struct Wire {
    conn: SimConn,
    input: RefCell<BytesMut>,
    output: RefCell<SendQueue>,
    correlation_id: Cell<i32>,
    in_flight: RefCell<VecDeque<Sent>>,
}

impl Wire {
    /// Takes the client's end of a connection.
    #[must_use]
    pub fn new(conn: SimConn, first_correlation_id: i32) -> Rc<Self> {
        Rc::new(Self {
            conn,
            input: RefCell::default(),
            output: RefCell::default(),
            correlation_id: Cell::new(first_correlation_id),
            in_flight: RefCell::default(),
        })
    }

    /// Requests without an answer so far.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.borrow().len()
    }

    /// Breaks off.
    pub fn cut(&self) {
        self.conn.shutdown();
    }

    /// Sends a request of the published codec.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn send<R: Request>(&self, version: i16, request: &R) -> Result<(), Gone> {
        let key = lookup(R::KEY).expect("an API of Kafka's").key;
        self.send_with(key, version, Duration::ZERO, true, |out| {
            request.encode(out, codec_version(key, version)).expect("fits its version");
        })
        .await
    }

    /// Sends a request of the published codec and waits for its answer; nothing else may be in flight.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn call<R: Request>(&self, version: i16, request: &R) -> Result<R::Response, Gone> {
        assert_eq!(self.in_flight(), 0, "calls are for connections at rest");
        self.send(version, request).await?;
        let (_, mut body) = self.receive().await?;
        let version = codec_version(lookup(R::KEY).expect("an API of Kafka's").key, version);
        let response = R::Response::decode(&mut body, version).expect("the broker's answer can be read");
        assert!(body.is_empty(), "bytes after an answer to {}", R::KEY);
        Ok(response)
    }

    /// Sends a produce; with acks=0 no answer comes.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn send_produce(&self, version: i16, request: &ProduceRequest) -> Result<(), Gone> {
        let answered = request.acks != 0;
        self.send_with(ApiKey::Produce, version, Duration::ZERO, answered, |out| {
            request.encode(version, out).expect("fits its version");
        })
        .await
    }

    /// Waits for the answer to a produce.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn receive_produce(&self) -> Result<ProduceResponse, Gone> {
        let (sent, body) = self.receive().await?;
        assert_eq!(sent.key, ApiKey::Produce);
        Ok(ProduceResponse::decode(sent.version, body).expect("the broker's answer can be read"))
    }

    /// Sends a fetch.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn send_fetch(&self, version: i16, request: &FetchRequest) -> Result<(), Gone> {
        let patience = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
        self.send_with(ApiKey::Fetch, version, patience, true, |out| {
            request.encode(version, out).expect("fits its version");
        })
        .await
    }

    /// Waits for the answer to a fetch.
    ///
    /// # Errors
    /// When the connection has ended.
    pub async fn receive_fetch(&self) -> Result<FetchResponse, Gone> {
        let (sent, body) = self.receive().await?;
        assert_eq!(sent.key, ApiKey::Fetch);
        Ok(FetchResponse::decode(sent.version, body).expect("the broker's answer can be read"))
    }

    /// Waits for the next answer, which must be to the oldest request.
    ///
    /// # Errors
    /// When the connection has ended.
    ///
    /// # Panics
    /// When the answer is to another request, or does not come in time.
    pub async fn receive(&self) -> Result<(Sent, Bytes), Gone> {
        let sent = *self.in_flight.borrow().front().expect("somebody waits for an answer only after asking");
        let deadline = sent.at.max(runtime::now()).plus(sent.patience + ANSWER_WITHIN);
        let late = async {
            runtime::sleep_until(deadline).await;
            panic!(
                "{:?} v{} sent at {:?} is unanswered at {:?}",
                sent.key,
                sent.version,
                sent.at,
                runtime::now()
            );
        };
        let frame = futures_lite::future::or(self.frame(), late).await?;
        let (correlation_id, body) =
            parse_response(sent.key, sent.version, &frame).expect("the broker's answer has a header");
        assert_eq!(
            correlation_id, sent.correlation_id,
            "an answer to another request came for {:?} v{}",
            sent.key, sent.version
        );
        self.in_flight.borrow_mut().pop_front();
        Ok((sent, body))
    }

    async fn frame(&self) -> Result<Bytes, Gone> {
        loop {
            let mut input = self.input.take();
            match frame::decode(&input, FRAME_BYTES_MAX) {
                FrameState::Frame { start, end } => {
                    let frame = input.split_to(end).freeze().slice(start..);
                    *self.input.borrow_mut() = input;
                    return Ok(frame);
                }
                FrameState::NeedMore { .. } => {}
                state => panic!("the broker sent a frame like this: {state:?}"),
            }
            *self.input.borrow_mut() = input;
            // Not while the buffer is taken: a wait that loses against a timer must leave it in its place.
            let mut arrived = BytesMut::new();
            let count = self.conn.receive(&mut arrived, RECEIVE_BYTES).await.map_err(|_| Gone)?;
            if count == 0 {
                return Err(Gone);
            }
            self.input.borrow_mut().extend_from_slice(&arrived);
        }
    }

    async fn send_with(
        &self,
        key: ApiKey,
        version: i16,
        patience: Duration,
        answered: bool,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Gone> {
        let correlation_id = self.correlation_id.get();
        self.correlation_id.set(correlation_id.wrapping_add(1));
        let mut out = Vec::new();
        let start = frame::begin(&mut out);
        encode_request_header(key, version, correlation_id, Some("sim"), &mut out);
        encode(&mut out);
        frame::finish(&mut out, start, 0);
        self.output.borrow_mut().push(Piece::Owned(out.into()));
        while self.output.borrow().bytes() > 0 {
            let stuck = async {
                runtime::sleep(ANSWER_WITHIN).await;
                panic!(
                    "the broker has read nothing for {ANSWER_WITHIN:?} with {} in flight",
                    self.in_flight()
                );
            };
            futures_lite::future::or(self.conn.send_some(&self.output), stuck).await.map_err(|_| Gone)?;
        }
        if answered {
            let at = runtime::now();
            self.in_flight.borrow_mut().push_back(Sent { key, version, correlation_id, at, patience });
        }
        Ok(())
    }
}
