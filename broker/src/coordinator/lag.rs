//! How far groups are behind: on the core of a group's partition, which asks the cores of the consumed partitions for their
//! ends. For metrics; changes nothing.

use std::collections::BTreeMap;
use std::rc::Rc;

use slipring_machine::group::{Committed, Tally};
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::ids::TopicIdPartition;

use crate::partition::offsets::{OffsetAnswer, OffsetQuery};
use crate::runtime;
use crate::runtime::mailbox::ShardId;
use crate::shard::Shard;
use crate::shard::message::{ShardReply, ShardRequest};

/// A committed offset, and how many records come after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lag {
    /// What is committed.
    pub committed: Committed,
    /// Offsets from there to the high watermark; 0 also where more is committed than there is.
    pub offsets: i64,
}

/// The groups of this core, and at most `lags_max` of their lags.
pub async fn look(shard: &Rc<Shard>, lags_max: usize) -> (Tally, Vec<Lag>) {
    let mut tally = Tally::default();
    let mut committed = Vec::new();
    for host in shard.coordinators.all() {
        host.look(|coordinator| {
            coordinator.tally(&mut tally);
            let room = lags_max - committed.len();
            committed.extend(coordinator.committed().filter(has_room_for_names).take(room));
        });
        runtime::yield_if_needed().await;
    }
    (tally, lags(shard, committed).await)
}

/// Topics' names are no longer than this, but a group's may be as long as a request.
fn has_room_for_names(committed: &Committed) -> bool {
    committed.group.len() <= NAME_BYTES_MAX
}

const NAME_BYTES_MAX: usize = 249;

/// Asks for the ends, one question for each core. What has no end here has no lag.
async fn lags(shard: &Rc<Shard>, committed: Vec<Committed>) -> Vec<Lag> {
    let view = shard.view();
    let mut by_owner: BTreeMap<ShardId, (Vec<Committed>, Vec<OffsetQuery>)> = BTreeMap::new();
    for committed in committed {
        let Some(topic) = view.topic(&committed.topic) else { continue };
        let Some(owner) = topic.owner(committed.partition) else { continue };
        let partition = TopicIdPartition { topic_id: topic.id, partition: committed.partition };
        let (of_owner, queries) = by_owner.entry(owner).or_default();
        of_owner.push(committed);
        queries.push(OffsetQuery::end_of(partition));
    }
    let mut lags = Vec::new();
    for (owner, (committed, queries)) in by_owner {
        let answers = match shard.call(owner, ShardRequest::Offsets(queries)).await {
            ShardReply::Offsets(answers) => answers,
            _ => unreachable!("offsets are answered with offsets"),
        };
        lags.extend(committed.into_iter().zip(answers).filter_map(|(committed, end)| lag(committed, end)));
    }
    lags
}

fn lag(committed: Committed, end: OffsetAnswer) -> Option<Lag> {
    let offsets = end.offset.0.saturating_sub(committed.offset.0).max(0);
    (end.error == ErrorCode::None).then_some(Lag { committed, offsets })
}
