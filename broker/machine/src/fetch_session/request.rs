//! What goes into and comes out of the session cache: the view of a request, the partitions to read, and what reading
//! them gave.

use std::sync::Arc;

use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::fetch::{FetchPartition, FetchRequest, FetchTopic, ForgottenTopic};
use slipring_protocol::ids::{LeaderEpoch, Offset, PartitionIndex, TopicId};

use crate::image::{MetadataImage, TopicImage};

/// Id of a session; positive, or [`SessionId::NONE`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub i32);

impl SessionId {
    /// No session.
    pub const NONE: Self = Self(0);
}

/// Epoch of a request that opens a session.
pub(super) const EPOCH_INITIAL: i32 = 0;
/// Epoch of a request that closes its session, or wants none.
pub(super) const EPOCH_FINAL: i32 = -1;
/// First version that names topics by id.
const TOPIC_IDS_FROM: i16 = 13;

/// Epoch of the request after one of `epoch`; wraps past the two with a meaning of their own.
pub(super) const fn epoch_after(epoch: i32) -> i32 {
    match epoch {
        i32::MAX => 1,
        ..0 => EPOCH_FINAL,
        _ => epoch + 1,
    }
}

/// What of a fetch request the cache looks at.
#[derive(Clone, Copy, Debug)]
pub struct FetchView<'a> {
    /// Session that the request belongs to.
    pub session_id: SessionId,
    /// 0 opens a session, -1 closes it or wants none, anything else goes on with it.
    pub session_epoch: i32,
    /// Whether topics are named by id (version 13 on).
    pub uses_topic_ids: bool,
    /// Whether a follower asks. Its session may push those of consumers out of the cache.
    pub from_follower: bool,
    /// Partitions to fetch, or to add to or change in the session.
    pub topics: &'a [FetchTopic],
    /// Partitions to take out of the session.
    pub forgotten: &'a [ForgottenTopic],
}

impl<'a> FetchView<'a> {
    /// The view of a decoded request.
    #[must_use]
    pub fn of(version: i16, request: &'a FetchRequest) -> Self {
        Self {
            session_id: SessionId(request.session_id),
            session_epoch: request.session_epoch,
            uses_topic_ids: version >= TOPIC_IDS_FROM,
            from_follower: request.replica_id.0 >= 0,
            topics: &request.topics,
            forgotten: &request.forgotten,
        }
    }

    /// Whether the request lists all its partitions itself.
    pub(super) const fn is_full(&self) -> bool {
        matches!(self.session_epoch, EPOCH_INITIAL | EPOCH_FINAL)
    }
}

/// One partition to fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchTarget {
    /// Topic id; none when the request goes by names.
    pub topic_id: TopicId,
    /// Topic name; `None` when no topic has had the id since it was first asked for.
    pub topic: Option<Arc<str>>,
    /// Partition of the topic.
    pub partition: PartitionIndex,
    /// Where to read.
    pub fetch_offset: Offset,
    /// Leader epoch that the sender knows; -1 for none.
    pub current_leader_epoch: LeaderEpoch,
    /// Epoch of the last record that the sender has; -1 for none.
    pub last_fetched_epoch: LeaderEpoch,
    /// Log start of a follower; -1 for a consumer.
    pub log_start_offset: Offset,
    /// Bytes to stop at in this partition.
    pub max_bytes: i32,
    /// Place in the session; meaningless outside.
    pub(super) slot: u32,
}

impl FetchTarget {
    pub(super) fn new(topic_id: TopicId, topic: Option<Arc<str>>, asked: &FetchPartition) -> Self {
        Self {
            topic_id,
            topic,
            partition: asked.partition,
            fetch_offset: asked.fetch_offset,
            current_leader_epoch: asked.current_leader_epoch,
            last_fetched_epoch: asked.last_fetched_epoch,
            log_start_offset: asked.log_start_offset,
            max_bytes: asked.max_bytes,
            slot: 0,
        }
    }

    /// The topic to read, by the image of this moment.
    ///
    /// # Errors
    /// `UnknownTopicId` for an id that no topic has had, `UnknownTopicOrPartition` when the topic or the partition is not
    /// there (any more), `InconsistentTopicId` when the name belongs to another topic now.
    pub fn resolve<'a>(&self, image: &'a MetadataImage) -> Result<&'a Arc<TopicImage>, ErrorCode> {
        let name = self.topic.as_ref().ok_or(ErrorCode::UnknownTopicId)?;
        let topic = image.topic(name).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        topic.partition(self.partition).ok_or(ErrorCode::UnknownTopicOrPartition)?;
        if !self.topic_id.is_none() && self.topic_id != topic.id {
            return Err(ErrorCode::InconsistentTopicId);
        }
        Ok(topic)
    }
}

/// What reading one target gave; the part that decides whether the client hears of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchOutcome {
    /// Index of the target.
    pub target: u32,
    /// What went wrong.
    pub error: ErrorCode,
    /// High watermark in the answer; -1 with an error.
    pub high_watermark: Offset,
    /// Log start in the answer; -1 with an error.
    pub log_start: Offset,
    /// Bytes of records in the answer.
    pub records_bytes: usize,
    /// Whether the answer names another replica to read from.
    pub preferred_replica: bool,
    /// Whether the answer tells a follower to truncate.
    pub diverging_epoch: bool,
}

/// What kind of fetch is under way; from `begin` to `complete`.
#[derive(Debug, PartialEq, Eq)]
pub enum FetchContext {
    /// All partitions are in the request, and none are remembered.
    Sessionless,
    /// All partitions are in the request, and the answer may open a session.
    Full {
        /// Whether the session will name topics by id.
        uses_topic_ids: bool,
        /// Whether a follower asks.
        from_follower: bool,
    },
    /// A further fetch of a session.
    Incremental {
        /// The session.
        session: SessionId,
        /// Which of all sessions that have had this id.
        serial: u64,
        /// The session's epoch, unless another request comes in between.
        epoch: i32,
    },
}
