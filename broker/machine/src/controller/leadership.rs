//! Who leads a partition after a broker came or went (Kafka's `PartitionChangeBuilder` and `generateLeaderAndIsrUpdates`).
//! Eligible leader replicas (KIP-966) that a log of Kafka holds are elected from; none are added, as with their feature off.

use slipring_protocol::ids::{BrokerId, PartitionIndex};
use slipring_protocol::metadata_records::{LeaderRecoveryState, MetadataRecord, PartitionChange};

use super::Controller;
use crate::image::{ConfigKind, ConfigResource, PartitionImage, TopicImage};

/// A broker on its way in or out. The image still shows it as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// It may lead, though it is still fenced.
    Arrives(BrokerId),
    /// It may not lead, and leaves the ISR.
    Leaves(BrokerId),
}

const UNCLEAN_LEADER_ELECTION: &str = "unclean.leader.election.enable";
const NO_LEADER: BrokerId = BrokerId(-1);

impl Controller {
    /// The records of all partitions that the move concerns: those without a leader for an arrival, those that have the
    /// broker in their ISR for a departure.
    pub(super) fn leader_changes(&self, movement: Move, records: &mut Vec<MetadataRecord>) {
        for topic in self.image.topics() {
            let unclean = self.is_unclean_allowed(topic);
            let concerned = topic.partitions().filter(|(_, partition)| match movement {
                Move::Arrives(_) => partition.leader.is_none(),
                Move::Leaves(broker) => partition.isr.contains(&broker),
            });
            records.extend(concerned.filter_map(|(index, partition)| {
                self.leader_change(movement, topic, index, partition, unclean).map(MetadataRecord::from)
            }));
        }
    }

    fn leader_change(
        &self,
        movement: Move,
        topic: &TopicImage,
        index: PartitionIndex,
        partition: &PartitionImage,
        unclean: bool,
    ) -> Option<PartitionChange> {
        let mut isr = partition.isr.clone();
        if let Move::Leaves(broker) = movement {
            isr.retain(|&replica| replica != broker);
        }
        let eligible = if isr.is_empty() { &partition.eligible_leaders[..] } else { &[] };
        let is_acceptable = |replica: &BrokerId| self.may_lead(movement, partition, *replica);
        let is_clean = |replica: &BrokerId| {
            (isr.contains(replica) || eligible.contains(replica)) && is_acceptable(replica)
        };
        let replicas = || partition.replicas.iter().copied();
        let clean = partition.leader.filter(is_clean).or_else(|| replicas().find(is_clean));
        // Nobody is sure to have everything: the one who led last is the best there is.
        let last_known = match &partition.last_known_eligible[..] {
            [only] if isr.is_empty() && eligible.is_empty() => Some(*only).filter(is_acceptable),
            _ => None,
        };
        let any = || if unclean { replicas().find(is_acceptable) } else { None };
        let leader = clean.or(last_known).or_else(any);

        let mut change = PartitionChange { topic: topic.id, partition: index, ..PartitionChange::default() };
        if leader != partition.leader {
            change.leader = Some(leader.unwrap_or(NO_LEADER));
        }
        if let Some(leader) = leader.filter(|leader| !isr.contains(leader)) {
            // From outside the ISR: it is alone in sync now. If it was not eligible either, what the others hold beyond it
            // is lost.
            change.isr = Some(vec![leader]);
            if clean.is_none() && partition.leader_recovery == LeaderRecoveryState::Recovered {
                change.leader_recovery = Some(LeaderRecoveryState::Recovering);
            }
            change.elr = without(&partition.eligible_leaders, |id| clean.is_none() || id == leader);
            change.last_known_elr = without(&partition.last_known_eligible, |_| true);
        }
        // An ISR never empties: the last ones in it are the ones that may lead again.
        if change.isr.is_none() && !isr.is_empty() && isr != partition.isr {
            change.isr = Some(isr);
        }
        (change.leader.is_some() || change.isr.is_some()).then_some(change)
    }

    /// Whether a replica could lead as things are.
    pub(super) fn is_able_to_lead(&self, partition: &PartitionImage, replica: BrokerId) -> bool {
        let Some(broker) = self.image.broker(replica) else { return false };
        broker.is_active()
            && partition.directory(replica).is_some_and(|directory| broker.has_online(directory))
    }

    fn may_lead(&self, movement: Move, partition: &PartitionImage, replica: BrokerId) -> bool {
        let Some(broker) = self.image.broker(replica) else { return false };
        let is_active = match movement {
            Move::Leaves(leaving) if leaving == replica => false,
            Move::Arrives(arriving) if arriving == replica => true,
            Move::Leaves(_) | Move::Arrives(_) => broker.is_active(),
        };
        is_active && partition.directory(replica).is_some_and(|directory| broker.has_online(directory))
    }

    /// The topic's config, else this node's, else the cluster's, else the configuration's.
    fn is_unclean_allowed(&self, topic: &TopicImage) -> bool {
        let broker = |name: String| ConfigResource { kind: ConfigKind::BROKER, name: name.into() };
        let resources = [
            ConfigResource::topic(topic.name.clone()),
            broker(self.config.node_id.to_string()),
            broker(String::new()),
        ];
        let set =
            resources.iter().find_map(|resource| self.image.configs(resource)?.get(UNCLEAN_LEADER_ELECTION));
        set.map_or(self.config.unclean_leader_election, |value| value.trim().eq_ignore_ascii_case("true"))
    }
}

/// A list without some of its members, if any of them is in it.
fn without(brokers: &[BrokerId], is_out: impl Fn(BrokerId) -> bool) -> Option<Vec<BrokerId>> {
    let left: Vec<BrokerId> = brokers.iter().copied().filter(|&id| !is_out(id)).collect();
    (left.len() < brokers.len()).then_some(left)
}
