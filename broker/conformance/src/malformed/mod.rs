//! Malformed input: thousands of hostile conversations, while a well-behaved client must be served within a second, memory
//! stays bounded, and the broker lives. What comes of each is what Kafka does with it.

mod attack;
mod body;
mod bystander;
mod case;
mod cases;
mod crowd;
mod expected;
mod outcome;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::chance::Chance;
use crate::say;
use crate::session::codec;
use crate::session::connection::Connection;
use crate::session::schema::Schema;
use crate::target::{Launcher, TargetKind};
use crate::topics;
use crate::victim::{Site, Victim};

use attack::Results;
use bystander::Bystander;
use crowd::Idle;
use expected::Expected;

/// What to run.
pub(crate) struct Settings {
    pub(crate) launcher: Launcher,
    pub(crate) target: TargetKind,
    pub(crate) requests: usize,
    pub(crate) seed: u64,
    /// Idle connections to hold, as far as the machine allows.
    pub(crate) idle: usize,
    /// Writes the table of expectations anew.
    pub(crate) is_recording: bool,
}

/// Attacks a broker; true when it stood all of it.
///
/// # Errors
/// When the broker does not start, or is gone.
pub(crate) fn run(settings: &Settings) -> io::Result<bool> {
    let work = settings.launcher.work.join("malformed");
    if work.exists() {
        fs::remove_dir_all(&work)?;
    }
    let open_files = crowd::raise_open_files();
    let launcher = settings.launcher.clone();
    let mut site = Site::new(launcher, settings.target, work.join("data"), work.join("logs"), &[])?;
    let (victim, _) = site.start()?;
    prepare(site.address()).map_err(io::Error::other)?;
    let bystander = Arc::new(Bystander::new(site.address()));
    let beside = Arc::clone(&bystander);
    let beside = thread::spawn(move || beside.run());
    let began = Instant::now();
    let run = Run { settings, address: site.address(), victim: &victim, bystander: &bystander };
    let attacked = run.attack(open_files);
    bystander.finish();
    drop(beside.join());
    let (results, mut wrong) = attacked?;
    wrong.extend(bystander.served().complaints);
    wrong.extend(run.judge(&results)?);
    let stopped = victim.stop();
    if stopped.is_none() {
        wrong.push("SIGTERM did not stop the broker within 30 s".to_owned());
    }
    wrong.iter().take(DIFFERENCES_SHOWN).for_each(|why| say(format_args!("  {why}")));
    let served = bystander.served();
    say(format_args!(
        "malformed: {} requests, {} differences or failures, seed {}, {} s; a well-behaved client was served {} times, \
         in {:.0} ms at worst",
        settings.requests,
        wrong.len(),
        settings.seed,
        began.elapsed().as_secs(),
        served.times,
        served.worst_ever.as_secs_f64() * 1e3,
    ));
    if wrong.is_empty() {
        fs::remove_dir_all(&work)?;
    }
    Ok(wrong.is_empty())
}

struct Run<'a> {
    settings: &'a Settings,
    address: SocketAddr,
    victim: &'a Victim,
    bystander: &'a Bystander,
}

impl Run<'_> {
    /// All classes, with the idle crowd standing around; results, and what went wrong beside them.
    fn attack(&self, open_files: u64) -> io::Result<(Results, Vec<String>)> {
        let mut wrong = Vec::new();
        let mut chance = Chance::new(self.settings.seed);
        let room = (open_files.saturating_sub(2_000)) as usize;
        let idle = self.settings.idle.min(room);
        if idle < self.settings.idle {
            say(format_args!(
                "malformed: {idle} idle connections only, {open_files} files may be open (ulimit -n)"
            ));
        }
        let began = self.begin("idle");
        let crowd = Idle::open(self.address, idle)?;
        self.report("idle", idle, began)?;
        let mut results = Results::new();
        for class in cases::classes(&mut chance) {
            let began = self.begin(class.name);
            // Every case at least once: two runs with the same number of requests hold the same rows against Kafka's.
            let requests = (self.settings.requests * class.share / 1000).max(class.cases.len());
            for (row, versions) in attack::attack(self.address, &class.cases, requests) {
                let known = results.entry(row).or_default();
                versions.into_iter().for_each(|(version, outcomes)| {
                    known.entry(version).or_default().extend(outcomes);
                });
            }
            self.report(class.name, requests, began)?;
        }
        self.bombs(&mut results)?;
        wrong.extend(self.crowds()?);
        let (count, began) = (crowd.count(), self.begin("idle ones asking"));
        let awake = crowd.wake();
        self.report("idle ones asking", count, began)?;
        if awake < count {
            wrong.push(format!("{} of {count} idle connections were not answered in the end", count - awake));
        }
        Ok((results, wrong))
    }

    fn bombs(&self, results: &mut Results) -> io::Result<()> {
        let began = self.begin("bombs");
        let schema = Schema::load();
        let rounds = (self.settings.requests / 25_000).max(1);
        let mut count = 0;
        for bomb in cases::bombs() {
            let case = bomb.case();
            // Together, so that memory for one is not enough.
            let outcomes: Vec<_> = thread::scope(|scope| {
                let throw = || attack::one(&schema, self.address, &case, Duration::from_secs(60));
                let thrown: Vec<_> = (0..rounds).map(|_| scope.spawn(throw)).collect();
                thrown.into_iter().filter_map(|thread| thread.join().ok()).collect()
            });
            count += outcomes.len();
            outcomes.into_iter().for_each(|outcome| attack::note(results, &case, outcome));
        }
        self.report("bombs", count, began)
    }

    /// What is many rather than malformed.
    fn crowds(&self) -> io::Result<Vec<String>> {
        let mut wrong = Vec::new();
        let began = self.begin("trickles");
        let answered = crowd::trickle(self.address, TRICKLES, Duration::from_millis(50))?;
        if answered < TRICKLES {
            wrong.push(format!("{} of {TRICKLES} trickling requests were not answered", TRICKLES - answered));
        }
        self.report("trickles", TRICKLES, began)?;
        let began = self.begin("claims");
        // Kafka takes the whole memory at once, and would be out of it.
        let claims = if self.settings.target == TargetKind::Kafka { 3 } else { CLAIMS };
        crowd::claim(self.address, claims, Duration::from_secs(2))?;
        self.report("claims", claims, began)?;
        let began = self.begin("answers not read");
        let fetch = json!({
            "max_wait_ms": 0, "min_bytes": 0, "max_bytes": 50_000_000,
            "topics": [{ "topic": VICTIM, "partitions": [
                { "partition": 0, "fetch_offset": 0, "partition_max_bytes": 50_000_000 }
            ] }],
        });
        let fetch = codec::encode(Schema::load().request("Fetch"), 12, &fetch).map_err(io::Error::other)?;
        crowd::ignore(self.address, &fetch, IGNORERS, Duration::from_secs(3))?;
        self.report("answers not read", IGNORERS, began)?;
        Ok(wrong)
    }

    fn begin(&self, class: &str) -> Instant {
        self.bystander.enter(class);
        Instant::now()
    }

    fn report(&self, class: &str, requests: usize, began: Instant) -> io::Result<()> {
        if self.victim.has_ended() {
            return Err(self.victim.complaint(&format!("is gone after {class}")));
        }
        let served = self.bystander.served();
        say(format_args!(
            "  {class}: {requests} in {:.1} s; a well-behaved client waited {:.0} ms at worst; {} MB at most so far",
            began.elapsed().as_secs_f64(),
            served.worst.as_secs_f64() * 1e3,
            self.victim.peak_memory().unwrap_or_default() >> 20,
        ));
        Ok(())
    }

    /// Holds everything against what must be; writes the table when told to.
    fn judge(&self, results: &Results) -> io::Result<Vec<String>> {
        let mut wrong = Vec::new();
        let memory = self.victim.peak_memory().unwrap_or(u64::MAX);
        if memory > MEMORY_MAX && self.settings.target == TargetKind::Slipring {
            wrong.push(format!("{} MB of memory", memory >> 20));
        }
        if self.settings.is_recording {
            let path = self.settings.launcher.root.join("broker/conformance/src/malformed/expected.tsv");
            fs::write(path, expected::render(results))?;
            return Ok(wrong);
        }
        let comparison = Expected::load().compare(results);
        say(format_args!(
            "malformed: {} rows and versions as Kafka, {} intended differences, {} others",
            comparison.same,
            comparison.intended,
            comparison.different.len()
        ));
        wrong.extend(comparison.different);
        Ok(wrong)
    }
}

/// The topics of the attack, and something to fetch.
fn prepare(address: SocketAddr) -> Result<(), String> {
    let mut connection = Connection::new(address);
    let large = json!([{ "name": "max.message.bytes", "value": "67108864" }]);
    topics::create(&mut connection, VICTIM, 1, &json!([]))?;
    topics::create(&mut connection, bystander::TOPIC, 1, &json!([]))?;
    topics::create(&mut connection, BOMBS, 1, &large)?;
    topics::await_coordinators(&mut connection)?;
    // Kafka has no producer ids to give at first.
    let request = json!({ "transactional_id": null, "transaction_timeout_ms": 1_000 });
    let began = Instant::now();
    while connection.call("InitProducerId", 4, &request).answer()["error_code"] != 0 {
        if began.elapsed() > Duration::from_secs(20) {
            return Err("no producer ids within 20 s".to_owned());
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Where wrong batches go.
const VICTIM: &str = "victim";
/// Where large batches go.
const BOMBS: &str = "bombs";
const MEMORY_MAX: u64 = 1 << 30;
const TRICKLES: usize = 500;
const CLAIMS: usize = 1_000;
const IGNORERS: usize = 200;
const DIFFERENCES_SHOWN: usize = 200;
