//! The disk fails once, at every operation in turn: the log or the directory says so, nothing acknowledged is lost, and a
//! later start finds it.

mod support;

use slipring_storage::disk::sim::{Fault, FaultRule, OpKind, TracedOp};
use slipring_storage::disk::{Disk, block_on};
use slipring_storage::error::AppendError;
use slipring_storage::log::LogConfig;
use slipring_storage::store::StoreConfig;
use support::workload::{Model, Shape, drive, go_on, sim, verify};
use support::{Run, append, batch};

fn fail_everywhere(seed: u64, shape: Shape, errno: i32) {
    let (healthy, _) = sim(seed);
    drive(&healthy, seed, shape, &mut Model::default()).expect("without faults it runs through");
    let changes = |op: &&TracedOp| !matches!(op.kind, OpKind::Read);
    let ops: Vec<u64> = healthy.trace().iter().filter(changes).map(|op| op.op).collect();
    for at in ops {
        let (sim, _) = sim(seed);
        sim.fail_at(at, errno);
        let mut model = Model::default();
        // A fenced log ends the workload; a failure that only warns does not.
        let _ = drive(&sim, seed, shape, &mut model);
        sim.clear_faults();
        let after = if at % 2 == 0 { sim.reopen_seeded(at) } else { sim.kill() };
        let disk = Disk::Sim(after);
        let told = block_on(&disk, async {
            let run = verify(&disk, 2, shape, &mut model, 1).await?;
            go_on(run, at, shape, &mut model).await
        });
        if let Err(error) = told {
            panic!("seed {seed}, errno {errno} at operation {at}: {error}");
        }
    }
}

#[test]
fn a_failing_operation_loses_nothing() {
    fail_everywhere(0, Shape { steps: 120, ..Shape::default() }, libc::EIO);
    fail_everywhere(1, Shape { steps: 120, ..Shape::tiny_journal() }, libc::ENOSPC);
}

fn config() -> StoreConfig {
    StoreConfig { journal_bytes: 256 << 10, direct_switch_bytes: 8 << 10, ..StoreConfig::default() }
}

#[test]
fn a_failed_journal_write_fences_every_log_of_the_directory() {
    let (sim, disk) = sim(5);
    block_on(&disk, async {
        let mut run = Run::start(&disk, 1, config()).await.unwrap();
        let ids = [
            run.create(0, LogConfig::default()).await.unwrap(),
            run.create(1, LogConfig::default()).await.unwrap(),
        ];
        let store = run.stores[0].clone();
        append(&store, ids[0], &batch(0, 1, 10), 0).unwrap();
        store.commit().await;
        append(&store, ids[0], &batch(1, 1, 10), 0).unwrap();
        sim.plan(FaultRule::every(OpKind::Write, Fault::Errno(libc::EIO)).on("journal").times(0, 1));
        let committed = store.commit().await;
        assert!(committed.advanced.is_empty());
        assert_eq!(committed.failed.len(), 2, "the one that wrote and the one that did not");
        for id in ids {
            assert!(matches!(append(&store, id, &batch(9, 1, 10), 0), Err(AppendError::Storage(_))));
            assert!(store.fence_of(id).is_some());
        }
        assert!(store.failure().is_some());
        // A later success pretends nothing.
        assert!(store.commit().await.advanced.is_empty());
        assert_eq!(store.bounds(ids[0]).unwrap().acknowledged_end.0, 1);
        assert_eq!(run.read(0).await.unwrap().len(), 1, "what is durable can still be read");
        assert!(run.close().await.is_err(), "such a stop is not clean");
    });
}

#[test]
fn a_failed_segment_write_fences_its_log_only() {
    let (sim, disk) = sim(6);
    block_on(&disk, async {
        let mut run = Run::start(&disk, 1, config()).await.unwrap();
        let bad = run.create(0, LogConfig::default()).await.unwrap();
        let good = run.create(1, LogConfig::default()).await.unwrap();
        let store = run.stores[0].clone();
        sim.plan(FaultRule::every(OpKind::Write, Fault::Errno(libc::EIO)).on("t0-0").times(0, 1));
        append(&store, bad, &batch(0, 1, 30_000), 0).unwrap();
        append(&store, good, &batch(0, 1, 30_000), 0).unwrap();
        let committed = store.commit().await;
        assert_eq!(committed.failed, [bad]);
        assert_eq!(committed.advanced.len(), 1);
        assert_eq!(committed.advanced[0].0, good);
        assert!(matches!(append(&store, bad, &batch(1, 1, 10), 0), Err(AppendError::Storage(_))));
        append(&store, good, &batch(1, 1, 10), 0).unwrap();
        assert_eq!(store.commit().await.advanced.len(), 1);
        assert!(run.close().await.is_err());
    });
}

/// A fenced log's acknowledged bytes are only in the journal: they are copied forward for ever, and never block it.
#[test]
fn a_fenced_log_does_not_block_the_journal() {
    let (sim, disk) = sim(7);
    let mut model_end = 0;
    block_on(&disk, async {
        let mut run =
            Run::start(&disk, 1, StoreConfig { journal_bytes: 128 << 10, ..config() }).await.unwrap();
        let bad = run.create(0, LogConfig::default()).await.unwrap();
        let good = run.create(1, LogConfig::default()).await.unwrap();
        let store = run.stores[0].clone();
        for number in 0..6 {
            append(&store, bad, &batch(number, 1, 1_000), 0).unwrap();
            store.commit().await;
        }
        assert_eq!(store.bounds(bad).unwrap().acknowledged_end.0, 6);
        sim.plan(FaultRule::every(OpKind::Write, Fault::Errno(libc::EIO)).on("t0-0"));
        for number in 0..400 {
            while let Err(AppendError::Busy) = append(&store, good, &batch(number, 1, 2_000), 0) {
                store.background(0).await;
                store.commit().await;
            }
            store.commit().await;
            store.background(0).await;
        }
        assert!(store.fence_of(bad).is_some(), "its write-back failed");
        model_end += store.bounds(good).unwrap().acknowledged_end.0;
        assert_eq!(model_end, 400);
    });
    let disk = Disk::Sim(sim.reopen());
    block_on(&disk, async {
        let mut run = Run::start(&disk, 2, config()).await.unwrap();
        for (topic, end) in [(0, 6), (1, 400)] {
            let report = run.open(topic, LogConfig::default(), 1).await.unwrap();
            assert!(report.damage.is_none(), "topic {topic}: {:?}", report.damage);
            assert_eq!(report.log_end.0, end);
            assert_eq!(run.read(topic).await.unwrap().len() as i64, end);
        }
    });
}

/// A journal that is configured too small for its logs grows to what they need and goes round for as long as one likes.
#[test]
fn a_small_journal_goes_round_under_many_logs() {
    let (sim, disk) = sim(8);
    block_on(&disk, async {
        let config = StoreConfig { journal_bytes: 64 << 10, direct_switch_bytes: 1 << 20, ..config() };
        let mut run = Run::start(&disk, 1, config).await.unwrap();
        for topic in 0..40 {
            run.create(topic, LogConfig::default()).await.unwrap();
        }
        let store = run.stores[0].clone();
        for number in 0..3_000u64 {
            // All but one are idle most of the time, each with a partial block that only the journal holds.
            let topic = if number % 4 == 0 { (number / 4 % 40) as u32 } else { 0 };
            let (_, id) = run.store(topic);
            while let Err(AppendError::Busy) = append(&store, id, &batch(number, 1, 3_900), 0) {
                store.background(0).await;
                store.wait_for_room().await;
            }
            store.commit().await;
            assert!(store.failure().is_none(), "the journal is full for ever");
        }
        let ends: i64 =
            (0..40).map(|topic| store.bounds(run.store(topic).1).unwrap().acknowledged_end.0).sum();
        assert_eq!(ends, 3_000);
        let superblock = |op: &&TracedOp| op.path.ends_with("slipring-journal-0") && op.offset < 8192;
        assert!(sim.trace().iter().filter(superblock).count() > 20, "it goes round");
        run.close().await.unwrap();
    });
}
