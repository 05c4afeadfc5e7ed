//! The log engine as the broker uses it, on a simulated disk: append, commit, read, roll, reopen.

mod support;

use slipring_protocol::ids::Offset;
use slipring_storage::disk::{Disk, SimDisk, block_on};
use slipring_storage::log::LogConfig;
use slipring_storage::store::StoreConfig;
use support::{Run, append, batch};

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
