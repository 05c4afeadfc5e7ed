//! A few histories of every kind, in parallel; the bin runs thousands by hand. And the simulation's own test: the same seed
//! gives the same history, and bugs that are planted are found.

use std::panic::catch_unwind;
use std::time::Duration;

use slipring_sim::scenario::{Options, long_silence, run};
use slipring_storage::store::PlantedBug;

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

const SMOKE_SEEDS: [u64; 8] = [3, 14, 16, 13, 21, 23, 25, 38];

const FOUND: [(u64, &str); 1] =
    [(18, "a deleted topic's log in the way of a new topic of the same name after a power cut")];
