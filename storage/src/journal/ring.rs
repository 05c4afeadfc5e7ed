//! Which parts of the journal's ring are in use. Pure bookkeeping on the core that owns the journal: it decides where the
//! next commit goes and when space is free again, and never touches a file.
//!
//! Two ends, never one: `oldest` is the first commit that something still needs; `recorded` is what the newest durable
//! header or superblock says about it. Recovery walks from `recorded`, so only what lies before it may be overwritten.

use std::collections::VecDeque;

use super::format::{Place, RING_START};

/// The ring of one journal.
#[derive(Debug)]
pub(crate) struct Ring {
    /// End of the prewritten space.
    end: u64,
    head: u64,
    lap: u64,
    next_sequence: u64,
    live: VecDeque<Live>,
    recorded: Place,
}

#[derive(Debug)]
struct Live {
    position: u64,
    length: u64,
    pins: u32,
    written: bool,
}

/// Where a commit may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// Here.
    At(u64),
    /// At the start of the ring, once a superblock announces the new lap.
    NextLap,
    /// There will be room once a superblock records the oldest commit as it is now.
    RecordFirst,
    /// Something has to be written back or copied forward first.
    Full,
}

impl Ring {
    /// An empty ring of a fresh lap.
    pub(crate) fn new(end: u64, lap: u64, next_sequence: u64) -> Ring {
        let recorded = Place { sequence: next_sequence, position: RING_START };
        Ring { end, head: RING_START, lap, next_sequence, live: VecDeque::new(), recorded }
    }

    /// Room for `length` bytes of which `reserve` more must stay free behind them.
    pub(crate) fn room(&self, length: u64, reserve: u64) -> Room {
        match self.place(self.recorded, length, reserve) {
            Some(room) => room,
            None if self.place(self.oldest(), length, reserve).is_some() => Room::RecordFirst,
            None => Room::Full,
        }
    }

    /// Where `length` bytes fit when everything from `tail` on is in use.
    fn place(&self, tail: Place, length: u64, reserve: u64) -> Option<Room> {
        let empty = tail.sequence >= self.next_sequence;
        let wrapped = !empty && self.head <= tail.position;
        if wrapped {
            let free = tail.position - self.head;
            return (free >= length + reserve).then_some(Room::At(self.head));
        }
        let behind = self.end.saturating_sub(self.head);
        let before = if empty { self.head - RING_START } else { tail.position - RING_START };
        if behind >= length && behind - length + before >= reserve {
            return Some(Room::At(self.head));
        }
        if empty {
            return (self.end - RING_START >= length).then_some(Room::NextLap);
        }
        (before >= length + reserve).then_some(Room::NextLap)
    }

    /// Takes the room for the next commit at `position`, as [`Ring::room`] told; gives its sequence. It stays in use
    /// until written and unpinned.
    pub(crate) fn begin(&mut self, position: u64, length: u64, pins: u32) -> u64 {
        assert_eq!(position, self.head, "commits stand one behind the other");
        let sequence = self.next_sequence;
        self.live.push_back(Live { position, length, pins, written: false });
        self.next_sequence += 1;
        self.head = position + length;
        sequence
    }

    /// The commit is written. `recorded`: the oldest commit as its header says it, when that is durable.
    pub(crate) fn finish(&mut self, sequence: u64, recorded: Option<Place>) {
        if let Some(live) = self.live_mut(sequence) {
            live.written = true;
        }
        if let Some(recorded) = recorded {
            self.record(recorded);
        }
        self.trim();
    }

    /// One of the commit's pins is gone.
    pub(crate) fn unpin(&mut self, sequence: u64) {
        let live = self.live_mut(sequence).expect("a pinned commit is live");
        live.pins = live.pins.checked_sub(1).expect("a pin is given back once");
        self.trim();
    }

    /// A superblock or header that says `recorded` is durable.
    pub(crate) fn record(&mut self, recorded: Place) {
        if recorded.sequence >= self.recorded.sequence {
            self.recorded = recorded;
        }
    }

    /// The superblock of the next lap is durable: the ring goes on at its start.
    pub(crate) fn next_lap(&mut self) {
        self.lap += 1;
        self.head = RING_START;
    }

    /// More space has been prewritten.
    pub(crate) fn grow(&mut self, end: u64) {
        assert!(end >= self.end, "a ring does not shrink");
        self.end = end;
    }

    /// The oldest commit still needed; the next one when there is none.
    pub(crate) fn oldest(&self) -> Place {
        let position = self.live.front().map_or(self.head, |live| live.position);
        Place { sequence: self.next_sequence - self.live.len() as u64, position }
    }

    /// As [`Ring::oldest`], for a superblock that opens the next lap: an empty ring then starts at its start.
    pub(crate) fn oldest_at_next_lap(&self) -> Place {
        match self.live.front() {
            Some(_) => self.oldest(),
            None => Place { sequence: self.next_sequence, position: RING_START },
        }
    }

    /// The last commit that is written; none under way counts.
    pub(crate) fn last_written(&self) -> u64 {
        let under_way = self.live.iter().rev().take_while(|live| !live.written).count() as u64;
        self.next_sequence - 1 - under_way
    }

    pub(crate) fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    pub(crate) fn lap(&self) -> u64 {
        self.lap
    }

    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    /// Bytes of the ring.
    pub(crate) fn capacity(&self) -> u64 {
        self.end - RING_START
    }

    /// End of the prewritten space in the file.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Bytes that are not free, counted as if `recorded` were up to date.
    pub(crate) fn used(&self) -> u64 {
        let Some(first) = self.live.front() else { return 0 };
        if self.head > first.position {
            self.head - first.position
        } else {
            self.capacity() - (first.position - self.head)
        }
    }

    fn live_mut(&mut self, sequence: u64) -> Option<&mut Live> {
        let first = self.next_sequence - self.live.len() as u64;
        self.live.get_mut(usize::try_from(sequence.checked_sub(first)?).ok()?)
    }

    fn trim(&mut self) {
        while self.live.front().is_some_and(|live| live.written && live.pins == 0) {
            let freed = self.live.pop_front();
            debug_assert!(freed.is_some_and(|live| live.length > 0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::BLOCK;

    const START: u64 = RING_START;

    fn ring(blocks: u64) -> Ring {
        Ring::new(START + blocks * BLOCK, 1, 1)
    }

    /// Commits `blocks`, recording the oldest as a header does.
    fn commit(ring: &mut Ring, blocks: u64) -> u64 {
        match ring.room(blocks * BLOCK, 0) {
            Room::At(_) => {}
            Room::NextLap => {
                let oldest = ring.oldest_at_next_lap();
                ring.next_lap();
                ring.record(oldest);
            }
            Room::RecordFirst => {
                let oldest = ring.oldest();
                ring.record(oldest);
                return commit(ring, blocks);
            }
            Room::Full => panic!("full"),
        }
        let head = ring.head();
        let sequence = ring.begin(head, blocks * BLOCK, 1);
        let oldest = ring.oldest();
        ring.finish(sequence, Some(oldest));
        sequence
    }

    #[test]
    fn what_only_a_volatile_header_says_frees_nothing() {
        let mut ring = ring(4);
        let first = commit(&mut ring, 3);
        let head = ring.head();
        let second = ring.begin(head, BLOCK, 1);
        ring.unpin(first);
        ring.finish(second, None);
        assert_eq!(ring.room(BLOCK, 0), Room::RecordFirst);
    }

    #[test]
    fn a_full_ring_says_so_and_frees_in_order() {
        let mut ring = ring(4);
        let (first, second) = (commit(&mut ring, 2), commit(&mut ring, 2));
        assert_eq!(ring.room(BLOCK, 0), Room::Full);
        ring.unpin(second);
        assert_eq!(ring.room(BLOCK, 0), Room::Full, "the first one is still needed");
        ring.unpin(first);
        assert_eq!(ring.used(), 0);
        assert_eq!(ring.room(BLOCK, 0), Room::RecordFirst);
        ring.record(ring.oldest());
        assert_eq!(ring.room(BLOCK, 0), Room::NextLap);
    }

    #[test]
    fn nothing_that_recovery_would_walk_over_is_overwritten() {
        let mut ring = ring(4);
        let first = commit(&mut ring, 1);
        let second = commit(&mut ring, 1);
        let third = commit(&mut ring, 2);
        ring.unpin(first);
        // Free, but the newest durable header still names the first commit as the oldest.
        assert_eq!(ring.room(BLOCK, 0), Room::RecordFirst);
        ring.record(ring.oldest());
        assert_eq!(ring.room(BLOCK, 0), Room::NextLap);
        assert_eq!(ring.oldest_at_next_lap().sequence, second);
        ring.unpin(third);
        assert_eq!(ring.oldest().sequence, second);
    }

    #[test]
    fn laps_go_round_for_long() {
        let mut ring = ring(7);
        let mut held = VecDeque::new();
        for round in 0..1_000u64 {
            let blocks = 1 + round % 3;
            while ring.room(blocks * BLOCK, 0) == Room::Full {
                ring.unpin(held.pop_front().unwrap());
            }
            held.push_back(commit(&mut ring, blocks));
            assert!(ring.used() <= ring.capacity() && ring.head() <= ring.end());
        }
        assert!(ring.lap() > 100);
    }

    #[test]
    fn a_reserve_is_left_alone() {
        let mut ring = ring(4);
        assert_eq!(ring.room(3 * BLOCK, BLOCK), Room::At(START));
        assert_eq!(ring.room(4 * BLOCK, BLOCK), Room::NextLap, "an empty ring takes anything that fits");
        let first = commit(&mut ring, 2);
        assert_eq!(ring.room(2 * BLOCK, BLOCK), Room::Full);
        assert_eq!(ring.room(BLOCK, BLOCK), Room::At(START + 2 * BLOCK));
        ring.unpin(first);
    }
}
