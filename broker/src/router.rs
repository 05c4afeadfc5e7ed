//! From the API table to the handler. Produce does not come here: it is the one request that overlaps with others
//! (`net::connection`).

use std::rc::Rc;

use bytes::Bytes;
use kafka_protocol::protocol::{Encodable, Request as WireRequest};
use slipring_protocol::api::ApiKey;
use slipring_protocol::header::RequestHeader;
use slipring_protocol::wire::WireError;
use slipring_protocol::{bounds, frame};

use crate::handlers;
use crate::net::connection::{Closed, Connection};
use crate::runtime;
use crate::runtime::conn::Piece;
use crate::shard::Shard;

/// Handles one request and gives its answer as pieces of a whole frame.
///
/// # Errors
/// When the request is malformed; the connection is closed then, as in Kafka.
pub async fn route(
    shard: &Rc<Shard>,
    connection: &Rc<Connection>,
    header: &RequestHeader,
    body: Bytes,
) -> Result<Vec<Piece>, Closed> {
    let api = header.api.key;
    let arrived = runtime::now();
    shard.metrics.request(api);
    let request = Request { shard, connection, header, body };
    let response = match api {
        ApiKey::Fetch => handlers::fetch::handle(request).await,
        ApiKey::ListOffsets => handlers::list_offsets::handle(request).await,
        ApiKey::Metadata => handlers::metadata::handle(request).await,
        ApiKey::ApiVersions => handlers::api_versions::handle(request),
        ApiKey::CreateTopics => handlers::create_topics::handle(request).await,
        ApiKey::DeleteRecords => handlers::delete_records::handle(request).await,
        ApiKey::DeleteTopics => handlers::delete_topics::handle(request).await,
        ApiKey::CreatePartitions => handlers::create_partitions::handle(request).await,
        ApiKey::InitProducerId => handlers::init_producer_id::handle(request).await,
        ApiKey::OffsetForLeaderEpoch => handlers::offset_for_leader_epoch::handle(request).await,
        ApiKey::OffsetCommit => handlers::offset_commit::handle(request).await,
        ApiKey::OffsetFetch => handlers::offset_fetch::handle(request).await,
        ApiKey::FindCoordinator => handlers::find_coordinator::handle(request).await,
        ApiKey::JoinGroup => handlers::join_group::handle(request).await,
        ApiKey::Heartbeat => handlers::heartbeat::handle(request).await,
        ApiKey::LeaveGroup => handlers::leave_group::handle(request).await,
        ApiKey::SyncGroup => handlers::sync_group::handle(request).await,
        ApiKey::DescribeGroups => handlers::describe_groups::handle(request).await,
        ApiKey::ListGroups => handlers::list_groups::handle(request).await,
        ApiKey::DeleteGroups => handlers::delete_groups::handle(request).await,
        ApiKey::ConsumerGroupHeartbeat => handlers::consumer_group_heartbeat::handle(request).await,
        ApiKey::ConsumerGroupDescribe => handlers::consumer_group_describe::handle(request).await,
        ApiKey::OffsetDelete => handlers::offset_delete::handle(request).await,
        ApiKey::DescribeConfigs => handlers::describe_configs::handle(request),
        ApiKey::AlterConfigs => handlers::alter_configs::handle(request).await,
        ApiKey::IncrementalAlterConfigs => handlers::incremental_alter_configs::handle(request).await,
        ApiKey::ListConfigResources => handlers::list_config_resources::handle(request),
        ApiKey::DescribeLogDirs => handlers::describe_log_dirs::handle(request).await,
        ApiKey::DescribeProducers => handlers::describe_producers::handle(request).await,
        ApiKey::DescribeQuorum => handlers::describe_quorum::handle(request),
        ApiKey::DescribeTopicPartitions => handlers::describe_topic_partitions::handle(request),
        ApiKey::ElectLeaders => handlers::elect_leaders::handle(request).await,
        ApiKey::AlterPartitionReassignments => handlers::alter_partition_reassignments::handle(request).await,
        ApiKey::ListPartitionReassignments => handlers::list_partition_reassignments::handle(request),
        ApiKey::UpdateFeatures => handlers::update_features::handle(request).await,
        ApiKey::UnregisterBroker => handlers::unregister_broker::handle(request).await,
        ApiKey::DescribeCluster => handlers::describe_cluster::handle(request),
        other => Err(Closed::Protocol(format!("{other:?} is not served"))),
    }?;
    shard.metrics.answered(api, runtime::now().since(arrived).as_secs_f64());
    Ok(response)
}

/// A request as its handler gets it.
pub struct Request<'a> {
    /// The core of the connection.
    pub shard: &'a Rc<Shard>,
    /// Who asks.
    pub connection: &'a Rc<Connection>,
    /// Its head; the version is one that we serve.
    pub header: &'a RequestHeader,
    /// Its body, unchecked.
    pub body: Bytes,
}

impl Request<'_> {
    /// Reads the body with the published codec, after our own walk over its counts: the codec trusts them.
    ///
    /// # Errors
    /// When the bytes are no request of this API and version.
    pub fn decode<T: WireRequest>(&self) -> Result<T, Closed> {
        let (api, version) = (self.header.api.key, self.header.version);
        bounds::decode(version, self.body.clone())
            .map_err(|error| Closed::Protocol(format!("{api:?} v{version}: {error}")))
    }

    /// The answer as a whole frame.
    ///
    /// # Errors
    /// When the response holds what its version can't express: a mistake of the handler, which costs the connection.
    pub fn respond<T: Encodable>(&self, response: &T) -> Result<Vec<Piece>, Closed> {
        let (api, version) = (self.header.api.key, self.header.response_version());
        self.respond_with(|out| bounds::encode(api, version, response, out))
    }

    /// The answer as a whole frame, whose body `encode` appends.
    ///
    /// # Errors
    /// As [`Self::respond`].
    pub fn respond_with(
        &self,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), WireError>,
    ) -> Result<Vec<Piece>, Closed> {
        let mut out = Vec::with_capacity(256);
        let start = self.header.begin_response(&mut out);
        let (api, version) = (self.header.api.key, self.header.response_version());
        encode(&mut out).map_err(|error| {
            tracing::error!(?api, version, %error, "response can't be encoded");
            Closed::Protocol(format!("response: {error}"))
        })?;
        frame::finish(&mut out, start, 0);
        Ok(vec![Piece::Owned(Bytes::from(out))])
    }
}
