//! Whoever makes and deletes topics, and reads everything again when the broker has come back.

use std::time::Duration;

use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest, ListOffsetsRequest, MetadataRequest,
    MetadataResponse, TopicName,
};
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::fetch::{FetchPartition, FetchRequest, FetchTopic};
use slipring_protocol::ids::{Offset, PartitionIndex, TopicId, TopicIdPartition};
use slipring_protocol::wire::WireStr;

use crate::chance::Chance;
use crate::ledger::{Topic, TopicState};
use crate::wire::{Gone, Wire};
use crate::world::Life;

/// Topics that come and go.
const PASSING: [&str; 3] = ["passing-a", "passing-b", "passing-c"];
/// Most partitions of a topic.
const PARTITIONS_MAX: i32 = 6;

/// Makes and deletes topics until the life is over.
pub async fn run(life: &Life, topic_configs: &[(String, String)], mut chance: Chance) {
    let Some(wire) = life.connect() else { return };
    while !life.is_over() {
        if step(life, &wire, topic_configs, &mut chance).await.is_err() {
            return assert!(life.is_over(), "the broker has closed a connection");
        }
        life.rest(&mut chance, Duration::from_secs(5)).await;
    }
}

async fn step(
    life: &Life,
    wire: &Wire,
    topic_configs: &[(String, String)],
    chance: &mut Chance,
) -> Result<(), Gone> {
    let name = chance.one(&PASSING);
    let there = life.ledger.borrow().topics.get(name).cloned();
    match (there, chance.of(0..10)) {
        (None, _) => {
            let partitions = i32::try_from(chance.of(1..4)).expect("small");
            create(life, wire, name, partitions, topic_configs).await
        }
        (Some(topic), 0..4) => delete(life, wire, name, topic.id).await,
        (Some(topic), 4) if topic.partitions < PARTITIONS_MAX => {
            grow(life, wire, name, topic.partitions + 1).await
        }
        _ => metadata(wire).await.map(|seen| check_topics(life, &seen)),
    }
}

/// Creates a topic.
///
/// # Errors
/// When the connection has ended.
pub async fn create(
    life: &Life,
    wire: &Wire,
    name: &str,
    partitions: i32,
    configs: &[(String, String)],
) -> Result<(), Gone> {
    let topic = Topic { id: None, partitions, state: TopicState::Creating };
    life.ledger.borrow_mut().topics.insert(name.to_owned(), topic);
    let config = |(key, value): &(String, String)| {
        let value = Some(WireStr::from_string(value.clone()));
        CreatableTopicConfig::default().with_name(WireStr::from_string(key.clone())).with_value(value)
    };
    let asked = CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(partitions)
        .with_replication_factor(1)
        .with_configs(configs.iter().map(config).collect());
    let request = CreateTopicsRequest::default().with_topics(vec![asked]).with_timeout_ms(30_000);
    let answer = wire.call(7, &request).await?;
    let made = &answer.topics[0];
    if ErrorCode::from_code(made.error_code) == ErrorCode::NotController && life.is_over() {
        return Err(Gone);
    }
    assert_eq!(made.error_code, 0, "CreateTopics of {name}: {:?}", made.error_message);
    let topic = Topic { id: Some(TopicId(made.topic_id)), partitions, state: TopicState::Live };
    life.ledger.borrow_mut().topics.insert(name.to_owned(), topic);
    life.ledger.borrow_mut().made(TopicId(made.topic_id), name);
    Ok(())
}

async fn delete(life: &Life, wire: &Wire, name: &str, id: Option<TopicId>) -> Result<(), Gone> {
    life.ledger.borrow_mut().topics.get_mut(name).expect("just found").state = TopicState::Deleting;
    let id = id.expect("live topics have their id");
    let state = DeleteTopicState::default().with_topic_id(id.0);
    let request = DeleteTopicsRequest::default().with_topics(vec![state]).with_timeout_ms(30_000);
    let answer = wire.call(6, &request).await?;
    let error = ErrorCode::from_code(answer.responses[0].error_code);
    if error == ErrorCode::NotController && life.is_over() {
        return Err(Gone);
    }
    assert_eq!(error, ErrorCode::None, "DeleteTopics of {name}");
    life.ledger.borrow_mut().deleted(name);
    Ok(())
}

async fn grow(life: &Life, wire: &Wire, name: &str, partitions: i32) -> Result<(), Gone> {
    let topic = CreatePartitionsTopic::default().with_name(topic_name(name)).with_count(partitions);
    let request = CreatePartitionsRequest::default()
        .with_topics(vec![topic.with_assignments(None)])
        .with_timeout_ms(30_000);
    let answer = wire.call(3, &request).await?;
    let error = ErrorCode::from_code(answer.results[0].error_code);
    if error == ErrorCode::NotController && life.is_over() {
        return Err(Gone);
    }
    assert_eq!(error, ErrorCode::None, "CreatePartitions of {name}: {:?}", answer.results[0].error_message);
    life.ledger.borrow_mut().topics.get_mut(name).expect("still there").partitions = partitions;
    Ok(())
}

async fn metadata(wire: &Wire) -> Result<MetadataResponse, Gone> {
    wire.call(12, &MetadataRequest::default().with_topics(None)).await
}

/// Holds the topics that the broker shows against those that are known.
fn check_topics(life: &Life, seen: &MetadataResponse) {
    let ledger = life.ledger.borrow();
    for topic in &seen.topics {
        let id = TopicId(topic.topic_id);
        assert_eq!(topic.error_code, 0, "Metadata of {id}");
        assert!(!ledger.is_deleted(id), "topic {id} is back from the dead");
        let name = topic.name.as_ref().map_or("", |name| name.as_str());
        let known = ledger.topics.get(name).unwrap_or_else(|| panic!("topic {name}, which nobody has made"));
        assert!(known.id.is_none_or(|known| known == id), "topic {name} has another id than before");
        for partition in &topic.partitions {
            assert_eq!(partition.error_code, 0, "{name} {} has no leader", partition.partition_index);
        }
    }
    for (name, topic) in ledger.topics.iter().filter(|(_, topic)| topic.state == TopicState::Live) {
        let shown = seen.topics.iter().find(|shown| Some(TopicId(shown.topic_id)) == topic.id);
        let shown = shown.unwrap_or_else(|| panic!("topic {name} is missing"));
        assert!(shown.partitions.len() >= topic.partitions as usize, "{name} has lost partitions");
    }
}

/// Reads everything after a start: settles what was in the balance, and holds all of it against what is known.
///
/// # Panics
/// When something is missing or wrong, or the broker breaks the connection off.
pub async fn audit(life: &Life) {
    let wire = life.node.connect();
    let audited = match settle(life, &wire).await {
        Ok(()) => read_all(life, &wire).await,
        Err(gone) => Err(gone),
    };
    assert!(audited.is_ok(), "the broker has closed a connection that only reads");
}

/// Reads everything once more.
///
/// # Panics
/// As [`audit`].
pub async fn read_again(life: &Life) {
    let wire = life.node.connect();
    assert!(read_all(life, &wire).await.is_ok(), "the broker has closed a connection that only reads");
}

async fn settle(life: &Life, wire: &Wire) -> Result<(), Gone> {
    let seen = metadata(wire).await?;
    check_topics(life, &seen);
    settle_topics(life, &seen);
    for topic in &seen.topics {
        for partition in &topic.partitions {
            let id = TopicIdPartition {
                topic_id: TopicId(topic.topic_id),
                partition: PartitionIndex(partition.partition_index),
            };
            life.ledger.borrow_mut().new_reign(id, partition.leader_epoch);
        }
    }
    Ok(())
}

async fn read_all(life: &Life, wire: &Wire) -> Result<(), Gone> {
    let partitions = life.ledger.borrow().live_partitions();
    for (name, partition) in partitions {
        read_whole(life, wire, &name, partition).await?;
    }
    Ok(())
}

/// What was asked for and not answered has happened or not; from here on it is known which.
fn settle_topics(life: &Life, seen: &MetadataResponse) {
    let mut ledger = life.ledger.borrow_mut();
    let names: Vec<String> = ledger.topics.keys().cloned().collect();
    for name in names {
        let shown =
            seen.topics.iter().find(|shown| shown.name.as_ref().is_some_and(|it| it.as_str() == name));
        match shown {
            None => ledger.deleted(&name),
            Some(shown) => {
                let topic = ledger.topics.get_mut(&name).expect("a key of it");
                topic.id = Some(TopicId(shown.topic_id));
                topic.state = TopicState::Live;
                topic.partitions = i32::try_from(shown.partitions.len()).expect("small");
                ledger.made(TopicId(shown.topic_id), &name);
            }
        }
    }
}

/// Reads a partition from its start to its end.
async fn read_whole(life: &Life, wire: &Wire, name: &str, partition: TopicIdPartition) -> Result<(), Gone> {
    let end = bound(wire, name, partition, -1).await?;
    assert_eq!(bound(wire, name, partition, -2).await?, 0, "{partition}: the start has moved");
    let mut next = 0;
    while next < end {
        let entry = FetchPartition::new(partition.partition, Offset(next), 1 << 20);
        let topic =
            FetchTopic { topic_id: partition.topic_id, partitions: vec![entry], ..FetchTopic::default() };
        let request = FetchRequest { topics: vec![topic], ..FetchRequest::default() };
        wire.send_fetch(13, &request).await?;
        let response = wire.receive_fetch().await?;
        let answer = &response.topics[0].partitions[0];
        assert_eq!(answer.head.error, ErrorCode::None, "{partition} can't be read at {next}");
        let records = answer.records.as_deref().unwrap_or_default();
        let before = next;
        next = life.ledger.borrow_mut().seen(partition, next, records);
        assert!(next > before, "{partition} brings nothing at {next}, it ends at {end}");
    }
    life.ledger.borrow_mut().seen_whole(partition, end);
    Ok(())
}

async fn bound(wire: &Wire, name: &str, partition: TopicIdPartition, which: i64) -> Result<i64, Gone> {
    let asked = ListOffsetsPartition::default()
        .with_partition_index(partition.partition.0)
        .with_current_leader_epoch(-1)
        .with_timestamp(which);
    let topic = ListOffsetsTopic::default().with_name(topic_name(name)).with_partitions(vec![asked]);
    let answer = wire.call(7, &ListOffsetsRequest::default().with_topics(vec![topic])).await?;
    let found = &answer.topics[0].partitions[0];
    assert_eq!(found.error_code, 0, "ListOffsets of {partition}");
    Ok(found.offset)
}

fn topic_name(name: &str) -> TopicName {
    TopicName(WireStr::from_string(name.to_owned()))
}
