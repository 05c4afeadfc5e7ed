//! How a journal that fills up is relieved: blocks go to their segments, what is less than a block is copied forward into
//! new commits, so that the oldest ones are free. On the store's core; plans are synchronous, commits go on in between.
//!
//! Why it never stays full. `n` logs, a ring of `C` blocks, `R` = [`State::carry_reserve`] = `2n + 3 + C / 16`.
//! - Commits with new data leave `R` free and take at most `5C / 32 + 1`.
//! - Copying forward goes in rounds. A round ends when nothing needs the commits that were there when it began; in one
//!   round a log is copied at most once and takes at most two blocks (a partial block, its descriptor, a header). With what
//!   one such commit may lose where the ring ends, a round fits into `R`.
//! - So after a round at most `2n` blocks are in use, and a commit with new data fits, also when the ring ends before it:
//!   `2n + 2 (5C / 32 + 1) + R <= C` holds from `C = 6.4n + 8` on. [`journal_bytes_for`] asks for more.
//!
//! Only fenced logs can break this, since nothing of them goes to files; the store then gives up loudly instead of waiting
//! for ever.

use std::collections::VecDeque;
use std::ops::Bound;
use std::sync::Arc;

use slipring_protocol::ids::Offset;

use super::{LogId, State, Store};
use crate::error::{IoContext, StorageError};
use crate::limits::{
    BLOCK, CARRY_BYTES_MAX, COMMIT_JOURNAL_BYTES_MAX, WRITE_BACK_STEP_BYTES, WRITE_BACK_STEP_WRITES,
    block_ceil, journal_bytes_for,
};
use crate::log::{BackLog, Log, WriteBack};

/// Logs looked at in one step to relieve the journal.
const PRESSURE_LOGS_MAX: usize = 256;

/// What can make room in a full journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relief {
    /// Something was done or waited for: there may be room now.
    Some,
    /// Logs wait to be copied forward; nothing else is left to do.
    OnlyCarry,
    /// Nothing.
    None,
}

impl Store {
    /// Makes room in a full journal, or finds what would.
    pub(super) async fn relieve(&self) -> Relief {
        if self.make_files().await {
            return Relief::Some;
        }
        let (writes, _) = self.inner.state.borrow_mut().plan_write_back(true);
        if !writes.is_empty() {
            self.write_back_all(writes).await;
            return Relief::Some;
        }
        if std::mem::take(&mut self.inner.state.borrow_mut().flush_urgent) {
            self.flush_now().await;
            return Relief::Some;
        }
        {
            let state = self.inner.state.borrow();
            if !state.carry.is_empty() {
                return Relief::OnlyCarry;
            }
            if !state.files_due.is_empty() {
                return Relief::Some;
            }
            // Deletions are done without a commit: their tasks wait for nothing that is held here.
            let deleting = state.renaming > 0 || !state.deleted.is_empty();
            if !deleting && !state.oldest_is_busy() {
                return Relief::None;
            }
        }
        self.inner.room.next().await;
        Relief::Some
    }

    /// Nothing will ever make room again: whoever waits is to know.
    pub(super) fn give_up_journal(&self) {
        let mut state = self.inner.state.borrow_mut();
        let path = state.journal.file.path().to_path_buf();
        state.fence_all(&Arc::new(StorageError::JournalFull { path }));
        drop(state);
        self.inner.room.notify();
    }

    /// Makes the journal large enough for one log more, counting those that are being opened.
    pub(super) async fn make_journal_fit(&self) -> Result<(), StorageError> {
        let _growing = self.inner.growing.enter().await;
        loop {
            let grows = {
                let mut state = self.inner.state.borrow_mut();
                let logs = state.logs.len() + state.opening;
                state.journal.growth_to(journal_bytes_for(logs))
            };
            let Some((file, from, to)) = grows else { return Ok(()) };
            crate::journal::prewrite(&self.inner.disk, &file, from, to)
                .await
                .context("growing", file.path())?;
            self.inner.state.borrow_mut().journal.ring.grow(to);
        }
    }
}

impl State {
    /// What one commit may put into the journal.
    pub(super) fn journal_bytes_max(&self) -> usize {
        COMMIT_JOURNAL_BYTES_MAX.min(self.journal.ring.capacity() as usize / 8)
    }

    /// What one commit copies forward.
    pub(super) fn carry_bytes_max(&self) -> usize {
        CARRY_BYTES_MAX.min(self.journal.ring.capacity() as usize / 16)
    }

    /// Ring space that only copying forward may use: enough for every log once, see above.
    pub(super) fn carry_reserve(&self) -> u64 {
        (2 * self.logs.len() as u64 + 3) * BLOCK + block_ceil(self.carry_bytes_max() as u64)
    }

    /// Whether the journal is getting short.
    pub(super) fn is_pressed(&self) -> bool {
        self.journal.ring.used() > self.journal.ring.capacity() / 2
    }

    /// Whether only copying forward can give appends room again.
    pub(super) fn needs_carry(&self) -> bool {
        self.is_full() && !self.carry.is_empty()
    }

    /// Picks journaled blocks to write back now, with `force` as if the journal were short. The second value: something was
    /// in the way.
    pub(super) fn plan_write_back(&mut self, force: bool) -> (Vec<(LogId, WriteBack)>, bool) {
        let write_back_bytes = self.config.write_back_bytes;
        let mut writes = Vec::new();
        let mut left = WRITE_BACK_STEP_BYTES;
        let mut blocked = false;
        let mut waiting = Vec::new();
        while left > 0 && writes.len() < WRITE_BACK_STEP_WRITES {
            let Some(id) = self.write_back.pop_front() else { break };
            let Some(log) = self.logs.get_mut(id) else { continue };
            log.write_back_queued = false;
            let is_served = take_write_back(id, log, &mut self.files_due, &mut left, &mut writes);
            blocked |= !is_served;
            // A fenced log gives nothing, however much it has.
            let more = log.fence.is_none() && log.unwritten() >= write_back_bytes;
            if more && !log.write_back_queued {
                log.write_back_queued = true;
                // One that waits for its file would come round in this loop for ever.
                if is_served { self.write_back.push_back(id) } else { waiting.push(id) }
            }
        }
        self.write_back.extend(waiting);
        if force || self.is_pressed() {
            blocked |= self.plan_pressure(&mut left, &mut writes);
        }
        (writes, blocked)
    }

    /// Goes through the logs that hold the oldest commits: writes back their whole blocks; what is less than a block is to
    /// be copied forward, once a round.
    fn plan_pressure(&mut self, left: &mut u64, writes: &mut Vec<(LogId, WriteBack)>) -> bool {
        if self.journal.ring.oldest().sequence > self.carry_round {
            self.carry_round = self.journal.ring.last_written();
        }
        let mut blocked = false;
        let mut cursor = None;
        for _ in 0..PRESSURE_LOGS_MAX {
            let next = match cursor {
                None => self.pin_order.first(),
                Some(last) => self.pin_order.range((Bound::Excluded(last), Bound::Unbounded)).next(),
            };
            let is_due = |next: &(u64, LogId)| {
                *left > 0 && writes.len() < WRITE_BACK_STEP_WRITES && next.0 <= self.carry_round
            };
            let Some((key, id)) = next.copied().filter(is_due) else { break };
            let Some(log) = self.logs.get_mut(id) else {
                self.pin_order.remove(&(key, id));
                continue;
            };
            let first = log.pins.front().map(|pin| pin.sequence);
            if first != Some(key) {
                // Its oldest commit is a later one by now: it is met again in its new place.
                self.pin_order.remove(&(key, id));
                log.pin_key = first;
                self.pin_order.extend(first.map(|first| (first, id)));
                continue;
            }
            cursor = Some((key, id));
            if log.unwritten() > 0 && log.fence.is_none() {
                blocked |= !take_write_back(id, log, &mut self.files_due, left, writes);
            } else if log.is_settled() {
                if !std::mem::replace(&mut log.carry, true) {
                    self.carry.push_back(id);
                }
            } else {
                self.flush_urgent |= log.needs_flush() && !log.is_writing();
            }
        }
        blocked
    }

    /// Whether a log that holds the oldest commits has a write under way.
    fn oldest_is_busy(&self) -> bool {
        let mut oldest = self.pin_order.iter().take(PRESSURE_LOGS_MAX);
        oldest.any(|(_, id)| self.logs.get(*id).is_some_and(|log| log.fence.is_none() && log.is_writing()))
    }
}

/// Takes a write-back of one log; false when its file has to be opened first.
fn take_write_back(
    id: LogId,
    log: &mut Log,
    files_due: &mut VecDeque<(LogId, Offset)>,
    left: &mut u64,
    writes: &mut Vec<(LogId, WriteBack)>,
) -> bool {
    match log.take_write_back((*left).max(BLOCK)) {
        BackLog::Nothing => true,
        BackLog::NeedsFile(base) => {
            files_due.push_back((id, base));
            false
        }
        BackLog::Write(write) => {
            *left = left.saturating_sub(write.to - write.from);
            writes.push((id, write));
            true
        }
    }
}
