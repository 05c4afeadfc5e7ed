//! What crosses cores. Closed enums: one hop per target core and request, whole batches per turn.

use std::sync::Arc;

use slipring_machine::controller::{Command, Reply as ControllerReply};
use slipring_machine::fetch_session::{MovedSession, SessionId};
use slipring_machine::group::{Command as GroupCommand, List, ListedGroup, Reply as GroupReply};
use slipring_protocol::batch::CheckedBatch;
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::ids::{PartitionIndex, TopicIdPartition};

use slipring_storage::producer_state::snapshot::SnapshotEntry;

use crate::controller::view::{ClusterView, ViewChange};
use crate::net::listener::Accepted;
use crate::partition::fetch::{FetchPart, FetchPlan};
use crate::partition::offsets::{EpochEndAnswer, EpochEndQuery, OffsetAnswer, OffsetQuery};
use crate::partition::produce::Produced;
use crate::partition::records::{DeleteRecordsAnswer, DeleteRecordsQuery};
use crate::partition::sizes::LogSize;
use crate::runtime::Instant;
use crate::runtime::mailbox::ShardId;

/// Names a request that waits on the sending shard for its answer. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub u64);

/// One message between shards.
pub enum Message {
    /// A connection for this core.
    Accepted(Accepted),
    /// Batches for partitions of this core.
    Produce(Vec<ProducePart>),
    /// A part of a produce request is durable, or failed.
    Produced(Token, u32, Produced),
    /// A question for this core.
    Request(Token, ShardRequest),
    /// The answer to a question of this core.
    Reply(Token, ShardReply),
    /// A partition that a waiting fetch watches has more to read, or is gone: with the sender's plans for all that the fetch
    /// wants of it, or none when that takes the disk.
    Watched(Token, Vec<FetchPlan>),
    /// Finish what is there, then stop. From outside only for shard 0, which passes it on.
    Stop,
}

/// One partition's batch of a produce request.
pub struct ProducePart {
    /// The request, on the core of its connection.
    pub request: Token,
    /// Which of the request's partitions.
    pub part: u32,
    /// Where it goes.
    pub partition: TopicIdPartition,
    /// Validated on the core of the connection.
    pub batch: CheckedBatch,
    /// Whether anyone waits for the outcome (acks other than 0).
    pub wants_answer: bool,
}

/// A fetch that is ready to wait.
#[derive(Clone, Copy, Debug)]
pub struct WatchRequest {
    /// Its core.
    pub shard: ShardId,
    /// Its name there.
    pub token: Token,
    /// After this it waits no longer.
    pub until: Instant,
    /// It waits when fewer bytes than this are there (`fetch.min.bytes`).
    pub bytes_min: usize,
}

/// Questions between shards.
pub enum ShardRequest {
    /// What may be read now; with a watch, tell when there is more.
    Fetch {
        /// The partitions, in the order of the request.
        parts: Vec<FetchPart>,
        /// A limit over all of them, in bytes.
        bytes_max: usize,
        /// Watch every partition when there is too little.
        watch: Option<WatchRequest>,
    },
    /// ListOffsets.
    Offsets(Vec<OffsetQuery>),
    /// OffsetForLeaderEpoch.
    EpochEnds(Vec<EpochEndQuery>),
    /// DeleteRecords.
    DeleteRecords(Vec<DeleteRecordsQuery>),
    /// What the partitions of this core take on disk.
    LogSizes,
    /// The idempotent producers of partitions.
    Producers(Vec<TopicIdPartition>),
    /// A fetch session whose client has reconnected to the asking core.
    TakeSession(SessionId),
    /// A command for the controller (shard 0).
    Control(Box<Command>),
    /// A command for the groups of one partition of the offsets topic.
    Group(PartitionIndex, Box<GroupCommand>),
    /// The groups of all partitions of this core that pass the filters.
    ListGroups(List),
    /// A new view of the cluster; answered when this shard serves all of it.
    Publish(Arc<ClusterView>, Arc<ViewChange>),
}

/// Answers between shards.
pub enum ShardReply {
    /// To `Fetch`: one plan per part.
    Fetch(Vec<FetchPlan>),
    /// To `Offsets`.
    Offsets(Vec<OffsetAnswer>),
    /// To `EpochEnds`.
    EpochEnds(Vec<EpochEndAnswer>),
    /// To `DeleteRecords`.
    DeleteRecords(Vec<DeleteRecordsAnswer>),
    /// To `LogSizes`.
    LogSizes(Vec<LogSize>),
    /// To `Producers`: one for each partition, `None` where it is not here.
    Producers(Vec<Option<Vec<SnapshotEntry>>>),
    /// To `TakeSession`: the session, if it was here.
    Session(Option<Box<MovedSession>>),
    /// To `Control`; nothing when the broker is stopping.
    Control(Option<Box<ControllerReply>>),
    /// To `Group`.
    Group(Box<GroupReply>),
    /// To `ListGroups`.
    Groups(Result<Vec<ListedGroup>, ErrorCode>),
    /// To `Publish`.
    Published,
}
