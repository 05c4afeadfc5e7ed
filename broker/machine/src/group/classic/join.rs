//! JoinGroup: who may join, under which id, and whether that begins a new generation.

use std::collections::BTreeMap;
use std::sync::Arc;

use slipring_protocol::error_code::ErrorCode;

use super::member::GroupMember;
use super::rebalance::NEW_MEMBER_JOIN_TIMEOUT_MS;
use super::{ClassicGroup, State};
use crate::group::message::{Join, JoinReply, SyncReply};
use crate::group::timers::TimerWork;
use crate::group::{Parked, Reply, RequestId, Turn, write_error};

/// A static member that came back to a stable group under a new id, until its record is durable.
#[derive(Clone, Debug)]
pub(in crate::group) struct StaticRejoin {
    member_id: Arc<str>,
    /// The leader before; clients up to version 8 are not told that they lead, or they would assign.
    leader_before: Option<Arc<str>>,
    knows_skip_assignment: bool,
}

/// JoinGroup.
pub(in crate::group) fn join(
    groups: &mut BTreeMap<Arc<str>, ClassicGroup>,
    from: RequestId,
    join: Join,
    turn: &mut Turn<'_>,
) {
    let timeouts = turn.config.session_timeout_ms_min..=turn.config.session_timeout_ms_max;
    let error = if join.group.is_empty() {
        ErrorCode::InvalidGroupId
    } else if !timeouts.contains(&join.session_timeout_ms) {
        ErrorCode::InvalidSessionTimeout
    } else if !groups.contains_key(&join.group) && !join.member_id.is_empty() {
        ErrorCode::UnknownMemberId
    } else {
        ErrorCode::None
    };
    if error != ErrorCode::None {
        return refuse(from, &join.member_id, error, turn);
    }
    let group = match groups.entry(join.group.clone()) {
        std::collections::btree_map::Entry::Occupied(group) => group.into_mut(),
        std::collections::btree_map::Entry::Vacant(vacant) => {
            // There is no group without a record of it, so that a restart knows of the same groups.
            let group = ClassicGroup::new(join.group.clone(), turn.now.wall);
            match turn.append(&[group.record(None)]) {
                Ok(_) => vacant.insert(group),
                Err(error) => return refuse(from, &Arc::default(), write_error(error), turn),
            }
        }
    };
    group.join(from, join, turn);
}

fn refuse(to: RequestId, member_id: &Arc<str>, error: ErrorCode, turn: &mut Turn<'_>) {
    turn.reply(to, Reply::Join(JoinReply::failed(member_id, error)));
}

impl ClassicGroup {
    fn join(&mut self, from: RequestId, mut join: Join, turn: &mut Turn<'_>) {
        let mut seen = std::collections::BTreeSet::new();
        join.protocols.retain(|(name, _)| seen.insert(name.clone()));
        if !self.has_room_for(&join.member_id, turn.config.members_max) {
            self.expel(&join.member_id, turn);
            return refuse(from, &Arc::default(), ErrorCode::GroupMaxSizeReached, turn);
        }
        if !self.supports(&join.protocol_type, &join.protocols) {
            return refuse(from, &join.member_id, ErrorCode::InconsistentGroupProtocol, turn);
        }
        if join.member_id.is_empty() {
            self.join_new(from, &join, turn);
        } else if self.pending_joins.contains(&join.member_id) {
            // Ids are given to dynamic members only.
            if join.instance_id.is_some() {
                return refuse(from, &join.member_id, ErrorCode::UnknownMemberId, turn);
            }
            self.add(from, join.member_id.clone(), &join, turn);
        } else {
            match self.validate(&join.member_id, join.instance_id.as_ref()) {
                Ok(()) => self.rejoin(from, &join, turn),
                Err(error) => {
                    refuse(from, &join.member_id, error, turn);
                }
            }
        }
    }

    /// Whether the group is not full (`GroupMetadataManager.acceptJoiningMember`). While it rebalances those who have joined
    /// count, so that a limit that was lowered takes effect.
    fn has_room_for(&self, member_id: &str, members_max: usize) -> bool {
        let member = self.members.get(member_id);
        match self.state {
            State::Empty => true,
            State::PreparingRebalance => {
                member.is_some_and(|member| member.awaiting_join.is_some())
                    || self.awaiting_joins < members_max
            }
            State::CompletingRebalance | State::Stable => {
                member.is_some() || self.members.len() < members_max
            }
        }
    }

    /// The group is full without this member.
    fn expel(&mut self, member_id: &Arc<str>, turn: &mut Turn<'_>) {
        if self.members.contains_key(member_id) || self.pending_joins.contains(member_id) {
            turn.timers.cancel(&self.session_key(member_id));
            self.remove(member_id);
            _ = self.complete_if_all_joined(turn);
        }
    }

    /// Somebody without a member id.
    fn join_new(&mut self, from: RequestId, join: &Join, turn: &mut Turn<'_>) {
        let name = join.instance_id.as_ref().unwrap_or(&join.client_id);
        let member_id: Arc<str> = format!("{name}-{}", join.fresh_id.hyphenated()).into();
        let known = join.instance_id.as_ref().and_then(|instance_id| self.static_members.get(instance_id));
        if let Some(known) = known.cloned() {
            return self.replace_static(from, &known, member_id, join, turn);
        }
        if join.instance_id.is_some() || !join.requires_known_member_id {
            return self.add(from, member_id, join, turn);
        }
        self.pending_joins.insert(member_id.clone());
        let after_ms = join.session_timeout_ms.max(0) as u64;
        turn.schedule(self.session_key(&member_id), after_ms, TimerWork::EndSession);
        refuse(from, &member_id, ErrorCode::MemberIdRequired, turn);
    }

    /// A member that was not there.
    fn add(&mut self, from: RequestId, member_id: Arc<str>, join: &Join, turn: &mut Turn<'_>) {
        if self.state == State::PreparingRebalance && self.previous == State::Empty {
            self.new_member_added = true;
        }
        if self.members.is_empty() {
            self.protocol_type = Some(join.protocol_type.clone());
        }
        self.insert(GroupMember::new(member_id.clone(), join));
        self.await_join(&member_id, from, turn);
        turn.schedule(self.session_key(&member_id), NEW_MEMBER_JOIN_TIMEOUT_MS, TimerWork::EndSession);
        // A group with a member that waits does not become empty: nothing is written.
        _ = self.rebalance_or_complete(turn);
    }

    /// A member that is there joins again.
    fn rejoin(&mut self, from: RequestId, join: &Join, turn: &mut Turn<'_>) {
        let Some(member) = self.members.get(&join.member_id) else { return };
        let is_same = member.protocols == join.protocols;
        let is_leader = self.is_leader(&join.member_id);
        match self.state {
            // It may have missed the answer.
            State::CompletingRebalance if is_same => {
                let reply = self.joined(&join.member_id);
                turn.reply(from, Reply::Join(reply));
            }
            // A follower that asks learns what it needs to sync. A leader wants another assignment.
            State::Stable if is_same && !is_leader => {
                let reply = self.joined(&join.member_id);
                turn.reply(from, Reply::Join(reply));
            }
            State::PreparingRebalance | State::CompletingRebalance | State::Stable => {
                self.update(&join.member_id, join);
                self.await_join(&join.member_id, from, turn);
                _ = self.rebalance_or_complete(turn);
            }
            State::Empty => refuse(from, &join.member_id, ErrorCode::UnknownMemberId, turn),
        }
    }

    /// The member's protocols and time-outs are now these.
    fn update(&mut self, member_id: &Arc<str>, join: &Join) {
        let leader = self.leader.clone();
        let Some(mut member) = self.take_out(member_id) else { return };
        member.protocols.clone_from(&join.protocols);
        member.rebalance_timeout_ms = join.rebalance_timeout_ms;
        member.session_timeout_ms = join.session_timeout_ms;
        self.insert(member);
        self.leader = leader;
    }

    /// A static member comes back without its id: it takes the place of who it was. In a stable group whose protocol stays
    /// the same nobody else notices.
    fn replace_static(
        &mut self,
        from: RequestId,
        old_id: &Arc<str>,
        new_id: Arc<str>,
        join: &Join,
        turn: &mut Turn<'_>,
    ) {
        let leader_before = self.leader.clone();
        let mut next = self.clone();
        next.rename(old_id, new_id.clone());
        next.update(&new_id, join);
        if let Some(member) = next.members.get_mut(&new_id) {
            (member.awaiting_join, member.awaiting_sync) = (None, None);
        }
        next.recount_joins();
        let stays = self.state == State::Stable && next.select_protocol() == self.protocol;
        if stays {
            match turn.append(&[next.record(None)]) {
                Ok(write) => {
                    let knows_skip_assignment = join.knows_skip_assignment;
                    let member_id = new_id.clone();
                    let rejoin = StaticRejoin { member_id, leader_before, knows_skip_assignment };
                    turn.park(write, Parked::StaticRejoin(self.id.clone(), rejoin));
                }
                Err(error) => return refuse(from, &Arc::default(), write_error(error), turn),
            }
        }
        self.fence(old_id, turn);
        *self = next;
        self.await_join(&new_id, from, turn);
        self.renew_session(&new_id, turn);
        // In the sync phase the leader may have been told of the old id already: begin again.
        _ = match self.state {
            State::Stable if stays => Ok(None),
            State::Stable | State::CompletingRebalance => self.prepare_rebalance(turn),
            State::PreparingRebalance | State::Empty => self.complete_if_all_joined(turn),
        };
    }

    /// Gives a member another id.
    fn rename(&mut self, old_id: &str, new_id: Arc<str>) {
        let leader = self.leader.clone();
        let had_not_synced = self.pending_syncs.remove(old_id);
        let Some(mut member) = self.take_out(old_id) else { return };
        member.id = new_id.clone();
        member.is_new = false;
        self.insert(member);
        self.leader = leader.map(|leader| if &*leader == old_id { new_id.clone() } else { leader });
        if had_not_synced {
            self.pending_syncs.insert(new_id);
        }
    }

    fn recount_joins(&mut self) {
        self.awaiting_joins = self.members.values().filter(|member| member.awaiting_join.is_some()).count();
    }

    /// Whoever still speaks under a static member's old id is told that another one took its place.
    fn fence(&mut self, old_id: &Arc<str>, turn: &mut Turn<'_>) {
        turn.timers.cancel(&self.session_key(old_id));
        let Some(member) = self.members.get(old_id) else { return };
        let fenced = ErrorCode::FencedInstanceId;
        if let Some(to) = member.awaiting_join {
            refuse(to, old_id, fenced, turn);
        }
        if let Some(to) = member.awaiting_sync {
            turn.reply(to, Reply::Sync(SyncReply::failed(fenced)));
        }
    }

    /// The record of a static member that came back is durable. If the group has begun another generation meanwhile, that
    /// one answers.
    pub(in crate::group) fn static_rejoin_durable(&mut self, rejoin: &StaticRejoin, turn: &mut Turn<'_>) {
        if self.state != State::Stable || !self.members.contains_key(&rejoin.member_id) {
            return;
        }
        let mut reply = self.joined(&rejoin.member_id);
        if rejoin.knows_skip_assignment {
            reply.skip_assignment = self.is_leader(&rejoin.member_id);
        } else {
            reply.leader = rejoin.leader_before.clone().unwrap_or_default();
            reply.members = Vec::new();
        }
        self.answer_join(&rejoin.member_id, reply, turn);
        self.renew_session(&rejoin.member_id, turn);
    }
}
