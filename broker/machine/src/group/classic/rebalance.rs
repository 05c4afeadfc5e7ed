//! From one generation to the next: when the join phase begins, how long it lasts, and how it ends.

use std::sync::Arc;

use slipring_protocol::error_code::ErrorCode;

use super::{ClassicGroup, State};
use crate::group::message::{JoinReply, SyncReply};
use crate::group::timers::{TimerKey, TimerWork};
use crate::group::{Reply, Turn, WriteId};

/// How long a new member may wait for its first generation, in milliseconds. It has no heartbeat to show that it is alive
/// (Kafka's `CLASSIC_GROUP_NEW_MEMBER_JOIN_TIMEOUT_MS`).
pub(super) const NEW_MEMBER_JOIN_TIMEOUT_MS: u64 = 5 * 60_000;

impl ClassicGroup {
    /// Begins a join phase, or ends the one under way if this was all it waited for. The write is that of a group that became
    /// empty, or why it failed.
    pub(super) fn rebalance_or_complete(
        &mut self,
        turn: &mut Turn<'_>,
    ) -> Result<Option<WriteId>, ErrorCode> {
        if self.state == State::PreparingRebalance {
            self.complete_if_all_joined(turn)
        } else {
            self.prepare_rebalance(turn)
        }
    }

    /// As [`Self::rebalance_or_complete`], for a group in its join phase. The initial one ends by time only.
    pub(super) fn complete_if_all_joined(
        &mut self,
        turn: &mut Turn<'_>,
    ) -> Result<Option<WriteId>, ErrorCode> {
        let may_end = self.state == State::PreparingRebalance && self.previous != State::Empty;
        if may_end && self.all_joined() { self.complete_join(turn) } else { Ok(None) }
    }

    pub(super) fn prepare_rebalance(&mut self, turn: &mut Turn<'_>) -> Result<Option<WriteId>, ErrorCode> {
        if self.state == State::CompletingRebalance {
            self.reset_assignments(ErrorCode::RebalanceInProgress, turn);
        }
        self.assignment_write = None;
        self.pending_syncs.clear();
        turn.timers.cancel(&TimerKey::Sync(self.id.clone()));
        let is_initial = self.state == State::Empty;
        self.transition(State::PreparingRebalance, turn.now.wall);
        let key = TimerKey::Join(self.id.clone());
        if is_initial {
            let delay_ms = turn.config.initial_rebalance_delay_ms;
            let remaining_ms = self.rebalance_timeout_ms().saturating_sub(delay_ms);
            turn.schedule(key, delay_ms, TimerWork::InitialRebalance { delay_ms, remaining_ms });
            Ok(None)
        } else if self.all_joined() {
            self.complete_join(turn)
        } else {
            turn.schedule(key, self.rebalance_timeout_ms(), TimerWork::CompleteJoin);
            Ok(None)
        }
    }

    /// The join phase or the wait for syncs has lasted long enough.
    pub(in crate::group) fn phase_over(&mut self, work: TimerWork, turn: &mut Turn<'_>) {
        // That a group became empty need not be durable: see the head of the room.
        match work {
            TimerWork::InitialRebalance { delay_ms, remaining_ms } => {
                if self.new_member_added && remaining_ms != 0 {
                    self.new_member_added = false;
                    let key = TimerKey::Join(self.id.clone());
                    let next_ms = turn.config.initial_rebalance_delay_ms.min(remaining_ms);
                    let remaining_ms = remaining_ms.saturating_sub(delay_ms);
                    turn.schedule(
                        key,
                        next_ms,
                        TimerWork::InitialRebalance { delay_ms: next_ms, remaining_ms },
                    );
                } else {
                    _ = self.complete_join(turn);
                }
            }
            TimerWork::CompleteJoin => _ = self.complete_join(turn),
            TimerWork::EndSync { generation } => _ = self.end_sync(generation, turn),
            TimerWork::EndSession | TimerWork::FenceMember { .. } | TimerWork::Expire => {}
        }
    }

    /// Ends the join phase with those who have joined, and with static members whether they have or not.
    pub(super) fn complete_join(&mut self, turn: &mut Turn<'_>) -> Result<Option<WriteId>, ErrorCode> {
        if self.state != State::PreparingRebalance {
            return Ok(None);
        }
        turn.timers.cancel(&TimerKey::Join(self.id.clone()));
        let absent = |member: &&super::GroupMember| member.awaiting_join.is_none() && !member.is_static();
        let absent: Vec<Arc<str>> =
            self.members.values().filter(absent).map(|member| member.id.clone()).collect();
        for member_id in absent {
            self.remove(&member_id);
            turn.timers.cancel(&self.session_key(&member_id));
        }
        if !self.elect_joined_leader() && !self.members.is_empty() {
            // Static members all, none has come back: until their sessions end.
            let key = TimerKey::Join(self.id.clone());
            turn.schedule(key, self.rebalance_timeout_ms(), TimerWork::CompleteJoin);
            return Ok(None);
        }
        self.next_generation(turn);
        if self.state == State::Empty {
            return turn.append(&[self.record(None)]).map(Some);
        }
        let ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for member_id in ids {
            let reply = self.joined(&member_id);
            self.answer_join(&member_id, reply, turn);
            self.renew_session(&member_id, turn);
            if let Some(member) = self.members.get_mut(&member_id) {
                member.is_new = false;
            }
            self.pending_syncs.insert(member_id);
        }
        let work = TimerWork::EndSync { generation: self.generation };
        turn.schedule(TimerKey::Sync(self.id.clone()), self.rebalance_timeout_ms(), work);
        Ok(None)
    }

    /// Whether there is a leader that has joined; one that has not is replaced by one that has.
    fn elect_joined_leader(&mut self) -> bool {
        let Some(leader) = &self.leader else { return false };
        let has_joined = |member: &&super::GroupMember| member.awaiting_join.is_some();
        if self.members.get(leader).is_some_and(|member| has_joined(&member)) {
            return true;
        }
        match self.members.values().find(has_joined) {
            Some(member) => {
                self.leader = Some(member.id.clone());
                true
            }
            None => false,
        }
    }

    fn next_generation(&mut self, turn: &Turn<'_>) {
        self.generation = self.generation.wrapping_add(1).max(0);
        self.pending_syncs.clear();
        self.new_member_added = false;
        if self.members.is_empty() {
            self.protocol = None;
            self.subscribed = self.find_subscribed();
            self.transition(State::Empty, turn.now.wall);
        } else {
            self.protocol = self.select_protocol();
            self.subscribed = self.find_subscribed();
            self.transition(State::CompletingRebalance, turn.now.wall);
        }
    }

    /// Members that have not asked for their assignment in time are out.
    fn end_sync(&mut self, generation: i32, turn: &mut Turn<'_>) -> Result<Option<WriteId>, ErrorCode> {
        let awaits_syncs = matches!(self.state, State::CompletingRebalance | State::Stable);
        if generation != self.generation || !awaits_syncs || self.pending_syncs.is_empty() {
            return Ok(None);
        }
        for member_id in std::mem::take(&mut self.pending_syncs) {
            self.answer_join(
                &member_id,
                JoinReply::failed(&Arc::default(), ErrorCode::UnknownMemberId),
                turn,
            );
            self.remove(&member_id);
            turn.timers.cancel(&self.session_key(&member_id));
        }
        self.prepare_rebalance(turn)
    }

    /// Whoever waits for an assignment hears of an error instead.
    pub(super) fn reset_assignments(&mut self, error: ErrorCode, turn: &mut Turn<'_>) {
        let mut told = Vec::new();
        for member in self.members.values_mut() {
            member.assignment = bytes::Bytes::new();
            if let Some(to) = member.awaiting_sync.take() {
                turn.reply(to, Reply::Sync(SyncReply::failed(error)));
                told.push(member.id.clone());
            }
        }
        told.iter().for_each(|member_id| self.renew_session(member_id, turn));
    }
}
