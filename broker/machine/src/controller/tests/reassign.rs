//! AlterPartitionReassignments, ElectLeaders, UnregisterBroker.

use super::*;

fn reassign(
    bench: &mut Bench,
    topic: &str,
    partition: i32,
    replicas: Option<&[i32]>,
) -> Result<(), ApiError> {
    let target = Reassignment {
        topic: topic.to_owned(),
        partition: PartitionIndex(partition),
        replicas: replicas.map(ids),
    };
    let command = AlterReassignments { partitions: vec![target], may_change_factor: true };
    match bench.run(Command::AlterReassignments(command)) {
        Reply::AlterReassignments(results) => results[0].clone(),
        other => panic!("{other:?}"),
    }
}

fn elect(bench: &mut Bench, kind: ElectionKind, topics: Option<&[(&str, &[i32])]>) -> Vec<ElectionResult> {
    let partitions = |indexes: &[i32]| indexes.iter().copied().map(PartitionIndex).collect();
    let topics = topics.map(|topics| {
        topics.iter().map(|(topic, indexes)| ((*topic).to_owned(), partitions(indexes))).collect()
    });
    match bench.run(Command::ElectLeaders(ElectLeaders { kind, topics })) {
        Reply::ElectLeaders(results) => results,
        other => panic!("{other:?}"),
    }
}

fn two_replicas() -> Bench {
    let mut bench = Bench::with_brokers(&[1, 2]);
    let by_hand = NewTopic {
        partitions: -1,
        replication_factor: -1,
        assignments: vec![assignment(0, &[1, 2]), assignment(1, &[2, 1])],
        ..topic("t")
    };
    bench.create(vec![by_hand]);
    bench
}

#[test]
fn replicas_change_their_order_but_not_their_brokers() {
    let mut bench = two_replicas();
    assert_eq!(reassign(&mut bench, "t", 0, Some(&[1, 2])), Ok(()));
    let before = bench.partition("t", 0).clone();
    assert_eq!(reassign(&mut bench, "t", 0, Some(&[2, 1])), Ok(()));
    let after = bench.partition("t", 0);
    assert_eq!((&after.replicas, &after.isr, after.leader), (&ids(&[2, 1]), &before.isr, before.leader));
    let directories = [DirectoryId(directory(2, 0)), DirectoryId(directory(1, 0))];
    assert_eq!(after.directories, directories);
    let refused = |result: Result<(), ApiError>| result.unwrap_err().code;
    assert_eq!(refused(reassign(&mut bench, "t", 0, Some(&[1]))), ErrorCode::InvalidReplicaAssignment);
    assert_eq!(refused(reassign(&mut bench, "t", 0, Some(&[1, 7]))), ErrorCode::InvalidReplicaAssignment);
    assert_eq!(refused(reassign(&mut bench, "t", 0, Some(&[]))), ErrorCode::InvalidReplicaAssignment);
    assert_eq!(refused(reassign(&mut bench, "t", 0, None)), ErrorCode::NoReassignmentInProgress);
    assert_eq!(refused(reassign(&mut bench, "t", 9, Some(&[1]))), ErrorCode::UnknownTopicOrPartition);
    assert_eq!(refused(reassign(&mut bench, "u", 0, Some(&[1]))), ErrorCode::UnknownTopicOrPartition);
}

#[test]
fn the_preferred_leader_is_elected_once_it_can_lead() {
    let mut bench = two_replicas();
    let wanted: &[(&str, &[i32])] = &[("t", &[0, 1])];
    let code = |result: &Result<(), ApiError>| result.as_ref().err().map(|error| error.code);
    let codes = |results: &[ElectionResult]| -> Vec<Option<ErrorCode>> {
        results.iter().flat_map(|topic| &topic.partitions).map(|(_, result)| code(result)).collect()
    };
    let not_needed = Some(ErrorCode::ElectionNotNeeded);
    assert_eq!(codes(&elect(&mut bench, ElectionKind::Preferred, Some(wanted))), [not_needed; 2]);
    assert!(codes(&elect(&mut bench, ElectionKind::Preferred, None)).is_empty());
    bench.fence(1);
    assert_eq!(bench.leadership("t", 0).0, 2);
    let unavailable = Some(ErrorCode::PreferredLeaderNotAvailable);
    assert_eq!(codes(&elect(&mut bench, ElectionKind::Preferred, Some(wanted))), [unavailable, not_needed]);
    assert_eq!(codes(&elect(&mut bench, ElectionKind::Unclean, Some(wanted))), [not_needed; 2]);
    // The order changes instead: the present leader becomes the second.
    assert_eq!(reassign(&mut bench, "t", 1, Some(&[1, 2])), Ok(()));
    assert_eq!(codes(&elect(&mut bench, ElectionKind::Preferred, None)), [unavailable, unavailable]);
    let unknown: &[(&str, &[i32])] = &[("t", &[7]), ("u", &[0])];
    let unknown = codes(&elect(&mut bench, ElectionKind::Preferred, Some(unknown)));
    assert_eq!(unknown, [Some(ErrorCode::UnknownTopicOrPartition); 2]);
}

#[test]
fn a_swapped_partition_is_led_by_its_new_preferred_leader_on_request() {
    let mut bench = two_replicas();
    assert_eq!(reassign(&mut bench, "t", 0, Some(&[2, 1])), Ok(()));
    assert_eq!(bench.leadership("t", 0), (1, 0, vec![1, 2]));
    let results = elect(&mut bench, ElectionKind::Preferred, None);
    assert_eq!(results[0].partitions, [(PartitionIndex(0), Ok(()))]);
    assert_eq!(bench.leadership("t", 0), (2, 1, vec![1, 2]));
}

#[test]
fn only_brokers_that_are_not_this_one_are_unregistered() {
    let mut bench = two_replicas();
    let mut unregister = |id: i32| match bench.run(Command::UnregisterBroker(BrokerId(id))) {
        Reply::UnregisterBroker(result) => result.map_err(|error| error.code),
        other => panic!("{other:?}"),
    };
    assert_eq!(unregister(7), Err(ErrorCode::BrokerIdNotRegistered));
    assert_eq!(unregister(1), Err(ErrorCode::InvalidRequest));
    assert_eq!(unregister(2), Ok(()));
    assert_eq!(unregister(2), Err(ErrorCode::BrokerIdNotRegistered));
    assert_eq!(bench.leadership("t", 1), (1, 1, vec![1]));
}
