//! Thousands of random histories of a controller and its brokers, with what must always hold checked after every event.
//! The log is kept as bytes; a restart reads it back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use slipring_protocol::ids::{LeaderEpoch, TopicId};
use uuid::Uuid;

use super::tests::{CLUSTER, activation, directory, registration};
use super::*;
use crate::choices::{Choices, seeds};
use crate::image::{ConfigResource, PartitionEpoch};

const NAMES: [&str; 8] = ["a", "b", "c.d", "c_d", "e", "..", "", "__cluster_metadata"];

/// A controller, its log and what has been seen of both.
struct World {
    choices: Choices,
    controller: Controller,
    /// Records as bytes, with the epoch they were written in.
    log: Vec<(LeaderEpoch, Vec<u8>)>,
    epoch: LeaderEpoch,
    fresh: u128,
    topic_ids: BTreeSet<TopicId>,
    broker_epochs: BTreeMap<BrokerId, i64>,
    producer_id_end: i64,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut choices = Choices::new(seed);
        let unclean_leader_election = choices.one_in(3);
        let config = ControllerConfig { node_id: BrokerId(1), unclean_leader_election };
        let mut world = Self {
            choices,
            controller: Controller::new(config, MetadataImage::empty(Arc::from(CLUSTER))),
            log: Vec::new(),
            epoch: LeaderEpoch(1),
            fresh: 1 << 64,
            topic_ids: BTreeSet::new(),
            broker_epochs: BTreeMap::new(),
            producer_id_end: 0,
        };
        world.execute(Command::ActivateController(activation(1)));
        world
    }

    fn step(&mut self) {
        match self.choices.below(20) {
            0..=4 => self.create(),
            5..=6 => self.delete(),
            7..=8 => self.grow(),
            9..=10 => self.register(),
            11..=12 => self.fence(false),
            13..=14 => self.fence(true),
            15..=16 => self.allocate(),
            17 => self.restart(),
            _ => self.restart_broker(),
        }
    }

    fn fresh(&mut self) -> u128 {
        self.fresh += 1;
        self.fresh
    }

    fn next_offset(&self) -> Offset {
        Offset(i64::try_from(self.log.len()).unwrap())
    }

    /// Decides, writes, replays, checks.
    fn execute(&mut self, command: Command) -> Reply {
        let before = self.controller.clone();
        let decision = self.controller.decide(TimestampMs(0), command.clone());
        assert_eq!(self.controller, before, "deciding changes nothing");
        assert_eq!(self.controller.decide(TimestampMs(9), command), decision, "the same again");
        if !decision.records.is_empty() {
            let base = self.next_offset();
            let delta = self.controller.replay(&decision.records, base, self.epoch).unwrap();
            assert_eq!(delta, ImageDelta::between(before.image(), self.controller.image()));
            self.log.extend(decision.records.iter().map(|record| (self.epoch, record.to_bytes())));
            self.check_delta(before.image(), &delta);
        }
        self.check_image();
        decision.reply
    }

    fn some_broker(&mut self) -> BrokerRef {
        let id = BrokerId(self.choices.between(1, 6));
        let epoch = self.controller.image().broker(id).map_or(BrokerEpoch(3), |broker| broker.epoch);
        let stale = i64::from(self.choices.one_in(10));
        BrokerRef { id, epoch: BrokerEpoch(epoch.0 - stale) }
    }

    fn some_brokers(&mut self) -> Vec<BrokerId> {
        let count = self.choices.below(4);
        (0..count).map(|_| BrokerId(self.choices.between(1, 6))).collect()
    }

    fn create(&mut self) {
        let topics: Vec<NewTopic> = (0..=self.choices.below(3)).map(|_| self.new_topic()).collect();
        let validate_only = self.choices.one_in(6);
        let defaults = TopicDefaults { partitions: 2, replication_factor: 1 };
        let placement_seed = self.choices.next();
        let command = CreateTopics { topics: topics.clone(), validate_only, defaults, placement_seed };
        let before = self.controller.image().clone();
        let Reply::CreateTopics(Ok(results)) = self.execute(Command::CreateTopics(command)) else {
            panic!("a request of this size is decided")
        };
        let mut listed = BTreeSet::new();
        for TopicResult { name, result } in &results {
            assert!(listed.insert(name.clone()), "one result for each name");
            let topic = self.controller.image().topic(name);
            match result {
                Ok(created) if !validate_only => {
                    let topic = topic.expect("created");
                    assert!(before.topic(name).is_none() && self.topic_ids.insert(created.id));
                    assert_eq!(topic.id, created.id);
                    assert_eq!(topic.partition_count(), usize::try_from(created.partitions).unwrap());
                }
                _ => assert_eq!(topic, before.topic(name)),
            }
        }
        assert_eq!(listed, topics.into_iter().map(|topic| topic.name).collect());
    }

    fn new_topic(&mut self) -> NewTopic {
        // Now and then the caller's mistake: an id in use.
        let taken = self.controller.image().topics().next().map(|topic| topic.id);
        let mistake = self.choices.one_in(30);
        let id = taken.filter(|_| mistake).unwrap_or(TopicId(Uuid::from_u128(self.fresh())));
        let by_hand = self.choices.one_in(3);
        let assign = |world: &mut Self, partition| PartitionAssignment {
            partition: slipring_protocol::ids::PartitionIndex(partition),
            replicas: world.some_brokers(),
        };
        let assignments = if by_hand { (0..2).map(|index| assign(self, index)).collect() } else { vec![] };
        let config = TopicConfig {
            name: (*self.choices.of(&["x", "y"])).to_owned(),
            value: (!self.choices.one_in(9)).then(|| "1".to_owned()),
        };
        NewTopic {
            name: (*self.choices.of(&NAMES)).to_owned(),
            id,
            partitions: if by_hand { -1 } else { self.choices.between(-1, 5) },
            replication_factor: if by_hand {
                -1
            } else {
                i16::try_from(self.choices.between(-1, 4)).unwrap()
            },
            assignments,
            configs: if self.choices.one_in(2) { vec![config] } else { vec![] },
            config_error: None,
        }
    }

    fn delete(&mut self) {
        let ids: Vec<TopicId> = self.controller.image().topics().map(|topic| topic.id).collect();
        let mut selector = || {
            let name = self.choices.one_in(2).then(|| (*self.choices.of(&NAMES)).to_owned());
            let unknown = ids.is_empty() || self.choices.one_in(8);
            let id = if unknown { TopicId(Uuid::from_u128(5)) } else { *self.choices.of(&ids) };
            let both = self.choices.one_in(10);
            TopicSelector { id: if name.is_some() && !both { TopicId::NONE } else { id }, name }
        };
        let topics: Vec<TopicSelector> = (0..3).map(|_| selector()).collect();
        let before = self.controller.image().topic_count();
        let Reply::DeleteTopics(Ok(results)) = self.execute(Command::DeleteTopics(DeleteTopics { topics }))
        else {
            panic!("a request of this size is decided")
        };
        let deleted = results.iter().filter(|result| result.result.is_ok());
        let mut count = 0;
        for result in deleted {
            count += 1;
            assert!(self.controller.image().topic_by_id(result.id).is_none());
        }
        assert_eq!(self.controller.image().topic_count(), before - count);
    }

    fn grow(&mut self) {
        let by_hand = self.choices.one_in(3);
        let assignments = by_hand.then(|| (0..2).map(|_| self.some_brokers()).collect());
        let name = (*self.choices.of(&NAMES)).to_owned();
        let have = self.controller.image().topic(&name).map_or(0, |topic| topic.partition_count());
        let count = i32::try_from(have).unwrap() + self.choices.between(-1, 3);
        let topics = vec![MorePartitions { name: name.clone(), count, assignments }];
        let command = CreatePartitions { topics, validate_only: false, placement_seed: self.choices.next() };
        let Reply::CreatePartitions(Ok(results)) = self.execute(Command::CreatePartitions(command)) else {
            panic!("always decided")
        };
        let now = self.controller.image().topic(&name).map_or(0, |topic| topic.partition_count());
        let expected = if results[0].result.is_ok() { usize::try_from(count).unwrap() } else { have };
        assert_eq!(now, expected);
    }

    fn register(&mut self) {
        let id = self.choices.between(1, 6);
        let incarnation = if self.choices.one_in(4) {
            let known = self.controller.image().broker(BrokerId(id));
            known.map_or(1, |broker| broker.incarnation_id.as_u128())
        } else {
            self.fresh()
        };
        let mut command = registration(id, incarnation);
        command.next_offset = self.next_offset();
        command.rack = self.choices.one_in(2).then(|| format!("rack{}", id % 2));
        // Now and then a directory is lost, or a new one appears.
        let log_dirs: Vec<Uuid> =
            (0..3).filter(|_| !self.choices.one_in(4)).map(|number| directory(id, number)).collect();
        command.log_dirs = log_dirs;
        let refused = command.log_dirs.is_empty();
        let Reply::RegisterBroker(reply) = self.execute(Command::RegisterBroker(command)) else { panic!() };
        assert_eq!(reply.is_err(), refused);
        let Ok(epoch) = reply else { return };
        let broker = self.controller.image().broker(BrokerId(id)).expect("registered");
        assert_eq!((broker.epoch, broker.incarnation_id.as_u128()), (epoch, incarnation));
    }

    fn fence(&mut self, fenced: bool) {
        let broker = self.some_broker();
        let known =
            self.controller.image().broker(broker.id).is_some_and(|known| known.epoch == broker.epoch);
        let reply = if fenced {
            self.execute(Command::FenceBroker(broker))
        } else {
            self.execute(Command::UnfenceBroker(broker))
        };
        let (Reply::FenceBroker(result) | Reply::UnfenceBroker(result)) = reply else { panic!() };
        assert_eq!(result.is_ok(), known);
        if known {
            assert_eq!(self.controller.image().broker(broker.id).unwrap().fenced, fenced);
        }
    }

    /// Registration and unfencing under a new incarnation, as a start does it. Epochs of what it leads rise.
    fn restart_broker(&mut self) {
        let id = BrokerId(self.choices.between(1, 6));
        let mut led = BTreeMap::new();
        for topic in self.controller.image().topics() {
            for (index, partition) in topic.partitions().filter(|(_, one)| one.leader == Some(id)) {
                led.insert((topic.id, index), partition.leader_epoch);
            }
        }
        let mut command = registration(id.0, self.fresh());
        command.log_dirs = (0..3).map(|number| directory(id.0, number)).collect();
        command.next_offset = self.next_offset();
        let Reply::RegisterBroker(Ok(epoch)) = self.execute(Command::RegisterBroker(command)) else {
            panic!()
        };
        let image = self.controller.image();
        for ((topic, index), before) in led {
            let partition = image.topic_by_id(topic).unwrap().partition(index).unwrap();
            assert!(partition.leader != Some(id) && partition.leader_epoch > before);
        }
        let reply = self.execute(Command::UnfenceBroker(BrokerRef { id, epoch }));
        assert_eq!(reply, Reply::UnfenceBroker(Ok(())));
        for topic in self.controller.image().topics() {
            for (index, partition) in topic.partitions() {
                let waits = partition.leader.is_none() && partition.isr.contains(&id);
                assert!(!waits, "{} {index}: the unfenced broker leads what it can", topic.name);
            }
        }
    }

    fn allocate(&mut self) {
        let broker = self.some_broker();
        let reply = self.execute(Command::AllocateProducerIds(broker));
        if let Reply::AllocateProducerIds(Ok(block)) = reply {
            assert!(block.first.0 >= self.producer_id_end, "no id is given out twice");
            self.producer_id_end = block.first.0 + block.count;
        }
    }

    /// The process dies; another one reads the log. A decision that was not atomic may have been cut off.
    fn restart(&mut self) {
        let mut image = MetadataImage::empty(Arc::from(CLUSTER));
        for (offset, (epoch, bytes)) in (0..).map(Offset).zip(&self.log) {
            let record = MetadataRecord::decode(bytes).unwrap();
            image.replay(&[record], offset, *epoch).unwrap();
        }
        assert_eq!(
            format!("{image:#?}"),
            format!("{:#?}", self.controller.image()),
            "a restart loses nothing"
        );
        let config = self.controller.config;
        let again = Controller::new(config, image);
        assert_eq!(again, self.controller, "what is derived is derived the same way");
        self.controller = again;
        self.epoch = LeaderEpoch(self.epoch.0 + 1);
        let incarnation = self.fresh();
        self.execute(Command::ActivateController(activation(incarnation)));
    }

    fn check_delta(&mut self, before: &MetadataImage, delta: &ImageDelta) {
        for change in &delta.partitions_changed {
            let Some(old) = &change.old else {
                assert_eq!(
                    (change.new.leader_epoch, change.new.partition_epoch),
                    (LeaderEpoch(0), PartitionEpoch(0))
                );
                continue;
            };
            assert!(
                change.new.partition_epoch > old.partition_epoch,
                "every change raises the partition epoch"
            );
            assert!(change.new.leader_epoch >= old.leader_epoch, "leader epochs never fall");
            if change.new.leader != old.leader {
                assert!(change.new.leader_epoch > old.leader_epoch, "a new leader is a new reign");
            }
        }
        for topic in &delta.topics_created {
            assert!(before.topic_by_id(topic.id).is_none() && before.topic(&topic.name).is_none());
        }
        for change in &delta.brokers_changed {
            let new = change.new.as_ref().expect("no command takes a registration away");
            let known = self.broker_epochs.insert(change.id, new.epoch.0).unwrap_or(-1);
            let same = change.old.as_ref().is_some_and(|old| old.incarnation_id == new.incarnation_id);
            assert!(if same { new.epoch.0 == known } else { new.epoch.0 > known });
        }
    }

    fn check_image(&self) {
        let image = self.controller.image();
        image.check();
        assert_eq!(image.version().offset, Offset(self.next_offset().0 - 1));
        let mut names = BTreeSet::new();
        for topic in image.topics() {
            assert!(names.insert(topic.name.clone()));
            assert!(Arc::ptr_eq(image.topic(&topic.name).unwrap(), topic), "name and id lead to one topic");
            assert!(topic.partition_count() > 0);
            for (place, (index, partition)) in (0..).zip(topic.partitions()) {
                assert_eq!(index.0, place, "no gaps");
                self.check_partition(partition);
            }
        }
        assert_eq!(names.len(), image.topic_count());
        for (resource, configs) in image.config_resources() {
            let topic = image.topic(&resource.name).expect("configs go with their topic");
            assert_eq!(*resource, ConfigResource::topic(topic.name.clone()));
            assert!(!configs.is_empty());
        }
    }

    fn check_partition(&self, partition: &crate::image::PartitionImage) {
        let replicas: BTreeSet<_> = partition.replicas.iter().collect();
        assert!(!replicas.is_empty() && replicas.len() == partition.replicas.len());
        assert_eq!(partition.directories.len(), partition.replicas.len());
        assert!(!partition.isr.is_empty() && partition.isr.iter().all(|id| replicas.contains(id)));
        if let Some(leader) = partition.leader {
            assert!(partition.isr.contains(&leader), "the leader is in sync");
            let broker = self.controller.image().broker(leader).unwrap();
            assert!(broker.is_active(), "a fenced broker leads nothing");
        }
    }
}

#[test]
fn random_histories_keep_what_must_hold() {
    for seed in 0..seeds(200) {
        let run = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            for _ in 0..60 {
                world.step();
            }
            world.restart();
        });
        if let Err(panic) = run {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

/// A start whose records were written in part only: whatever was cut off, the next start puts it right.
#[test]
fn a_registration_cut_off_anywhere_is_made_good() {
    for cut in 0..8 {
        let mut world = World::new(cut);
        for id in [1, 2] {
            world.restart_one(id);
        }
        let topics = vec![NewTopic {
            partitions: 6,
            replication_factor: 1,
            assignments: vec![],
            configs: vec![],
            config_error: None,
            ..super::tests::topic("t")
        }];
        world.execute(Command::CreateTopics(CreateTopics { topics, ..CreateTopics::default() }));
        let mut command = registration(1, 999);
        command.next_offset = world.next_offset();
        let decision = world.controller.decide(TimestampMs(0), Command::RegisterBroker(command));
        assert!(!decision.atomic);
        let kept = &decision.records[..decision.records.len().min(usize::try_from(cut).unwrap())];
        if !kept.is_empty() {
            world.controller.replay(kept, world.next_offset(), world.epoch).unwrap();
            world.log.extend(kept.iter().map(|record| (world.epoch, record.to_bytes())));
        }
        world.restart();
        world.restart_one(1);
        let image = world.controller.image();
        assert!(image.topic("t").unwrap().partitions().all(|(_, partition)| partition.leader.is_some()));
    }
}

impl World {
    fn restart_one(&mut self, id: i32) {
        let mut command = registration(id, self.fresh());
        command.next_offset = self.next_offset();
        let Reply::RegisterBroker(Ok(epoch)) = self.execute(Command::RegisterBroker(command)) else {
            panic!()
        };
        self.execute(Command::UnfenceBroker(BrokerRef { id: BrokerId(id), epoch }));
    }
}
