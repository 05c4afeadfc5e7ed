//! The group coordinator as a pure machine: one for each partition of `__consumer_offsets`, on the core that owns it. Requests
//! and time go in; records and answers come out. It never waits and never reads a clock.
//!
//! Behaviour and error codes are those of Kafka 4.3's `GroupCoordinatorService`, `GroupMetadataManager`, `OffsetMetadataManager`
//! `ClassicGroup` and `ConsumerGroup`. Missing, for later work: the share and streams protocols (their records are passed over),
//! offsets of transactions, and moving a group with members from one protocol to another.
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
//! - A group of the consumer protocol is what its records say: it changes when they are staged, and answers leave when they are
//!   durable.
//! - That a group is empty is written, too, but does not depend on it: an older generation that a restart brings back has
//!   members that will not be heard of, and times out.

mod admin;
mod classic;
mod consumer;
mod message;
mod offsets;
mod tally;
mod timers;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::group_records::{ConsumerRecord, GroupRecord};
use slipring_protocol::ids::TimestampMs;

pub use consumer::{
    Assignor, ConsumerBeat, ConsumerHeartbeat, DescribedConsumer, DescribedConsumerGroup, DescribedTopic,
    JOINING, LEAVING, LEAVING_FOR_NOW, NoTopics, Refusal, TopicInfo, Topics,
};
pub use message::{
    Command, Commit, CommitPartition, CommitTopic, DeleteOffsets, DescribedGroup, DescribedMember, Fetch,
    FetchedTopic, Join, JoinReply, JoinedMember, Leave, LeavingMember, List, ListedGroup, MaybeDescribed,
    Member, Reply, RequestId, Sync, SyncReply,
};
pub use tally::{Committed, Tally};

use classic::ClassicGroup;
use consumer::{ConsumerGroup, ConsumerGroups};
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
    /// The consumer protocol.
    pub consumer: ConsumerConfig,
}

/// What of the broker's configuration decides on groups of the consumer protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerConfig {
    /// `group.consumer.session.timeout.ms`.
    pub session_timeout_ms: u64,
    /// `group.consumer.heartbeat.interval.ms`.
    pub heartbeat_interval_ms: i32,
    /// `group.consumer.max.size`, in members.
    pub members_max: usize,
    /// `group.consumer.assignment.interval.ms`.
    pub assignment_interval_ms: u64,
    /// `group.consumer.assignors`, at least one; the first is the default.
    pub assignors: &'static [Assignor],
}

impl Default for ConsumerConfig {
    /// Kafka's defaults.
    fn default() -> Self {
        Self {
            session_timeout_ms: 45_000,
            heartbeat_interval_ms: 5_000,
            members_max: i32::MAX as usize,
            assignment_interval_ms: 1_000,
            assignors: &[Assignor::Uniform, Assignor::Range],
        }
    }
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
            consumer: ConsumerConfig::default(),
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
    groups: Groups,
    consumer: ConsumerGroups,
    offsets: Offsets,
    timers: Timers,
    writes: Writes,
    topics: Arc<dyn Topics>,
}

/// Groups of the classic protocol, and those that only have offsets.
type Groups = BTreeMap<Arc<str>, ClassicGroup>;

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
    topics: &'a Arc<dyn Topics>,
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
            consumer: BTreeMap::new(),
            offsets: Offsets::default(),
            timers: Timers::default(),
            writes: Writes::default(),
            topics: Arc::new(NoTopics),
        }
    }

    /// The cluster's topics are these from now on. Groups heed it at their members' next heartbeats.
    pub fn set_topics(&mut self, topics: Arc<dyn Topics>) {
        self.topics = topics;
    }

    fn split<'a>(
        &'a mut self,
        now: Now,
        log: &'a mut dyn Log,
        out: &'a mut Vec<Answer>,
    ) -> (&'a mut Groups, &'a mut ConsumerGroups, &'a mut Offsets, Turn<'a>) {
        let Self { config, groups, consumer, offsets, timers, writes, topics } = self;
        (groups, consumer, offsets, Turn { now, config, topics, timers, writes, log, out })
    }

    /// Takes over a record of the log; at load only.
    pub fn replay(&mut self, record: GroupRecord) {
        match record {
            GroupRecord::Offset(key, Some(value)) => {
                if !self.consumer.contains_key(&key.group) {
                    self.groups
                        .entry(key.group.clone())
                        .or_insert_with(|| ClassicGroup::new(key.group.clone(), TimestampMs(-1)));
                }
                self.offsets.insert(key, value);
            }
            GroupRecord::Offset(key, None) => _ = self.offsets.remove(&key),
            GroupRecord::Group(group, Some(value)) => {
                self.groups.insert(group.clone(), ClassicGroup::restore(group, value));
            }
            GroupRecord::Group(group, None) => _ = self.groups.remove(&group),
            GroupRecord::Consumer(ConsumerRecord::Epoch(group, None)) => _ = self.consumer.remove(&group),
            GroupRecord::Consumer(record) => {
                let id = record.group().clone();
                if !record.is_tombstone() && !self.consumer.contains_key(&id) {
                    // One that only had offsets, as far as was known.
                    self.groups.remove(&id);
                    self.consumer.insert(id.clone(), ConsumerGroup::new(id.clone()));
                }
                if let Some(group) = self.consumer.get_mut(&id) {
                    group.apply(&record);
                }
            }
            GroupRecord::Opaque { .. } => {}
        }
    }

    /// The log is replayed: members have their session time-out from now to be heard of.
    pub fn loaded(&mut self, now: Now, log: &mut dyn Log, out: &mut Vec<Answer>) {
        let (groups, consumer, _, mut turn) = self.split(now, log, out);
        for group in groups.values_mut() {
            group.loaded(&mut turn);
        }
        consumer.values().for_each(|group| group.loaded(&mut turn));
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
        let (groups, consumer, offsets, mut turn) = self.split(now, log, out);
        match command {
            Command::Join(join) => match consumer::make_way(consumer, &join, &mut turn) {
                Ok(()) => classic::join(groups, from, join, &mut turn),
                Err(error) => turn.reply(from, Reply::Join(JoinReply::failed(&join.member_id, error))),
            },
            Command::Sync(sync) => classic::sync(groups, from, sync, &mut turn),
            Command::Heartbeat(member) => {
                let error = classic::heartbeat(groups, &member, &mut turn);
                turn.reply(from, Reply::Heartbeat(error));
            }
            Command::Leave(leave) => classic::leave(groups, from, leave, &mut turn),
            Command::Commit(commit) => offsets::commit(groups, consumer, offsets, from, &commit, &mut turn),
            Command::Fetch(fetch) => {
                let valid = match (consumer.get(&fetch.group), &fetch.member) {
                    (Some(group), Some((member_id, epoch))) => group.validate_fetch(member_id, *epoch),
                    _ => Ok(()),
                };
                let reply = Reply::Fetch(valid.map(|()| offsets.fetch(&fetch)));
                turn.reply_settled(from, reply);
            }
            Command::DeleteOffsets(delete) => {
                offsets::delete(groups, consumer, offsets, from, &delete, &mut turn);
            }
            Command::Describe(names) => {
                let reply = Reply::Describe(Ok(admin::describe(groups, names)));
                turn.reply_settled(from, reply);
            }
            Command::List(filters) => {
                let reply = Reply::List(Ok(admin::list(groups, consumer, &filters)));
                turn.reply_settled(from, reply);
            }
            Command::DeleteGroups(names) => {
                admin::delete_groups(groups, consumer, offsets, from, names, &mut turn);
            }
            Command::DeleteTopics(topics) => offsets::delete_topics(offsets, from, &topics, &mut turn),
            Command::ConsumerHeartbeat(beat) => {
                consumer::heartbeat(groups, consumer, from, &beat, &mut turn);
            }
            Command::ConsumerDescribe(name) => {
                let described = admin::describe_consumer(groups, consumer, &name, &turn);
                turn.reply_settled(from, Reply::ConsumerDescribe(described));
            }
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
            let (groups, consumer, offsets, mut turn) = self.split(now, log, out);
            match (key, work) {
                (TimerKey::Member(timer, group, member), TimerWork::FenceMember { epoch }) => {
                    consumer::time_out(consumer, timer, &group, &member, epoch, &mut turn);
                }
                (TimerKey::Member(..), _) => {}
                (TimerKey::Expiry, _) => {
                    offsets::expire(groups, consumer, offsets, &mut turn);
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
            let (groups, _, _, mut turn) = self.split(now, log, out);
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
        (self.groups.len() + self.consumer.len(), self.offsets.count())
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
            Self::ConsumerHeartbeat(_) => Self::ConsumerHeartbeat(Err(error.into())),
            Self::ConsumerDescribe(_) => Self::ConsumerDescribe(Err(error.into())),
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
            Self::ConsumerHeartbeat(_) => Reply::ConsumerHeartbeat(Err(error.into())),
            Self::ConsumerDescribe(_) => Reply::ConsumerDescribe(Err(error.into())),
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
