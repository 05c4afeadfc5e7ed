use super::*;
use crate::ids::{BrokerId, LeaderEpoch, PartitionIndex, ProducerId, TopicId};

fn uuid(n: u128) -> Uuid {
    Uuid::from_u128(n << 64 | n)
}

fn endpoint() -> Endpoint {
    Endpoint { name: "EXTERNAL".into(), host: "host".into(), port: 65_000, security_protocol: 1 }
}

fn feature() -> FeatureRange {
    FeatureRange { name: "metadata.version".into(), min: 7, max: 30 }
}

/// At least one of every type, with all fields set and with as few as can be.
fn samples() -> Vec<MetadataRecord> {
    let brokers = |ids: &[i32]| ids.iter().copied().map(BrokerId).collect::<Vec<_>>();
    let partition = Partition {
        partition: PartitionIndex(3),
        topic: TopicId(uuid(9)),
        replicas: brokers(&[1, 2, 3]),
        isr: brokers(&[1, 2]),
        removing_replicas: vec![],
        adding_replicas: brokers(&[4]),
        leader: BrokerId(1),
        leader_recovery: LeaderRecoveryState::Recovering,
        leader_epoch: LeaderEpoch(5),
        partition_epoch: 8,
        directories: vec![uuid(1), DIRECTORY_UNASSIGNED, DIRECTORY_LOST],
        elr: brokers(&[3]),
        last_known_elr: brokers(&[2]),
    };
    let broker = RegisterBroker {
        broker: BrokerId(1),
        migrating_zk_broker: false,
        incarnation: uuid(2),
        epoch: 77,
        endpoints: vec![endpoint(), endpoint()],
        features: vec![feature()],
        rack: Some("r".into()),
        fenced: true,
        in_controlled_shutdown: true,
        log_dirs: vec![uuid(3)],
        cordoned_log_dirs: Some(vec![]),
    };
    vec![
        RegisterBroker { rack: None, log_dirs: vec![], cordoned_log_dirs: None, ..broker.clone() }.into(),
        broker.into(),
        BrokerRegistrationChange { broker: BrokerId(1), epoch: 2, ..Default::default() }.into(),
        BrokerRegistrationChange {
            broker: BrokerId(1),
            epoch: 2,
            fenced: Some(false),
            in_controlled_shutdown: true,
            log_dirs: vec![uuid(4)],
            cordoned_log_dirs: Some(vec![uuid(5)]),
        }
        .into(),
        RegisterController {
            controller: BrokerId(3000),
            incarnation: uuid(6),
            zk_migration_ready: false,
            endpoints: vec![endpoint()],
            features: vec![feature()],
        }
        .into(),
        UnregisterBroker { broker: BrokerId(1), epoch: 3 }.into(),
        FenceBroker { broker: BrokerId(1), epoch: 4 }.into(),
        UnfenceBroker { broker: BrokerId(1), epoch: 5 }.into(),
        Topic { name: "orders".into(), id: TopicId(uuid(9)) }.into(),
        RemoveTopic { id: TopicId(uuid(9)) }.into(),
        Partition {
            leader_recovery: LeaderRecoveryState::Recovered,
            elr: vec![],
            last_known_elr: vec![],
            ..partition.clone()
        }
        .into(),
        partition.into(),
        PartitionChange { partition: PartitionIndex(1), topic: TopicId(uuid(9)), ..Default::default() }
            .into(),
        PartitionChange {
            partition: PartitionIndex(1),
            topic: TopicId(uuid(9)),
            isr: Some(brokers(&[1])),
            leader: Some(BrokerId(-1)),
            replicas: Some(brokers(&[1, 2])),
            removing_replicas: Some(vec![]),
            adding_replicas: Some(brokers(&[2])),
            leader_recovery: Some(LeaderRecoveryState::Recovered),
            elr: Some(brokers(&[5])),
            last_known_elr: Some(vec![]),
            directories: Some(vec![uuid(1), uuid(2)]),
        }
        .into(),
        ClearElr { topic: String::new() }.into(),
        Config { resource_type: 2, resource_name: "orders".into(), name: "retention.ms".into(), value: None }
            .into(),
        Config { resource_type: 4, resource_name: "".into(), name: "a".into(), value: Some("ü".into()) }
            .into(),
        FeatureLevel { name: "metadata.version".into(), level: METADATA_VERSION_LEVEL }.into(),
        ProducerIds { broker: BrokerId(1), broker_epoch: 5, next: ProducerId(2_000) }.into(),
        ClientQuota {
            entity: vec![
                QuotaEntity { kind: "user".into(), name: None },
                QuotaEntity { kind: "client-id".into(), name: Some("c".into()) },
            ],
            key: "producer_byte_rate".into(),
            value: 1024.5,
            remove: true,
        }
        .into(),
        BeginTransaction { name: Some("bootstrap".into()) }.into(),
        BeginTransaction::default().into(),
        AbortTransaction { reason: Some("because".into()) }.into(),
        MetadataRecord::EndTransaction,
        MetadataRecord::NoOp,
        MetadataRecord::Opaque { key: 18, version: 0, body: vec![1, 2, 3] },
    ]
}

#[test]
fn every_record_reads_back() {
    for record in samples() {
        assert_eq!(MetadataRecord::decode(&record.to_bytes()).as_ref(), Ok(&record));
    }
}

#[test]
fn no_cut_and_no_flipped_byte_panics_or_reads_as_the_same() {
    for record in samples() {
        let bytes = record.to_bytes();
        if matches!(record, MetadataRecord::Opaque { .. }) {
            continue;
        }
        for cut in 0..bytes.len() {
            assert!(MetadataRecord::decode(&bytes[..cut]).is_err(), "{record:?} cut at {cut}");
        }
        for at in 0..bytes.len() {
            for flip in 1..=255u8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= flip;
                let _ = MetadataRecord::decode(&flipped);
            }
        }
        let longer = [&bytes[..], &[0]].concat();
        assert_eq!(
            MetadataRecord::decode(&longer),
            Err(MetadataRecordError::Trailing { key: record.key(), left: 1 })
        );
    }
}

#[test]
fn counts_are_held_against_the_bytes_left() {
    // A partition change whose ISR claims some 268 million brokers.
    let mut bytes = vec![1, 5, 2, 0, 0, 0, 1];
    bytes.extend_from_slice(&[0; 16]);
    bytes.extend_from_slice(&[1, 0, 6, 0xff, 0xff, 0xff, 0x7f, 0, 0]);
    assert!(matches!(
        MetadataRecord::decode(&bytes),
        Err(MetadataRecordError::Field(WireError::CountTooLarge { .. }))
    ));
}

#[test]
fn frames_and_versions_we_do_not_know() {
    assert_eq!(MetadataRecord::decode(&[0, 20, 0, 0]), Err(MetadataRecordError::Frame(0)));
    assert_eq!(
        MetadataRecord::decode(&[1, 3, 3, 0]),
        Err(WireError::UnsupportedVersion { key: 3, version: 3 }.into())
    );
    assert_eq!(MetadataRecord::decode(&[1, 0xff, 0xff, 3, 0]), Err(MetadataRecordError::Number(65_535)));
}

#[test]
fn older_versions_lack_fields() {
    // RegisterBroker 0: no ZooKeeper flag, no controlled shutdown, no directories.
    let mut bytes = vec![1, 0, 0, 0, 0, 0, 7];
    bytes.extend_from_slice(uuid(2).as_bytes());
    bytes.extend_from_slice(&5i64.to_be_bytes());
    bytes.extend_from_slice(&[1, 1, 0, 1, 0]);
    let MetadataRecord::RegisterBroker(broker) = MetadataRecord::decode(&bytes).unwrap() else {
        panic!("another record");
    };
    assert_eq!((broker.broker, broker.epoch, broker.fenced), (BrokerId(7), 5, true));
    assert!(
        broker.endpoints.is_empty() && broker.cordoned_log_dirs.is_none() && !broker.in_controlled_shutdown
    );

    // Partition 0: no directories.
    let mut bytes = vec![1, 3, 0, 0, 0, 0, 0];
    bytes.extend_from_slice(uuid(2).as_bytes());
    bytes.extend_from_slice(&[2, 0, 0, 0, 7, 2, 0, 0, 0, 7, 1, 1]);
    bytes.extend_from_slice(&[0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let MetadataRecord::Partition(partition) = MetadataRecord::decode(&bytes).unwrap() else {
        panic!("another record");
    };
    assert_eq!(
        (partition.leader, partition.isr, partition.directories),
        (BrokerId(7), vec![BrokerId(7)], vec![])
    );
}
