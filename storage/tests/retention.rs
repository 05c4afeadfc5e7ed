//! Retention and DeleteRecords as the broker uses them, on a simulated disk: what goes, when its files go, who is disturbed.

#![allow(clippy::unwrap_used)]

mod support;

use slipring_protocol::ids::{
    LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId, Sequence, TimestampMs, TopicPartition,
};
use slipring_storage::directory::RootCheckpoint;
use slipring_storage::disk::sim::{Fault, FaultRule, OpKind, yield_now};
use slipring_storage::disk::{BufPool, Disk, SimDisk, block_on};
use slipring_storage::error::ReadError;
use slipring_storage::log::LogConfig;
use slipring_storage::read::{ReadLimit, ReadRange, ReadSlice, read_range};
use slipring_storage::retention::RetentionConfig;
use slipring_storage::store::{DeleteRecordsError, StoreConfig};
use support::workload::both;
use support::{Run, append, batch, batch_of, root, topic_name};

const SEGMENT: u64 = 20_000;
/// Five batches of this many bytes fill a segment.
const VALUE: usize = 3_800;

fn config(retention: RetentionConfig) -> LogConfig {
    LogConfig { segment_bytes: SEGMENT, index_interval_bytes: 4_000, retention, ..LogConfig::default() }
}

fn small() -> StoreConfig {
    StoreConfig { journal_bytes: 256 << 10, tail_bytes: 128 << 10, ..StoreConfig::default() }
}

/// Names in the log's directory with this ending, without it.
fn names(disk: &Disk, ending: &str) -> Vec<u64> {
    let entries = disk.list(&root().join(format!("{}-0", topic_name(0)))).unwrap();
    entries.iter().filter_map(|entry| entry.name.strip_suffix(ending)?.parse().ok()).collect()
}

/// Appends one-record batches with timestamps 1,000,000 + number.
async fn fill(run: &Run, from: u64, to: u64) {
    let (store, id) = run.store(0);
    for number in from..to {
        append(store, id, &batch(number, 1, VALUE), 0).unwrap();
        store.commit().await;
        store.background(0).await;
    }
    settle(run, 0).await;
}

async fn settle(run: &Run, now_ms: u64) {
    for _ in 0..50 {
        run.stores[0].background(now_ms).await;
    }
}

fn start(run: &Run) -> i64 {
    let (store, id) = run.store(0);
    store.bounds(id).unwrap().log_start.0
}

/// The disk as the next process finds it when nothing was closed and what was not flushed is gone.
fn after_crash(disk: &Disk) -> Disk {
    let Disk::Sim(sim) = disk else { unreachable!("the tests run on a simulated disk") };
    Disk::Sim(sim.reopen_seeded(3))
}

#[test]
fn segments_go_by_size_and_their_files_later() {
    let disk = Disk::Sim(SimDisk::new(1));
    block_on(&disk, async {
        let mut run = Run::start(&disk, 1, small()).await.unwrap();
        let retention = RetentionConfig {
            delete: true,
            bytes: Some(2 * SEGMENT),
            file_delete_delay_ms: 60_000,
            ..RetentionConfig::default()
        };
        let id = run.create(0, config(retention)).await.unwrap();
        fill(&run, 0, 23).await;
        assert_eq!(names(&disk, ".log"), [0, 5, 10, 15, 20]);
        let store = run.stores[0].clone();
        // A reader that holds a segment's file.
        let range = |start| ReadRange {
            start: Offset(start),
            bytes_max: 100_000,
            min_one_batch: true,
            upto: ReadLimit::HighWatermark,
        };
        let held = store.plan_read(id, range(1)).await.unwrap();
        store.begin_retention(TimestampMs(0));
        settle(&run, 1_000).await;
        assert_eq!(
            start(&run),
            10,
            "the last three segments are the first to hold less than the limit without one"
        );
        assert_eq!((names(&disk, ".log"), names(&disk, ".log.deleted")), (vec![10, 15, 20], vec![0, 5]));
        assert!(matches!(store.plan_read(id, range(9)).await, Err(ReadError::OffsetOutOfRange { .. })));
        settle(&run, 62_000).await;
        assert!(names(&disk, ".deleted").is_empty() && names(&disk, ".log.deleted").is_empty());
        let ReadSlice::File(file) = &held.slices[0] else { panic!("a read of an old segment") };
        let bytes = read_range(&disk, &BufPool::new(0), file).await.unwrap();
        assert!(bytes.bytes > 3 * VALUE, "the reader finishes undisturbed");
        assert_eq!(run.read(0).await.unwrap().len(), 13);
        run.close().await.unwrap();
        let mut run = Run::start(&disk, 1, small()).await.unwrap();
        let report = run.open(0, config(retention), 1).await.unwrap();
        assert!(report.trusted);
        assert_eq!((start(&run), report.log_end), (10, Offset(23)));
    });
}

#[test]
fn all_of_an_expired_log_goes_and_its_producers_stay() {
    let disk = Disk::Sim(SimDisk::new(2));
    let retention = RetentionConfig { delete: true, ms: Some(10), ..RetentionConfig::default() };
    let producer = |sequence| Some((ProducerId(7), ProducerEpoch(0), Sequence(sequence)));
    block_on(&disk, async {
        let mut run = Run::start(&disk, 1, small()).await.unwrap();
        let id = run.create(0, config(retention)).await.unwrap();
        fill(&run, 0, 12).await;
        let (store, _) = run.store(0);
        append(store, id, &batch_of(12, 1, 10, producer(0)), 0).unwrap();
        store.commit().await;
        store.begin_retention(TimestampMs(1_000_000 + 12 + 10));
        settle(&run, 10).await;
        assert_eq!(start(&run), 10, "the active segment holds a record just young enough");
        store.begin_retention(TimestampMs(1_000_000 + 12 + 11));
        settle(&run, 20).await;
        assert_eq!((start(&run), names(&disk, ".log")), (13, vec![13]));
        assert_eq!(store.epoch_for_offset(id, Offset(13)).unwrap(), Some(LeaderEpoch(0)));
    });
    let disk = after_crash(&disk);
    block_on(&disk, async {
        let mut run = Run::start(&disk, 1, small()).await.unwrap();
        let report = run.open(0, config(retention), 1).await.unwrap();
        assert!(report.damage.is_none());
        assert_eq!((start(&run), report.log_end), (13, Offset(13)));
        let (store, id) = run.store(0);
        let again = append(store, id, &batch_of(12, 1, 10, producer(0)), 1).unwrap();
        assert!(again.duplicate.is_some(), "a retry is still recognised");
        assert_eq!(append(store, id, &batch_of(13, 1, 10, producer(1)), 1).unwrap().base_offset, Offset(13));
    });
}

#[test]
fn deleted_records_stay_deleted() {
    let disk = Disk::Sim(SimDisk::new(4));
    block_on(&disk, async {
        let mut run = Run::start(&disk, 1, small()).await.unwrap();
        let id = run.create(0, config(RetentionConfig::default())).await.unwrap();
        fill(&run, 0, 12).await;
        let store = run.stores[0].clone();
        append(&store, id, &batch(12, 1, 10), 0).unwrap();
        let one = async |before| store.delete_records(&[(id, Offset(before))]).await.remove(0);
        for beyond in [13, -2] {
            assert!(matches!(one(beyond).await, Err(DeleteRecordsError::OutOfRange { .. })), "{beyond}");
        }
        assert_eq!(one(7).await.unwrap(), Offset(7));
        assert_eq!(one(3).await.unwrap(), Offset(7), "never back");
    });
    let disk = after_crash(&disk);
    block_on(&disk, async {
        let mut run = Run::start(&disk, 1, small()).await.unwrap();
        run.open(0, config(RetentionConfig::default()), 1).await.unwrap();
        assert_eq!((start(&run), run.read(0).await.unwrap().len()), (7, 5));
        assert_eq!(names(&disk, ".log"), [5, 10], "what lies wholly below went at the opening");
        let (store, id) = run.store(0);
        let all = store.delete_records(&[(id, Offset(-1))]).await.remove(0).unwrap();
        assert_eq!(all, Offset(12));
        store.begin_retention(TimestampMs(0));
        settle(&run, 10).await;
        assert_eq!((start(&run), names(&disk, ".log")), (12, vec![10]));
    });
}

/// `work` after so many turns of the other tasks.
async fn later<T>(turns: usize, work: impl Future<Output = T>) -> T {
    for _ in 0..turns {
        yield_now().await;
    }
    work.await
}

/// Retention looks at a log, waits for the disk on behalf of another one, and only then cuts.
#[test]
fn what_is_written_between_the_look_and_the_cut_stays() {
    let retention = RetentionConfig { delete: true, ms: Some(10), ..RetentionConfig::default() };
    let now = 1_000_100;
    for turns in 0..40 {
        let disk = Disk::Sim(SimDisk::new(turns));
        block_on(&disk, async {
            let mut run = Run::start(&disk, 1, small()).await.unwrap();
            for topic in 0..3 {
                let id = run.create(topic, config(retention)).await.unwrap();
                append(&run.stores[0], id, &batch(0, 1, 10), 0).unwrap();
            }
            run.commit_all().await;
            settle(&run, 0).await;
            let (store, id) = run.store(2);
            store.begin_retention(TimestampMs(now));
            let young = later(turns as usize, async {
                let young = append(store, id, &batch(now as u64, 1, 10), 0).unwrap();
                let bounds = store.bounds(id).unwrap();
                assert!(bounds.log_start <= bounds.high_watermark, "{turns}");
                young.base_offset
            });
            let (_, young) = both(store.background(10), young).await;
            store.commit().await;
            settle(&run, 20).await;
            let bounds = store.bounds(id).unwrap();
            assert!(bounds.log_start <= young && bounds.high_watermark > young, "{turns}: {bounds:?}");
            assert_eq!(store.staged_bytes(), 0);
        });
    }
}

#[test]
fn a_checkpoint_under_way_takes_nothing_back() {
    for turns in 0..40 {
        let disk = Disk::Sim(SimDisk::new(turns));
        block_on(&disk, async {
            let mut run = Run::start(&disk, 1, small()).await.unwrap();
            let id = run.create(0, config(RetentionConfig::default())).await.unwrap();
            fill(&run, 0, 12).await;
            let store = &run.stores[0];
            let to = async |before| store.delete_records(&[(id, Offset(before))]).await.remove(0).unwrap();
            to(3).await;
            // Another core is at the checkpoints: the background has to wait, and DeleteRecords comes meanwhile.
            let other = TopicPartition { topic: topic_name(1), partition: PartitionIndex(0) };
            let change = vec![(other, Some(Offset(1)))];
            let other = run.directory.update_checkpoint(&disk, RootCheckpoint::HighWatermark, change);
            let ((_, start), _) =
                both(both(other, later(turns as usize, to(7))), store.background(1_000_000)).await;
            assert_eq!(start, Offset(7));
        });
        let disk = after_crash(&disk);
        block_on(&disk, async {
            let mut run = Run::start(&disk, 1, small()).await.unwrap();
            run.open(0, config(RetentionConfig::default()), 1).await.unwrap();
            assert_eq!(start(&run), 7, "after {turns} turns");
        });
    }
}

/// A log with one record of a producer, which retention then deletes with all else.
async fn expire_a_producers_record(disk: &Disk, retention: RetentionConfig) -> Result<(), String> {
    let mut run = Run::start(disk, 1, small()).await?;
    let id = run.create(0, config(retention)).await.map_err(|error| error.to_string())?;
    let store = &run.stores[0];
    append(store, id, &batch_of(0, 1, 10, Some((ProducerId(7), ProducerEpoch(0), Sequence(0)))), 0)
        .map_err(|error| error.to_string())?;
    store.commit().await;
    store.begin_retention(TimestampMs(2_000_000));
    settle(&run, 10).await;
    Ok(())
}

#[test]
fn producers_outlive_their_records_wherever_the_power_goes() {
    let retention = RetentionConfig { delete: true, ms: Some(10), ..RetentionConfig::default() };
    let whole = SimDisk::new(5);
    let disk = Disk::Sim(whole.clone());
    block_on(&disk, expire_a_producers_record(&disk, retention)).unwrap();
    let mut expired = 0;
    for at in 0..whole.ops() {
        let sim = SimDisk::new(5);
        sim.crash_at(at);
        let disk = Disk::Sim(sim.clone());
        // Ends with an error when the power goes early.
        let _ = block_on(&disk, expire_a_producers_record(&disk, retention));
        let disk = Disk::Sim(sim.reopen_seeded(at));
        block_on(&disk, async {
            let mut run = Run::start(&disk, 1, small()).await.unwrap();
            if !names_of_root(&disk).contains(&format!("{}-0", topic_name(0))) {
                return;
            }
            let report = run.open(0, config(retention), 1).await.unwrap();
            if report.log_end == Offset(1) {
                expired += usize::from(start(&run) == 1);
                let (store, id) = run.store(0);
                let sent = batch_of(0, 1, 10, Some((ProducerId(7), ProducerEpoch(0), Sequence(0))));
                assert!(append(store, id, &sent, 1).unwrap().duplicate.is_some(), "power cut at {at}");
            }
        });
    }
    assert!(expired > 2, "some cuts come after the log start moved");
}

fn names_of_root(disk: &Disk) -> Vec<String> {
    disk.list(&root()).unwrap().into_iter().map(|entry| entry.name).collect()
}

#[test]
fn producers_of_deleted_records_are_known_after_a_clean_stop() {
    let disk = Disk::Sim(SimDisk::new(6));
    let sent = batch_of(0, 1, 10, Some((ProducerId(7), ProducerEpoch(0), Sequence(0))));
    block_on(&disk, async {
        let mut run = Run::start(&disk, 1, small()).await.unwrap();
        let id = run.create(0, config(RetentionConfig::default())).await.unwrap();
        append(&run.stores[0], id, &sent, 0).unwrap();
        run.commit_all().await;
        run.stores[0].delete_records(&[(id, Offset(-1))]).await.remove(0).unwrap();
        run.close().await.unwrap();
        let mut run = Run::start(&disk, 1, small()).await.unwrap();
        run.open(0, config(RetentionConfig::default()), 1).await.unwrap();
        let (store, id) = run.store(0);
        assert!(append(store, id, &sent, 1).unwrap().duplicate.is_some());
    });
}

/// Out of descriptors just when retention makes the file that the log is to begin with.
#[test]
fn a_file_that_cannot_be_made_now_puts_retention_off() {
    let sim = SimDisk::new(7);
    let disk = Disk::Sim(sim.clone());
    let retention = RetentionConfig { delete: true, ms: Some(10), ..RetentionConfig::default() };
    block_on(&disk, async {
        let mut run = Run::start(&disk, 1, small()).await.unwrap();
        let id = run.create(0, config(retention)).await.unwrap();
        fill(&run, 0, 3).await;
        sim.plan(FaultRule::every(OpKind::Open, Fault::Errno(libc::EMFILE)).on("00000003.log"));
        let store = run.stores[0].clone();
        store.begin_retention(TimestampMs(1_000_100));
        settle(&run, 10).await;
        assert!(store.fence_of(id).is_none(), "the log is well");
        assert_eq!(run.read(0).await.unwrap().len(), 3);
        sim.clear_faults();
        store.begin_retention(TimestampMs(1_000_100));
        settle(&run, 20).await;
        assert_eq!((start(&run), names(&disk, ".log")), (3, vec![3]));
        fill(&run, 3, 4).await;
        assert_eq!(run.read(0).await.unwrap().len(), 1);
    });
}

/// Two segments stay, and the files of others for a minute.
fn kept_a_minute() -> RetentionConfig {
    RetentionConfig {
        delete: true,
        bytes: Some(2 * SEGMENT),
        file_delete_delay_ms: 60_000,
        ..RetentionConfig::default()
    }
}

#[test]
fn a_file_that_cannot_be_renamed_goes_all_the_same() {
    let sim = SimDisk::new(8);
    let disk = Disk::Sim(sim.clone());
    let retention = kept_a_minute();
    block_on(&disk, async {
        let mut run = Run::start(&disk, 1, small()).await.unwrap();
        run.create(0, config(retention)).await.unwrap();
        fill(&run, 0, 23).await;
        sim.plan(FaultRule::every(OpKind::Rename, Fault::Errno(libc::EIO)).on("t0-0").times(0, 1));
        run.stores[0].begin_retention(TimestampMs(0));
        settle(&run, 1_000).await;
        assert_eq!(start(&run), 10);
        assert_eq!((names(&disk, ".log"), names(&disk, ".log.deleted")), (vec![0, 10, 15, 20], vec![5]));
        settle(&run, 62_000).await;
        assert_eq!((names(&disk, ".log"), names(&disk, ".log.deleted")), (vec![10, 15, 20], vec![]));
        assert_eq!(run.read(0).await.unwrap().len(), 13);
    });
}

/// As above, and the topic is deleted and made anew before the files' delay is over.
#[test]
fn a_new_log_of_the_same_name_keeps_its_files() {
    let sim = SimDisk::new(9);
    let disk = Disk::Sim(sim.clone());
    let retention = kept_a_minute();
    block_on(&disk, async {
        let mut run = Run::start(&disk, 1, small()).await.unwrap();
        let id = run.create(0, config(retention)).await.unwrap();
        fill(&run, 0, 23).await;
        sim.plan(FaultRule::every(OpKind::Rename, Fault::Errno(libc::EIO)).on(".log.deleted"));
        run.stores[0].begin_retention(TimestampMs(0));
        settle(&run, 1_000).await;
        assert_eq!(start(&run), 10);
        run.stores[0].delete_log(id).await.unwrap();
        run.create(0, config(retention)).await.unwrap();
        fill(&run, 0, 8).await;
        settle(&run, 62_000).await;
        assert_eq!(names(&disk, ".log"), [0, 5]);
    });
}

/// A look for an offset by time waits for the disk while records are deleted under it.
#[test]
fn a_look_by_time_goes_on_where_the_log_now_begins() {
    // No file and no index stays at hand: the look has to wait for the disk again and again.
    let bare = StoreConfig { open_files_max: 1, index_cache_bytes: 0, ..small() };
    for turns in 0..40 {
        let disk = Disk::Sim(SimDisk::new(turns));
        block_on(&disk, async {
            let mut run = Run::start(&disk, 1, bare).await.unwrap();
            let id = run.create(0, config(RetentionConfig::default())).await.unwrap();
            fill(&run, 0, 60).await;
            let (store, moved) = (&run.stores[0], [(id, Offset(12))]);
            let moved = later(turns as usize, store.delete_records(&moved));
            let (found, _) = both(store.offset_for_timestamp(id, TimestampMs(1_000_003)), moved).await;
            let found = found.unwrap_or_else(|error| panic!("after {turns} turns: {error}"));
            assert!([3, 12].contains(&found.unwrap().offset.0), "after {turns} turns: {found:?}");
        });
    }
}
