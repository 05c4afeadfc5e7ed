//! Dynamic configs act at once, on every core, and are still there after a restart.

use std::path::Path;

use bytes::Bytes;
use kafka_protocol::messages::IncrementalAlterConfigsRequest;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::protocol::StrBytes;
use slipring_protocol::batch::BatchBuilder;
use slipring_protocol::client::Client;
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::ids::{PartitionIndex, TimestampMs, TopicId};
use slipring_protocol::produce::{ProducePartition, ProduceRequest, ProduceTopic};
use slipring_protocol::wire::WireStr;

use crate::client::{connect, create_topic, is_served, produce};
use crate::support::{Launch, TempDir, until};

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const PARTITIONS: i32 = 4;

/// Sets a config, or removes it.
fn alter(client: &mut Client, kind: i8, name: &str, key: &str, value: Option<&str>) {
    let text = |text: &str| StrBytes::from_string(text.to_owned());
    let config = AlterableConfig::default()
        .with_name(text(key))
        .with_config_operation(i8::from(value.is_none()))
        .with_value(value.map(text));
    let resource = AlterConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configs(vec![config]);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    let answer = client.call(1, &request).unwrap();
    assert_eq!(answer.responses[0].error_code, 0, "{answer:?}");
}

fn try_produce(client: &mut Client, topic: &str, partition: i32, bytes: usize) -> ErrorCode {
    let batch = BatchBuilder::new().append(TimestampMs(1_000), None, Some(&vec![7; bytes])).build();
    let partition = ProducePartition { index: PartitionIndex(partition), records: Some(Bytes::from(batch)) };
    let topic = ProduceTopic {
        name: WireStr::from_string(topic.to_owned()),
        topic_id: TopicId::default(),
        partitions: [partition].into_iter().collect(),
    };
    let topics = [topic].into_iter().collect();
    let request = ProduceRequest { transactional_id: None, acks: -1, timeout_ms: 30_000, topics };
    client.produce(9, &request).unwrap().unwrap().topics[0].partitions[0].error
}

fn segments(data: &Path, partition: i32) -> usize {
    let directory = data.join(format!("t-{partition}"));
    let names = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().ends_with(".log")).count()
}

#[test]
fn changed_configs_act_at_once_on_every_core() {
    let dir = TempDir::new();
    let data = dir.path().join("data");
    let launch = || Launch::new(dir.path()).data(&data).args(&["--cores", "2"]);
    let mut broker = launch().start();
    let mut client = connect(broker.client);
    create_topic(&mut client, "t", PARTITIONS);
    create_topic(&mut client, "u", PARTITIONS);

    alter(&mut client, TOPIC, "t", "max.message.bytes", Some("1000"));
    alter(&mut client, BROKER, "", "message.max.bytes", Some("2000"));
    for partition in 0..PARTITIONS {
        for (topic, limit) in [("t", 1000), ("u", 2000)] {
            assert_eq!(try_produce(&mut client, topic, partition, limit / 2), ErrorCode::None);
            assert_eq!(try_produce(&mut client, topic, partition, limit), ErrorCode::MessageTooLarge);
        }
    }
    alter(&mut client, BROKER, "1", "message.max.bytes", Some("3000"));
    assert_eq!(try_produce(&mut client, "u", 0, 2000), ErrorCode::None);
    alter(&mut client, TOPIC, "t", "max.message.bytes", Some("1048588"));

    // The logs that run roll at the new size.
    alter(&mut client, TOPIC, "t", "segment.bytes", Some("1048576"));
    for partition in 0..PARTITIONS {
        for _ in 0..4 {
            assert_eq!(try_produce(&mut client, "t", partition, 700_000), ErrorCode::None);
        }
        until("the log is rolled", || segments(&data, partition) >= 3);
    }

    assert!(broker.stop().0.success());
    let mut broker = launch().start();
    let mut client = connect(broker.client);
    assert_eq!(try_produce(&mut client, "u", 1, 2000), ErrorCode::None);
    assert_eq!(try_produce(&mut client, "u", 1, 3000), ErrorCode::MessageTooLarge);
    alter(&mut client, BROKER, "1", "message.max.bytes", None);
    assert_eq!(try_produce(&mut client, "u", 1, 2000), ErrorCode::MessageTooLarge);
    alter(&mut client, BROKER, "", "message.max.bytes", None);
    produce(&mut client, "u", 1, &[7; 5000]);

    alter(&mut client, BROKER, "", "max.connections", Some("1"));
    let mut second = connect(broker.client);
    assert!(!is_served(&mut second));
    alter(&mut client, BROKER, "", "max.connections", None);
    until("another connection is served", || is_served(&mut connect(broker.client)));
    assert!(broker.stop().0.success());
}
