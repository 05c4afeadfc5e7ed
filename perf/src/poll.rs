//! Readiness of many sockets for one thread: a thin safe cover over epoll, level-triggered. And a receive that throws the
//! bytes away in the kernel.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// A set of watched sockets.
#[derive(Debug)]
pub(crate) struct Poller {
    epoll: OwnedFd,
    events: Vec<libc::epoll_event>,
}

/// What is waited for beside input, which always is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Input only.
    Input,
    /// Also room for output.
    InputAndOutput,
}

impl Poller {
    /// An empty set.
    ///
    /// # Errors
    /// When the process may not open another descriptor.
    pub(crate) fn new() -> io::Result<Self> {
        // SAFETY: takes no pointer; the result is checked before it is owned.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the descriptor was just made and has no other owner.
        let epoll = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { epoll, events: vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS_MAX] })
    }

    /// Watches a socket under a token.
    ///
    /// # Errors
    /// Of the kernel, such as too many watches.
    pub(crate) fn add(&self, socket: &impl AsRawFd, token: usize) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, socket.as_raw_fd(), token, Interest::Input)
    }

    /// Changes what is waited for.
    ///
    /// # Errors
    /// When the socket is not watched.
    pub(crate) fn set(&self, socket: &impl AsRawFd, token: usize, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, socket.as_raw_fd(), token, interest)
    }

    fn control(&self, operation: i32, socket: RawFd, token: usize, interest: Interest) -> io::Result<()> {
        let events = match interest {
            Interest::Input => libc::EPOLLIN,
            Interest::InputAndOutput => libc::EPOLLIN | libc::EPOLLOUT,
        };
        let mut event = libc::epoll_event { events: events as u32, u64: token as u64 };
        // SAFETY: the event lives through the call, which copies it.
        check(unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), operation, socket, &raw mut event) })?;
        Ok(())
    }

    /// Waits until a socket is ready, or the time is up; the tokens of the ready ones.
    ///
    /// # Errors
    /// Of the kernel. An interrupting signal is no error: nothing was ready then.
    pub(crate) fn wait(&mut self, timeout: Duration) -> io::Result<impl Iterator<Item = usize>> {
        let timeout = i32::try_from(timeout.as_millis().max(1)).unwrap_or(i32::MAX);
        let room = i32::try_from(self.events.len()).expect("a constant far below");
        // SAFETY: the kernel writes at most `room` events into the vector, which holds as many.
        let ready =
            unsafe { libc::epoll_wait(self.epoll.as_raw_fd(), self.events.as_mut_ptr(), room, timeout) };
        let ready = match check(ready) {
            Ok(ready) => ready as usize,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(error) => return Err(error),
        };
        Ok(self.events[..ready].iter().map(|event| event.u64 as usize))
    }
}

/// Receives up to `len` bytes and drops them in the kernel (`MSG_TRUNC`, tcp(7)): reading costs no copy. Waits for input
/// only if the socket is blocking. 0 is the end of the stream.
///
/// # Errors
/// Of the connection.
pub(crate) fn discard(stream: &TcpStream, len: usize) -> io::Result<usize> {
    // SAFETY: with MSG_TRUNC a TCP socket writes nothing to the buffer, so it may be null.
    let received = unsafe { libc::recv(stream.as_raw_fd(), std::ptr::null_mut(), len, libc::MSG_TRUNC) };
    usize::try_from(received).map_err(|_| io::Error::last_os_error())
}

/// Lets this thread's timed waits end as exactly as the kernel can, instead of up to 50 us late.
pub(crate) fn exact_timers() {
    // SAFETY: takes plain numbers.
    unsafe {
        libc::prctl(libc::PR_SET_TIMERSLACK, 1_u64, 0_u64, 0_u64, 0_u64);
    }
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Events taken at a time.
const EVENTS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (near, listener.accept().unwrap().0)
    }

    #[test]
    fn ready_sockets_are_named() {
        let (near, mut far) = pair();
        let mut poller = Poller::new().unwrap();
        poller.add(&near, 7).unwrap();
        assert_eq!(poller.wait(Duration::from_millis(1)).unwrap().count(), 0);
        far.write_all(b"x").unwrap();
        assert_eq!(poller.wait(Duration::from_secs(5)).unwrap().collect::<Vec<_>>(), [7]);
        (&near).read_exact(&mut [0]).unwrap();
        poller.set(&near, 8, Interest::InputAndOutput).unwrap();
        assert_eq!(poller.wait(Duration::from_secs(5)).unwrap().collect::<Vec<_>>(), [8]);
        poller.set(&near, 8, Interest::Input).unwrap();
        assert_eq!(poller.wait(Duration::from_millis(1)).unwrap().count(), 0);
    }

    #[test]
    fn discarded_bytes_are_gone() {
        let (near, mut far) = pair();
        far.write_all(b"abcdefg").unwrap();
        let mut left = 5;
        while left > 0 {
            left -= discard(&near, left).unwrap();
        }
        let mut rest = [0; 2];
        (&near).read_exact(&mut rest).unwrap();
        assert_eq!(&rest, b"fg");
        drop(far);
        assert_eq!(discard(&near, 5).unwrap(), 0);
    }
}
