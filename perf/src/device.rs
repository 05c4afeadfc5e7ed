//! What the disk itself takes: durable direct writes (`RWF_DSYNC`) into a file that stands already, as a broker's journal
//! does them, at a pace or one after another. No broker that acknowledges what is on stable storage answers sooner.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use clap::Args;

use crate::error::{Doing, PerfError};
use crate::latency::Latency;
use crate::poll::exact_timers;
use crate::produce::sleep_until;
use crate::report::{Figures, say};

/// How to write.
#[derive(Args, Clone, Debug)]
pub(crate) struct DeviceSpec {
    /// Directory for the file, which is removed at the end.
    #[arg(long, default_value = ".cache/perf")]
    dir: PathBuf,
    /// Writes a second; 0 for one after another.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    rate: u32,
    /// Blocks of 4 KiB of each write.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    blocks: u32,
    /// Seconds that count.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

/// Measures and reports.
///
/// # Errors
/// A file system without direct I/O, or a write that fails.
pub(crate) fn run(spec: &DeviceSpec) -> Result<(), PerfError> {
    fs::create_dir_all(&spec.dir).doing("make the directory")?;
    let path = spec.dir.join("device-probe");
    let measured = measure(&path, spec);
    fs::remove_file(&path).doing("remove the file")?;
    let mut figures = Figures::default();
    measured?.put("write", &mut figures);
    figures.lines().for_each(|line| say(&line));
    Ok(())
}

fn measure(path: &Path, spec: &DeviceSpec) -> Result<Latency, PerfError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).custom_flags(libc::O_DIRECT);
    let file = options.open(path).doing("open a file for direct I/O")?;
    let block = Blocks::new(FILE_STEP);
    for at in (0..FILE_BYTES).step_by(FILE_STEP) {
        write(&file, &block, FILE_STEP, at as u64).doing("fill the file")?;
    }
    file.sync_all().doing("flush the file")?;
    exact_timers();
    let bytes = spec.blocks as usize * BLOCK;
    let mut latency = Latency::new();
    let began = Instant::now();
    let pause = Duration::from_secs(1).checked_div(spec.rate).unwrap_or_default();
    for number in 0_u32.. {
        let due = began + pause * number;
        sleep_until(due, || false);
        let begin = Instant::now();
        if begin - began >= Duration::from_secs(spec.seconds) {
            break;
        }
        let at = (number as usize * bytes) % (FILE_BYTES - bytes) / BLOCK * BLOCK;
        write(&file, &block, bytes, at as u64).doing("write")?;
        latency.record(begin.elapsed());
    }
    Ok(latency)
}

fn write(file: &File, from: &Blocks, bytes: usize, at: u64) -> io::Result<()> {
    let part = libc::iovec { iov_base: from.memory.as_ptr().cast(), iov_len: bytes.min(from.layout.size()) };
    // SAFETY: the one vector points to memory that outlives the call and is at least so long.
    let written = unsafe { libc::pwritev2(file.as_raw_fd(), &raw const part, 1, at as i64, libc::RWF_DSYNC) };
    match usize::try_from(written) {
        Ok(written) if written == part.iov_len => Ok(()),
        Ok(_) => Err(io::Error::from(io::ErrorKind::WriteZero)),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

/// Memory as direct I/O wants it.
struct Blocks {
    memory: NonNull<u8>,
    layout: Layout,
}

impl Blocks {
    fn new(bytes: usize) -> Self {
        let layout = Layout::from_size_align(bytes, BLOCK).expect("a constant size and a power of two");
        // SAFETY: the size is not zero.
        let memory = unsafe { alloc_zeroed(layout) };
        let Some(memory) = NonNull::new(memory) else { std::alloc::handle_alloc_error(layout) };
        Self { memory, layout }
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and nothing uses it any more.
        unsafe { dealloc(self.memory.as_ptr(), self.layout) };
    }
}

const BLOCK: usize = 4096;
const FILE_STEP: usize = 1 << 20;
const FILE_BYTES: usize = 64 << 20;
