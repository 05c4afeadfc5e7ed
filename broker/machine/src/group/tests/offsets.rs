//! Offsets: commit, fetch, delete, expire.

use super::*;

fn commit(world: &mut World, member: &Member, topic: &str, partition: i32, offset: i64) -> ErrorCode {
    match world.ask(Command::Commit(commit_request(member, topic, partition, offset))) {
        Reply::Commit(Ok(topics)) => topics[0][0].1,
        Reply::Commit(Err(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// The offset committed; -1 for none.
fn fetch(world: &mut World, group: &str, topic: &str, partition: i32) -> i64 {
    let topics = Some(vec![(name(topic), vec![PartitionIndex(partition)])]);
    match world.ask(Command::Fetch(Fetch { group: name(group), member: None, topics })) {
        Reply::Fetch(Ok(topics)) => topics[0].partitions[0].1.as_ref().map_or(-1, |offset| offset.offset.0),
        other => panic!("{other:?}"),
    }
}

fn describe(world: &mut World, group: &str) -> Option<&'static str> {
    match world.ask(Command::Describe(vec![name(group)])) {
        Reply::Describe(Ok(mut groups)) => groups.remove(0).1.map(|group| group.state),
        other => panic!("{other:?}"),
    }
}

#[test]
fn offsets_of_a_simple_group_are_kept_over_a_restart() {
    let mut world = World::new(GroupConfig::default());
    assert_eq!(fetch(&mut world, "g", "t", 0), -1);
    assert_eq!(commit(&mut world, &nobody("g"), "t", 0, 42), ErrorCode::None);
    assert_eq!(commit(&mut world, &nobody("g"), "t", 1, 7), ErrorCode::None);
    world.restart();
    assert_eq!((fetch(&mut world, "g", "t", 0), fetch(&mut world, "g", "t", 1)), (42, 7));
    assert_eq!(describe(&mut world, "g"), Some("Empty"));
    let all = world.ask(Command::Fetch(Fetch { group: name("g"), member: None, topics: None }));
    let Reply::Fetch(Ok(topics)) = all else { panic!("{all:?}") };
    assert_eq!(topics[0].partitions.len(), 2);
    assert_eq!(topics[0].partitions[0].1.as_ref().map(|offset| &*offset.metadata), Some("note"));
}

#[test]
fn nothing_is_answered_or_shown_before_it_is_durable() {
    let mut world = World::new(GroupConfig::default());
    world.held = true;
    let committed = world.send(Command::Commit(commit_request(&nobody("g"), "t", 0, 42)));
    let topics = Some(vec![(name("t"), vec![PartitionIndex(0)])]);
    let fetched = world.send(Command::Fetch(Fetch { group: name("g"), member: None, topics }));
    let listed = world.send(Command::List(List::default()));
    assert!(world.answers.is_empty());
    world.flush();
    assert!(matches!(world.answers[&committed], Reply::Commit(Ok(_))));
    assert!(
        matches!(&world.answers[&fetched], Reply::Fetch(Ok(topics)) if topics[0].partitions[0].1.is_some())
    );
    assert!(matches!(&world.answers[&listed], Reply::List(Ok(groups)) if groups.len() == 1));
}

#[test]
fn a_refused_commit_changes_nothing() {
    let mut world = World::new(GroupConfig::default());
    world.log.refusal = Some(ErrorCode::NotEnoughReplicas);
    assert_eq!(commit(&mut world, &nobody("g"), "t", 0, 42), ErrorCode::CoordinatorNotAvailable);
    world.log.refusal = Some(ErrorCode::RecordListTooLarge);
    assert_eq!(commit(&mut world, &nobody("g"), "t", 0, 42), ErrorCode::UnknownServerError);
    world.log.refusal = None;
    assert_eq!((fetch(&mut world, "g", "t", 0), describe(&mut world, "g")), (-1, None));
}

#[test]
fn a_lost_log_is_told_to_whoever_waits() {
    let mut world = World::new(GroupConfig::default());
    let member = world.stable_group(None);
    world.held = true;
    let committed = world.send(Command::Commit(commit_request(&member, "t", 0, 42)));
    let joining = world.send(Command::Join(Join {
        requires_known_member_id: false,
        fresh_id: Uuid::from_u128(2),
        ..join_request()
    }));
    let mut out = Vec::new();
    let coordinator = std::mem::replace(&mut world.coordinator, Coordinator::new(GroupConfig::default()));
    coordinator.unload(ErrorCode::NotCoordinator, &mut out);
    world.take(out);
    assert_eq!(world.answers[&committed], Reply::Commit(Err(ErrorCode::NotCoordinator)));
    assert_eq!(world.joined(joining).error, ErrorCode::NotCoordinator);
}

#[test]
fn who_may_commit() {
    let mut world = World::new(GroupConfig::default());
    let stranger = Member { generation: 1, member_id: name("m"), ..nobody("g") };
    assert_eq!(commit(&mut world, &stranger, "t", 0, 1), ErrorCode::GroupIdNotFound);
    let older = Commit { knows_group_id_not_found: false, ..commit_request(&stranger, "t", 0, 1) };
    assert_eq!(world.ask(Command::Commit(older)), Reply::Commit(Err(ErrorCode::IllegalGeneration)));
    let member = world.stable_group(None);
    assert_eq!(commit(&mut world, &member, "t", 0, 1), ErrorCode::None);
    assert_eq!(commit(&mut world, &stranger, "t", 0, 1), ErrorCode::UnknownMemberId);
    assert_eq!(commit(&mut world, &nobody("g"), "t", 0, 1), ErrorCode::UnknownMemberId);
    let old = Member { generation: 0, ..member.clone() };
    assert_eq!(commit(&mut world, &old, "t", 0, 1), ErrorCode::IllegalGeneration);
    // While the leader is to assign, nobody commits; while members join, they still may.
    let rejoin = world.send(Command::Join(Join { member_id: member.member_id.clone(), ..join_request() }));
    assert_eq!(world.joined(rejoin).generation, 2);
    let member = Member { generation: 2, ..member };
    assert_eq!(commit(&mut world, &member, "t", 0, 1), ErrorCode::RebalanceInProgress);
}

#[test]
fn metadata_above_the_limit_is_refused_by_partition() {
    let mut world = World::new(GroupConfig { offset_metadata_max: 4, ..GroupConfig::default() });
    assert_eq!(commit(&mut world, &nobody("g"), "t", 0, 1), ErrorCode::None);
    let mut request = commit_request(&nobody("g"), "t", 0, 2);
    let mut long = request.topics[0].partitions[0].clone();
    // Five UTF-16 units, though two characters and a half.
    (long.index, long.metadata) = (PartitionIndex(1), Some(name("😀😀a")));
    request.topics[0].partitions.push(long);
    let reply = world.ask(Command::Commit(request));
    let expected =
        vec![(PartitionIndex(0), ErrorCode::None), (PartitionIndex(1), ErrorCode::OffsetMetadataTooLarge)];
    assert_eq!(reply, Reply::Commit(Ok(vec![expected])));
    assert_eq!((fetch(&mut world, "g", "t", 0), fetch(&mut world, "g", "t", 1)), (2, -1));
}

#[test]
fn offsets_are_deleted_unless_they_are_in_use() {
    let mut world = World::new(GroupConfig::default());
    let member = world.stable_group(None);
    commit(&mut world, &member, "t", 0, 1);
    commit(&mut world, &member, "other", 0, 2);
    let topics = ["t", "other"].map(|topic| (name(topic), vec![PartitionIndex(0)])).to_vec();
    let reply = world.ask(Command::DeleteOffsets(DeleteOffsets { group: name("g"), topics: topics.clone() }));
    let outcome = |error| vec![(PartitionIndex(0), error)];
    let expected = vec![outcome(ErrorCode::GroupSubscribedToTopic), outcome(ErrorCode::None)];
    assert_eq!(reply, Reply::DeleteOffsets(Ok(expected)));
    assert_eq!((fetch(&mut world, "g", "t", 0), fetch(&mut world, "g", "other", 0)), (1, -1));
    let reply = world.ask(Command::DeleteOffsets(DeleteOffsets { group: name("none"), topics }));
    assert_eq!(reply, Reply::DeleteOffsets(Err(ErrorCode::GroupIdNotFound)));
}

#[test]
fn offsets_of_a_deleted_topic_go_with_it() {
    let mut world = World::new(GroupConfig::default());
    commit(&mut world, &nobody("g"), "t", 0, 1);
    commit(&mut world, &nobody("h"), "t", 0, 1);
    commit(&mut world, &nobody("h"), "kept", 0, 1);
    assert_eq!(world.ask(Command::DeleteTopics(vec![name("t")])), Reply::DeleteTopics(ErrorCode::None));
    world.restart();
    assert_eq!((fetch(&mut world, "g", "t", 0), fetch(&mut world, "h", "t", 0)), (-1, -1));
    assert_eq!(fetch(&mut world, "h", "kept", 0), 1);
}

#[test]
fn what_goes_apart_is_written_in_as_many_batches_as_it_takes() {
    let mut world = World::new(GroupConfig { offsets_retention_ms: 60_000, ..GroupConfig::default() });
    for partition in 0..9 {
        commit(&mut world, &nobody("g"), "t", partition, 1);
        commit(&mut world, &nobody("h"), "u", partition, 1);
    }
    world.log.records_max = Some(2);
    assert_eq!(world.ask(Command::DeleteTopics(vec![name("t")])), Reply::DeleteTopics(ErrorCode::None));
    assert_eq!(world.replayed().counts(), (2, 9));
    world.pass(1_200_000);
    assert_eq!(world.replayed().counts(), (0, 0));
}

#[test]
fn groups_are_deleted_only_when_empty() {
    let mut world = World::new(GroupConfig::default());
    world.stable_group(None);
    commit(&mut world, &nobody("simple"), "t", 0, 1);
    let reply = world.ask(Command::DeleteGroups(vec![name("g"), name("simple"), name("none")]));
    let expected = vec![
        (name("g"), ErrorCode::NonEmptyGroup),
        (name("simple"), ErrorCode::None),
        (name("none"), ErrorCode::GroupIdNotFound),
    ];
    assert_eq!(reply, Reply::DeleteGroups(Ok(expected)));
    assert_eq!((describe(&mut world, "simple"), fetch(&mut world, "simple", "t", 0)), (None, -1));
    world.restart();
    assert_eq!((describe(&mut world, "simple"), describe(&mut world, "g")), (None, Some("Stable")));
}

#[test]
fn groups_are_listed_by_state_and_type() {
    let mut world = World::new(GroupConfig::default());
    world.stable_group(None);
    commit(&mut world, &nobody("simple"), "t", 0, 1);
    let mut list = |states: &[&str], types: &[&str]| {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        match world.ask(Command::List(List { states: owned(states), types: owned(types) })) {
            Reply::List(Ok(groups)) => {
                groups.into_iter().map(|group| group.group.to_string()).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(list(&[], &[]), ["g", "simple"]);
    assert_eq!(list(&["stable"], &[]), ["g"]);
    assert_eq!(list(&["Empty", "Dead"], &["classic"]), ["simple"]);
    assert!(list(&[], &["consumer"]).is_empty());
    assert!(list(&["PreparingRebalance"], &[]).is_empty());
}

#[test]
fn unused_offsets_expire_and_empty_groups_with_them() {
    let hour = 3_600_000;
    let config = GroupConfig { offsets_retention_ms: hour, ..GroupConfig::default() };
    let mut world = World::new(config);
    let member = world.stable_group(None);
    commit(&mut world, &member, "t", 0, 1);
    commit(&mut world, &member, "unsubscribed", 0, 2);
    commit(&mut world, &nobody("simple"), "t", 0, 3);
    for _ in 0..(hour + 600_000) / 5_000 {
        world.pass(5_000);
        assert_eq!(world.heartbeat(&member), ErrorCode::None);
    }
    assert_eq!((fetch(&mut world, "g", "t", 0), fetch(&mut world, "g", "unsubscribed", 0)), (1, -1));
    assert_eq!((fetch(&mut world, "simple", "t", 0), describe(&mut world, "simple")), (-1, None));
    // The last member is lost: from then on the time counts for all.
    world.pass(20_000);
    assert_eq!(describe(&mut world, "g"), Some("Empty"));
    world.pass(hour as u64 / 2);
    assert_eq!(fetch(&mut world, "g", "t", 0), 1);
    world.pass(hour as u64);
    assert_eq!((fetch(&mut world, "g", "t", 0), describe(&mut world, "g")), (-1, None));
    assert_eq!(world.replayed().counts(), (0, 0));
}

#[test]
fn a_commit_may_bring_its_own_retention_time() {
    let mut world = World::new(GroupConfig::default());
    let request = Commit { retention_ms: Some(60_000), ..commit_request(&nobody("g"), "t", 0, 1) };
    world.ask(Command::Commit(request));
    commit(&mut world, &nobody("g"), "t", 1, 1);
    world.pass(700_000);
    assert_eq!((fetch(&mut world, "g", "t", 0), fetch(&mut world, "g", "t", 1)), (-1, 1));
}
