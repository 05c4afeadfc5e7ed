//! One coordinator, a log in memory and a clock that the test moves.

mod classic;
mod consumer;
mod consumer_simulation;
mod offsets;
mod simulation;
mod static_members;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use slipring_protocol::ids::{LeaderEpoch, Offset, PartitionIndex, TopicId};
use uuid::Uuid;

use super::*;

/// A log that takes everything, or refuses everything.
#[derive(Debug, Default)]
pub(super) struct MemoryLog {
    pub(super) writes: Vec<(WriteId, Vec<GroupRecord>)>,
    pub(super) refusal: Option<ErrorCode>,
    /// More in one batch are too many.
    pub(super) records_max: Option<usize>,
    /// Groups whose last record was refused.
    pub(super) unwritten: BTreeSet<Arc<str>>,
}

impl Log for MemoryLog {
    fn append(&mut self, write: WriteId, records: &[GroupRecord]) -> Result<(), ErrorCode> {
        assert!(!records.is_empty(), "nothing is not written");
        assert!(self.writes.last().is_none_or(|(last, _)| last.0 + 1 == write.0), "writes are numbered");
        let groups = records.iter().filter_map(|record| match record {
            GroupRecord::Group(group, _) => Some(group.clone()),
            GroupRecord::Offset(..) | GroupRecord::Consumer(_) | GroupRecord::Opaque { .. } => None,
        });
        match self.refusal {
            Some(_) => self.unwritten.extend(groups),
            None => groups.for_each(|group| _ = self.unwritten.remove(&group)),
        }
        if self.records_max.is_some_and(|records_max| records.len() > records_max) {
            return Err(ErrorCode::RecordListTooLarge);
        }
        match self.refusal {
            Some(error) => Err(error),
            None => {
                self.writes.push((write, records.to_vec()));
                Ok(())
            }
        }
    }
}

/// A coordinator and its world. Writes are durable at once unless `held`.
#[derive(Debug)]
pub(super) struct World {
    pub(super) coordinator: Coordinator,
    pub(super) log: MemoryLog,
    pub(super) now: Now,
    pub(super) held: bool,
    pub(super) answers: BTreeMap<RequestId, Reply>,
    next_request: u64,
}

pub(super) fn name(text: &str) -> Arc<str> {
    text.into()
}

impl World {
    pub(super) fn new(config: GroupConfig) -> Self {
        let mut world = Self {
            coordinator: Coordinator::new(config),
            log: MemoryLog::default(),
            now: Now { wall: TimestampMs(1_000_000), steady_ms: 5_000 },
            held: false,
            answers: BTreeMap::new(),
            next_request: 0,
        };
        world.turn(|coordinator, now, log, out| coordinator.loaded(now, log, out));
        world
    }

    fn turn(&mut self, event: impl FnOnce(&mut Coordinator, Now, &mut dyn Log, &mut Vec<Answer>)) {
        let mut out = Vec::new();
        event(&mut self.coordinator, self.now, &mut self.log, &mut out);
        if !self.held {
            self.flush_into(&mut out);
        }
        self.take(out);
    }

    fn flush_into(&mut self, out: &mut Vec<Answer>) {
        // What becomes durable may bring about more writes.
        let mut durable = WriteId(0);
        while let Some(&(last, _)) = self.log.writes.last()
            && last > durable
        {
            durable = last;
            self.coordinator.durable(last, self.now, &mut self.log, out);
        }
    }

    fn take(&mut self, out: Vec<Answer>) {
        for (to, reply) in out {
            assert!(self.answers.insert(to, reply).is_none(), "{to:?} is answered once");
        }
        self.coordinator.groups.values().for_each(ClassicGroup::check);
        let consumer = &self.coordinator.consumer;
        assert!(consumer.keys().all(|id| !self.coordinator.groups.contains_key(id)), "one protocol each");
    }

    pub(super) fn flush(&mut self) {
        let mut out = Vec::new();
        self.flush_into(&mut out);
        self.take(out);
    }

    pub(super) fn send(&mut self, command: Command) -> RequestId {
        self.next_request += 1;
        let from = RequestId(self.next_request);
        self.turn(|coordinator, now, log, out| coordinator.handle(now, from, command, log, out));
        from
    }

    /// Sends a request that is answered at once.
    pub(super) fn ask(&mut self, command: Command) -> Reply {
        let from = self.send(command);
        self.answers.remove(&from).expect("answered at once")
    }

    /// Time passes, time-out by time-out.
    pub(super) fn pass(&mut self, ms: u64) {
        let end = self.now.steady_ms + ms;
        while let Some(next) = self.coordinator.next_tick_ms().filter(|&next| next <= end) {
            self.advance_to(next.max(self.now.steady_ms));
            self.turn(|coordinator, now, log, out| coordinator.tick(now, log, out));
        }
        self.advance_to(end);
    }

    fn advance_to(&mut self, steady_ms: u64) {
        self.now.wall.0 += (steady_ms - self.now.steady_ms) as i64;
        self.now.steady_ms = steady_ms;
    }

    pub(super) fn joined(&mut self, request: RequestId) -> JoinReply {
        match self.answers.remove(&request) {
            Some(Reply::Join(reply)) => reply,
            other => panic!("no answer to a JoinGroup: {other:?}"),
        }
    }

    pub(super) fn synced(&mut self, request: RequestId) -> SyncReply {
        match self.answers.remove(&request) {
            Some(Reply::Sync(reply)) => reply,
            other => panic!("no answer to a SyncGroup: {other:?}"),
        }
    }

    pub(super) fn heartbeat(&mut self, member: &Member) -> ErrorCode {
        match self.ask(Command::Heartbeat(member.clone())) {
            Reply::Heartbeat(error) => error,
            other => panic!("{other:?}"),
        }
    }

    /// What a coordinator that loads the log anew holds.
    pub(super) fn replayed(&self) -> Coordinator {
        let mut coordinator = Coordinator::new(self.coordinator.config);
        for record in self.log.writes.iter().flat_map(|(_, records)| records) {
            coordinator.replay(record.clone());
        }
        coordinator
    }

    /// A new leader of the partition.
    pub(super) fn restart(&mut self) {
        self.coordinator = self.replayed();
        self.log.writes.clear();
        self.turn(|coordinator, now, log, out| coordinator.loaded(now, log, out));
    }

    /// As [`Self::restart`]; the log goes on.
    pub(super) fn restart_keeping_log(&mut self) {
        let last = self.coordinator.writes.last;
        self.coordinator = self.replayed();
        (self.coordinator.writes.last, self.coordinator.writes.durable) = (last, last);
        self.turn(|coordinator, now, log, out| coordinator.loaded(now, log, out));
    }

    pub(super) fn state(&self, group: &str) -> State {
        self.coordinator.groups[group].state()
    }

    /// A group whose only member has its assignment.
    pub(super) fn stable_group(&mut self, instance_id: Option<&str>) -> Member {
        let join =
            Join { instance_id: instance_id.map(name), requires_known_member_id: false, ..join_request() };
        let request = self.send(Command::Join(join));
        self.pass(3_000);
        let member_id = self.joined(request).member_id;
        let member = Member {
            group: name("g"),
            generation: 1,
            member_id: member_id.clone(),
            instance_id: instance_id.map(name),
        };
        let request = self.send(Command::Sync(sync_request(&member, &[(&member_id, b"all")])));
        assert_eq!(self.synced(request).assignment, Bytes::from_static(b"all"));
        member
    }
}

pub(super) use super::classic::State;

/// A consumer's metadata: version 0, topic `t`.
pub(super) const METADATA: &[u8] = &[0, 0, 0, 0, 0, 1, 0, 1, b't', 0xff, 0xff, 0xff, 0xff];

pub(super) fn join_request() -> Join {
    Join {
        group: name("g"),
        member_id: name(""),
        instance_id: None,
        client_id: name("client"),
        client_host: name("/127.0.0.1"),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: name("consumer"),
        protocols: vec![(name("range"), Bytes::from_static(METADATA))],
        requires_known_member_id: true,
        knows_skip_assignment: true,
        fresh_id: Uuid::from_u128(1),
    }
}

pub(super) fn sync_request(member: &Member, assignments: &[(&str, &'static [u8])]) -> Sync {
    Sync {
        member: member.clone(),
        protocol_type: Some(name("consumer")),
        protocol: Some(name("range")),
        assignments: assignments
            .iter()
            .map(|(member_id, assignment)| (name(member_id), Bytes::from_static(assignment)))
            .collect(),
    }
}

/// Somebody outside the group protocol.
pub(super) fn nobody(group: &str) -> Member {
    Member { group: name(group), generation: -1, member_id: name(""), instance_id: None }
}

pub(super) fn commit_request(member: &Member, topic: &str, partition: i32, offset: i64) -> Commit {
    Commit {
        member: member.clone(),
        knows_group_id_not_found: true,
        retention_ms: None,
        topics: vec![CommitTopic {
            name: name(topic),
            topic_id: TopicId(Uuid::from_u128(9)),
            partitions: vec![CommitPartition {
                index: PartitionIndex(partition),
                offset: Offset(offset),
                leader_epoch: LeaderEpoch(3),
                metadata: Some(name("note")),
            }],
        }],
    }
}
