//! What every assignment must be, on seeded groups, and what Kafka's assignors give in small ones.

use slipring_protocol::ids::PartitionIndex;
use uuid::Uuid;

use super::*;
use crate::choices::{Choices, seeds};

fn topic(number: u128) -> TopicId {
    TopicId(Uuid::from_u128(number))
}

fn spec(topics: &[(u128, i32)], members: &[(&str, &[u128])]) -> GroupSpec {
    let member = |(id, topics): &(&str, &[u128])| {
        let topics = topics.iter().map(|number| topic(*number)).collect();
        (Arc::from(*id), MemberSpec { topics, ..MemberSpec::default() })
    };
    GroupSpec {
        members: members.iter().map(member).collect(),
        topics: topics.iter().map(|(number, count)| (topic(*number), *count)).collect(),
    }
}

fn of(target: &BTreeMap<Arc<str>, Partitions>, member: &str, number: u128) -> Vec<i32> {
    let partitions = target[member].get(&topic(number));
    partitions.into_iter().flatten().map(|partition| partition.0).collect()
}

fn load(partitions: &Partitions) -> usize {
    partitions.values().map(BTreeSet::len).sum()
}

#[test]
fn ranges_are_the_same_in_all_topics() {
    let group = spec(&[(1, 3), (2, 3)], &[("a", &[1, 2]), ("b", &[1, 2])]);
    let target = Assignor::Range.assign(&group);
    for number in [1, 2] {
        assert_eq!(of(&target, "a", number), [0, 1]);
        assert_eq!(of(&target, "b", number), [2]);
    }
}

#[test]
fn ranges_begin_with_static_members_by_their_instance() {
    let mut group = spec(&[(1, 3)], &[("a", &[1]), ("b", &[1]), ("c", &[1])]);
    for (id, instance_id) in [("c", "1"), ("b", "2")] {
        group.members.get_mut(id).unwrap().instance_id = Some(instance_id.into());
    }
    let target = Assignor::Range.assign(&group);
    assert_eq!((of(&target, "c", 1), of(&target, "b", 1), of(&target, "a", 1)), (vec![0], vec![1], vec![2]));
}

#[test]
fn ranges_count_only_subscribers() {
    let group = spec(&[(1, 3), (2, 3)], &[("a", &[1, 2]), ("b", &[1]), ("c", &[2])]);
    let target = Assignor::Range.assign(&group);
    assert_eq!((of(&target, "a", 1), of(&target, "b", 1)), (vec![0, 1], vec![2]));
    assert_eq!((of(&target, "a", 2), of(&target, "c", 2)), (vec![0, 1], vec![2]));
}

#[test]
fn a_new_member_takes_only_its_share_from_those_above_theirs() {
    let mut group = spec(&[(1, 6)], &[("a", &[1]), ("b", &[1]), ("c", &[1])]);
    for (id, range) in [("a", 0..3), ("b", 3..6)] {
        let previous = [(topic(1), range.map(PartitionIndex).collect())].into();
        group.members.get_mut(id).unwrap().previous = previous;
    }
    let target = Assignor::Uniform.assign(&group);
    assert_eq!((of(&target, "a", 1), of(&target, "b", 1)), (vec![0, 1], vec![3, 4]));
    assert_eq!(of(&target, "c", 1), [2, 5]);
}

#[test]
fn partitions_of_a_member_that_left_go_where_there_is_room() {
    let mut group = spec(&[(1, 4)], &[("a", &[1]), ("b", &[1])]);
    group.members.get_mut("a").unwrap().previous =
        [(topic(1), [PartitionIndex(0), PartitionIndex(1)].into())].into();
    let target = Assignor::Uniform.assign(&group);
    assert_eq!((of(&target, "a", 1), of(&target, "b", 1)), (vec![0, 1], vec![2, 3]));
}

fn any_group(choices: &mut Choices) -> GroupSpec {
    let topics: Vec<(u128, i32)> =
        (0..1 + choices.below(4)).map(|number| (number as u128, choices.below(9) as i32)).collect();
    let alike = choices.below(2) == 0;
    let mut group = GroupSpec::default();
    for number in 0..1 + choices.below(6) {
        let mut member = MemberSpec::default();
        for (id, _) in &topics {
            if alike || choices.below(3) > 0 {
                member.topics.insert(topic(*id));
            }
            for index in 0..9 {
                if choices.below(6) == 0 {
                    member.previous.entry(topic(*id)).or_default().insert(PartitionIndex(index));
                }
            }
        }
        group.members.insert(format!("m{number}").into(), member);
    }
    let subscribed: BTreeSet<TopicId> =
        group.members.values().flat_map(|member| member.topics.iter().copied()).collect();
    group.topics = topics.iter().map(|(number, count)| (topic(*number), *count)).collect();
    group.topics.retain(|id, _| subscribed.contains(id));
    group
}

#[test]
fn every_partition_goes_to_one_subscriber_and_uniform_is_even() {
    for seed in 0..seeds(2_000) {
        let mut choices = Choices::new(seed);
        let mut group = any_group(&mut choices);
        for assignor in [Assignor::Uniform, Assignor::Range] {
            let target = assignor.assign(&group);
            let mut owned = BTreeSet::new();
            for (id, partitions) in &target {
                for (topic, partitions) in partitions {
                    assert!(group.members[id].topics.contains(topic), "seed {seed}: only what is subscribed");
                    assert!(!partitions.is_empty(), "seed {seed}: no empty topics");
                    for partition in partitions {
                        assert!(owned.insert((*topic, *partition)), "seed {seed}: nothing twice");
                    }
                }
            }
            let all: usize = group.topics.values().map(|count| *count as usize).sum();
            assert_eq!(owned.len(), all, "seed {seed}: everything is assigned");
            assert_eq!(target.len(), group.members.len());
            if assignor == Assignor::Uniform && group.is_homogeneous() {
                let loads: Vec<usize> = target.values().map(load).collect();
                assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 1, "seed {seed}: even");
            }
        }
        // What has settled stays.
        let target = Assignor::Uniform.assign(&group);
        for (id, member) in &mut group.members {
            member.previous.clone_from(&target[id]);
        }
        assert_eq!(Assignor::Uniform.assign(&group), target, "seed {seed}: nothing moves for nothing");
    }
}
