//! The log engine as the broker uses it, on a simulated disk: append, commit, read, roll, reopen.

mod support;

use slipring_protocol::batch::BatchBuilder;
use slipring_protocol::ids::{Offset, ProducerEpoch, ProducerId, Sequence, TimestampMs};
use slipring_storage::disk::{Disk, SimDisk, block_on};
use slipring_storage::log::LogConfig;
use slipring_storage::store::StoreConfig;
use support::{Run, append, append_at, batch, batch_of, log_of, root, topic_name};

fn small() -> StoreConfig {
    StoreConfig { journal_bytes: 256 << 10, ..StoreConfig::default() }
}

#[test]
fn what_is_committed_is_read_back_and_survives_a_clean_stop() {
    let sim = SimDisk::new(1);
    let disk = Disk::Sim(sim);
    block_on(&disk, async {
        let mut run = Run::start(&disk, 1, small()).await.unwrap();
        let id = run.create(0, LogConfig::default()).await.unwrap();
        let (store, _) = run.store(0);
        let mut sent = Vec::new();
        for round in 0..200u64 {
            let batch = batch(round * 3, 3, 100);
            let appended = append(store, id, &batch, 0).unwrap();
            assert_eq!(appended.base_offset, Offset(round as i64 * 3));
            sent.push(batch);
            assert!(
                store.bounds(id).unwrap().high_watermark <= appended.base_offset,
                "not before it is durable"
            );
            let committed = store.commit().await;
            assert_eq!(committed.advanced, [(id, Offset(round as i64 * 3 + 3))]);
        }
        let read = run.read(0).await.unwrap();
        assert_eq!(read.len(), 200);
        assert_eq!(read[7][61..], sent[7][61..]);
        run.close().await.unwrap();
        let mut run = Run::start(&disk, 2, small()).await.unwrap();
        assert!(run.recovery.clean);
        let report = run.open(0, LogConfig::default(), 1).await.unwrap();
        assert!(report.trusted);
        assert_eq!(report.log_end, Offset(600));
        let again = run.read(0).await.unwrap();
        assert_eq!(again.len(), read.len());
        assert!(again == read, "every byte is as before");
        run.close().await.unwrap();
    });
}

/// The segments of log 0.
fn segments(disk: &Disk) -> usize {
    let directory = root().join(format!("{}-{}", topic_name(0), log_of(0).partition.0));
    let files = disk.list(&directory).expect("the log is there");
    files.iter().filter(|file| file.name.ends_with(".log")).count()
}

/// As in Kafka, a segment's age is that of its records, also of one that was there before the start.
#[test]
fn segments_roll_by_the_age_of_their_records_and_not_at_a_start() {
    let disk = Disk::Sim(SimDisk::new(2));
    let config = LogConfig { segment_ms: 10_000, ..LogConfig::default() };
    let clock = |ms: i64| TimestampMs(1_700_000_000_000 + ms);
    let at = |ms: i64| {
        let mut builder = BatchBuilder::new();
        builder.append(clock(ms), None, Some(&[7; 5_000])).build()
    };
    block_on(&disk, async {
        let mut run = Run::start(&disk, 1, small()).await.unwrap();
        let id = run.create(0, config).await.unwrap();
        for ms in [0, 9_000] {
            append_at(run.store(0).0, id, &at(ms), 0, clock(ms)).unwrap();
        }
        run.commit_all().await;
        run.close().await.unwrap();
        for (epoch, ms, expected) in [(1, 9_500, 1), (2, 10_001, 2)] {
            let mut run = Run::start(&disk, 1, small()).await.unwrap();
            assert!(run.open_at(0, config, epoch, clock(ms)).await.unwrap().trusted);
            let (store, id) = run.store(0);
            append_at(store, id, &at(ms), epoch, clock(ms)).unwrap();
            run.commit_all().await;
            run.background(0).await;
            assert_eq!(segments(&disk), expected, "at {ms}");
            run.close().await.unwrap();
        }
    });
}

#[test]
fn records_without_a_time_roll_by_our_clock() {
    let disk = Disk::Sim(SimDisk::new(3));
    let config = LogConfig { segment_ms: 10_000, ..LogConfig::default() };
    let clock = |ms: i64| TimestampMs(1_700_000_000_000 + ms);
    let batch = BatchBuilder::new().append(TimestampMs(-1), None, Some(b"v")).build();
    block_on(&disk, async {
        let mut run = Run::start(&disk, 1, small()).await.unwrap();
        let id = run.create(0, config).await.unwrap();
        for (ms, expected) in [(0, 1), (9_000, 1), (10_000, 1), (10_001, 2)] {
            append_at(run.store(0).0, id, &batch, 0, clock(ms)).unwrap();
            run.commit_all().await;
            run.background(0).await;
            assert_eq!(segments(&disk), expected, "at {ms}");
        }
        let (store, id) = run.store(0);
        let found = store.offset_of_max_timestamp(id).await.unwrap().unwrap();
        assert_eq!((found.offset, found.timestamp), (Offset(0), TimestampMs(-1)));
    });
}

#[test]
fn idle_producers_are_forgotten_at_a_start_and_in_between() {
    let disk = Disk::Sim(SimDisk::new(4));
    let expiration = small().producer_id_expiration_ms;
    // Written at 1,000,000 ms.
    let batch = batch_of(0, 1, 10, Some((ProducerId(1), ProducerEpoch(0), Sequence(0))));
    block_on(&disk, async {
        let mut run = Run::start(&disk, 1, small()).await.unwrap();
        let id = run.create(0, LogConfig::default()).await.unwrap();
        let (store, _) = run.store(0);
        assert_eq!(append(store, id, &batch, 0).unwrap().duplicate, None);
        assert_eq!(append(store, id, &batch, 0).unwrap().duplicate, Some(TimestampMs(1_000_000)));
        assert_eq!(store.expire_producers(TimestampMs(1_000_000 + expiration - 1)), 0);
        assert_eq!(append(store, id, &batch, 0).unwrap().duplicate, Some(TimestampMs(1_000_000)));
        assert_eq!(store.expire_producers(TimestampMs(1_000_000 + expiration)), 1);
        assert_eq!(append(store, id, &batch, 0).unwrap().base_offset, Offset(1));
        run.commit_all().await;
        run.close().await.unwrap();
        for (epoch, now, is_known) in [(1, expiration - 1, true), (2, expiration, false)] {
            let mut run = Run::start(&disk, 1, small()).await.unwrap();
            run.open_at(0, LogConfig::default(), epoch, TimestampMs(1_000_000 + now)).await.unwrap();
            let (store, id) = run.store(0);
            assert_eq!(append(store, id, &batch, epoch).unwrap().duplicate.is_some(), is_known);
            run.commit_all().await;
            run.close().await.unwrap();
        }
    });
}

/// A crash may leave a log's directory without the file that says whose it is.
#[test]
fn a_log_found_without_its_owner_survives_the_next_power_cut() {
    let sim = SimDisk::new(3);
    let disk = Disk::Sim(sim.clone());
    block_on(&disk, async {
        let mut run = Run::start(&disk, 1, small()).await.unwrap();
        run.create(0, LogConfig::default()).await.unwrap();
        run.close().await.unwrap();
        let directory = root().join(format!("{}-{}", topic_name(0), log_of(0).partition.0));
        disk.remove_file(&directory.join("partition.metadata")).await.unwrap();
        let mut run = Run::start(&disk, 1, small()).await.unwrap();
        run.open(0, LogConfig::default(), 1).await.unwrap();
        let (store, id) = run.store(0);
        append(store, id, &batch(0, 3, 100), 1).unwrap();
        run.commit_all().await;
    });
    sim.crash();
    let disk = Disk::Sim(sim.reopen());
    block_on(&disk, async {
        let mut run = Run::start(&disk, 1, small()).await.unwrap();
        let report = run.open(0, LogConfig::default(), 2).await.unwrap();
        assert_eq!(report.log_end, Offset(3));
        run.close().await.unwrap();
    });
}

/// Also of a log that nobody wrote to between the crash and the stop.
#[test]
fn producers_found_by_a_scan_are_known_after_a_clean_stop() {
    let sim = SimDisk::new(2);
    let sent = batch_of(0, 1, 10, Some((ProducerId(7), ProducerEpoch(0), Sequence(0))));
    block_on(&Disk::Sim(sim.clone()), async {
        let mut run = Run::start(&Disk::Sim(sim.clone()), 1, small()).await.unwrap();
        let id = run.create(0, LogConfig::default()).await.unwrap();
        append(&run.stores[0], id, &sent, 0).unwrap();
        assert_eq!(run.stores[0].commit().await.advanced.len(), 1);
    });
    let disk = Disk::Sim(sim.reopen());
    block_on(&disk, async {
        for epoch in 1..3 {
            let mut run = Run::start(&disk, 1, small()).await.unwrap();
            let report = run.open(0, LogConfig::default(), epoch).await.unwrap();
            assert_eq!((report.trusted, report.log_end), (epoch == 2, Offset(1)));
            if epoch == 2 {
                let (store, id) = run.store(0);
                assert!(append(store, id, &sent, epoch).unwrap().duplicate.is_some());
            }
            run.close().await.unwrap();
        }
    });
}
