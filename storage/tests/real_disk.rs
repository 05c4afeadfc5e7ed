//! The same engine on the kernel's io_uring and a real file system, where direct I/O has to obey alignment. Files in a
//! temporary directory.

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use slipring_protocol::ids::{Offset, TimestampMs};
use slipring_storage::disk::{Disk, UringDisk, block_on};
use slipring_storage::log::LogConfig;
use slipring_storage::read::ReadLimit;
use slipring_storage::store::{Store, StoreConfig};
use support::workload::Rng;
use support::{append, batch, new_log, open_directory, read_all, read_from};

struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str) -> Temporary {
        let path = std::env::temp_dir().join(format!("slipring-storage-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Temporary(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn open(
    disk: &Disk,
    root: &Path,
    config: StoreConfig,
) -> (Store, slipring_storage::recovery::DirectoryRecovery) {
    let (directory, recovery) =
        open_directory(disk, root).await.expect("the temporary directory can be used");
    disk.direct_io(root).await.expect("the temporary directory can be used");
    (
        Store::open(disk.clone(), Arc::clone(&directory), 0, config)
            .await
            .expect("the temporary directory can be used"),
        recovery,
    )
}

fn log() -> LogConfig {
    LogConfig { segment_bytes: 2 << 20, ..LogConfig::default() }
}

/// Small and large batches over segments; dropped without a stop, as a killed process leaves it.
#[test]
fn everything_acknowledged_is_there_after_a_process_dies() {
    let root = Temporary::new("dies");
    let config = StoreConfig { journal_bytes: 1 << 20, tail_bytes: 1 << 20, ..StoreConfig::default() };
    let disk = Disk::Uring(UringDisk::new(64).unwrap());
    let mut rng = Rng(3);
    let mut sent = Vec::new();
    block_on(&disk, async {
        let (store, _) = open(&disk, &root.0, config).await;
        let id = store.create_log(new_log(0, log(), 0)).await.unwrap();
        for round in 0..300 {
            let value = if round % 10 == 0 { 200_000 + rng.below(10_000) } else { rng.below(3_000) };
            let bytes = batch(round, 1, value as usize);
            while append(&store, id, &bytes, 0).is_err() {
                store.background(0).await;
                store.commit().await;
            }
            sent.push(bytes[16..].to_vec());
            store.commit().await;
            if round % 7 == 0 {
                store.background(round).await;
            }
        }
        assert_eq!(store.bounds(id).unwrap().acknowledged_end, Offset(300));
        let read = read_all(&disk, &store, id, ReadLimit::HighWatermark).await.unwrap();
        assert!(read.iter().map(|batch| &batch[16..]).eq(sent.iter().map(|batch| &batch[..])));
    });
    // What was dropped may still have writes under way: a ring of its own waits for none of them.
    block_on(&disk, async {
        let (store, recovery) = open(&disk, &root.0, config).await;
        assert!(!recovery.clean);
        let (id, report) = store.open_log(new_log(0, log(), 1), &recovery, TimestampMs(0)).await.unwrap();
        assert!(report.damage.is_none() && report.log_end == Offset(300), "{report:?}");
        let read = read_all(&disk, &store, id, ReadLimit::HighWatermark).await.unwrap();
        assert!(read.iter().map(|batch| &batch[16..]).eq(sent.iter().map(|batch| &batch[..])));
        append(&store, id, &batch(300, 1, 5_000), 1).unwrap();
        store.commit().await;
        store.close().await.unwrap();
    });
    block_on(&disk, async {
        let (directory, _) = open_directory(&disk, &root.0).await.unwrap();
        directory.mark_clean(&disk, 7).await.unwrap();
        drop(directory);
        let (store, recovery) = open(&disk, &root.0, config).await;
        assert!(recovery.clean);
        let (id, report) = store.open_log(new_log(0, log(), 2), &recovery, TimestampMs(0)).await.unwrap();
        assert!(report.trusted && report.log_end == Offset(301), "{report:?}");
        let from =
            read_from(&disk, &store, id, Offset(250), ReadLimit::HighWatermark, 100_000).await.unwrap();
        assert_eq!(from.len(), 51);
        store.close().await.unwrap();
    });
}
