//! A broker that is killed, frozen or attacked on purpose. Unlike [`crate::target::Running`] it keeps its port over
//! restarts, may die before it answers, and shows its process id and memory.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crate::process::Bounded;
use crate::session::connection::Connection;
use crate::target::{Launcher, TargetKind, tail};

/// Where and how a broker is started, again and again.
pub(crate) struct Site {
    launcher: Launcher,
    kind: TargetKind,
    /// What the broker keeps.
    data: PathBuf,
    /// Its standard output and error, one file each start.
    logs: PathBuf,
    address: SocketAddr,
    settings: Vec<(String, String)>,
    starts: u32,
}

/// A started broker, which may not answer yet. Killed when dropped.
pub(crate) struct Victim {
    process: Arc<Bounded>,
    address: SocketAddr,
    kind: TargetKind,
    log: PathBuf,
    /// It was killed because it took the machine's memory.
    too_large: Arc<AtomicBool>,
}

impl Site {
    /// A site with directories of its own; `data` is made when the broker starts.
    ///
    /// # Errors
    /// When there is no free port, or the directory for logs cannot be made.
    pub(crate) fn new(
        launcher: Launcher,
        kind: TargetKind,
        data: PathBuf,
        logs: PathBuf,
        settings: &[(&str, &str)],
    ) -> io::Result<Self> {
        fs::create_dir_all(&logs)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, stable_port()?));
        let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Ok(Self { launcher, kind, data, logs, address, settings, starts: 0 })
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on the broker is started on another directory.
    pub(crate) fn move_to(&mut self, data: PathBuf) {
        self.data = data;
    }

    /// Starts the broker and does not wait. The broker dies with the calling thread.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub(crate) fn spawn(&mut self) -> io::Result<Victim> {
        self.starts += 1;
        let log = self.logs.join(format!("broker-{}.log", self.starts));
        let mut command = match self.kind {
            TargetKind::Slipring => self.slipring(),
            TargetKind::Kafka => self.kafka(),
        };
        let out = fs::File::create(self.logs.join(format!("broker-{}.out", self.starts)))?;
        command.stdin(Stdio::null()).stdout(out);
        let process = Arc::new(Bounded::spawn(command, &log, self.launcher.limit)?);
        let too_large = Arc::new(AtomicBool::new(false));
        let watched = (Arc::downgrade(&process), Arc::clone(&too_large));
        thread::spawn(move || guard(&watched.0, &watched.1));
        Ok(Victim { process, address: self.address, kind: self.kind, log, too_large })
    }

    /// Starts the broker and waits until it answers; tells how long that took.
    ///
    /// # Errors
    /// As [`Self::spawn`] and [`Victim::await_ready`].
    pub(crate) fn start(&mut self) -> io::Result<(Victim, Duration)> {
        let began = Instant::now();
        let victim = self.spawn()?;
        victim.await_ready()?;
        Ok((victim, began.elapsed()))
    }

    fn slipring(&self) -> Command {
        let mut command = Command::new(&self.launcher.broker);
        command.arg("start").arg("--data-dir").arg(&self.data);
        command.arg("--listen").arg(format!("PLAINTEXT://{}", self.address));
        command.arg("--set").arg("slipring.metrics.listener=");
        for (key, value) in &self.settings {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        command
    }

    fn kafka(&self) -> Command {
        let mut command = Command::new(self.launcher.root.join("scripts/referee"));
        command.arg("run").arg(&self.data).arg(self.address.port().to_string());
        command.args(self.settings.iter().map(|(key, value)| format!("{key}={value}")));
        command
    }
}

impl Victim {
    /// Waits until the broker answers.
    ///
    /// # Errors
    /// When it ends, or does not answer within a minute; the message holds the end of its log.
    pub(crate) fn await_ready(&self) -> io::Result<()> {
        let began = Instant::now();
        while began.elapsed() < READY_LIMIT {
            if self.process.has_ended() {
                return Err(self.complaint("ended while it started"));
            }
            if Connection::new(self.address).await_ready(Duration::from_millis(20)) {
                return Ok(());
            }
        }
        Err(self.complaint("does not answer"))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Whether the broker is gone by itself.
    pub(crate) fn has_ended(&self) -> bool {
        self.process.has_ended()
    }

    /// `kill -9`, and waits until the process is gone.
    pub(crate) fn kill(&self) {
        self.process.kill();
    }

    /// SIGTERM; tells how long the end took, `None` when the broker had to be killed.
    pub(crate) fn stop(&self) -> Option<Duration> {
        self.process.terminate(Duration::from_secs(30))
    }

    /// SIGSTOP; returns once every thread stands still, at the latest after two seconds. False when some did not.
    pub(crate) fn freeze(&self) -> bool {
        self.process.signal(libc::SIGSTOP);
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(2) {
            if self.is_still() {
                return true;
            }
            thread::sleep(Duration::from_millis(1));
        }
        false
    }

    /// The most memory that the process ever had resident, in bytes.
    pub(crate) fn peak_memory(&self) -> Option<u64> {
        memory(self.pid(), "VmHWM:")
    }

    /// An error that says what is wrong and shows the end of the broker's log.
    pub(crate) fn complaint(&self, what: &str) -> io::Error {
        let (kind, log) = (self.kind, self.log.display());
        let what =
            if self.too_large.load(Ordering::Acquire) { "took more than 5 GB of memory" } else { what };
        io::Error::other(format!("{kind:?} {what}: {log}\n{}", tail(&self.log)))
    }

    fn is_still(&self) -> bool {
        let Ok(tasks) = fs::read_dir(format!("/proc/{}/task", self.pid())) else { return true };
        tasks.flatten().all(|task| {
            // `pid (name) state ...`; the name may hold anything, so the last bracket counts.
            let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
            stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('T'))
        })
    }
}

/// Kills a broker that takes so much memory that the machine would suffer.
fn guard(process: &Weak<Bounded>, too_large: &AtomicBool) {
    while let Some(process) = process.upgrade() {
        if process.has_ended() {
            return;
        }
        if memory(process.id(), "VmRSS:").is_some_and(|bytes| bytes > MEMORY_MAX) {
            too_large.store(true, Ordering::Release);
            process.kill();
        }
        drop(process);
        thread::sleep(Duration::from_millis(50));
    }
}

/// One line of a process's status, in bytes.
fn memory(pid: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

/// A free port outside the range that the kernel gives to outgoing connections. Inside it, a client that knocks while the
/// broker is down may connect to itself, or another client may take the port.
fn stable_port() -> io::Result<u16> {
    let first = 20_000 + (std::process::id() % 5_000) as u16 * 2;
    (0..1_000)
        .map(|step| first + step * 2)
        .find(|port| (0..2).all(|next| TcpListener::bind((Ipv4Addr::LOCALHOST, port + next)).is_ok()))
        .ok_or_else(|| io::Error::other("no free port from 20000 on"))
}

const MEMORY_MAX: u64 = 5 << 30;
const READY_LIMIT: Duration = Duration::from_secs(60);
