//! Measures the shape of this machine's disk for the decisions of `storage`: what a durable write costs into
//! recycled and into freshly allocated blocks, and from which size on N durable writes straight into N files beat
//! one journal write of the same bytes. Takes about ten seconds, writes some 4 GB and holds up to 512 MiB in `DIR`.
//! Run it on an otherwise idle machine.
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
    println!("{LEGEND}");
    println!(
        "      each   N |  direct     p99   MB/s |  synced   MB/s | journal     p99   MB/s | latency |   both    time"
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

/// N files against the journal, interleaved round by round so that all see the same neighbours. What is journaled
/// is written to its files later, not durably, and synced once at the end: `back`.
async fn compare(
    disk: &Disk,
    directory: &Path,
    journal: &DiskFile,
    bytes: usize,
    count: usize,
) -> io::Result<()> {
    let rounds = (COMPARE_BYTES / (bytes * count)).clamp(4, 100);
    let straight = segments(disk, directory, "straight", count, bytes * rounds).await?;
    let later = segments(disk, directory, "later", count, bytes * rounds).await?;
    let synced = segments(disk, directory, "synced", count, bytes * rounds).await?;
    let mut parts: Vec<IoPart> = (0..count).map(|_| filled(bytes).into()).collect();
    let [mut direct, mut together, mut journaled, mut back] = std::array::from_fn(|_| Samples::default());
    let mut journal_offset = 0;
    for round in 0..rounds {
        let offset = (round * bytes) as u64;
        let start = Instant::now();
        parts = write_each(disk, &straight, offset, parts, Durability::Durable).await?;
        direct.add(start.elapsed(), bytes * count);
        let start = Instant::now();
        parts = write_each(disk, &synced, offset, parts, Durability::Volatile).await?;
        disk.sync_many(&synced).await.into_iter().collect::<io::Result<()>>()?;
        together.add(start.elapsed(), bytes * count);
        if journal_offset + bytes * count > JOURNAL_BYTES {
            journal_offset = 0;
        }
        let start = Instant::now();
        let (result, returned) = disk.write(journal, journal_offset as u64, parts, Durability::Durable).await;
        journaled.add(start.elapsed(), bytes * count);
        result?;
        journal_offset += bytes * count;
        let start = Instant::now();
        parts = write_each(disk, &later, offset, returned, Durability::Volatile).await?;
        back.add(start.elapsed(), bytes * count);
    }
    let start = Instant::now();
    for file in &later {
        disk.sync(file).await?;
    }
    back.time += start.elapsed();
    drop((straight, later, synced));
    for entry in disk.list(directory)?.into_iter().filter(|entry| entry.name != "journal") {
        disk.remove_file(&directory.join(entry.name)).await?;
    }
    let twice = journaled.time + back.time;
    println!(
        "{:>6} KiB {count:>3} | {:>7} {:>7} {:>6} | {:>7} {:>6} | {:>7} {:>7} {:>6} | {:>7.2} | {:>6} {:>7.2}",
        bytes >> 10,
        direct.at(50),
        direct.at(99),
        direct.megabytes_per_second(),
        together.at(50),
        together.megabytes_per_second(),
        journaled.at(50),
        journaled.at(99),
        journaled.megabytes_per_second(),
        direct.at(50) as f64 / journaled.at(50) as f64,
        (back.bytes as f64 / twice.as_secs_f64() / 1e6) as u64,
        direct.time.as_secs_f64() / twice.as_secs_f64(),
    );
    Ok(())
}

async fn segments(
    disk: &Disk,
    directory: &Path,
    name: &str,
    count: usize,
    bytes: usize,
) -> io::Result<Vec<DiskFile>> {
    let mut files = Vec::new();
    for index in 0..count {
        let file = disk.open(&directory.join(format!("{name}-{index}")), WRITE).await?;
        disk.allocate(&file, 0, bytes as u64).await?;
        disk.sync(&file).await?;
        files.push(file);
    }
    disk.sync_dir(directory).await?;
    Ok(files)
}

async fn write_each(
    disk: &Disk,
    files: &[DiskFile],
    offset: u64,
    parts: Vec<IoPart>,
    durability: Durability,
) -> io::Result<Vec<IoPart>> {
    let writes = files.iter().zip(parts).map(|(file, part)| WriteRequest {
        file: file.clone(),
        offset,
        parts: vec![part],
        durability,
    });
    let mut returned = Vec::new();
    for (result, parts) in disk.write_many(writes.collect()).await {
        result?;
        returned.extend(parts);
    }
    Ok(returned)
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

/// Filling chunks from fresh and from reused memory, more of it than the caches hold.
fn fill_memory() {
    println!("\nfilling chunks, seconds per GiB (fresh: never touched before; reused: from the pool)");
    let source: Vec<u8> = (0..64 << 10).map(|at| at as u8).collect();
    for class in ChunkClass::ALL {
        let pool = ChunkPool::new(FILL_BYTES);
        for label in ["fresh", "reused"] {
            let start = Instant::now();
            let chunks: Vec<_> = (0..FILL_BYTES / class.bytes())
                .map(|_| {
                    let mut chunk = pool.take(class, 0);
                    while chunk.room() > 0 {
                        chunk.append(&source);
                    }
                    chunk
                })
                .collect();
            let seconds = start.elapsed().as_secs_f64() * (1_u64 << 30) as f64 / FILL_BYTES as f64;
            println!("{:>6} KiB {label:>7} {seconds:>7.3}", class.bytes() >> 10);
            drop(chunks);
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

const LEGEND: &str = "
The same bytes for N allocated files, made durable in different ways; p50 and p99 in microseconds.
direct: N durable writes at once. synced: N plain writes at once, then N syncs at once. journal: one durable write of
all into recycled blocks. latency: p50 of direct / journal. both: the journal and then N plain writes to the files.
time: of direct / both; below 1, direct leaves the device more room.";
const WRITE: OpenOptions = OpenOptions { write: true, create: true, direct: true };
const JOURNAL_BYTES: usize = 256 << 20;
const COMPARE_BYTES: usize = 64 << 20;
const SINGLE_ROUNDS: usize = 200;
const FILL_BYTES: usize = 512 << 20;
