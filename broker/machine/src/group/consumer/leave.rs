//! Members that go: by their own will, because they were not heard of, or because they did not give up in time what they were to
//! give up. The others are assigned anew.

use std::sync::Arc;

use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::group_records::{ConsumerRecord, CurrentAssignment, EpochedPartitions, GroupRecord};

use super::draft::Draft;
use super::heartbeat::{fenced_instance, unknown_instance};
use super::message::{ConsumerBeat, ConsumerHeartbeat, LEAVING_FOR_NOW, Refusal};
use super::{ConsumerGroup, ConsumerGroups};
use crate::group::message::Join;
use crate::group::timers::{MemberTimer, TimerWork};
use crate::group::{Turn, write_error};

/// Fences the member when time is up, unless it has left the epoch, if one is given.
pub(super) const fn fence(epoch: Option<i32>) -> TimerWork {
    TimerWork::FenceMember { epoch }
}

/// How soon a member is fenced again whose fencing could not be written, in milliseconds.
const RETRY_MS: u64 = 500;

/// A heartbeat that says that the member leaves.
pub(super) fn leave(
    groups: &mut ConsumerGroups,
    beat: &ConsumerHeartbeat,
    turn: &mut Turn<'_>,
) -> Result<ConsumerBeat, Refusal> {
    let group = groups.get_mut(&beat.group).ok_or_else(|| {
        Refusal::new(ErrorCode::GroupIdNotFound, format!("there is no consumer group {}", beat.group))
    })?;
    let member = match &beat.instance_id {
        None => group.member(&beat.member_id)?,
        Some(instance_id) => {
            let member = group.static_member(instance_id).ok_or_else(|| unknown_instance(instance_id))?;
            if member.id != beat.member_id {
                return Err(fenced_instance(instance_id, &member));
            }
            member
        }
    };
    if beat.epoch == LEAVING_FOR_NOW {
        // It keeps what it has for who comes back under its instance id, until its session ends.
        let has = CurrentAssignment {
            epoch: LEAVING_FOR_NOW,
            pending_revocation: EpochedPartitions::new(),
            ..member.has.clone()
        };
        let mut draft = Draft::of(group);
        draft.push(ConsumerRecord::Current(group.key(&member.id), Some(has)));
        draft.stage(turn)?;
        *group = draft.group;
    } else {
        fence_member(group, &member.id, turn)?;
    }
    Ok(ConsumerBeat {
        member_id: member.id.clone(),
        epoch: beat.epoch,
        heartbeat_interval_ms: 0,
        assignment: None,
    })
}

/// Takes a member out of its group.
pub(super) fn fence_member(
    group: &mut ConsumerGroup,
    id: &Arc<str>,
    turn: &mut Turn<'_>,
) -> Result<(), Refusal> {
    let mut draft = Draft::of(group);
    draft.remove(id);
    draft.forget_regexes();
    let topics = turn.topics.clone();
    draft.bump(&*topics);
    draft.stage(turn)?;
    *group = draft.group;
    group.forget_member_timers(id, turn);
    Ok(())
}

/// A member's time is up.
pub(in crate::group) fn time_out(
    groups: &mut ConsumerGroups,
    timer: MemberTimer,
    group_id: &Arc<str>,
    id: &Arc<str>,
    epoch: Option<i32>,
    turn: &mut Turn<'_>,
) {
    let Some(group) = groups.get_mut(group_id) else { return };
    let Some(member) = group.members.get(id) else { return };
    if epoch.is_some_and(|epoch| member.has.epoch != epoch) {
        return;
    }
    if fence_member(group, id, turn).is_err() {
        turn.schedule(group.timer(timer, id), RETRY_MS, fence(epoch));
    }
}

/// A client of the classic protocol wants to join: a group without members makes way for one of that protocol.
pub(in crate::group) fn make_way(
    groups: &mut ConsumerGroups,
    join: &Join,
    turn: &mut Turn<'_>,
) -> Result<(), ErrorCode> {
    let Some(group) = groups.get(&join.group) else { return Ok(()) };
    if !group.is_empty() {
        return Err(ErrorCode::InconsistentGroupProtocol);
    }
    let records: Vec<GroupRecord> = group.tombstones().into_iter().map(GroupRecord::Consumer).collect();
    turn.append(&records).map_err(write_error)?;
    groups.remove(&join.group);
    Ok(())
}
