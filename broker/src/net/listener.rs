//! The acceptor: one side thread per listener that hands each connection to the core with the fewest. Per-core listening
//! sockets would hash a handful of clients onto the same core.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use prometheus::IntCounter;
use socket2::{Domain, Protocol, Socket, Type};

use crate::runtime::mailbox::{Inlet, ShardId};
use crate::shard::message::Message;

/// How long the acceptor rests when the process has no descriptor or memory left for another connection.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);
/// How often that is worth a line.
const EXHAUSTED_TOLD_EVERY: Duration = Duration::from_secs(10);

/// How many connections there may be; may change at any time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// `max.connections`.
    pub total: usize,
    /// `max.connections.per.ip`.
    pub per_ip: usize,
    /// `max.connections.per.ip.overrides`.
    pub per_ip_overrides: BTreeMap<IpAddr, usize>,
}

/// Socket settings.
#[derive(Clone, Debug)]
pub struct ListenerConfig {
    /// `socket.send.buffer.bytes`; `None` leaves the system's choice.
    pub send_buffer: Option<usize>,
    /// `socket.receive.buffer.bytes`; `None` leaves the system's choice.
    pub receive_buffer: Option<usize>,
    /// `socket.listen.backlog.size`.
    pub backlog: i32,
}

/// Counts of open connections, kept by their permits, and what they may come to.
#[derive(Debug)]
pub struct ConnectionCounts {
    limits: Mutex<ConnectionLimits>,
    /// What the host allows, whatever the limits say.
    host_max: usize,
    total: AtomicUsize,
    by_ip: Mutex<BTreeMap<IpAddr, usize>>,
    by_shard: Vec<AtomicUsize>,
}

impl ConnectionCounts {
    /// No connections, on `shards` shards; never more than `host_max`.
    #[must_use]
    pub fn new(shards: u16, host_max: usize, limits: ConnectionLimits) -> Arc<Self> {
        Arc::new(Self {
            limits: Mutex::new(limits),
            host_max,
            total: AtomicUsize::new(0),
            by_ip: Mutex::default(),
            by_shard: (0..shards).map(|_| AtomicUsize::new(0)).collect(),
        })
    }

    /// Other limits from now on; connections above them stay.
    pub fn set_limits(&self, limits: ConnectionLimits) {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner) = limits;
    }

    fn ips(&self) -> MutexGuard<'_, BTreeMap<IpAddr, usize>> {
        self.by_ip.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Admits a connection from `ip` unless a limit stands against it.
    pub fn admit(self: &Arc<Self>, ip: IpAddr) -> Result<ConnectionPermit, Refused> {
        let limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let total_max = limits.total.min(self.host_max);
        if self.total.load(Ordering::Relaxed) >= total_max {
            return Err(Refused::Total(total_max));
        }
        let ip_max = *limits.per_ip_overrides.get(&ip).unwrap_or(&limits.per_ip);
        drop(limits);
        let mut ips = self.ips();
        let of_ip = ips.entry(ip).or_default();
        if *of_ip >= ip_max {
            if ip_max == 0 {
                ips.remove(&ip);
            }
            return Err(Refused::PerIp(ip_max));
        }
        *of_ip += 1;
        self.total.fetch_add(1, Ordering::Relaxed);
        let (shard, least) = (0u16..)
            .zip(&self.by_shard)
            .min_by_key(|(_, count)| count.load(Ordering::Relaxed))
            .expect("there is at least one shard");
        least.fetch_add(1, Ordering::Relaxed);
        Ok(ConnectionPermit { counts: self.clone(), ip, shard: ShardId(shard) })
    }

    /// Open connections of the process.
    #[must_use]
    pub fn total(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }
}

/// Why a connection is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// `max.connections` reached.
    #[error("max.connections = {0} reached")]
    Total(usize),
    /// `max.connections.per.ip` reached.
    #[error("max.connections.per.ip = {0} reached")]
    PerIp(usize),
}

/// An admitted connection's share of the limits, given back when it is dropped.
#[derive(Debug)]
pub struct ConnectionPermit {
    counts: Arc<ConnectionCounts>,
    ip: IpAddr,
    /// The core that shall serve it.
    pub shard: ShardId,
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.counts.total.fetch_sub(1, Ordering::Relaxed);
        self.counts.by_shard[self.shard.index()].fetch_sub(1, Ordering::Relaxed);
        let mut ips = self.counts.ips();
        if let Some(of_ip) = ips.get_mut(&self.ip) {
            *of_ip -= 1;
            if *of_ip == 0 {
                ips.remove(&self.ip);
            }
        }
    }
}

impl ConnectionPermit {
    /// How many connections core `to` has more than this one; negative when it has fewer.
    #[must_use]
    pub fn ahead(&self, to: ShardId) -> i64 {
        let count = |shard: ShardId| self.counts.by_shard[shard.index()].load(Ordering::Relaxed) as i64;
        count(to) - count(self.shard)
    }

    /// Counts the connection for core `to` from now on.
    pub fn move_to(&mut self, to: ShardId) {
        self.counts.by_shard[to.index()].fetch_add(1, Ordering::Relaxed);
        self.counts.by_shard[self.shard.index()].fetch_sub(1, Ordering::Relaxed);
        self.shard = to;
    }
}

/// A connection on its way to its core.
#[derive(Debug)]
pub struct Accepted {
    /// The socket, in blocking mode.
    pub socket: OwnedFd,
    /// What another core has received of its next request.
    pub input: BytesMut,
    /// How often it moved from core to core.
    pub moves: u32,
    /// The client's address.
    pub peer: IpAddr,
    /// Its share of the limits.
    pub permit: ConnectionPermit,
}

/// A bound listening socket. Made with our own options: glommio's would share the port with a second broker of the same
/// user without a word, and fail on a port that only has connections in TIME_WAIT (GLOMMIO 2.2).
///
/// # Errors
/// Those of the socket calls; an address in use among them.
pub fn bind(address: SocketAddr, config: &ListenerConfig) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.cloexec(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // A wildcard listener of Kafka takes both families.
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    if let Some(bytes) = config.receive_buffer {
        // Before listen: accepted sockets inherit it and it decides the window scale.
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.bind(&address.into())?;
    socket.listen(config.backlog)?;
    Ok(socket)
}

/// Stops an acceptor.
pub struct Acceptor {
    socket: Arc<Socket>,
    stopping: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Acceptor {
    /// Starts accepting on `socket`; counts in `refused` whom a limit keeps out.
    ///
    /// # Errors
    /// When the thread can't be started.
    pub fn start(
        socket: Socket,
        config: ListenerConfig,
        counts: Arc<ConnectionCounts>,
        inlet: Inlet<Message>,
        refused: IntCounter,
    ) -> io::Result<Self> {
        let socket = Arc::new(socket);
        let stopping = Arc::new(AtomicBool::new(false));
        let (listener, stop) = (socket.clone(), stopping.clone());
        let thread = std::thread::Builder::new()
            .name("acceptor".to_owned())
            .spawn(move || accept_until(&stop, &listener, &config, &counts, &inlet, &refused))?;
        Ok(Self { socket, stopping, thread })
    }

    /// Stops accepting; connections in the backlog are refused by the kernel once the socket closes.
    pub fn stop(self) {
        self.stopping.store(true, Ordering::Release);
        // A blocked accept returns once its socket is shut down.
        if self.socket.shutdown(std::net::Shutdown::Both).is_ok() && self.thread.join().is_err() {
            tracing::error!("the acceptor panicked");
        }
    }
}

fn accept_until(
    stopping: &AtomicBool,
    listener: &Socket,
    config: &ListenerConfig,
    counts: &Arc<ConnectionCounts>,
    inlet: &Inlet<Message>,
    refused: &IntCounter,
) {
    let mut told: Option<Instant> = None;
    while !stopping.load(Ordering::Acquire) {
        match listener.accept() {
            Ok((socket, address)) => {
                let Some(peer) = address.as_socket().map(|address| address.ip().to_canonical()) else {
                    continue;
                };
                if let Err(error) = hand_over(socket, peer, config, counts, inlet) {
                    refused.inc();
                    tracing::info!(%peer, %error, "connection refused");
                }
            }
            Err(error) if stopping.load(Ordering::Acquire) => {
                tracing::debug!(%error, "acceptor stopped");
            }
            Err(error) => match error.raw_os_error() {
                Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
                    if told.is_none_or(|told| told.elapsed() > EXHAUSTED_TOLD_EVERY) {
                        told = Some(Instant::now());
                        tracing::warn!(%error, "can't accept connections for now; raise the limit of open files");
                    }
                    std::thread::park_timeout(EXHAUSTED_PAUSE);
                }
                _ => tracing::debug!(%error, "accept failed"),
            },
        }
    }
}

fn hand_over(
    socket: Socket,
    peer: IpAddr,
    config: &ListenerConfig,
    counts: &Arc<ConnectionCounts>,
    inlet: &Inlet<Message>,
) -> io::Result<()> {
    let permit = counts.admit(peer).map_err(io::Error::other)?;
    socket.set_tcp_nodelay(true)?;
    socket.set_keepalive(true)?;
    if let Some(bytes) = config.send_buffer {
        socket.set_send_buffer_size(bytes)?;
    }
    let shard = permit.shard;
    let accepted = Accepted { socket: socket.into(), input: BytesMut::new(), moves: 0, peer, permit };
    if inlet.send(shard, Message::Accepted(accepted)) {
        Ok(())
    } else {
        Err(io::Error::other("the broker is stopping"))
    }
}
