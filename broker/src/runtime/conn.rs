//! One client connection as the broker sees it: receive into a growing buffer, gathered send of owned pieces.
//!
//! The socket calls are ours, non-blocking and on the raw descriptor; glommio only waits for readiness. It has no vectored
//! write, and its reads arm a poll after every short read (GLOMMIO 2.1, 2.4).

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::task::Poll;

use bytes::{BufMut, Bytes, BytesMut};
use futures_lite::{AsyncRead, AsyncWrite};
use glommio::net::TcpStream;
use slipring_storage::chunk::ChunkSlice;

/// What a wake-up reads at first; what is more is then read straight into the connection's buffer.
const SCRATCH_BYTES: usize = 8 << 10;
/// Pieces of one gathered send.
const PIECES_PER_SEND: usize = 64;

/// Bytes on their way to a client. Record bytes stay where the log has them.
#[derive(Clone, Debug)]
pub enum Piece {
    /// Made for this response: headers, whole small responses.
    Owned(Bytes),
    /// Record batches in the tail's or a read's memory.
    Records(ChunkSlice),
}

impl Piece {
    /// The bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Records(slice) => slice,
        }
    }
}

/// Pieces waiting for the socket, in order.
#[derive(Debug, Default)]
pub struct SendQueue {
    pieces: VecDeque<Piece>,
    /// Bytes of the first piece that are sent already.
    sent: usize,
    bytes: usize,
}

impl SendQueue {
    /// Adds a piece at the end.
    pub fn push(&mut self, piece: Piece) {
        let length = piece.as_slice().len();
        if length > 0 {
            self.bytes += length;
            self.pieces.push_back(piece);
        }
    }

    /// Bytes not yet handed to the socket.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The next pieces as slices, for one gathered send.
    pub(crate) fn gather<'a>(&'a self, slices: &mut Vec<&'a [u8]>) {
        for (index, piece) in self.pieces.iter().take(PIECES_PER_SEND).enumerate() {
            let skip = if index == 0 { self.sent } else { 0 };
            slices.push(&piece.as_slice()[skip..]);
        }
    }

    /// Takes `count` sent bytes off the front.
    pub(crate) fn advance(&mut self, count: usize) {
        assert!(count <= self.bytes, "no more than what was queued can have been sent");
        self.bytes -= count;
        self.sent += count;
        while let Some(piece) = self.pieces.front() {
            let length = piece.as_slice().len();
            if self.sent < length {
                break;
            }
            self.sent -= length;
            self.pieces.pop_front();
        }
    }
}

/// What a send achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The queue is empty.
    All,
    /// The socket takes no more; wait for `Conn::writable`.
    Blocked,
}

/// A connection of this shard's driver.
pub enum Conn {
    /// A TCP socket, waited for through glommio.
    Tcp(TcpConn),
    /// An in-memory pipe of the simulation.
    #[cfg(feature = "sim")]
    Sim(super::sim::SimConn),
}

impl Conn {
    /// Takes over an accepted, blocking-mode TCP socket.
    #[must_use]
    pub fn from_socket(socket: OwnedFd) -> Self {
        Self::Tcp(TcpConn::new(socket))
    }

    /// Waits for bytes and appends them to `buffer`; 0 at the end of the stream. `more` says that the last receive
    /// filled what it was given, so more is likely there already.
    ///
    /// # Errors
    /// Those of the socket.
    pub async fn receive(&self, buffer: &mut BytesMut, room: usize, more: bool) -> io::Result<usize> {
        match self {
            Self::Tcp(conn) => conn.receive(buffer, room, more).await,
            #[cfg(feature = "sim")]
            Self::Sim(conn) => conn.receive(buffer, room).await,
        }
    }

    /// Sends from the front of `queue` as far as the socket takes it, without waiting.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn try_send(&self, queue: &mut SendQueue) -> io::Result<Sent> {
        match self {
            Self::Tcp(conn) => conn.try_send(queue),
            #[cfg(feature = "sim")]
            Self::Sim(conn) => conn.try_send(queue),
        }
    }

    /// After `Sent::Blocked`: waits until the socket takes bytes again, and hands it the first ones.
    ///
    /// # Errors
    /// Those of the socket.
    pub async fn send_some(&self, queue: &RefCell<SendQueue>) -> io::Result<()> {
        match self {
            Self::Tcp(conn) => conn.send_some(queue).await,
            #[cfg(feature = "sim")]
            Self::Sim(conn) => conn.send_some(queue).await,
        }
    }

    /// The socket once more, for another core; `None` when the driver knows no other cores' sockets.
    #[must_use]
    pub fn duplicate(&self) -> Option<OwnedFd> {
        match self {
            // SAFETY: the stream keeps the descriptor open as long as `self` lives.
            Self::Tcp(conn) => unsafe { BorrowedFd::borrow_raw(conn.fd) }.try_clone_to_owned().ok(),
            #[cfg(feature = "sim")]
            Self::Sim(_) => None,
        }
    }

    /// Ends the connection in both directions; a pending receive then sees the end of the stream.
    pub fn shutdown(&self) {
        match self {
            Self::Tcp(conn) => conn.shutdown(),
            #[cfg(feature = "sim")]
            Self::Sim(conn) => conn.shutdown(),
        }
    }
}

/// A TCP socket. The reader and the writer task both wait on it, each through its own direction.
pub struct TcpConn {
    stream: RefCell<TcpStream>,
    fd: RawFd,
}

impl TcpConn {
    fn new(socket: OwnedFd) -> Self {
        let fd = socket.into_raw_fd();
        // SAFETY: the descriptor was owned by `socket` and belongs to the stream from here on.
        let stream = unsafe { TcpStream::from_raw_fd(fd) };
        Self { stream: RefCell::new(stream), fd: fd.as_raw_fd() }
    }

    async fn receive(&self, buffer: &mut BytesMut, room: usize, more: bool) -> io::Result<usize> {
        let mut total = 0;
        if !more {
            total = self.receive_waiting(buffer).await?;
            if total < SCRATCH_BYTES {
                return Ok(total);
            }
        }
        match self.receive_now(buffer, room)? {
            Some(count) => Ok(total + count),
            None if total > 0 => Ok(total),
            None => self.receive_waiting(buffer).await,
        }
    }

    /// One non-blocking receive straight into the buffer's spare room; `None` when nothing is there.
    fn receive_now(&self, buffer: &mut BytesMut, room: usize) -> io::Result<Option<usize>> {
        buffer.reserve(room);
        let spare = buffer.chunk_mut();
        // SAFETY: the kernel writes at most `spare.len()` bytes into memory that `buffer` owns and nobody else sees.
        let count =
            unsafe { libc::recv(self.fd, spare.as_mut_ptr().cast(), spare.len(), libc::MSG_DONTWAIT) };
        if count < 0 {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(None),
                _ => Err(error),
            };
        }
        let count = count.unsigned_abs();
        // SAFETY: the kernel has just initialised these bytes.
        unsafe { buffer.advance_mut(count) };
        Ok(Some(count))
    }

    /// Waits through glommio. The bytes that end the wait come over a scratch buffer that all connections of the shard
    /// share, so that an idle connection owns no buffer at all.
    async fn receive_waiting(&self, buffer: &mut BytesMut) -> io::Result<usize> {
        thread_local! {
            static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice());
        }
        poll_fn(|context| {
            SCRATCH.with(|scratch| {
                let mut scratch = scratch.borrow_mut();
                let mut stream = self.stream.borrow_mut();
                let count = match Pin::new(&mut *stream).poll_read(context, &mut scratch) {
                    Poll::Ready(result) => result?,
                    Poll::Pending => return Poll::Pending,
                };
                buffer.extend_from_slice(&scratch[..count]);
                Poll::Ready(Ok(count))
            })
        })
        .await
    }

    fn try_send(&self, queue: &mut SendQueue) -> io::Result<Sent> {
        while queue.bytes() > 0 {
            let count = {
                let mut slices = Vec::with_capacity(PIECES_PER_SEND.min(queue.pieces.len()));
                queue.gather(&mut slices);
                send_vectored(self.fd, &slices)?
            };
            match count {
                Some(count) => queue.advance(count),
                None => return Ok(Sent::Blocked),
            }
        }
        Ok(Sent::All)
    }

    async fn send_some(&self, queue: &RefCell<SendQueue>) -> io::Result<()> {
        let count = poll_fn(|context| {
            let queue = queue.borrow();
            let mut slices = Vec::with_capacity(PIECES_PER_SEND);
            queue.gather(&mut slices);
            let first = slices.first().copied().unwrap_or_default();
            if first.is_empty() {
                return Poll::Ready(Ok(0));
            }
            Pin::new(&mut *self.stream.borrow_mut()).poll_write(context, first)
        })
        .await?;
        queue.borrow_mut().advance(count);
        Ok(())
    }

    fn shutdown(&self) {
        // SAFETY: shutdown takes the descriptor by number; the stream keeps it open.
        unsafe { libc::shutdown(self.fd, libc::SHUT_RDWR) };
    }
}

/// One gathered, non-blocking send; `None` when the socket is full.
fn send_vectored(fd: RawFd, slices: &[&[u8]]) -> io::Result<Option<usize>> {
    let mut parts = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; PIECES_PER_SEND];
    for (part, slice) in parts.iter_mut().zip(slices) {
        *part = libc::iovec { iov_base: slice.as_ptr().cast_mut().cast(), iov_len: slice.len() };
    }
    // SAFETY: all zero is a valid msghdr.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = parts.as_mut_ptr();
    message.msg_iovlen = slices.len().min(PIECES_PER_SEND);
    // SAFETY: every part points into a slice that outlives the call, and the kernel only reads from them.
    let count = unsafe { libc::sendmsg(fd, &raw const message, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) };
    if count >= 0 {
        return Ok(Some(count.unsigned_abs()));
    }
    let error = io::Error::last_os_error();
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(None),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_send_queue_keeps_its_place_over_partial_sends() {
        let mut queue = SendQueue::default();
        for text in ["abc", "", "defg", "h"] {
            queue.push(Piece::Owned(Bytes::from_static(text.as_bytes())));
        }
        let mut seen = Vec::new();
        for step in [2, 1, 3, 2] {
            let taken: Vec<u8> = {
                let mut slices = Vec::new();
                queue.gather(&mut slices);
                slices.concat()[..step].to_vec()
            };
            seen.extend(taken);
            queue.advance(step);
        }
        assert_eq!(seen, b"abcdefgh");
        assert_eq!(queue.bytes(), 0);
    }
}
