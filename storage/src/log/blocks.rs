//! Which blocks of one segment file have been handed to the disk and which are durable there. Pure; owner core only.
//! Every block is handed over exactly once while the segment grows, so no write ever covers bytes of an earlier one and
//! none can tear them.

use std::collections::VecDeque;

use crate::limits::BLOCK;

/// Progress of a segment's blocks; all positions are file positions on block boundaries.
#[derive(Debug)]
pub(crate) struct Blocks {
    submitted: u64,
    written: u64,
    durable: u64,
    flights: VecDeque<Flight>,
}

#[derive(Debug)]
struct Flight {
    to: u64,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    UnderWay,
    /// Written without being durable: waits for a flush.
    Written,
    Durable,
}

impl Blocks {
    /// Everything below `durable` is durable in the file.
    pub(crate) fn new(durable: u64) -> Blocks {
        assert!(durable.is_multiple_of(BLOCK), "blocks end on block boundaries");
        Blocks { submitted: durable, written: durable, durable, flights: VecDeque::new() }
    }

    /// The next write starts here.
    pub(crate) fn submitted(&self) -> u64 {
        self.submitted
    }

    /// Everything below is in the file, durable or not.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Everything below is durable in the file.
    pub(crate) fn durable(&self) -> u64 {
        self.durable
    }

    /// Whether a write is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.flights.iter().any(|flight| flight.state == State::UnderWay)
    }

    /// Whether something waits for a flush.
    pub(crate) fn needs_flush(&self) -> bool {
        self.flights.iter().any(|flight| flight.state == State::Written)
    }

    /// A write of everything from [`Blocks::submitted`] up to `to` is issued.
    pub(crate) fn submit(&mut self, to: u64) {
        assert!(to > self.submitted && to.is_multiple_of(BLOCK), "a write covers whole new blocks");
        self.flights.push_back(Flight { to, state: State::UnderWay });
        self.submitted = to;
    }

    /// The write up to `to` is done; `durable` tells whether by itself.
    pub(crate) fn complete(&mut self, to: u64, durable: bool) {
        let flight = self.flights.iter_mut().find(|flight| flight.to == to);
        let flight = flight.expect("only issued writes complete");
        assert_eq!(flight.state, State::UnderWay, "a write completes once");
        flight.state = if durable { State::Durable } else { State::Written };
        self.advance();
    }

    /// What a flush that starts now will make durable: everything written so far.
    pub(crate) fn flush_target(&self) -> u64 {
        self.written
    }

    /// A flush that started with this target is done.
    pub(crate) fn flushed(&mut self, target: u64) {
        for flight in self.flights.iter_mut().filter(|flight| flight.to <= target) {
            if flight.state == State::Written {
                flight.state = State::Durable;
            }
        }
        self.advance();
    }

    fn advance(&mut self) {
        self.written = self.submitted;
        if let Some(at) = self.flights.iter().position(|flight| flight.state == State::UnderWay) {
            self.written = match at.checked_sub(1) {
                Some(before) => self.flights[before].to,
                None => self.durable,
            };
        }
        while let Some(flight) = self.flights.front().filter(|flight| flight.state == State::Durable) {
            self.durable = flight.to;
            self.flights.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durable_grows_without_holes() {
        let mut blocks = Blocks::new(BLOCK);
        for to in [3, 4, 9] {
            blocks.submit(to * BLOCK);
        }
        blocks.complete(4 * BLOCK, true);
        assert_eq!((blocks.written(), blocks.durable()), (BLOCK, BLOCK));
        blocks.complete(3 * BLOCK, false);
        assert_eq!((blocks.written(), blocks.durable()), (4 * BLOCK, BLOCK));
        let target = blocks.flush_target();
        blocks.complete(9 * BLOCK, false);
        blocks.flushed(target);
        assert_eq!((blocks.written(), blocks.durable()), (9 * BLOCK, 4 * BLOCK));
        assert!(blocks.needs_flush() && !blocks.is_busy());
        blocks.flushed(blocks.flush_target());
        assert_eq!(blocks.durable(), 9 * BLOCK);
    }
}
