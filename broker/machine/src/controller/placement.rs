//! Where new replicas go: brokers in stripes over racks (Kafka's `StripedReplicaPlacer`), on each broker the directory with
//! the fewest replicas. The seed says where the stripes start; with one broker it changes nothing.

use std::collections::BTreeMap;

use slipring_protocol::ids::BrokerId;

use super::Controller;
use crate::choices::Choices;
use crate::image::{BrokerImage, DirectoryId};

/// The brokers of new partitions.
pub(super) struct Placer {
    choices: Choices,
    /// Sorted by name at first, brokers without a rack before all; shuffled when the stripes are used up.
    racks: Vec<Rack>,
    broker_count: usize,
    unfenced_count: usize,
    /// Rack that the next partition's leader is looked for in first.
    offset: usize,
    round: usize,
}

#[derive(Default)]
struct Rack {
    unfenced: Ring,
    fenced: Ring,
}

/// Brokers that are gone through once in every round, each time from another start.
#[derive(Default)]
struct Ring {
    brokers: Vec<BrokerId>,
    given: usize,
    offset: usize,
    round: usize,
}

impl Placer {
    pub(super) fn new<'a>(brokers: impl Iterator<Item = &'a BrokerImage>, seed: u64) -> Self {
        let mut racks: BTreeMap<Option<&str>, Rack> = BTreeMap::new();
        let (mut broker_count, mut unfenced_count) = (0, 0);
        for broker in brokers.filter(|broker| !broker.in_controlled_shutdown && broker.takes_replicas()) {
            let rack = racks.entry(broker.rack.as_deref()).or_default();
            broker_count += 1;
            if broker.fenced {
                rack.fenced.brokers.push(broker.id);
            } else {
                unfenced_count += 1;
                rack.unfenced.brokers.push(broker.id);
            }
        }
        let mut choices = Choices::new(seed);
        let mut racks: Vec<Rack> = racks.into_values().collect();
        for ring in racks.iter_mut().flat_map(|rack| [&mut rack.fenced, &mut rack.unfenced]) {
            if !ring.brokers.is_empty() {
                ring.offset = choices.below(ring.brokers.len());
            }
        }
        let offset = if racks.is_empty() { 0 } else { choices.below(racks.len()) };
        Self { choices, racks, broker_count, unfenced_count, offset, round: 0 }
    }

    /// Whether partitions of so many replicas can be placed at all.
    ///
    /// # Errors
    /// Kafka's words for why not.
    pub(super) fn check(&self, replicas: usize) -> Result<(), String> {
        if replicas == 0 {
            return Err("Invalid replication factor 0: the replication factor must be positive.".to_owned());
        }
        if self.unfenced_count == 0 {
            return Err(
                "All brokers are currently fenced, or have all their log directories cordoned.".to_owned()
            );
        }
        if replicas > self.broker_count {
            return Err(format!(
                "The target replication factor of {replicas} cannot be reached because only {} broker(s) are registered \
                 or some brokers have all their log directories cordoned.",
                self.broker_count
            ));
        }
        Ok(())
    }

    /// The brokers of the next partition, its leader first. Only after [`check`](Self::check) of the same count.
    pub(super) fn place(&mut self, replicas: usize) -> Vec<BrokerId> {
        assert!(self.unfenced_count > 0 && replicas <= self.broker_count, "checked before");
        if self.round == self.unfenced_count && self.unfenced_count > 1 {
            self.shuffle();
        }
        if self.offset == self.racks.len() {
            self.offset = 0;
        }
        let mut brokers = Vec::with_capacity(replicas);
        let count = self.racks.len();
        // The leader is never a fenced broker; it may have to come from a rack further on.
        let mut leader_rack = None;
        for rack in (self.offset..count).chain(0..self.offset) {
            if let Some(leader) = self.racks[rack].unfenced.next(self.round) {
                brokers.push(leader);
                leader_rack = Some(rack);
                break;
            }
        }
        let mut rack = self.offset;
        while brokers.len() < replicas {
            // The leader's rack has given its part of the first time round.
            if leader_rack == Some(rack) {
                leader_rack = None;
            } else {
                brokers.extend(self.racks[rack].next(self.round));
            }
            rack = (rack + 1) % count;
        }
        self.round += 1;
        self.offset += 1;
        brokers
    }

    /// So many stripes give each broker once as leader; another order keeps the next ones from repeating them.
    fn shuffle(&mut self) {
        self.choices.shuffle(&mut self.racks);
        for ring in self.racks.iter_mut().flat_map(|rack| [&mut rack.fenced, &mut rack.unfenced]) {
            self.choices.shuffle(&mut ring.brokers);
            (ring.given, ring.round) = (0, 0);
        }
        self.round = 0;
    }
}

impl Rack {
    fn next(&mut self, round: usize) -> Option<BrokerId> {
        self.unfenced.next(round).or_else(|| self.fenced.next(round))
    }
}

impl Ring {
    fn next(&mut self, round: usize) -> Option<BrokerId> {
        if self.brokers.is_empty() {
            return None;
        }
        if self.round != round {
            self.round = round;
            self.given = 0;
            self.offset = (self.offset + 1) % self.brokers.len();
        }
        if self.given == self.brokers.len() {
            return None;
        }
        let broker = self.brokers[(self.given + self.offset) % self.brokers.len()];
        self.given += 1;
        Some(broker)
    }
}

/// Chooses directories, and remembers what it chose.
pub(super) struct DirectoryChooser<'a> {
    controller: &'a Controller,
    added: BTreeMap<DirectoryId, u32>,
}

impl<'a> DirectoryChooser<'a> {
    pub(super) const fn new(controller: &'a Controller) -> Self {
        Self { controller, added: BTreeMap::new() }
    }

    /// The directory of a new replica on each of these brokers.
    pub(super) fn choose(&mut self, replicas: &[BrokerId]) -> Vec<DirectoryId> {
        replicas.iter().map(|&broker| self.choose_one(broker)).collect()
    }

    /// Where Kafka leaves the choice between several to the broker, we make it, for its records name the place anyway.
    fn choose_one(&mut self, broker: BrokerId) -> DirectoryId {
        let Some(broker) = self.controller.image.broker(broker) else { return DirectoryId::UNASSIGNED };
        if broker.directories.is_empty() {
            return DirectoryId::MIGRATING;
        }
        let cordoned = broker.cordoned.as_deref().unwrap_or(&[]);
        let open = broker.directories.iter().filter(|directory| !cordoned.contains(directory));
        let Some(&directory) = open.min_by_key(|&&directory| self.load(directory)) else {
            return DirectoryId::UNASSIGNED;
        };
        *self.added.entry(directory).or_default() += 1;
        directory
    }

    fn load(&self, directory: DirectoryId) -> u32 {
        let count = |loads: &BTreeMap<DirectoryId, u32>| loads.get(&directory).copied().unwrap_or(0);
        count(&self.controller.directory_loads) + count(&self.added)
    }
}

#[cfg(test)]
mod tests;
