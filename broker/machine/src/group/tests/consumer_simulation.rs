//! Seeded histories of groups of the consumer protocol: members that join, stay, give up late, leave, vanish and come back; topics
//! that come and grow; writes that become durable late or are refused; crashes. After every event a partition has one holder at
//! most, epochs never go back, and the records give the same groups again. In the end every group settles.

use slipring_protocol::group_records::Partitions;

use super::consumer::{Cluster, joining, staying, topic_id};
use super::*;
use crate::choices::{Choices, seeds};
use crate::group::{ConsumerBeat, ConsumerHeartbeat, LEAVING, LEAVING_FOR_NOW, Refusal};

const GROUPS: [&str; 2] = ["a", "b"];
const TOPICS: [&str; 3] = ["t", "u", "v"];

/// A client, as far as it knows.
#[derive(Clone, Debug)]
struct Client {
    group: &'static str,
    instance_id: Option<Arc<str>>,
    member_id: Arc<str>,
    epoch: i32,
    is_in: bool,
    /// What it owns, and what it has been told to own.
    owned: Partitions,
    told: Partitions,
    asked: Option<RequestId>,
    incarnation: u32,
}

struct Simulation {
    choices: Choices,
    world: World,
    cluster: Cluster,
    clients: Vec<Client>,
    epochs: BTreeMap<String, i32>,
    committed: BTreeMap<(usize, i32), i64>,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut choices = Choices::new(seed);
        let mut world = World::new(GroupConfig::default());
        world.held = true;
        let client = |index: usize| Client {
            group: GROUPS[choices.below(GROUPS.len())],
            instance_id: choices.one_in(3).then(|| name(&format!("i{index}"))),
            member_id: name(&format!("m{index}-0")),
            epoch: 0,
            is_in: false,
            owned: Partitions::new(),
            told: Partitions::new(),
            asked: None,
            incarnation: 0,
        };
        let clients = (0..7).map(client).collect();
        let cluster = Cluster { version: 1, topics: [(name("t"), 3)].into() };
        let (epochs, committed) = (BTreeMap::new(), BTreeMap::new());
        let mut simulation = Self { choices, world, cluster, clients, epochs, committed };
        simulation.show_cluster();
        simulation
    }

    fn show_cluster(&mut self) {
        self.world.coordinator.set_topics(Arc::new(self.cluster.clone()));
    }

    fn step(&mut self) {
        self.world.log.refusal = self.choices.one_in(40).then_some(ErrorCode::NotEnoughReplicas);
        match self.choices.below(100) {
            0..70 => self.client_acts(),
            70..84 => {
                let ms = [10, 500, 4_000, 11_000, 46_000][self.choices.below(5)];
                self.world.pass(ms);
            }
            84..92 => self.world.flush(),
            92..96 => {
                let topic = name(TOPICS[self.choices.below(TOPICS.len())]);
                *self.cluster.topics.entry(topic).or_default() += 1;
                self.cluster.version += 1;
                self.show_cluster();
            }
            96..97 => {
                self.world.flush();
                self.world.restart_keeping_log();
                self.show_cluster();
            }
            _ => {
                let index = self.choices.below(self.clients.len());
                self.vanish(index);
            }
        }
        self.after_event();
    }

    fn client_acts(&mut self) {
        let index = self.choices.below(self.clients.len());
        if self.clients[index].asked.is_some() {
            return;
        }
        if !self.clients[index].is_in {
            return self.join(index);
        }
        match self.choices.below(20) {
            0 => self.leave(index),
            1..4 => self.commit(index),
            _ => self.beat(index),
        }
    }

    fn send(&mut self, index: usize, beat: ConsumerHeartbeat) {
        let client = &self.clients[index];
        let beat =
            ConsumerHeartbeat { group: name(client.group), instance_id: client.instance_id.clone(), ..beat };
        let request = self.world.send(Command::ConsumerHeartbeat(Box::new(beat)));
        self.clients[index].asked = Some(request);
    }

    fn join(&mut self, index: usize) {
        let mut topics: Vec<Arc<str>> = TOPICS.iter().map(|topic| name(topic)).collect();
        topics.retain(|_| self.choices.below(3) > 0);
        let regex = self.choices.one_in(4).then(|| name(["t|u", ".*", "x"][self.choices.below(3)]));
        let assignor = self.choices.one_in(4).then(|| name(["range", "uniform"][self.choices.below(2)]));
        let client = &mut self.clients[index];
        (client.owned, client.told) = (Partitions::new(), Partitions::new());
        let rebalance_timeout_ms = Some(10_000);
        let topics = Some(topics.into_iter().collect());
        let beat = joining(&client.member_id.clone());
        self.send(index, ConsumerHeartbeat { topics, regex, assignor, rebalance_timeout_ms, ..beat });
    }

    fn beat(&mut self, index: usize) {
        let gives_up = !self.choices.one_in(5);
        let resubscribes = self.choices.one_in(12);
        let full = self.choices.one_in(8);
        let client = &mut self.clients[index];
        if gives_up {
            client.owned = client.told.clone();
        }
        let mut beat = staying(&client.member_id, client.epoch);
        if gives_up || full {
            beat.owned = Some(client.owned.clone());
        }
        if resubscribes {
            beat.topics = Some([name(TOPICS[self.choices.below(TOPICS.len())])].into());
        }
        self.send(index, beat);
    }

    fn leave(&mut self, index: usize) {
        let is_static = self.clients[index].instance_id.is_some();
        let epoch = if is_static && self.choices.below(3) > 0 { LEAVING_FOR_NOW } else { LEAVING };
        let beat = staying(&self.clients[index].member_id, epoch);
        self.send(index, beat);
        self.vanish(index);
    }

    /// The process is gone; the next one is another member.
    fn vanish(&mut self, index: usize) {
        let client = &mut self.clients[index];
        client.incarnation += 1;
        client.member_id = name(&format!("m{index}-{}", client.incarnation));
        (client.is_in, client.epoch, client.asked) = (false, 0, None);
        (client.owned, client.told) = (Partitions::new(), Partitions::new());
    }

    fn commit(&mut self, index: usize) {
        let client = self.clients[index].clone();
        let Some(partition) = client.owned.get(&topic_id("t")).and_then(|own| own.first().copied()) else {
            return;
        };
        let group = GROUPS.iter().position(|group| *group == client.group).unwrap();
        let key = (group, partition.0);
        let next = self.committed.get(&key).copied().unwrap_or(0) + 1;
        let member = Member {
            group: name(client.group),
            generation: client.epoch,
            member_id: client.member_id.clone(),
            instance_id: None,
        };
        let mut commit = commit_request(&member, "t", partition.0, next);
        commit.topics[0].topic_id = topic_id("t");
        let request = self.world.send(Command::Commit(commit));
        self.world.flush();
        match self.world.answers.remove(&request) {
            Some(Reply::Commit(Ok(_))) => _ = self.committed.insert(key, next),
            Some(Reply::Commit(Err(error))) => {
                let may = [
                    ErrorCode::StaleMemberEpoch,
                    ErrorCode::UnknownMemberId,
                    ErrorCode::CoordinatorNotAvailable,
                    ErrorCode::GroupIdNotFound,
                ];
                assert!(may.contains(&error), "commit: {error:?}");
            }
            other => panic!("{other:?}"),
        }
    }

    fn after_event(&mut self) {
        for index in 0..self.clients.len() {
            let Some(request) = self.clients[index].asked else { continue };
            match self.world.answers.remove(&request) {
                None => continue,
                Some(Reply::ConsumerHeartbeat(answer)) => self.answered(index, answer),
                other => panic!("{other:?}"),
            }
            self.clients[index].asked = None;
        }
        self.world.answers.clear();
        for (id, group) in &self.world.coordinator.consumer {
            group.check();
            let epoch = group.describe(&self.world.coordinator.config, &self.cluster).epoch;
            let before = self.epochs.insert(id.to_string(), epoch).unwrap_or(0);
            assert!(before <= epoch, "epochs of {id} ascend: {before} {epoch}");
        }
        let replayed = self.world.replayed();
        let states = |coordinator: &Coordinator| -> Vec<String> {
            coordinator.consumer.values().map(crate::group::ConsumerGroup::hard_state).collect()
        };
        assert_eq!(states(&self.world.coordinator), states(&replayed), "records tell everything");
        for ((group, partition), offset) in &self.committed {
            let kept = self.world.coordinator.offsets.get(GROUPS[*group], "t", PartitionIndex(*partition));
            assert!(kept.is_some_and(|kept| kept.offset.0 >= *offset), "commits stay");
        }
    }

    fn answered(&mut self, index: usize, answer: Result<ConsumerBeat, Refusal>) {
        let client = &mut self.clients[index];
        match answer {
            Ok(beat) => {
                client.is_in = true;
                client.epoch = beat.epoch;
                if let Some(assignment) = beat.assignment {
                    client.told = assignment;
                    // What it is to give up it still owns until it says otherwise.
                    for (topic, partitions) in client.told.clone() {
                        client.owned.entry(topic).or_default().extend(partitions);
                    }
                }
            }
            Err(refusal) => match refusal.error {
                ErrorCode::CoordinatorNotAvailable => {}
                ErrorCode::FencedMemberEpoch => {
                    (client.is_in, client.epoch) = (false, 0);
                }
                ErrorCode::UnknownMemberId | ErrorCode::GroupIdNotFound => {
                    (client.is_in, client.epoch) = (false, 0);
                }
                ErrorCode::UnreleasedInstanceId | ErrorCode::FencedInstanceId => self.vanish(index),
                other => panic!("heartbeat: {other:?} {}", refusal.message),
            },
        }
    }

    /// Nothing happens any more but heartbeats: every group settles, with every partition of every subscribed topic assigned.
    fn settle(&mut self) {
        self.world.log.refusal = None;
        self.world.held = false;
        self.world.flush();
        self.after_event();
        for _ in 0..30 {
            for index in 0..self.clients.len() {
                if self.clients[index].is_in {
                    self.clients[index].owned = self.clients[index].told.clone();
                    let client = &self.clients[index];
                    let beat = staying(&client.member_id, client.epoch);
                    let owned = Some(client.owned.clone());
                    self.send(index, ConsumerHeartbeat { owned, ..beat });
                    self.after_event();
                }
            }
            self.world.pass(5_000);
        }
        for group in self.world.coordinator.consumer.values() {
            let described = group.describe(&self.world.coordinator.config, &self.cluster);
            assert!(["Stable", "Empty"].contains(&described.state), "{described:#?}");
            for member in &described.members {
                assert_eq!(member.assignment, member.target);
                let told = self.clients.iter().find(|client| client.member_id == member.member_id);
                let told: usize = told.map_or(0, |client| client.told.values().map(|own| own.len()).sum());
                let has: usize = member.assignment.iter().map(|topic| topic.partitions.len()).sum();
                assert_eq!(told, has, "members know what they have");
            }
        }
    }
}

#[test]
fn groups_hold_their_promises_and_settle() {
    for seed in 0..seeds(100) {
        let run = std::panic::catch_unwind(|| {
            let mut simulation = Simulation::new(seed);
            for _ in 0..250 {
                simulation.step();
            }
            simulation.settle();
        });
        assert!(run.is_ok(), "seed {seed}");
    }
}
