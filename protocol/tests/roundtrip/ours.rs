//! Random values of our own types, and what a version can carry of them.

use bytes::Bytes;
use kafka_protocol::protocol::StrBytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::fetch::*;
use slipring_protocol::ids::*;
use slipring_protocol::produce::*;
use uuid::Uuid;

prop_compose! {
    fn text()(text in "[a-zåß. ]{0,12}") -> StrBytes { StrBytes::from_string(text) }
}

prop_compose! {
    fn records()(records in vec(any::<u8>(), 0..40)) -> Bytes { Bytes::from(records) }
}

prop_compose! {
    fn topic_id()(id: u128) -> TopicId { TopicId(Uuid::from_u128(id)) }
}

prop_compose! {
    fn error()(index in 0..ErrorCode::ALL.len()) -> ErrorCode { ErrorCode::ALL[index] }
}

prop_compose! {
    fn leader()(id in 0i32.., epoch: i32) -> LeaderIdAndEpoch {
        LeaderIdAndEpoch { leader_id: BrokerId(id), leader_epoch: LeaderEpoch(epoch) }
    }
}

prop_compose! {
    fn endpoint()(node_id: i32, host in text(), port: i32, rack in option::of(text())) -> NodeEndpoint {
        NodeEndpoint { node_id: BrokerId(node_id), host, port, rack }
    }
}

prop_compose! {
    fn produce_partition()(index: i32, records in option::of(records())) -> ProducePartition {
        ProducePartition { index: PartitionIndex(index), records }
    }
}

prop_compose! {
    pub(super) fn produce_request()(
        transactional_id in option::of(text()),
        acks: i16,
        timeout_ms: i32,
        topics in vec((text(), topic_id(), vec(produce_partition(), 0..4)), 0..4),
    ) -> ProduceRequest {
        let topic = |(name, topic_id, partitions): (_, _, Vec<_>)| ProduceTopic { name, topic_id, partitions: partitions.into() };
        ProduceRequest { transactional_id, acks, timeout_ms, topics: topics.into_iter().map(topic).collect() }
    }
}

prop_compose! {
    fn produced()(
        (index, base_offset, time, log_start) in any::<(i32, i64, i64, i64)>(),
        error in error(),
        record_errors in vec((any::<i32>(), option::of(text())), 0..3),
        error_message in option::of(text()),
        current_leader in option::of(leader()),
    ) -> ProducePartitionResponse {
        let record_error = |(batch_index, message)| RecordError { batch_index, message };
        ProducePartitionResponse {
            index: PartitionIndex(index),
            error,
            base_offset: Offset(base_offset),
            log_append_time_ms: TimestampMs(time),
            log_start_offset: Offset(log_start),
            record_errors: record_errors.into_iter().map(record_error).collect(),
            error_message,
            current_leader,
        }
    }
}

prop_compose! {
    pub(super) fn produce_response()(
        topics in vec((text(), topic_id(), vec(produced(), 0..4)), 0..4),
        throttle_ms: i32,
        node_endpoints in vec(endpoint(), 0..3),
    ) -> ProduceResponse {
        let topic = |(name, topic_id, partitions): (_, _, Vec<_>)| {
            ProduceTopicResponse { name, topic_id, partitions: partitions.into() }
        };
        ProduceResponse { topics: topics.into_iter().map(topic).collect(), throttle_ms, node_endpoints }
    }
}

prop_compose! {
    fn fetch_partition()(
        (partition, leader_epoch, fetched_epoch, max_bytes) in any::<(i32, i32, i32, i32)>(),
        (fetch_offset, log_start, high_watermark) in any::<(i64, i64, i64)>(),
        directory: u128,
    ) -> FetchPartition {
        FetchPartition {
            partition: PartitionIndex(partition),
            current_leader_epoch: LeaderEpoch(leader_epoch),
            fetch_offset: Offset(fetch_offset),
            last_fetched_epoch: LeaderEpoch(fetched_epoch),
            log_start_offset: Offset(log_start),
            max_bytes,
            replica_directory_id: Uuid::from_u128(directory),
            high_watermark: Offset(high_watermark),
        }
    }
}

prop_compose! {
    pub(super) fn fetch_request()(
        cluster_id in option::of(text()),
        (replica_id, replica_epoch, isolation_level) in any::<(i32, i64, i8)>(),
        (max_wait_ms, min_bytes, max_bytes) in any::<(i32, i32, i32)>(),
        (session_id, session_epoch) in any::<(i32, i32)>(),
        topics in vec((text(), topic_id(), vec(fetch_partition(), 0..4)), 0..4),
        forgotten in vec((text(), topic_id(), vec(any::<i32>(), 0..4)), 0..4),
        rack_id in text(),
    ) -> FetchRequest {
        let topic = |(name, topic_id, partitions)| FetchTopic { name, topic_id, partitions };
        let forget = |(name, topic_id, partitions): (_, _, Vec<i32>)| ForgottenTopic {
            name, topic_id, partitions: partitions.into_iter().map(PartitionIndex).collect(),
        };
        FetchRequest {
            cluster_id,
            replica_id: BrokerId(replica_id),
            replica_epoch,
            max_wait_ms,
            min_bytes,
            max_bytes,
            isolation_level,
            session_id,
            session_epoch,
            topics: topics.into_iter().map(topic).collect(),
            forgotten: forgotten.into_iter().map(forget).collect(),
            rack_id,
        }
    }
}

prop_compose! {
    fn fetched()(
        (partition, preferred) in any::<(i32, i32)>(),
        error in error(),
        offsets: [i64; 3],
        diverging in option::of((0i32.., any::<i64>())),
        current_leader in option::of(leader()),
        snapshot in option::of((0i64.., any::<i32>())),
        aborted in option::of(vec(any::<(i64, i64)>(), 0..3)),
        records in records(),
    ) -> FetchPartitionResponse {
        let abort = |(id, offset)| AbortedTransaction { producer_id: ProducerId(id), first_offset: Offset(offset) };
        let head = FetchPartitionHead {
            partition: PartitionIndex(partition),
            error,
            high_watermark: Offset(offsets[0]),
            last_stable_offset: Offset(offsets[1]),
            log_start_offset: Offset(offsets[2]),
            diverging_epoch: diverging.map(|(epoch, end)| EpochEndOffset { epoch: LeaderEpoch(epoch), end_offset: Offset(end) }),
            current_leader,
            snapshot_id: snapshot.map(|(end, epoch)| SnapshotId { end_offset: Offset(end), epoch: LeaderEpoch(epoch) }),
            aborted_transactions: aborted.map(|aborted| aborted.into_iter().map(abort).collect()),
            preferred_read_replica: BrokerId(preferred),
        };
        FetchPartitionResponse { head, records: Some(records) }
    }
}

prop_compose! {
    pub(super) fn fetch_response()(
        (throttle_ms, session_id) in any::<(i32, i32)>(),
        error in error(),
        topics in vec((text(), topic_id(), vec(fetched(), 0..4)), 0..4),
        node_endpoints in vec(endpoint(), 0..3),
    ) -> FetchResponse {
        let topic = |(name, topic_id, partitions)| FetchTopicResponse { name, topic_id, partitions };
        FetchResponse {
            head: FetchResponseHead { throttle_ms, error, session_id },
            topics: topics.into_iter().map(topic).collect(),
            node_endpoints,
        }
    }
}

/// Leaves either the name or the id of a topic.
fn trim_key(by_id: bool, name: &mut StrBytes, id: &mut TopicId) {
    if by_id {
        *name = StrBytes::new();
    } else {
        *id = TopicId::NONE;
    }
}

pub(super) fn trim_produce_request(version: i16, request: &mut ProduceRequest) {
    for topic in &mut request.topics {
        trim_key(version >= 13, &mut topic.name, &mut topic.topic_id);
    }
}

pub(super) fn trim_produce_response(version: i16, response: &mut ProduceResponse) {
    if version < 10 {
        response.node_endpoints.clear();
    }
    for topic in &mut response.topics {
        trim_key(version >= 13, &mut topic.name, &mut topic.topic_id);
        for partition in &mut topic.partitions {
            if version < 5 {
                partition.log_start_offset = Offset(-1);
            }
            if version < 8 {
                (partition.record_errors, partition.error_message) = (Vec::new(), None);
            }
            partition.current_leader = partition.current_leader.filter(|_| version >= 10);
        }
    }
}

pub(super) fn trim_fetch_request(version: i16, request: &mut FetchRequest) {
    let none = FetchRequest::default();
    if version < 7 {
        (request.session_id, request.session_epoch) = (none.session_id, none.session_epoch);
        request.forgotten.clear();
    }
    if version < 11 {
        request.rack_id = none.rack_id;
    }
    if version < 12 {
        request.cluster_id = None;
    }
    if version < 15 {
        request.replica_epoch = -1;
    }
    for topic in &mut request.forgotten {
        trim_key(version >= 13, &mut topic.name, &mut topic.topic_id);
    }
    for topic in &mut request.topics {
        trim_key(version >= 13, &mut topic.name, &mut topic.topic_id);
        for partition in &mut topic.partitions {
            let none = FetchPartition::new(partition.partition, partition.fetch_offset, partition.max_bytes);
            if version < 5 {
                partition.log_start_offset = none.log_start_offset;
            }
            if version < 9 {
                partition.current_leader_epoch = none.current_leader_epoch;
            }
            if version < 12 {
                partition.last_fetched_epoch = none.last_fetched_epoch;
            }
            if version < 17 {
                partition.replica_directory_id = none.replica_directory_id;
            }
            if version < 18 {
                partition.high_watermark = none.high_watermark;
            }
        }
    }
}

pub(super) fn trim_fetch_response(version: i16, response: &mut FetchResponse) {
    if version < 7 {
        (response.head.error, response.head.session_id) = (ErrorCode::None, 0);
    }
    if version < 16 {
        response.node_endpoints.clear();
    }
    for topic in &mut response.topics {
        trim_key(version >= 13, &mut topic.name, &mut topic.topic_id);
        for FetchPartitionResponse { head, .. } in &mut topic.partitions {
            if version < 5 {
                head.log_start_offset = Offset(-1);
            }
            if version < 11 {
                head.preferred_read_replica = BrokerId(-1);
            }
            if version < 12 {
                (head.diverging_epoch, head.current_leader, head.snapshot_id) = (None, None, None);
            }
        }
    }
}
