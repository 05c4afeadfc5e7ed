//! The fuzz targets on the stable toolchain: their seeds, and a bounded number of mutations of them. No input may panic, or
//! make a decoder allocate out of proportion to its size.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;
use std::path::Path;

use bytes::Bytes;
use slipring_protocol::batch::fuzz_batch;
use slipring_protocol::bounds::walk;
use slipring_protocol::fuzzing::{fuzz_frame, fuzz_request, recode};
use slipring_protocol::wire::WireError;

use support::{Random, body, served};

mod support;

/// Mutations per target: a few seconds unoptimised.
const MUTATIONS: usize = 200_000;

/// Bytes that may be live at once per byte of input, and besides. An unknown tagged field of two bytes costs the published
/// codec a map node of some 450; the target holds a request, its copy and what was written of both.
const PER_BYTE: usize = 400;
const BESIDES: usize = 64 << 10;
/// Besides, where batches are inflated: a window per codec, and up to 1 MiB of records.
const INFLATING: usize = 4 << 20;

#[test]
fn frames() {
    run("frame", MUTATIONS, BESIDES, fuzz_frame);
}

#[test]
fn requests() {
    run("request", MUTATIONS, BESIDES, fuzz_request);
}

#[test]
fn batches() {
    run("batch", MUTATIONS / 10, INFLATING, fuzz_batch);
}

#[test]
fn nobody_believes_a_count() {
    // Every four bytes and every varint of every seed claim two thousand million elements.
    for seed in seeds("request") {
        for at in 8..seed.len() {
            for claim in [
                &[0x7f, 0xff, 0xff, 0xff][..],
                &[0xff, 0xff, 0xff, 0xff, 0x07],
                &[0xff, 0xff, 0xff, 0xff, 0x0f],
            ] {
                let mut hostile = seed.clone();
                hostile.splice(at..(at + claim.len()).min(seed.len()), claim.iter().copied());
                bounded(&hostile, BESIDES, fuzz_request);
            }
        }
    }
}

#[test]
fn the_walk_knows_what_decoding_takes() {
    let mut random = Random(5);
    for (request, version) in served() {
        for _ in 0..30 {
            let bytes = Bytes::from(body(&mut random, request, version, true).bytes);
            let decoded = walk(request.key, version, &bytes).unwrap().decoded_bytes;
            let (written, peak) = peak_of(|| recode(request.key, version, bytes.clone()).unwrap());
            // Besides the decoded form: what is written, its growth, and handles on the body.
            let allowed = decoded + 3 * written.capacity() + 256;
            assert!(peak <= allowed, "{:?} {version}: {peak} above {allowed}", request.key);
        }
    }
}

#[test]
fn a_large_hostile_request_stays_within_its_budget() {
    // Version 9 of Metadata: as many empty names, each with one unknown tagged field, as five megabytes hold.
    let element = [1, 1, 100, 0];
    let count = (5 << 20) / element.len();
    let mut bytes = Vec::new();
    bytes.extend(support::encode_length(count as i32, true, support::Kind::Long));
    for _ in 0..count {
        bytes.extend_from_slice(&element);
    }
    let wire = bytes.len();
    let bytes = Bytes::from(bytes);
    let (result, peak) = peak_of(|| recode(slipring_protocol::api::ApiKey::Metadata, 9, bytes));
    assert_eq!(result, Err(WireError::TooManyElements { wire }));
    assert!(peak < 1024, "{peak} bytes for a request that is refused");
}

fn run(target: &str, mutations: usize, besides: usize, fuzz: fn(&[u8])) {
    let seeds = seeds(target);
    assert!(!seeds.is_empty(), "no seeds for {target}: run the example seed_corpus");
    seeds.iter().for_each(|seed| bounded(seed, besides, fuzz));
    let mut random = Random(42);
    for _ in 0..mutations {
        let mut input = seeds[random.below(seeds.len())].clone();
        for _ in 0..=random.below(4) {
            mutate(&mut random, &mut input, &seeds);
        }
        bounded(&input, besides, fuzz);
    }
}

fn bounded(input: &[u8], besides: usize, fuzz: fn(&[u8])) {
    let ((), peak) = peak_of(|| fuzz(input));
    assert!(
        peak <= besides + PER_BYTE * input.len(),
        "{peak} bytes for an input of {}: {input:02x?}",
        input.len()
    );
}

fn mutate(random: &mut Random, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    const ODD: [u8; 8] = [0, 1, 2, 0x7f, 0x80, 0x81, 0xfe, 0xff];
    if input.is_empty() {
        input.push(0);
    }
    let at = random.below(input.len());
    match random.below(7) {
        0 => input[at] ^= 1 << random.below(8),
        1 => input[at] = ODD[random.below(ODD.len())],
        2 => input[at] = random.next() as u8,
        3 => input.truncate(at),
        4 => {
            let byte = ODD[random.below(ODD.len())];
            let run = vec![byte; 1 + random.below(5)];
            input.splice(at..(at + run.len()).min(input.len()), run);
        }
        5 => input.insert(at, ODD[random.below(ODD.len())]),
        _ => {
            let other = &seeds[random.below(seeds.len())];
            let from = random.below(other.len());
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
    }
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut paths: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Runs `work` and returns the most bytes that it held at once on this thread.
fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = LIVE.get();
    PEAK.set(before);
    let value = work();
    (value, (PEAK.get() - before).max(0) as usize)
}

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the system's allocator unchanged; counting touches only plain cells of the thread.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.set(LIVE.get() + layout.size() as isize);
        PEAK.set(PEAK.get().max(LIVE.get()));
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.set(LIVE.get() - layout.size() as isize);
        // SAFETY: the pointer came from `System` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}
