//! The uniform assignor. Where all members subscribe to the same topics, their numbers of partitions differ by one at most, and
//! only what is above a member's share moves. Otherwise partitions go to the least loaded subscriber, and then from more to less
//! loaded ones as long as that evens out anything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use slipring_protocol::group_records::Partitions;
use slipring_protocol::ids::{PartitionIndex, TopicId};

use super::GroupSpec;

pub(super) fn assign(group: &GroupSpec) -> Target {
    if group.is_homogeneous() { assign_alike(group) } else { assign_mixed(group) }
}

type Target = BTreeMap<Arc<str>, Partitions>;

/// What members had before, as far as it is still theirs to have; nothing twice.
fn keep(group: &GroupSpec) -> (Target, Vec<(TopicId, PartitionIndex)>) {
    let mut taken: BTreeSet<(TopicId, PartitionIndex)> = BTreeSet::new();
    let mut target = BTreeMap::new();
    for (id, member) in &group.members {
        let mut kept = Partitions::new();
        for (topic, partitions) in &member.previous {
            let Some(count) = group.topics.get(topic).filter(|_| member.topics.contains(topic)) else {
                continue;
            };
            let valid = partitions.iter().copied().filter(|partition| partition.0 < *count);
            let own: BTreeSet<_> = valid.filter(|&partition| taken.insert((*topic, partition))).collect();
            if !own.is_empty() {
                kept.insert(*topic, own);
            }
        }
        target.insert(id.clone(), kept);
    }
    let all = group.topics.iter().flat_map(|(topic, count)| (0..*count).map(|index| (*topic, index)));
    let all = all.map(|(topic, index)| (topic, PartitionIndex(index)));
    (target, all.filter(|partition| !taken.contains(partition)).collect())
}

fn count(partitions: &Partitions) -> usize {
    partitions.values().map(BTreeSet::len).sum()
}

fn give(target: &mut Partitions, (topic, partition): (TopicId, PartitionIndex)) {
    target.entry(topic).or_default().insert(partition);
}

/// Takes the last partition of the last topic, or of the given one.
fn take_last(target: &mut Partitions, topic: Option<TopicId>) -> Option<(TopicId, PartitionIndex)> {
    let topic = match topic {
        Some(topic) => topic,
        None => *target.last_key_value()?.0,
    };
    let partitions = target.get_mut(&topic)?;
    let last = partitions.pop_last();
    if partitions.is_empty() {
        target.remove(&topic);
    }
    last.map(|partition| (topic, partition))
}

fn assign_alike(group: &GroupSpec) -> Target {
    let (mut target, mut free) = keep(group);
    if target.values().all(|kept| count(kept) == 0) && free.is_empty() {
        return target;
    }
    let all = free.len() + target.values().map(count).sum::<usize>();
    let (each, mut more) = (all / target.len(), all % target.len());
    // Those who have most are the first to have one more than others: that moves least.
    let mut order: Vec<(usize, Arc<str>)> =
        target.iter().map(|(id, kept)| (count(kept), id.clone())).collect();
    order.sort_by(|left, right| right.0.cmp(&left.0).then_with(|| left.1.cmp(&right.1)));
    let mut quotas = Vec::with_capacity(order.len());
    for (had, id) in order {
        let quota = each + usize::from(more > 0);
        more = more.saturating_sub(1);
        let Some(own) = target.get_mut(&id) else { continue };
        for _ in quota..had {
            free.extend(take_last(own, None));
        }
        quotas.push((id, quota));
    }
    let mut free = free.into_iter();
    for (id, quota) in quotas {
        let Some(own) = target.get_mut(&id) else { continue };
        for partition in free.by_ref().take(quota.saturating_sub(count(own))) {
            give(own, partition);
        }
    }
    target
}

/// Rounds of balancing over all topics; each round moves at least one partition or is the last.
const ROUNDS_MAX: usize = 16;

fn assign_mixed(group: &GroupSpec) -> Target {
    let (mut target, free) = keep(group);
    let mut subscribers: BTreeMap<TopicId, Vec<Arc<str>>> = BTreeMap::new();
    for (id, member) in &group.members {
        for topic in &member.topics {
            subscribers.entry(*topic).or_default().push(id.clone());
        }
    }
    let mut loads: BTreeMap<Arc<str>, usize> =
        target.iter().map(|(id, kept)| (id.clone(), count(kept))).collect();
    // Topics with the most partitions for each subscriber first, among them those that few subscribe to.
    let mut order: Vec<TopicId> = subscribers.keys().copied().collect();
    order.sort_by(|left, right| {
        let (left_members, right_members) = (subscribers[left].len() as u64, subscribers[right].len() as u64);
        let partitions = |topic: &TopicId| group.topics.get(topic).copied().unwrap_or(0).max(0) as u64;
        let (left_each, right_each) = (partitions(left) * right_members, partitions(right) * left_members);
        right_each.cmp(&left_each).then(left_members.cmp(&right_members)).then(left.cmp(right))
    });
    let mut by_topic: BTreeMap<TopicId, Vec<PartitionIndex>> = BTreeMap::new();
    for (topic, partition) in free {
        by_topic.entry(topic).or_default().push(partition);
    }
    for topic in &order {
        let mut queue: BTreeSet<(usize, Arc<str>)> =
            subscribers[topic].iter().map(|id| (loads[id], id.clone())).collect();
        for partition in by_topic.remove(topic).unwrap_or_default() {
            let Some((load, id)) = queue.pop_first() else { break };
            give(target.entry(id.clone()).or_default(), (*topic, partition));
            loads.insert(id.clone(), load + 1);
            queue.insert((load + 1, id));
        }
    }
    for _ in 0..ROUNDS_MAX {
        let moved: usize =
            order.iter().map(|topic| balance(*topic, &subscribers[topic], &mut target, &mut loads)).sum();
        if moved == 0 {
            break;
        }
    }
    target
}

/// Moves partitions of one topic from its most to its least loaded subscribers; says how many.
fn balance(
    topic: TopicId,
    subscribers: &[Arc<str>],
    target: &mut Target,
    loads: &mut BTreeMap<Arc<str>, usize>,
) -> usize {
    let mut least: BTreeSet<(usize, Arc<str>)> =
        subscribers.iter().map(|id| (loads[id], id.clone())).collect();
    // Who has something of the topic to give.
    let mut most: BTreeSet<(usize, Arc<str>)> = subscribers
        .iter()
        .filter(|id| target.get(*id).is_some_and(|own| own.contains_key(&topic)))
        .map(|id| (loads[id], id.clone()))
        .collect();
    let mut moved = 0;
    while let (Some((low, to)), Some((high, from))) = (least.first().cloned(), most.last().cloned())
        && high > low + 1
    {
        let partition = target.get_mut(&from).and_then(|own| take_last(own, Some(topic)));
        let Some(partition) = partition else { break };
        give(target.entry(to.clone()).or_default(), partition);
        most.remove(&(high, from.clone()));
        least.remove(&(high, from.clone()));
        least.remove(&(low, to.clone()));
        most.remove(&(low, to.clone()));
        least.insert((high - 1, from.clone()));
        least.insert((low + 1, to.clone()));
        if target.get(&from).is_some_and(|own| own.contains_key(&topic)) {
            most.insert((high - 1, from.clone()));
        }
        most.insert((low + 1, to.clone()));
        loads.insert(from, high - 1);
        loads.insert(to, low + 1);
        moved += 1;
    }
    moved
}
