//! The shapes of the requests that we serve, as constants: what `bounds` walks. Plain data for any core. A shape says what
//! stands on the wire in which versions, never what it means.
//!
//! A new request is one constant in a file beside this one, written in the words of [`field`], and one row in [`REQUESTS`].

mod admin;
mod cluster;
mod field;
mod groups;
mod log;
mod offsets;
mod topics;

pub use field::{Field, Type, Versions};

use crate::api::ApiKey;

/// The shape of one request.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Its API; versions and the first flexible one stand in the API table.
    pub key: ApiKey,
    /// Its fields in wire order.
    pub fields: &'static [Field],
}

/// Every request with a shape, by ascending key.
pub const REQUESTS: &[Request] = &[
    Request { key: ApiKey::Produce, fields: log::PRODUCE },
    Request { key: ApiKey::Fetch, fields: log::FETCH },
    Request { key: ApiKey::ListOffsets, fields: log::LIST_OFFSETS },
    Request { key: ApiKey::Metadata, fields: topics::METADATA },
    Request { key: ApiKey::OffsetCommit, fields: offsets::OFFSET_COMMIT },
    Request { key: ApiKey::OffsetFetch, fields: offsets::OFFSET_FETCH },
    Request { key: ApiKey::FindCoordinator, fields: groups::FIND_COORDINATOR },
    Request { key: ApiKey::JoinGroup, fields: groups::JOIN_GROUP },
    Request { key: ApiKey::Heartbeat, fields: groups::HEARTBEAT },
    Request { key: ApiKey::LeaveGroup, fields: groups::LEAVE_GROUP },
    Request { key: ApiKey::SyncGroup, fields: groups::SYNC_GROUP },
    Request { key: ApiKey::DescribeGroups, fields: groups::DESCRIBE_GROUPS },
    Request { key: ApiKey::ListGroups, fields: groups::LIST_GROUPS },
    Request { key: ApiKey::ApiVersions, fields: cluster::API_VERSIONS },
    Request { key: ApiKey::CreateTopics, fields: topics::CREATE_TOPICS },
    Request { key: ApiKey::DeleteTopics, fields: topics::DELETE_TOPICS },
    Request { key: ApiKey::DeleteRecords, fields: log::DELETE_RECORDS },
    Request { key: ApiKey::InitProducerId, fields: cluster::INIT_PRODUCER_ID },
    Request { key: ApiKey::OffsetForLeaderEpoch, fields: log::OFFSET_FOR_LEADER_EPOCH },
    Request { key: ApiKey::DescribeConfigs, fields: cluster::DESCRIBE_CONFIGS },
    Request { key: ApiKey::AlterConfigs, fields: admin::ALTER_CONFIGS },
    Request { key: ApiKey::AlterReplicaLogDirs, fields: admin::ALTER_REPLICA_LOG_DIRS },
    Request { key: ApiKey::DescribeLogDirs, fields: admin::DESCRIBE_LOG_DIRS },
    Request { key: ApiKey::CreatePartitions, fields: topics::CREATE_PARTITIONS },
    Request { key: ApiKey::DeleteGroups, fields: groups::DELETE_GROUPS },
    Request { key: ApiKey::ElectLeaders, fields: admin::ELECT_LEADERS },
    Request { key: ApiKey::IncrementalAlterConfigs, fields: admin::INCREMENTAL_ALTER_CONFIGS },
    Request { key: ApiKey::AlterPartitionReassignments, fields: admin::ALTER_PARTITION_REASSIGNMENTS },
    Request { key: ApiKey::ListPartitionReassignments, fields: admin::LIST_PARTITION_REASSIGNMENTS },
    Request { key: ApiKey::OffsetDelete, fields: offsets::OFFSET_DELETE },
    Request { key: ApiKey::DescribeClientQuotas, fields: admin::DESCRIBE_CLIENT_QUOTAS },
    Request { key: ApiKey::AlterClientQuotas, fields: admin::ALTER_CLIENT_QUOTAS },
    Request { key: ApiKey::DescribeQuorum, fields: admin::DESCRIBE_QUORUM },
    Request { key: ApiKey::UpdateFeatures, fields: admin::UPDATE_FEATURES },
    Request { key: ApiKey::DescribeCluster, fields: cluster::DESCRIBE_CLUSTER },
    Request { key: ApiKey::DescribeProducers, fields: admin::DESCRIBE_PRODUCERS },
    Request { key: ApiKey::UnregisterBroker, fields: admin::UNREGISTER_BROKER },
    Request { key: ApiKey::ConsumerGroupHeartbeat, fields: groups::CONSUMER_GROUP_HEARTBEAT },
    Request { key: ApiKey::ConsumerGroupDescribe, fields: groups::CONSUMER_GROUP_DESCRIBE },
    Request { key: ApiKey::ListConfigResources, fields: admin::LIST_CONFIG_RESOURCES },
    Request { key: ApiKey::DescribeTopicPartitions, fields: admin::DESCRIBE_TOPIC_PARTITIONS },
];

/// The shape of a request; none where we have not written one down.
#[must_use]
pub fn lookup(key: ApiKey) -> Option<&'static Request> {
    let row = REQUESTS.binary_search_by_key(&key, |request| request.key).ok()?;
    REQUESTS.get(row)
}

const _: () = {
    let mut index = 0;
    while index < REQUESTS.len() {
        let ascending = index == 0 || REQUESTS[index - 1].key.code() < REQUESTS[index].key.code();
        assert!(ascending, "binary search needs ascending keys");
        index += 1;
    }
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api;

    #[test]
    fn whatever_is_advertised_has_a_shape() {
        for info in api::advertised() {
            assert!(lookup(info.key).is_some(), "{}", info.name);
        }
    }
}
