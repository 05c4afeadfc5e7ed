//! What each record does to an image, what it may not do, and what a delta says of it.

use std::sync::Arc;

use slipring_protocol::ids::{BrokerId, LeaderEpoch, Offset, PartitionIndex, ProducerId, TopicIdPartition};
use slipring_protocol::metadata_records::{
    AbortTransaction, BeginTransaction, BrokerRegistrationChange, ClearElr, Config, Endpoint, FeatureLevel,
    FenceBroker, MetadataRecord, PartitionChange as ChangeRecord, ProducerIds, RegisterBroker,
    RegisterController, RemoveTopic, Topic, UnfenceBroker, UnregisterBroker,
};
use uuid::Uuid;

use super::fixtures::{image_of, image_with, partition_record, topic_id, topic_records};
use super::*;

fn broker(id: i32, epoch: i64) -> RegisterBroker {
    RegisterBroker {
        broker: BrokerId(id),
        migrating_zk_broker: false,
        incarnation: Uuid::from_u128(7),
        epoch,
        endpoints: vec![Endpoint {
            name: "PLAINTEXT".to_owned(),
            host: "h".to_owned(),
            port: 9092,
            security_protocol: 0,
        }],
        features: vec![],
        rack: None,
        fenced: true,
        in_controlled_shutdown: false,
        log_dirs: vec![Uuid::from_u128(1000)],
        cordoned_log_dirs: None,
    }
}

fn change(topic: u128, partition: i32) -> ChangeRecord {
    ChangeRecord { topic: topic_id(topic), partition: PartitionIndex(partition), ..ChangeRecord::default() }
}

fn config(topic: &str, name: &str, value: Option<&str>) -> Config {
    Config {
        resource_type: 2,
        resource_name: topic.to_owned(),
        name: name.to_owned(),
        value: value.map(str::to_owned),
    }
}

fn apply(image: &MetadataImage, records: &[MetadataRecord]) -> (MetadataImage, ImageDelta) {
    image.apply(records, image.version().offset.plus(1), LeaderEpoch(1)).unwrap()
}

#[test]
fn topics_are_found_by_name_and_id() {
    let image = image_with(&[("a", 10, 2), ("b", 11, 1)]);
    let topic = image.topic("a").unwrap();
    assert!(Arc::ptr_eq(topic, image.topic_by_id(topic_id(10)).unwrap()));
    assert_eq!((topic.partition_count(), topic.replication_factor(), image.topic_count()), (2, 1, 2));
    let id = TopicIdPartition { topic_id: topic_id(10), partition: PartitionIndex(1) };
    assert_eq!(image.partition(id), image.partition_by_name("a", PartitionIndex(1)));
    assert!(image.partition_by_name("a", PartitionIndex(2)).is_none() && image.topic("c").is_none());
    assert_eq!(image.version(), ImageVersion { offset: Offset(4), epoch: LeaderEpoch(1) });
}

#[test]
fn an_image_shares_what_did_not_change() {
    let old = image_with(&[("a", 10, 3), ("b", 11, 1)]);
    let record = ChangeRecord { leader: Some(BrokerId(-1)), ..change(10, 1) };
    let (new, delta) = apply(&old, &[record.into()]);
    assert_eq!(old, image_with(&[("a", 10, 3), ("b", 11, 1)]));
    assert!(Arc::ptr_eq(old.topic("b").unwrap(), new.topic("b").unwrap()));
    let partition =
        |image: &MetadataImage, index| image.partition_by_name("a", PartitionIndex(index)).unwrap().clone();
    assert!(Arc::ptr_eq(&partition(&old, 0), &partition(&new, 0)));
    let now = partition(&new, 1);
    assert_eq!(
        (now.leader, now.leader_epoch, now.partition_epoch),
        (None, LeaderEpoch(1), PartitionEpoch(1))
    );
    let [changed] = &delta.partitions_changed[..] else { panic!("{delta:?}") };
    assert_eq!((&*changed.topic, changed.id.partition.0), ("a", 1));
    assert_eq!((changed.old.clone(), changed.new.clone()), (Some(partition(&old, 1)), now));
    assert_eq!((delta.topics_changed.len(), delta.topics_created.len()), (1, 0));
}

#[test]
fn a_change_keeps_what_it_does_not_name() {
    let image = image_with(&[("a", 10, 1)]);
    let grown = ChangeRecord {
        replicas: Some(vec![BrokerId(1), BrokerId(2)]),
        directories: Some(vec![Uuid::from_u128(1000), Uuid::from_u128(2000)]),
        adding_replicas: Some(vec![BrokerId(2)]),
        ..change(10, 0)
    };
    let (image, _) = apply(&image, &[grown.into()]);
    let partition = image.partition_by_name("a", PartitionIndex(0)).unwrap();
    assert_eq!(
        (partition.leader, partition.leader_epoch, partition.partition_epoch),
        (Some(BrokerId(1)), LeaderEpoch(0), PartitionEpoch(1))
    );
    assert_eq!(partition.isr, [BrokerId(1)]);
    assert_eq!(partition.directory(BrokerId(2)), Some(DirectoryId(Uuid::from_u128(2000))));
    assert_eq!(partition.directory(BrokerId(3)), None);
    // The same leader again is a new epoch.
    let again = ChangeRecord { leader: Some(BrokerId(1)), ..change(10, 0) };
    let (image, _) = apply(&image, &[again.into()]);
    assert_eq!(image.partition_by_name("a", PartitionIndex(0)).unwrap().leader_epoch, LeaderEpoch(1));
}

#[test]
fn partitions_without_directories_are_somewhere() {
    let mut record = partition_record(10, 0);
    record.directories.clear();
    let image = image_of(&[Topic { name: "a".to_owned(), id: topic_id(10) }.into(), record.into()]);
    let partition = image.partition_by_name("a", PartitionIndex(0)).unwrap();
    assert_eq!(partition.directories, [DirectoryId::MIGRATING]);
}

#[test]
fn a_removed_topic_takes_its_configs_along() {
    let image = image_with(&[("a", 10, 1)]);
    let (image, delta) =
        apply(&image, &[config("a", "x", Some("1")).into(), config("a", "y", Some("2")).into()]);
    let name: Arc<str> = Arc::from("a");
    assert_eq!(delta.configs_changed, [ConfigResource::topic(name.clone())]);
    assert_eq!(image.topic_config(&name, "y").map(|value| &**value), Some("2"));
    let (image, _) = apply(&image, &[config("a", "y", None).into(), config("a", "zzz", None).into()]);
    assert_eq!(image.topic_config(&name, "y"), None);

    let remove = MetadataRecord::from(RemoveTopic { id: topic_id(10) });
    let records: Vec<_> = [remove].into_iter().chain(topic_records("a", 20, 2)).collect();
    let (again, delta) = apply(&image, &records);
    assert_eq!(again.topic_config(&name, "x"), None);
    assert_eq!(delta.topics_deleted, [image.topic("a").unwrap().clone()]);
    assert_eq!(delta.topics_created, [again.topic("a").unwrap().clone()]);
    assert_eq!(delta.partitions_changed.len(), 2);
    assert_eq!(delta.configs_changed, [ConfigResource::topic(name)]);
    assert!(again.topic_by_id(topic_id(10)).is_none() && again.config_resources().next().is_none());
}

#[test]
fn brokers_register_change_and_leave() {
    let (image, delta) = apply(&image_of(&[]), &[broker(1, 5).into(), broker(2, 6).into()]);
    assert_eq!(delta.brokers_changed.len(), 2);
    let one = image.broker(BrokerId(1)).unwrap();
    assert!(one.fenced && !one.is_active() && one.endpoint("PLAINTEXT").is_some());
    let directories = vec![Uuid::from_u128(2000), Uuid::from_u128(3000)];
    let (image, delta) = apply(
        &image,
        &[
            UnfenceBroker { broker: BrokerId(2), epoch: 6 }.into(),
            BrokerRegistrationChange {
                broker: BrokerId(1),
                epoch: 5,
                fenced: Some(false),
                log_dirs: directories,
                cordoned_log_dirs: Some(vec![Uuid::from_u128(2000)]),
                ..BrokerRegistrationChange::default()
            }
            .into(),
        ],
    );
    assert_eq!(delta.brokers_changed[0].old.as_ref().map(|old| old.fenced), Some(true));
    let one = image.broker(BrokerId(1)).unwrap();
    assert!(one.is_active() && one.takes_replicas());
    let online = [(1, true), (0, true), (2, false), (1000, false), (3000, true)];
    for (id, expected) in online {
        assert_eq!(one.has_online(DirectoryId(Uuid::from_u128(id))), expected, "directory {id}");
    }
    let all = Some(vec![Uuid::from_u128(2000), Uuid::from_u128(3000)]);
    let stop = BrokerRegistrationChange {
        broker: BrokerId(1),
        epoch: 5,
        in_controlled_shutdown: true,
        cordoned_log_dirs: all,
        ..BrokerRegistrationChange::default()
    };
    let (image, _) = apply(&image, &[stop.into(), FenceBroker { broker: BrokerId(2), epoch: 6 }.into()]);
    let one = image.broker(BrokerId(1)).unwrap();
    assert!(!one.fenced && !one.is_active() && !one.takes_replicas());
    assert!(image.broker(BrokerId(2)).unwrap().fenced);
    let (image, delta) = apply(&image, &[UnregisterBroker { broker: BrokerId(2), epoch: 6 }.into()]);
    assert_eq!((image.brokers().count(), delta.brokers_changed[0].new.clone()), (1, None));
}

#[test]
fn features_producer_ids_and_controllers() {
    let level = |name: &str, level| MetadataRecord::from(FeatureLevel { name: name.to_owned(), level });
    let (image, delta) = apply(&image_of(&[]), &[level(METADATA_VERSION, 30), level("x", 2), level("y", 0)]);
    assert_eq!((image.metadata_version(), image.feature("x"), image.feature("y")), (Some(30), 2, 0));
    assert_eq!(delta.features_changed.len(), 2);
    let next = |next| {
        MetadataRecord::from(ProducerIds { broker: BrokerId(1), broker_epoch: 5, next: ProducerId(next) })
    };
    let controller = RegisterController {
        controller: BrokerId(1),
        incarnation: Uuid::from_u128(9),
        zk_migration_ready: false,
        endpoints: vec![],
        features: vec![],
    };
    let (image, delta) = apply(&image, &[level("x", 0), next(1000), controller.into()]);
    let off = FeatureChange { name: Arc::from("x"), old: 2, new: 0 };
    assert_eq!((delta.features_changed, delta.producer_ids_changed), (vec![off], true));
    assert_eq!((delta.controllers_changed, image.producer_id_next()), (vec![BrokerId(1)], ProducerId(1000)));
    assert_eq!(image.features().count(), 1);
}

#[test]
fn eligible_leaders_are_cleared() {
    let mut record = partition_record(10, 0);
    (record.elr, record.last_known_elr) = (vec![BrokerId(2)], vec![BrokerId(3)]);
    let mut records = topic_records("b", 11, 1);
    records.extend([Topic { name: "a".to_owned(), id: topic_id(10) }.into(), record.into()]);
    let image = image_of(&records);
    for topic in ["", "a"] {
        let (image, delta) = apply(&image, &[ClearElr { topic: topic.to_owned() }.into()]);
        let partition = image.partition_by_name("a", PartitionIndex(0)).unwrap();
        assert!(partition.eligible_leaders.is_empty() && partition.last_known_eligible.is_empty());
        assert_eq!((partition.partition_epoch, partition.leader_epoch), (PartitionEpoch(1), LeaderEpoch(0)));
        assert_eq!(delta.partitions_changed.len(), 1);
    }
}

#[test]
fn an_aborted_transaction_never_was() {
    let before = image_with(&[("a", 10, 1)]);
    let begin = MetadataRecord::from(BeginTransaction::default());
    let abort = MetadataRecord::from(AbortTransaction::default());
    let remove = MetadataRecord::from(RemoveTopic { id: topic_id(10) });
    let (during, _) = apply(&before, &[begin.clone(), remove.clone()]);
    assert!(during.in_transaction() && during.topic("a").is_none());
    let (after, _) = apply(&during, &[abort, MetadataRecord::NoOp]);
    assert!(ImageDelta::between(&before, &after).is_empty());
    assert_eq!(after.version().offset, Offset(5));
    let (after, delta) = apply(&before, &[begin, remove, MetadataRecord::EndTransaction]);
    assert!(!after.in_transaction() && delta.topics_deleted.len() == 1);
}

#[test]
fn records_without_a_place_are_counted() {
    let opaque = MetadataRecord::Opaque { key: 999, version: 3, body: vec![1, 2, 3] };
    let (image, delta) = apply(&image_of(&[]), &[opaque.clone(), opaque, MetadataRecord::NoOp]);
    assert_eq!(image.opaque_count(), 2);
    assert!(delta.is_empty());
}

#[test]
fn contradictions_are_errors_with_their_offset() {
    let mut records = topic_records("a", 10, 1);
    records.push(broker(1, 5).into());
    records.push(ProducerIds { broker: BrokerId(1), broker_epoch: 5, next: ProducerId(1000) }.into());
    let image = image_of(&records);
    let partition = |edit: fn(&mut slipring_protocol::metadata_records::Partition)| {
        let mut record = partition_record(10, 0);
        edit(&mut record);
        MetadataRecord::from(record)
    };
    let epoch = BrokerRegistrationChange { broker: BrokerId(1), epoch: 6, ..Default::default() };
    let cases: Vec<(MetadataRecord, &str)> = vec![
        (Topic { name: "a".to_owned(), id: topic_id(20) }.into(), "topic 'a' exists"),
        (Topic { name: "b".to_owned(), id: topic_id(10) }.into(), "topic id AAAAAAAAAAAAAAAAAAAACg exists"),
        (RemoveTopic { id: topic_id(20) }.into(), "no topic has id AAAAAAAAAAAAAAAAAAAAFA"),
        (partition(|record| record.topic = topic_id(20)), "no topic has id AAAAAAAAAAAAAAAAAAAAFA"),
        (partition(|record| record.partition = PartitionIndex(-1)), "partition -1 is out of range"),
        (partition(|record| record.leader = BrokerId(-2)), "leader -2 is out of range"),
        (partition(|record| record.directories.push(Uuid::nil())), "2 directories for 1 replicas"),
        (change(20, 0).into(), "no topic has id AAAAAAAAAAAAAAAAAAAAFA"),
        (change(10, 1).into(), "topic 'a' has no partition 1"),
        (ChangeRecord { replicas: Some(vec![]), ..change(10, 0) }.into(), "1 directories for 0 replicas"),
        (ChangeRecord { leader: Some(BrokerId(-9)), ..change(10, 0) }.into(), "leader -9 is out of range"),
        (ClearElr { topic: "b".to_owned() }.into(), "no topic is called 'b'"),
        (UnfenceBroker { broker: BrokerId(2), epoch: 5 }.into(), "broker 2 is not registered"),
        (
            UnregisterBroker { broker: BrokerId(1), epoch: 4 }.into(),
            "broker 1 is registered with epoch 5, not 4",
        ),
        (epoch.into(), "broker 1 is registered with epoch 5, not 6"),
        (
            ProducerIds { broker: BrokerId(1), broker_epoch: 5, next: ProducerId(1000) }.into(),
            "next producer id 1000 is not above 1000",
        ),
        (MetadataRecord::EndTransaction, "a metadata transaction is not open"),
        (AbortTransaction::default().into(), "a metadata transaction is not open"),
    ];
    for (record, message) in cases {
        let error = image.apply(&[MetadataRecord::NoOp, record], Offset(50), LeaderEpoch(1)).unwrap_err();
        assert_eq!(error.to_string(), format!("metadata record at offset 51: {message}"));
    }
    let begin = MetadataRecord::from(BeginTransaction::default());
    let error = image.apply(&[begin.clone(), begin], Offset(50), LeaderEpoch(1)).unwrap_err();
    assert_eq!(error.problem, ImageProblem::Transaction { open: true });
}

#[test]
fn epochs_end_in_an_error() {
    let last = |leader_epoch, partition_epoch| {
        let mut record = partition_record(10, 0);
        (record.leader_epoch, record.partition_epoch) = (LeaderEpoch(leader_epoch), partition_epoch);
        image_of(&[Topic { name: "a".to_owned(), id: topic_id(10) }.into(), record.into()])
    };
    let lead = MetadataRecord::from(ChangeRecord { leader: Some(BrokerId(1)), ..change(10, 0) });
    for (image, field) in [(last(i32::MAX, 0), "leader epoch"), (last(0, i32::MAX), "partition epoch")] {
        let error = image.apply(std::slice::from_ref(&lead), Offset(50), LeaderEpoch(1)).unwrap_err();
        assert_eq!(error.problem, ImageProblem::OutOfRange { field, value: i32::MAX.into() });
    }
}

#[test]
fn offsets_and_epochs_only_go_up() {
    let image = image_with(&[("a", 10, 1)]);
    for (offset, epoch, fine) in [(2, 1, true), (9, 2, true), (1, 1, false), (-5, 1, false), (2, 0, false)] {
        let applied = image.apply(&[MetadataRecord::NoOp], Offset(offset), LeaderEpoch(epoch));
        assert_eq!(applied.is_ok(), fine, "offset {offset} epoch {epoch}");
    }
    let far = image.apply(&[MetadataRecord::NoOp, MetadataRecord::NoOp], Offset(i64::MAX), LeaderEpoch(1));
    assert_eq!(far.unwrap().0.version().offset, Offset(i64::MAX));
}
