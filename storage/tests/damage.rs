//! Damage is told from a torn tail: what was promised and is not valid is reported with file and position, fences its log,
//! and is never cut off silently. What was never promised is cut.

mod support;

use std::path::PathBuf;

use slipring_protocol::ids::Offset;
use slipring_storage::disk::{Disk, SimDisk, block_on};
use slipring_storage::error::{AppendError, StorageError};
use slipring_storage::log::LogConfig;
use slipring_storage::store::StoreConfig;
use support::workload::sim;
use support::{Run, append, batch, root};

fn config() -> StoreConfig {
    StoreConfig { journal_bytes: 256 << 10, direct_switch_bytes: 8 << 10, ..StoreConfig::default() }
}

fn segment() -> PathBuf {
    root().join("t0-0").join("00000000000000000000.log")
}

/// Twenty acknowledged batches, each in a commit of its own; large ones go straight to the segment.
fn written(sim: &SimDisk, bytes: usize) {
    let disk = Disk::Sim(sim.clone());
    block_on(&disk, async {
        let mut run = Run::start(&disk, 1, config()).await.expect("nothing is wrong yet");
        let id = run.create(0, LogConfig::default()).await.expect("nothing is wrong yet");
        let store = run.stores[0].clone();
        for number in 0..20 {
            append(&store, id, &batch(number, 1, bytes), 0).expect("nothing is wrong yet");
            store.commit().await;
        }
        assert_eq!(store.bounds(id).expect("nothing is wrong yet").acknowledged_end, Offset(20));
    });
}

#[test]
fn damage_below_the_promise_is_reported_and_fences() {
    let (sim, _) = sim(1);
    written(&sim, 20_000);
    let sim = sim.reopen();
    let flipped = 3 * 20_100;
    sim.poke(&segment(), flipped, &[0xff; 16]).unwrap();
    let disk = Disk::Sim(sim.clone());
    block_on(&disk, async {
        let mut run = Run::start(&disk, 1, config()).await.unwrap();
        let report = run.open(0, LogConfig::default(), 1).await.unwrap();
        let Some(StorageError::Damaged { path, position, .. }) = report.damage else {
            panic!("not reported: {report:?}");
        };
        assert_eq!(path, segment());
        assert!(position <= flipped && flipped < position + 20_200, "{position}");
        let (store, id) = run.store(0);
        assert!(matches!(append(store, id, &batch(99, 1, 10), 1), Err(AppendError::Storage(_))));
        assert_eq!(
            run.read(0).await.unwrap().len() as i64,
            report.log_end.0,
            "what is before it can be read"
        );
        assert!(report.log_end < Offset(20) && report.log_end > Offset(0));
        assert!(run.close().await.is_err(), "not a clean stop");
    });
    // It does not go away by starting again.
    let disk = Disk::Sim(sim.kill());
    block_on(&disk, async {
        let mut run = Run::start(&disk, 1, config()).await.unwrap();
        assert!(run.open(0, LogConfig::default(), 2).await.unwrap().damage.is_some());
    });
}

#[test]
fn a_missing_segment_is_damage() {
    let (sim, _) = sim(2);
    written(&sim, 20_000);
    let disk = Disk::Sim(sim.reopen());
    block_on(&disk, async {
        disk.remove_file(&segment()).await.unwrap();
        let mut run = Run::start(&disk, 1, config()).await.unwrap();
        let report = run.open(0, LogConfig::default(), 1).await.unwrap();
        assert!(matches!(report.damage, Some(StorageError::Damaged { .. })), "{report:?}");
    });
}

#[test]
fn a_damaged_commit_in_the_middle_of_the_journal_is_reported() {
    let (sim, _) = sim(3);
    written(&sim, 100);
    let sim = sim.reopen();
    let journal = root().join("slipring-journal-0");
    // Blocks 0 and 1 are superblocks; each of these commits takes one block.
    sim.poke(&journal, (2 + 7) * 4096 + 150, &[0x55; 8]).unwrap();
    let disk = Disk::Sim(sim);
    block_on(&disk, async {
        let error = Run::start(&disk, 1, config()).await.err().expect("the directory cannot be used");
        assert!(error.contains("journal damaged") && error.contains("36864"), "{error}");
    });
}

#[test]
fn a_torn_last_commit_is_no_damage() {
    let (sim, _) = sim(4);
    written(&sim, 100);
    let sim = sim.reopen();
    let journal = root().join("slipring-journal-0");
    sim.poke(&journal, (2 + 19) * 4096 + 150, &[0x55; 8]).unwrap();
    let disk = Disk::Sim(sim);
    block_on(&disk, async {
        let mut run = Run::start(&disk, 1, config()).await.unwrap();
        let report = run.open(0, LogConfig::default(), 1).await.unwrap();
        assert!(report.damage.is_none());
        assert_eq!(report.log_end, Offset(19));
    });
}

#[test]
fn bytes_that_were_never_promised_are_cut() {
    let (sim, _) = sim(5);
    written(&sim, 100);
    let sim = sim.reopen();
    let disk = Disk::Sim(sim.clone());
    let cut = block_on(&disk, async {
        let mut run = Run::start(&disk, 1, config()).await.unwrap();
        run.open(0, LogConfig::default(), 1).await.unwrap();
        run.close().await.unwrap();
        let len = disk.read_whole(&segment()).await.unwrap().len() as u64;
        sim.poke(&segment(), len, b"garbage behind the end, as a torn append leaves it").unwrap();
        disk.remove_file(&root().join(".kafka_cleanshutdown")).await.unwrap();
        // Left uncleanly by who knows whom: Kafka's rules.
        let mut run = Run::start(&disk, 1, config()).await.unwrap();
        let report = run.open(0, LogConfig::default(), 2).await.unwrap();
        assert_eq!(report.log_end, Offset(20));
        assert!(report.damage.is_none());
        report.truncated_bytes
    });
    assert!(cut > 0);
}

#[test]
fn damaged_or_missing_indexes_and_snapshots_are_rebuilt() {
    let (sim, _) = sim(6);
    let disk = Disk::Sim(sim.clone());
    block_on(&disk, async {
        let log = LogConfig { segment_bytes: 30_000, index_interval_bytes: 500, ..LogConfig::default() };
        let mut run = Run::start(&disk, 1, config()).await.unwrap();
        let id = run.create(0, log).await.unwrap();
        let store = run.stores[0].clone();
        for number in 0..200 {
            append(&store, id, &batch(number, 1, 400), 0).unwrap();
            store.commit().await;
            store.background(0).await;
        }
        let before = run.read(0).await.unwrap();
        run.close().await.unwrap();
        let directory = root().join("t0-0");
        for entry in disk.list(&directory).unwrap() {
            let path = directory.join(&entry.name);
            match entry.name.rsplit('.').next() {
                Some("index") => sim.poke(&path, 8, &[0xff; 12]).unwrap(),
                Some("timeindex") => disk.remove_file(&path).await.unwrap(),
                Some("snapshot") => sim.poke(&path, 3, &[1]).unwrap(),
                _ => {}
            }
        }
        let mut run = Run::start(&disk, 1, config()).await.unwrap();
        let report = run.open(0, log, 1).await.unwrap();
        assert!(report.segments > 2);
        assert!(run.read(0).await.unwrap() == before, "the same as before");
        run.close().await.unwrap();
    });
}
