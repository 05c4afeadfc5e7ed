//! The error cases of each command, one line each, and what the records of the good ones do.

mod brokers;
mod configs;
mod features;
mod partitions;
mod reassign;
mod topics;

use std::sync::Arc;

use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::ids::{BrokerId, LeaderEpoch, PartitionIndex, TimestampMs, TopicId};
use slipring_protocol::metadata_records::{Endpoint, FeatureRange};
use uuid::Uuid;

use super::*;
use crate::image::{METADATA_VERSION, PartitionImage};

/// A controller with its log.
pub(super) struct Bench {
    pub(super) controller: Controller,
    pub(super) log: Vec<MetadataRecord>,
}

pub(super) const CLUSTER: &str = "cluster-1";

impl Bench {
    /// A controller on an empty log, activated.
    pub(super) fn new() -> Self {
        let config = ControllerConfig { node_id: BrokerId(1), unclean_leader_election: false };
        let image = MetadataImage::empty(Arc::from(CLUSTER));
        let mut bench = Self { controller: Controller::new(config, image), log: Vec::new() };
        assert_eq!(bench.run(Command::ActivateController(activation(1))), Reply::ActivateController(Ok(())));
        bench
    }

    /// With these brokers, unfenced.
    pub(super) fn with_brokers(ids: &[i32]) -> Self {
        let mut bench = Self::new();
        for &id in ids {
            let epoch = bench.register(id, u128::try_from(id).unwrap());
            bench.unfence(id, epoch);
        }
        bench
    }

    pub(super) fn next_offset(&self) -> Offset {
        Offset(i64::try_from(self.log.len()).unwrap())
    }

    /// Decides and replays.
    pub(super) fn run(&mut self, command: Command) -> Reply {
        let decision = self.controller.decide(TimestampMs(0), command);
        self.take(&decision.records);
        decision.reply
    }

    pub(super) fn take(&mut self, records: &[MetadataRecord]) {
        if !records.is_empty() {
            self.controller.replay(records, self.next_offset(), LeaderEpoch(1)).unwrap();
            self.log.extend_from_slice(records);
        }
    }

    pub(super) fn register(&mut self, id: i32, incarnation: u128) -> BrokerEpoch {
        let command = RegisterBroker { next_offset: self.next_offset(), ..registration(id, incarnation) };
        match self.run(Command::RegisterBroker(command)) {
            Reply::RegisterBroker(Ok(epoch)) => epoch,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn unfence(&mut self, id: i32, epoch: BrokerEpoch) {
        let reply = self.run(Command::UnfenceBroker(BrokerRef { id: BrokerId(id), epoch }));
        assert_eq!(reply, Reply::UnfenceBroker(Ok(())));
    }

    pub(super) fn fence(&mut self, id: i32) {
        let broker = self.broker_ref(id);
        assert_eq!(self.run(Command::FenceBroker(broker)), Reply::FenceBroker(Ok(())));
    }

    pub(super) fn broker_ref(&self, id: i32) -> BrokerRef {
        let id = BrokerId(id);
        BrokerRef { id, epoch: self.controller.image().broker(id).unwrap().epoch }
    }

    pub(super) fn create(&mut self, topics: Vec<NewTopic>) -> Vec<TopicResult> {
        let command = CreateTopics { topics, ..CreateTopics::default() };
        match self.run(Command::CreateTopics(command)) {
            Reply::CreateTopics(Ok(results)) => results,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn partition(&self, topic: &str, index: i32) -> &PartitionImage {
        self.controller.image().partition_by_name(topic, PartitionIndex(index)).unwrap()
    }

    /// Leader (-1 for none), leader epoch and ISR of a partition.
    pub(super) fn leadership(&self, topic: &str, index: i32) -> (i32, i32, Vec<i32>) {
        let partition = self.partition(topic, index);
        let isr = partition.isr.iter().map(|id| id.0).collect();
        (partition.leader.map_or(-1, |id| id.0), partition.leader_epoch.0, isr)
    }
}

pub(super) fn activation(incarnation: u128) -> ActivateController {
    ActivateController {
        node_id: BrokerId(1),
        incarnation_id: Uuid::from_u128(incarnation),
        endpoints: vec![endpoint()],
        features: vec![metadata_version()],
        bootstrap_features: vec![],
    }
}

pub(super) fn endpoint() -> Endpoint {
    Endpoint { name: "PLAINTEXT".to_owned(), host: "localhost".to_owned(), port: 9092, security_protocol: 0 }
}

pub(super) fn metadata_version() -> FeatureRange {
    FeatureRange {
        name: METADATA_VERSION.to_owned(),
        min: METADATA_VERSION_MIN,
        max: METADATA_VERSION_4_3_IV0,
    }
}

/// A broker with one directory, 1000 times its id.
pub(super) fn registration(id: i32, incarnation: u128) -> RegisterBroker {
    RegisterBroker {
        broker_id: BrokerId(id),
        cluster_id: CLUSTER.to_owned(),
        incarnation_id: Uuid::from_u128(incarnation),
        endpoints: vec![endpoint()],
        features: vec![metadata_version()],
        rack: None,
        log_dirs: vec![directory(id, 0)],
        next_offset: Offset(0),
    }
}

pub(super) fn directory(broker: i32, number: u128) -> Uuid {
    Uuid::from_u128(1000 * u128::try_from(broker).unwrap() + number)
}

/// A topic of one partition and one replica; its id comes from its name.
pub(super) fn topic(name: &str) -> NewTopic {
    let id = name.bytes().fold(1_u128, |id, byte| id * 31 + u128::from(byte)) + 1000;
    NewTopic {
        name: name.to_owned(),
        id: TopicId(Uuid::from_u128(id)),
        partitions: 1,
        replication_factor: 1,
        assignments: vec![],
        configs: vec![],
        config_error: None,
    }
}

pub(super) fn assignment(partition: i32, replicas: &[i32]) -> PartitionAssignment {
    PartitionAssignment { partition: PartitionIndex(partition), replicas: ids(replicas) }
}

pub(super) fn ids(numbers: &[i32]) -> Vec<BrokerId> {
    numbers.iter().copied().map(BrokerId).collect()
}

/// Code and message of an error.
pub(super) fn told(error: ApiError) -> (ErrorCode, String) {
    (error.code, error.message.unwrap_or_default())
}
