//! One seed's history: several lives of the broker on one disk, each with its own number of cores and its own end, and
//! everything read again at the beginning of the next.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use kafka_protocol::messages::ApiVersionsRequest;
use slipring::runtime;
use slipring::runtime::sim::{Ended, Run};
use slipring_protocol::ids::TimestampMs;
use slipring_storage::disk::SimDisk;
use slipring_storage::store::{PlantedBug, StoreConfig};

use crate::chance::Chance;
use crate::consumer::Consumer;
use crate::ledger::{Ledger, TopicState};
use crate::node::{Node, NodeConfig};
use crate::producer::Producer;
use crate::world::Life;
use crate::{LASTING, admin, rude};

/// Wall clock at the beginning: 2026-01-01.
const EPOCH: TimestampMs = TimestampMs(1_767_225_600_000);
/// A start or a life that takes longer in virtual time hangs.
const LIFE_MAX: Duration = Duration::from_secs(4 * 3600);

/// What a history was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// A digest of everything that ran and everything that became known: the same for the same seed.
    pub trace: u64,
    /// Lives of the broker.
    pub lives: usize,
    /// Records that were acknowledged.
    pub acknowledged: u64,
    /// Steps of tasks and of the disk.
    pub steps: u64,
    /// Virtual time.
    pub elapsed: Duration,
}

/// How a life ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// The power goes at the disk's operation of this number.
    PowerCut(u64),
    /// The process is killed; what it wrote stays with the system.
    Kill,
    /// A clean stop; afterwards, perhaps, the power goes.
    Stop {
        /// Whether it goes.
        power_cut: bool,
    },
}

/// Who takes part.
struct Cast {
    producers: Vec<Rc<Producer>>,
    consumers: Vec<Rc<Consumer>>,
    rude: usize,
    topic_configs: Vec<(String, String)>,
    /// How long a life lasts that nothing ends, and how many operations of the disk at most.
    busy: Duration,
    operations_max: u64,
}

/// What may be changed about a history to see whether it is noticed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// A bug that the storage engine is told to have.
    pub planted: Option<PlantedBug>,
}

/// Runs one seed's history.
///
/// # Panics
/// When the broker does anything that it must not do.
#[must_use]
pub fn run(seed: u64, options: Options) -> Summary {
    let mut chance = Chance::new(seed);
    let mut disk = SimDisk::new(chance.number());
    let config = Rc::new(node_config(&mut chance, options));
    let cast = Rc::new(cast(&mut chance));
    let ledger = Rc::new(RefCell::new(Ledger::default()));
    let mut summary = Summary { trace: seed, lives: 0, acknowledged: 0, steps: 0, elapsed: Duration::ZERO };
    let lives = chance.of(2..6);
    for life in 0..=lives {
        let shards = u16::try_from(chance.of(1..4)).expect("small");
        let end = if life == lives { End::Stop { power_cut: false } } else { draw_end(&mut chance) };
        if let End::PowerCut(at) = end {
            disk.crash_at(at);
        }
        tracing::info!(seed, life, shards, ?end, "life");
        let began = TimestampMs(EPOCH.0 + i64::try_from(summary.elapsed.as_millis()).expect("short"));
        let run = runtime::sim::run(chance.number(), began, &disk, || {
            live(disk.clone(), config.clone(), shards, cast.clone(), ledger.clone(), end, chance.fork())
        });
        assert!(run.elapsed < LIFE_MAX, "a life takes {:?}", run.elapsed);
        summary.add(&run);
        disk = match (run.ended, end) {
            (Ended::NodeEnded, _) => panic!("the broker gave up"),
            (Ended::PowerCut, _) | (Ended::Returned(()), End::Stop { power_cut: true }) => disk.reopen(),
            (Ended::Returned(()), _) => disk.kill(),
        };
    }
    summary.acknowledged = ledger.borrow().acknowledged;
    summary.trace ^= ledger.borrow().digest();
    summary
}

impl Summary {
    fn add(&mut self, run: &Run<()>) {
        self.trace = self.trace.rotate_left(5) ^ run.schedule;
        self.lives += 1;
        self.steps += run.steps;
        // The next process does not start at once.
        self.elapsed += run.elapsed + Duration::from_secs(3);
    }
}

fn draw_end(chance: &mut Chance) -> End {
    match chance.of(0..10) {
        0 => End::PowerCut(chance.of(0..60) as u64),
        1..6 => End::PowerCut(chance.of(20..2_000) as u64),
        6..8 => End::Kill,
        _ => End::Stop { power_cut: chance.percent(50) },
    }
}

fn node_config(chance: &mut Chance, options: Options) -> NodeConfig {
    let store = StoreConfig {
        journal_bytes: chance.one(&[256 << 10, 1 << 20, 4 << 20]),
        direct_switch_bytes: chance.one(&[4 << 10, 16 << 10, 128 << 10]),
        tail_bytes: chance.one(&[256 << 10, 1 << 20, 16 << 20]),
        staged_bytes_max: chance.one(&[64 << 10, 512 << 10, 4 << 20]),
        open_files_max: chance.one(&[8, 64]),
        index_cache_bytes: chance.one(&[4 << 10, 1 << 20]),
        planted: options.planted,
        ..StoreConfig::default()
    };
    let slots = chance.one(&["2", "1000", "1000"]);
    let sets = [
        ("max.incremental.fetch.session.cache.slots", slots),
        ("auto.create.topics.enable", "false"),
        ("connections.max.idle.ms", "600000"),
    ];
    NodeConfig::new(&sets, store, chance.one(&[1, 1, 2]))
}

fn cast(chance: &mut Chance) -> Cast {
    let segment_bytes = chance.percent(60).then(|| chance.one(&[4_096, 20_000, 200_000]));
    // A batch must fit into a segment.
    let bytes_max = segment_bytes.map_or(usize::MAX, |bytes: usize| bytes / 3);
    let producers = (0..u32::try_from(chance.of(1..5)).expect("small"))
        .map(|number| Rc::new(Producer::new(number, bytes_max, chance)))
        .collect();
    let consumers = (0..chance.of(0..5)).map(|_| Rc::new(Consumer::default())).collect();
    let mut topic_configs = Vec::new();
    if let Some(bytes) = segment_bytes {
        topic_configs.push(("internal.segment.bytes".to_owned(), bytes.to_string()));
    }
    if chance.percent(30) {
        topic_configs.push(("segment.ms".to_owned(), "1500".to_owned()));
    }
    if chance.percent(50) {
        topic_configs.push(("index.interval.bytes".to_owned(), "300".to_owned()));
        topic_configs.push(("segment.index.bytes".to_owned(), chance.one(&["64", "10485760"]).to_owned()));
    }
    let busy = Duration::from_secs(chance.of(1..30) as u64);
    let operations_max = chance.of(300..3_000) as u64;
    Cast { producers, consumers, rude: chance.one(&[0, 0, 1]), topic_configs, busy, operations_max }
}

async fn live(
    disk: SimDisk,
    config: Rc<NodeConfig>,
    shards: u16,
    cast: Rc<Cast>,
    ledger: Rc<RefCell<Ledger>>,
    end: End,
    mut chance: Chance,
) {
    let node = Node::start(&disk, &config, shards).await;
    let life = Life::new(ledger, node);
    admin::audit(&life).await;
    make_lasting_topics(&life, &cast, &mut chance).await;
    start_clients(&life, &cast, &mut chance);
    let until = runtime::now().plus(cast.busy);
    while runtime::now() < until && disk.ops() < cast.operations_max {
        runtime::sleep(Duration::from_millis(10)).await;
    }
    match end {
        // The power has not gone by itself: it was a quiet life.
        End::PowerCut(_) => disk.crash(),
        End::Kill => {}
        End::Stop { .. } => {
            if chance.percent(70) {
                life.end_clients().await;
                admin::read_again(&life).await;
                if chance.percent(15) {
                    silence(&life, Duration::from_secs(chance.of(60..1_500) as u64)).await;
                }
            }
            life.end();
            life.node.stop().await;
        }
    }
}

async fn make_lasting_topics(life: &Life, cast: &Cast, chance: &mut Chance) {
    let wire = life.connect().expect("the life has just begun");
    for name in LASTING {
        let there = life.ledger.borrow().topics.get(name).map(|topic| topic.state);
        if there != Some(TopicState::Live) {
            let partitions = i32::try_from(chance.of(1..5)).expect("small");
            let made = admin::create(life, &wire, name, partitions, &cast.topic_configs).await;
            assert!(made.is_ok(), "the broker has closed a connection");
        }
    }
}

fn start_clients(life: &Life, cast: &Rc<Cast>, chance: &mut Chance) {
    for producer in &cast.producers {
        let (life, producer, chance) = (life.clone(), producer.clone(), chance.fork());
        life.clone().spawn(async move { producer.run(&life, chance).await });
    }
    for consumer in &cast.consumers {
        let (life, consumer, chance) = (life.clone(), consumer.clone(), chance.fork());
        life.clone().spawn(async move { consumer.run(&life, chance).await });
    }
    for _ in 0..cast.rude {
        let (inner, chance) = (life.clone(), chance.fork());
        life.spawn(async move { rude::run(&inner, chance).await });
    }
    let (inner, cast, chance) = (life.clone(), cast.clone(), chance.fork());
    life.spawn(async move { admin::run(&inner, &cast.topic_configs, chance).await });
}

/// One life in which clients work, and then nothing happens for as long as `time` says.
///
/// # Panics
/// As [`run`], and when the broker does not answer at once afterwards.
#[must_use]
pub fn long_silence(seed: u64, time: Duration) -> Duration {
    let mut chance = Chance::new(seed);
    let disk = SimDisk::new(chance.number());
    let config = node_config(&mut chance, Options::default());
    let cast = Rc::new(Cast { operations_max: 300, ..cast(&mut chance) });
    let main = async || {
        let life = Life::new(Rc::default(), Node::start(&disk, &config, 2).await);
        make_lasting_topics(&life, &cast, &mut chance).await;
        start_clients(&life, &cast, &mut chance);
        runtime::sleep(Duration::from_secs(1)).await;
        life.end_clients().await;
        silence(&life, time).await;
        life.node.stop().await;
    };
    let run = runtime::sim::run(seed, EPOCH, &disk, main);
    assert_eq!(run.ended, Ended::Returned(()));
    run.elapsed
}

/// Nothing happens for a long time; then connections that were silent for too long are closed, and a request is answered
/// at once.
///
/// # Panics
/// When they are not, or it is not.
pub async fn silence(life: &Life, silence: Duration) {
    const IDLE_MAX: Duration = Duration::from_secs(600);
    let silent = life.node.connect();
    runtime::sleep(silence).await;
    let began = runtime::now();
    let answer = silent.call(3, &ApiVersionsRequest::default()).await;
    let took = runtime::now().since(began);
    assert!(took < Duration::from_millis(20), "an answer after {silence:?} of silence took {took:?}");
    let closed = silence > IDLE_MAX + Duration::from_secs(2);
    assert_eq!(answer.is_err(), closed, "closed for idleness after {silence:?}?");
    let began = runtime::now();
    admin::read_again(life).await;
    let took = runtime::now().since(began);
    assert!(took < Duration::from_secs(10), "reading it all after {silence:?} of silence took {took:?}");
}
