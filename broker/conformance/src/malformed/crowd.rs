//! Connections that are many rather than malformed: idle ones, ones that send a byte at a time, ones that claim memory, and
//! ones that do not read.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::attack::connect;
use super::case::frame;
use super::cases::hello;

/// Connections that were opened and say nothing.
pub(crate) struct Idle(Vec<TcpStream>);

impl Idle {
    /// Opens so many, every other of which asks something first.
    ///
    /// # Errors
    /// Says after how many the broker or the machine had enough.
    pub(crate) fn open(address: SocketAddr, count: usize) -> io::Result<Self> {
        let mut streams = Vec::with_capacity(count);
        for number in 0..count {
            let opened = connect(address).and_then(|mut stream| {
                if number % 2 == 0 {
                    ask(&mut stream)?;
                }
                Ok(stream)
            });
            let opened = opened.map_err(|error| {
                io::Error::new(error.kind(), format!("idle connection {number} of {count}: {error}"))
            })?;
            streams.push(opened);
        }
        Ok(Self(streams))
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Asks something on every one; how many are answered.
    pub(crate) fn wake(mut self) -> usize {
        self.0.iter_mut().map(ask).filter(Result::is_ok).count()
    }
}

/// Sends a request a byte at a time over many connections at once; how many are answered.
pub(crate) fn trickle(address: SocketAddr, count: usize, pause: Duration) -> io::Result<usize> {
    let mut streams = (0..count).map(|_| connect(address)).collect::<io::Result<Vec<_>>>()?;
    for byte in hello() {
        for stream in &mut streams {
            // A broker that hangs up shows in the count.
            let _ = stream.write_all(&[byte]);
        }
        thread::sleep(pause);
    }
    Ok(streams.iter_mut().map(listen).filter(Result::is_ok).count())
}

/// Claims the longest frame on many connections, sends a little of each and holds on for a while.
pub(crate) fn claim(address: SocketAddr, count: usize, hold: Duration) -> io::Result<()> {
    let begin = [&(100u32 << 20).to_be_bytes()[..], &[0, 0, 0, 11], &[0; 16_000]].concat();
    let mut streams = Vec::new();
    for _ in 0..count {
        let mut stream = connect(address)?;
        // It may be refused: memory is the broker's to give.
        let _ = stream.write_all(&begin);
        streams.push(stream);
    }
    thread::sleep(hold);
    Ok(())
}

/// Asks for far more than it reads, on many connections, for a while.
pub(crate) fn ignore(address: SocketAddr, fetch: &[u8], count: usize, hold: Duration) -> io::Result<()> {
    let asked = frame(1, 12, fetch).repeat(100);
    let mut streams = Vec::new();
    for _ in 0..count {
        let mut stream = connect(address)?;
        stream.set_nonblocking(true)?;
        // What the broker does not take yet stays here.
        let _ = stream.write(&asked);
        streams.push(stream);
    }
    thread::sleep(hold);
    Ok(())
}

fn ask(stream: &mut TcpStream) -> io::Result<()> {
    stream.write_all(&hello())?;
    listen(stream)
}

/// Waits for one answer.
fn listen(stream: &mut TcpStream) -> io::Result<()> {
    let began = Instant::now();
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut body = vec![0; u32::from_be_bytes(length).min(1 << 20) as usize];
    stream.read_exact(&mut body)?;
    if began.elapsed() > Duration::from_secs(10) { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
}

/// Raises the limit of open files as far as allowed; gives it.
pub(crate) fn raise_open_files() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to an rlimit that lives through both calls.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) != 0 {
            return 1_024;
        }
        let wanted = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
        if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const wanted) == 0 {
            wanted.rlim_cur
        } else {
            limit.rlim_cur
        }
    }
}
