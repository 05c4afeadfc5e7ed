//! CreateTopics and DeleteTopics.

use super::*;

fn by_hand(name: &str, assignments: Vec<PartitionAssignment>) -> NewTopic {
    NewTopic { partitions: -1, replication_factor: -1, assignments, ..topic(name) }
}

fn config(name: &str, value: Option<&str>) -> TopicConfig {
    TopicConfig { name: name.to_owned(), value: value.map(str::to_owned) }
}

#[test]
fn a_topic_is_created_with_its_configs() {
    let mut bench = Bench::with_brokers(&[1]);
    let before = bench.log.len();
    let configs = vec![config("b", Some("2")), config("a", Some("1")), config("b", Some("3"))];
    let new = NewTopic { partitions: 3, configs, ..topic("t") };
    let results = bench.create(vec![new.clone()]);
    let created = CreatedTopic { id: new.id, partitions: 3, replication_factor: 1 };
    assert_eq!(results, [TopicResult { name: "t".to_owned(), result: Ok(created) }]);
    let kinds: Vec<i16> = bench.log[before..].iter().map(MetadataRecord::key).collect();
    assert_eq!(kinds, [2, 4, 4, 3, 3, 3], "topic, configs, partitions");
    let partition = bench.partition("t", 2);
    assert_eq!(bench.leadership("t", 2), (1, 0, vec![1]));
    assert_eq!((&*partition.replicas, partition.partition_epoch.0), (&*ids(&[1]), 0));
    assert_eq!(partition.directories, [DirectoryId(directory(1, 0))]);
    let name: Arc<str> = Arc::from("t");
    let value = |key| bench.controller.image().topic_config(&name, key).map(|value| value.to_string());
    assert_eq!((value("a"), value("b")), (Some("1".to_owned()), Some("3".to_owned())));
}

#[test]
fn minus_one_is_the_default() {
    let mut bench = Bench::with_brokers(&[1, 2]);
    let new = NewTopic { partitions: -1, replication_factor: -1, ..topic("t") };
    let defaults = TopicDefaults { partitions: 4, replication_factor: 2 };
    let command = CreateTopics { topics: vec![new], defaults, ..CreateTopics::default() };
    let Reply::CreateTopics(Ok(results)) = bench.run(Command::CreateTopics(command)) else { panic!() };
    let created = results[0].result.clone().unwrap();
    assert_eq!((created.partitions, created.replication_factor), (4, 2));
    assert_eq!(bench.partition("t", 3).isr.len(), 2);
}

#[test]
fn replicas_by_hand_stand_where_they_are_put() {
    let mut bench = Bench::with_brokers(&[1, 2, 3]);
    bench.fence(2);
    let new = by_hand("t", vec![assignment(1, &[3, 1]), assignment(0, &[2, 1])]);
    assert_eq!(bench.create(vec![new])[0].result.as_ref().map(|created| created.partitions), Ok(2));
    assert_eq!(bench.partition("t", 0).replicas, ids(&[2, 1]));
    // The fenced one is neither in sync nor leads.
    assert_eq!(bench.leadership("t", 0), (1, 0, vec![1]));
    assert_eq!(bench.leadership("t", 1), (3, 0, vec![3, 1]));
    assert_eq!(bench.partition("t", 1).directory(BrokerId(3)), Some(DirectoryId(directory(3, 0))));
}

#[test]
fn creation_is_refused_as_kafka_refuses_it() {
    use ErrorCode::{
        InvalidConfig, InvalidPartitions, InvalidReplicaAssignment, InvalidReplicationFactor, InvalidRequest,
        InvalidTopicException, TopicAlreadyExists, UnknownServerError,
    };
    let long = "x".repeat(32_768);
    let checked = ApiError::new(InvalidConfig, "Invalid value x for configuration y");
    let with = |edit: &dyn Fn(&mut NewTopic)| {
        let mut new = topic("t");
        edit(&mut new);
        new
    };
    let cases: Vec<(NewTopic, ErrorCode, &str)> = vec![
        (topic("here"), TopicAlreadyExists, "Topic 'here' already exists."),
        (topic("a.b"), TopicAlreadyExists, "Topic 'a.b' already exists."),
        (topic("a_b"), InvalidTopicException, "Topic 'a_b' collides with existing topic: a.b"),
        (topic(".."), InvalidTopicException, "Topic name is invalid: '..' is not allowed"),
        (
            with(&|new| (new.partitions, new.replication_factor) = (0, 0)),
            InvalidReplicationFactor,
            "Replication factor must be larger than 0, or -1 to use the default value.",
        ),
        (
            with(&|new| new.replication_factor = -2),
            InvalidReplicationFactor,
            "Replication factor must be larger than 0, or -1 to use the default value.",
        ),
        (
            with(&|new| new.partitions = 0),
            InvalidPartitions,
            "Number of partitions was set to an invalid non-positive value.",
        ),
        (
            with(&|new| new.partitions = -2),
            InvalidPartitions,
            "Number of partitions was set to an invalid non-positive value.",
        ),
        (
            with(&|new| new.replication_factor = 4),
            InvalidReplicationFactor,
            "Unable to replicate the partition 4 time(s): The target replication factor of 4 cannot be reached because \
             only 3 broker(s) are registered or some brokers have all their log directories cordoned.",
        ),
        (
            with(&|new| new.configs = vec![config("k", None), config("l", Some("1")), config("m", None)]),
            InvalidConfig,
            "Null value not supported for topic configs: k,m",
        ),
        (
            with(&|new| new.configs = vec![config("k", Some(&long))]),
            InvalidConfig,
            "The configuration value cannot be added because it exceeds the maximum value size of 32767 bytes.",
        ),
        (
            with(&|new| (new.partitions, new.config_error) = (0, Some(checked.clone()))),
            InvalidConfig,
            "Invalid value x for configuration y",
        ),
        (
            with(&|new| (new.partitions, new.assignments) = (-1, vec![assignment(0, &[1])])),
            InvalidRequest,
            "A manual partition assignment was specified, but replication factor was not set to -1.",
        ),
        (
            with(&|new| (new.replication_factor, new.assignments) = (-1, vec![assignment(0, &[1])])),
            InvalidRequest,
            "A manual partition assignment was specified, but numPartitions was not set to -1.",
        ),
        (
            by_hand("t", vec![assignment(0, &[1]), assignment(0, &[3])]),
            InvalidReplicaAssignment,
            "Found multiple manual partition assignments for partition 0",
        ),
        (
            by_hand("t", vec![assignment(0, &[])]),
            InvalidReplicaAssignment,
            "The manual partition assignment includes an empty replica list.",
        ),
        (
            by_hand("t", vec![assignment(0, &[1, 9])]),
            InvalidReplicaAssignment,
            "The manual partition assignment includes broker 9, but no such broker is registered.",
        ),
        (
            by_hand("t", vec![assignment(0, &[1, 3, 1])]),
            InvalidReplicaAssignment,
            "The manual partition assignment includes the broker 1 more than once.",
        ),
        (
            by_hand("t", vec![assignment(0, &[1]), assignment(1, &[1, 3])]),
            InvalidReplicaAssignment,
            "The manual partition assignment includes a partition with 2 replica(s), but this is not consistent with \
             previous partitions, which have 1 replica(s).",
        ),
        (
            by_hand("t", vec![assignment(0, &[2])]),
            InvalidReplicaAssignment,
            "All brokers specified in the manual partition assignment for partition 0 are fenced or in controlled \
             shutdown.",
        ),
        (
            by_hand("t", vec![assignment(0, &[1]), assignment(2, &[1])]),
            InvalidReplicaAssignment,
            "partitions should be a consecutive 0-based integer sequence",
        ),
        (
            by_hand("t", vec![assignment(-1, &[1])]),
            InvalidReplicaAssignment,
            "partitions should be a consecutive 0-based integer sequence",
        ),
        // Mistakes of the caller, not of a client.
        (with(&|new| new.id = topic("here").id), UnknownServerError, ""),
        (with(&|new| new.id = TopicId::NONE), UnknownServerError, ""),
        (with(&|new| new.id = TopicId::CLUSTER_METADATA), UnknownServerError, ""),
    ];
    let mut bench = Bench::with_brokers(&[1, 2, 3]);
    bench.fence(2);
    bench.create(vec![topic("here"), topic("a.b")]);
    let before = bench.controller.clone();
    for (new, code, message) in cases {
        // A good one beside it is created all the same.
        let results = bench.create(vec![new.clone(), topic("good")]);
        assert_eq!(told(results[0].result.clone().unwrap_err()), (code, message.to_owned()), "{new:?}");
        assert!(results[1].result.is_ok() && bench.controller.image().topic("t").is_none());
        bench.controller = before.clone();
    }
}

#[test]
fn all_brokers_fenced_is_a_replication_factor() {
    let mut bench = Bench::with_brokers(&[1]);
    bench.fence(1);
    let error = bench.create(vec![topic("t")])[0].result.clone().unwrap_err();
    let message = "Unable to replicate the partition 1 time(s): All brokers are currently fenced, or have all their log \
                   directories cordoned.";
    assert_eq!(told(error), (ErrorCode::InvalidReplicationFactor, message.to_owned()));
}

#[test]
fn names_listed_twice_and_the_metadata_topic_are_refused() {
    let mut bench = Bench::with_brokers(&[1]);
    let metadata = topic("__cluster_metadata");
    let results = bench.create(vec![topic("a"), topic("b"), metadata, topic("a"), topic("a")]);
    let outcome = |result: &TopicResult| match &result.result {
        Ok(_) => (result.name.clone(), String::new()),
        Err(error) => (result.name.clone(), error.to_string()),
    };
    let expected = [
        ("b", ""),
        ("a", "InvalidRequest: Duplicate topic name."),
        (
            "__cluster_metadata",
            "InvalidRequest: Creation of internal topic __cluster_metadata is prohibited.",
        ),
    ];
    let expected = expected.map(|(name, error)| (name.to_owned(), error.to_owned()));
    assert_eq!(results.iter().map(outcome).collect::<Vec<_>>(), expected);
    assert_eq!(bench.controller.image().topic_count(), 1);
    // Names of one request are not held against each other, and a deleted one is forgotten.
    assert!(bench.create(vec![topic("x.y"), topic("x_y")]).iter().all(|result| result.result.is_ok()));
    assert!(bench.create(vec![topic("x__y")])[0].result.is_ok());
    for (name, left) in [("x.y", "collides with existing topic: x_y"), ("x_y", "")] {
        bench.run(Command::DeleteTopics(delete(&[(Some(name), TopicId::NONE)])));
        let probe = NewTopic { id: topic("probe").id, ..topic("x.y") };
        let command = CreateTopics { topics: vec![probe], validate_only: true, ..CreateTopics::default() };
        let Reply::CreateTopics(Ok(results)) = bench.run(Command::CreateTopics(command)) else { panic!() };
        let error = results[0].result.clone().err().and_then(|error| error.message).unwrap_or_default();
        assert!(error.ends_with(left) && error.is_empty() == left.is_empty(), "{error}");
    }
}

#[test]
fn validating_writes_nothing() {
    let mut bench = Bench::with_brokers(&[1]);
    let before = bench.controller.clone();
    let topics = vec![topic("a"), topic("..")];
    let command = CreateTopics { topics: topics.clone(), validate_only: true, ..CreateTopics::default() };
    let Reply::CreateTopics(Ok(tried)) = bench.run(Command::CreateTopics(command)) else { panic!() };
    assert_eq!(bench.controller, before);
    assert_eq!(tried, bench.create(topics));
}

#[test]
fn requests_have_a_size() {
    let mut bench = Bench::with_brokers(&[1]);
    let before = bench.controller.clone();
    let of = |counts: &[i32]| {
        let each =
            |(number, &partitions): (usize, &i32)| NewTopic { partitions, ..topic(&format!("t{number}")) };
        let topics = counts.iter().enumerate().map(each).collect();
        Command::CreateTopics(CreateTopics { topics, ..CreateTopics::default() })
    };
    let partitions =
        ApiError::new(ErrorCode::PolicyViolation, "Excessively large number of partitions per request.");
    let records = ApiError::too_large();
    let cases: [(&[i32], Option<&ApiError>); 6] = [
        (&[9_999], None),
        (&[10_000], Some(&records)),
        (&[5_000, 4_999], Some(&records)),
        (&[5_000, 4_998], None),
        (&[5_000, 5_001], Some(&partitions)),
        (&[i32::MAX, i32::MAX, i32::MAX], Some(&partitions)),
    ];
    for (counts, expected) in cases {
        let Reply::CreateTopics(reply) = bench.run(of(counts)) else { panic!() };
        assert_eq!(reply.as_ref().err(), expected, "{counts:?}");
        if expected.is_some() {
            assert_eq!(bench.controller, before);
        }
        bench = Bench { controller: before.clone(), log: bench.log };
    }
}

#[test]
fn new_replicas_go_to_the_emptiest_directory() {
    let mut bench = Bench::new();
    let log_dirs = (0..3).map(|number| directory(1, number)).collect();
    let command = RegisterBroker { log_dirs, next_offset: bench.next_offset(), ..registration(1, 1) };
    let Reply::RegisterBroker(Ok(epoch)) = bench.run(Command::RegisterBroker(command)) else { panic!() };
    bench.unfence(1, epoch);
    bench.create(vec![NewTopic { partitions: 4, ..topic("a") }]);
    bench.create(vec![NewTopic { partitions: 3, ..topic("b") }]);
    let chosen = |topic: &str, count: i32| {
        let one = |index| bench.partition(topic, index).directories[0].0.as_u128() - 1000;
        (0..count).map(one).collect::<Vec<_>>()
    };
    assert_eq!((chosen("a", 4), chosen("b", 3)), (vec![0, 1, 2, 0], vec![1, 2, 0]));
    bench.run(Command::DeleteTopics(delete(&[(Some("a"), TopicId::NONE)])));
    bench.create(vec![NewTopic { partitions: 2, ..topic("c") }]);
    let loads: Vec<u32> = bench.controller.directory_loads.values().copied().collect();
    assert_eq!(loads, [2, 2, 1]);
}

pub(super) fn delete(topics: &[(Option<&str>, TopicId)]) -> DeleteTopics {
    let selector =
        |&(name, id): &(Option<&str>, TopicId)| TopicSelector { name: name.map(str::to_owned), id };
    DeleteTopics { topics: topics.iter().map(selector).collect() }
}

#[test]
fn topics_are_deleted_by_name_and_id_and_mistakes_are_told() {
    use ErrorCode::{InvalidRequest, UnknownTopicId, UnknownTopicOrPartition};
    let mut bench = Bench::with_brokers(&[1]);
    let names = ["a", "b", "c", "d", "e", "f"];
    bench.create(names.iter().map(|name| topic(name)).collect());
    let id = |name: &str| topic(name).id;
    let none = TopicId::NONE;
    let command = delete(&[
        (Some("a"), none),
        (None, id("b")),
        (None, none),
        (Some("c"), id("c")),
        (Some("c"), none),
        (Some("c"), none),
        (None, id("d")),
        (None, id("d")),
        (Some("d"), none),
        (None, id("e")),
        (Some("e"), none),
        (Some("nope"), none),
        (None, id("nope")),
    ]);
    let Reply::DeleteTopics(Ok(results)) = bench.run(Command::DeleteTopics(command)) else { panic!() };
    let told: Vec<_> = results
        .into_iter()
        .map(|result| {
            let (code, message) = result.result.err().map(told).unwrap_or((ErrorCode::None, String::new()));
            (result.name.unwrap_or_default(), result.id, code, message)
        })
        .collect();
    let expected = [
        ("", none, InvalidRequest, "Neither topic name nor id were specified."),
        ("c", id("c"), InvalidRequest, "You may not specify both topic name and topic id."),
        ("c", none, InvalidRequest, "Duplicate topic name."),
        ("", id("d"), InvalidRequest, "Duplicate topic id."),
        ("", id("nope"), UnknownTopicId, "This server does not host this topic ID."),
        ("d", id("d"), InvalidRequest, "The provided topic name maps to an ID that was already supplied."),
        ("e", id("e"), InvalidRequest, "The provided topic name maps to an ID that was already supplied."),
        ("nope", none, UnknownTopicOrPartition, "This server does not host this topic-partition."),
        ("a", id("a"), ErrorCode::None, ""),
        ("b", id("b"), ErrorCode::None, ""),
    ];
    let expected: Vec<_> = expected
        .into_iter()
        .map(|(name, id, code, message)| (name.to_owned(), id, code, message.to_owned()))
        .collect();
    assert_eq!(told, expected);
    let left: Vec<&str> =
        names.into_iter().filter(|name| bench.controller.image().topic(name).is_some()).collect();
    assert_eq!(left, ["c", "d", "e", "f"]);
}
