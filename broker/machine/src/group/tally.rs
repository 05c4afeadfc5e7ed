//! What operators watch: how many groups and offsets there are, and what is committed. For gauges: it shows what is staged,
//! durable or not.

use std::collections::BTreeMap;
use std::sync::Arc;

use slipring_protocol::ids::{Offset, PartitionIndex};

use super::Coordinator;

/// Groups and offsets, of one coordinator or of several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Groups by protocol and state, under the names that ListGroups gives them.
    pub groups: BTreeMap<(&'static str, &'static str), u64>,
    /// Committed offsets.
    pub offsets: u64,
    /// Rebalances of classic groups that came to their end since the last tally.
    pub rebalances: u64,
}

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The group.
    pub group: Arc<str>,
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: PartitionIndex,
    /// The offset: that of the next record to consume.
    pub offset: Offset,
}

impl Coordinator {
    /// Adds this coordinator's groups to a tally.
    pub fn tally(&mut self, tally: &mut Tally) {
        for group in self.groups.values() {
            *tally.groups.entry(("classic", group.state().name())).or_default() += 1;
        }
        for group in self.consumer.values() {
            *tally.groups.entry(("consumer", group.state())).or_default() += 1;
        }
        tally.offsets += self.offsets.count() as u64;
        tally.rebalances += std::mem::take(&mut self.writes.rebalances);
    }

    /// The committed offsets, always in the same order.
    pub fn committed(&self) -> impl Iterator<Item = Committed> {
        self.offsets.iter().map(|(group, topic, partition, committed)| Committed {
            group: group.clone(),
            topic: topic.clone(),
            partition,
            offset: committed.offset,
        })
    }
}
