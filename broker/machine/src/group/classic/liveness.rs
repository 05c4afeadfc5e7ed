//! Who is still there: heartbeats, sessions that end, members that leave.

use std::collections::BTreeMap;
use std::sync::Arc;

use slipring_protocol::error_code::ErrorCode;

use super::{ClassicGroup, State};
use crate::group::message::{JoinReply, Leave, LeavingMember, Member, SyncReply};
use crate::group::timers::TimerWork;
use crate::group::{Parked, Reply, RequestId, Turn, WriteId, write_error};

type Groups = BTreeMap<Arc<str>, ClassicGroup>;

/// Heartbeat.
pub(in crate::group) fn heartbeat(groups: &Groups, member: &Member, turn: &mut Turn<'_>) -> ErrorCode {
    if member.group.is_empty() {
        return ErrorCode::InvalidGroupId;
    }
    let Some(group) = groups.get(&member.group) else { return ErrorCode::UnknownMemberId };
    if let Err(error) = group.validate(&member.member_id, member.instance_id.as_ref()) {
        return error;
    }
    if member.generation != group.generation {
        return ErrorCode::IllegalGeneration;
    }
    group.renew_session(&member.member_id, turn);
    match group.state {
        State::PreparingRebalance => ErrorCode::RebalanceInProgress,
        State::Empty | State::CompletingRebalance | State::Stable => ErrorCode::None,
    }
}

/// LeaveGroup. A group that does not exist answers as one without these members.
pub(in crate::group) fn leave(groups: &mut Groups, from: RequestId, leave: Leave, turn: &mut Turn<'_>) {
    if leave.group.is_empty() {
        return turn.reply(from, Reply::Leave(Err(ErrorCode::InvalidGroupId)));
    }
    let Some(group) = groups.get_mut(&leave.group) else {
        let unknown = |member| (member, ErrorCode::UnknownMemberId);
        return turn.reply(from, Reply::Leave(Ok(leave.members.into_iter().map(unknown).collect())));
    };
    let mut outcomes = Vec::with_capacity(leave.members.len());
    for member in leave.members {
        let error = group.member_leaves(&member, turn);
        outcomes.push((member, error));
    }
    let has_changed = outcomes.iter().any(|(_, error)| *error == ErrorCode::None);
    let written =
        if has_changed && group.state != State::Empty { group.rebalance_or_complete(turn) } else { Ok(None) };
    match written {
        Ok(Some(write)) => turn.park(write, Parked::Answer(from, Reply::Leave(Ok(outcomes)))),
        Ok(None) => turn.reply(from, Reply::Leave(Ok(outcomes))),
        Err(error) => turn.reply(from, Reply::Leave(Err(write_error(error)))),
    }
}

impl ClassicGroup {
    /// Members have their session time-out from now on. A group above a limit that was lowered rebalances, so that those who
    /// must go can commit first.
    pub(in crate::group) fn loaded(&mut self, turn: &mut Turn<'_>) {
        let ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        ids.iter().for_each(|member_id| self.renew_session(member_id, turn));
        if self.members.len() > turn.config.members_max {
            _ = self.prepare_rebalance(turn);
        }
    }

    /// The member is alive: its session time-out starts again.
    pub(in crate::group) fn renew_session(&self, member_id: &str, turn: &mut Turn<'_>) {
        if let Some(member) = self.members.get(member_id) {
            let after_ms = member.session_timeout_ms.max(0) as u64;
            turn.schedule(self.session_key(&member.id), after_ms, TimerWork::EndSession);
        }
    }

    /// A session time-out has passed.
    pub(in crate::group) fn end_session(&mut self, member_id: &Arc<str>, turn: &mut Turn<'_>) {
        // That a group became empty need not be durable: see the head of the room.
        if self.pending_joins.remove(member_id) {
            _ = self.complete_if_all_joined_after_loss(turn);
        } else if self.members.get(member_id).is_some_and(|member| !member.is_waiting()) {
            self.drop_member(member_id, turn);
            _ = match self.state {
                State::Stable | State::CompletingRebalance => self.prepare_rebalance(turn),
                State::PreparingRebalance => self.complete_if_all_joined_after_loss(turn),
                State::Empty => Ok(None),
            };
        }
    }

    /// Unlike a member that leaves, one that is lost can end the initial join phase, too: as in Kafka.
    fn complete_if_all_joined_after_loss(
        &mut self,
        turn: &mut Turn<'_>,
    ) -> Result<Option<WriteId>, ErrorCode> {
        if self.state == State::PreparingRebalance && self.all_joined() {
            self.complete_join(turn)
        } else {
            Ok(None)
        }
    }

    fn member_leaves(&mut self, leaving: &LeavingMember, turn: &mut Turn<'_>) -> ErrorCode {
        let member_id = match &leaving.instance_id {
            Some(instance_id) if leaving.member_id.is_empty() => {
                self.static_members.get(instance_id).cloned()
            }
            _ => Some(leaving.member_id.clone()).filter(|member_id| !member_id.is_empty()),
        };
        let Some(member_id) = member_id else { return ErrorCode::UnknownMemberId };
        if self.pending_joins.remove(&member_id) {
            turn.timers.cancel(&self.session_key(&member_id));
            return ErrorCode::None;
        }
        if let Err(error) = self.validate(&member_id, leaving.instance_id.as_ref()) {
            return error;
        }
        turn.timers.cancel(&self.session_key(&member_id));
        self.drop_member(&member_id, turn);
        ErrorCode::None
    }

    /// Takes a member out. If it waits after all, it is told to join anew.
    fn drop_member(&mut self, member_id: &Arc<str>, turn: &mut Turn<'_>) {
        let Some(member) = self.remove(member_id) else { return };
        if let Some(to) = member.awaiting_join {
            let reply = JoinReply::failed(&Arc::default(), ErrorCode::UnknownMemberId);
            turn.reply(to, Reply::Join(reply));
        }
        if let Some(to) = member.awaiting_sync {
            turn.reply(to, Reply::Sync(SyncReply::failed(ErrorCode::UnknownMemberId)));
        }
    }
}
