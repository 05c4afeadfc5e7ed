//! Readers behind the tail: what they miss in memory makes the tail grow.

#![allow(clippy::unwrap_used)]

mod support;

use slipring_protocol::ids::Offset;
use slipring_storage::disk::{Disk, SimDisk, block_on};
use slipring_storage::log::LogConfig;
use slipring_storage::read::{ReadLimit, ReadRange};
use slipring_storage::store::{Planned, StoreConfig};
use support::{Run, append, batch};

#[test]
fn a_read_that_had_to_open_its_file_makes_the_tail_grow() {
    let disk = Disk::Sim(SimDisk::new(1));
    let store = StoreConfig { tail_bytes: 64 << 20, open_files_max: 1, ..StoreConfig::default() };
    block_on(&disk, async {
        let mut run = Run::start(&disk, 1, store).await.unwrap();
        let config = LogConfig { segment_bytes: 4 << 20, ..LogConfig::default() };
        let id = run.create(0, config).await.unwrap();
        let store = run.stores[0].clone();
        let large = batch(0, 1, 1 << 20);
        let fill = async |batches| {
            for _ in 0..batches {
                append(&store, id, &large, 0).unwrap();
                store.commit().await;
                store.background(0).await;
            }
            for _ in 0..50 {
                store.background(0).await;
            }
            store.usage().tail_bytes
        };
        fill(36).await;
        let range = ReadRange {
            start: Offset(0),
            bytes_max: 16 << 20,
            min_one_batch: true,
            upto: ReadLimit::HighWatermark,
        };
        assert!(matches!(store.try_plan_read(id, &range), Ok(Planned::NeedsDisk)), "its file is closed");
        store.plan_read(id, range).await.unwrap();
        let after = fill(4).await;
        assert!(after > 34 << 20, "{after}");
    });
}
