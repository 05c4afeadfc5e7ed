//! Members join, sync, live and leave.

use super::*;

fn joiner(id: u128) -> Join {
    Join { requires_known_member_id: false, fresh_id: Uuid::from_u128(id), ..join_request() }
}

fn member_of(reply: &JoinReply) -> Member {
    Member {
        group: name("g"),
        generation: reply.generation,
        member_id: reply.member_id.clone(),
        instance_id: None,
    }
}

/// Two members in a stable group; the first one leads.
fn two_members(world: &mut World) -> (Member, Member) {
    let requests = [world.send(Command::Join(joiner(1))), world.send(Command::Join(joiner(2)))];
    world.pass(6_000);
    let [leader, follower] = requests.map(|request| world.joined(request));
    assert_eq!((leader.members.len(), follower.members.len()), (2, 0));
    let (leader, follower) = (member_of(&leader), member_of(&follower));
    let waits = world.send(Command::Sync(sync_request(&follower, &[])));
    let assignments: [(&str, &'static [u8]); 2] = [(&leader.member_id, b"a"), (&follower.member_id, b"b")];
    let leads = world.send(Command::Sync(sync_request(&leader, &assignments)));
    assert_eq!(
        (&world.synced(leads).assignment[..], &world.synced(waits).assignment[..]),
        (&b"a"[..], &b"b"[..])
    );
    (leader, follower)
}

fn leave(world: &mut World, member_id: &str, instance_id: Option<&str>) -> ErrorCode {
    let member = LeavingMember { member_id: name(member_id), instance_id: instance_id.map(name) };
    match world.ask(Command::Leave(Leave { group: name("g"), members: vec![member] })) {
        Reply::Leave(Ok(members)) => members[0].1,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_new_member_is_given_an_id_first_and_the_group_waits_for_others() {
    let mut world = World::new(GroupConfig::default());
    let request = world.send(Command::Join(join_request()));
    let reply = world.joined(request);
    assert_eq!(reply.error, ErrorCode::MemberIdRequired);
    assert_eq!(&*reply.member_id, "client-00000000-0000-0000-0000-000000000001");
    let request = world.send(Command::Join(Join { member_id: reply.member_id.clone(), ..join_request() }));
    world.pass(2_999);
    assert!(world.answers.is_empty());
    world.pass(1);
    let joined = world.joined(request);
    assert_eq!((joined.error, joined.generation, &joined.leader), (ErrorCode::None, 1, &reply.member_id));
    assert_eq!(
        (joined.protocol.as_deref(), joined.protocol_type.as_deref()),
        (Some("range"), Some("consumer"))
    );
    assert_eq!(joined.members[0].metadata, Bytes::from_static(METADATA));
}

#[test]
fn the_initial_delay_is_extended_while_members_come_up_to_the_rebalance_timeout() {
    let mut world = World::new(GroupConfig::default());
    let short = Join { rebalance_timeout_ms: 7_000, ..joiner(1) };
    let first = world.send(Command::Join(short.clone()));
    for id in 2..6 {
        world.pass(2_000);
        world.send(Command::Join(Join { fresh_id: Uuid::from_u128(id), ..short.clone() }));
    }
    assert!(!world.answers.contains_key(&first) || world.now.steady_ms - 5_000 >= 7_000);
    world.pass(3_000);
    assert_eq!(world.joined(first).error, ErrorCode::None);
    assert!(world.now.steady_ms - 5_000 <= 12_000);
}

#[test]
fn an_assignment_reaches_nobody_before_it_is_durable_and_survives_a_restart() {
    let mut world = World::new(GroupConfig::default());
    let request = world.send(Command::Join(joiner(1)));
    world.pass(3_000);
    let member = member_of(&world.joined(request));
    world.held = true;
    let request = world.send(Command::Sync(sync_request(&member, &[(&member.member_id, b"all")])));
    assert!(world.answers.is_empty());
    assert_eq!(world.state("g"), State::CompletingRebalance);
    assert_eq!(world.heartbeat(&member), ErrorCode::None);
    world.flush();
    assert_eq!(world.synced(request).assignment, Bytes::from_static(b"all"));
    world.held = false;
    world.restart();
    assert_eq!(world.heartbeat(&member), ErrorCode::None);
    let request = world.send(Command::Sync(sync_request(&member, &[])));
    assert_eq!(world.synced(request).assignment, Bytes::from_static(b"all"));
    // Nobody is heard of: the session ends.
    world.pass(10_000);
    assert_eq!(world.state("g"), State::Empty);
}

#[test]
fn a_refused_assignment_makes_the_group_rebalance() {
    let mut world = World::new(GroupConfig::default());
    let request = world.send(Command::Join(joiner(1)));
    world.pass(3_000);
    let member = member_of(&world.joined(request));
    world.log.refusal = Some(ErrorCode::NotLeaderOrFollower);
    let request = world.send(Command::Sync(sync_request(&member, &[(&member.member_id, b"all")])));
    assert_eq!(world.synced(request).error, ErrorCode::NotCoordinator);
    assert_eq!(world.state("g"), State::PreparingRebalance);
    world.log.refusal = None;
    let request = world.send(Command::Join(Join { member_id: member.member_id, ..join_request() }));
    assert_eq!(world.joined(request).generation, 2);
}

#[test]
fn an_assignment_that_comes_too_late_is_dropped() {
    let mut world = World::new(GroupConfig::default());
    let request = world.send(Command::Join(joiner(1)));
    world.pass(3_000);
    let member = member_of(&world.joined(request));
    world.held = true;
    let synced = world.send(Command::Sync(sync_request(&member, &[(&member.member_id, b"all")])));
    // Somebody joins before the assignment is durable.
    world.send(Command::Join(joiner(2)));
    assert_eq!(world.synced(synced).error, ErrorCode::RebalanceInProgress);
    world.flush();
    assert_eq!(world.state("g"), State::PreparingRebalance);
    assert_eq!(world.heartbeat(&member), ErrorCode::RebalanceInProgress);
}

#[test]
fn a_member_that_joins_or_is_lost_makes_the_others_rejoin() {
    let mut world = World::new(GroupConfig::default());
    let (leader, follower) = two_members(&mut world);
    let third = world.send(Command::Join(joiner(3)));
    assert_eq!(world.heartbeat(&leader), ErrorCode::RebalanceInProgress);
    let rejoin =
        |member: &Member| Command::Join(Join { member_id: member.member_id.clone(), ..join_request() });
    let first = world.send(rejoin(&leader));
    assert!(world.answers.is_empty());
    // The follower does not come: the rebalance time-out lets the others go on, its session having ended before.
    world.pass(60_000);
    let (first, third) = (world.joined(first), world.joined(third));
    assert_eq!((first.generation, third.generation, first.members.len()), (2, 2, 2));
    assert_eq!(world.heartbeat(&follower), ErrorCode::UnknownMemberId);
}

#[test]
fn whoever_joins_and_does_not_sync_is_out() {
    let mut world = World::new(GroupConfig::default());
    let requests = [world.send(Command::Join(joiner(1))), world.send(Command::Join(joiner(2)))];
    world.pass(6_000);
    let [leader, silent] = requests.map(|request| member_of(&world.joined(request)));
    let synced = world.send(Command::Sync(sync_request(&leader, &[])));
    assert_eq!(world.synced(synced).error, ErrorCode::None);
    for _ in 0..12 {
        world.pass(5_000);
        for member in [&leader, &silent] {
            let error = world.heartbeat(member);
            assert!(matches!(
                error,
                ErrorCode::None | ErrorCode::RebalanceInProgress | ErrorCode::UnknownMemberId
            ));
        }
    }
    assert_eq!(world.heartbeat(&silent), ErrorCode::UnknownMemberId);
    assert_eq!(world.heartbeat(&leader), ErrorCode::RebalanceInProgress);
}

#[test]
fn members_leave_by_id_and_the_last_one_leaves_an_empty_group() {
    let mut world = World::new(GroupConfig::default());
    let (leader, follower) = two_members(&mut world);
    assert_eq!(leave(&mut world, "nobody", None), ErrorCode::UnknownMemberId);
    assert_eq!(leave(&mut world, &follower.member_id, None), ErrorCode::None);
    assert_eq!(world.heartbeat(&leader), ErrorCode::RebalanceInProgress);
    assert_eq!(leave(&mut world, &leader.member_id, None), ErrorCode::None);
    assert_eq!(world.state("g"), State::Empty);
    assert_eq!(world.replayed().groups["g"].generation(), 2);
    assert_eq!(leave(&mut world, &leader.member_id, None), ErrorCode::UnknownMemberId);
    // Nobody uses it and nothing is committed: the next look for the expired finds it.
    world.pass(600_000);
    assert_eq!(world.coordinator.counts(), (0, 0));
    assert_eq!(leave(&mut world, &leader.member_id, None), ErrorCode::UnknownMemberId);
}

#[test]
fn followers_ask_again_and_leaders_rebalance() {
    let mut world = World::new(GroupConfig::default());
    let (leader, follower) = two_members(&mut world);
    let again =
        |member: &Member| Command::Join(Join { member_id: member.member_id.clone(), ..join_request() });
    let request = world.send(again(&follower));
    let reply = world.joined(request);
    assert_eq!((reply.generation, &reply.leader), (1, &leader.member_id));
    let other = vec![(name("range"), Bytes::from_static(b"other"))];
    let changed = Join { member_id: follower.member_id.clone(), protocols: other, ..join_request() };
    let request = world.send(Command::Join(changed));
    assert_eq!(world.state("g"), State::PreparingRebalance);
    let leads = world.send(again(&leader));
    assert_eq!((world.joined(request).generation, world.joined(leads).members.len()), (2, 2));
    // Both may have missed the answer.
    let request = world.send(again(&leader));
    assert_eq!((world.joined(request).members.len(), world.state("g")), (2, State::CompletingRebalance));
}

#[test]
fn a_protocol_that_all_support_is_chosen_by_vote() {
    let mut world = World::new(GroupConfig::default());
    let with = |id, names: &[&str]| Join {
        protocols: names.iter().map(|protocol| (name(protocol), Bytes::from_static(METADATA))).collect(),
        ..joiner(id)
    };
    let first = world.send(Command::Join(with(1, &["range", "sticky", "cooperative"])));
    let second = world.send(Command::Join(with(2, &["cooperative", "sticky"])));
    let third = world.send(Command::Join(with(3, &["sticky", "cooperative"])));
    let alien = world.send(Command::Join(with(4, &["other"])));
    assert_eq!(world.joined(alien).error, ErrorCode::InconsistentGroupProtocol);
    let connect = Join { protocol_type: name("connect"), ..with(5, &["sticky"]) };
    let connect = world.send(Command::Join(connect));
    assert_eq!(world.joined(connect).error, ErrorCode::InconsistentGroupProtocol);
    world.pass(60_000);
    for request in [first, second, third] {
        assert_eq!(world.joined(request).protocol.as_deref(), Some("sticky"));
    }
}

#[test]
fn a_full_group_takes_nobody() {
    let mut world = World::new(GroupConfig { members_max: 2, ..GroupConfig::default() });
    let (leader, _) = two_members(&mut world);
    let third = world.send(Command::Join(joiner(3)));
    assert_eq!(world.joined(third).error, ErrorCode::GroupMaxSizeReached);
    // Whoever is in stays in.
    let again = Join { member_id: leader.member_id, ..join_request() };
    world.send(Command::Join(again));
    assert_eq!(world.state("g"), State::PreparingRebalance);
}

#[test]
fn requests_that_make_no_sense() {
    let mut world = World::new(GroupConfig::default());
    let mut join = |join: Join| {
        let request = world.send(Command::Join(join));
        world.joined(request).error
    };
    assert_eq!(join(Join { group: name(""), ..join_request() }), ErrorCode::InvalidGroupId);
    assert_eq!(join(Join { session_timeout_ms: 5_999, ..join_request() }), ErrorCode::InvalidSessionTimeout);
    assert_eq!(
        join(Join { session_timeout_ms: 1_800_001, ..join_request() }),
        ErrorCode::InvalidSessionTimeout
    );
    assert_eq!(join(Join { member_id: name("m"), ..join_request() }), ErrorCode::UnknownMemberId);
    assert_eq!(join(Join { protocols: vec![], ..join_request() }), ErrorCode::InconsistentGroupProtocol);
    assert_eq!(join(Join { member_id: name("m"), ..join_request() }), ErrorCode::UnknownMemberId);
    assert_eq!(world.heartbeat(&nobody("none")), ErrorCode::UnknownMemberId);
    assert_eq!(world.heartbeat(&nobody("")), ErrorCode::InvalidGroupId);
    let member = world.stable_group(None);
    assert_eq!(world.heartbeat(&Member { generation: 7, ..member.clone() }), ErrorCode::IllegalGeneration);
    let mut sync = |sync: Sync| {
        let request = world.send(Command::Sync(sync));
        world.synced(request).error
    };
    let valid = sync_request(&member, &[]);
    assert_eq!(
        sync(Sync { protocol: Some(name("x")), ..valid.clone() }),
        ErrorCode::InconsistentGroupProtocol
    );
    let stale = Member { generation: 0, ..member.clone() };
    assert_eq!(sync(Sync { member: stale, ..valid.clone() }), ErrorCode::IllegalGeneration);
    assert_eq!(sync(Sync { member: nobody("none"), ..valid.clone() }), ErrorCode::UnknownMemberId);
    assert_eq!(sync(Sync { protocol: None, protocol_type: None, ..valid }), ErrorCode::None);
}

#[test]
fn a_request_that_is_repeated_does_not_leave_the_first_one_waiting() {
    let mut world = World::new(GroupConfig::default());
    let (leader, _) = two_members(&mut world);
    let again = Join { member_id: leader.member_id, ..join_request() };
    let first = world.send(Command::Join(again.clone()));
    let second = world.send(Command::Join(again));
    assert_eq!(world.joined(first).error, ErrorCode::RebalanceInProgress);
    assert!(!world.answers.contains_key(&second));
}

#[test]
fn a_group_that_cannot_be_written_does_not_exist() {
    let mut world = World::new(GroupConfig::default());
    world.log.refusal = Some(ErrorCode::KafkaStorageError);
    let request = world.send(Command::Join(joiner(1)));
    assert_eq!(world.joined(request).error, ErrorCode::NotCoordinator);
    assert_eq!(world.coordinator.counts(), (0, 0));
}

#[test]
fn a_pending_member_holds_up_a_rebalance_until_its_session_ends() {
    let mut world = World::new(GroupConfig::default());
    let member = world.stable_group(None);
    let request = world.send(Command::Join(Join { fresh_id: Uuid::from_u128(2), ..join_request() }));
    assert_eq!(world.joined(request).error, ErrorCode::MemberIdRequired);
    let again = world.send(Command::Join(Join { member_id: member.member_id, ..join_request() }));
    assert!(world.answers.is_empty());
    world.pass(10_000);
    assert_eq!(world.joined(again).generation, 2);
}
