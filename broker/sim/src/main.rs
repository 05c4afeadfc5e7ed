//! `slipring-sim --seeds A..B`: runs histories by hand, thousands of them; tells the seeds that fail.

use std::ops::Range;
use std::panic::catch_unwind;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use slipring_sim::scenario::{Options, run};
use tracing_subscriber::EnvFilter;

/// Runs the broker in seeded simulations.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Seeds to run, such as 0..1000, or one seed.
    #[arg(long, value_parser = parse_seeds)]
    seeds: Range<u64>,
    /// Print every seed's summary.
    #[arg(long)]
    verbose: bool,
}

fn parse_seeds(text: &str) -> Result<Range<u64>, std::num::ParseIntError> {
    match text.split_once("..") {
        Some((from, to)) => Ok(from.parse()?..to.parse()?),
        None => text.parse().map(|seed: u64| seed..seed + 1),
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let filter = EnvFilter::try_from_env("SLIPRING_LOG").unwrap_or_else(|_| EnvFilter::new("off"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let began = Instant::now();
    let (mut failed, mut steps, mut acknowledged) = (Vec::new(), 0, 0);
    for seed in args.seeds.clone() {
        // Where a panic ends the process (the release profile), this is the last line.
        if args.verbose {
            eprintln!("seed {seed}");
        }
        match catch_unwind(|| run(seed, Options::default())) {
            Ok(summary) => {
                steps += summary.steps;
                acknowledged += summary.acknowledged;
                if args.verbose {
                    eprintln!("{summary:?}");
                }
            }
            Err(_) => {
                eprintln!("seed {seed} FAILED");
                failed.push(seed);
            }
        }
    }
    eprintln!(
        "{} seeds, {steps} steps, {acknowledged} records acknowledged, {:?}; failed: {failed:?}",
        args.seeds.end - args.seeds.start,
        began.elapsed()
    );
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
