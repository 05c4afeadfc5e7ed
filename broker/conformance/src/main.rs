//! Conformance runs against real processes: stock clients and Apache Kafka 4.3.0 are the judges. Needs
//! `scripts/install-clients`; everything it writes lies under `.cache` of the checkout.

mod chance;
mod clients;
mod crash;
mod dataset;
mod differential;
mod dump;
mod groups;
mod malformed;
mod matrix;
mod process;
mod session;
mod target;
mod topics;
mod verify;
mod victim;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

use target::{Launcher, TargetKind};

/// Stock clients and Apache Kafka as the judges of Slipring.
#[derive(Parser)]
struct Arguments {
    /// The Slipring binary.
    #[arg(long, global = true)]
    broker: Option<PathBuf>,
    /// Directory for the brokers' data and logs.
    #[arg(long, global = true)]
    work: Option<PathBuf>,
    #[command(subcommand)]
    command: Run,
}

#[derive(Subcommand)]
enum Run {
    /// Every client writes real data, other clients read it back: a pairwise table.
    Matrix {
        /// A few runs on little data, or the whole table.
        #[arg(long, value_enum, default_value = "ci")]
        slice: Slice,
        /// The broker.
        #[arg(long, value_enum, default_value = "slipring")]
        target: TargetKind,
        /// Size of each run's data; 3 MB or 1 GB unless set.
        #[arg(long)]
        bytes: Option<u64>,
        /// Only rows whose line contains this text.
        #[arg(long)]
        only: Option<String>,
    },
    /// The same scripted session against the broker and Apache Kafka, field by field.
    Differential {
        /// The broker; `kafka` shows that two runs of Kafka agree.
        #[arg(long, value_enum, default_value = "slipring")]
        target: TargetKind,
        /// Only sections whose name begins with this text.
        #[arg(long)]
        only: Option<String>,
        /// Every difference, not one line for each kind.
        #[arg(long)]
        all: bool,
    },
    /// `kill -9` or power cuts under load: nothing acknowledged may be lost, nothing idempotent be there twice.
    Crash(Crash),
    /// Members of groups share a topic, in both group protocols.
    Groups {
        /// The broker.
        #[arg(long, value_enum, default_value = "slipring")]
        target: TargetKind,
    },
    /// Hostile input: the connection gets what Kafka gives, others are served, memory is bounded, the broker lives.
    Malformed(Malformed),
}

#[derive(clap::Args)]
struct Malformed {
    /// Requests in all.
    #[arg(long, default_value_t = 100_000)]
    requests: usize,
    /// The broker.
    #[arg(long, value_enum, default_value = "slipring")]
    target: TargetKind,
    /// Connections that stand around idle.
    #[arg(long, default_value_t = 10_000)]
    idle: usize,
    /// Repeats the choices of another run.
    #[arg(long)]
    seed: Option<u64>,
    /// Writes the table of expectations anew; for `--target kafka`.
    #[arg(long)]
    record: bool,
}

#[derive(clap::Args)]
struct Crash {
    /// The broker; Kafka shows that the test itself is right.
    #[arg(long, value_enum, default_value = "slipring")]
    target: TargetKind,
    /// Crashes.
    #[arg(long, default_value_t = 20)]
    rounds: u32,
    /// Load before each crash, in seconds, at most; at least a third of it.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Rate of all producers together, in MB/s.
    #[arg(long, default_value_t = 40)]
    megabytes: u64,
    /// Repeats the choices of another run.
    #[arg(long)]
    seed: Option<u64>,
    /// Instead of killing: this script cuts the power under the data directory (see scripts/power-cut).
    #[arg(long, requires = "data_dir")]
    power_cut: Option<PathBuf>,
    /// The broker's data directory, if it is not to be one under `--work`.
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// More settings of the broker, as key=value.
    #[arg(long = "set")]
    settings: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Slice {
    Ci,
    Full,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(format_args!("conformance: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> io::Result<bool> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let launcher = |limit| Launcher {
        broker: arguments.broker.clone().unwrap_or_else(|| root.join("target/release/slipring")),
        work: arguments.work.clone().unwrap_or_else(|| root.join(".cache/conformance")),
        root: root.clone(),
        limit,
    };
    match arguments.command {
        Run::Matrix { slice, target, bytes, only } => {
            let is_slice = slice == Slice::Ci;
            let (limit, client_limit) = if is_slice { (1200, 90) } else { (4 * 3600, 900) };
            matrix::run(&matrix::Settings {
                launcher: launcher(Duration::from_secs(limit)),
                target,
                is_slice,
                bytes: bytes.unwrap_or(if is_slice { 3_000_000 } else { 1_000_000_000 }),
                client_limit: Duration::from_secs(client_limit),
                only,
            })
        }
        Run::Differential { target, only, all } => differential::run(&differential::Settings {
            launcher: launcher(Duration::from_secs(1200)),
            left: target,
            only,
            shows_all: all,
        }),
        Run::Groups { target } => {
            groups::run(&groups::Settings { launcher: launcher(Duration::from_secs(600)), target })
        }
        Run::Crash(crash) => crash::run(&crash::Settings {
            launcher: launcher(Duration::from_secs(3600)),
            target: crash.target,
            rounds: crash.rounds,
            load: Duration::from_secs_f64(crash.seconds),
            seed: chance::seed(crash.seed),
            bytes_per_second: crash.megabytes << 20,
            data: crash.data_dir,
            cut: crash.power_cut,
            settings: crash.settings,
        }),
        Run::Malformed(malformed) => malformed::run(&malformed::Settings {
            launcher: launcher(Duration::from_secs(3600)),
            target: malformed.target,
            requests: malformed.requests,
            seed: chance::seed(malformed.seed),
            idle: malformed.idle,
            is_recording: malformed.record,
        }),
    }
}

/// Prints a line of the report.
fn say(line: std::fmt::Arguments<'_>) {
    // A report that nobody reads any more is no reason to fail.
    let _ = writeln!(io::stdout(), "{line}");
}
