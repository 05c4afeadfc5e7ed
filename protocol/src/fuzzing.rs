//! What the fuzz targets and their short run in `cargo test` call: any bytes go in; a panic is a finding. Never called by the
//! broker.

use bytes::Bytes;
use kafka_protocol::messages::{
    AlterClientQuotasRequest, AlterConfigsRequest, AlterPartitionReassignmentsRequest,
    AlterReplicaLogDirsRequest, ApiVersionsRequest, ConsumerGroupDescribeRequest,
    ConsumerGroupHeartbeatRequest, CreatePartitionsRequest, CreateTopicsRequest, DeleteGroupsRequest,
    DeleteRecordsRequest, DeleteTopicsRequest, DescribeClientQuotasRequest, DescribeClusterRequest,
    DescribeConfigsRequest, DescribeGroupsRequest, DescribeLogDirsRequest, DescribeProducersRequest,
    DescribeQuorumRequest, DescribeTopicPartitionsRequest, ElectLeadersRequest, FindCoordinatorRequest,
    HeartbeatRequest, IncrementalAlterConfigsRequest, InitProducerIdRequest, JoinGroupRequest,
    LeaveGroupRequest, ListConfigResourcesRequest, ListGroupsRequest, ListOffsetsRequest,
    ListPartitionReassignmentsRequest, MetadataRequest, OffsetDeleteRequest, OffsetForLeaderEpochRequest,
    SyncGroupRequest, UnregisterBrokerRequest, UpdateFeaturesRequest,
};
use kafka_protocol::protocol::Request;

use crate::api::{ApiKey, codec_version};
use crate::bounds;
use crate::fetch::{FetchRequest, FetchResponse};
use crate::frame::{self, FrameState};
use crate::header::RequestHeader;
use crate::offsets::{OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse};
use crate::produce::{ProduceRequest, ProduceResponse};
use crate::wire::WireError;

/// Bytes as a connection brings them: frames, and headers in them.
///
/// # Panics
/// When a frame is not where it is said to be.
pub fn fuzz_frame(data: &[u8]) {
    let mut rest = data;
    loop {
        match frame::decode(rest, 1 << 20) {
            FrameState::Frame { start, end } => {
                assert!(start == frame::LENGTH_BYTES && end <= rest.len());
                let _ = RequestHeader::parse(&Bytes::copy_from_slice(&rest[start..end]));
                rest = &rest[end..];
            }
            FrameState::NeedMore { have, need } => {
                assert!(have == rest.len() && have < need);
                return;
            }
            FrameState::TooLarge(_) | FrameState::Negative(_) => return,
        }
    }
}

/// A frame without its length: header, then the body of any key and version.
///
/// # Panics
/// When the walk, our codecs and the published codec disagree.
pub fn fuzz_request(data: &[u8]) {
    let Ok((header, body)) = RequestHeader::parse(&Bytes::copy_from_slice(data)) else { return };
    if header.is_unsupported_api_versions() {
        return;
    }
    let (key, version) = (header.api.key, header.version);
    let walked = bounds::walk(key, version, &body);
    match recode(key, version, body.clone()) {
        Ok(again) => {
            let walked = walked.expect("what decodes passes the walk");
            assert!(walked.trailing_bytes <= body.len());
            // The published codec loses unknown tags above i32::MAX when it writes them again.
            if is_ours(key) {
                let second = recode(key, version, Bytes::from(again.clone())).expect("what we write we read");
                assert_eq!(again, second, "writing is stable");
            }
        }
        Err(WireError::TooManyElements { .. }) => {}
        Err(error) => assert!(walked.is_err(), "the walk let pass: {error}"),
    }
    match key {
        ApiKey::Produce => _ = ProduceResponse::decode(version, body),
        ApiKey::Fetch => _ = FetchResponse::decode(version, body),
        ApiKey::OffsetCommit => _ = OffsetCommitResponse::decode(version, body),
        ApiKey::OffsetFetch => _ = OffsetFetchResponse::decode(version, body),
        _ => {}
    }
}

/// Whether requests of this key are read by a codec of our own, which drops unknown tagged fields.
#[must_use]
pub const fn is_ours(key: ApiKey) -> bool {
    matches!(key, ApiKey::Produce | ApiKey::Fetch | ApiKey::OffsetCommit | ApiKey::OffsetFetch)
}

/// Reads a request as the broker does and writes it again.
///
/// # Errors
/// Those of the decoders.
///
/// # Panics
/// When what was read cannot be written.
pub fn recode(key: ApiKey, version: i16, body: Bytes) -> Result<Vec<u8>, WireError> {
    let mut out = Vec::new();
    match key {
        ApiKey::Produce => ProduceRequest::decode(version, body)?.encode(version, &mut out)?,
        ApiKey::Fetch => FetchRequest::decode(version, body)?.encode(version, &mut out)?,
        ApiKey::ApiVersions => recode_theirs::<ApiVersionsRequest>(version, body, &mut out)?,
        ApiKey::Metadata => recode_theirs::<MetadataRequest>(version, body, &mut out)?,
        ApiKey::ListOffsets => recode_theirs::<ListOffsetsRequest>(version, body, &mut out)?,
        ApiKey::CreateTopics => recode_theirs::<CreateTopicsRequest>(version, body, &mut out)?,
        ApiKey::DeleteTopics => recode_theirs::<DeleteTopicsRequest>(version, body, &mut out)?,
        ApiKey::CreatePartitions => recode_theirs::<CreatePartitionsRequest>(version, body, &mut out)?,
        ApiKey::DescribeCluster => recode_theirs::<DescribeClusterRequest>(version, body, &mut out)?,
        ApiKey::DescribeConfigs => recode_theirs::<DescribeConfigsRequest>(version, body, &mut out)?,
        ApiKey::InitProducerId => recode_theirs::<InitProducerIdRequest>(version, body, &mut out)?,
        ApiKey::DeleteRecords => recode_theirs::<DeleteRecordsRequest>(version, body, &mut out)?,
        ApiKey::OffsetForLeaderEpoch => {
            recode_theirs::<OffsetForLeaderEpochRequest>(version, body, &mut out)?
        }
        key => recode_group_request(key, version, body, &mut out)?,
    }
    Ok(out)
}

fn recode_group_request(key: ApiKey, version: i16, body: Bytes, out: &mut Vec<u8>) -> Result<(), WireError> {
    match key {
        ApiKey::OffsetCommit => OffsetCommitRequest::decode(version, body)?.encode(version, out),
        ApiKey::OffsetFetch => OffsetFetchRequest::decode(version, body)?.encode(version, out),
        ApiKey::FindCoordinator => recode_theirs::<FindCoordinatorRequest>(version, body, out),
        ApiKey::JoinGroup => recode_theirs::<JoinGroupRequest>(version, body, out),
        ApiKey::Heartbeat => recode_theirs::<HeartbeatRequest>(version, body, out),
        ApiKey::LeaveGroup => recode_theirs::<LeaveGroupRequest>(version, body, out),
        ApiKey::SyncGroup => recode_theirs::<SyncGroupRequest>(version, body, out),
        ApiKey::DescribeGroups => recode_theirs::<DescribeGroupsRequest>(version, body, out),
        ApiKey::ListGroups => recode_theirs::<ListGroupsRequest>(version, body, out),
        ApiKey::DeleteGroups => recode_theirs::<DeleteGroupsRequest>(version, body, out),
        ApiKey::OffsetDelete => recode_theirs::<OffsetDeleteRequest>(version, body, out),
        ApiKey::ConsumerGroupHeartbeat => recode_theirs::<ConsumerGroupHeartbeatRequest>(version, body, out),
        ApiKey::ConsumerGroupDescribe => recode_theirs::<ConsumerGroupDescribeRequest>(version, body, out),
        key => recode_administrative(key, version, body, out),
    }
}

fn recode_administrative(key: ApiKey, version: i16, body: Bytes, out: &mut Vec<u8>) -> Result<(), WireError> {
    match key {
        ApiKey::AlterClientQuotas => recode_theirs::<AlterClientQuotasRequest>(version, body, out),
        ApiKey::AlterConfigs => recode_theirs::<AlterConfigsRequest>(version, body, out),
        ApiKey::AlterPartitionReassignments => {
            recode_theirs::<AlterPartitionReassignmentsRequest>(version, body, out)
        }
        ApiKey::AlterReplicaLogDirs => recode_theirs::<AlterReplicaLogDirsRequest>(version, body, out),
        ApiKey::DescribeClientQuotas => recode_theirs::<DescribeClientQuotasRequest>(version, body, out),
        ApiKey::DescribeLogDirs => recode_theirs::<DescribeLogDirsRequest>(version, body, out),
        ApiKey::DescribeProducers => recode_theirs::<DescribeProducersRequest>(version, body, out),
        ApiKey::DescribeQuorum => recode_theirs::<DescribeQuorumRequest>(version, body, out),
        ApiKey::DescribeTopicPartitions => {
            recode_theirs::<DescribeTopicPartitionsRequest>(version, body, out)
        }
        ApiKey::ElectLeaders => recode_theirs::<ElectLeadersRequest>(version, body, out),
        ApiKey::IncrementalAlterConfigs => {
            recode_theirs::<IncrementalAlterConfigsRequest>(version, body, out)
        }
        ApiKey::ListConfigResources => recode_theirs::<ListConfigResourcesRequest>(version, body, out),
        ApiKey::ListPartitionReassignments => {
            recode_theirs::<ListPartitionReassignmentsRequest>(version, body, out)
        }
        ApiKey::UnregisterBroker => recode_theirs::<UnregisterBrokerRequest>(version, body, out),
        ApiKey::UpdateFeatures => recode_theirs::<UpdateFeaturesRequest>(version, body, out),
        key => Err(WireError::UnknownKey(key.code())),
    }
}

fn recode_theirs<R: Request>(version: i16, body: Bytes, out: &mut Vec<u8>) -> Result<(), WireError> {
    let request: R = bounds::decode(version, body)?;
    let key = crate::api::lookup(R::KEY).expect("the key was just decoded").key;
    request.encode(out, codec_version(key, version)).expect("what was read can be written");
    Ok(())
}
