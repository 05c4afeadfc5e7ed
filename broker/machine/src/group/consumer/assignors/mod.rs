//! Server-side assignors: from what members subscribe to and were to have before, to what they are to have. Pure functions.
//! Every partition of a subscribed topic goes to one of its subscribers.

mod range;
mod uniform;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use slipring_protocol::group_records::Partitions;
use slipring_protocol::ids::TopicId;

/// An assignor that members may ask for by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Assignor {
    /// As even as can be, moving little (Kafka's `UniformAssignor`).
    Uniform,
    /// A range of each topic, the same for topics with as many partitions and the same subscribers (`RangeAssignor`).
    Range,
}

impl Assignor {
    /// The name that members use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    /// The assignor of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Uniform, Self::Range].into_iter().find(|assignor| assignor.name() == name)
    }

    pub(super) fn assign(self, group: &GroupSpec) -> BTreeMap<Arc<str>, Partitions> {
        match self {
            Self::Uniform => uniform::assign(group),
            Self::Range => range::assign(group),
        }
    }
}

/// A member to an assignor.
#[derive(Clone, Debug, Default)]
pub(super) struct MemberSpec {
    pub(super) instance_id: Option<Arc<str>>,
    /// Topics that it subscribes to; all of them exist.
    pub(super) topics: BTreeSet<TopicId>,
    /// What it was to have before.
    pub(super) previous: Partitions,
}

/// A group to an assignor.
#[derive(Clone, Debug, Default)]
pub(super) struct GroupSpec {
    pub(super) members: BTreeMap<Arc<str>, MemberSpec>,
    /// Number of partitions of every topic that anybody subscribes to.
    pub(super) topics: BTreeMap<TopicId, i32>,
}

impl GroupSpec {
    /// Whether all members subscribe to the same topics.
    fn is_homogeneous(&self) -> bool {
        let mut members = self.members.values();
        let first = members.next();
        members.all(|member| first.is_some_and(|first| first.topics == member.topics))
    }
}
