//! Simulated connections: two bounded pipes. Bytes arrive in pieces of a seeded size, and a full pipe blocks its sender.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Poll, Waker};

use bytes::BytesMut;

use super::super::conn::{SendQueue, Sent};
use super::Choices;

/// Bytes that a simulated socket holds in one direction.
const SOCKET_BYTES: usize = 64 << 10;

/// One end of a simulated connection. Bytes arrive in pieces of a seeded size, and a full pipe blocks its sender.
pub struct SimConn {
    incoming: Rc<Pipe>,
    outgoing: Rc<Pipe>,
}

#[derive(Default)]
struct Pipe {
    bytes: RefCell<VecDeque<u8>>,
    closed: Cell<bool>,
    reader: RefCell<Option<Waker>>,
    writer: RefCell<Option<Waker>>,
    choices: RefCell<Option<Choices>>,
}

impl Pipe {
    fn seeded(seed: u64) -> Rc<Self> {
        let pipe = Self::default();
        *pipe.choices.borrow_mut() = Some(Choices::new(seed));
        Rc::new(pipe)
    }

    fn some_of(&self, bound: usize) -> usize {
        let mut choices = self.choices.borrow_mut();
        1 + choices.as_mut().expect("seeded when made").below(bound)
    }

    fn wake(slot: &RefCell<Option<Waker>>) {
        if let Some(waker) = slot.borrow_mut().take() {
            waker.wake();
        }
    }

    fn close(&self) {
        self.closed.set(true);
        Self::wake(&self.reader);
        Self::wake(&self.writer);
    }

    /// Takes a part of `slice` if there is room.
    fn offer(&self, slice: &[u8]) -> io::Result<Option<usize>> {
        if self.closed.get() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let room = SOCKET_BYTES - self.bytes.borrow().len();
        if room == 0 {
            return Ok(None);
        }
        let count = self.some_of(slice.len().min(room));
        self.bytes.borrow_mut().extend(&slice[..count]);
        Self::wake(&self.reader);
        Ok(Some(count))
    }
}

/// Makes a connection: the client's end and the broker's.
#[must_use]
pub fn connect(seed: u64) -> (SimConn, SimConn) {
    let (there, back) = (Pipe::seeded(seed), Pipe::seeded(seed.rotate_left(32) ^ 1));
    (SimConn { incoming: back.clone(), outgoing: there.clone() }, SimConn { incoming: there, outgoing: back })
}

impl SimConn {
    /// As `Conn::receive`.
    ///
    /// # Errors
    /// None so far; sockets have some.
    pub async fn receive(&self, buffer: &mut BytesMut, room: usize) -> io::Result<usize> {
        poll_fn(|context| {
            let pipe = &self.incoming;
            let available = pipe.bytes.borrow().len().min(room);
            if available == 0 && !pipe.closed.get() {
                *pipe.reader.borrow_mut() = Some(context.waker().clone());
                return Poll::Pending;
            }
            let count = if available == 0 { 0 } else { pipe.some_of(available) };
            buffer.extend(pipe.bytes.borrow_mut().drain(..count));
            Pipe::wake(&pipe.writer);
            Poll::Ready(Ok(count))
        })
        .await
    }

    /// As `Conn::try_send`.
    ///
    /// # Errors
    /// When the other end is gone.
    pub fn try_send(&self, queue: &mut SendQueue) -> io::Result<Sent> {
        while queue.bytes() > 0 {
            let count = {
                let mut slices = Vec::new();
                queue.gather(&mut slices);
                self.outgoing.offer(slices[0])?
            };
            match count {
                Some(count) => queue.advance(count),
                None => return Ok(Sent::Blocked),
            }
        }
        Ok(Sent::All)
    }

    /// As `Conn::send_some`.
    ///
    /// # Errors
    /// When the other end is gone.
    pub async fn send_some(&self, queue: &RefCell<SendQueue>) -> io::Result<()> {
        poll_fn(|context| {
            let before = queue.borrow().bytes();
            self.try_send(&mut queue.borrow_mut())?;
            if queue.borrow().bytes() == before && before > 0 {
                *self.outgoing.writer.borrow_mut() = Some(context.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// As `Conn::shutdown`.
    pub fn shutdown(&self) {
        self.incoming.close();
        self.outgoing.close();
    }
}

impl Drop for SimConn {
    fn drop(&mut self) {
        self.shutdown();
    }
}
