//! Carries conversations out, many at once, and notes what came of each.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::case::{Case, Ending};
use super::outcome::{Outcome, read, refused};
use crate::session::schema::Schema;

/// What came of every row and version; more than one outcome where chance or timing decides.
pub(crate) type Results = BTreeMap<String, BTreeMap<Option<i16>, BTreeSet<Outcome>>>;

/// Attacks with so many conversations of a class, going round when there are fewer.
pub(crate) fn attack(address: SocketAddr, cases: &[Case], requests: usize) -> Results {
    // Those that the broker leaves open take time, and take it together.
    let mut order: Vec<&Case> = cases.iter().cycle().take(requests).collect();
    order.sort_by_key(|case| case.is_left_waiting());
    let results = Mutex::new(Results::new());
    let next = AtomicUsize::new(0);
    let chunks: Vec<&[&Case]> = order.chunks(CHUNK).collect();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let schema = Schema::load();
                while let Some(chunk) = chunks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcomes = converse(&schema, address, chunk);
                    let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
                    for (case, outcome) in chunk.iter().zip(outcomes) {
                        note(&mut results, case, outcome);
                    }
                }
            });
        }
    });
    results.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Carries out one conversation, with more patience.
pub(crate) fn one(schema: &Schema, address: SocketAddr, case: &Case, patience: Duration) -> Outcome {
    match open(address, case) {
        Ok(mut stream) => read(schema, case, &mut stream, patience),
        Err(error) => refused(&error),
    }
}

/// Notes what came of a conversation.
pub(crate) fn note(results: &mut Results, case: &Case, outcome: Outcome) {
    let versions = results.entry(case.name.clone()).or_default();
    versions.entry(case.version).or_default().insert(outcome);
}

/// A new connection that is not remembered once it is gone: else the machine runs out of ports.
pub(crate) fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(10))?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(Duration::from_secs(20)))?;
    set_reset_on_close(&stream)?;
    Ok(stream)
}

fn converse(schema: &Schema, address: SocketAddr, chunk: &[&Case]) -> Vec<Outcome> {
    let streams: Vec<_> = chunk.iter().map(|case| open(address, case)).collect();
    let sent = Instant::now();
    let outcomes = chunk.iter().zip(streams).map(|(case, stream)| match stream {
        Ok(mut stream) => {
            let patience = if case.is_left_waiting() { SILENCE } else { PATIENCE };
            let left = patience.saturating_sub(sent.elapsed()).max(Duration::from_millis(1));
            read(schema, case, &mut stream, left)
        }
        Err(error) => refused(&error),
    });
    outcomes.collect()
}

fn open(address: SocketAddr, case: &Case) -> io::Result<TcpStream> {
    let mut stream = connect(address)?;
    // A broker that hangs up before it has everything may be right to.
    let sent = stream.write_all(&case.bytes);
    if case.ending == Ending::HalfClose && sent.is_ok() {
        let _ = stream.shutdown(Shutdown::Write);
    }
    if case.ending == Ending::Reset {
        // Closing resets. What is read next is not the broker's doing, and always the same.
        return reset(&stream).map(|()| stream);
    }
    Ok(stream)
}

fn reset(stream: &TcpStream) -> io::Result<()> {
    // Connecting to nowhere dissolves the association, which resets it while the descriptor stays.
    // SAFETY: a zeroed sockaddr is a valid AF_UNSPEC address, and its size is given.
    unsafe {
        let nowhere: libc::sockaddr = std::mem::zeroed();
        libc::connect(stream.as_raw_fd(), &raw const nowhere, size_of::<libc::sockaddr>() as libc::socklen_t);
    }
    Ok(())
}

fn set_reset_on_close(stream: &TcpStream) -> io::Result<()> {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: the pointer is to a linger of the size given, and the descriptor is open.
    let result = unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of::<libc::linger>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

const THREADS: usize = 6;
const CHUNK: usize = 64;
/// How long something may take to be answered or hung up on.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a broker that has to wait for more is watched doing so.
const SILENCE: Duration = Duration::from_millis(300);
