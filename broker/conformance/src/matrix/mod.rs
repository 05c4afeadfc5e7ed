//! The client matrix: stock clients write real data to a broker, other stock clients read it back, every byte is judged.

mod rows;

use std::fs::File;
use std::io::{self, BufReader};
use std::path::PathBuf;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::clients::{self, Client, Installed, Production};
use crate::dataset::{Dataset, Mode};
use crate::dump::{DumpRecord, read_record};
use crate::process::{Bounded, piped};
use crate::say;
use crate::session::connection::Connection;
use crate::target::{Launcher, Running, TargetKind, tail};
use crate::topics;
use crate::verify::{Expected, Verifier};
use rows::{ROWS, Row};

/// What to run.
pub(crate) struct Settings {
    pub(crate) launcher: Launcher,
    pub(crate) target: TargetKind,
    pub(crate) is_slice: bool,
    /// Size of the data set of each run.
    pub(crate) bytes: u64,
    /// Limit for one client.
    pub(crate) client_limit: Duration,
    /// Only rows whose line contains this.
    pub(crate) only: Option<String>,
}

/// Runs the table; true when every run that could be made was right, and, under CI, every run could be made.
///
/// # Errors
/// When the broker does not start or the data set cannot be made.
pub(crate) fn run(settings: &Settings) -> io::Result<bool> {
    let root = &settings.launcher.root;
    let data_directory = root.join(".cache/dataset");
    let lines = Dataset::build(Mode::Lines, &data_directory, root, settings.bytes)?;
    let chunks = Dataset::build(Mode::Chunks, &data_directory, root, settings.bytes)?;
    let counter = Dataset::counter(settings.bytes / BYTES_PER_COUNTER_RECORD);
    let broker = settings.launcher.start(settings.target, "matrix", &[])?;
    let matrix = Matrix {
        settings,
        installed: Installed { root: root.clone() },
        logs: settings.launcher.work.join("clients"),
        broker,
    };
    std::fs::create_dir_all(&matrix.logs)?;
    let start = Instant::now();
    let (mut right, mut wrong, mut skipped) = (0, 0, 0);
    for (number, row) in ROWS.iter().enumerate() {
        let line = line_of(row);
        let is_wanted = settings.only.as_ref().is_none_or(|only| line.contains(only));
        if !is_wanted || (settings.is_slice && !row.is_in_ci) {
            continue;
        }
        let data = match row.mode {
            Mode::Lines => &lines,
            Mode::Chunks => &chunks,
            Mode::Counter => &counter,
        };
        if let Some(client) = matrix.lacks(row) {
            say(format_args!("skip {line}: {client} is not installed"));
            skipped += 1;
            continue;
        }
        match matrix.run_row(number, row, data) {
            Ok(figures) => {
                say(format_args!("ok   {line}: {figures}"));
                right += 1;
            }
            Err(why) => {
                say(format_args!("FAIL {line}: {why}"));
                wrong += 1;
            }
        }
        if matrix.broker.has_ended() {
            return Err(io::Error::other("the broker is gone"));
        }
    }
    matrix.broker.stop();
    let seconds = start.elapsed().as_secs();
    say(format_args!("matrix: {right} passed, {wrong} failed, {skipped} skipped in {seconds} s"));
    let must_be_whole = std::env::var("CI").is_ok_and(|ci| ci == "true");
    Ok(wrong == 0 && right > 0 && !(must_be_whole && skipped > 0))
}

struct Matrix<'a> {
    settings: &'a Settings,
    installed: Installed,
    logs: PathBuf,
    broker: Running,
}

impl Matrix<'_> {
    fn lacks(&self, row: &Row) -> Option<Client> {
        let mut clients = row.consumers.iter().chain([&row.producer]);
        clients.find(|client| !self.installed.has(**client)).copied()
    }

    fn run_row(&self, number: usize, row: &Row, data: &Dataset) -> Result<String, String> {
        let topic = format!("matrix-{number}-{}", row.producer);
        let mut connection = Connection::new(self.broker.address);
        topics::create(&mut connection, &topic, row.partitions, &json!([]))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|error| error.to_string())?;
        let what = Production {
            bootstrap: self.broker.address,
            topic: &topic,
            partitions: row.partitions,
            codec: row.codec,
            is_keyed: row.is_keyed,
            acks: row.acks,
            timestamp_base: now.as_millis() as i64 - data.records() as i64,
        };
        let seconds = self.produce(row, &what, data)?;
        let ends = topics::await_records(&mut connection, &topic, row.partitions, data.records())?;
        let speed = data.bytes as f64 / 1e6 / seconds;
        let mut figures = format!(
            "{} records, {} MB, {seconds:.1} s ({speed:.0} MB/s)",
            data.records(),
            data.bytes / 1_000_000
        );
        for consumer in row.consumers {
            let expected = Expected {
                is_keyed: row.is_keyed,
                has_header: row.is_keyed && row.producer.writes_headers(),
                timestamp_base: row.producer.writes_headers().then_some(what.timestamp_base),
            };
            let seconds = self
                .consume(*consumer, &topic, &ends, data, expected)
                .map_err(|why| format!("{consumer}: {why}"))?;
            figures.push_str(&format!(", {consumer} {seconds:.1} s"));
        }
        topics::delete(&mut connection, &topic)?;
        Ok(figures)
    }

    fn produce(&self, row: &Row, what: &Production<'_>, data: &Dataset) -> Result<f64, String> {
        let errors = self.logs.join(format!("{}.err", what.topic));
        let mut command = self.installed.producer(row.producer, what, data);
        let out = File::create(self.logs.join(format!("{}.out", what.topic))).map_err(text)?;
        command.stdin(if row.producer.is_fed() { Stdio::piped() } else { Stdio::null() }).stdout(out);
        let start = Instant::now();
        let child = Bounded::spawn(command, &errors, self.settings.client_limit).map_err(text)?;
        let fed = thread::scope(|scope| {
            let feeder =
                child.take_stdin().map(|pipe| scope.spawn(move || clients::feed(data, row.is_keyed, pipe)));
            let ended = child.wait();
            let fed = feeder.map_or(Ok(Ok(())), thread::ScopedJoinHandle::join);
            (ended, fed)
        });
        let seconds = start.elapsed().as_secs_f64();
        let status = fed.0.map_err(|error| format!("producer: {error}\n{}", tail(&errors)))?;
        fed.1.map_err(|_| "feeding the producer panicked")?.map_err(text)?;
        if !status.success() {
            return Err(format!("producer: {status}\n{}", tail(&errors)));
        }
        Ok(seconds)
    }

    fn consume(
        &self,
        consumer: Client,
        topic: &str,
        ends: &[i64],
        data: &Dataset,
        expected: Expected,
    ) -> Result<f64, String> {
        let errors = self.logs.join(format!("{topic}-{consumer}.err"));
        let mut verifier = Verifier::new(data, expected);
        let mut record = DumpRecord::default();
        let start = Instant::now();
        for command in self.installed.consumers(consumer, self.broker.address, topic, ends) {
            let child = Bounded::spawn(piped(command), &errors, self.settings.client_limit).map_err(text)?;
            drop(child.take_stdin());
            let pipe = child.take_stdout().ok_or("no pipe")?;
            let mut dump = BufReader::with_capacity(1 << 18, pipe);
            let with_log = |why: String| format!("{why}\n{}", tail(&errors));
            while read_record(consumer.dump_format(), &mut dump, &mut record)
                .map_err(text)
                .map_err(with_log)?
            {
                verifier.take(&record)?;
            }
            let status = child.wait().map_err(text)?;
            if !status.success() {
                return Err(with_log(status.to_string()));
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        verifier.finish().map_err(|why| format!("{why}\n{}", tail(&errors)))?;
        Ok(seconds)
    }
}

fn line_of(row: &Row) -> String {
    let consumers: Vec<_> = row.consumers.iter().map(Client::to_string).collect();
    format!(
        "{:<12} -> {:<32} {:>2} partitions, {:<6} {:<7} {:<7} acks={}",
        row.producer,
        consumers.join(", "),
        row.partitions,
        row.codec.name(),
        if row.is_keyed { "keyed" } else { "unkeyed" },
        row.mode.name(),
        row.acks.name(),
    )
}

fn text(error: io::Error) -> String {
    error.to_string()
}

/// The perf tool's records are short: so many bytes of the data set stand for one of them.
const BYTES_PER_COUNTER_RECORD: u64 = 400;
