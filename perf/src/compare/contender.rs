//! The brokers that are compared, each started on a fresh data directory and a free port, one at a time.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::process::Bounded;
use crate::admin::Admin;
use crate::error::{Doing, PerfError};
use crate::target::Target;
use crate::workload::Workload;

/// A broker in one of its modes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Contender {
    /// Apache Kafka with its defaults: acknowledges from memory, flushes when the kernel likes.
    Kafka,
    /// Apache Kafka that flushes every append (flush.messages=1).
    KafkaFlush,
    /// Slipring as it comes: acknowledges what is on stable storage.
    Slipring,
    /// Slipring with slipring.durability=written.
    SlipringWritten,
    /// A server that stores nothing: what the generator itself can do.
    Sink,
}

impl Contender {
    /// Its name in a table.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Kafka => "Apache Kafka 4.3.0, unflushed",
            Self::KafkaFlush => "Apache Kafka 4.3.0, flush.messages=1",
            Self::Slipring => "Slipring, flushed",
            Self::SlipringWritten => "Slipring, written",
            Self::Sink => "nothing stored",
        }
    }

    /// Whether it serves a workload at all.
    pub(super) const fn can(self, workload: &Workload) -> bool {
        !matches!(self, Self::Sink) || matches!(workload, Workload::Produce(_))
    }

    /// Settings that make the mode.
    const fn settings(self) -> &'static [&'static str] {
        match self {
            Self::KafkaFlush => &["log.flush.interval.messages=1"],
            // No metrics port, so that runs beside another broker do not collide.
            Self::Slipring => &["slipring.durability=flushed", "slipring.metrics.listener="],
            Self::SlipringWritten => &["slipring.durability=written", "slipring.metrics.listener="],
            Self::Kafka | Self::Sink => &[],
        }
    }
}

/// How to start brokers.
#[derive(Clone, Debug)]
pub(super) struct Launcher {
    /// Top of the checkout, for `scripts/referee`.
    pub(super) root: PathBuf,
    /// The Slipring binary.
    pub(super) slipring: PathBuf,
    /// Below it every run gets a directory.
    pub(super) work: PathBuf,
    /// Further settings for Slipring, KEY=VALUE.
    pub(super) slipring_settings: Vec<String>,
    /// Further settings for Kafka, KEY=VALUE.
    pub(super) kafka_settings: Vec<String>,
}

/// A broker that answers. Killed and wiped when dropped.
pub(super) struct Running {
    /// Where it answers.
    pub(super) target: Target,
    directory: PathBuf,
    process: Option<Bounded>,
}

impl Launcher {
    /// Starts a broker on an empty directory; it is killed after `limit`, whatever it does.
    ///
    /// # Errors
    /// When it does not answer within a minute; the message ends with its last lines.
    pub(super) fn start(
        &self,
        contender: Contender,
        name: &str,
        limit: Duration,
    ) -> Result<Running, PerfError> {
        let directory = self.work.join(name);
        if directory.exists() {
            fs::remove_dir_all(&directory).doing("empty the work directory")?;
        }
        fs::create_dir_all(&directory).doing("make the work directory")?;
        let port = free_ports()?;
        let log = directory.join("broker.log");
        let command = self.command(contender, &directory, port)?;
        let program = command.get_program().to_owned();
        let process = Bounded::spawn(command, &log, limit).doing(&format!("start {}", program.display()))?;
        let broker = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let target = Target { broker, broker_pid: Some(process.pid()), quiet: false };
        let running = Running { target, directory, process: Some(process) };
        running.await_ready(&log)?;
        Ok(running)
    }

    fn command(&self, contender: Contender, directory: &Path, port: u16) -> Result<Command, PerfError> {
        let further = match contender {
            Contender::Kafka | Contender::KafkaFlush => self.kafka_settings.as_slice(),
            Contender::Slipring | Contender::SlipringWritten => &self.slipring_settings,
            Contender::Sink => &[],
        };
        let settings = contender.settings().iter().copied().chain(further.iter().map(String::as_str));
        let command = match contender {
            Contender::Kafka | Contender::KafkaFlush => {
                // It becomes the JVM, so its process id is the broker's.
                let mut command = Command::new(self.root.join("scripts/referee"));
                command.arg("run").arg(directory).arg(port.to_string()).args(settings);
                command
            }
            Contender::Slipring | Contender::SlipringWritten => {
                let mut command = Command::new(&self.slipring);
                command.arg("start").arg("--data-dir").arg(directory.join("data"));
                command.arg("--listen").arg(format!("PLAINTEXT://127.0.0.1:{port}"));
                for setting in settings {
                    command.arg("--set").arg(setting);
                }
                command
            }
            Contender::Sink => {
                let this = std::env::current_exe().doing("find this program")?;
                let mut command = Command::new(this);
                command.arg("sink").arg("--port").arg(port.to_string());
                command
            }
        };
        Ok(command)
    }
}

impl Running {
    fn await_ready(&self, log: &Path) -> Result<(), PerfError> {
        let start = Instant::now();
        loop {
            let why = match Admin::connect(self.target.broker) {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            if self.process.as_ref().is_none_or(Bounded::has_ended) || start.elapsed() > READY_WITHIN {
                let text = format!("the broker does not answer: {why}\n{}", last_lines(log));
                return Err(PerfError::Unfit(text));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Killed first, wiped then.
        self.process = None;
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn last_lines(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(8)..].join("\n")
}

/// A port that is free, and the next one too: Kafka's controller takes it.
fn free_ports() -> Result<u16, PerfError> {
    loop {
        let first = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).doing("find a free port")?;
        let port = first.local_addr().doing("find a free port")?.port();
        if port < u16::MAX && TcpListener::bind((Ipv4Addr::LOCALHOST, port + 1)).is_ok() {
            return Ok(port);
        }
    }
}

const READY_WITHIN: Duration = Duration::from_mins(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_lines() {
        let launcher = Launcher {
            root: "/r".into(),
            slipring: "/b/slipring".into(),
            work: "/w".into(),
            slipring_settings: vec!["slipring.cores=1".to_owned()],
            kafka_settings: vec!["num.io.threads=4".to_owned()],
        };
        let line = |contender| {
            let command = launcher.command(contender, Path::new("/w/x"), 77).unwrap();
            let words = std::iter::once(command.get_program()).chain(command.get_args());
            words.map(|word| word.to_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
        };
        let slipring = "/b/slipring start --data-dir /w/x/data --listen PLAINTEXT://127.0.0.1:77 \
                        --set slipring.durability=flushed --set slipring.metrics.listener= --set slipring.cores=1";
        assert_eq!(line(Contender::Slipring), slipring);
        assert_eq!(line(Contender::Kafka), "/r/scripts/referee run /w/x 77 num.io.threads=4");
        let flushing = "/r/scripts/referee run /w/x 77 log.flush.interval.messages=1 num.io.threads=4";
        assert_eq!(line(Contender::KafkaFlush), flushing);
        assert!(line(Contender::Sink).ends_with("sink --port 77"));
    }
}
