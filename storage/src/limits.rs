//! Sizes that the log engine keeps to, each in one place with its reason. Numbers only; used on every core.

use crate::disk::BLOCK_BYTES;

/// Block size as file positions count.
pub const BLOCK: u64 = BLOCK_BYTES as u64;

/// Staged bytes of one log from which a commit writes them straight to the segment instead of through the journal. Below
/// it one journal write for all logs is cheaper than a durable write each; above it writing twice costs more.
pub const DIRECT_SWITCH_BYTES: usize = 128 << 10;

/// Size of a core's journal once it is prewritten.
pub const JOURNAL_BYTES_DEFAULT: u64 = 256 << 20;
/// Ring that a journal needs for so many logs, in bytes: with less, a full journal could stay full for ever (`store/relief.rs`
/// tells why). One that is configured smaller grows to it.
#[must_use]
pub const fn journal_bytes_for(logs: usize) -> u64 {
    (7 * logs as u64 + 16) * BLOCK
}
/// What is prewritten before the first commit, so that a first start is quick.
pub const JOURNAL_FIRST_STEP_BYTES: u64 = 4 << 20;
/// What one background step prewrites.
pub const JOURNAL_STEP_BYTES: u64 = 4 << 20;

/// Upper bound of one journal write: the largest pooled buffer.
pub const COMMIT_JOURNAL_BYTES_MAX: usize = 4 << 20;
/// A commit takes no further log once it holds so much in direct writes.
pub const COMMIT_DIRECT_BYTES_MAX: usize = 32 << 20;
/// What one commit copies forward at most, so that copying never dominates a commit's latency.
pub const CARRY_BYTES_MAX: usize = 256 << 10;

/// Journaled whole blocks of one log from which they are written back without any pressure.
pub const WRITE_BACK_BYTES: u64 = 1 << 20;
/// What one background step writes back at most.
pub const WRITE_BACK_STEP_BYTES: u64 = 8 << 20;
/// Writes of one background step at most.
pub const WRITE_BACK_STEP_WRITES: usize = 32;

/// A log that has written less than this to a segment gets no blocks ahead.
pub const ALLOCATE_FROM_BYTES: u64 = 256 << 10;
/// Smallest step of allocation ahead.
pub const ALLOCATE_STEP_MIN: u64 = 1 << 20;
/// Largest step of allocation ahead.
pub const ALLOCATE_STEP_MAX: u64 = 64 << 20;

/// Budget of a core's tail chunks.
pub const TAIL_BYTES_DEFAULT: usize = 256 << 20;
/// What a core's tails keep while no reader asks for more: small enough to stay warm, large enough for tail readers.
pub const TAIL_KEEP_BYTES_MIN: usize = 32 << 20;
/// How often a core's tails give back a part of what no reader has missed since.
pub const TAIL_RELAX_INTERVAL_MS: u64 = 10_000;
/// Staged and not yet committed bytes of a core from which appends are told to wait.
pub const STAGED_BYTES_MAX: usize = 64 << 20;

/// Segment descriptors a core keeps open at most.
pub const OPEN_FILES_DEFAULT: usize = 4096;
/// Bytes of on-demand loaded indexes a core keeps.
pub const INDEX_CACHE_BYTES_DEFAULT: usize = 32 << 20;

/// Step of a sequential scan in recovery.
pub const SCAN_STEP_BYTES: usize = 1 << 20;
/// Logs in `written` durability are flushed at least this often.
pub const FLUSH_INTERVAL_MS: u64 = 100;
/// Checkpoints of recovery points and log starts are written at most this often.
pub const CHECKPOINT_INTERVAL_MS: u64 = 10_000;

/// A position in a file rounded down to a block.
#[must_use]
pub const fn block_floor(position: u64) -> u64 {
    position - position % BLOCK
}

/// A position in a file rounded up to a block.
#[must_use]
pub const fn block_ceil(position: u64) -> u64 {
    position.next_multiple_of(BLOCK)
}

const _: () = assert!(DIRECT_SWITCH_BYTES.is_multiple_of(BLOCK_BYTES), "direct writes are whole blocks");
const _: () = assert!(
    JOURNAL_FIRST_STEP_BYTES.is_multiple_of(BLOCK) && JOURNAL_STEP_BYTES.is_multiple_of(BLOCK),
    "the journal grows by whole blocks"
);
const _: () = assert!(CARRY_BYTES_MAX < COMMIT_JOURNAL_BYTES_MAX, "copying forward leaves room for new data");
const _: () = assert!(ALLOCATE_STEP_MIN.is_multiple_of(BLOCK) && ALLOCATE_STEP_MAX.is_multiple_of(BLOCK));
