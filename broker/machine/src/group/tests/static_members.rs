//! Members with a `group.instance.id` (KIP-345, KIP-814).

use super::*;

fn returning(id: u128, instance_id: &str) -> Join {
    Join { instance_id: Some(name(instance_id)), fresh_id: Uuid::from_u128(id), ..join_request() }
}

#[test]
fn a_restart_goes_unnoticed_in_a_stable_group() {
    let mut world = World::new(GroupConfig::default());
    let member = world.stable_group(Some("i"));
    let request = world.send(Command::Join(returning(2, "i")));
    let reply = world.joined(request);
    assert_eq!((reply.error, reply.generation, reply.skip_assignment), (ErrorCode::None, 1, true));
    assert_ne!(reply.member_id, member.member_id);
    assert_eq!((&reply.leader, reply.members.len()), (&reply.member_id, 1));
    assert_eq!(world.heartbeat(&member), ErrorCode::FencedInstanceId);
    let renewed = Member { member_id: reply.member_id.clone(), ..member };
    let request = world.send(Command::Sync(sync_request(&renewed, &[])));
    assert_eq!(world.synced(request).assignment, Bytes::from_static(b"all"));
    world.restart();
    assert_eq!(world.heartbeat(&renewed), ErrorCode::None);
}

#[test]
fn an_older_client_is_not_told_that_it_leads() {
    let mut world = World::new(GroupConfig::default());
    let member = world.stable_group(Some("i"));
    let request = world.send(Command::Join(Join { knows_skip_assignment: false, ..returning(2, "i") }));
    let reply = world.joined(request);
    assert_eq!((reply.skip_assignment, &reply.leader), (false, &member.member_id));
    assert!(reply.members.is_empty());
}

#[test]
fn a_return_that_cannot_be_written_changes_nothing() {
    let mut world = World::new(GroupConfig::default());
    let member = world.stable_group(Some("i"));
    world.log.refusal = Some(ErrorCode::NotEnoughReplicas);
    let request = world.send(Command::Join(returning(2, "i")));
    assert_eq!(world.joined(request).error, ErrorCode::CoordinatorNotAvailable);
    assert_eq!(world.heartbeat(&member), ErrorCode::None);
}

#[test]
fn a_return_with_another_protocol_makes_the_group_rebalance() {
    let mut world = World::new(GroupConfig::default());
    let protocol = |protocol| (name(protocol), Bytes::from_static(METADATA));
    let both = Join { protocols: vec![protocol("range"), protocol("sticky")], ..returning(1, "i") };
    let request = world.send(Command::Join(both));
    world.pass(3_000);
    let reply = world.joined(request);
    assert_eq!(reply.protocol.as_deref(), Some("range"));
    let member =
        Member { group: name("g"), generation: 1, member_id: reply.member_id, instance_id: Some(name("i")) };
    world.send(Command::Sync(sync_request(&member, &[])));
    let request =
        world.send(Command::Join(Join { protocols: vec![protocol("sticky")], ..returning(2, "i") }));
    let reply = world.joined(request);
    assert_eq!((reply.generation, reply.protocol.as_deref()), (2, Some("sticky")));
}

#[test]
fn a_return_answers_by_the_next_generation_if_one_begins_meanwhile() {
    let mut world = World::new(GroupConfig::default());
    world.stable_group(Some("i"));
    world.held = true;
    let returned = world.send(Command::Join(returning(2, "i")));
    let dynamic = Join { requires_known_member_id: false, fresh_id: Uuid::from_u128(3), ..join_request() };
    let joined = world.send(Command::Join(dynamic));
    assert_eq!((world.joined(returned).generation, world.joined(joined).generation), (2, 2));
    world.flush();
    assert!(world.answers.is_empty());
}

#[test]
fn a_return_while_the_leader_assigns_begins_again() {
    let mut world = World::new(GroupConfig::default());
    let request = world.send(Command::Join(returning(1, "i")));
    world.pass(3_000);
    let old_id = world.joined(request).member_id;
    let request = world.send(Command::Join(returning(2, "i")));
    let reply = world.joined(request);
    assert_eq!(reply.generation, 2);
    let stale = Member { group: name("g"), generation: 1, member_id: old_id, instance_id: Some(name("i")) };
    let request = world.send(Command::Sync(sync_request(&stale, &[])));
    assert_eq!(world.synced(request).error, ErrorCode::FencedInstanceId);
}

#[test]
fn who_waits_under_the_old_id_is_fenced() {
    let mut world = World::new(GroupConfig::default());
    let first = world.send(Command::Join(returning(1, "i")));
    let second = world.send(Command::Join(returning(2, "i")));
    assert_eq!(world.joined(first).error, ErrorCode::FencedInstanceId);
    world.pass(6_000);
    assert_eq!(world.joined(second).generation, 1);
}

#[test]
fn a_static_member_does_not_leave_by_being_late_and_is_removed_by_its_instance() {
    let mut world = World::new(GroupConfig::default());
    let member = world.stable_group(Some("i"));
    let dynamic = Join { requires_known_member_id: false, fresh_id: Uuid::from_u128(3), ..join_request() };
    let joined = world.send(Command::Join(Join { rebalance_timeout_ms: 5_000, ..dynamic }));
    for _ in 0..12 {
        world.pass(5_000);
        world.heartbeat(&member);
    }
    let reply = world.joined(joined);
    assert_eq!((reply.generation, &reply.leader), (2, &reply.member_id));
    assert_eq!(reply.members.len(), 2);
    let leave = |instance_id: &str| {
        let members = vec![LeavingMember { member_id: name(""), instance_id: Some(name(instance_id)) }];
        Command::Leave(Leave { group: name("g"), members })
    };
    let mut outcome = |instance_id| match world.ask(leave(instance_id)) {
        Reply::Leave(Ok(members)) => members[0].1,
        other => panic!("{other:?}"),
    };
    assert_eq!(outcome("unknown"), ErrorCode::UnknownMemberId);
    assert_eq!(outcome("i"), ErrorCode::None);
    assert_eq!(world.heartbeat(&Member { generation: 2, ..member }), ErrorCode::UnknownMemberId);
}

#[test]
fn an_instance_is_checked_with_every_request() {
    let mut world = World::new(GroupConfig::default());
    let member = world.stable_group(Some("i"));
    let other = Member { instance_id: Some(name("j")), ..member.clone() };
    assert_eq!(world.heartbeat(&other), ErrorCode::UnknownMemberId);
    let fenced = Member { member_id: name("m"), ..member };
    assert_eq!(world.heartbeat(&fenced), ErrorCode::FencedInstanceId);
    let request = world.send(Command::Join(Join { member_id: name("m"), ..returning(2, "i") }));
    assert_eq!(world.joined(request).error, ErrorCode::FencedInstanceId);
}
