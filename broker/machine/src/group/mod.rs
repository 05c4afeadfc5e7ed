//! The group coordinator as a pure machine: one for each partition of `__consumer_offsets`, on the core that owns it. Requests
//! and time go in; records and answers come out. It never waits and never reads a clock.
//!
//! Behaviour and error codes are those of Kafka 4.3's `GroupCoordinatorService`, `GroupMetadataManager`, `OffsetMetadataManager`
//! and `ClassicGroup`. Missing, for later work: the consumer, share and streams protocols (their records are passed over),
//! offsets of transactions.
//!
//! # When what takes effect
//!
//! The host's [`Log`] stages records at once or refuses them at once; later it tells that they are durable
//! ([`Coordinator::durable`]), in order, or that the log is lost, whereupon the machine is dropped after
//! [`Coordinator::unload`] and loaded anew from what is durable. So there is nothing to rewind after the fact:
//!
//! - Offsets and deletions take effect when their records are staged, so that the next request is decided on them; a refusal
//!   changes nothing. Their answers leave when the records are durable.
//! - Answers that show offsets or groups (OffsetFetch, DescribeGroups, ListGroups) wait until everything staged before them is
//!   durable: nothing is shown that a crash could take back. Kafka reads an older snapshot instead.
//! - Members, generations and who waits for what are in memory only, as in Kafka. What is written of a group is written at three
//!   points. A new group: an empty record first; refused, there is no group. A leader's assignment: it takes effect when
//!   durable, if the group has not moved on by then; refused, the group rebalances. A static member that comes back to a stable
//!   group: decided on a copy, which replaces the group when the record is staged.
//! - That a group is empty is written, too, but does not depend on it: an older generation that a restart brings back has
//!   members that will not be heard of, and times out.

mod admin;
mod classic;
mod message;
mod offsets;
mod tally;
mod timers;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::group_records::GroupRecord;
use slipring_protocol::ids::TimestampMs;

pub use message::{
    Command, Commit, CommitPartition, CommitTopic, DeleteOffsets, DescribedGroup, DescribedMember, Fetch,
    FetchedTopic, Join, JoinReply, JoinedMember, Leave, LeavingMember, List, ListedGroup, MaybeDescribed,
    Member, Reply, RequestId, Sync, SyncReply,
};
pub use tally::{Committed, Tally};

use classic::ClassicGroup;
use offsets::Offsets;
use timers::{TimerKey, TimerWork, Timers};

/// What of the broker's configuration the coordinator decides by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupConfig {
    /// `group.initial.rebalance.delay.ms`.
    pub initial_rebalance_delay_ms: u64,
    /// `group.min.session.timeout.ms`.
    pub session_timeout_ms_min: i32,
    /// `group.max.session.timeout.ms`.
    pub session_timeout_ms_max: i32,
    /// `group.max.size`, in members.
    pub members_max: usize,
    /// `offset.metadata.max.bytes`; Kafka counts UTF-16 units.
    pub offset_metadata_max: usize,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`.
    pub expiry_interval_ms: u64,
}

impl Default for GroupConfig {
    /// Kafka's defaults.
    fn default() -> Self {
        Self {
            initial_rebalance_delay_ms: 3_000,
            session_timeout_ms_min: 6_000,
            session_timeout_ms_max: 1_800_000,
            members_max: i32::MAX as usize,
            offset_metadata_max: 4_096,
            offsets_retention_ms: 10_080 * 60_000,
            expiry_interval_ms: 600_000,
        }
    }
}

/// Number of an append, ascending from 1 in the order of appending.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct WriteId(pub u64);

/// The partition as the machine sees it.
pub trait Log {
    /// Stages records as one batch, to be durable together and after everything staged before.
    ///
    /// # Errors
    /// The reason why not; then nothing was staged.
    fn append(&mut self, write: WriteId, records: &[GroupRecord]) -> Result<(), ErrorCode>;
}

/// The time of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// What the records say.
    pub wall: TimestampMs,
    /// Milliseconds of a clock that never jumps: time-outs.
    pub steady_ms: u64,
}

/// An answer, and whose.
pub type Answer = (RequestId, Reply);

/// The groups of one partition of `__consumer_offsets`.
#[derive(Clone, Debug)]
pub struct Coordinator {
    config: GroupConfig,
    groups: BTreeMap<Arc<str>, ClassicGroup>,
    offsets: Offsets,
    timers: Timers,
    writes: Writes,
}

/// What was staged and who waits for it.
#[derive(Clone, Debug, Default)]
struct Writes {
    last: WriteId,
    durable: WriteId,
    /// By write, ascending.
    parked: VecDeque<(WriteId, Parked)>,
    /// Rebalances of classic groups whose assignment became durable since the last tally.
    rebalances: u64,
}

/// What waits for a write to become durable.
#[derive(Clone, Debug)]
enum Parked {
    Answer(RequestId, Reply),
    /// The assignment of a group's leader.
    Assignment(Arc<str>, BTreeMap<Arc<str>, bytes::Bytes>),
    /// A static member that came back to a stable group.
    StaticRejoin(Arc<str>, classic::StaticRejoin),
}

/// Everything that an event may touch besides groups and offsets.
struct Turn<'a> {
    now: Now,
    config: &'a GroupConfig,
    timers: &'a mut Timers,
    writes: &'a mut Writes,
    log: &'a mut dyn Log,
    out: &'a mut Vec<Answer>,
}

impl Turn<'_> {
    fn append(&mut self, records: &[GroupRecord]) -> Result<WriteId, ErrorCode> {
        let write = WriteId(self.writes.last.0 + 1);
        self.log.append(write, records)?;
        self.writes.last = write;
        Ok(write)
    }

    fn reply(&mut self, to: RequestId, reply: Reply) {
        self.out.push((to, reply));
    }

    /// Replies once everything staged so far is durable.
    fn reply_settled(&mut self, to: RequestId, reply: Reply) {
        let last = self.writes.last;
        if last <= self.writes.durable {
            self.reply(to, reply);
        } else {
            self.park(last, Parked::Answer(to, reply));
        }
    }

    fn park(&mut self, write: WriteId, parked: Parked) {
        assert!(
            self.writes.parked.back().is_none_or(|(last, _)| *last <= write),
            "writes are parked in order"
        );
        self.writes.parked.push_back((write, parked));
    }

    fn schedule(&mut self, key: TimerKey, after_ms: u64, work: TimerWork) {
        self.timers.set(key, self.now.steady_ms.saturating_add(after_ms), work);
    }
}

impl Coordinator {
    /// A coordinator without groups. Records are to be replayed, then [`Self::loaded`] called.
    #[must_use]
    pub fn new(config: GroupConfig) -> Self {
        Self {
            config,
            groups: BTreeMap::new(),
            offsets: Offsets::default(),
            timers: Timers::default(),
            writes: Writes::default(),
        }
    }

    fn split<'a>(
        &'a mut self,
        now: Now,
        log: &'a mut dyn Log,
        out: &'a mut Vec<Answer>,
    ) -> (&'a mut BTreeMap<Arc<str>, ClassicGroup>, &'a mut Offsets, Turn<'a>) {
        let Self { config, groups, offsets, timers, writes } = self;
        (groups, offsets, Turn { now, config, timers, writes, log, out })
    }

    /// Takes over a record of the log; at load only.
    pub fn replay(&mut self, record: GroupRecord) {
        match record {
            GroupRecord::Offset(key, Some(value)) => {
                self.groups
                    .entry(key.group.clone())
                    .or_insert_with(|| ClassicGroup::new(key.group.clone(), TimestampMs(-1)));
                self.offsets.insert(key, value);
            }
            GroupRecord::Offset(key, None) => _ = self.offsets.remove(&key),
            GroupRecord::Group(group, Some(value)) => {
                self.groups.insert(group.clone(), ClassicGroup::restore(group, value));
            }
            GroupRecord::Group(group, None) => _ = self.groups.remove(&group),
            GroupRecord::Opaque { .. } => {}
        }
    }

    /// The log is replayed: members have their session time-out from now to be heard of.
    pub fn loaded(&mut self, now: Now, log: &mut dyn Log, out: &mut Vec<Answer>) {
        let (groups, _, mut turn) = self.split(now, log, out);
        for group in groups.values_mut() {
            group.loaded(&mut turn);
        }
        let interval = turn.config.expiry_interval_ms;
        turn.schedule(TimerKey::Expiry, interval, TimerWork::Expire);
    }

    /// Decides a request.
    pub fn handle(
        &mut self,
        now: Now,
        from: RequestId,
        command: Command,
        log: &mut dyn Log,
        out: &mut Vec<Answer>,
    ) {
        let (groups, offsets, mut turn) = self.split(now, log, out);
        match command {
            Command::Join(join) => classic::join(groups, from, join, &mut turn),
            Command::Sync(sync) => classic::sync(groups, from, sync, &mut turn),
            Command::Heartbeat(member) => {
                let error = classic::heartbeat(groups, &member, &mut turn);
                turn.reply(from, Reply::Heartbeat(error));
            }
            Command::Leave(leave) => classic::leave(groups, from, leave, &mut turn),
            Command::Commit(commit) => offsets::commit(groups, offsets, from, &commit, &mut turn),
            Command::Fetch(fetch) => {
                let reply = Reply::Fetch(Ok(offsets.fetch(&fetch)));
                turn.reply_settled(from, reply);
            }
            Command::DeleteOffsets(delete) => offsets::delete(groups, offsets, from, &delete, &mut turn),
            Command::Describe(names) => {
                let reply = Reply::Describe(Ok(admin::describe(groups, names)));
                turn.reply_settled(from, reply);
            }
            Command::List(filters) => {
                let reply = Reply::List(Ok(admin::list(groups, &filters)));
                turn.reply_settled(from, reply);
            }
            Command::DeleteGroups(names) => admin::delete_groups(groups, offsets, from, names, &mut turn),
            Command::DeleteTopics(topics) => offsets::delete_topics(offsets, from, &topics, &mut turn),
        }
    }

    /// When [`Self::tick`] is to be called next, in milliseconds of the steady clock.
    #[must_use]
    pub fn next_tick_ms(&self) -> Option<u64> {
        self.timers.next_ms()
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Now, log: &mut dyn Log, out: &mut Vec<Answer>) {
        while let Some((key, work)) = self.timers.take_due(now.steady_ms) {
            let (groups, offsets, mut turn) = self.split(now, log, out);
            match (key, work) {
                (TimerKey::Expiry, _) => {
                    offsets::expire(groups, offsets, &mut turn);
                    let interval = turn.config.expiry_interval_ms.max(1);
                    turn.schedule(TimerKey::Expiry, interval, TimerWork::Expire);
                }
                (TimerKey::Session(group, member), _) => {
                    if let Some(group) = groups.get_mut(&group) {
                        group.end_session(&member, &mut turn);
                    }
                }
                (TimerKey::Join(group) | TimerKey::Sync(group), work) => {
                    if let Some(group) = groups.get_mut(&group) {
                        group.phase_over(work, &mut turn);
                    }
                }
            }
        }
    }

    /// Everything up to a write is durable.
    pub fn durable(&mut self, up_to: WriteId, now: Now, log: &mut dyn Log, out: &mut Vec<Answer>) {
        self.writes.durable = self.writes.durable.max(up_to);
        while self.writes.parked.front().is_some_and(|(write, _)| *write <= up_to) {
            let Some((write, parked)) = self.writes.parked.pop_front() else { break };
            let (groups, _, mut turn) = self.split(now, log, out);
            match parked {
                Parked::Answer(to, reply) => turn.reply(to, reply),
                Parked::Assignment(group, assignment) => {
                    if let Some(group) = groups.get_mut(&group) {
                        group.assignment_durable(write, &assignment, &mut turn);
                    }
                }
                Parked::StaticRejoin(group, rejoin) => {
                    if let Some(group) = groups.get_mut(&group) {
                        group.static_rejoin_durable(&rejoin, &mut turn);
                    }
                }
            }
        }
    }

    /// The partition is led elsewhere or its log is lost: whoever waits is told `error`, `NOT_COORDINATOR` as a rule. The machine
    /// is of no more use.
    pub fn unload(mut self, error: ErrorCode, out: &mut Vec<Answer>) {
        for (_, parked) in self.writes.parked.drain(..) {
            if let Parked::Answer(to, reply) = parked {
                out.push((to, reply.into_failure(error)));
            }
        }
        for group in self.groups.values_mut() {
            group.fail_all(error, out);
        }
    }

    /// Groups and committed offsets, for gauges.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.groups.len(), self.offsets.count())
    }
}

impl Reply {
    /// The answer that says instead that the request failed as a whole.
    fn into_failure(self, error: ErrorCode) -> Self {
        match self {
            Self::Join(reply) => Self::Join(JoinReply::failed(&reply.member_id, error)),
            Self::Sync(_) => Self::Sync(SyncReply::failed(error)),
            Self::Heartbeat(_) => Self::Heartbeat(error),
            Self::Leave(_) => Self::Leave(Err(error)),
            Self::Commit(_) => Self::Commit(Err(error)),
            Self::Fetch(_) => Self::Fetch(Err(error)),
            Self::DeleteOffsets(_) => Self::DeleteOffsets(Err(error)),
            Self::Describe(_) => Self::Describe(Err(error)),
            Self::List(_) => Self::List(Err(error)),
            Self::DeleteGroups(_) => Self::DeleteGroups(Err(error)),
            Self::DeleteTopics(_) => Self::DeleteTopics(error),
        }
    }
}

impl Command {
    /// The answer that says that the request failed as a whole: for a host without a coordinator to ask.
    #[must_use]
    pub fn failure(&self, error: ErrorCode) -> Reply {
        match self {
            Self::Join(join) => Reply::Join(JoinReply::failed(&join.member_id, error)),
            Self::Sync(_) => Reply::Sync(SyncReply::failed(error)),
            // A member must not lose its place because its coordinator is still loading.
            Self::Heartbeat(_) if error == ErrorCode::CoordinatorLoadInProgress => {
                Reply::Heartbeat(ErrorCode::None)
            }
            Self::Heartbeat(_) => Reply::Heartbeat(error),
            Self::Leave(_) => Reply::Leave(Err(error)),
            Self::Commit(_) => Reply::Commit(Err(error)),
            Self::Fetch(_) => Reply::Fetch(Err(error)),
            Self::DeleteOffsets(_) => Reply::DeleteOffsets(Err(error)),
            Self::Describe(_) => Reply::Describe(Err(error)),
            Self::List(_) => Reply::List(Err(error)),
            Self::DeleteGroups(_) => Reply::DeleteGroups(Err(error)),
            Self::DeleteTopics(_) => Reply::DeleteTopics(error),
        }
    }
}

/// What a client hears when records could not be written (Kafka's `CoordinatorOperationExceptionHelper`).
fn write_error(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::UnknownTopicOrPartition | ErrorCode::NotEnoughReplicas | ErrorCode::RequestTimedOut => {
            ErrorCode::CoordinatorNotAvailable
        }
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge | ErrorCode::InvalidFetchSize => {
            ErrorCode::UnknownServerError
        }
        error => error,
    }
}
