//! The rounds: load, crash, restart, look.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::json;

use super::check::{Found, check};
use super::facts::Facts;
use super::producer::{Producer, new_producer_id};
use super::watcher::watch;
use super::{Phase, Shared, TOPICS, fleet, lock};
use crate::chance::Chance;
use crate::say;
use crate::session::connection::Connection;
use crate::target::{Launcher, TargetKind};
use crate::topics;
use crate::victim::{Site, Victim};

/// What to run.
pub(crate) struct Settings {
    pub(crate) launcher: Launcher,
    pub(crate) target: TargetKind,
    pub(crate) rounds: u32,
    /// Load before a crash, at most.
    pub(crate) load: Duration,
    pub(crate) seed: u64,
    /// Of all producers together.
    pub(crate) bytes_per_second: u64,
    /// The broker's data directory, when it is not to be one under the launcher's.
    pub(crate) data: Option<PathBuf>,
    /// A command that cuts the power under the data directory and prints where the surviving one is mounted.
    pub(crate) cut: Option<PathBuf>,
    /// More settings of the broker, as `key=value`.
    pub(crate) settings: Vec<String>,
}

/// Runs all rounds; true when all passed. What the broker left is kept when one fails.
///
/// # Errors
/// When the broker does not start, or ends by itself.
pub(crate) fn run(settings: &Settings) -> io::Result<bool> {
    let work = settings.launcher.work.join("crash");
    if work.exists() {
        fs::remove_dir_all(&work)?;
    }
    let began = Instant::now();
    let mut run = Run::start(settings, &work)?;
    let mut passed = 0;
    let mut wrong = Vec::new();
    for round in 1..=settings.rounds {
        wrong = run.round(round)?;
        if !wrong.is_empty() {
            break;
        }
        passed += 1;
    }
    if wrong.is_empty() {
        wrong = run.finish()?;
    }
    wrong.iter().for_each(|why| say(format_args!("  {why}")));
    let (records, bytes) = lock(&run.shared.ledger).totals();
    let failed = u32::from(!wrong.is_empty());
    say(format_args!(
        "crash: {passed} passed, {failed} failed; {records} acknowledged records, {} MB, {} retried answers, at least {} \
         MB/s, {} s, seed {}",
        bytes >> 20,
        run.shared.retries(),
        run.slowest >> 20,
        began.elapsed().as_secs(),
        settings.seed,
    ));
    drop(run);
    if failed == 0 {
        fs::remove_dir_all(&work)?;
    } else {
        say(format_args!("crash: what is left is in {}", work.display()));
    }
    Ok(failed == 0)
}

struct Run<'a> {
    settings: &'a Settings,
    site: Site,
    victim: Victim,
    shared: Arc<Shared>,
    producers: Vec<JoinHandle<Vec<u64>>>,
    watcher: Option<JoinHandle<()>>,
    chance: Chance,
    facts: Facts,
    /// How long the last start took.
    ready: Duration,
    /// When the load began, and what had been acknowledged by then.
    load: (Instant, u64),
    /// Acknowledged bytes a second of the slowest load.
    slowest: u64,
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        // A producer that waits for an answer ends with the broker.
        self.shared.set_frozen(true);
        self.shared.enter(Phase::Halt);
        self.victim.kill();
        self.producers.drain(..).for_each(|producer| drop(producer.join()));
        self.watcher.take().map(JoinHandle::join);
    }
}

impl<'a> Run<'a> {
    fn start(settings: &'a Settings, work: &Path) -> io::Result<Self> {
        let data = settings.data.clone().unwrap_or_else(|| work.join("data"));
        let launcher = settings.launcher.clone();
        let pairs: Vec<_> = settings.settings.iter().filter_map(|pair| pair.split_once('=')).collect();
        let mut site = Site::new(launcher, settings.target, data, work.join("logs"), &pairs)?;
        let (victim, ready) = site.start()?;
        let mut connection = Connection::new(site.address());
        // Small segments, so that crashes fall into rolls too.
        let configs = json!([{ "name": "segment.bytes", "value": "33554432" }]);
        for (topic, partitions) in TOPICS {
            topics::create(&mut connection, topic, *partitions, &configs).map_err(io::Error::other)?;
        }
        let facts = Facts::ask(site.address()).map_err(io::Error::other)?;
        let shared = Arc::new(Shared::new(site.address(), settings.bytes_per_second));
        let mut chance = Chance::new(settings.seed);
        say(format_args!(
            "crash: {} rounds, {} producers at {} MB/s in sum, seed {}",
            settings.rounds,
            fleet().len(),
            settings.bytes_per_second >> 20,
            settings.seed
        ));
        let producers = fleet().into_iter().zip(0..).map(|(habit, id)| {
            let producer = Producer::new(id, habit, chance.fork(u64::from(id)), Arc::clone(&shared));
            thread::spawn(move || producer.run())
        });
        let producers = producers.collect();
        let watched = Arc::clone(&shared);
        let watcher = Some(thread::spawn(move || watch(&watched)));
        let load = (Instant::now(), 0);
        Ok(Self {
            settings,
            site,
            victim,
            shared,
            producers,
            watcher,
            chance,
            facts,
            ready,
            load,
            slowest: u64::MAX,
        })
    }

    /// One round; what went wrong.
    fn round(&mut self, round: u32) -> io::Result<Vec<String>> {
        let longest = self.settings.load.as_millis() as u64;
        thread::sleep(Duration::from_millis(self.chance.between(longest / 3, longest + 1)));
        if self.victim.has_ended() {
            return Err(self.victim.complaint("ended by itself"));
        }
        let (took, rate) = self.crash()?;
        let crashes = if self.settings.cut.is_some() { 0 } else { self.crash_while_starting()? };
        (self.victim, self.ready) = self.site.start()?;
        self.shared.set_frozen(false);
        self.begin_load();
        let looked = Instant::now();
        let mut wrong = self.look().err().unwrap_or_default();
        wrong.extend(self.shared.take_faults());
        if self.victim.has_ended() {
            wrong.push(self.victim.complaint("ended by itself").to_string());
        }
        let (records, _) = lock(&self.shared.ledger).totals();
        let verdict = if wrong.is_empty() { "all kept" } else { "FAILED" };
        say(format_args!(
            "round {round}: {} after {:.2} s at {} MB/s, {crashes} more while starting, ready in {:.2} s; {records} \
             acknowledged, {verdict}, looked {:.1} s",
            if self.settings.cut.is_some() { "power cut" } else { "killed" },
            took.as_secs_f64(),
            rate >> 20,
            self.ready.as_secs_f64(),
            looked.elapsed().as_secs_f64(),
        ));
        Ok(wrong)
    }

    /// Kills the broker or cuts its power; tells how long there was load, and at which rate in bytes a second.
    fn crash(&mut self) -> io::Result<(Duration, u64)> {
        match &self.settings.cut {
            None => self.victim.kill(),
            Some(command) => {
                self.shared.set_frozen(true);
                if !self.victim.freeze() {
                    return Err(self.victim.complaint("does not stand still after SIGSTOP"));
                }
                let data = cut(command)?;
                self.victim.kill();
                self.site.move_to(data);
            }
        }
        let (began, before) = self.load;
        let took = began.elapsed();
        let bytes = lock(&self.shared.ledger).totals().1 - before;
        let rate = (bytes as f64 / took.as_secs_f64()) as u64;
        self.slowest = self.slowest.min(rate);
        Ok((took, rate))
    }

    /// Starts the broker and kills it before, while or shortly after it gets ready, up to two times.
    fn crash_while_starting(&mut self) -> io::Result<u32> {
        let crashes = self.chance.between(0, 3) as u32;
        for _ in 0..crashes {
            let starting = self.site.spawn()?;
            let ready = self.ready.as_micros() as u64;
            thread::sleep(Duration::from_micros(self.chance.between(0, ready * 3 / 2 + 1_000)));
            if starting.has_ended() {
                return Err(starting.complaint("ended while it started"));
            }
            starting.kill();
        }
        Ok(crashes)
    }

    fn begin_load(&mut self) {
        self.load = (Instant::now(), lock(&self.shared.ledger).totals().1);
    }

    /// Everything that must hold after a restart, while the load goes on.
    fn look(&mut self) -> Result<Found, Vec<String>> {
        let address = self.site.address();
        let facts = Facts::ask(address).map_err(|why| vec![why])?;
        facts.follow(&self.facts).map_err(|why| vec![why])?;
        self.facts = facts;
        new_producer_id(&self.shared).map_err(|error| vec![error.to_string()])?;
        let is_idempotent: Vec<bool> = fleet().iter().map(|habit| habit.is_idempotent).collect();
        check(address, &self.shared.ledger, &is_idempotent)
    }

    /// Lets the producers finish, then looks before and after a clean restart. Every record of an idempotent producer must be
    /// there.
    fn finish(&mut self) -> io::Result<Vec<String>> {
        self.shared.enter(Phase::Drain);
        let began = Instant::now();
        while self.producers.iter().any(|producer| !producer.is_finished()) {
            if began.elapsed() > DRAIN_LIMIT {
                return Ok(vec!["producers can't finish what is pending".to_owned()]);
            }
            thread::sleep(Duration::from_millis(5));
        }
        let sent: Vec<_> = self.producers.drain(..).map(|thread| thread.join().unwrap_or_default()).collect();
        let mut wrong = self.shared.take_faults();
        // The producer ids and epochs of this start are known already; only the records are of interest.
        let is_idempotent: Vec<bool> = fleet().iter().map(|habit| habit.is_idempotent).collect();
        let address = self.site.address();
        let found = check(address, &self.shared.ledger, &is_idempotent);
        wrong.extend(complete(&found, &sent, &is_idempotent));
        if self.victim.stop().is_none() {
            wrong.push("SIGTERM did not stop the broker within 30 s".to_owned());
        }
        (self.victim, self.ready) = self.site.start()?;
        let again = self.look();
        wrong.extend(complete(&again, &sent, &is_idempotent));
        wrong.extend(self.shared.take_faults());
        Ok(wrong)
    }
}

/// What of the idempotent producers' records is not there: they sent every record until it was acknowledged.
fn complete(found: &Result<Found, Vec<String>>, sent: &[Vec<u64>], is_idempotent: &[bool]) -> Vec<String> {
    let found = match found {
        Ok(found) => found,
        Err(wrong) => return wrong.clone(),
    };
    let mut wrong = Vec::new();
    for (producer, numbers) in sent.iter().enumerate().filter(|(producer, _)| is_idempotent[*producer]) {
        for (slot, number) in numbers.iter().enumerate() {
            let kept = found.next[slot][producer];
            if kept != *number {
                wrong.push(format!(
                    "producer {producer} sent {number} records to slot {slot}, {kept} are there"
                ));
            }
        }
    }
    wrong
}

/// Runs the command that cuts the power; the last line of its output is the surviving directory.
fn cut(command: &Path) -> io::Result<PathBuf> {
    let output = Command::new(command).arg("cut").stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.lines().last().filter(|_| output.status.success()) {
        Some(line) => Ok(PathBuf::from(line)),
        None => Err(io::Error::other(format!("{} cut: {}", command.display(), output.status))),
    }
}

const DRAIN_LIMIT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_idempotent_producer_sent_must_be_there() {
        let found = Ok(Found { next: vec![vec![5, 3]], ..Found::default() });
        assert!(complete(&found, &[vec![5], vec![4]], &[true, false]).is_empty());
        assert_eq!(complete(&found, &[vec![6], vec![4]], &[true, false]).len(), 1);
        let broken = Err(vec!["why".to_owned()]);
        assert_eq!(complete(&broken, &[], &[]), vec!["why"]);
    }
}
