//! A partition on its owner core: the glue between its log and those who wait for it. Lives on one shard only; knows no
//! connections and no wire formats.

pub mod fetch;
pub mod offsets;
pub mod produce;
pub mod records;
pub mod replay;
pub mod sizes;
pub mod table;

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::ids::{LeaderEpoch, Offset, TopicIdPartition};
use slipring_storage::store::LogId;

use self::fetch::FetchPart;
use self::produce::Waiter;
use crate::runtime::mailbox::ShardId;
use crate::runtime::{self, Instant};
use crate::shard::message::Token;

/// One partition that this core owns.
pub struct Partition {
    /// Its identity.
    pub id: TopicIdPartition,
    /// Its topic's name, for log lines and metrics.
    pub topic: Arc<str>,
    /// Which of the shard's stores (data directories) holds it.
    pub store: usize,
    /// Its log there.
    pub log: LogId,
    /// The reign under which this broker leads it.
    pub leader_epoch: LeaderEpoch,
    /// Produces whose records are staged, by last offset.
    waiters: VecDeque<Waiter>,
    /// Fetches that wait for more; each is told once.
    watches: Vec<Rc<Watch>>,
    watches_prune_at: usize,
}

/// A waiting fetch, as one owner core knows it: in the watches of each of its partitions here.
#[derive(Debug)]
pub struct Watch {
    /// Its core.
    pub shard: ShardId,
    /// Its name there.
    pub token: Token,
    /// After this it waits no longer.
    pub until: Instant,
    /// What it wants of this core, so that it can be told with what there is to read instead of asking again.
    pub parts: Vec<FetchPart>,
    /// Its limit over all of them, in bytes.
    pub bytes_max: usize,
    /// It was told; whatever changes now it will see by itself.
    pub told: Cell<bool>,
}

/// Watches of a partition before those that have expired are looked for.
const WATCHES_PRUNE_MIN: usize = 32;

impl Partition {
    /// A partition whose log is open.
    #[must_use]
    pub fn new(
        id: TopicIdPartition,
        topic: Arc<str>,
        store: usize,
        log: LogId,
        leader_epoch: LeaderEpoch,
    ) -> Self {
        Self {
            id,
            topic,
            store,
            log,
            leader_epoch,
            waiters: VecDeque::new(),
            watches: Vec::new(),
            watches_prune_at: WATCHES_PRUNE_MIN,
        }
    }

    /// Adds a produce that waits until `waiter.last_offset` may be acknowledged.
    pub fn wait(&mut self, waiter: Waiter) {
        // A duplicate of a staged batch waits with it, among those that came later.
        let index = self.waiters.partition_point(|other| other.last_offset <= waiter.last_offset);
        self.waiters.insert(index, waiter);
    }

    /// Takes the produces that are answered once everything below `end` may be acknowledged.
    pub fn take_acknowledged(&mut self, end: Offset) -> impl Iterator<Item = Waiter> {
        let count = self.waiters.partition_point(|waiter| waiter.last_offset < end);
        self.waiters.drain(..count)
    }

    /// Takes every waiting produce: the log can't acknowledge any more.
    pub fn take_all_waiters(&mut self) -> impl Iterator<Item = Waiter> {
        self.waiters.drain(..)
    }

    /// Registers a one-shot watch. On a partition that nobody writes to, waiting fetches come and go; those that are
    /// over are dropped whenever their number has doubled.
    pub fn watch(&mut self, watch: Rc<Watch>) {
        if self.watches.len() >= self.watches_prune_at {
            let now = runtime::now();
            self.watches.retain(|watch| watch.until > now && !watch.told.get());
            self.watches_prune_at = WATCHES_PRUNE_MIN.max(2 * self.watches.len());
        }
        self.watches.push(watch);
    }

    /// Takes the watches, to tell them.
    pub fn take_watches(&mut self) -> Vec<Rc<Watch>> {
        std::mem::take(&mut self.watches)
    }

    /// Checks the epoch that a request believes in (KIP-320); -1 asks for no check.
    ///
    /// # Errors
    /// `FENCED_LEADER_EPOCH` when the caller is behind, `UNKNOWN_LEADER_EPOCH` when it is ahead.
    pub fn check_epoch(&self, believed: LeaderEpoch) -> Result<(), ErrorCode> {
        if believed == LeaderEpoch::NONE || believed == self.leader_epoch {
            Ok(())
        } else if believed < self.leader_epoch {
            Err(ErrorCode::FencedLeaderEpoch)
        } else {
            Err(ErrorCode::UnknownLeaderEpoch)
        }
    }
}
