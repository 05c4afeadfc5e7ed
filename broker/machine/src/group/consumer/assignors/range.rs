//! The range assignor: members in order, static ones first, get a range of each topic each. Those whose range is one longer are
//! the same in all topics, so that topics with as many partitions are assigned alike.

use std::collections::BTreeMap;
use std::sync::Arc;

use slipring_protocol::group_records::Partitions;
use slipring_protocol::ids::{PartitionIndex, TopicId};

use super::GroupSpec;

/// What is left of a topic.
struct Ranges {
    partitions: i32,
    each: i32,
    longer: i32,
    next: i32,
}

impl Ranges {
    fn take(&mut self) -> impl Iterator<Item = PartitionIndex> + use<> {
        let start = self.next;
        let length = self.each + i32::from(self.longer > 0);
        self.longer = (self.longer - 1).max(0);
        self.next = (start + length).min(self.partitions);
        (start..self.next).map(PartitionIndex)
    }
}

pub(super) fn assign(group: &GroupSpec) -> BTreeMap<Arc<str>, Partitions> {
    let mut subscribers: BTreeMap<TopicId, i32> = BTreeMap::new();
    for topic in group.members.values().flat_map(|member| &member.topics) {
        *subscribers.entry(*topic).or_default() += 1;
    }
    let mut topics: BTreeMap<TopicId, Ranges> = subscribers
        .into_iter()
        .filter_map(|(topic, members)| {
            let partitions = *group.topics.get(&topic)?;
            let ranges =
                Ranges { partitions, each: partitions / members, longer: partitions % members, next: 0 };
            Some((topic, ranges))
        })
        .collect();
    let mut order: Vec<_> = group.members.iter().collect();
    order.sort_by_key(|(id, member)| {
        let instance_id = member.instance_id.as_ref();
        (instance_id.is_none(), instance_id.unwrap_or(id).clone())
    });
    let mut target = BTreeMap::new();
    for (id, member) in order {
        let mut assigned = Partitions::new();
        for topic in &member.topics {
            let Some(ranges) = topics.get_mut(topic) else { continue };
            let range: std::collections::BTreeSet<PartitionIndex> = ranges.take().collect();
            if !range.is_empty() {
                assigned.insert(*topic, range);
            }
        }
        target.insert(id.clone(), assigned);
    }
    target
}
