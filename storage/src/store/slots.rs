//! Where a store keeps its logs: dense numbers with a generation, so that the id of a deleted log never means another one.

use crate::log::Log;

/// A log of one store. Only meaningful to the store that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId {
    index: u32,
    generation: u32,
}

/// The logs of a store.
#[derive(Default)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Default)]
struct Slot {
    generation: u32,
    log: Option<Box<Log>>,
}

impl Slots {
    pub(super) fn insert(&mut self, log: Log) -> LogId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            (self.slots.len() - 1) as u32
        });
        let slot = &mut self.slots[index as usize];
        slot.log = Some(Box::new(log));
        LogId { index, generation: slot.generation }
    }

    pub(super) fn remove(&mut self, id: LogId) -> Option<Log> {
        let slot = self.slots.get_mut(id.index as usize).filter(|slot| slot.generation == id.generation)?;
        let log = slot.log.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.index);
        Some(*log)
    }

    pub(super) fn get(&self, id: LogId) -> Option<&Log> {
        let slot = self.slots.get(id.index as usize).filter(|slot| slot.generation == id.generation)?;
        slot.log.as_deref()
    }

    pub(super) fn get_mut(&mut self, id: LogId) -> Option<&mut Log> {
        let slot = self.slots.get_mut(id.index as usize).filter(|slot| slot.generation == id.generation)?;
        slot.log.as_deref_mut()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (LogId, &mut Log)> {
        self.slots.iter_mut().enumerate().filter_map(|(index, slot)| {
            let id = LogId { index: index as u32, generation: slot.generation };
            slot.log.as_deref_mut().map(|log| (id, log))
        })
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(super) fn ids(&self) -> Vec<LogId> {
        let ids = self.slots.iter().enumerate().filter(|(_, slot)| slot.log.is_some());
        ids.map(|(index, slot)| LogId { index: index as u32, generation: slot.generation }).collect()
    }
}
