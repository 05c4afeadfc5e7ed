//! The load generator: pre-encoded batches over the raw protocol, so that its own cost is next to nothing, and side-by-side
//! runs against Apache Kafka. Plain threads and blocking or polled sockets; it shares no code with the broker but the wire.

mod admin;
mod answer;
mod batch;
mod compare;
mod cpu;
mod device;
mod error;
mod fetch;
mod frames;
mod latency;
mod machine;
mod paced;
mod poll;
mod produce;
mod report;
mod request;
mod sink;
mod target;
mod verify;
mod workload;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use serde_json::json;

use admin::Admin;
use compare::{CompareArgs, TableArgs};
use device::DeviceSpec;
use error::PerfError;
use fetch::FetchSpec;
use paced::PacedSpec;
use produce::ProduceSpec;
use report::{append_row, say, unix_seconds};
use target::Target;
use workload::Workload;

/// A load generator for brokers that speak Kafka's protocol.
#[derive(Parser)]
#[command(name = "slipring-perf", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Closed loop: every connection keeps so many produce requests in flight.
    Produce(RunArgs<ProduceSpec>),
    /// Open loop: requests at a fixed rate, and consumers at the tail; latencies from when each was due.
    Paced(RunArgs<PacedSpec>),
    /// Reads a topic again and again.
    Fetch(RunArgs<FetchSpec>),
    /// Side by side: Slipring and Apache Kafka in alternating rounds on this machine.
    Compare(CompareArgs),
    /// The table of an earlier comparison.
    Table(TableArgs),
    /// What the disk itself takes for durable writes at a pace, without any broker.
    Device(DeviceSpec),
    /// A broker that stores nothing, to find the generator's own limit with `produce`.
    Sink {
        /// Port on 127.0.0.1.
        #[arg(long, default_value_t = 19_092)]
        port: u16,
    },
}

/// Where, what, and what becomes of it.
#[derive(Args)]
struct RunArgs<S: Args> {
    #[command(flatten)]
    spec: S,
    #[command(flatten)]
    run: RunOptions,
}

#[derive(Args)]
struct RunOptions {
    #[command(flatten)]
    target: Target,
    /// Fetch everything back at the end, and check every CRC and offset.
    #[arg(long)]
    verify: bool,
    /// Leave the topic.
    #[arg(long)]
    keep: bool,
    /// Append the result to this file, as one line of JSON.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Produce(args) => run(Workload::Produce(args.spec), &args.run),
        Command::Paced(args) => run(Workload::Paced(args.spec), &args.run),
        Command::Fetch(args) => run(Workload::Fetch(args.spec), &args.run),
        Command::Compare(args) => compare::run(&args),
        Command::Table(args) => compare::print(&args),
        Command::Device(spec) => device::run(&spec),
        Command::Sink { port } => sink::serve(port),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "slipring-perf: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a workload once and reports it.
fn run(workload: Workload, options: &RunOptions) -> Result<(), PerfError> {
    let done = workload.run(&options.target)?;
    for line in done.figures.lines() {
        say(&line);
    }
    if options.verify {
        let (records, bytes) = verify::contents(&options.target, &done.topic)?;
        say(&format!("fetched back: {records} records, {bytes} bytes, every CRC right, every offset there"));
    }
    if !options.keep {
        Admin::connect(options.target.broker)?.delete_topic(&done.topic)?;
    }
    match &options.out {
        Some(out) => {
            append_row(out, &json!({ "at": unix_seconds(), "workload": workload, "figures": done.figures }))
        }
        None => Ok(()),
    }
}
