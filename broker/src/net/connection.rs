//! One client connection, on the core that it was handed to, for as long as it lives: frames in, responses out in request
//! order. Knows no Kafka semantics beyond the rule that only Produce may overlap.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use slipring_protocol::api::ApiKey;
use slipring_protocol::frame::{self, FrameState};
use slipring_protocol::header::RequestHeader;

use super::budget::FREE_BYTES;
use super::listener::{Accepted, ConnectionPermit};
use super::response_queue::{Place, ResponseQueue};
use super::steer::{self, Steering};
use crate::handlers;
use crate::router;
use crate::runtime::conn::{Conn, Piece, SendQueue, Sent};
use crate::runtime::mailbox::ShardId;
use crate::runtime::signal::{Signal, WaitQueue};
use crate::runtime::{self, Instant, Queue};
use crate::shard::Shard;
use crate::shard::message::Message;

/// Produce requests of one connection that may wait for their commit at the same time.
const PLACES_MAX: usize = 512;
/// Request bytes of one connection that may wait for their commit at the same time (one larger request is let through).
const IN_FLIGHT_BYTES_MAX: usize = 16 << 20;
/// Response bytes that may wait for a slow client before its next request is looked at.
const UNSENT_BYTES_MAX: usize = 1 << 20;
/// The least that a receive makes room for.
const RECEIVE_BYTES_MIN: usize = 64 << 10;
/// The most that a receive makes room for before the bytes are there.
const RECEIVE_BYTES_MAX: usize = 1 << 20;

/// How long a client that has ended or broken off may take for its last answers.
const LAST_ANSWERS_WAIT_MAX: Duration = Duration::from_secs(5);

/// Name of a connection on its shard; never reused while an answer may still be on its way to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConnectionId(pub u64);

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
pub enum Closed {
    /// The client closed it, or the broker shut it down.
    #[error("end of stream")]
    EndOfStream,
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The client broke the protocol; Kafka closes the connection too.
    #[error("{0}")]
    Protocol(String),
}

/// The state that a connection's tasks and its shard share.
pub struct Connection {
    /// Its name on this shard.
    pub id: ConnectionId,
    /// The client's address.
    pub peer: IpAddr,
    conn: Conn,
    responses: RefCell<ResponseQueue>,
    outgoing: RefCell<SendQueue>,
    in_flight_bytes: Cell<usize>,
    /// What it holds of the core's memory for requests.
    held_bytes: Cell<usize>,
    /// The socket was full; the writer task owns sending until it is not.
    blocked: Cell<bool>,
    writer: Signal,
    /// Something was answered or sent, or the connection ended.
    progress: WaitQueue,
    ended: Cell<bool>,
    last_active: Cell<Instant>,
    /// When the frame that is still incomplete began.
    partial_since: Cell<Option<Instant>>,
    /// Which core it belongs on.
    pub steering: Steering,
    moves: u32,
    /// Taken out when it moves to another core.
    permit: RefCell<Option<ConnectionPermit>>,
}

impl Connection {
    /// Makes the state of a connection that was just accepted, or has moved here, for the `moves`th time.
    #[must_use]
    pub fn new(id: ConnectionId, peer: IpAddr, conn: Conn, permit: ConnectionPermit, moves: u32) -> Rc<Self> {
        Rc::new(Self {
            id,
            peer,
            conn,
            responses: RefCell::default(),
            outgoing: RefCell::default(),
            in_flight_bytes: Cell::new(0),
            held_bytes: Cell::new(0),
            blocked: Cell::new(false),
            writer: Signal::default(),
            progress: WaitQueue::default(),
            ended: Cell::new(false),
            last_active: Cell::new(runtime::now()),
            partial_since: Cell::new(None),
            steering: Steering::new(moves),
            moves,
            permit: RefCell::new(Some(permit)),
        })
    }

    /// Takes a place among the responses for a request of `bytes`.
    pub fn reserve(&self, bytes: usize) -> Place {
        self.in_flight_bytes.set(self.in_flight_bytes.get() + bytes);
        self.responses.borrow_mut().reserve()
    }

    /// Fills a place taken for a request of `bytes`. The caller flushes once for everything it filled.
    pub fn fill(&self, place: Place, bytes: usize, response: Vec<Piece>) {
        self.in_flight_bytes.set(self.in_flight_bytes.get() - bytes);
        self.responses.borrow_mut().fill(place, response, &mut self.outgoing.borrow_mut());
        self.progress.wake_all();
    }

    /// Sends what is complete, as far as the socket takes it; the rest is the writer task's.
    pub fn flush(&self) {
        if self.blocked.get() || self.ended.get() || self.outgoing.borrow().bytes() == 0 {
            return;
        }
        let sent = self.conn.try_send(&mut self.outgoing.borrow_mut());
        match sent {
            Ok(Sent::All) => self.progress.wake_all(),
            Ok(Sent::Blocked) => {
                self.blocked.set(true);
                self.writer.set();
            }
            Err(_) => self.end(),
        }
    }

    /// Shuts the connection down; its tasks see the end and stop.
    pub fn end(&self) {
        if !self.ended.replace(true) {
            self.conn.shutdown();
        }
        self.writer.set();
        self.progress.wake_all();
    }

    /// Gives the socket away: to this core the connection has ended, to the client nothing happens.
    fn give_away(&self, to: ShardId, input: BytesMut) -> Option<Accepted> {
        let socket = self.conn.duplicate()?;
        let mut permit = self.permit.take()?;
        permit.move_to(to);
        self.ended.set(true);
        self.writer.set();
        self.progress.wake_all();
        Some(Accepted { socket, input, moves: self.moves + 1, peer: self.peer, permit })
    }

    /// Whether it has been idle since before `idle_since`, or a frame of it has been incomplete since then.
    #[must_use]
    pub fn is_stale(&self, idle_since: Instant) -> bool {
        let idle = self.last_active.get() <= idle_since && self.responses.borrow().waiting() == 0;
        let stuck = self.partial_since.get().is_some_and(|since| since <= idle_since);
        idle || stuck
    }

    /// Whether answers wait for the socket.
    #[must_use]
    pub fn has_unsent(&self) -> bool {
        !self.ended.get() && self.outgoing.borrow().bytes() > 0
    }

    /// Notes how many bytes of a request that is still arriving it holds, those in flight included.
    fn hold(&self, shard: &Shard, arriving: usize) {
        let held = arriving + self.in_flight_bytes.get();
        shard.network.changed(self.held_bytes.replace(held), held);
        if arriving <= FREE_BYTES {
            shard.network.released(self.id);
        }
    }

    /// Notes since when a frame has been arriving: bytes left over by the frames before it are its first ones.
    fn note_partial(&self, left: usize, before: usize) {
        let since = match self.partial_since.get() {
            _ if left == 0 => None,
            Some(since) if left == before => Some(since),
            Some(_) | None => Some(self.last_active.get()),
        };
        self.partial_since.set(since);
    }

    /// Whether it holds much and has been waiting for the rest of a request since before `since`.
    #[must_use]
    pub fn holds_up(&self, since: Instant) -> bool {
        self.held_bytes.get() > FREE_BYTES && self.partial_since.get().is_some_and(|partial| partial <= since)
    }

    /// Waits until every request so far is answered and the client has taken most of the answers: one request of a
    /// connection after the other, as Kafka does it, and no pile of responses for a client that does not read.
    async fn all_answered(&self) {
        let condition = || {
            self.ended.get()
                || (self.responses.borrow().waiting() == 0
                    && self.outgoing.borrow().bytes() <= UNSENT_BYTES_MAX)
        };
        self.progress.wait_until(condition).await;
    }

    /// Waits until every request is answered and the client has taken all answers.
    async fn answers_sent(&self) {
        self.flush();
        let condition = || {
            self.ended.get()
                || (self.responses.borrow().waiting() == 0 && self.outgoing.borrow().bytes() == 0)
        };
        self.progress.wait_until(condition).await;
    }

    /// Whether another produce may join those that wait for their commit.
    fn has_room_for_produce(&self) -> bool {
        self.ended.get()
            || (self.responses.borrow().waiting() < PLACES_MAX
                && self.in_flight_bytes.get() < IN_FLIGHT_BYTES_MAX
                && self.outgoing.borrow().bytes() <= UNSENT_BYTES_MAX)
    }
}

/// Runs a connection from its first byte to its end.
pub async fn serve(shard: Rc<Shard>, connection: Rc<Connection>, input: BytesMut) {
    runtime::spawn(Queue::Foreground, write_when_writable(connection.clone()));
    let outcome = read_requests(&shard, &connection, input).await;
    match outcome {
        Ok(()) | Err(Closed::EndOfStream) => {}
        Err(Closed::Io(error)) => tracing::debug!(peer = %connection.peer, %error, "connection failed"),
        Err(Closed::Protocol(reason)) => {
            shard.metrics.protocol_errors.inc();
            tracing::info!(peer = %connection.peer, reason, "closing connection: protocol error");
        }
    }
    // What came before the end, or before the mistake, is answered first.
    shard.end_turn();
    futures_lite::future::or(connection.answers_sent(), runtime::sleep(LAST_ANSWERS_WAIT_MAX)).await;
    connection.end();
    shard.network.changed(connection.held_bytes.replace(0), 0);
    shard.network.released(connection.id);
    shard.connection_ended(connection.id);
}

async fn read_requests(
    shard: &Rc<Shard>,
    connection: &Rc<Connection>,
    mut input: BytesMut,
) -> Result<(), Closed> {
    let frame_max = shard.config.network.request_bytes_max;
    let mut more = false;
    loop {
        let before = input.len();
        let need = handle_frames(shard, connection, &mut input, frame_max).await?;
        connection.flush();
        shard.end_turn();
        if let Some(to) = connection.steering.wanted() {
            input = match move_away(shard, connection, to, input).await {
                None => return Ok(()),
                Some(input) => input,
            };
        }
        connection.note_partial(input.len(), before);
        if input.is_empty() && input.capacity() > RECEIVE_BYTES_MAX {
            input = BytesMut::new();
        }
        connection.hold(shard, input.len());
        shard.network.room_for(connection.id, input.len(), runtime::now()).await;
        // Grows with what has arrived, never with what a length field claims.
        let room = need.min(input.len()).clamp(RECEIVE_BYTES_MIN, RECEIVE_BYTES_MAX);
        let count = connection.conn.receive(&mut input, room, more).await?;
        if count == 0 || connection.ended.get() {
            return Err(Closed::EndOfStream);
        }
        connection.last_active.set(runtime::now());
        more = count >= room;
    }
}

/// Lets another core serve the connection from its next request on. Gives the input back when it stays after all.
async fn move_away(
    shard: &Rc<Shard>,
    connection: &Rc<Connection>,
    to: ShardId,
    input: BytesMut,
) -> Option<BytesMut> {
    let crowded =
        connection.permit.borrow().as_ref().is_none_or(|permit| permit.ahead(to) >= steer::AHEAD_MAX);
    if crowded {
        return Some(input);
    }
    connection.answers_sent().await;
    if connection.ended.get() || shard.stopping.get() {
        return Some(input);
    }
    // A copy, lest it keep this core's whole receive buffer.
    match connection.give_away(to, BytesMut::from(&input[..])) {
        Some(accepted) => {
            shard.metrics.connections_moved.inc();
            shard.mail.post(to, Message::Accepted(accepted));
            shard.end_turn();
            None
        }
        None => Some(input),
    }
}

/// Handles every whole frame in `input`; returns how many bytes the next one still lacks.
async fn handle_frames(
    shard: &Rc<Shard>,
    connection: &Rc<Connection>,
    input: &mut BytesMut,
    frame_max: usize,
) -> Result<usize, Closed> {
    loop {
        match frame::decode(input, frame_max) {
            FrameState::NeedMore { have, need } => return Ok(need - have),
            FrameState::Frame { start, end } => {
                let frame = input.split_to(end).freeze().slice(start..);
                handle_frame(shard, connection, frame).await?;
                if connection.ended.get() {
                    return Err(Closed::EndOfStream);
                }
            }
            FrameState::TooLarge(length) => {
                let reason =
                    format!("a request of {length} bytes exceeds socket.request.max.bytes = {frame_max}");
                return Err(Closed::Protocol(reason));
            }
            FrameState::Negative(length) => {
                return Err(Closed::Protocol(format!("a request length of {length}")));
            }
        }
    }
}

async fn handle_frame(shard: &Rc<Shard>, connection: &Rc<Connection>, frame: Bytes) -> Result<(), Closed> {
    let (header, body) = RequestHeader::parse(&frame).map_err(|error| Closed::Protocol(error.to_string()))?;
    if header.key == ApiKey::Produce as i16 {
        if !connection.has_room_for_produce() {
            // What this waits for must be under way.
            shard.end_turn();
            connection.progress.wait_until(|| connection.has_room_for_produce()).await;
        }
        return handlers::produce::handle(shard, connection, &header, body).await;
    }
    if connection.responses.borrow().waiting() > 0 {
        // What this waits for must be under way.
        shard.end_turn();
    }
    connection.flush();
    connection.all_answered().await;
    let response = router::route(shard, connection, &header, body).await?;
    let mut outgoing = connection.outgoing.borrow_mut();
    response.into_iter().for_each(|piece| outgoing.push(piece));
    Ok(())
}

/// Takes over when the socket is full, until it is not.
async fn write_when_writable(connection: Rc<Connection>) {
    loop {
        connection.writer.wait().await;
        while connection.blocked.get() && !connection.ended.get() {
            if connection.conn.send_some(&connection.outgoing).await.is_err() {
                connection.end();
                break;
            }
            connection.last_active.set(runtime::now());
            let sent = connection.conn.try_send(&mut connection.outgoing.borrow_mut());
            match sent {
                Ok(Sent::All) => connection.blocked.set(false),
                Ok(Sent::Blocked) => {}
                Err(_) => connection.end(),
            }
            connection.progress.wake_all();
        }
        if connection.ended.get() {
            return;
        }
    }
}
