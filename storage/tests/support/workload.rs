//! A seeded workload over a few logs with a plain model beside it, and the check of what a later run finds.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use slipring_protocol::ids::{Offset, TimestampMs};
use slipring_storage::disk::sim::yield_now;
use slipring_storage::disk::{Disk, SimDisk};
use slipring_storage::log::{LogConfig, LogDurability};
use slipring_storage::retention::RetentionConfig;
use slipring_storage::store::{Committed, Store, StoreConfig};

pub use super::chance::{Rng, both};
use super::{Run, append, batch};

/// What a log should hold.
#[derive(Clone, Debug, Default)]
pub struct TopicModel {
    /// Record bytes of every batch appended, without the header's offset and epoch.
    pub batches: Vec<Vec<u8>>,
    /// End offset after each batch.
    pub ends: Vec<i64>,
    /// What was acknowledged.
    pub acked: i64,
    /// The log start last known to be durable, and the furthest that was asked for.
    pub start_acked: i64,
    pub start_tried: i64,
    /// What was said to be on stable storage.
    pub durable: i64,
    /// Its creation was acknowledged.
    pub created: bool,
    pub deleting: bool,
    pub deleted: bool,
}

impl TopicModel {
    /// The first batch that a reader from `start` gets.
    fn first_from(&self, start: i64) -> usize {
        self.ends.partition_point(|end| *end <= start)
    }
}

/// All logs of a workload.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub topics: BTreeMap<u32, TopicModel>,
    pub next_record: u64,
    pub commits: u64,
}

#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub cores: u32,
    pub steps: u64,
    pub topics: u32,
    pub store: StoreConfig,
    pub log: LogConfig,
    pub deletions: bool,
    /// Background work runs in tasks of its own, beside everything else.
    pub tasks: bool,
    /// What was acknowledged and not flushed may be gone: `written`, and the power was cut.
    pub may_lose: bool,
}

impl Shape {
    /// A journal of a few blocks, so that it wraps and copies forward all the time.
    pub fn tiny_journal() -> Shape {
        let mut shape = Shape { tasks: true, topics: 2, steps: 220, ..Shape::default() };
        shape.store.journal_bytes = 64 << 10;
        shape.store.direct_switch_bytes = 10 << 10;
        shape
    }

    /// Half of the logs acknowledge what is only written.
    pub fn written() -> Shape {
        let mut shape = Shape { may_lose: true, ..Shape::default() };
        shape.log.durability = LogDurability::Written;
        shape
    }

    /// Configuration of a topic: with `written` only the even ones are.
    pub fn log_of(&self, topic: u32) -> LogConfig {
        match topic % 2 {
            0 => self.log,
            _ => LogConfig { durability: LogDurability::Flushed, ..self.log },
        }
    }

    fn loses(&self, topic: u32) -> bool {
        self.may_lose && self.log_of(topic).durability == LogDurability::Written
    }
}

impl Default for Shape {
    fn default() -> Shape {
        Shape {
            cores: 2,
            steps: 220,
            topics: 3,
            store: StoreConfig {
                journal_bytes: 128 << 10,
                direct_switch_bytes: 6 << 10,
                tail_bytes: 3 << 16,
                index_cache_bytes: 64,
                open_files_max: 3,
                ..StoreConfig::default()
            },
            log: LogConfig {
                segment_bytes: 40 << 10,
                index_interval_bytes: 1024,
                durability: LogDurability::Flushed,
                retention: RetentionConfig {
                    delete: true,
                    ms: Some(120),
                    bytes: Some(50 << 10),
                    file_delete_delay_ms: 50,
                },
                ..LogConfig::default()
            },
            deletions: true,
            tasks: false,
            may_lose: false,
        }
    }
}

/// Runs a workload on a simulated disk: `work` with its background tasks.
pub fn drive(sim: &SimDisk, seed: u64, shape: Shape, model: &mut Model) -> Result<(), String> {
    let disk = Disk::Sim(sim.clone());
    sim.run(|spawner| async move {
        let mut rng = Rng(seed);
        let mut run = Run::start(&disk, shape.cores, shape.store).await?;
        for store in run.stores.iter().filter(|_| shape.tasks) {
            let store = store.clone();
            spawner.spawn(async move {
                for round in 0..BACKGROUND_ROUNDS_MAX {
                    store.background(round * 10).await;
                    yield_now().await;
                }
            });
        }
        for topic in 0..shape.topics {
            create(&mut run, topic, shape, model).await?;
        }
        work_on(&mut run, &mut rng, shape, model).await
    })
}

/// Goes on with a run that has its logs open.
pub async fn work_on(run: &mut Run, rng: &mut Rng, shape: Shape, model: &mut Model) -> Result<(), String> {
    for step in 0..shape.steps {
        match rng.below(14) {
            0..=5 => append_some(run, rng, model).await?,
            6..=8 => commit_all(run, rng, model).await?,
            9 => background(run, step * 30, model).await?,
            10 => read_some(run, rng, model).await?,
            11 => delete_records(run, rng, model).await?,
            12 => retain(run, step * 30, model).await?,
            _ if shape.deletions && rng.below(3) == 0 => delete_one(run, rng, shape, model).await?,
            _ => commit_all(run, rng, model).await?,
        }
    }
    commit_all(run, rng, model).await
}

pub async fn create(run: &mut Run, topic: u32, shape: Shape, model: &mut Model) -> Result<(), String> {
    model.topics.entry(topic).or_default();
    run.create(topic, shape.log_of(topic)).await.map_err(|error| error.to_string())?;
    model.topics.get_mut(&topic).unwrap().created = true;
    Ok(())
}

async fn append_some(run: &mut Run, rng: &mut Rng, model: &mut Model) -> Result<(), String> {
    for _ in 0..1 + rng.below(4) {
        let open: Vec<u32> = run.logs.keys().copied().collect();
        let topic = open[rng.below(open.len() as u64) as usize];
        let records = 1 + rng.below(3) as u32;
        let value = match rng.below(8) {
            0..=3 => rng.below(100),
            4..=5 => 400 + rng.below(1_500),
            6 => 4_000 + rng.below(200),
            _ => 7_000 + rng.below(5_000),
        };
        let bytes = batch(model.next_record, records, value as usize / records as usize);
        model.next_record += u64::from(records);
        let (store, id) = run.store(topic);
        match append(store, id, &bytes, 0) {
            Ok(appended) => {
                let log = model.topics.get_mut(&topic).unwrap();
                let base = log.ends.last().copied().unwrap_or(0);
                assert_eq!(appended.base_offset.0, base, "offsets are dense");
                log.ends.push(base + i64::from(records));
                log.batches.push(bytes[16..].to_vec());
            }
            Err(slipring_storage::error::AppendError::Busy) => {
                let store = store.clone();
                make_room(run, &store, model).await?;
            }
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(())
}

/// What the broker does when the journal is full: its background task runs until appends have room.
async fn make_room(run: &Run, store: &Store, model: &mut Model) -> Result<(), String> {
    let mut now = 0;
    let waiting = store.wait_for_room();
    let mut waiting = pin!(waiting);
    for _ in 0..10_000 {
        now += 10;
        let mut done = false;
        poll_fn(|context| {
            done = waiting.as_mut().poll(context).is_ready();
            Poll::Ready(())
        })
        .await;
        if done {
            return Ok(());
        }
        let committed = store.commit().await;
        note(run, store, &committed, model)?;
        store.background(now).await;
        // A background task that is in the middle of something gets its turn.
        yield_now().await;
    }
    Err(format!("a full store never got room again: {:?}, staged {}", store.usage(), store.staged_bytes()))
}

/// Commits and background work at the same time, as the broker's tasks run.
async fn commit_all(run: &mut Run, rng: &mut Rng, model: &mut Model) -> Result<(), String> {
    for store in run.stores.clone() {
        let mut rounds = 0;
        while store.has_staged() {
            let committed = match rng.below(3) {
                0 => store.commit().await,
                _ => both(store.commit(), store.background(0)).await.0,
            };
            model.commits += 1;
            note(run, &store, &committed, model)?;
            rounds += 1;
            if rounds > 3 {
                store.background(0).await;
            }
            assert!(rounds < 1_000, "commits make progress");
        }
    }
    Ok(())
}

async fn background(run: &Run, now_ms: u64, model: &mut Model) -> Result<(), String> {
    for store in run.stores.clone() {
        for round in 0..6 {
            store.background(now_ms + round * 20).await;
        }
        if store.has_staged() {
            let committed = store.commit().await;
            note(run, &store, &committed, model)?;
        }
    }
    Ok(())
}

fn note(run: &Run, store: &Store, committed: &Committed, model: &mut Model) -> Result<(), String> {
    for (id, end) in &committed.advanced {
        let found = run.logs.iter().find(|(_, (place, log))| {
            log == id
                && std::ptr::eq(&raw const *store, &raw const *store)
                && run.stores[*place].core() == store.core()
        });
        let Some((topic, _)) = found else { continue };
        let log = model.topics.get_mut(topic).unwrap();
        assert!(end.0 >= log.acked, "the acknowledged end does not go back");
        assert!(log.ends.contains(&end.0), "it lies between batches");
        log.acked = end.0;
    }
    for (topic, (place, id)) in &run.logs {
        let bounds = run.stores[*place].bounds(*id).map_err(|error| error.to_string())?;
        let log = model.topics.get_mut(topic).unwrap();
        assert!(log.durable <= bounds.durable_end.0, "the durable end does not go back");
        log.durable = bounds.durable_end.0;
    }
    match committed.failed.is_empty() {
        true => Ok(()),
        false => Err("a log was fenced".to_owned()),
    }
}

async fn read_some(run: &Run, rng: &mut Rng, model: &Model) -> Result<(), String> {
    let open: Vec<u32> = run.logs.keys().copied().collect();
    let topic = open[rng.below(open.len() as u64) as usize];
    let read = run.read(topic).await.map_err(|error| error.to_string())?;
    let (store, id) = run.store(topic);
    let bounds = store.bounds(id).unwrap();
    let log = &model.topics[&topic];
    let first = check_part(topic, &read, log, bounds.log_start.0, "a read");
    let visible = log.ends.get((first + read.len()).wrapping_sub(1)).copied().unwrap_or(0);
    assert_eq!(visible, bounds.acknowledged_end.0, "exactly what is acknowledged is shown");
    assert!(visible >= model.topics[&topic].acked, "what was acknowledged is shown");
    Ok(())
}

/// DeleteRecords on one log: what was answered outlives everything.
async fn delete_records(run: &mut Run, rng: &mut Rng, model: &mut Model) -> Result<(), String> {
    let open: Vec<u32> = run.logs.keys().copied().collect();
    let topic = open[rng.below(open.len() as u64) as usize];
    let (store, id) = run.store(topic);
    let bounds = store.bounds(id).unwrap();
    let room = (bounds.high_watermark.0 - bounds.log_start.0) as u64;
    let before = Offset(bounds.log_start.0 + rng.below(room / 4 + 1) as i64);
    let log = model.topics.get_mut(&topic).unwrap();
    log.start_tried = log.start_tried.max(before.0);
    let deleted = store.delete_records(&[(id, before)]).await;
    match &deleted[..] {
        [Ok(start)] => {
            assert_eq!((*start, store.bounds(id).unwrap().log_start), (before, before));
            log.start_acked = log.start_acked.max(start.0);
        }
        other => return Err(format!("{other:?}")),
    }
    Ok(())
}

/// Retention over all logs.
async fn retain(run: &Run, now_ms: u64, model: &mut Model) -> Result<(), String> {
    // It may move any log start up to its high watermark before it is interrupted; that may rise until then.
    for (topic, (place, id)) in &run.logs {
        let bounds = run.stores[*place].bounds(*id).unwrap();
        let log = model.topics.get_mut(topic).unwrap();
        log.start_tried = log.start_tried.max(bounds.log_end.0);
    }
    for store in run.stores.clone() {
        store.begin_retention(TimestampMs(1_000_000 + model.next_record as i64));
    }
    background(run, now_ms, model).await?;
    for store in run.stores.clone() {
        // A background task may be in the middle of a step: then the look is its.
        let mut rounds = 0;
        while store.is_retaining() {
            store.background(now_ms).await;
            yield_now().await;
            rounds += 1;
            if rounds > 10_000 {
                return Err("retention does not end".to_owned());
            }
        }
    }
    for (topic, (place, id)) in &run.logs {
        let start = run.stores[*place].bounds(*id).unwrap().log_start.0;
        let log = model.topics.get_mut(topic).unwrap();
        assert!(start >= log.start_acked, "a log start does not go back");
        log.start_tried = start;
    }
    Ok(())
}

async fn delete_one(run: &mut Run, rng: &mut Rng, shape: Shape, model: &mut Model) -> Result<(), String> {
    let open: Vec<u32> = run.logs.keys().copied().collect();
    let topic = open[rng.below(open.len() as u64) as usize];
    let (place, id) = run.logs.remove(&topic).unwrap();
    model.topics.get_mut(&topic).unwrap().deleting = true;
    let store = run.stores[place].clone();
    store.delete_log(id).await.map_err(|error| error.to_string())?;
    model.topics.get_mut(&topic).unwrap().deleted = true;
    // The same name again, as another topic.
    create(run, topic + super::NAMES, shape, model).await
}

/// What is read from `start` on must be what was appended from there on. Gives the number of its first batch.
pub fn check_part(topic: u32, read: &[Vec<u8>], log: &TopicModel, start: i64, what: &str) -> usize {
    let first = log.first_from(start);
    assert!(
        first + read.len() <= log.batches.len(),
        "{what}: topic {topic} holds {} batches, {} were appended",
        read.len(),
        log.batches.len()
    );
    for (at, batch) in read.iter().enumerate() {
        let same = batch[16..] == log.batches[first + at][..];
        assert!(same, "{what}: topic {topic}, batch {at} from {start} is another one");
    }
    first
}

/// Opens everything after a stop of any kind and compares with the model; what is there becomes the model's truth.
pub async fn verify(
    disk: &Disk,
    cores: u32,
    shape: Shape,
    model: &mut Model,
    epoch: i32,
) -> Result<Run, String> {
    let mut run = Run::start(disk, cores, shape.store).await?;
    if let Some(lost) = run.recovery.lost.first() {
        let creating = model.topics.iter().any(|(topic, log)| super::log_of(*topic) == *lost && !log.created);
        if !creating {
            let known = model.topics.iter().find(|(topic, _)| super::log_of(**topic) == *lost);
            let state = known.map(|(topic, log)| (*topic, log.created, log.deleting, log.deleted, log.acked));
            return Err(format!("lost log {lost}: topic, created, deleting, deleted, acked {state:?}"));
        }
    }
    let topics: Vec<u32> = model.topics.keys().copied().collect();
    let names: Vec<String> = disk
        .list(&super::root())
        .map_err(|error| error.to_string())?
        .into_iter()
        .map(|entry| entry.name)
        .collect();
    for topic in topics {
        let log = model.topics.get_mut(&topic).unwrap();
        let mut there = names.contains(&format!("{}-0", super::topic_name(topic)));
        if log.deleted || log.deleting || !log.created {
            // Either way is right while it was under way; afterwards the name may belong to another topic.
            there = there
                && matches!(super::owner(disk, topic).await, Some(owner) if owner == super::log_of(topic).topic_id);
            assert!(!(there && log.deleted), "deleted topic {topic} is there again");
        }
        if !there {
            assert!(!log.created || log.deleting, "topic {topic} is gone");
            model.topics.remove(&topic);
            continue;
        }
        log.created = true;
        log.deleting = false;
        let report = run
            .open(topic, shape.log_of(topic), epoch)
            .await
            .map_err(|error| format!("topic {topic}: {error}"))?;
        if let Some(damage) = report.damage {
            return Err(format!("damage: topic {topic}: {damage}"));
        }
        let read = run.read(topic).await.map_err(|error| error.to_string())?;
        let (store, id) = run.store(topic);
        let start = store.bounds(id).unwrap().log_start.0;
        if start < log.start_acked || start > log.start_tried {
            let (low, high) = (log.start_acked, log.start_tried);
            return Err(format!("topic {topic} starts at {start}, not within {low}..={high}"));
        }
        (log.start_acked, log.start_tried) = (start, start);
        let upto = check_part(topic, &read, log, start, "after reopening") + read.len();
        let mut end = upto.checked_sub(1).map_or(0, |last| log.ends[last]);
        log.batches.truncate(upto);
        log.ends.truncate(upto);
        if shape.loses(topic) && end < start && report.log_end.0 == start {
            // What came behind the records that were deleted is lost: the log is empty where it begins.
            log.batches.push(Vec::new());
            log.ends.push(start);
            end = start;
        }
        let kept = if shape.loses(topic) { log.durable } else { log.acked };
        if end < kept {
            return Err(format!("lost: topic {topic} ends at {end}, {kept} was acknowledged"));
        }
        assert_eq!(report.log_end.0, end, "the log's end is what can be read");
        log.acked = end;
        log.durable = end;
    }
    Ok(run)
}

/// A few more batches and a clean stop: a recovered directory must be as good as any.
pub async fn go_on(mut run: Run, seed: u64, shape: Shape, model: &mut Model) -> Result<(), String> {
    let mut rng = Rng(seed);
    let shape = Shape { steps: 12, ..shape };
    if !run.logs.is_empty() {
        work_on(&mut run, &mut rng, shape, model).await?;
    }
    run.close().await?;
    Ok(())
}

pub fn sim(seed: u64) -> (SimDisk, Disk) {
    let sim = SimDisk::new(seed);
    (sim.clone(), Disk::Sim(sim))
}

/// A workload that waits for ever ends in a panic of the simulation once the background tasks have run so long.
const BACKGROUND_ROUNDS_MAX: u64 = 20_000;
