//! What only the simulation has: power cuts, faults, seeds.

use std::collections::BTreeSet;
use std::rc::Rc;

use super::*;
use crate::disk::sim::{Fault, FaultRule, OpKind, yield_now};

const LOG: &str = "/log";

fn sim(seed: u64) -> (SimDisk, Disk) {
    let sim = SimDisk::new(seed);
    (sim.clone(), Disk::Sim(sim))
}

/// A file whose name and size are durable, filled with `byte`.
async fn settled(disk: &Disk, path: &str, byte: u8, len: usize) -> DiskFile {
    let file = disk.open(Path::new(path), DIRECT).await.unwrap();
    write(disk, &file, 0, &vec![byte; len], Durability::Volatile).await;
    disk.sync(&file).await.unwrap();
    disk.sync_dir(Path::new("/")).await.unwrap();
    file
}

#[test]
fn durable_writes_survive_and_volatile_ones_tear() {
    let (mut torn, mut lost, mut whole) = (0, 0, 0);
    for seed in 0..200 {
        let (sim, disk) = sim(seed);
        block_on(&disk, async {
            let file = settled(&disk, LOG, b'a', 4 * BLOCK_BYTES).await;
            write(&disk, &file, 0, &[b'b'; BLOCK_BYTES], Durability::Volatile).await;
            write(&disk, &file, BLOCK_BYTES as u64, &[b'c'; BLOCK_BYTES], Durability::Durable).await;
        });
        let image = sim.reopen().peek(Path::new(LOG)).unwrap();
        assert_eq!(image.len(), 4 * BLOCK_BYTES);
        assert!(image[BLOCK_BYTES..2 * BLOCK_BYTES].iter().all(|byte| *byte == b'c'));
        assert!(image[2 * BLOCK_BYTES..].iter().all(|byte| *byte == b'a'));
        for sector in image[..BLOCK_BYTES].chunks(512) {
            assert!(sector.iter().all(|byte| *byte == sector[0]) && [b'a', b'b'].contains(&sector[0]));
        }
        match image[..BLOCK_BYTES].iter().filter(|byte| **byte == b'b').count() {
            0 => lost += 1,
            BLOCK_BYTES => whole += 1,
            _ => torn += 1,
        }
    }
    assert!(torn > 20 && lost > 20 && whole > 20, "torn {torn}, lost {lost}, whole {whole}");
}

#[test]
fn a_durable_write_carries_the_size_but_not_other_bytes() {
    let mut lost = false;
    for seed in 0..50 {
        let (sim, disk) = sim(seed);
        block_on(&disk, async {
            let file = settled(&disk, LOG, b'a', BLOCK_BYTES).await;
            let other = settled(&disk, "/other", b'o', BLOCK_BYTES).await;
            write(&disk, &file, BLOCK_BYTES as u64, &[b'v'; BLOCK_BYTES], Durability::Volatile).await;
            write(&disk, &other, BLOCK_BYTES as u64, &[b'v'; BLOCK_BYTES], Durability::Volatile).await;
            write(&disk, &file, 2 * BLOCK_BYTES as u64, &[b'd'; BLOCK_BYTES], Durability::Durable).await;
        });
        let after = sim.reopen();
        let image = after.peek(Path::new(LOG)).unwrap();
        assert_eq!(image.len(), 3 * BLOCK_BYTES);
        assert!(image[2 * BLOCK_BYTES..].iter().all(|byte| *byte == b'd'));
        lost |= image[BLOCK_BYTES..2 * BLOCK_BYTES].contains(&0);
        lost |= after.peek(Path::new("/other")).unwrap().len() == BLOCK_BYTES;
    }
    assert!(lost, "what was not synced is lost at least once");
}

#[test]
fn a_truncation_is_durable_with_a_sync_only() {
    let mut lengths = BTreeSet::new();
    for seed in 0..50 {
        let (sim, disk) = sim(seed);
        block_on(&disk, async {
            let file = settled(&disk, LOG, b'a', 2 * BLOCK_BYTES).await;
            disk.truncate(&file, 100).await.unwrap();
        });
        lengths.insert(sim.reopen().peek(Path::new(LOG)).unwrap().len());
        let (sim, disk) = self::sim(seed);
        block_on(&disk, async {
            let file = settled(&disk, LOG, b'a', 2 * BLOCK_BYTES).await;
            disk.truncate(&file, 100).await.unwrap();
            disk.sync(&file).await.unwrap();
            disk.allocate(&file, 0, 8192).await.unwrap();
            disk.sync(&file).await.unwrap();
        });
        let image = sim.reopen().peek(Path::new(LOG)).unwrap();
        assert_eq!(image.len(), 8192);
        assert!(image[..100].iter().all(|byte| *byte == b'a') && image[100..].iter().all(|byte| *byte == 0));
    }
    assert_eq!(lengths, BTreeSet::from([100, 2 * BLOCK_BYTES]));
}

#[test]
fn what_was_cut_off_before_a_durable_write_never_returns() {
    for seed in 0..50 {
        let (sim, disk) = sim(seed);
        block_on(&disk, async {
            let file = settled(&disk, LOG, b'a', BLOCK_BYTES).await;
            write(&disk, &file, BLOCK_BYTES as u64, &[b'x'; BLOCK_BYTES], Durability::Volatile).await;
            disk.truncate(&file, BLOCK_BYTES as u64).await.unwrap();
            write(&disk, &file, 2 * BLOCK_BYTES as u64, &[b'd'; BLOCK_BYTES], Durability::Durable).await;
        });
        let image = sim.reopen().peek(Path::new(LOG)).unwrap();
        assert!(image[BLOCK_BYTES..2 * BLOCK_BYTES].iter().all(|byte| *byte == 0));
    }
}

#[test]
fn names_are_durable_with_their_directory_only() {
    let (mut kept, mut lost, mut replaced) = (0, 0, 0);
    for seed in 0..100 {
        let (sim, disk) = sim(seed);
        block_on(&disk, async {
            settled(&disk, LOG, b'a', BLOCK_BYTES).await;
            let new = disk.open(Path::new("/new"), DIRECT).await.unwrap();
            write(&disk, &new, 0, &[b'n'; BLOCK_BYTES], Durability::Durable).await;
            disk.sync(&new).await.unwrap();
            disk.rename(Path::new("/new"), Path::new(LOG)).await.unwrap();
        });
        let after = sim.reopen();
        let seam = Disk::Sim(after.clone());
        let names: Vec<_> = seam.list(Path::new("/")).unwrap().into_iter().map(|entry| entry.name).collect();
        let log = after.peek(Path::new(LOG)).unwrap();
        match (names.iter().any(|name| name == "new"), log[0]) {
            (true, b'a') => kept += 1,
            (false, b'a') => lost += 1,
            (false, b'n') => replaced += 1,
            other => panic!("{other:?} with {names:?}"),
        }
    }
    assert!(kept > 5 && lost > 5 && replaced > 5, "{kept} {lost} {replaced}");
}

#[test]
fn a_replaced_file_is_old_or_new_at_every_power_cut() {
    let replace = async |disk: &Disk| {
        disk.replace_whole(Path::new("/meta"), pattern(1, 9000)).await?;
        disk.replace_whole(Path::new("/meta"), pattern(2, 7000)).await
    };
    let (sim, disk) = sim(0);
    block_on(&disk, replace(&disk)).unwrap();
    let total = sim.ops();
    assert_eq!(total, 12);
    for (cut, seed) in (0..=total).flat_map(|cut| (0..20).map(move |seed| (cut, seed))) {
        let (sim, disk) = self::sim(seed);
        sim.crash_at(cut);
        let result = block_on(&disk, replace(&disk));
        assert_eq!(result.is_ok(), cut == total);
        assert_eq!(sim.is_crashed(), cut < total);
        let after = sim.reopen();
        match after.peek(Path::new("/meta")) {
            Ok(bytes) => assert!(bytes == pattern(1, 9000) || bytes == pattern(2, 7000)),
            Err(_) => assert!(cut < 6, "once replaced, the file is there"),
        }
        if result.is_ok() {
            assert_eq!(after.peek(Path::new("/meta")).unwrap(), pattern(2, 7000));
        }
    }
}

#[test]
fn what_was_under_way_may_have_happened_in_part() {
    let mut seen = BTreeSet::new();
    for seed in 0..100 {
        let (sim, disk) = sim(seed);
        let file = block_on(&disk, settled(&disk, LOG, b'a', 2 * BLOCK_BYTES));
        let parts = vec![part(&[b'b'; 2 * BLOCK_BYTES])];
        poll_once_and_drop(disk.write(&file, 0, parts, Durability::Durable));
        assert_eq!(sim.in_flight(), 1);
        sim.crash();
        assert_eq!(sim.in_flight(), 0);
        let image = sim.reopen().peek(Path::new(LOG)).unwrap();
        seen.insert(image.iter().filter(|byte| **byte == b'b').count() / 512);
    }
    assert!(seen.contains(&0) && seen.contains(&16) && seen.len() > 4, "{seen:?}");
}

#[test]
fn without_power_everything_fails_and_wakes() {
    let (sim, disk) = sim(3);
    block_on(&disk, async {
        let file = settled(&disk, LOG, b'a', BLOCK_BYTES).await;
        sim.crash();
        assert!(disk.open(Path::new(LOG), READ).await.is_err());
        assert!(disk.read(&file, 0, AlignedBuf::zeroed(BLOCK_BYTES)).await.0.is_err());
        assert!(disk.sync(&file).await.is_err());
        assert!(disk.len(&file).is_err() && disk.list(Path::new("/")).is_err());
        let after = Disk::Sim(sim.reopen());
        assert!(after.len(&file).is_err(), "a handle dies with its machine");
    });
}

#[test]
fn a_killed_process_loses_nothing_that_it_issued() {
    for seed in 0..20 {
        let (sim, disk) = sim(seed);
        let file = block_on(&disk, settled(&disk, LOG, b'a', BLOCK_BYTES));
        let parts = vec![part(&[b'b'; BLOCK_BYTES])];
        poll_once_and_drop(disk.write(&file, 0, parts, Durability::Volatile));
        let after = sim.kill();
        assert_eq!(after.peek(Path::new(LOG)).unwrap()[0], b'b');
        assert!(disk.len(&file).is_err());
        let images: BTreeSet<_> = (0..30).map(|_| after.reopen().peek(Path::new(LOG)).unwrap()[0]).collect();
        assert_eq!(images, BTreeSet::from([b'a', b'b']), "and it is still not durable");
    }
}

#[test]
fn faults_come_by_plan() {
    let (sim, disk) = sim(5);
    block_on(&disk, async {
        let file = settled(&disk, LOG, b'a', BLOCK_BYTES).await;
        settled(&disk, "/other", b'o', BLOCK_BYTES).await;

        sim.fail_at(sim.ops() + 1, libc::EIO);
        assert!(disk.sync(&file).await.is_ok());
        assert_eq!(disk.sync(&file).await.unwrap_err().raw_os_error(), Some(libc::EIO));
        assert!(disk.sync(&file).await.is_ok());

        sim.plan(FaultRule::every(OpKind::Read, Fault::ShortRead(10)).on("log").times(1, 1));
        assert_eq!(read(&disk, &file, 0, BLOCK_BYTES).await.len(), BLOCK_BYTES);
        assert_eq!(read(&disk, &file, 0, BLOCK_BYTES).await, [b'a'; 10]);
        sim.plan(FaultRule::at(sim.ops(), Fault::FlipBit { byte: 3, bit: 1 }));
        assert_eq!(read(&disk, &file, 0, BLOCK_BYTES).await[2..5], [b'a', b'a' ^ 2, b'a']);
        assert_eq!(read(&disk, &file, 0, BLOCK_BYTES).await[3], b'a');

        sim.plan(FaultRule::every(OpKind::Write, Fault::Errno(libc::ENOSPC)));
        let (result, parts) =
            disk.write(&file, 0, vec![part(&[b'z'; BLOCK_BYTES])], Durability::Durable).await;
        assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::ENOSPC));
        assert_eq!(parts.len(), 1);
        sim.clear_faults();
        write(&disk, &file, 0, &[b'y'; BLOCK_BYTES], Durability::Durable).await;
        sim.poke(Path::new(LOG), 17, b"?").unwrap();
        assert_eq!(sim.reopen().peek(Path::new(LOG)).unwrap()[16..19], *b"y?y");
    });
}

#[test]
fn after_a_failed_sync_later_ones_lie() {
    let mut lost = 0;
    for seed in 0..40 {
        let (sim, disk) = sim(seed);
        block_on(&disk, async {
            let file = settled(&disk, LOG, b'a', BLOCK_BYTES).await;
            write(&disk, &file, 0, &[b'b'; BLOCK_BYTES], Durability::Volatile).await;
            sim.fail_at(sim.ops(), libc::EIO);
            assert!(disk.sync(&file).await.is_err());
            disk.sync(&file).await.unwrap();
            assert_eq!(read(&disk, &file, 0, BLOCK_BYTES).await[0], b'b');
        });
        lost += usize::from(sim.reopen().peek(Path::new(LOG)).unwrap()[0] == b'a');
    }
    assert!(lost > 5 && lost < 35, "{lost}");
}

#[test]
fn a_full_disk_says_so_and_recovers() {
    let (sim, disk) = sim(6);
    block_on(&disk, async {
        let file = settled(&disk, LOG, b'a', 2 * BLOCK_BYTES).await;
        sim.set_capacity(Some(3 * BLOCK_BYTES as u64));
        assert_eq!(disk.space(Path::new("/")).unwrap().available, BLOCK_BYTES as u64);
        let error = disk.allocate(&file, 0, 1 << 20).await.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
        let other = disk.open(Path::new("/other"), DIRECT).await.unwrap();
        let two = vec![part(&[1; 2 * BLOCK_BYTES])];
        let (result, two) = disk.write(&other, 0, two, Durability::Durable).await;
        assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::ENOSPC));
        disk.remove_file(Path::new(LOG)).await.unwrap();
        assert_eq!(disk.space(Path::new("/")).unwrap().available, BLOCK_BYTES as u64, "still open");
        drop(file);
        disk.sync_dir(Path::new("/")).await.unwrap();
        disk.write(&other, 0, two, Durability::Durable).await.0.unwrap();
    });
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let (sim, disk) = sim(seed);
        let order = Rc::new(std::cell::RefCell::new(Vec::new()));
        sim.run(async |spawner| {
            let file = settled(&disk, LOG, b'a', BLOCK_BYTES).await;
            let tasks: Vec<_> = (0..6_u8)
                .map(|task| {
                    let (disk, file, order) = (disk.clone(), file.clone(), Rc::clone(&order));
                    spawner.spawn(async move {
                        for round in 0..4 {
                            yield_now().await;
                            write(&disk, &file, 0, &[task; BLOCK_BYTES], Durability::Volatile).await;
                            order.borrow_mut().push((task, round));
                        }
                        task
                    })
                })
                .collect();
            for (index, task) in tasks.into_iter().enumerate() {
                assert_eq!(usize::from(task.await), index);
            }
        });
        let trace: Vec<_> = sim.trace().into_iter().map(|traced| (traced.op, traced.kind)).collect();
        let image = sim.reopen().peek(Path::new(LOG)).unwrap();
        (order.take(), trace, image)
    };
    let runs: Vec<_> = (0..5).map(|seed| (run(seed), run(seed))).collect();
    assert!(runs.iter().all(|(first, second)| first == second));
    let orders: BTreeSet<_> = runs.iter().map(|(first, _)| first.0.clone()).collect();
    assert!(orders.len() > 2, "other seeds give other orders");
}

#[test]
#[should_panic(expected = "no operation under way")]
fn a_deadlock_is_told() {
    let (_, disk) = sim(0);
    block_on(&disk, std::future::pending::<()>());
}

#[test]
fn files_synced_together_are_durable_and_fail_one_by_one() {
    for seed in 0..20 {
        let (sim, disk) = sim(seed);
        block_on(&disk, async {
            let log = settled(&disk, LOG, b'a', BLOCK_BYTES).await;
            let other = settled(&disk, "/other", b'a', BLOCK_BYTES).await;
            write(&disk, &log, 0, &[b'b'; BLOCK_BYTES], Durability::Volatile).await;
            write(&disk, &other, 0, &[b'b'; BLOCK_BYTES], Durability::Volatile).await;
            sim.plan(FaultRule::every(OpKind::Sync, Fault::Errno(libc::EIO)).on("other"));
            let results = disk.sync_many(&[log, other]).await;
            assert!(results[0].is_ok() && results[1].is_err());
        });
        assert_eq!(sim.reopen().peek(Path::new(LOG)).unwrap(), [b'b'; BLOCK_BYTES]);
    }
}
