//! Seeded histories of classic groups: members that join, sync, beat, commit, leave and vanish in any order; writes that become
//! durable late or are refused; leaders of the partition that die and load the log anew. What must hold is checked after every
//! event, and that nobody waits for ever at the end.

use slipring_protocol::group_records::{GroupMetadata, OffsetKey};

use super::*;
use crate::choices::{Choices, seeds};

const GROUPS: [&str; 3] = ["a", "b", "c"];
const PARTITIONS: usize = 6;

/// A client, as far as it knows.
#[derive(Clone, Debug)]
struct Client {
    group: &'static str,
    instance_id: Option<Arc<str>>,
    member_id: Arc<str>,
    generation: i32,
    /// Assignments to send, when it leads.
    to_assign: Vec<(Arc<str>, Bytes)>,
    phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Out,
    Joining,
    Joined,
    Syncing,
    In,
}

#[derive(Clone, Debug)]
enum Asked {
    Join(usize),
    Sync(usize),
    Commit { group: usize, partition: usize, offset: i64, deletions: u64 },
    Fetch { group: usize, floors: Vec<i64> },
    Other,
}

/// What is known of one partition's offset.
#[derive(Clone, Debug)]
struct Committed {
    next: i64,
    acknowledged: i64,
    deletions: u64,
}

#[derive(Debug)]
struct Simulation {
    choices: Choices,
    world: World,
    clients: Vec<Client>,
    asked: BTreeMap<RequestId, Asked>,
    committed: Vec<Vec<Committed>>,
    /// Assignments that members were told, by group and generation.
    told: BTreeMap<(&'static str, i32), BTreeMap<Arc<str>, Bytes>>,
    durable: usize,
    fresh: u128,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut choices = Choices::new(seed);
        let config = GroupConfig {
            members_max: 3 + choices.below(6),
            initial_rebalance_delay_ms: [0, 500, 3_000][choices.below(3)],
            offsets_retention_ms: [600_000, 1 << 40][choices.below(2)],
            expiry_interval_ms: 60_000,
            ..GroupConfig::default()
        };
        let mut world = World::new(config);
        world.held = true;
        let client = |index: usize, choices: &mut Choices| Client {
            group: GROUPS[choices.below(GROUPS.len())],
            instance_id: (choices.below(3) == 0).then(|| name(&format!("i{index}"))),
            member_id: name(""),
            generation: -1,
            to_assign: Vec::new(),
            phase: Phase::Out,
        };
        let clients = (0..9).map(|index| client(index, &mut choices)).collect();
        let nothing = Committed { next: 0, acknowledged: -1, deletions: 0 };
        Self {
            choices,
            world,
            clients,
            asked: BTreeMap::new(),
            committed: vec![vec![nothing; PARTITIONS]; GROUPS.len()],
            told: BTreeMap::new(),
            durable: 0,
            fresh: 0,
        }
    }

    fn step(&mut self) {
        self.world.log.refusal = (self.choices.below(40) == 0).then_some(ErrorCode::NotEnoughReplicas);
        match self.choices.below(100) {
            0..60 => self.client_acts(),
            60..78 => self.some_become_durable(),
            78..90 => {
                let ms = [10, 500, 4_000, 11_000][self.choices.below(4)];
                self.world.pass(ms as u64);
            }
            90..94 => self.fetch(),
            94..97 => self.operator_acts(),
            97..98 => self.crash(),
            _ => self.client_vanishes(),
        }
        self.after_event();
    }

    fn ask(&mut self, command: Command, asked: Asked) {
        let request = self.world.send(command);
        self.asked.insert(request, asked);
    }

    fn client_acts(&mut self) {
        let index = self.choices.below(self.clients.len());
        let client = self.clients[index].clone();
        match client.phase {
            Phase::Out => self.join(index),
            Phase::Joined => self.sync(index),
            // Now and then a client does not wait, or repeats itself.
            Phase::Joining if self.choices.below(20) == 0 => self.join(index),
            Phase::Syncing if self.choices.below(20) == 0 => self.sync(index),
            Phase::Joining | Phase::Syncing => {}
            Phase::In => match self.choices.below(10) {
                0 => self.join(index),
                1 => self.leave(index),
                2..6 => self.commit(index),
                _ => self.beat(index),
            },
        }
    }

    fn join(&mut self, index: usize) {
        self.fresh += 1;
        let metadata = [METADATA, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0]][self.choices.below(8) / 7];
        let mut protocols = vec![(name("range"), Bytes::from_static(metadata))];
        if self.choices.below(2) == 0 {
            protocols.push((name("sticky"), Bytes::from_static(metadata)));
        }
        let client = &mut self.clients[index];
        client.phase = Phase::Joining;
        let join = Join {
            group: name(client.group),
            member_id: client.member_id.clone(),
            instance_id: client.instance_id.clone(),
            requires_known_member_id: index.is_multiple_of(2),
            knows_skip_assignment: !index.is_multiple_of(3),
            rebalance_timeout_ms: 5_000 * (1 + index as i32),
            protocols,
            fresh_id: Uuid::from_u128(self.fresh),
            ..join_request()
        };
        self.ask(Command::Join(join), Asked::Join(index));
    }

    fn member(&self, index: usize) -> Member {
        let client = &self.clients[index];
        Member {
            group: name(client.group),
            generation: client.generation,
            member_id: client.member_id.clone(),
            instance_id: client.instance_id.clone(),
        }
    }

    fn sync(&mut self, index: usize) {
        let member = self.member(index);
        self.clients[index].phase = Phase::Syncing;
        let assignments = self.clients[index].to_assign.clone();
        let sync = Sync { member, protocol_type: None, protocol: None, assignments };
        self.ask(Command::Sync(sync), Asked::Sync(index));
    }

    fn beat(&mut self, index: usize) {
        let member = self.member(index);
        match self.world.heartbeat(&member) {
            ErrorCode::None => {}
            ErrorCode::RebalanceInProgress => self.join(index),
            ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId | ErrorCode::IllegalGeneration => {
                self.forget(index);
            }
            other => panic!("heartbeat: {other:?}"),
        }
    }

    fn forget(&mut self, index: usize) {
        let client = &mut self.clients[index];
        (client.phase, client.member_id, client.generation) = (Phase::Out, name(""), -1);
    }

    fn leave(&mut self, index: usize) {
        let client = &self.clients[index];
        let leaving =
            LeavingMember { member_id: client.member_id.clone(), instance_id: client.instance_id.clone() };
        let leave = Leave { group: name(client.group), members: vec![leaving] };
        self.ask(Command::Leave(leave), Asked::Other);
        self.forget(index);
    }

    fn client_vanishes(&mut self) {
        let index = self.choices.below(self.clients.len());
        self.forget(index);
    }

    fn commit(&mut self, index: usize) {
        let group = GROUPS.iter().position(|group| *group == self.clients[index].group).unwrap();
        let partition = self.choices.below(PARTITIONS);
        let member = self.member(index);
        let committed = &mut self.committed[group][partition];
        let (offset, deletions) = (committed.next, committed.deletions);
        committed.next += 1;
        let commit = commit_request(&member, "t", partition as i32, offset);
        self.ask(Command::Commit(commit), Asked::Commit { group, partition, offset, deletions });
    }

    fn fetch(&mut self) {
        let group = self.choices.below(GROUPS.len());
        let partitions = (0..PARTITIONS as i32).map(PartitionIndex).collect();
        let floors = self.committed[group].iter().map(|committed| committed.acknowledged).collect();
        let fetch =
            Fetch { group: name(GROUPS[group]), member: None, topics: Some(vec![(name("t"), partitions)]) };
        self.ask(Command::Fetch(fetch), Asked::Fetch { group, floors });
    }

    fn operator_acts(&mut self) {
        let group = self.choices.below(GROUPS.len());
        match self.choices.below(3) {
            0 => {
                self.forget_offsets(group);
                self.ask(Command::DeleteGroups(vec![name(GROUPS[group])]), Asked::Other);
            }
            1 => {
                self.forget_offsets(group);
                let partitions = (0..PARTITIONS as i32).map(PartitionIndex).collect();
                let delete =
                    DeleteOffsets { group: name(GROUPS[group]), topics: vec![(name("t"), partitions)] };
                self.ask(Command::DeleteOffsets(delete), Asked::Other);
            }
            _ => self.ask(Command::Describe(GROUPS.map(name).to_vec()), Asked::Other),
        }
    }

    /// The offsets may be deleted from now on.
    fn forget_offsets(&mut self, group: usize) {
        for committed in &mut self.committed[group] {
            committed.acknowledged = -1;
            committed.deletions += 1;
        }
    }

    fn some_become_durable(&mut self) {
        let left = self.world.log.writes.len() - self.durable;
        if left == 0 {
            return;
        }
        self.durable += 1 + self.choices.below(left);
        let (up_to, _) = self.world.log.writes[self.durable - 1];
        self.world.turn(|coordinator, now, log, out| coordinator.durable(up_to, now, log, out));
    }

    /// The partition's leader dies with what is not durable, and another one loads what is.
    fn crash(&mut self) {
        self.world.log.refusal = None;
        self.world.log.writes.truncate(self.durable);
        let mut next = self.world.replayed();
        let last = self.world.log.writes.last().map_or(WriteId(0), |(last, _)| *last);
        (next.writes.last, next.writes.durable) = (last, last);
        let mut out = Vec::new();
        std::mem::replace(&mut self.world.coordinator, next).unload(ErrorCode::NotCoordinator, &mut out);
        self.world.take(out);
        self.world.turn(|coordinator, now, log, out| coordinator.loaded(now, log, out));
        self.take_answers();
        assert!(self.asked.is_empty(), "everybody is told: {:?}", self.asked);
        self.world.log.unwritten.clear();
        for group in GROUPS {
            self.check_told_after_crash(group);
        }
    }

    /// What members were told as their assignment is what the log says, or the group has gone on since.
    fn check_told_after_crash(&mut self, group: &'static str) {
        let live = self.world.coordinator.groups.get(group);
        let generation = live.map_or(0, ClassicGroup::generation);
        if let Some(live) = live.filter(|live| live.state() == State::Stable) {
            let told = self.told.get(&(group, generation)).cloned().unwrap_or_default();
            for member in live.describe().members {
                let before = told.get(&member.member_id).cloned().unwrap_or(member.assignment.clone());
                assert_eq!(before, member.assignment, "{group} {generation} {}", member.member_id);
            }
        }
        if live.is_some() {
            let lost = self.told.keys().any(|(other, later)| *other == group && *later > generation);
            assert!(!lost, "an assignment that members were told is durable");
        }
        self.told.retain(|(other, _), _| *other != group);
    }

    fn after_event(&mut self) {
        self.take_answers();
        for group in GROUPS {
            if !self.world.coordinator.groups.contains_key(group) {
                self.told.retain(|(other, _), _| *other != group);
            }
        }
        self.check_timers();
        if self.durable == self.world.log.writes.len() {
            self.check_replay();
        }
    }

    fn take_answers(&mut self) {
        for (request, reply) in std::mem::take(&mut self.world.answers) {
            match (self.asked.remove(&request).expect("asked"), reply) {
                (Asked::Join(index), Reply::Join(reply)) => self.take_join(index, reply),
                (Asked::Sync(index), Reply::Sync(reply)) => self.take_sync(index, reply),
                (Asked::Commit { group, partition, offset, deletions }, Reply::Commit(reply)) => {
                    let committed = &mut self.committed[group][partition];
                    if reply.is_ok() && committed.deletions == deletions {
                        committed.acknowledged = committed.acknowledged.max(offset);
                    }
                }
                (Asked::Fetch { group, floors }, Reply::Fetch(Ok(topics))) => {
                    let retained = self.world.coordinator.config.offsets_retention_ms > 600_000;
                    for ((_, offset), floor) in topics[0].partitions.iter().zip(&floors) {
                        let offset = offset.as_ref().map_or(-1, |offset| offset.offset.0);
                        assert!(
                            offset >= *floor || !retained && offset == -1,
                            "{group}: {offset} after {floor}"
                        );
                    }
                }
                (Asked::Other | Asked::Fetch { .. }, _) => {}
                (asked, reply) => panic!("{asked:?} was answered {reply:?}"),
            }
        }
    }

    fn take_join(&mut self, index: usize, reply: JoinReply) {
        let client = &mut self.clients[index];
        if client.phase != Phase::Joining {
            return;
        }
        match reply.error {
            ErrorCode::None => {
                client.phase = Phase::Joined;
                (client.member_id, client.generation) = (reply.member_id, reply.generation);
                let ids: Vec<Arc<str>> =
                    reply.members.iter().map(|member| member.member_id.clone()).collect();
                let part =
                    |place| (place..PARTITIONS).step_by(ids.len()).map(|partition| partition as u8).collect();
                client.to_assign =
                    ids.iter().enumerate().map(|(place, id)| (id.clone(), part(place))).collect();
            }
            ErrorCode::MemberIdRequired => {
                client.member_id = reply.member_id;
                client.phase = Phase::Out;
            }
            _ => self.forget(index),
        }
    }

    fn take_sync(&mut self, index: usize, reply: SyncReply) {
        let client = &mut self.clients[index];
        if client.phase != Phase::Syncing {
            return;
        }
        if reply.error != ErrorCode::None {
            return match reply.error {
                ErrorCode::RebalanceInProgress => client.phase = Phase::Out,
                _ => self.forget(index),
            };
        }
        client.phase = Phase::In;
        let told = self.told.entry((client.group, client.generation)).or_default();
        let of_others =
            told.iter().filter(|(id, _)| **id != client.member_id).flat_map(|(_, part)| part.clone());
        let is_static = client.instance_id.is_some();
        for partition in of_others {
            assert!(is_static || !reply.assignment.contains(&partition), "one partition, one member");
        }
        let before = told.insert(client.member_id.clone(), reply.assignment.clone());
        assert!(before.is_none_or(|before| before == reply.assignment), "one generation, one assignment");
    }

    /// Whatever can go on only by time has a time-out.
    fn check_timers(&self) {
        let Coordinator { groups, timers, .. } = &self.world.coordinator;
        for (id, group) in groups {
            let (joins, syncs) = (TimerKey::Join(id.clone()), TimerKey::Sync(id.clone()));
            match group.state() {
                State::PreparingRebalance => assert!(timers.has(&joins), "{id} ends its join phase"),
                State::CompletingRebalance => {
                    assert!(timers.has(&syncs) || group.all_synced(), "{id} ends its syncs")
                }
                State::Empty | State::Stable => {}
            }
            for member in group.who_must_show_life() {
                assert!(
                    timers.has(&TimerKey::Session(id.clone(), member.clone())),
                    "{id} {member} can be lost"
                );
            }
        }
    }

    /// What is durable tells the same of everything that does not live in memory only.
    fn check_replay(&self) {
        let (live, replayed) = (&self.world.coordinator, self.world.replayed());
        assert_eq!(live.offsets, replayed.offsets);
        assert!(live.groups.keys().eq(replayed.groups.keys()), "the same groups");
        for (id, group) in &live.groups {
            let is_written = matches!(group.state(), State::Stable | State::Empty)
                && !self.world.log.unwritten.contains(id);
            if is_written {
                assert_eq!(stored(group), stored(&replayed.groups[id]), "{id} is as it was written");
            }
        }
    }

    /// Everybody is given time; nobody still waits then.
    fn settle(&mut self) {
        self.world.log.refusal = None;
        for _ in 0..400 {
            self.durable = self.world.log.writes.len();
            self.world.flush();
            self.after_event();
            self.world.pass(5_000);
            self.after_event();
        }
        assert!(self.asked.is_empty(), "nobody waits for ever: {:?}", self.asked);
        self.durable = self.world.log.writes.len();
        self.world.flush();
        self.after_event();
    }
}

fn stored(group: &ClassicGroup) -> GroupMetadata {
    GroupMetadata { state_since: TimestampMs(0), ..group.stored() }
}

#[test]
fn random_histories_keep_what_must_hold() {
    for seed in 0..seeds(120) {
        let mut simulation = Simulation::new(seed);
        for _ in 0..400 {
            simulation.step();
        }
        simulation.settle();
    }
}

#[test]
fn a_hundred_thousand_records_are_loaded_at_once() {
    let mut coordinator = Coordinator::new(GroupConfig::default());
    let value = |offset| slipring_protocol::group_records::CommittedOffset {
        offset: Offset(offset),
        leader_epoch: LeaderEpoch(1),
        metadata: name(""),
        committed_at: TimestampMs(1),
        expires_at: None,
        topic_id: TopicId::NONE,
    };
    for record in 0..100_000 {
        let key = OffsetKey {
            group: name(&format!("group-{}", record % 500)),
            topic: name("t"),
            partition: PartitionIndex(record / 500 % 40),
        };
        coordinator.replay(GroupRecord::Offset(key, Some(value(i64::from(record)))));
    }
    assert_eq!(coordinator.counts(), (500, 20_000));
}
