//! ConsumerGroupHeartbeat of a member that is there or joins: what it wants is taken down, the group is assigned anew if need be,
//! and the member is brought nearer to its target (`GroupMetadataManager.consumerGroupHeartbeat`).

use std::sync::Arc;

use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::group_records::{ConsumerMemberMetadata, ConsumerRecord, GroupRecord};

use super::draft::Draft;
use super::member::{ConsumerMember, plain};
use super::message::{ConsumerBeat, ConsumerHeartbeat, JOINING, LEAVING_FOR_NOW, Refusal};
use super::{ConsumerGroup, ConsumerGroups, leave, regex};
use crate::group::classic::{ClassicGroup, State};
use crate::group::{Groups, Parked, Reply, RequestId, Turn};

/// What a member changed in its subscription.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Changes {
    topics: bool,
    regex: bool,
    /// The new expression, if there is one, is resolved already.
    regex_resolved: bool,
}

/// ConsumerGroupHeartbeat.
pub(in crate::group) fn heartbeat(
    classic: &mut Groups,
    groups: &mut ConsumerGroups,
    from: RequestId,
    beat: &ConsumerHeartbeat,
    turn: &mut Turn<'_>,
) {
    let decided = if beat.epoch < JOINING {
        leave::leave(groups, beat, turn)
    } else {
        stay(classic, groups, beat, turn)
    };
    let reply = Reply::ConsumerHeartbeat(decided);
    match turn.writes.last {
        last if matches!(reply, Reply::ConsumerHeartbeat(Ok(_))) && last > turn.writes.durable => {
            turn.park(last, Parked::Answer(from, reply));
        }
        _ => turn.reply(from, reply),
    }
    if let Some(group) = groups.get_mut(&beat.group) {
        regex::resolve(group, turn);
    }
}

fn stay(
    classic: &mut Groups,
    groups: &mut ConsumerGroups,
    beat: &ConsumerHeartbeat,
    turn: &mut Turn<'_>,
) -> Result<ConsumerBeat, Refusal> {
    if let Some(beat) = groups.get(&beat.group).and_then(|group| nothing_new(group, beat, turn)) {
        return Ok(beat);
    }
    let mut draft = begin(classic, groups, beat)?;
    let before = subscribe(&mut draft, beat, turn)?;
    let changes = update(&mut draft, beat, &before)?;
    let topics = turn.topics.clone();
    let is_new = draft.group.epoch == 0;
    let wants_others = changes.topics || (changes.regex && changes.regex_resolved);
    let may_be_others = draft.group.seen_topics != Some(topics.version());
    if is_new || wants_others || (may_be_others && draft.have_topics_changed(&*topics)) {
        draft.bump(&*topics);
    }
    draft.assign(turn.config, &*topics, turn.now.wall);
    let changed = changes.topics || changes.regex;
    if !draft.reconcile(&before.id, changed, beat.owned.as_ref(), &*topics) {
        return Err(fenced(
            "the state of the member is not known; it must abandon all partitions and rejoin",
        ));
    }
    let after = draft.member(&before.id)?;
    draft.stage(turn)?;
    if let Some(group) = classic.remove(&beat.group) {
        group.forget_timers(turn);
    }
    let group = draft.group;
    for gone in groups.get(&beat.group).into_iter().flat_map(|old| old.members.keys()) {
        if !group.members.contains_key(gone) {
            group.forget_member_timers(gone, turn);
        }
    }
    group.renew_session(&after, turn);
    if after.has != before.has {
        group.watch_revocation(&after, turn);
    }
    groups.insert(beat.group.clone(), group);
    let is_told = beat.epoch == JOINING || beat.is_full() || after.has.assigned != before.has.assigned;
    Ok(answer(&after, is_told, turn))
}

fn answer(member: &ConsumerMember, is_told: bool, turn: &Turn<'_>) -> ConsumerBeat {
    ConsumerBeat {
        member_id: member.id.clone(),
        epoch: member.has.epoch,
        heartbeat_interval_ms: turn.config.consumer.heartbeat_interval_ms,
        assignment: is_told.then(|| plain(&member.has.assigned)),
    }
}

/// The usual heartbeat: a member that has what it is to have, and wants nothing else.
fn nothing_new(group: &ConsumerGroup, beat: &ConsumerHeartbeat, turn: &mut Turn<'_>) -> Option<ConsumerBeat> {
    let member = group.members.get(&beat.member_id)?;
    let is_settled = beat.epoch == member.has.epoch
        && beat.epoch != JOINING
        && group.epoch == group.target_epoch
        && group.seen_topics == Some(turn.topics.version())
        && member.is_reconciled_to(group.target_epoch)
        && beat
            .instance_id
            .as_ref()
            .is_none_or(|instance_id| member.said.instance_id.as_ref() == Some(instance_id))
        && !member.is_classic()
        && said(beat, &member.said) == member.said;
    if !is_settled {
        return None;
    }
    group.renew_session(member, turn);
    Some(answer(member, beat.is_full(), turn))
}

/// The group to decide on: the one that is there, or a new one for who joins, also in place of a classic one without members.
fn begin(classic: &Groups, groups: &ConsumerGroups, beat: &ConsumerHeartbeat) -> Result<Draft, Refusal> {
    if let Some(group) = groups.get(&beat.group) {
        return Ok(Draft::of(group));
    }
    let refusal = |why: &str| Refusal::new(ErrorCode::GroupIdNotFound, format!("group {} {why}", beat.group));
    match classic.get(&beat.group).map(ClassicGroup::state) {
        None if beat.epoch == JOINING => Ok(Draft::new(beat.group.clone())),
        None => Err(refusal("is not there")),
        Some(State::Empty) if beat.epoch == JOINING => {
            let mut draft = Draft::new(beat.group.clone());
            draft.records.push(GroupRecord::Group(beat.group.clone(), None));
            Ok(draft)
        }
        Some(_) => Err(refusal("is not a consumer group")),
    }
}

/// The member that the request is of, as it was before; one that joins is new or takes a static member's place.
fn subscribe(
    draft: &mut Draft,
    beat: &ConsumerHeartbeat,
    turn: &Turn<'_>,
) -> Result<Arc<ConsumerMember>, Refusal> {
    let members_max = turn.config.consumer.members_max;
    if draft.group.members.len() >= members_max && !draft.group.members.contains_key(&beat.member_id) {
        let message = format!("the group has its {members_max} members");
        return Err(Refusal::new(ErrorCode::GroupMaxSizeReached, message));
    }
    let fresh = || Arc::new(ConsumerMember::new(beat.member_id.clone()));
    let is_joining = beat.epoch == JOINING;
    let Some(instance_id) = &beat.instance_id else {
        let member = match draft.member(&beat.member_id) {
            Err(_) if is_joining => fresh(),
            found => found?,
        };
        check_epoch(&member, beat)?;
        return Ok(member);
    };
    match draft.group.static_member(instance_id) {
        None if is_joining => Ok(draft.group.members.get(&beat.member_id).cloned().unwrap_or_else(fresh)),
        None => Err(unknown_instance(instance_id)),
        Some(member) if is_joining && !member.is_classic() && member.has.epoch != LEAVING_FOR_NOW => {
            Err(unreleased(instance_id, &member))
        }
        Some(member) if is_joining => {
            draft.replace(&member, &beat.member_id);
            draft.member(&beat.member_id)
        }
        Some(member) if member.id != beat.member_id => Err(fenced_instance(instance_id, &member)),
        Some(member) => {
            check_epoch(&member, beat)?;
            Ok(member)
        }
    }
}

fn unreleased(instance_id: &str, member: &ConsumerMember) -> Refusal {
    let message = format!("instance id {instance_id} belongs to member {}", member.id);
    Refusal::new(ErrorCode::UnreleasedInstanceId, message)
}

pub(super) fn fenced_instance(instance_id: &str, member: &ConsumerMember) -> Refusal {
    let message = format!("instance id {instance_id} has gone over to member {}", member.id);
    Refusal::new(ErrorCode::FencedInstanceId, message)
}

pub(super) fn unknown_instance(instance_id: &str) -> Refusal {
    Refusal::new(ErrorCode::UnknownMemberId, format!("instance id {instance_id} is not known"))
}

fn fenced(why: &str) -> Refusal {
    Refusal::new(ErrorCode::FencedMemberEpoch, why)
}

/// The member's epoch must be the one it was told last, or the one before if that answer may have been lost.
fn check_epoch(member: &ConsumerMember, beat: &ConsumerHeartbeat) -> Result<(), Refusal> {
    let (theirs, ours) = (beat.epoch, member.has.epoch);
    let lost_answer = theirs == member.has.previous_epoch && member.owns_only_its_own(beat.owned.as_ref());
    if theirs == JOINING || theirs == ours || (theirs < ours && lost_answer) {
        return Ok(());
    }
    Err(fenced(&format!(
        "member epoch {theirs} is not {ours}; the member must abandon all partitions and rejoin"
    )))
}

/// What the member says of itself, with what it said before where it says nothing.
fn said(beat: &ConsumerHeartbeat, before: &ConsumerMemberMetadata) -> ConsumerMemberMetadata {
    let or = |new: &Option<Arc<str>>, old: &Option<Arc<str>>| new.as_ref().or(old.as_ref()).cloned();
    ConsumerMemberMetadata {
        instance_id: or(&beat.instance_id, &before.instance_id),
        rack_id: or(&beat.rack_id, &before.rack_id),
        client_id: beat.client_id.clone(),
        client_host: beat.client_host.clone(),
        topics: beat.topics.as_ref().unwrap_or(&before.topics).clone(),
        regex: or(&beat.regex, &before.regex),
        rebalance_timeout_ms: beat.rebalance_timeout_ms.unwrap_or(before.rebalance_timeout_ms),
        assignor: or(&beat.assignor, &before.assignor),
        classic: None,
    }
}

/// Takes down what the member says of itself.
fn update(draft: &mut Draft, beat: &ConsumerHeartbeat, before: &ConsumerMember) -> Result<Changes, Refusal> {
    let now = said(beat, &before.said);
    let mut changes = Changes { topics: now.topics != before.said.topics, ..Changes::default() };
    let old_regex = before.regex().cloned();
    let new_regex = now.regex.clone().filter(|regex| !regex.is_empty());
    if old_regex != new_regex {
        changes.regex = true;
        match &new_regex {
            Some(new) if !draft.group.expressions().contains_key(new) => regex::check(new)?,
            Some(new) => changes.regex_resolved = draft.group.regexes.contains_key(new),
            None => changes.regex_resolved = true,
        }
    }
    if now != before.said || !draft.group.members.contains_key(&before.id) {
        draft.push(ConsumerRecord::Member(draft.group.key(&before.id), Some(now)));
    }
    draft.forget_regexes();
    Ok(changes)
}
