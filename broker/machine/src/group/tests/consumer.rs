//! Groups of the consumer protocol, one rule at a time. Expectations are from Kafka's `GroupMetadataManagerTest`.

use slipring_protocol::group_records::Partitions;

use super::*;
use crate::group::{
    ConsumerBeat, ConsumerHeartbeat, DescribedConsumerGroup, JOINING, LEAVING, LEAVING_FOR_NOW, Refusal,
    TopicInfo, Topics,
};

/// Topics by name, each with its number of partitions; a topic's id is made of its name.
#[derive(Clone, Debug, Default)]
pub(super) struct Cluster {
    pub(super) version: i64,
    pub(super) topics: BTreeMap<Arc<str>, i32>,
}

pub(super) fn topic_id(name: &str) -> TopicId {
    TopicId(Uuid::from_u128(name.bytes().fold(1, |id, byte| id * 256 + u128::from(byte))))
}

impl Topics for Cluster {
    fn version(&self) -> i64 {
        self.version
    }

    fn topic(&self, name: &str) -> Option<TopicInfo> {
        self.topics.get(name).map(|count| TopicInfo { id: topic_id(name), partitions: *count })
    }

    fn name(&self, id: TopicId) -> Option<Arc<str>> {
        self.topics.keys().find(|name| topic_id(name) == id).cloned()
    }

    fn names(&self) -> Vec<Arc<str>> {
        self.topics.keys().cloned().collect()
    }

    fn racks(&self, _: &str, _: PartitionIndex) -> Vec<String> {
        Vec::new()
    }
}

impl World {
    pub(super) fn set_cluster(&mut self, version: i64, topics: &[(&str, i32)]) {
        let topics = topics.iter().map(|(topic, count)| (name(topic), *count)).collect();
        self.coordinator.set_topics(Arc::new(Cluster { version, topics }));
    }

    fn beat(&mut self, beat: ConsumerHeartbeat) -> Result<ConsumerBeat, Refusal> {
        match self.ask(Command::ConsumerHeartbeat(Box::new(beat))) {
            Reply::ConsumerHeartbeat(answer) => answer,
            other => panic!("{other:?}"),
        }
    }

    fn refused(&mut self, beat: ConsumerHeartbeat) -> ErrorCode {
        self.beat(beat).unwrap_err().error
    }

    fn described(&mut self) -> DescribedConsumerGroup {
        match self.ask(Command::ConsumerDescribe(name("g"))) {
            Reply::ConsumerDescribe(answer) => answer.unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn commit(&mut self, member_id: &str, epoch: i32, partition: i32) -> ErrorCode {
        let member = Member { member_id: name(member_id), generation: epoch, ..nobody("g") };
        let mut commit = commit_request(&member, "t", partition, 5);
        commit.topics[0].topic_id = topic_id("t");
        match self.ask(Command::Commit(commit)) {
            Reply::Commit(Ok(outcomes)) => outcomes[0][0].1,
            Reply::Commit(Err(error)) => error,
            other => panic!("{other:?}"),
        }
    }
}

fn world() -> World {
    let mut world = World::new(GroupConfig::default());
    world.set_cluster(1, &[("t", 4), ("u", 2)]);
    world
}

pub(super) fn joining(member_id: &str) -> ConsumerHeartbeat {
    ConsumerHeartbeat {
        group: name("g"),
        member_id: name(member_id),
        epoch: JOINING,
        instance_id: None,
        rack_id: None,
        rebalance_timeout_ms: Some(60_000),
        topics: Some([name("t")].into()),
        regex: None,
        assignor: None,
        owned: Some(Partitions::new()),
        client_id: name("client"),
        client_host: name("/127.0.0.1"),
    }
}

pub(super) fn staying(member_id: &str, epoch: i32) -> ConsumerHeartbeat {
    ConsumerHeartbeat { epoch, rebalance_timeout_ms: None, topics: None, owned: None, ..joining(member_id) }
}

fn of(partitions: &Option<Partitions>, topic: &str) -> Vec<i32> {
    let partitions = partitions.as_ref().and_then(|partitions| partitions.get(&topic_id(topic)));
    partitions.into_iter().flatten().map(|partition| partition.0).collect()
}

fn owning(beat: ConsumerHeartbeat, topic: &str, partitions: &[i32]) -> ConsumerHeartbeat {
    let partitions = partitions.iter().copied().map(PartitionIndex).collect();
    ConsumerHeartbeat { owned: Some([(topic_id(topic), partitions)].into()), ..beat }
}

/// Past the least time between two assignments.
const NEXT_MS: u64 = 1_000;

#[test]
fn the_first_member_gets_everything_at_once() {
    let mut world = world();
    let beat = world.beat(joining("a")).unwrap();
    assert_eq!((beat.epoch, beat.heartbeat_interval_ms), (1, 5_000));
    assert_eq!(of(&beat.assignment, "t"), [0, 1, 2, 3]);
    assert_eq!(world.beat(staying("a", 1)).unwrap().assignment, None);
    let described = world.described();
    assert_eq!((described.state, described.epoch, described.target_epoch), ("Stable", 1, 1));
    assert_eq!(described.members[0].assignment[0].name, name("t"));
}

#[test]
fn a_partition_goes_to_the_next_member_only_when_the_last_gave_it_up() {
    let mut world = world();
    world.beat(joining("a")).unwrap();
    world.pass(NEXT_MS);
    let joined = world.beat(joining("b")).unwrap();
    assert_eq!((joined.epoch, joined.assignment), (2, Some(Partitions::new())));
    assert_eq!(world.described().state, "Reconciling");
    let told = world.beat(staying("a", 1)).unwrap();
    assert_eq!((told.epoch, of(&told.assignment, "t")), (1, vec![0, 1]), "is to give up two");
    assert_eq!(world.beat(staying("b", 2)).unwrap().assignment, None, "waits");
    let still = owning(staying("a", 1), "t", &[0, 1, 2]);
    assert_eq!(world.beat(still).unwrap().epoch, 1, "has not given up all");
    assert_eq!(world.beat(owning(staying("a", 1), "t", &[0, 1])).unwrap().epoch, 2);
    assert_eq!(of(&world.beat(staying("b", 2)).unwrap().assignment, "t"), [2, 3]);
    assert_eq!(world.described().state, "Stable");
}

#[test]
fn who_does_not_give_up_in_time_is_out() {
    let mut world = world();
    world.beat(joining("a")).unwrap();
    world.pass(NEXT_MS);
    world.beat(joining("b")).unwrap();
    world.beat(staying("a", 1)).unwrap();
    for _ in 0..2 {
        world.pass(20_000);
        world.beat(staying("b", 2)).unwrap();
        world.beat(staying("a", 1)).unwrap();
    }
    world.pass(20_000);
    assert_eq!(world.refused(staying("a", 1)), ErrorCode::UnknownMemberId);
    let told = world.beat(staying("b", 2)).unwrap();
    assert_eq!((told.epoch, world.described().members.len()), (3, 1));
}

#[test]
fn a_member_that_is_not_heard_of_is_out() {
    let mut world = world();
    world.beat(joining("a")).unwrap();
    world.pass(44_999);
    assert_eq!(world.described().members.len(), 1);
    world.pass(1);
    let described = world.described();
    assert_eq!((described.state, described.epoch), ("Empty", 2));
    assert_eq!(world.refused(staying("a", 1)), ErrorCode::UnknownMemberId);
}

#[test]
fn epochs_that_are_not_the_members_are_fenced_but_for_a_lost_answer() {
    let mut world = world();
    world.beat(joining("a")).unwrap();
    world.pass(NEXT_MS);
    world.beat(joining("b")).unwrap();
    world.beat(staying("a", 1)).unwrap();
    world.beat(owning(staying("a", 1), "t", &[0, 1])).unwrap();
    assert_eq!(world.refused(staying("a", 3)), ErrorCode::FencedMemberEpoch);
    assert_eq!(world.refused(staying("a", 1)), ErrorCode::FencedMemberEpoch, "does not say what it owns");
    assert_eq!(world.refused(owning(staying("a", 1), "t", &[2])), ErrorCode::FencedMemberEpoch);
    assert_eq!(world.beat(owning(staying("a", 1), "t", &[0])).unwrap().epoch, 2);
    assert_eq!(world.refused(staying("c", 1)), ErrorCode::UnknownMemberId);
    let elsewhere = ConsumerHeartbeat { group: name("h"), ..staying("a", 1) };
    assert_eq!(world.refused(elsewhere), ErrorCode::GroupIdNotFound);
}

#[test]
fn leaving_gives_everything_to_the_others() {
    let mut world = world();
    world.beat(joining("a")).unwrap();
    world.pass(NEXT_MS);
    world.beat(joining("b")).unwrap();
    let left = world.beat(staying("a", LEAVING)).unwrap();
    assert_eq!((left.epoch, left.heartbeat_interval_ms), (LEAVING, 0));
    world.pass(NEXT_MS);
    let told = world.beat(staying("b", 2)).unwrap();
    assert_eq!((told.epoch, of(&told.assignment, "t")), (3, vec![0, 1, 2, 3]));
}

#[test]
fn a_static_member_that_left_for_now_is_replaced_without_a_rebalance() {
    let mut world = world();
    let with = |beat: ConsumerHeartbeat| ConsumerHeartbeat { instance_id: Some(name("i")), ..beat };
    world.beat(with(joining("a"))).unwrap();
    assert_eq!(world.refused(with(joining("b"))), ErrorCode::UnreleasedInstanceId);
    assert_eq!(world.beat(with(staying("a", LEAVING_FOR_NOW))).unwrap().epoch, LEAVING_FOR_NOW);
    let back = world.beat(with(joining("b"))).unwrap();
    assert_eq!((back.epoch, of(&back.assignment, "t")), (1, vec![0, 1, 2, 3]));
    assert_eq!(world.refused(with(staying("a", 1))), ErrorCode::FencedInstanceId);
    let described = world.described();
    assert_eq!((described.epoch, described.members.len()), (1, 1));
    world.beat(with(staying("b", LEAVING_FOR_NOW))).unwrap();
    world.pass(45_000);
    assert_eq!(world.described().state, "Empty", "it did not come back");
}

#[test]
fn topics_that_come_and_grow_are_assigned() {
    let mut world = world();
    let both = ConsumerHeartbeat { topics: Some([name("t"), name("new")].into()), ..joining("a") };
    world.beat(both).unwrap();
    world.set_cluster(2, &[("t", 4), ("u", 9)]);
    assert_eq!(world.beat(staying("a", 1)).unwrap().epoch, 1, "not a topic of its");
    world.set_cluster(3, &[("t", 5), ("new", 1)]);
    world.pass(NEXT_MS);
    let told = world.beat(staying("a", 1)).unwrap();
    assert_eq!((told.epoch, of(&told.assignment, "t").len(), of(&told.assignment, "new").len()), (2, 5, 1));
}

#[test]
fn assignments_keep_their_distance() {
    let mut world = world();
    world.beat(joining("a")).unwrap();
    let early = world.beat(joining("b")).unwrap();
    assert_eq!((early.epoch, world.described().state), (1, "Assigning"), "the last target, without it");
    world.pass(NEXT_MS);
    assert_eq!(world.beat(staying("b", 1)).unwrap().epoch, 2);
}

#[test]
fn expressions_are_resolved_and_follow_new_topics() {
    let mut world = world();
    let regex = |text: &str| ConsumerHeartbeat { topics: None, regex: Some(name(text)), ..joining("a") };
    assert_eq!(world.refused(regex("[")), ErrorCode::InvalidRegularExpression);
    assert_eq!(world.beat(regex("t|v")).unwrap().assignment, Some(Partitions::new()), "not resolved yet");
    world.pass(NEXT_MS);
    let told = world.beat(staying("a", 1)).unwrap();
    assert_eq!((told.epoch, of(&told.assignment, "t")), (2, vec![0, 1, 2, 3]));
    world.set_cluster(2, &[("t", 4), ("v", 1)]);
    world.pass(10_001);
    world.beat(staying("a", 2)).unwrap();
    let told = world.beat(staying("a", 2)).unwrap();
    assert_eq!(of(&told.assignment, "v"), [0]);
}

#[test]
fn unsubscribing_takes_partitions_away() {
    let mut world = world();
    world.beat(ConsumerHeartbeat { topics: Some([name("t"), name("u")].into()), ..joining("a") }).unwrap();
    world.pass(NEXT_MS);
    let only = ConsumerHeartbeat { topics: Some([name("u")].into()), ..staying("a", 1) };
    let told = world.beat(only).unwrap();
    assert_eq!((told.epoch, of(&told.assignment, "t"), of(&told.assignment, "u")), (1, vec![], vec![0, 1]));
    assert_eq!(world.beat(owning(staying("a", 1), "u", &[0, 1])).unwrap().epoch, 2);
}

#[test]
fn a_full_group_takes_nobody_else() {
    let consumer = crate::group::ConsumerConfig { members_max: 1, ..Default::default() };
    let mut world = World::new(GroupConfig { consumer, ..GroupConfig::default() });
    world.beat(joining("a")).unwrap();
    assert_eq!(world.refused(joining("b")), ErrorCode::GroupMaxSizeReached);
    world.beat(joining("a")).unwrap();
}

#[test]
fn offsets_are_committed_with_the_members_epoch() {
    let mut world = world();
    world.beat(joining("a")).unwrap();
    assert_eq!(world.commit("a", 1, 0), ErrorCode::None);
    assert_eq!(world.commit("a", 2, 0), ErrorCode::StaleMemberEpoch);
    assert_eq!(world.commit("b", 1, 0), ErrorCode::UnknownMemberId);
    assert_eq!(world.commit("", -1, 0), ErrorCode::UnknownMemberId);
    world.pass(NEXT_MS);
    world.beat(joining("b")).unwrap();
    world.beat(staying("a", 1)).unwrap();
    world.beat(owning(staying("a", 1), "t", &[0, 1])).unwrap();
    assert_eq!(world.commit("a", 1, 0), ErrorCode::None, "it has had it since then");
    assert_eq!(world.commit("a", 1, 3), ErrorCode::StaleMemberEpoch, "it gave it up");
    world.beat(staying("b", 2)).unwrap();
    assert_eq!(world.commit("b", 1, 3), ErrorCode::StaleMemberEpoch);
    let fetch = |epoch| {
        let member = Some((name("a"), epoch));
        Command::Fetch(Fetch { group: name("g"), member, topics: None })
    };
    assert_eq!(world.ask(fetch(1)), Reply::Fetch(Err(ErrorCode::StaleMemberEpoch)));
    assert!(matches!(world.ask(fetch(2)), Reply::Fetch(Ok(_))));
}

#[test]
fn an_empty_group_changes_its_protocol_and_keeps_its_offsets() {
    let mut world = world();
    world.ask(Command::Commit(commit_request(&nobody("g"), "t", 0, 5)));
    world.beat(joining("a")).unwrap();
    let refused = world.ask(Command::Join(Join { requires_known_member_id: false, ..join_request() }));
    assert!(matches!(refused, Reply::Join(JoinReply { error: ErrorCode::InconsistentGroupProtocol, .. })));
    world.beat(staying("a", LEAVING)).unwrap();
    let member = world.stable_group(None);
    assert_eq!(world.refused(joining("a")), ErrorCode::GroupIdNotFound);
    let fetched = world.ask(Command::Fetch(Fetch { group: name("g"), member: None, topics: None }));
    assert!(matches!(fetched, Reply::Fetch(Ok(topics)) if topics.len() == 1));
    assert_eq!(world.heartbeat(&member), ErrorCode::None);
}

#[test]
fn gauges_tell_groups_of_both_protocols() {
    let mut world = world();
    world.beat(joining("a")).unwrap();
    assert_eq!(world.commit("a", 1, 0), ErrorCode::None);
    world.ask(Command::Commit(commit_request(&nobody("classic"), "t", 0, 7)));
    let mut tally = Tally::default();
    world.coordinator.tally(&mut tally);
    let groups = BTreeMap::from([(("classic", "Empty"), 1), (("consumer", "Stable"), 1)]);
    assert_eq!(tally, Tally { groups, offsets: 2, rebalances: 0 });
    let committed: Vec<_> = world.coordinator.committed().map(|of| (of.group, of.offset.0)).collect();
    assert_eq!(committed, [(name("classic"), 7), (name("g"), 5)]);
}

#[test]
fn groups_are_listed_and_deleted_when_they_are_empty() {
    let mut world = world();
    world.beat(joining("a")).unwrap();
    let listed = world.ask(Command::List(List { states: vec![], types: vec!["consumer".into()] }));
    let Reply::List(Ok(groups)) = listed else { panic!("{listed:?}") };
    assert_eq!(
        (groups[0].state, groups[0].group_type, &*groups[0].protocol_type),
        ("Stable", "consumer", "consumer")
    );
    let delete = || Command::DeleteGroups(vec![name("g")]);
    assert_eq!(world.ask(delete()), Reply::DeleteGroups(Ok(vec![(name("g"), ErrorCode::NonEmptyGroup)])));
    world.beat(staying("a", LEAVING)).unwrap();
    assert_eq!(world.ask(delete()), Reply::DeleteGroups(Ok(vec![(name("g"), ErrorCode::None)])));
    assert_eq!(world.coordinator.counts(), (0, 0));
    assert_eq!(world.replayed().counts(), (0, 0));
}

#[test]
fn a_group_comes_back_as_it_was() {
    let mut world = world();
    world.beat(joining("a")).unwrap();
    world.pass(NEXT_MS);
    world.beat(joining("b")).unwrap();
    world.beat(staying("a", 1)).unwrap();
    world.restart();
    world.set_cluster(1, &[("t", 4), ("u", 2)]);
    assert_eq!(world.beat(owning(staying("a", 1), "t", &[0, 1])).unwrap().epoch, 2);
    assert_eq!(of(&world.beat(staying("b", 2)).unwrap().assignment, "t"), [2, 3]);
    world.pass(45_000);
    assert_eq!(world.described().state, "Empty", "sessions are watched");
}

#[test]
fn a_refused_write_changes_nothing() {
    let mut world = world();
    world.beat(joining("a")).unwrap();
    world.log.refusal = Some(ErrorCode::NotEnoughReplicas);
    assert_eq!(world.refused(joining("b")), ErrorCode::CoordinatorNotAvailable);
    assert_eq!(world.beat(staying("a", 1)).unwrap().epoch, 1);
    world.log.refusal = None;
    assert_eq!(world.described().members.len(), 1);
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let all = [crate::group::Assignor::Uniform];
    let check = |beat: ConsumerHeartbeat, version, named| beat.check(version, named, &all).unwrap_err().error;
    let invalid = ErrorCode::InvalidRequest;
    assert_eq!(joining("a").check(1, true, &all), Ok(()));
    assert_eq!(joining("a").check(0, false, &all), Ok(()), "the broker gives the id");
    assert_eq!(check(joining("a"), 1, false), invalid);
    assert_eq!(check(staying("a", 1), 0, false), invalid);
    assert_eq!(check(ConsumerHeartbeat { owned: None, ..joining("a") }, 1, true), invalid);
    assert_eq!(check(ConsumerHeartbeat { topics: None, ..joining("a") }, 1, true), invalid);
    assert_eq!(check(ConsumerHeartbeat { rebalance_timeout_ms: None, ..joining("a") }, 1, true), invalid);
    assert_eq!(check(staying("a", LEAVING_FOR_NOW), 1, true), invalid);
    assert_eq!(check(staying("a", -3), 1, true), invalid);
    assert_eq!(check(ConsumerHeartbeat { group: name(""), ..joining("a") }, 1, true), invalid);
    let range = ConsumerHeartbeat { assignor: Some(name("range")), ..joining("a") };
    assert_eq!(check(range, 1, true), ErrorCode::UnsupportedAssignor);
}
