//! Retention and DeleteRecords as the broker uses them, on a simulated disk: what goes, when its files go, who is disturbed.

#![allow(clippy::unwrap_used)]

mod support;

use slipring_protocol::ids::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};
use slipring_storage::disk::{BufPool, Disk, SimDisk, block_on};
use slipring_storage::error::ReadError;
use slipring_storage::log::LogConfig;
use slipring_storage::read::{ReadLimit, ReadRange, ReadSlice, read_range};
use slipring_storage::retention::RetentionConfig;
use slipring_storage::store::{DeleteRecordsError, StoreConfig};
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
