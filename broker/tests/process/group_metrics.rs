//! What `/metrics` tells of groups.

use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::{DeleteGroupsRequest, GroupId, OffsetCommitRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use slipring_protocol::client::Client;

use crate::client::{connect, create_topic, produce};
use crate::groups::{commit_from_outside, find_coordinator, group, join, lead, text};
use crate::metrics::{Sample, parse};
use crate::support::{Broker, Launch, TempDir, until};

fn look(broker: &Broker) -> Vec<Sample> {
    let answer = broker.get("/metrics");
    let (_, text) = answer.split_once("\r\n\r\n").unwrap();
    parse(text).1
}

/// The sum of a family's series with these labels; none where there is no such series.
fn sum(samples: &[Sample], name: &str, labels: &[&str]) -> Option<f64> {
    let has = |sample: &&Sample| sample.0 == name && labels.iter().all(|label| sample.1.contains(label));
    samples.iter().filter(has).map(|(_, _, value)| *value).reduce(|sum, value| sum + value)
}

fn commit_for_all(client: &mut Client, group: &str, partitions: i32) {
    let partition =
        |index| OffsetCommitRequestPartition::default().with_partition_index(index).with_committed_offset(0);
    let topic = OffsetCommitRequestTopic::default()
        .with_name(TopicName(text("t")))
        .with_partitions((0..partitions).map(partition).collect());
    let request = OffsetCommitRequest::default()
        .with_group_id(GroupId(text(group)))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic]);
    let answer = client.call(9, &request).unwrap();
    assert!(answer.topics[0].partitions.iter().all(|partition| partition.error_code == 0));
}

#[test]
fn lag_is_what_a_group_has_not_committed() {
    let dir = TempDir::new();
    let broker = Launch::new(dir.path()).data(&dir.path().join("data")).args(&["--cores", "2"]).start();
    let mut client = connect(broker.client);
    create_topic(&mut client, "t", 2);
    find_coordinator(&mut client);
    for partition in [0, 0, 0, 0, 0, 1] {
        produce(&mut client, "t", partition, b"record");
    }
    assert_eq!(commit_from_outside(&mut client, 2), 0);
    let lag = |partition: &str| {
        let labels = [r#"group="g""#, r#"topic="t""#, partition];
        sum(&look(&broker), "slipring_group_lag", &labels)
    };
    until("the lag is known", || lag(r#"partition="0""#) == Some(3.0));
    assert_eq!(lag(r#"partition="1""#), None);
    let samples = look(&broker);
    assert_eq!(sum(&samples, "slipring_groups", &[r#"protocol="classic""#, r#"state="Empty""#]), Some(1.0));
    assert_eq!(sum(&samples, "slipring_group_offsets", &[]), Some(1.0));
    assert_eq!(sum(&samples, "slipring_group_lag_left_out", &[]), Some(0.0));

    produce(&mut client, "t", 0, b"one more");
    until("the lag grows", || lag(r#"partition="0""#) == Some(4.0));
    assert_eq!(commit_from_outside(&mut client, 6), 0);
    until("the group has caught up", || lag(r#"partition="0""#) == Some(0.0));
    let request = DeleteGroupsRequest::default().with_groups_names(vec![group()]);
    assert_eq!(client.call(2, &request).unwrap().results[0].error_code, 0);
    until("no group, no lag", || {
        lag(r#"partition="0""#).is_none() && sum(&look(&broker), "slipring_group_offsets", &[]) == Some(0.0)
    });
}

#[test]
fn states_and_rebalances_of_groups_are_counted() {
    let dir = TempDir::new();
    let broker = Launch::new(dir.path())
        .data(&dir.path().join("data"))
        .set("group.initial.rebalance.delay.ms=0")
        .start();
    let mut client = connect(broker.client);
    find_coordinator(&mut client);
    let asked = join(&mut client, &StrBytes::default());
    let member_id = join(&mut client, &asked.member_id).member_id;
    let in_state = |state: &str| {
        let state = format!("state=\"{state}\"");
        sum(&look(&broker), "slipring_groups", &[&state]).unwrap_or_default()
    };
    until("the leader is to assign", || in_state("CompletingRebalance") == 1.0);
    assert_eq!(sum(&look(&broker), "slipring_group_rebalances_total", &[]), Some(0.0));
    lead(&mut client, &member_id);
    until("the group is stable", || in_state("Stable") == 1.0);
    assert_eq!(in_state("CompletingRebalance"), 0.0);
    let rebalances = sum(&look(&broker), "slipring_group_rebalances_total", &[r#"protocol="classic""#]);
    assert_eq!(rebalances, Some(1.0));
}

#[test]
fn series_of_lag_have_a_bound() {
    let dir = TempDir::new();
    let broker = Launch::new(dir.path())
        .data(&dir.path().join("data"))
        .args(&["--cores", "2"])
        .set("slipring.metrics.lag.series=5")
        .start();
    let mut client = connect(broker.client);
    create_topic(&mut client, "t", 4);
    find_coordinator(&mut client);
    for group in ["a", "b", "c"] {
        commit_for_all(&mut client, group, 4);
    }
    let left_out = || sum(&look(&broker), "slipring_group_lag_left_out", &[]);
    until("what is over the bound is left out", || left_out() == Some(7.0));
    let series = || look(&broker).iter().filter(|(name, ..)| name == "slipring_group_lag").count();
    assert_eq!(series(), 5);
    // The first to go make room for others.
    for group in ["a", "b"] {
        let request = DeleteGroupsRequest::default().with_groups_names(vec![GroupId(text(group))]);
        assert_eq!(client.call(2, &request).unwrap().results[0].error_code, 0);
    }
    until("there is room for all", || left_out() == Some(0.0) && series() == 4);
}
