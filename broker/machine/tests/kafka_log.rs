//! The metadata log of a real Kafka 4.3.0 (one node, combined mode, started three times; the run that also made the
//! fixtures of `storage`): read into an image, and taken over by our controller.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::sync::Arc;

use slipring_machine::controller::{
    ActivateController, BrokerRef, Command, Controller, ControllerConfig, RegisterBroker, Reply,
};
use slipring_machine::image::{ConfigKind, ConfigResource, MetadataImage};
use slipring_protocol::batch::{BATCH_HEADER_SIZE, Batches, Records};
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::ids::{BrokerId, LeaderEpoch, Offset, ProducerId, TimestampMs};
use slipring_protocol::metadata_records::{FeatureRange, MetadataRecord};
use uuid::Uuid;

const LOG: &[u8] = include_bytes!("fixtures/cluster_metadata-kafka-4.3.log");

fn read_log() -> MetadataImage {
    let mut image = MetadataImage::empty(Arc::from("cluster"));
    for batch in Batches::new(LOG) {
        let batch = batch.unwrap();
        if batch.header.is_control() {
            continue;
        }
        let records: Vec<MetadataRecord> =
            Records::new(&batch.bytes[BATCH_HEADER_SIZE..], batch.header.record_count)
                .map(|record| MetadataRecord::decode(record.unwrap().value.unwrap()).unwrap())
                .collect();
        image.replay(&records, batch.header.base_offset, batch.header.leader_epoch).unwrap();
    }
    image
}

/// The features that this Kafka has in force.
const FEATURES: [(&str, i16); 6] = [
    ("eligible.leader.replicas.version", 1),
    ("group.version", 1),
    ("metadata.version", 30),
    ("share.version", 1),
    ("streams.version", 1),
    ("transaction.version", 2),
];

#[test]
fn the_image_says_what_kafka_knew() {
    let image = read_log();
    assert_eq!((image.version().offset, image.version().epoch), (Offset(203), LeaderEpoch(5)));
    assert!(!image.in_transaction() && image.opaque_count() == 0);
    let features: Vec<(&str, i16)> = image.features().map(|(name, level)| (&**name, level)).collect();
    assert_eq!(features, FEATURES);
    assert_eq!(image.producer_id_next(), ProducerId(3000));
    let mut topics: Vec<(&str, usize)> =
        image.topics().map(|topic| (&*topic.name, topic.partition_count())).collect();
    topics.sort_unstable();
    assert_eq!(topics, [("__transaction_state", 1), ("plain", 1), ("with-dash.and_txn", 2)]);
    let broker = image.broker(BrokerId(1)).unwrap();
    assert!(broker.fenced && broker.in_controlled_shutdown && broker.takes_replicas());
    assert_eq!((broker.epoch.0, broker.directories.len(), broker.features.len()), (185, 1, 7));
    assert_eq!(broker.endpoint("PLAINTEXT").map(|endpoint| endpoint.port), Some(29192));
    let cluster = ConfigResource { kind: ConfigKind::BROKER, name: Arc::from("") };
    assert_eq!(image.configs(&cluster).unwrap().get("min.insync.replicas").map(|value| &**value), Some("1"));
    let retention = image.topic_config(&image.topic("plain").unwrap().name, "retention.ms");
    assert_eq!(retention.map(|value| &**value), Some("-1"));
    for topic in image.topics() {
        for (_, partition) in topic.partitions() {
            assert_eq!((partition.leader, partition.leader_epoch), (None, LeaderEpoch(5)));
            assert_eq!((partition.isr.len(), &*partition.eligible_leaders), (0, &[BrokerId(1)][..]));
        }
    }
}

#[test]
fn our_controller_takes_the_cluster_over() {
    let image = read_log();
    let node_id = BrokerId(1);
    let directory = image.broker(node_id).unwrap().directories[0];
    let config = ControllerConfig { node_id, unclean_leader_election: false };
    let mut controller = Controller::new(config, image);
    let mut next_offset = Offset(204);
    let mut run = |controller: &mut Controller, command: Command| {
        let decision = controller.decide(TimestampMs(0), command);
        if !decision.records.is_empty() {
            controller.replay(&decision.records, next_offset, LeaderEpoch(6)).unwrap();
            next_offset = next_offset.plus(i64::try_from(decision.records.len()).unwrap());
        }
        (decision.reply, next_offset)
    };
    let features: Vec<FeatureRange> =
        FEATURES.iter().map(|&(name, max)| FeatureRange { name: name.to_owned(), min: 0, max }).collect();
    let activate = ActivateController {
        node_id,
        incarnation_id: Uuid::from_u128(1),
        endpoints: vec![],
        features: features.clone(),
        bootstrap_features: vec![],
    };
    let (reply, next_offset) = run(&mut controller, Command::ActivateController(activate));
    assert_eq!((reply, next_offset), (Reply::ActivateController(Ok(())), Offset(205)));
    let register = |features| RegisterBroker {
        broker_id: node_id,
        cluster_id: "cluster".to_owned(),
        incarnation_id: Uuid::from_u128(2),
        endpoints: vec![],
        features,
        rack: None,
        log_dirs: vec![directory.0],
        next_offset,
    };
    // A broker that can do less than what is in force may not join.
    let (reply, _) = run(&mut controller, Command::RegisterBroker(register(features[2..3].to_vec())));
    assert!(
        matches!(reply, Reply::RegisterBroker(Err(error)) if error.code == ErrorCode::UnsupportedVersion)
    );
    let (reply, _) = run(&mut controller, Command::RegisterBroker(register(features)));
    let Reply::RegisterBroker(Ok(epoch)) = reply else { panic!("{reply:?}") };
    let (reply, _) = run(&mut controller, Command::UnfenceBroker(BrokerRef { id: node_id, epoch }));
    assert_eq!(reply, Reply::UnfenceBroker(Ok(())));
    assert!(controller.image().broker(node_id).unwrap().is_active());
    for topic in controller.image().topics() {
        for (_, partition) in topic.partitions() {
            assert_eq!((partition.leader, partition.leader_epoch), (Some(node_id), LeaderEpoch(6)));
            assert_eq!((&*partition.isr, partition.eligible_leaders.len()), (&[node_id][..], 0));
        }
    }
}
