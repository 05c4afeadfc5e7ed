//! CreatePartitions.

use super::*;

fn more(name: &str, count: i32, assignments: Option<Vec<Vec<BrokerId>>>) -> MorePartitions {
    MorePartitions { name: name.to_owned(), count, assignments }
}

fn run(bench: &mut Bench, topics: Vec<MorePartitions>, validate_only: bool) -> Vec<PartitionsResult> {
    let command = CreatePartitions { topics, validate_only, placement_seed: 7 };
    match bench.run(Command::CreatePartitions(command)) {
        Reply::CreatePartitions(Ok(results)) => results,
        other => panic!("{other:?}"),
    }
}

#[test]
fn partitions_are_added_behind_the_others() {
    let mut bench = Bench::with_brokers(&[1, 2]);
    let two = NewTopic { replication_factor: 2, ..topic("t") };
    bench.create(vec![two, topic("u")]);
    let by_hand = Some(vec![ids(&[2]), ids(&[1])]);
    let topics = vec![more("t", 4, None), more("u", 3, by_hand)];
    let before = bench.controller.clone();
    assert!(run(&mut bench, topics.clone(), true).iter().all(|result| result.result == Ok(())));
    assert_eq!(bench.controller, before);
    assert!(run(&mut bench, topics, false).iter().all(|result| result.result == Ok(())));
    let image = bench.controller.image();
    assert_eq!(image.topic("t").unwrap().partition_count(), 4);
    assert!(image.topic("t").unwrap().partitions().all(|(_, partition)| partition.isr.len() == 2));
    assert_eq!(bench.leadership("u", 1), (2, 0, vec![2]));
    assert_eq!(bench.partition("u", 1).directories, [DirectoryId(directory(2, 0))]);
    assert_eq!(bench.leadership("u", 2), (1, 0, vec![1]));
}

#[test]
fn additions_are_refused_as_kafka_refuses_them() {
    use ErrorCode::{
        InvalidPartitions, InvalidReplicaAssignment, InvalidReplicationFactor, PolicyViolation,
        UnknownTopicOrPartition,
    };
    let cases: Vec<(MorePartitions, ErrorCode, &str)> = vec![
        (more("nope", 3, None), UnknownTopicOrPartition, ""),
        (more("t", 2, None), InvalidPartitions, "Topic already has 2 partition(s)."),
        (
            more("t", 1, None),
            InvalidPartitions,
            "The topic t currently has 2 partition(s); 1 would not be an increase.",
        ),
        (
            more("t", -5, None),
            InvalidPartitions,
            "The topic t currently has 2 partition(s); -5 would not be an increase.",
        ),
        (
            more("t", 4, Some(vec![ids(&[1])])),
            InvalidReplicaAssignment,
            "Attempted to add 2 additional partition(s), but only 1 assignment(s) were specified.",
        ),
        (
            more("t", 3, Some(vec![])),
            InvalidReplicaAssignment,
            "Attempted to add 1 additional partition(s), but only 0 assignment(s) were specified.",
        ),
        (
            more("t", 3, Some(vec![ids(&[])])),
            InvalidReplicaAssignment,
            "The manual partition assignment includes an empty replica list.",
        ),
        (
            more("t", 3, Some(vec![ids(&[1, 2])])),
            InvalidReplicaAssignment,
            "The manual partition assignment includes a partition with 2 replica(s), but this is not consistent with \
             previous partitions, which have 1 replica(s).",
        ),
        (
            more("t", 4, Some(vec![ids(&[1]), ids(&[2])])),
            InvalidReplicaAssignment,
            "All brokers specified in the manual partition assignment for partition 3 are fenced or in controlled \
             shutdown.",
        ),
        (more("t", i32::MAX, None), PolicyViolation, "Unable to perform excessively large batch operation."),
    ];
    let mut bench = Bench::with_brokers(&[1, 2]);
    bench.fence(2);
    bench.create(vec![NewTopic { partitions: 2, ..topic("t") }, topic("good")]);
    let before = bench.controller.clone();
    for (topic, code, message) in cases {
        let results = run(&mut bench, vec![topic.clone(), more("good", 2, None)], false);
        assert_eq!(told(results[0].result.clone().unwrap_err()), (code, message.to_owned()), "{topic:?}");
        assert_eq!(results[1].result, Ok(()));
        assert_eq!(bench.controller.image().topic("t").unwrap().partition_count(), 2);
        bench.controller = before.clone();
    }
    bench.fence(1);
    let result = run(&mut bench, vec![more("t", 3, None)], false)[0].result.clone();
    let message = "All brokers are currently fenced, or have all their log directories cordoned.";
    assert_eq!(result, Err(ApiError::new(InvalidReplicationFactor, message)));
}

#[test]
fn names_listed_twice_are_refused() {
    let mut bench = Bench::with_brokers(&[1]);
    bench.create(vec![topic("a"), topic("b")]);
    let results = run(&mut bench, vec![more("a", 2, None), more("b", 2, None), more("a", 3, None)], false);
    let twice = Err(ApiError::new(ErrorCode::InvalidRequest, "Duplicate topic name."));
    let expected = [("a", twice), ("b", Ok(()))];
    assert_eq!(results, expected.map(|(name, result)| PartitionsResult { name: name.to_owned(), result }));
    assert!(run(&mut bench, vec![], false).is_empty());
}

#[test]
fn one_request_adds_no_more_than_an_operation_may() {
    let mut bench = Bench::with_brokers(&[1]);
    bench.create(vec![topic("a"), topic("b"), topic("c")]);
    let topics = vec![more("a", 9_001, None), more("b", 1_002, None), more("c", 1_001, None)];
    let results = run(&mut bench, topics, true);
    let outcome: Vec<bool> = results.iter().map(|result| result.result.is_ok()).collect();
    assert_eq!(outcome, [true, false, true]);
}
