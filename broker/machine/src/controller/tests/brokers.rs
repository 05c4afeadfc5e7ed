//! Activation, registration, fencing, leadership and producer ids.

use slipring_protocol::metadata_records::{
    BeginTransaction, Config, FeatureLevel, LeaderRecoveryState, PartitionChange, ProducerIds,
};

use super::*;

fn feature(name: &str, min: i16, max: i16) -> FeatureRange {
    FeatureRange { name: name.to_owned(), min, max }
}

#[test]
fn a_new_log_starts_with_its_features() {
    let config = ControllerConfig { node_id: BrokerId(1), unclean_leader_election: false };
    let controller = Controller::new(config, MetadataImage::empty(Arc::from(CLUSTER)));
    let features = vec![("z.version".to_owned(), 2), ("a.version".to_owned(), 1), ("off".to_owned(), 0)];
    let command = ActivateController { bootstrap_features: features, ..activation(1) };
    let decision = controller.decide(TimestampMs(0), Command::ActivateController(command));
    let levels: Vec<_> = decision
        .records
        .iter()
        .filter_map(|record| match record {
            MetadataRecord::FeatureLevel(record) => Some((record.name.as_str(), record.level)),
            _ => None,
        })
        .collect();
    assert_eq!(levels, [(METADATA_VERSION, 30), ("a.version", 1), ("z.version", 2)]);
    assert_eq!((decision.records.len(), decision.records[3].key()), (4, 27));
}

#[test]
fn a_later_start_only_registers_and_only_when_something_changed() {
    let mut bench = Bench::new();
    let count = bench.log.len();
    for (incarnation, added) in [(1, 0), (2, 1), (2, 1), (3, 2)] {
        bench.run(Command::ActivateController(activation(incarnation)));
        assert_eq!(bench.log.len(), count + added);
    }
    let incarnation = bench.controller.image().controller(BrokerId(1)).unwrap().incarnation_id;
    assert_eq!(incarnation, Uuid::from_u128(3));
}

#[test]
fn a_transaction_left_open_is_aborted_and_begun_anew() {
    let config = ControllerConfig { node_id: BrokerId(1), unclean_leader_election: false };
    let image = MetadataImage::empty(Arc::from(CLUSTER));
    let mut bench = Bench { controller: Controller::new(config, image), log: vec![] };
    let level = FeatureLevel { name: METADATA_VERSION.to_owned(), level: 29 };
    bench.take(&[BeginTransaction::default().into(), level.into()]);
    bench.run(Command::ActivateController(activation(1)));
    let kinds: Vec<i16> = bench.log.iter().map(MetadataRecord::key).collect();
    assert_eq!(kinds, [23, 12, 25, 12, 27]);
    assert!(!bench.controller.image().in_transaction());
    assert_eq!(bench.controller.image().metadata_version(), Some(30));
}

#[test]
fn a_log_of_a_newer_kafka_is_not_led() {
    for (level, fine) in [(6, false), (7, true), (30, true), (31, false)] {
        let mut bench = Bench::new();
        bench.take(&[FeatureLevel { name: METADATA_VERSION.to_owned(), level }.into()]);
        let Reply::ActivateController(reply) = bench.run(Command::ActivateController(activation(2))) else {
            panic!()
        };
        assert_eq!(reply.map_err(|error| error.code).is_ok(), fine, "level {level}");
    }
}

#[test]
fn registrations_are_refused_as_kafka_refuses_them() {
    use ErrorCode::{InconsistentClusterId, InvalidRegistration, UnsupportedVersion};
    let taken = slipring_protocol::ids::encode_uuid(directory(1, 0));
    let taken = format!("Broker 1 is already registered with directory {taken}");
    let with = |edit: &dyn Fn(&mut RegisterBroker)| {
        let mut command = registration(2, 2);
        edit(&mut command);
        command
    };
    let cases: Vec<(RegisterBroker, ErrorCode, &str)> = vec![
        (
            with(&|command| command.cluster_id = "other".to_owned()),
            InconsistentClusterId,
            "Expected cluster ID cluster-1, but got cluster ID other",
        ),
        (
            with(&|command| command.log_dirs.clear()),
            InvalidRegistration,
            "No directories specified in request",
        ),
        (
            with(&|command| command.log_dirs.push(Uuid::from_u128(99))),
            InvalidRegistration,
            "Reserved directory ID in request",
        ),
        (
            with(&|command| command.log_dirs.push(directory(2, 0))),
            InvalidRegistration,
            "Duplicate directory ID in request",
        ),
        (with(&|command| command.log_dirs.push(directory(1, 0))), InvalidRegistration, &taken),
        (
            with(&|command| command.features.clear()),
            InvalidRegistration,
            "Request features do not contain 'metadata.version'",
        ),
        (
            with(&|command| command.features = vec![feature(METADATA_VERSION, 7, 29)]),
            UnsupportedVersion,
            "Unable to register because the broker does not support finalized version 30 of metadata.version. The \
             broker wants a version between 7 and 29, inclusive.",
        ),
        (
            with(&|command| command.features.push(feature("new.version", 1, 2))),
            UnsupportedVersion,
            "Unable to register because the broker does not support finalized version 0 of new.version. The broker \
             wants a version between 1 and 2, inclusive.",
        ),
        (
            with(&|command| command.features.retain(|feature| feature.name != "old.version")),
            UnsupportedVersion,
            "Unable to register because the broker does not support finalized version 1 of old.version. The broker \
             wants a version between 0 and 0, inclusive.",
        ),
    ];
    let mut bench = Bench::with_brokers(&[1]);
    bench.take(&[FeatureLevel { name: "old.version".to_owned(), level: 1 }.into()]);
    let before = bench.controller.clone();
    for (mut command, code, message) in cases {
        if !message.contains("old.version") {
            command.features.push(feature("old.version", 0, 1));
        }
        if message.contains("features do not") {
            command.features.retain(|feature| feature.name != METADATA_VERSION);
        }
        let Reply::RegisterBroker(Err(error)) = bench.run(Command::RegisterBroker(command.clone())) else {
            panic!("{command:?}")
        };
        assert_eq!(told(error), (code, message.to_owned()));
        assert_eq!(bench.controller, before);
    }
}

#[test]
fn every_restart_raises_epochs() {
    let mut bench = Bench::with_brokers(&[1]);
    bench.create(vec![NewTopic { partitions: 3, ..topic("t") }]);
    let mut broker_epoch = bench.broker_ref(1).epoch;
    for restart in 1..5 {
        let before = bench.next_offset();
        let epoch = bench.register(1, 100 + u128::try_from(restart).unwrap());
        assert!(epoch > broker_epoch && epoch.0 == before.0);
        broker_epoch = epoch;
        // Registered but fenced: nobody leads.
        assert!(bench.controller.image().broker(BrokerId(1)).unwrap().fenced);
        assert_eq!(bench.leadership("t", 2), (-1, 2 * restart - 1, vec![1]));
        let kinds: Vec<i16> =
            bench.log[usize::try_from(before.0).unwrap()..].iter().map(MetadataRecord::key).collect();
        assert_eq!(kinds, [5, 5, 5, 0], "partitions first, the registration last");
        bench.unfence(1, epoch);
        assert_eq!(bench.leadership("t", 2), (1, 2 * restart, vec![1]));
        assert_eq!(bench.partition("t", 2).partition_epoch.0, 2 * restart);
    }
}

#[test]
fn the_same_incarnation_amends_its_registration() {
    let mut bench = Bench::with_brokers(&[1]);
    bench.create(vec![topic("t")]);
    let epoch = bench.broker_ref(1).epoch;
    let log_dirs = vec![directory(1, 0), directory(1, 1)];
    let command = RegisterBroker { log_dirs, next_offset: bench.next_offset(), ..registration(1, 1) };
    assert_eq!(bench.run(Command::RegisterBroker(command)), Reply::RegisterBroker(Ok(epoch)));
    let broker = bench.controller.image().broker(BrokerId(1)).unwrap();
    assert!(!broker.fenced && broker.directories.len() == 2);
    assert_eq!(bench.leadership("t", 0), (1, 0, vec![1]));
}

#[test]
fn stale_epochs_are_refused() {
    let mut bench = Bench::with_brokers(&[1]);
    let have = bench.broker_ref(1).epoch.0;
    let stale = BrokerRef { id: BrokerId(1), epoch: BrokerEpoch(have - 1) };
    let unknown = BrokerRef { id: BrokerId(8), epoch: BrokerEpoch(0) };
    let cases = [
        (stale, format!("Expected broker epoch {have}, but got broker epoch {}", have - 1)),
        (unknown, "No broker registration found for broker id 8".to_owned()),
    ];
    for (broker, message) in cases {
        let error = ApiError::new(ErrorCode::StaleBrokerEpoch, message);
        let expected = [
            (Command::UnfenceBroker(broker), Reply::UnfenceBroker(Err(error.clone()))),
            (Command::FenceBroker(broker), Reply::FenceBroker(Err(error.clone()))),
            (Command::AllocateProducerIds(broker), Reply::AllocateProducerIds(Err(error))),
        ];
        for (command, reply) in expected {
            assert_eq!(bench.run(command), reply);
        }
    }
    // Fencing the fenced, and unfencing the unfenced, is done already.
    let count = bench.log.len();
    bench.unfence(1, BrokerEpoch(have));
    assert_eq!(bench.log.len(), count);
    bench.fence(1);
    bench.fence(1);
    assert_eq!(bench.log.len(), count + 1);
}

#[test]
fn leadership_goes_to_the_next_in_sync() {
    let mut bench = Bench::with_brokers(&[1, 2, 3]);
    let assignments = vec![assignment(0, &[1, 2, 3])];
    bench.create(vec![NewTopic { partitions: -1, replication_factor: -1, assignments, ..topic("t") }]);
    bench.fence(3);
    assert_eq!(bench.leadership("t", 0), (1, 0, vec![1, 2]), "a follower leaves without a new reign");
    bench.fence(1);
    assert_eq!(bench.leadership("t", 0), (2, 1, vec![2]));
    bench.fence(2);
    assert_eq!(bench.leadership("t", 0), (-1, 2, vec![2]), "the last in sync stays in the ISR");
    // Those who are not in sync wait for the one who is.
    let epoch = bench.broker_ref(1).epoch;
    bench.unfence(1, epoch);
    assert_eq!(bench.leadership("t", 0), (-1, 2, vec![2]));
    let epoch = bench.broker_ref(2).epoch;
    bench.unfence(2, epoch);
    assert_eq!(bench.leadership("t", 0), (2, 3, vec![2]));
}

#[test]
fn an_unclean_leader_is_taken_where_it_is_allowed() {
    for (resource_type, name, allowed) in
        [(2, "t", "true"), (4, "1", "TRUE"), (4, "", "true"), (2, "t", "false"), (2, "other", "true")]
    {
        let mut bench = Bench::with_brokers(&[1, 2]);
        let assignments = vec![assignment(0, &[1, 2])];
        bench.create(vec![NewTopic { partitions: -1, replication_factor: -1, assignments, ..topic("t") }]);
        let set = |resource_type, name: &str, value: &str| {
            MetadataRecord::from(Config {
                resource_type,
                resource_name: name.to_owned(),
                name: "unclean.leader.election.enable".to_owned(),
                value: Some(value.to_owned()),
            })
        };
        // What is nearer to the topic wins.
        let cluster = if allowed == "false" { "true" } else { "false" };
        bench.take(&[set(4, "", cluster), set(resource_type, name, allowed)]);
        bench.fence(2);
        bench.fence(1);
        assert_eq!(bench.leadership("t", 0), (-1, 1, vec![1]));
        let epoch = bench.broker_ref(2).epoch;
        bench.unfence(2, epoch);
        let unclean = allowed != "false" && name != "other";
        let expected = if unclean { (2, 2, vec![2]) } else { (-1, 1, vec![1]) };
        assert_eq!(bench.leadership("t", 0), expected, "{resource_type} {name} {allowed}");
        let recovering = bench.partition("t", 0).leader_recovery == LeaderRecoveryState::Recovering;
        assert_eq!(recovering, unclean);
    }
}

#[test]
fn eligible_leaders_of_a_kafka_log_are_elected_from() {
    // Eligible leaders, last known ones; then the election: leader, eligible and last known after it, recovering.
    type Case = (&'static [i32], &'static [i32], (i32, &'static [i32], &'static [i32], bool));
    let cases: [Case; 4] = [
        (&[1, 2], &[2], (1, &[2], &[], false)),
        (&[2], &[1], (-1, &[2], &[1], false)),
        (&[], &[1], (1, &[], &[], true)),
        (&[], &[1, 2], (-1, &[], &[1, 2], false)),
    ];
    for (eligible, last_known, (leader, eligible_after, last_known_after, recovering)) in cases {
        let mut bench = Bench::with_brokers(&[1, 2]);
        let assignments = vec![assignment(0, &[1, 2])];
        bench.create(vec![NewTopic { partitions: -1, replication_factor: -1, assignments, ..topic("t") }]);
        bench.fence(2);
        bench.fence(1);
        // As Kafka leaves a partition whose last replica stopped.
        let stopped = PartitionChange {
            topic: topic("t").id,
            isr: Some(vec![]),
            elr: Some(ids(eligible)),
            last_known_elr: Some(ids(last_known)),
            ..PartitionChange::default()
        };
        bench.take(&[stopped.into()]);
        let epoch = bench.broker_ref(1).epoch;
        bench.unfence(1, epoch);
        let isr = if leader > 0 { vec![leader] } else { vec![] };
        assert_eq!(bench.leadership("t", 0), (leader, if leader > 0 { 2 } else { 1 }, isr));
        let partition = bench.partition("t", 0);
        assert_eq!(partition.eligible_leaders, ids(eligible_after));
        assert_eq!(partition.last_known_eligible, ids(last_known_after));
        assert_eq!(partition.leader_recovery == LeaderRecoveryState::Recovering, recovering);
    }
}

#[test]
fn a_replica_in_a_lost_directory_does_not_lead() {
    let mut bench = Bench::with_brokers(&[1]);
    bench.create(vec![topic("t")]);
    let lost = RegisterBroker {
        log_dirs: vec![directory(1, 5)],
        next_offset: bench.next_offset(),
        ..registration(1, 50)
    };
    let Reply::RegisterBroker(Ok(epoch)) = bench.run(Command::RegisterBroker(lost)) else { panic!() };
    bench.unfence(1, epoch);
    assert_eq!(bench.leadership("t", 0), (-1, 1, vec![1]));
    // The record that moves the replica, as a broker of Kafka's would have it written.
    let moved = PartitionChange {
        topic: topic("t").id,
        directories: Some(vec![directory(1, 5)]),
        ..PartitionChange::default()
    };
    bench.take(&[moved.into()]);
    bench.fence(1);
    bench.unfence(1, epoch);
    assert_eq!(bench.leadership("t", 0), (1, 2, vec![1]));
}

#[test]
fn producer_ids_come_in_blocks_and_end() {
    let mut bench = Bench::with_brokers(&[1]);
    let broker = bench.broker_ref(1);
    let mut next = || match bench.run(Command::AllocateProducerIds(broker)) {
        Reply::AllocateProducerIds(reply) => reply.map(|block| (block.broker.0, block.first.0, block.count)),
        other => panic!("{other:?}"),
    };
    assert_eq!((next(), next()), (Ok((1, 0, 1000)), Ok((1, 1000, 1000))));
    let used = slipring_protocol::ids::ProducerId(i64::MAX - 999);
    bench.take(&[ProducerIds { broker: broker.id, broker_epoch: broker.epoch.0, next: used }.into()]);
    let reply = bench.run(Command::AllocateProducerIds(broker));
    assert_eq!(reply, Reply::AllocateProducerIds(Err(ApiError::bare(ErrorCode::UnknownServerError))));
}
