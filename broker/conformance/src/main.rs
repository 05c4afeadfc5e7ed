//! Conformance runs against real processes: stock clients and Apache Kafka 4.3.0 are the judges. Needs
//! `scripts/install-clients`; everything it writes lies under `.cache` of the checkout.

mod clients;
mod dataset;
mod differential;
mod dump;
mod matrix;
mod process;
mod session;
mod target;
mod topics;
mod verify;

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
    }
}

/// Prints a line of the report.
fn say(line: std::fmt::Arguments<'_>) {
    // A report that nobody reads any more is no reason to fail.
    let _ = writeln!(io::stdout(), "{line}");
}
