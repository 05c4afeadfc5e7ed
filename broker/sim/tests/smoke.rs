//! A few histories of every kind, in parallel; the bin runs thousands by hand. And the simulation's own test: the same seed
//! gives the same history, and bugs that are planted are found.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use slipring::runtime::sim::run as run_life;
use slipring_protocol::ids::TimestampMs;
use slipring_sim::admin;
use slipring_sim::node::{Node, NodeConfig};
use slipring_sim::scenario::{Options, long_silence, run};
use slipring_sim::world::Life;
use slipring_storage::disk::{Disk, SimDisk, block_on};
use slipring_storage::store::{PlantedBug, StoreConfig};

fn histories(seeds: impl IntoIterator<Item = u64>) {
    for seed in seeds {
        let ran = catch_unwind(|| run(seed, Options::default()));
        assert!(ran.is_ok(), "seed {seed} failed; cargo run -p slipring-sim -- --seeds {seed}");
    }
}

#[test]
fn histories_of_the_first_seeds() {
    histories(SMOKE_SEEDS[..SMOKE_SEEDS.len() / 2].iter().copied());
}

#[test]
fn histories_of_more_seeds() {
    histories(SMOKE_SEEDS[SMOKE_SEEDS.len() / 2..].iter().copied());
}

/// Seeds that found a bug when it was there.
#[test]
fn histories_that_failed_once() {
    for (seed, what) in FOUND {
        let ran = catch_unwind(|| run(seed, Options::default()));
        assert!(ran.is_ok(), "seed {seed} failed, as when it found this: {what}");
    }
}

#[test]
fn the_same_seed_gives_the_same_history() {
    let seed = SMOKE_SEEDS[0];
    assert_eq!(run(seed, Options::default()), run(seed, Options::default()));
}

#[test]
fn hours_of_silence() {
    let silence = Duration::from_secs(2 * 3600);
    assert!(long_silence(1, silence) >= silence);
}

#[test]
fn acknowledging_early_is_found() {
    let options = Options { planted: Some(PlantedBug::AcknowledgeEarly) };
    let found = (100..120).find(|seed| catch_unwind(|| run(*seed, options)).is_err());
    assert!(found.is_some(), "a broker that loses what it acknowledged passes");
}

/// A metadata log that is gone is not taken for an empty cluster, whose topics' logs would have to be moved aside.
#[test]
fn a_lost_metadata_log_is_refused() {
    let store = StoreConfig { journal_bytes: 1 << 20, ..StoreConfig::default() };
    let config = NodeConfig::new(&[], store, 1);
    let disk = SimDisk::new(1);
    run_life(1, TimestampMs(0), &disk, async || {
        let life = Life::new(Rc::default(), Node::start(&disk, &config, 1).await);
        let wire = life.connect().expect("the life has just begun");
        assert!(admin::create(&life, &wire, "kept", 1, &[]).await.is_ok());
        life.node.stop().await;
    });
    let disk = disk.kill();
    let files = Disk::Sim(disk.clone());
    let (root, metadata) = (Path::new("/data-0"), Path::new("/data-0/__cluster_metadata-0"));
    block_on(&files, async {
        for entry in files.list(metadata).expect("it was there") {
            files.remove_file(&metadata.join(entry.name)).await.expect("it was there");
        }
        files.remove_dir(metadata).await.expect("it is empty");
    });
    let start = || run_life(2, TimestampMs(0), &disk, async || drop(Node::start(&disk, &config, 1).await));
    let refused = catch_unwind(AssertUnwindSafe(start)).expect_err("it must not start");
    let reason = refused.downcast_ref::<String>().expect("a panic with a reason");
    assert!(
        reason.contains("the metadata log is empty, but 1 logs of topics are there, such as kept-0"),
        "{reason}"
    );
    let names: Vec<String> =
        files.list(root).expect("it is there").into_iter().map(|entry| entry.name).collect();
    assert!(names.iter().any(|name| name == "kept-0"), "{names:?}");
}

const SMOKE_SEEDS: [u64; 8] = [3, 14, 16, 13, 21, 23, 25, 38];

const FOUND: [(u64, &str); 4] = [
    (18, "a deleted topic's log in the way of a new topic of the same name after a power cut"),
    (87, "a journal that was full for ever: nothing was copied forward of what held its oldest commit"),
    (157, "a batch appended twice: a clean stop after a crash left no snapshot of an idle log's producers"),
    (175, "the same"),
];
