//! What members and operators ask of groups of the consumer protocol, and what they are answered.

use std::collections::BTreeSet;
use std::sync::Arc;

use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::group_records::{ConsumerMemberMetadata, Partitions};

use super::assignors::Assignor;

/// Member epoch of a member that joins, or joins again.
pub const JOINING: i32 = 0;
/// Member epoch of a member that leaves.
pub const LEAVING: i32 = -1;
/// Member epoch of a static member that leaves to come back within its session.
pub const LEAVING_FOR_NOW: i32 = -2;

/// ConsumerGroupHeartbeat: who is there, what it has, what it wants. What is none did not change since the last one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerHeartbeat {
    /// The group.
    pub group: Arc<str>,
    /// The member's id; a fresh one when version 0 leaves it to the broker.
    pub member_id: Arc<str>,
    /// Its epoch, or [`JOINING`], [`LEAVING`], [`LEAVING_FOR_NOW`].
    pub epoch: i32,
    /// `group.instance.id` of a static member.
    pub instance_id: Option<Arc<str>>,
    /// Its rack.
    pub rack_id: Option<Arc<str>>,
    /// Rebalance time-out in milliseconds.
    pub rebalance_timeout_ms: Option<i32>,
    /// Topics that it subscribes to.
    pub topics: Option<BTreeSet<Arc<str>>>,
    /// Regular expression of topics that it subscribes to; empty for none.
    pub regex: Option<Arc<str>>,
    /// The assignor that it would like.
    pub assignor: Option<Arc<str>>,
    /// Partitions that it owns.
    pub owned: Option<Partitions>,
    /// Client id.
    pub client_id: Arc<str>,
    /// Address of the client as Java prints it, `/10.0.0.1`.
    pub client_host: Arc<str>,
}

/// A request that is refused as a whole, and why in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The code.
    pub error: ErrorCode,
    /// The words.
    pub message: String,
}

impl Refusal {
    pub(super) fn new(error: ErrorCode, message: impl Into<String>) -> Self {
        Self { error, message: message.into() }
    }
}

impl From<ErrorCode> for Refusal {
    fn from(error: ErrorCode) -> Self {
        Self { error, message: String::new() }
    }
}

impl ConsumerHeartbeat {
    /// Whether the request makes sense by itself (`GroupCoordinatorService.throwIfConsumerGroupHeartbeatRequestIsInvalid`).
    ///
    /// # Errors
    /// `INVALID_REQUEST` or `UNSUPPORTED_ASSIGNOR`. `named` says whether the client gave the member id: it must but for the
    /// first request of version 0.
    pub fn check(&self, version: i16, named: bool, assignors: &[Assignor]) -> Result<(), Refusal> {
        let invalid = |message: &str| Err(Refusal::new(ErrorCode::InvalidRequest, message));
        let is_empty = |text: Option<&Arc<str>>| text.is_some_and(|text| text.trim().is_empty());
        if (version >= 1 || self.epoch > JOINING || self.epoch == LEAVING) && !named {
            return invalid("the member has no id");
        }
        if self.group.trim().is_empty() {
            return invalid("the group has no id");
        }
        if is_empty(self.instance_id.as_ref()) {
            return invalid("the instance id is empty");
        }
        if is_empty(self.rack_id.as_ref()) {
            return invalid("the rack id is empty");
        }
        match self.epoch {
            JOINING if self.rebalance_timeout_ms.is_none() => {
                return invalid("who joins must say its rebalance time-out");
            }
            JOINING if self.owned.as_ref().is_none_or(|owned| !owned.is_empty()) => {
                return invalid("who joins must own no partitions, and say so");
            }
            JOINING if self.topics.is_none() && self.regex.is_none() => {
                return invalid("who joins must subscribe to topics or to a regular expression");
            }
            LEAVING_FOR_NOW if self.instance_id.is_none() => {
                return invalid("only a static member may leave for now");
            }
            ..LEAVING_FOR_NOW => return invalid("there is no such member epoch"),
            _ => {}
        }
        match &self.assignor {
            Some(name) if !assignors.iter().any(|assignor| assignor.name() == &**name) => {
                let names: Vec<&str> = assignors.iter().map(|assignor| assignor.name()).collect();
                let message = format!("there is no assignor {name}; there are {}", names.join(", "));
                Err(Refusal::new(ErrorCode::UnsupportedAssignor, message))
            }
            _ => Ok(()),
        }
    }

    /// Whether it says everything, as after joining or an error: then it is told its assignment.
    pub(super) const fn is_full(&self) -> bool {
        let subscribes = self.topics.is_some() || self.regex.is_some();
        self.rebalance_timeout_ms.is_some() && subscribes && self.owned.is_some()
    }
}

/// Answer to [`ConsumerHeartbeat`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerBeat {
    /// The member's id.
    pub member_id: Arc<str>,
    /// The epoch that it is at.
    pub epoch: i32,
    /// When to be heard of next, in milliseconds; 0 for who leaves.
    pub heartbeat_interval_ms: i32,
    /// What it may use now, when that changed.
    pub assignment: Option<Partitions>,
}

/// A group of the consumer protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedConsumerGroup {
    /// Its state as Kafka writes it.
    pub state: &'static str,
    /// Its epoch.
    pub epoch: i32,
    /// The epoch of its target assignment.
    pub target_epoch: i32,
    /// The assignor that most members would like, or the default.
    pub assignor: &'static str,
    /// Its members.
    pub members: Vec<DescribedConsumer>,
}

/// A member of a group of the consumer protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedConsumer {
    /// Member id.
    pub member_id: Arc<str>,
    /// The epoch that it is at.
    pub epoch: i32,
    /// What it said of itself.
    pub metadata: ConsumerMemberMetadata,
    /// What it has.
    pub assignment: Vec<DescribedTopic>,
    /// What it is to have.
    pub target: Vec<DescribedTopic>,
}

/// Partitions of a topic, by its id and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedTopic {
    /// The id.
    pub id: slipring_protocol::ids::TopicId,
    /// The name.
    pub name: Arc<str>,
    /// The partitions.
    pub partitions: Vec<slipring_protocol::ids::PartitionIndex>,
}
