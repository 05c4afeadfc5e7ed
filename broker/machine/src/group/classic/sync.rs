//! SyncGroup: the leader brings the assignments, which are durable before anybody gets one.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use slipring_protocol::error_code::ErrorCode;

use super::{ClassicGroup, State};
use crate::group::message::{Sync, SyncReply};
use crate::group::timers::TimerKey;
use crate::group::{Parked, Reply, RequestId, Turn, WriteId, write_error};

/// SyncGroup.
pub(in crate::group) fn sync(
    groups: &mut BTreeMap<Arc<str>, ClassicGroup>,
    from: RequestId,
    sync: Sync,
    turn: &mut Turn<'_>,
) {
    let group = match groups.get_mut(&sync.member.group) {
        _ if sync.member.group.is_empty() => Err(ErrorCode::InvalidGroupId),
        None => Err(ErrorCode::UnknownMemberId),
        Some(group) => group.validate_sync(&sync).map(|()| group),
    };
    match group {
        Ok(group) => group.sync(from, sync, turn),
        Err(error) => turn.reply(from, Reply::Sync(SyncReply::failed(error))),
    }
}

impl ClassicGroup {
    fn validate_sync(&self, sync: &Sync) -> Result<(), ErrorCode> {
        let differs = |theirs: &Option<Arc<str>>, ours: &Option<Arc<str>>| {
            theirs.is_some() && ours.is_some() && theirs != ours
        };
        if self.state == State::Empty {
            return Err(ErrorCode::UnknownMemberId);
        }
        self.validate(&sync.member.member_id, sync.member.instance_id.as_ref())?;
        if sync.member.generation != self.generation {
            return Err(ErrorCode::IllegalGeneration);
        }
        if differs(&sync.protocol_type, &self.protocol_type) || differs(&sync.protocol, &self.protocol) {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        if self.state == State::PreparingRebalance {
            return Err(ErrorCode::RebalanceInProgress);
        }
        Ok(())
    }

    /// A valid request, after a join phase.
    fn sync(&mut self, from: RequestId, sync: Sync, turn: &mut Turn<'_>) {
        let member_id = &sync.member.member_id;
        self.pending_syncs.remove(member_id);
        if self.pending_syncs.is_empty() {
            turn.timers.cancel(&TimerKey::Sync(self.id.clone()));
        }
        if self.state == State::Stable {
            let reply = self.synced(member_id);
            return turn.reply(from, Reply::Sync(reply));
        }
        let Some(member) = self.members.get_mut(member_id) else { return };
        if let Some(old) = member.awaiting_sync.replace(from) {
            turn.reply(old, Reply::Sync(SyncReply::failed(ErrorCode::RebalanceInProgress)));
        }
        if self.is_leader(member_id) {
            self.store_assignment(sync.assignments, turn);
        }
    }

    fn store_assignment(&mut self, assignments: Vec<(Arc<str>, Bytes)>, turn: &mut Turn<'_>) {
        let mut assignment: BTreeMap<Arc<str>, Bytes> = assignments.into_iter().collect();
        assignment.retain(|member_id, _| self.members.contains_key(member_id));
        match turn.append(&[self.record(Some(&assignment))]) {
            Ok(write) => {
                self.assignment_write = Some(write);
                turn.park(write, Parked::Assignment(self.id.clone(), assignment));
            }
            Err(error) => {
                self.reset_assignments(write_error(error), turn);
                // A refusal to write that it is empty changes nothing more.
                _ = self.rebalance_or_complete(turn);
            }
        }
    }

    /// The assignment is durable: it takes effect unless the group has moved on since.
    pub(in crate::group) fn assignment_durable(
        &mut self,
        write: WriteId,
        assignment: &BTreeMap<Arc<str>, Bytes>,
        turn: &mut Turn<'_>,
    ) {
        if self.assignment_write != Some(write) {
            return;
        }
        self.assignment_write = None;
        for member in self.members.values_mut() {
            member.assignment = assignment.get(&member.id).cloned().unwrap_or_default();
        }
        self.transition(State::Stable, turn.now.wall);
        turn.writes.rebalances += 1;
        let ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for member_id in ids {
            let reply = self.synced(&member_id);
            let waits = self.members.get_mut(&member_id).and_then(|member| member.awaiting_sync.take());
            if let Some(to) = waits {
                turn.reply(to, Reply::Sync(reply));
                self.renew_session(&member_id, turn);
            }
        }
    }

    fn synced(&self, member_id: &str) -> SyncReply {
        SyncReply {
            error: ErrorCode::None,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: self
                .members
                .get(member_id)
                .map(|member| member.assignment.clone())
                .unwrap_or_default(),
        }
    }
}
