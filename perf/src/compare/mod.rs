//! Side by side: the same workloads against several brokers on this machine, in alternating rounds, one broker up at a time,
//! each on a fresh data directory. Only ratios within one such run mean anything.

mod contender;
mod process;
mod sets;
mod table;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};

use contender::{Contender, Launcher};
use sets::{Length, Set, Work};

use crate::error::{Doing, PerfError};
use crate::machine::{Machine, available_bytes, settle};
use crate::produce::{at_least_one, unique};
use crate::report::{Figures, append_row, say, unix_seconds};
use crate::verify;
use crate::workload::Workload;

/// What to compare, and how.
#[derive(Args, Debug)]
pub(crate) struct CompareArgs {
    /// Which workloads.
    #[arg(long, value_enum, default_value = "first")]
    set: Set,
    /// Only workloads with this text in their name.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Rounds; in each, every workload runs against every broker, and another broker begins.
    #[arg(long, default_value_t = 5, value_parser = at_least_one)]
    rounds: usize,
    /// The brokers.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "kafka,slipring")]
    contenders: Vec<Contender>,
    /// Also Apache Kafka with flush.messages=1.
    #[arg(long)]
    kafka_flush: bool,
    /// Seconds of each run that count.
    #[arg(long, default_value_t = 8)]
    seconds: u64,
    /// Seconds before them that do not.
    #[arg(long, default_value_t = 5)]
    warm_up_seconds: u64,
    /// Fetch everything back in the first round, and check every CRC and offset.
    #[arg(long)]
    verify: bool,
    /// Append one line of JSON per run to this file.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Top of the checkout [default: the nearest directory upwards with scripts/referee].
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// The Slipring binary [default: target/release/slipring of the checkout].
    #[arg(long, value_name = "FILE")]
    slipring: Option<PathBuf>,
    /// Where the brokers keep their data meanwhile [default: .cache/perf of the checkout].
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
    /// A further setting for Slipring; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    slipring_set: Vec<String>,
    /// A further setting for Apache Kafka; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    kafka_set: Vec<String>,
    /// Gigabytes that must be free before each run.
    #[arg(long, default_value_t = 30)]
    space_gb: u64,
}

/// Rows to make a table of.
#[derive(Args, Debug)]
pub(crate) struct TableArgs {
    /// A file that `compare --out` wrote.
    file: PathBuf,
}

/// One run of one workload against one broker.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    /// When it ended, in seconds since 1970.
    at: u64,
    /// Its round, from 1.
    round: usize,
    /// Its place in the round, from 0.
    turn: usize,
    /// Name of the workload in its set.
    work: String,
    /// The broker.
    contender: Contender,
    /// What was done.
    workload: Workload,
    /// What was measured; empty where it failed.
    figures: Figures,
    /// Why it failed.
    error: Option<String>,
    /// Where.
    machine: Machine,
    /// Commit of the checkout.
    commit: Option<String>,
}

/// Runs everything, and prints the table.
///
/// # Errors
/// When nothing could be run, or any run failed (the table is printed all the same).
pub(crate) fn run(args: &CompareArgs) -> Result<(), PerfError> {
    let bench = Bench::new(args)?;
    let length = Length { seconds: args.seconds, warm_up_seconds: args.warm_up_seconds };
    let works: Vec<Work> = args.set.works(length).into_iter().filter(|work| args.wants(work)).collect();
    let mut contenders = args.contenders.clone();
    if args.kafka_flush && !contenders.contains(&Contender::KafkaFlush) {
        contenders.push(Contender::KafkaFlush);
    }
    let mut rows = Vec::new();
    for round in 1..=args.rounds {
        for work in &works {
            for turn in 0..contenders.len() {
                let contender = contenders[(turn + round - 1) % contenders.len()];
                if !contender.can(&work.workload) {
                    continue;
                }
                let row = bench.measure(Place { round, turn }, work, contender);
                if let Some(out) = &args.out {
                    append_row(out, &row)?;
                }
                rows.push(row);
            }
        }
    }
    print_table(&rows, &works);
    let _ = fs::remove_dir(&bench.launcher.work);
    match rows.iter().filter(|row| row.error.is_some()).count() {
        0 => Ok(()),
        failed => Err(PerfError::Unfit(format!("{failed} of {} runs failed", rows.len()))),
    }
}

/// Prints the table of rows that were written before.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn print(args: &TableArgs) -> Result<(), PerfError> {
    let name = args.file.display().to_string();
    let text = fs::read_to_string(&args.file).doing(&name)?;
    let rows: Result<Vec<Row>, _> = text.lines().map(serde_json::from_str).collect();
    print_table(&rows.map_err(io::Error::from).doing(&name)?, &sets::all_works());
    Ok(())
}

fn print_table(rows: &[Row], works: &[Work]) {
    say(&format!("{}\n{}", table::render(rows, works), table::notes(rows)));
}

impl CompareArgs {
    fn wants(&self, work: &Work) -> bool {
        self.only.as_ref().is_none_or(|text| work.name.contains(text.as_str()))
    }
}

/// Where in a comparison a run stands.
#[derive(Clone, Copy)]
struct Place {
    round: usize,
    turn: usize,
}

struct Bench<'a> {
    args: &'a CompareArgs,
    launcher: Launcher,
    machine: Machine,
    commit: Option<String>,
}

impl<'a> Bench<'a> {
    fn new(args: &'a CompareArgs) -> Result<Self, PerfError> {
        let root = match &args.root {
            Some(root) => root.clone(),
            None => find_root(&std::env::current_dir().doing("find the current directory")?)?,
        };
        let slipring = args.slipring.clone().unwrap_or_else(|| root.join("target/release/slipring"));
        let ours = [Contender::Slipring, Contender::SlipringWritten];
        if ours.iter().any(|one| args.contenders.contains(one)) && !slipring.is_file() {
            let text = format!("{} is missing: cargo build --release", slipring.display());
            return Err(PerfError::Unfit(text));
        }
        let work = args.work.clone().unwrap_or_else(|| root.join(".cache/perf")).join(unique());
        fs::create_dir_all(&work).doing("make the work directory")?;
        let machine = Machine::of(&work);
        let commit = commit_of(&root);
        let launcher = Launcher {
            root,
            slipring,
            work,
            slipring_settings: args.slipring_set.clone(),
            kafka_settings: args.kafka_set.clone(),
        };
        Ok(Self { args, launcher, machine, commit })
    }

    /// One run. A failure becomes part of the row: the others go on.
    fn measure(&self, place: Place, work: &Work, contender: Contender) -> Row {
        let Place { round, turn } = place;
        let rounds = self.args.rounds;
        let _ = writeln!(io::stderr(), "round {round}/{rounds}: {}: {}", work.name, contender.title());
        let (figures, error) = match self.attempt(place, work, contender) {
            Ok(figures) => (figures, None),
            Err(error) => {
                let _ = writeln!(io::stderr(), "  failed: {error}");
                (Figures::default(), Some(error.to_string()))
            }
        };
        Row {
            at: unix_seconds(),
            round,
            turn,
            work: work.name.to_owned(),
            contender,
            workload: work.workload.clone(),
            figures,
            error,
            machine: self.machine.clone(),
            commit: self.commit.clone(),
        }
    }

    fn attempt(&self, place: Place, work: &Work, contender: Contender) -> Result<Figures, PerfError> {
        let free = available_bytes(&self.launcher.work).doing("look at the free space")?;
        if free < self.args.space_gb * 1_000_000_000 {
            return Err(PerfError::Unfit(format!("only {} GB are free", free / 1_000_000_000)));
        }
        // The last broker's data is wiped; what it left to write or to discard is done before the next one starts.
        settle();
        let limit = Duration::from_secs(work.workload.seconds()) + GRACE;
        let name = format!("{}-{}-{}", work.name, place.round, place.turn);
        let running = self.launcher.start(contender, &name, limit)?;
        let outcome = work.workload.run(&running.target)?;
        if self.args.verify && place.round == 1 && contender != Contender::Sink {
            verify::contents(&running.target, &outcome.topic)?;
        }
        Ok(outcome.figures)
    }
}

fn find_root(from: &Path) -> Result<PathBuf, PerfError> {
    let root = from.ancestors().find(|directory| directory.join("scripts/referee").is_file());
    root.map(Path::to_owned)
        .ok_or_else(|| PerfError::Unfit("no checkout here or above: name it with --root".to_owned()))
}

fn commit_of(root: &Path) -> Option<String> {
    let output =
        Command::new("git").arg("-C").arg(root).args(["rev-parse", "--short=12", "HEAD"]).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// What start, creation of topics, verification and the last answers may take beside the workload.
const GRACE: Duration = Duration::from_mins(5);
