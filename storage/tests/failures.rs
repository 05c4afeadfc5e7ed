//! What a failing disk leaves, and what goes on beside it.

#![allow(clippy::unwrap_used)]

mod support;

use slipring_protocol::ids::Offset;
use slipring_storage::disk::sim::{Fault, FaultRule, OpKind};
use slipring_storage::disk::{Disk, OpenOptions, SimDisk, block_on};
use slipring_storage::log::{LogConfig, LogDurability};
use slipring_storage::store::StoreConfig;
use support::{Run, append, batch};

fn small() -> StoreConfig {
    StoreConfig { journal_bytes: 1 << 20, ..StoreConfig::default() }
}

/// A large batch goes straight to its segment; when that write fails nothing of it was promised.
#[test]
fn a_failed_direct_write_is_no_damage_at_the_next_start() {
    let sim = SimDisk::new(1);
    let disk = Disk::Sim(sim.clone());
    block_on(&disk, async {
        let mut run = Run::start(&disk, 1, small()).await.unwrap();
        let broken = run.create(0, LogConfig::default()).await.unwrap();
        let other = run.create(1, LogConfig::default()).await.unwrap();
        let store = run.stores[0].clone();
        append(&store, broken, &batch(0, 1, 100), 0).unwrap();
        store.commit().await;
        sim.plan(FaultRule::every(OpKind::Write, Fault::Errno(libc::ENOSPC)).on("t0-0"));
        append(&store, broken, &batch(1, 1, 300_000), 0).unwrap();
        let committed = store.commit().await;
        assert_eq!(committed.failed, [broken]);
        sim.clear_faults();
        for number in 0..5 {
            append(&store, other, &batch(number, 1, 100), 0).unwrap();
            store.commit().await;
        }
    });
    let disk = Disk::Sim(sim.reopen_seeded(3));
    block_on(&disk, async {
        let mut run = Run::start(&disk, 1, small()).await.unwrap();
        let report = run.open(0, LogConfig::default(), 1).await.unwrap();
        assert!(report.damage.is_none(), "{:?}", report.damage);
        assert_eq!(report.log_end, Offset(1));
    });
}

#[test]
fn what_a_fenced_log_had_staged_takes_no_room() {
    let sim = SimDisk::new(1);
    let disk = Disk::Sim(sim.clone());
    block_on(&disk, async {
        let mut run = Run::start(&disk, 1, small()).await.unwrap();
        let broken = run.create(0, LogConfig::default()).await.unwrap();
        let store = run.stores[0].clone();
        sim.plan(FaultRule::every(OpKind::Write, Fault::Errno(libc::ENOSPC)).on("t0-0"));
        append(&store, broken, &batch(0, 1, 300_000), 0).unwrap();
        let commit = store.commit();
        // Comes while the commit is under way.
        let more = async {
            append(&store, broken, &batch(1, 1, 1000), 0).unwrap();
        };
        let (committed, ()) = support::workload::both(commit, more).await;
        assert_eq!(committed.failed, [broken]);
        store.commit().await;
        assert_eq!(store.staged_bytes(), 0);
    });
}

/// Also what a power cut left of a removal: an index whose log file is gone.
#[test]
fn clean_stops_leave_one_snapshot_and_an_opening_no_strays() {
    let disk = Disk::Sim(SimDisk::new(1));
    let directory = support::root().join("t0-0");
    let names = || -> Vec<String> {
        let entries = disk.list(&directory).unwrap();
        entries.into_iter().map(|entry| entry.name).filter(|name| name.starts_with("00")).collect()
    };
    block_on(&disk, async {
        for round in 0..4 {
            let mut run = Run::start(&disk, 1, small()).await.unwrap();
            if round == 0 {
                run.create(0, LogConfig::default()).await.unwrap();
            } else {
                let report = run.open(0, LogConfig::default(), 1).await.unwrap();
                assert_eq!((report.trusted, report.log_end), (true, Offset(round)));
                let snapshots = names().into_iter().filter(|name| name.ends_with(".snapshot"));
                assert_eq!(snapshots.collect::<Vec<_>>(), [format!("{round:020}.snapshot")]);
                assert!(
                    !names().iter().any(|name| name.starts_with(&format!("{:020}", 77))),
                    "{:?}",
                    names()
                );
            }
            let (store, id) = run.store(0);
            append(store, id, &batch(round as u64, 1, 100), 1).unwrap();
            run.commit_all().await;
            run.close().await.unwrap();
            for suffix in [".index", ".timeindex", ".txnindex"] {
                let path = directory.join(format!("{:020}{suffix}", 77));
                let options = OpenOptions { write: true, create: true, direct: false };
                disk.open(&path, options).await.unwrap();
            }
        }
    });
}

/// Whoever calls the background only when it asks for it sees a deleted log's files go, and then rests.
#[test]
fn all_files_of_a_deleted_log_go() {
    let sim = SimDisk::new(1);
    let disk = Disk::Sim(sim.clone());
    block_on(&disk, async {
        let mut run = Run::start(&disk, 1, StoreConfig { journal_bytes: 8 << 20, ..small() }).await.unwrap();
        let config = LogConfig { segment_bytes: 10_000, ..LogConfig::default() };
        let id = run.create(0, config).await.unwrap();
        let store = run.stores[0].clone();
        for number in 0..60 {
            append(&store, id, &batch(number, 1, 9_000), 0).unwrap();
            store.commit().await;
            store.background(0).await;
        }
        store.delete_log(id).await.unwrap();
        let mut steps = 0;
        while store.background(0).await == Some(std::time::Duration::ZERO) {
            steps += 1;
            assert!(steps < 1_000, "it comes to rest");
        }
        let root = disk.list(&support::root()).unwrap();
        assert!(!root.iter().any(|entry| entry.name.ends_with("-delete")));
    });
}

/// What was only written goes with the power, and the records behind it were deleted: the offsets are not given again.
#[test]
fn a_log_start_beyond_what_is_left_is_where_the_log_begins() {
    let config = LogConfig { durability: LogDurability::Written, ..LogConfig::default() };
    for (seed, kept) in (0..20).flat_map(|seed| [(seed, 0), (seed, 2)]) {
        let sim = SimDisk::new(seed);
        let disk = Disk::Sim(sim.clone());
        block_on(&disk, async {
            let mut run = Run::start(&disk, 1, small()).await.unwrap();
            let id = run.create(0, config).await.unwrap();
            for number in 0..5 {
                append(&run.stores[0], id, &batch(number, 1, 100), 0).unwrap();
                run.commit_all().await;
                if number + 1 == kept {
                    run.background(100_000).await;
                    run.background(200_000).await;
                }
            }
            run.stores[0].delete_records(&[(id, Offset(5))]).await.remove(0).unwrap();
        });
        let disk = Disk::Sim(sim.reopen_seeded(seed));
        block_on(&disk, async {
            let mut run = Run::start(&disk, 1, small()).await.unwrap();
            run.open(0, config, 1).await.unwrap();
            let (store, id) = run.store(0);
            let bounds = store.bounds(id).unwrap();
            assert_eq!((bounds.log_start, bounds.log_end), (Offset(5), Offset(5)), "{seed} {kept}");
            append(store, id, &batch(5, 1, 100), 1).unwrap();
            run.commit_all().await;
            assert_eq!(run.read(0).await.unwrap().len(), 1);
        });
    }
}
