//! Our values as values of the published codec.

use kafka_protocol::messages;
use kafka_protocol::messages::{fetch_request, fetch_response, produce_request, produce_response};
use slipring_protocol::fetch::*;
use slipring_protocol::produce::*;

pub(super) fn produce_request(request: &ProduceRequest) -> messages::ProduceRequest {
    let partition = |partition: &ProducePartition| {
        produce_request::PartitionProduceData::default()
            .with_index(partition.index.0)
            .with_records(partition.records.clone())
    };
    let topic = |topic: &ProduceTopic| {
        produce_request::TopicProduceData::default()
            .with_name(topic.name.clone().into())
            .with_topic_id(topic.topic_id.0)
            .with_partition_data(topic.partitions.iter().map(partition).collect())
    };
    messages::ProduceRequest::default()
        .with_transactional_id(request.transactional_id.clone().map(Into::into))
        .with_acks(request.acks)
        .with_timeout_ms(request.timeout_ms)
        .with_topic_data(request.topics.iter().map(topic).collect())
}

pub(super) fn produce_response(response: &ProduceResponse) -> messages::ProduceResponse {
    let record_error = |error: &RecordError| {
        produce_response::BatchIndexAndErrorMessage::default()
            .with_batch_index(error.batch_index)
            .with_batch_index_error_message(error.message.clone())
    };
    let leader = |leader: Option<LeaderIdAndEpoch>| match leader {
        Some(leader) => produce_response::LeaderIdAndEpoch::default()
            .with_leader_id(leader.leader_id.0.into())
            .with_leader_epoch(leader.leader_epoch.0),
        None => produce_response::LeaderIdAndEpoch::default(),
    };
    let partition = |partition: &ProducePartitionResponse| {
        produce_response::PartitionProduceResponse::default()
            .with_index(partition.index.0)
            .with_error_code(partition.error.code())
            .with_base_offset(partition.base_offset.0)
            .with_log_append_time_ms(partition.log_append_time_ms.0)
            .with_log_start_offset(partition.log_start_offset.0)
            .with_record_errors(partition.record_errors.iter().map(record_error).collect())
            .with_error_message(partition.error_message.clone())
            .with_current_leader(leader(partition.current_leader))
    };
    let topic = |topic: &ProduceTopicResponse| {
        produce_response::TopicProduceResponse::default()
            .with_name(topic.name.clone().into())
            .with_topic_id(topic.topic_id.0)
            .with_partition_responses(topic.partitions.iter().map(partition).collect())
    };
    let endpoint = |endpoint: &NodeEndpoint| {
        produce_response::NodeEndpoint::default()
            .with_node_id(endpoint.node_id.0.into())
            .with_host(endpoint.host.clone())
            .with_port(endpoint.port)
            .with_rack(endpoint.rack.clone())
    };
    messages::ProduceResponse::default()
        .with_responses(response.topics.iter().map(topic).collect())
        .with_throttle_time_ms(response.throttle_ms)
        .with_node_endpoints(response.node_endpoints.iter().map(endpoint).collect())
}

pub(super) fn fetch_request(version: i16, request: &FetchRequest) -> messages::FetchRequest {
    let partition = |partition: &FetchPartition| {
        fetch_request::FetchPartition::default()
            .with_partition(partition.partition.0)
            .with_current_leader_epoch(partition.current_leader_epoch.0)
            .with_fetch_offset(partition.fetch_offset.0)
            .with_last_fetched_epoch(partition.last_fetched_epoch.0)
            .with_log_start_offset(partition.log_start_offset.0)
            .with_partition_max_bytes(partition.max_bytes)
            .with_replica_directory_id(partition.replica_directory_id)
            .with_high_watermark(partition.high_watermark.0)
    };
    let topic = |topic: &FetchTopic| {
        fetch_request::FetchTopic::default()
            .with_topic(topic.name.clone().into())
            .with_topic_id(topic.topic_id.0)
            .with_partitions(topic.partitions.iter().map(partition).collect())
    };
    let forgotten = |topic: &ForgottenTopic| {
        fetch_request::ForgottenTopic::default()
            .with_topic(topic.name.clone().into())
            .with_topic_id(topic.topic_id.0)
            .with_partitions(topic.partitions.iter().map(|partition| partition.0).collect())
    };
    let theirs = messages::FetchRequest::default()
        .with_cluster_id(request.cluster_id.clone())
        .with_max_wait_ms(request.max_wait_ms)
        .with_min_bytes(request.min_bytes)
        .with_max_bytes(request.max_bytes)
        .with_isolation_level(request.isolation_level)
        .with_session_id(request.session_id)
        .with_session_epoch(request.session_epoch)
        .with_topics(request.topics.iter().map(topic).collect())
        .with_forgotten_topics_data(request.forgotten.iter().map(forgotten).collect())
        .with_rack_id(request.rack_id.clone());
    if version <= 14 {
        return theirs.with_replica_id(request.replica_id.0.into());
    }
    let state = fetch_request::ReplicaState::default()
        .with_replica_id(request.replica_id.0.into())
        .with_replica_epoch(request.replica_epoch);
    theirs.with_replica_state(state)
}

pub(super) fn fetch_response(response: &FetchResponse) -> messages::FetchResponse {
    let aborted = |aborted: &AbortedTransaction| {
        fetch_response::AbortedTransaction::default()
            .with_producer_id(aborted.producer_id.0.into())
            .with_first_offset(aborted.first_offset.0)
    };
    let partition = |FetchPartitionResponse { head, records }: &FetchPartitionResponse| {
        let mut theirs = fetch_response::PartitionData::default()
            .with_partition_index(head.partition.0)
            .with_error_code(head.error.code())
            .with_high_watermark(head.high_watermark.0)
            .with_last_stable_offset(head.last_stable_offset.0)
            .with_log_start_offset(head.log_start_offset.0)
            .with_aborted_transactions(
                head.aborted_transactions.as_ref().map(|all| all.iter().map(aborted).collect()),
            )
            .with_preferred_read_replica(head.preferred_read_replica.0.into())
            .with_records(records.clone());
        if let Some(EpochEndOffset { epoch, end_offset }) = head.diverging_epoch {
            let epoch = fetch_response::EpochEndOffset::default().with_epoch(epoch.0);
            theirs.diverging_epoch = epoch.with_end_offset(end_offset.0);
        }
        if let Some(LeaderIdAndEpoch { leader_id, leader_epoch }) = head.current_leader {
            let leader = fetch_response::LeaderIdAndEpoch::default().with_leader_id(leader_id.0.into());
            theirs.current_leader = leader.with_leader_epoch(leader_epoch.0);
        }
        if let Some(SnapshotId { end_offset, epoch }) = head.snapshot_id {
            let snapshot = fetch_response::SnapshotId::default().with_end_offset(end_offset.0);
            theirs.snapshot_id = snapshot.with_epoch(epoch.0);
        }
        theirs
    };
    let topic = |topic: &FetchTopicResponse| {
        fetch_response::FetchableTopicResponse::default()
            .with_topic(topic.name.clone().into())
            .with_topic_id(topic.topic_id.0)
            .with_partitions(topic.partitions.iter().map(partition).collect())
    };
    let endpoint = |endpoint: &NodeEndpoint| {
        fetch_response::NodeEndpoint::default()
            .with_node_id(endpoint.node_id.0.into())
            .with_host(endpoint.host.clone())
            .with_port(endpoint.port)
            .with_rack(endpoint.rack.clone())
    };
    messages::FetchResponse::default()
        .with_throttle_time_ms(response.head.throttle_ms)
        .with_error_code(response.head.error.code())
        .with_session_id(response.head.session_id)
        .with_responses(response.topics.iter().map(topic).collect())
        .with_node_endpoints(response.node_endpoints.iter().map(endpoint).collect())
}
