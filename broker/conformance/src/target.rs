//! The brokers under test, each a child process on a free port with a data directory of its own.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::process::Bounded;
use crate::session::connection::Connection;

/// Which broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum TargetKind {
    Slipring,
    Kafka,
}

/// How to start brokers.
#[derive(Clone, Debug)]
pub(crate) struct Launcher {
    /// Top of the checkout.
    pub(crate) root: PathBuf,
    /// The Slipring binary.
    pub(crate) broker: PathBuf,
    /// Below it every broker gets a directory.
    pub(crate) work: PathBuf,
    /// After this long a broker is killed, whatever it does.
    pub(crate) limit: Duration,
}

/// A broker that answers.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    process: Bounded,
}

impl Launcher {
    /// Starts a broker with an empty data directory and waits until it answers. `settings` are `server.properties` keys.
    ///
    /// # Errors
    /// When it does not start or does not answer within a minute; the message names its log.
    pub(crate) fn start(
        &self,
        kind: TargetKind,
        name: &str,
        settings: &[(&str, &str)],
    ) -> io::Result<Running> {
        let directory = self.work.join(name);
        if directory.exists() {
            fs::remove_dir_all(&directory)?;
        }
        fs::create_dir_all(&directory)?;
        self.restart(kind, name, settings)
    }

    /// As [`Self::start`], on what the directory holds.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub(crate) fn restart(
        &self,
        kind: TargetKind,
        name: &str,
        settings: &[(&str, &str)],
    ) -> io::Result<Running> {
        let directory = self.work.join(name);
        let port = free_ports()?;
        let mut command = match kind {
            TargetKind::Slipring => self.slipring(&directory, port, settings),
            TargetKind::Kafka => self.kafka(&directory, port, settings),
        };
        command.stdin(Stdio::null()).stdout(fs::File::create(directory.join("broker.out"))?);
        let log = directory.join("broker.log");
        let process = Bounded::spawn(command, &log, self.limit)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if !Connection::new(address).await_ready(Duration::from_secs(60)) {
            let ended = if process.has_ended() { "ended" } else { "does not answer" };
            let why = format!("{kind:?} {ended}: {}\n{}", log.display(), tail(&log));
            return Err(io::Error::other(why));
        }
        Ok(Running { address, process })
    }

    fn slipring(&self, directory: &Path, port: u16, settings: &[(&str, &str)]) -> Command {
        let mut command = Command::new(&self.broker);
        command.arg("start").arg("--data-dir").arg(directory.join("data"));
        command.arg("--listen").arg(format!("PLAINTEXT://127.0.0.1:{port}"));
        // Several brokers run beside each other, and the port of the metrics is fixed.
        command.arg("--set").arg("slipring.metrics.listener=");
        for (key, value) in settings {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        command
    }

    fn kafka(&self, directory: &Path, port: u16, settings: &[(&str, &str)]) -> Command {
        let mut command = Command::new(self.root.join("scripts/referee"));
        command.arg("run").arg(directory).arg(port.to_string());
        command.args(settings.iter().map(|(key, value)| format!("{key}={value}")));
        command
    }
}

impl Running {
    /// Stops the broker cleanly; tells how long that took, `None` when it had to be killed.
    pub(crate) fn stop(self) -> Option<Duration> {
        self.process.terminate(Duration::from_secs(30))
    }

    /// Whether the broker is gone by itself: it crashed.
    pub(crate) fn has_ended(&self) -> bool {
        self.process.has_ended()
    }
}

/// The last lines of a log.
pub(crate) fn tail(path: &Path) -> String {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}

/// A port that is free, and the next one too: the referee's controller takes it. Below those that the kernel gives to outgoing connections (from 32768 on
/// by default): one of them may take the port before the broker does.
fn free_ports() -> io::Result<u16> {
    const FIRST: u16 = 11_000;
    const COUNT: u16 = 20_000;
    let begin = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.subsec_nanos()) / 1_000;
    let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    (0..u32::from(COUNT))
        .map(|step| FIRST + u16::try_from((begin + 2 * step) % u32::from(COUNT)).unwrap_or_default())
        .find(|port| is_free(*port) && is_free(port + 1))
        .ok_or_else(|| io::Error::other("no two free ports in a row"))
}
