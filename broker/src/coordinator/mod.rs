//! The group coordinator on this broker: every partition of `__consumer_offsets` has a machine of its own
//! (`slipring_machine::group`) on the core that owns the partition. Here: which partition a group has, and the way there.

mod host;
pub mod lag;
mod load;
mod topics;

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use slipring_machine::group::{Command, List, ListedGroup, Reply};
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::ids::{PartitionIndex, TopicIdPartition};

use self::host::Host;
use crate::config::internal_topic::OFFSETS_TOPIC;
use crate::controller::view::ClusterView;
use crate::runtime;
use crate::runtime::mailbox::ShardId;
use crate::runtime::timers::TICK;
use crate::shard::Shard;
use crate::shard::message::{ShardReply, ShardRequest};

/// The machines of one core, by partition.
#[derive(Default)]
pub struct Coordinators {
    hosts: RefCell<BTreeMap<TopicIdPartition, Rc<Host>>>,
    /// By how many partitions groups are spread; the same on every core.
    spread: OnceCell<usize>,
}

impl Coordinators {
    fn get(&self, partition: PartitionIndex) -> Option<Rc<Host>> {
        self.hosts.borrow().iter().find(|(id, _)| id.partition == partition).map(|(_, host)| host.clone())
    }

    fn all(&self) -> Vec<Rc<Host>> {
        self.hosts.borrow().values().cloned().collect()
    }
}

/// A partition of the offsets topic was opened on this core: its groups are loaded, and served then.
pub fn open(shard: &Rc<Shard>, id: TopicIdPartition) {
    let host = Host::new(id);
    shard.coordinators.hosts.borrow_mut().insert(id, host.clone());
    host.start(shard);
}

/// A partition of the offsets topic is no longer on this core.
pub fn close(shard: &Rc<Shard>, id: TopicIdPartition) {
    if let Some(host) = shard.coordinators.hosts.borrow_mut().remove(&id) {
        host.give_up(ErrorCode::NotCoordinator);
    }
}

/// The shard stops: whoever waits for a group is told to look for another coordinator, and has a moment to be answered.
pub async fn stop(shard: &Rc<Shard>) {
    let hosts = std::mem::take(&mut *shard.coordinators.hosts.borrow_mut());
    hosts.values().for_each(|host| host.give_up(ErrorCode::NotCoordinator));
    if !hosts.is_empty() {
        shard.end_turn();
        runtime::sleep(TICK * 2).await;
    }
}

/// Notes by how many partitions groups are spread: as many as the offsets topic has when the broker starts, or is to get. That
/// stays until the broker ends (Kafka's `GroupCoordinatorService.numPartitions`): partitions that are added later would take
/// groups away from their offsets at once.
pub fn start(shard: &Shard, view: &ClusterView) {
    let configured = || {
        let topic = shard.config.internal_topics.iter().find(|topic| topic.name == OFFSETS_TOPIC);
        topic.and_then(|topic| usize::try_from(topic.partitions).ok()).unwrap_or(1)
    };
    let partitions = || view.topic(OFFSETS_TOPIC).map_or_else(configured, |topic| topic.partitions.len());
    shard.coordinators.spread.get_or_init(partitions);
}

/// The partition of a group; none before the first view is there.
#[must_use]
pub fn partition_of(shard: &Shard, group: &str) -> Option<PartitionIndex> {
    Some(partition_for(group, *shard.coordinators.spread.get()?))
}

/// The partition of a group among so many (Kafka's `GroupCoordinatorService.partitionFor`): Java's hash of the name.
fn partition_for(group: &str, partitions: usize) -> PartitionIndex {
    let hash =
        group.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    let hash = if hash == i32::MIN { 0 } else { hash.abs() };
    PartitionIndex(hash % i32::try_from(partitions.max(1)).unwrap_or(i32::MAX))
}

/// Has the coordinator of a group decide a command, on whichever core it is.
pub async fn ask(shard: &Rc<Shard>, group: &str, command: Command) -> Reply {
    let view = shard.view();
    let home = view.topic(OFFSETS_TOPIC).and_then(|topic| {
        let partition = partition_of(shard, group)?;
        Some((partition, topic.owner(partition)?))
    });
    match home {
        Some((partition, owner)) => ask_partition(shard, owner, partition, command).await,
        None => command.failure(ErrorCode::NotCoordinator),
    }
}

async fn ask_partition(
    shard: &Rc<Shard>,
    owner: ShardId,
    partition: PartitionIndex,
    command: Command,
) -> Reply {
    match shard.call(owner, ShardRequest::Group(partition, Box::new(command))).await {
        ShardReply::Group(reply) => *reply,
        _ => unreachable!("groups answer with their replies"),
    }
}

/// Decides a command on this core, which owns the partition.
pub async fn execute(shard: &Rc<Shard>, partition: PartitionIndex, command: Command) -> Reply {
    match shard.coordinators.get(partition) {
        Some(host) => host.execute(shard, command).await,
        None => command.failure(ErrorCode::NotCoordinator),
    }
}

/// The groups of all partitions of this broker.
///
/// # Errors
/// When a partition is still loading.
pub async fn list(shard: &Rc<Shard>, filters: &List) -> Result<Vec<ListedGroup>, ErrorCode> {
    let mut all = Vec::new();
    for owner in (0..shard.mail.shards()).map(ShardId) {
        match shard.call(owner, ShardRequest::ListGroups(filters.clone())).await {
            ShardReply::Groups(groups) => all.extend(groups?),
            _ => unreachable!("lists of groups are answered with lists"),
        }
    }
    Ok(all)
}

/// The groups of this core's partitions.
///
/// # Errors
/// When a partition is still loading.
pub async fn list_own(shard: &Rc<Shard>, filters: &List) -> Result<Vec<ListedGroup>, ErrorCode> {
    let mut all = Vec::new();
    for host in shard.coordinators.all() {
        match host.execute(shard, Command::List(filters.clone())).await {
            Reply::List(Ok(groups)) => all.extend(groups),
            // A partition that is led elsewhere tells of its groups there.
            Reply::List(Err(ErrorCode::NotCoordinator)) => {}
            Reply::List(Err(error)) => return Err(error),
            _ => unreachable!("lists of groups are answered with lists"),
        }
    }
    Ok(all)
}

/// The view changed: this core's groups see the topics of the new one from now on.
pub fn show_topics(shard: &Rc<Shard>) {
    for host in shard.coordinators.all() {
        host.show_topics(shard);
    }
}

/// Topics are gone: this core's groups forget the offsets committed in them.
pub fn topics_deleted(shard: &Rc<Shard>, topics: &[Arc<str>]) {
    for host in shard.coordinators.all() {
        host.forget_topics(shard, topics);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_have_the_partitions_that_kafka_gives_them() {
        // From Java: Utils.abs("...".hashCode()) % 50.
        for (group, partition) in
            [("", 0), ("g", 3), ("my-group", 12), ("größe", 7), ("polygenelubricants", 0)]
        {
            assert_eq!(partition_for(group, 50), PartitionIndex(partition), "{group}");
        }
    }
}
