//! A client of few words: topics, numbered records, and reading them back.

use std::net::SocketAddr;

use bytes::Bytes;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::{ApiVersionsRequest, CreateTopicsRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use slipring_protocol::batch::{BATCH_HEADER_SIZE, BatchBuilder, Batches, Records};
use slipring_protocol::client::{Client, InFlight};
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic};
use slipring_protocol::ids::{Offset, PartitionIndex, TimestampMs, TopicId};
use slipring_protocol::produce::{ProducePartition, ProduceRequest, ProduceTopic};
use slipring_protocol::wire::WireStr;

use crate::support::{PATIENCE, until};

const PRODUCE_VERSION: i16 = 9;
const FETCH_VERSION: i16 = 12;

pub fn connect(address: SocketAddr) -> Client {
    let client = Client::connect(address, "test").unwrap();
    client.set_timeout(Some(PATIENCE)).unwrap();
    client
}

/// Whether the broker answers on this connection.
pub fn is_served(client: &mut Client) -> bool {
    client.call(2, &ApiVersionsRequest::default()).is_ok_and(|answer| answer.error_code == 0)
}

pub fn create_topic(client: &mut Client, name: &str, partitions: i32) {
    let topic = CreatableTopic::default()
        .with_name(TopicName(StrBytes::from_string(name.to_owned())))
        .with_num_partitions(partitions)
        .with_replication_factor(1);
    let request = CreateTopicsRequest::default().with_topics(vec![topic]).with_timeout_ms(30_000);
    let answer = client.call(7, &request).unwrap();
    assert_eq!(answer.topics[0].error_code, 0, "{answer:?}");
}

/// Sends one record, which must be acknowledged; gives its offset.
pub fn produce(client: &mut Client, topic: &str, partition: i32, value: &[u8]) -> i64 {
    produce_batch(
        client,
        topic,
        partition,
        BatchBuilder::new().append(TimestampMs(1_000), None, Some(value)).build(),
    )
}

/// Sends one batch, which must be acknowledged; gives its offset.
pub fn produce_batch(client: &mut Client, topic: &str, partition: i32, batch: Vec<u8>) -> i64 {
    let partition = ProducePartition { index: PartitionIndex(partition), records: Some(Bytes::from(batch)) };
    let topic = ProduceTopic {
        name: WireStr::from_string(topic.to_owned()),
        topic_id: TopicId::default(),
        partitions: [partition].into_iter().collect(),
    };
    let topics = [topic].into_iter().collect();
    let request = ProduceRequest { transactional_id: None, acks: -1, timeout_ms: 30_000, topics };
    let answer = client.produce(PRODUCE_VERSION, &request).unwrap().unwrap();
    let partition = &answer.topics[0].partitions[0];
    assert_eq!(partition.error, ErrorCode::None);
    partition.base_offset.0
}

fn fetch_request(topic: &str, partition: i32, from: i64, wait_ms: i32) -> FetchRequest {
    let topic = FetchTopic {
        name: WireStr::from_string(topic.to_owned()),
        partitions: vec![FetchPartition::new(PartitionIndex(partition), Offset(from), 16 << 20)],
        ..FetchTopic::default()
    };
    FetchRequest { max_wait_ms: wait_ms, min_bytes: 1, topics: vec![topic], ..FetchRequest::default() }
}

/// Sends a fetch that waits where there is nothing to read yet.
pub fn begin_long_poll(client: &mut Client, topic: &str, from: i64) -> InFlight {
    client.send_fetch(FETCH_VERSION, &fetch_request(topic, 0, from, 20_000)).unwrap()
}

fn fetch(client: &mut Client, topic: &str, partition: i32, from: i64) -> FetchResponse {
    client.fetch(FETCH_VERSION, &fetch_request(topic, partition, from, 100)).unwrap()
}

/// Reads the values of `count` records from the start of a partition; their offsets must be dense.
pub fn read_back(client: &mut Client, topic: &str, partition: i32, count: usize) -> Vec<Vec<u8>> {
    let mut values: Vec<Vec<u8>> = Vec::new();
    until("all records", || {
        let answer = fetch(client, topic, partition, values.len() as i64);
        let partition = &answer.topics[0].partitions[0];
        assert_eq!(partition.head.error, ErrorCode::None);
        let records = partition.records.clone().unwrap_or_default();
        for batch in Batches::new(&records) {
            let batch = batch.unwrap();
            let area = &batch.bytes[BATCH_HEADER_SIZE..];
            for record in Records::new(area, batch.header.record_count) {
                let record = record.unwrap();
                // A fetch inside a batch gives the whole batch.
                if batch.header.base_offset.0 + i64::from(record.offset_delta) == values.len() as i64 {
                    values.push(record.value.unwrap().to_vec());
                }
            }
        }
        values.len() >= count
    });
    values
}
