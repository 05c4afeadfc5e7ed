//! One behaviour, two disks: every test of `shared` runs on the kernel and on the simulation.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{
    AlignedBuf, BLOCK_BYTES, Disk, DiskFile, Durability, IoPart, OpenOptions, SimDisk, UringDisk, block_on,
};

mod differential;
mod shared;
mod sim;
mod uring;

const READ: OpenOptions = OpenOptions { write: false, create: false, direct: false };
const WRITE: OpenOptions = OpenOptions { write: true, create: true, direct: false };
const DIRECT: OpenOptions = OpenOptions { write: true, create: true, direct: true };

/// Runs a test on the kernel's disk and on simulated ones with several orders of completion.
fn on_both(test: impl AsyncFn(Disk, PathBuf)) {
    for seed in 0..8 {
        let disk = Disk::Sim(SimDisk::new(seed));
        block_on(&disk, test(disk.clone(), PathBuf::from("/")));
    }
    let buffered = Disk::Sim(SimDisk::new(8).without_direct_io());
    block_on(&buffered, test(buffered.clone(), PathBuf::from("/")));
    on_kernel(test);
}

fn on_kernel(test: impl AsyncFn(Disk, PathBuf)) {
    let disk = Disk::Uring(UringDisk::new(8).unwrap());
    let scratch = Scratch::new(&std::env::temp_dir());
    block_on(&disk, test(disk.clone(), scratch.0.clone()));
}

/// A directory of a test's own, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(below: &Path) -> Scratch {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = below.join(format!("slipring-disk-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// `len` bytes that differ along the way and between seeds.
fn pattern(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at.wrapping_mul(31) ^ (at / 509) ^ seed.wrapping_mul(97)) as u8).collect()
}

fn part(bytes: &[u8]) -> IoPart {
    AlignedBuf::copy_of(bytes).into()
}

async fn write(disk: &Disk, file: &DiskFile, offset: u64, bytes: &[u8], durability: Durability) {
    disk.write(file, offset, vec![part(bytes)], durability).await.0.unwrap();
}

async fn read(disk: &Disk, file: &DiskFile, offset: u64, len: usize) -> Vec<u8> {
    let (result, buf) = disk.read(file, offset, AlignedBuf::zeroed(len)).await;
    assert_eq!(result.unwrap(), buf.len());
    buf.to_vec()
}

/// Polls a future once, as far as it then waits, and drops it.
fn poll_once_and_drop<F: Future>(future: F) {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut future = std::pin::pin!(future);
    drop(future.as_mut().poll(&mut context));
}
