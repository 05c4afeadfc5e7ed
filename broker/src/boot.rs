//! Start and stop of the broker, in named steps; stop is start in reverse. Runs on the main thread, which then only waits for
//! signals.

pub mod directories;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use slipring_storage::directory::{DirectoryError, Expectation};
use slipring_storage::disk::{Disk, UringDisk, block_on};
use slipring_storage::error::StorageError;
use slipring_storage::store::StoreConfig;

use self::directories::OpenDirectory;
use crate::config::BrokerConfig;
use crate::controller::boot::Seed;
use crate::metrics::{self, Metrics};
use crate::net::listener::{self, Acceptor, ConnectionCounts, ListenerConfig};
use crate::probe::{self, Host, ProbeError};
use crate::runtime::mailbox::{Inlet, ShardId, mesh};
use crate::runtime::uring;
use crate::shard::boot::{ShardSeed, shard_main};
use crate::shard::message::Message;
use crate::validation::Validators;

/// Segment descriptors that a store keeps open at least.
const SEGMENT_FILES_MIN: usize = 16;
/// Entries of each shard's disk ring.
pub const DISK_RING_ENTRIES: u32 = 256;
/// The part of the machine's memory that the broker takes when nobody says.
const MEMORY_SHARE: u64 = 4;
/// Signals that follow within this time are the same wish: timeout(1) and others signal a process and then its group.
const SAME_SIGNAL: Duration = Duration::from_millis(500);
/// How often a start looks whether a core has died without a word.
const LOOK_FOR_DEAD_CORES_EVERY: Duration = Duration::from_millis(50);
/// How long a stop may take before the process ends without it.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// Why the broker did not start: one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// The host lacks something.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// A data directory can't be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A data directory can't be recovered.
    #[error("recovery failed: {0}")]
    Recovery(#[from] StorageError),
    /// An address can't be bound.
    #[error("can't listen on {address}: {source}{}", hint(source))]
    Bind {
        /// Which.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// A thread or ring could not be made.
    #[error("can't start {0}: {1}")]
    Start(&'static str, io::Error),
    /// A shard failed while it started.
    #[error("core {0}: {1}")]
    Shard(u16, String),
    /// A core's runtime could not be made.
    #[error("core {core} can't start: {source}{}", core_hint(source))]
    Core {
        /// Which.
        core: usize,
        /// Why.
        source: io::Error,
    },
}

fn core_hint(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::ENOMEM) => {
            " (the limit of locked memory counts all processes of a user: raise it with LimitMEMLOCK=infinity in the \
             systemd unit or --ulimit memlock=-1 for a container, or use fewer --cores)"
        }
        Some(libc::EMFILE | libc::ENFILE) => " (raise the limit of open files)",
        _ => "",
    }
}

/// How the broker stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Everything is closed; the next start trusts the checkpoints.
    Clean,
    /// Something could not be closed; the next start recovers. No acknowledged record is lost.
    NotClean,
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => " (another process has the port; is a broker running already?)",
        io::ErrorKind::PermissionDenied => " (ports below 1024 need CAP_NET_BIND_SERVICE)",
        io::ErrorKind::AddrNotAvailable => " (no interface of this host has the address)",
        _ => "",
    }
}

/// What a shard tells the main thread.
#[derive(Debug)]
pub enum ShardReport {
    /// It serves its partitions.
    Ready,
    /// It could not start.
    Failed(String),
    /// It has stopped; whether everything could be closed, and the broker's epoch where it is known.
    Stopped {
        /// No store failed to close.
        cleanly: bool,
    },
}

/// Runs the broker until it is told to stop.
///
/// # Errors
/// When it can't start.
pub fn run(config: BrokerConfig) -> Result<Stop, BootError> {
    let began = Instant::now();
    uring::prepare_process();
    let host = probe::probe(config.cores.map(|cores| u16::try_from(cores).unwrap_or(u16::MAX)))?;
    let shards = config.cores.unwrap_or(host.processors.len());
    let shards = u16::try_from(shards.max(1)).unwrap_or(u16::MAX);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), cores = shards, node = config.node_id.0, "starting");
    let config = Arc::new(config);
    // Sockets before disks: a taken port is told at once, and nothing is touched.
    let sockets = bind_all(&config)?;
    let metrics = Metrics::new();
    start_metrics(&config, &metrics)?;
    let directories = open_directories(&config)?;
    directories.iter().for_each(|open| probe::describe_storage(open.directory.path()));
    let counts = ConnectionCounts::new(shards, host.connections_max(), config.network.connection_limits());
    let validators =
        Validators::start(usize::from(shards)).map_err(|error| BootError::Start("helpers", error))?;
    let addresses = sockets.iter().map(|socket| (socket.name.clone(), socket.address)).collect();
    let seed = Seed { addresses, connections: counts.clone() };
    let (mut running, inlet) =
        start_shards(&config, &host, shards, &directories, &metrics, &validators, &seed)?;
    running.wait_ready()?;
    let acceptors = start_acceptors(&config, sockets, &counts, &inlet, &metrics)?;
    let signals = StopSignals::catch().map_err(|error| BootError::Start("signals", error))?;
    metrics.ready.set(1);
    metrics.start_seconds.set(began.elapsed().as_secs_f64());
    tracing::info!(ready_ms = began.elapsed().as_millis(), "ready");
    signals.wait();
    metrics.ready.set(0);
    acceptors.into_iter().for_each(Acceptor::stop);
    let cleanly = running.stop(&inlet) && close_directories(&directories);
    if !cleanly {
        tracing::warn!("not everything could be closed: the next start recovers");
        return Ok(Stop::NotClean);
    }
    tracing::info!("stopped cleanly");
    Ok(Stop::Clean)
}

struct BoundListener {
    name: String,
    socket: socket2::Socket,
    address: SocketAddr,
}

fn listener_config(config: &BrokerConfig) -> ListenerConfig {
    let network = &config.network;
    ListenerConfig {
        send_buffer: network.send_buffer_bytes,
        receive_buffer: network.receive_buffer_bytes,
        backlog: network.backlog,
    }
}

fn bind_all(config: &BrokerConfig) -> Result<Vec<BoundListener>, BootError> {
    let listen = |listener: &crate::config::listeners::Listener| {
        let shown = format!("{}:{}", listener.host.as_deref().unwrap_or("*"), listener.port);
        let bound = listener.socket_address().and_then(|address| {
            let socket = listener::bind(address, &listener_config(config))?;
            let bound = socket.local_addr()?.as_socket();
            Ok((socket, bound.expect("bound to an internet address")))
        });
        let (socket, address) = bound.map_err(|source| BootError::Bind { address: shown, source })?;
        Ok(BoundListener { name: listener.name.clone(), socket, address })
    };
    config.listeners.opened.iter().map(listen).collect()
}

fn start_metrics(config: &BrokerConfig, metrics: &Arc<Metrics>) -> Result<(), BootError> {
    let Some(listener) = &config.metrics_listener else { return Ok(()) };
    let address = listener.socket_address();
    let bound =
        address.and_then(|address| metrics::http::start(address, metrics.clone())).map_err(|source| {
            let host = listener.host.as_deref().unwrap_or("*");
            BootError::Bind {
                address: format!("{host}:{} (slipring.metrics.listener)", listener.port),
                source,
            }
        })?;
    tracing::info!(address = %bound, "metrics at /metrics, health at /health");
    Ok(())
}

fn open_directories(config: &BrokerConfig) -> Result<Vec<OpenDirectory>, BootError> {
    let ring = UringDisk::new(DISK_RING_ENTRIES).map_err(ProbeError::Ring)?;
    let disk = Disk::Uring(ring);
    block_on(&disk, directories::open(&disk, config, Expectation::new))
}

struct Running {
    threads: Vec<JoinHandle<io::Result<()>>>,
    reports: flume::Receiver<(u16, ShardReport)>,
}

fn start_shards(
    config: &Arc<BrokerConfig>,
    host: &Host,
    shards: u16,
    directories: &[OpenDirectory],
    metrics: &Arc<Metrics>,
    validators: &Validators,
    controller: &Seed,
) -> Result<(Running, Inlet<Message>), BootError> {
    let (mailboxes, inlet) = mesh(shards);
    let (reporter, reports) = flume::unbounded();
    let mut threads = Vec::new();
    for (mail, cpu) in mailboxes.into_iter().zip(probe::placement(host, shards)) {
        let own = mail.own();
        let directories = directories.to_vec();
        let seed = ShardSeed {
            config: config.clone(),
            mail,
            store_config: store_config(config, shards, host),
            metrics: metrics.of_shard_later(own),
            validators: validators.clone(),
            controller: (own == ShardId(0)).then(|| controller.clone()),
            directories,
        };
        let name = format!("core-{}", own.0);
        let reporter = reporter.clone();
        let thread = uring::run_shard(&name, cpu, None, move || shard_main(seed, reporter))
            .map_err(|error| BootError::Start("a core", error))?;
        threads.push(thread);
    }
    Ok((Running { threads, reports }, inlet))
}

/// Each core's share of the memory and of the open files.
fn store_config(config: &BrokerConfig, shards: u16, host: &Host) -> StoreConfig {
    let stores = u64::from(shards) * config.log_dirs.len() as u64;
    let memory = config.memory_bytes.unwrap_or_else(|| probe::memory_bytes() / MEMORY_SHARE) / stores;
    let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    StoreConfig {
        journal_bytes: config.journal_bytes,
        // The rest is for requests under way, cold reads and what the runtime needs.
        tail_bytes: bytes(memory / 2),
        staged_bytes_max: bytes(memory / 8).clamp(16 << 20, 256 << 20),
        open_files_max: bytes(host.segment_files_max() / stores).max(SEGMENT_FILES_MIN),
        producer_id_expiration_ms: config.producer_id_expiration_ms,
        ..StoreConfig::default()
    }
}

impl Running {
    fn wait_ready(&mut self) -> Result<(), BootError> {
        let mut ready = 0;
        while ready < self.threads.len() {
            match self.reports.recv_timeout(LOOK_FOR_DEAD_CORES_EVERY) {
                Ok((_, ShardReport::Ready)) => ready += 1,
                Ok((core, ShardReport::Failed(reason))) => return Err(BootError::Shard(core, reason)),
                Ok((core, ShardReport::Stopped { .. })) => {
                    return Err(BootError::Shard(core, "stopped while starting".to_owned()));
                }
                // A core whose runtime could not be made reports nothing.
                Err(_) => {
                    if let Some(core) = self.threads.iter().position(JoinHandle::is_finished) {
                        let source = match self.threads.swap_remove(core).join() {
                            Ok(Err(source)) => source,
                            Ok(Ok(())) | Err(_) => io::Error::other("its thread has ended"),
                        };
                        return Err(BootError::Core { core, source });
                    }
                }
            }
        }
        Ok(())
    }

    /// Stops all shards; true when everything could be closed.
    fn stop(self, inlet: &Inlet<Message>) -> bool {
        tracing::info!("stopping");
        let deadline = Instant::now() + STOP_TIMEOUT;
        let shards = u16::try_from(self.threads.len()).expect("made from a u16");
        let mut cleanly = inlet.send(ShardId(0), Message::Stop);
        for _ in 0..shards {
            match self.reports.recv_deadline(deadline) {
                Ok((_, ShardReport::Stopped { cleanly: closed })) => cleanly &= closed,
                Ok((core, report)) => tracing::warn!(core, ?report, "unexpected while stopping"),
                Err(error) => {
                    tracing::error!(%error, "a core did not stop in time; the next start recovers");
                    return false;
                }
            }
        }
        for thread in self.threads {
            if !matches!(thread.join(), Ok(Ok(()))) {
                cleanly = false;
            }
        }
        cleanly
    }
}

fn start_acceptors(
    config: &BrokerConfig,
    sockets: Vec<BoundListener>,
    counts: &Arc<ConnectionCounts>,
    inlet: &Inlet<Message>,
    metrics: &Metrics,
) -> Result<Vec<Acceptor>, BootError> {
    let settings = listener_config(config);
    let start = |bound: BoundListener| {
        tracing::info!(listener = bound.name, address = %bound.address, "listening");
        let refused = metrics.connections_refused.clone();
        Acceptor::start(bound.socket, settings.clone(), counts.clone(), inlet.clone(), refused)
            .map_err(|error| BootError::Start("an acceptor", error))
    };
    sockets.into_iter().map(start).collect()
}

/// Signals that ask for a stop.
struct StopSignals {
    signals: Signals,
    /// From when on a further signal ends the process at once, as if nobody had caught it.
    insistent: Arc<AtomicBool>,
}

impl StopSignals {
    fn catch() -> io::Result<Self> {
        let insistent = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT] {
            signal_hook::flag::register_conditional_default(signal, insistent.clone())?;
        }
        Ok(Self { signals: Signals::new([SIGTERM, SIGINT])?, insistent })
    }

    /// Waits for the first one.
    fn wait(mut self) {
        let Some(signal) = self.signals.forever().next() else { return };
        let name = if signal == SIGINT { "SIGINT" } else { "SIGTERM" };
        tracing::info!(signal = name, "told to stop; another signal ends the process at once");
        let insistent = self.insistent;
        let listen_again = move || {
            std::thread::sleep(SAME_SIGNAL);
            insistent.store(true, Ordering::Release);
        };
        if let Err(error) = std::thread::Builder::new().name("signals".to_owned()).spawn(listen_again) {
            tracing::warn!(%error, "further signals are ignored while stopping");
        }
    }
}

/// Marks the directories as cleanly closed, so that the next start trusts their checkpoints. True when that worked.
fn close_directories(directories: &[OpenDirectory]) -> bool {
    let Ok(ring) = UringDisk::new(DISK_RING_ENTRIES) else { return false };
    let disk = Disk::Uring(ring);
    block_on(&disk, directories::mark_clean(&disk, directories))
}
