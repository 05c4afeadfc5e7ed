//! What is asked of the coordinator and what it answers. Plain data; versions of the wire stay with the handlers, except for
//! what they decide.

use std::sync::Arc;

use bytes::Bytes;
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::group_records::CommittedOffset;
use slipring_protocol::ids::{LeaderEpoch, Offset, PartitionIndex, TopicId};
use uuid::Uuid;

use super::consumer::{ConsumerBeat, ConsumerHeartbeat, DescribedConsumerGroup, Refusal};

/// The host's mark of a request: comes back with the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// A request for the coordinator of its groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// JoinGroup.
    Join(Join),
    /// SyncGroup.
    Sync(Sync),
    /// Heartbeat.
    Heartbeat(Member),
    /// LeaveGroup.
    Leave(Leave),
    /// OffsetCommit.
    Commit(Commit),
    /// OffsetFetch, one group.
    Fetch(Fetch),
    /// OffsetDelete.
    DeleteOffsets(DeleteOffsets),
    /// DescribeGroups.
    Describe(Vec<Arc<str>>),
    /// ListGroups.
    List(List),
    /// DeleteGroups.
    DeleteGroups(Vec<Arc<str>>),
    /// Topics are gone: so are the offsets committed in them.
    DeleteTopics(Vec<Arc<str>>),
    /// ConsumerGroupHeartbeat.
    ConsumerHeartbeat(Box<ConsumerHeartbeat>),
    /// ConsumerGroupDescribe, one group.
    ConsumerDescribe(Arc<str>),
}

/// The answer to the [`Command`] of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To JoinGroup.
    Join(JoinReply),
    /// To SyncGroup.
    Sync(SyncReply),
    /// To Heartbeat.
    Heartbeat(ErrorCode),
    /// To LeaveGroup: each member with what became of it.
    Leave(Result<Vec<(LeavingMember, ErrorCode)>, ErrorCode>),
    /// To OffsetCommit: by topic and partition in the order of the request; an outer error is one of every partition.
    Commit(Result<Vec<Vec<(PartitionIndex, ErrorCode)>>, ErrorCode>),
    /// To OffsetFetch: topics in the order of the request, or all.
    Fetch(Result<Vec<FetchedTopic>, ErrorCode>),
    /// To OffsetDelete, as for OffsetCommit.
    DeleteOffsets(Result<Vec<Vec<(PartitionIndex, ErrorCode)>>, ErrorCode>),
    /// To DescribeGroups: the groups in the order of the request; none where there is no such group of the classic protocol.
    Describe(Result<Vec<MaybeDescribed>, ErrorCode>),
    /// To ListGroups.
    List(Result<Vec<ListedGroup>, ErrorCode>),
    /// To DeleteGroups: in the order of the request.
    DeleteGroups(Result<Vec<(Arc<str>, ErrorCode)>, ErrorCode>),
    /// The offsets are gone, or not.
    DeleteTopics(ErrorCode),
    /// To ConsumerGroupHeartbeat.
    ConsumerHeartbeat(Result<ConsumerBeat, Refusal>),
    /// To ConsumerGroupDescribe.
    ConsumerDescribe(Result<DescribedConsumerGroup, Refusal>),
}

/// A request to join a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// The group.
    pub group: Arc<str>,
    /// The member's id; empty when it has none yet.
    pub member_id: Arc<str>,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<Arc<str>>,
    /// Client id.
    pub client_id: Arc<str>,
    /// Address of the client as Java prints it, `/10.0.0.1`.
    pub client_host: Arc<str>,
    /// Session time-out in milliseconds.
    pub session_timeout_ms: i32,
    /// Rebalance time-out in milliseconds; version 0 says its session time-out.
    pub rebalance_timeout_ms: i32,
    /// Protocol type.
    pub protocol_type: Arc<str>,
    /// Protocols (assignors) in order of preference, each with the member's metadata.
    pub protocols: Vec<(Arc<str>, Bytes)>,
    /// Whether a new dynamic member is to ask again with the id that it is given: from version 4.
    pub requires_known_member_id: bool,
    /// Whether the client knows `skip_assignment`: from version 9.
    pub knows_skip_assignment: bool,
    /// A fresh random id, for a new member's id.
    pub fresh_id: Uuid,
}

/// Answer to [`Join`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinReply {
    /// What went wrong, or `None`.
    pub error: ErrorCode,
    /// Generation; -1 with an error.
    pub generation: i32,
    /// Protocol type of the group.
    pub protocol_type: Option<Arc<str>>,
    /// Protocol chosen.
    pub protocol: Option<Arc<str>>,
    /// Member id of the leader; empty with an error.
    pub leader: Arc<str>,
    /// Whether the leader is not to assign (KIP-814).
    pub skip_assignment: bool,
    /// The member's id.
    pub member_id: Arc<str>,
    /// To the leader: every member, its `group.instance.id` and its metadata.
    pub members: Vec<JoinedMember>,
}

impl JoinReply {
    pub(super) fn failed(member_id: &Arc<str>, error: ErrorCode) -> Self {
        Self {
            error,
            generation: -1,
            protocol_type: None,
            protocol: None,
            leader: Arc::default(),
            skip_assignment: false,
            member_id: member_id.clone(),
            members: Vec::new(),
        }
    }
}

/// A member as its leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    /// Member id.
    pub member_id: Arc<str>,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<Arc<str>>,
    /// Its metadata under the chosen protocol.
    pub metadata: Bytes,
}

/// A member that speaks for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The group.
    pub group: Arc<str>,
    /// Generation as the member knows it.
    pub generation: i32,
    /// Member id.
    pub member_id: Arc<str>,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<Arc<str>>,
}

/// A request for the member's assignment; the leader's brings everybody's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sync {
    /// Who asks.
    pub member: Member,
    /// Protocol type as the member knows it, from version 5.
    pub protocol_type: Option<Arc<str>>,
    /// Protocol as the member knows it, from version 5.
    pub protocol: Option<Arc<str>>,
    /// Assignments by member id.
    pub assignments: Vec<(Arc<str>, Bytes)>,
}

/// Answer to [`Sync`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncReply {
    /// What went wrong, or `None`.
    pub error: ErrorCode,
    /// Protocol type of the group.
    pub protocol_type: Option<Arc<str>>,
    /// Protocol of the group.
    pub protocol: Option<Arc<str>>,
    /// The member's assignment.
    pub assignment: Bytes,
}

impl SyncReply {
    pub(super) fn failed(error: ErrorCode) -> Self {
        Self { error, protocol_type: None, protocol: None, assignment: Bytes::new() }
    }
}

/// A request to leave a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leave {
    /// The group.
    pub group: Arc<str>,
    /// Who leaves; a static member may be named by its instance alone.
    pub members: Vec<LeavingMember>,
}

/// A member that leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeavingMember {
    /// Member id; empty when only the instance is named.
    pub member_id: Arc<str>,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<Arc<str>>,
}

/// A request to commit offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Who commits. A negative generation, an empty member id and no instance: somebody outside the group protocol.
    pub member: Member,
    /// Whether an unknown group is `GROUP_ID_NOT_FOUND`: from version 9; before, `ILLEGAL_GENERATION`.
    pub knows_group_id_not_found: bool,
    /// How long to keep the offsets in milliseconds, up to version 4.
    pub retention_ms: Option<i64>,
    /// Topics.
    pub topics: Vec<CommitTopic>,
}

/// Offsets in one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitTopic {
    /// Topic name.
    pub name: Arc<str>,
    /// Topic id.
    pub topic_id: TopicId,
    /// Partitions.
    pub partitions: Vec<CommitPartition>,
}

/// The offset of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitPartition {
    /// The partition.
    pub index: PartitionIndex,
    /// The offset.
    pub offset: Offset,
    /// Epoch of the last record consumed.
    pub leader_epoch: LeaderEpoch,
    /// What to keep with it.
    pub metadata: Option<Arc<str>>,
}

/// A request for committed offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// The group.
    pub group: Arc<str>,
    /// Member of the consumer protocol that asks, and its epoch, where it says so.
    pub member: Option<(Arc<str>, i32)>,
    /// Topics and partitions; none for all.
    pub topics: Option<Vec<(Arc<str>, Vec<PartitionIndex>)>>,
}

/// Offsets in one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedTopic {
    /// Topic name.
    pub name: Arc<str>,
    /// Partitions; none where nothing is committed.
    pub partitions: Vec<(PartitionIndex, Option<CommittedOffset>)>,
}

/// A request to delete committed offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteOffsets {
    /// The group.
    pub group: Arc<str>,
    /// Topics and partitions.
    pub topics: Vec<(Arc<str>, Vec<PartitionIndex>)>,
}

/// Filters of ListGroups; empty ones let all pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// Names of states, in any case.
    pub states: Vec<String>,
    /// Names of group types, in any case.
    pub types: Vec<String>,
}

/// A group in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedGroup {
    /// The group.
    pub group: Arc<str>,
    /// Its protocol type; empty for a group that never had members.
    pub protocol_type: Arc<str>,
    /// Its state as Kafka writes it.
    pub state: &'static str,
    /// Its type as Kafka writes it.
    pub group_type: &'static str,
}

/// A group that was asked for, described if it is there.
pub type MaybeDescribed = (Arc<str>, Option<DescribedGroup>);

/// A group with its members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedGroup {
    /// Its state as Kafka writes it.
    pub state: &'static str,
    /// Its protocol type; empty for a group that never had members.
    pub protocol_type: Arc<str>,
    /// Protocol of a stable group, else empty.
    pub protocol: Arc<str>,
    /// Members; their metadata is empty unless the group is stable.
    pub members: Vec<DescribedMember>,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedMember {
    /// Member id.
    pub member_id: Arc<str>,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<Arc<str>>,
    /// Client id.
    pub client_id: Arc<str>,
    /// Where it joined from.
    pub client_host: Arc<str>,
    /// Its metadata under the chosen protocol.
    pub metadata: Bytes,
    /// Its assignment.
    pub assignment: Bytes,
}
