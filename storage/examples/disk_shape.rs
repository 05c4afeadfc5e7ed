//! Measures the shape of this machine's disk for the decisions of `storage`: what a durable write costs into
//! recycled and into freshly allocated blocks, and from which size on N durable writes straight into N files beat
//! one journal write of the same bytes. Takes about half a minute; writes about a gigabyte into `DIR`.
//! Usage: `cargo run --release -p slipring-storage --example disk_shape -- [DIR]`

#![allow(clippy::print_stdout, reason = "a measuring tool prints its table")]

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use slipring_storage::chunk::{ChunkClass, ChunkPool};
use slipring_storage::disk::{
    AlignedBuf, BLOCK_BYTES, Disk, DiskFile, Durability, IoPart, OpenOptions, UringDisk, WriteRequest,
    block_on,
};

fn main() -> io::Result<()> {
    let directory = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let directory = directory.join(format!("slipring-disk-shape-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let disk = Disk::Uring(UringDisk::new(256)?);
    let result = block_on(&disk, measure(&disk, &directory));
    std::fs::remove_dir_all(&directory)?;
    fill_memory();
    result
}

async fn measure(disk: &Disk, directory: &Path) -> io::Result<()> {
    println!("direct I/O in {}: {:?}", directory.display(), disk.direct_io(directory).await?);
    let journal = recycled(disk, &directory.join("journal")).await?;
    single_writes(disk, directory, &journal).await?;
    println!("\nN durable writes into N allocated files, against one journal write of the same bytes");
    println!(
        "{:>9} {:>3} | {:>9} {:>9} {:>7} | {:>9} {:>9} {:>7} | {:>6}",
        "each", "N", "direct50", "direct99", "MB/s", "journal50", "journal99", "MB/s", "ratio"
    );
    for kib in [16, 64, 128, 256, 512, 1024] {
        for count in [1, 4, 16] {
            compare(disk, directory, &journal, kib << 10, count).await?;
        }
    }
    Ok(())
}

/// One durable write at a time, several sizes, three kinds of blocks.
async fn single_writes(disk: &Disk, directory: &Path, journal: &DiskFile) -> io::Result<()> {
    println!("\none durable write at a time, microseconds");
    println!("{:>9} | {:>22} | {:>7} {:>7} {:>7} {:>7}", "size", "blocks", "p50", "p90", "p99", "max");
    for kib in [4, 16, 64, 256] {
        let bytes = kib << 10;
        let mut samples = Samples::default();
        let mut part: IoPart = filled(bytes).into();
        for offset in (0..JOURNAL_BYTES - bytes).step_by(bytes).take(SINGLE_ROUNDS) {
            part = samples.write(disk, journal, offset, part).await?;
        }
        samples.print(bytes, "recycled");
        for (label, grow) in [("allocated, size set", false), ("growing", true)] {
            let path = directory.join("single");
            let file = disk.open(&path, WRITE).await?;
            if !grow {
                disk.allocate(&file, 0, (bytes * SINGLE_ROUNDS) as u64).await?;
            }
            disk.sync(&file).await?;
            disk.sync_dir(directory).await?;
            let mut samples = Samples::default();
            for round in 0..SINGLE_ROUNDS {
                part = samples.write(disk, &file, round * bytes, part).await?;
            }
            samples.print(bytes, label);
            drop(file);
            disk.remove_file(&path).await?;
        }
    }
    Ok(())
}

/// N files against the journal, interleaved round by round so that both see the same neighbours.
async fn compare(
    disk: &Disk,
    directory: &Path,
    journal: &DiskFile,
    bytes: usize,
    count: usize,
) -> io::Result<()> {
    let rounds = (COMPARE_BYTES / (bytes * count)).clamp(4, 100);
    let mut files = Vec::new();
    for index in 0..count {
        let file = disk.open(&directory.join(format!("segment-{index}")), WRITE).await?;
        disk.allocate(&file, 0, (bytes * rounds) as u64).await?;
        disk.sync(&file).await?;
        files.push(file);
    }
    disk.sync_dir(directory).await?;
    let mut buffers: Vec<IoPart> = (0..count).map(|_| filled(bytes).into()).collect();
    let (mut direct, mut through_journal) = (Samples::default(), Samples::default());
    let mut journal_offset = 0;
    for round in 0..rounds {
        let writes = files.iter().zip(buffers.drain(..)).map(|(file, part)| WriteRequest {
            file: file.clone(),
            offset: (round * bytes) as u64,
            parts: vec![part],
            durability: Durability::Durable,
        });
        let writes = writes.collect();
        let start = Instant::now();
        let written = disk.write_many(writes).await;
        direct.add(start.elapsed(), bytes * count);
        for (result, parts) in written {
            result?;
            buffers.extend(parts);
        }
        if journal_offset + bytes * count > JOURNAL_BYTES {
            journal_offset = 0;
        }
        let start = Instant::now();
        let parts = std::mem::take(&mut buffers);
        let (result, parts) = disk.write(journal, journal_offset as u64, parts, Durability::Durable).await;
        through_journal.add(start.elapsed(), bytes * count);
        result?;
        buffers = parts;
        journal_offset += bytes * count;
    }
    for index in 0..count {
        disk.remove_file(&directory.join(format!("segment-{index}"))).await?;
    }
    let (d50, j50) = (direct.at(50), through_journal.at(50));
    println!(
        "{:>6} KiB {count:>3} | {d50:>9} {:>9} {:>7} | {j50:>9} {:>9} {:>7} | {:>6.2}",
        bytes >> 10,
        direct.at(99),
        direct.megabytes_per_second(),
        through_journal.at(99),
        through_journal.megabytes_per_second(),
        d50 as f64 / j50 as f64,
    );
    Ok(())
}

/// A file whose blocks have all been written before.
async fn recycled(disk: &Disk, path: &Path) -> io::Result<DiskFile> {
    let file = disk.open(path, WRITE).await?;
    disk.allocate(&file, 0, JOURNAL_BYTES as u64).await?;
    let mut part: IoPart = filled(1 << 20).into();
    for offset in (0..JOURNAL_BYTES).step_by(1 << 20) {
        let (result, mut parts) = disk.write(&file, offset as u64, vec![part], Durability::Volatile).await;
        result?;
        part = parts.pop().expect("the parts come back");
    }
    disk.sync(&file).await?;
    Ok(file)
}

/// Filling chunks from fresh and from reused memory.
fn fill_memory() {
    println!("\nfilling chunks, seconds per GiB (fresh: never touched before; reused: from the pool)");
    let source = vec![0x5a; 64 << 10];
    for class in ChunkClass::ALL {
        for (label, cached) in [("fresh", 0), ("reused", 64 << 20)] {
            let pool = ChunkPool::new(cached);
            let live = (16 << 20) / class.bytes();
            let warm: Vec<_> = (0..live).map(|_| pool.take(class, 0)).collect();
            drop(warm);
            let start = Instant::now();
            let mut written = 0;
            while written < FILL_BYTES {
                let mut chunks = Vec::new();
                for _ in 0..live {
                    let mut chunk = pool.take(class, 0);
                    while chunk.room() > 0 {
                        written += chunk.append(&source);
                    }
                    chunks.push(chunk);
                }
            }
            let seconds = start.elapsed().as_secs_f64() * (1 << 30) as f64 / written as f64;
            println!("{:>9} {label:>7} {seconds:>7.3}", format!("{} KiB", class.bytes() >> 10));
        }
    }
}

fn filled(bytes: usize) -> AlignedBuf {
    assert_eq!(bytes % BLOCK_BYTES, 0, "sizes are whole blocks");
    let mut buf = AlignedBuf::zeroed(bytes);
    buf.iter_mut().enumerate().for_each(|(at, byte)| *byte = (at * 31 + at / 977) as u8);
    buf
}

#[derive(Default)]
struct Samples {
    micros: Vec<u64>,
    bytes: usize,
    time: Duration,
}

impl Samples {
    async fn write(
        &mut self,
        disk: &Disk,
        file: &DiskFile,
        offset: usize,
        part: IoPart,
    ) -> io::Result<IoPart> {
        let bytes = part.len();
        let start = Instant::now();
        let (result, mut parts) = disk.write(file, offset as u64, vec![part], Durability::Durable).await;
        self.add(start.elapsed(), bytes);
        result?;
        Ok(parts.pop().expect("the parts come back"))
    }

    fn add(&mut self, time: Duration, bytes: usize) {
        self.micros.push(time.as_micros() as u64);
        self.micros.sort_unstable();
        self.bytes += bytes;
        self.time += time;
    }

    fn at(&self, percent: usize) -> u64 {
        self.micros[(self.micros.len() - 1) * percent / 100]
    }

    fn megabytes_per_second(&self) -> u64 {
        (self.bytes as f64 / self.time.as_secs_f64() / 1e6) as u64
    }

    fn print(&self, bytes: usize, label: &str) {
        let (p50, p90, p99, max) = (self.at(50), self.at(90), self.at(99), self.at(100));
        println!("{:>6} KiB | {label:>22} | {p50:>7} {p90:>7} {p99:>7} {max:>7}", bytes >> 10);
    }
}

const WRITE: OpenOptions = OpenOptions { write: true, create: true, direct: true };
const JOURNAL_BYTES: usize = 256 << 20;
const COMPARE_BYTES: usize = 64 << 20;
const SINGLE_ROUNDS: usize = 200;
const FILL_BYTES: usize = 1 << 30;
