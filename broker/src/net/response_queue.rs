//! Responses of one connection, in the order of their requests. A produce takes a place when it arrives and fills it when
//! its records are durable; whatever is complete at the front leaves together.

use std::collections::VecDeque;

use crate::runtime::conn::{Piece, SendQueue};

/// A request's place among the responses of its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(u64);

/// The places that wait, oldest first.
#[derive(Debug, Default)]
pub struct ResponseQueue {
    first: u64,
    places: VecDeque<Option<Vec<Piece>>>,
}

impl ResponseQueue {
    /// Takes the next place.
    pub fn reserve(&mut self) -> Place {
        self.places.push_back(None);
        Place(self.first + self.places.len() as u64 - 1)
    }

    /// Fills a place and moves everything complete at the front to `out`.
    pub fn fill(&mut self, place: Place, response: Vec<Piece>, out: &mut SendQueue) {
        let index = usize::try_from(place.0 - self.first).expect("places fit in memory");
        let slot = self.places.get_mut(index).expect("a place is filled once");
        assert!(slot.is_none(), "a place is filled once");
        *slot = Some(response);
        while let Some(Some(_)) = self.places.front() {
            let response = self.places.pop_front().flatten().expect("just seen");
            self.first += 1;
            response.into_iter().for_each(|piece| out.push(piece));
        }
    }

    /// Requests without an answer so far.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.places.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn answers_leave_in_request_order() {
        let mut queue = ResponseQueue::default();
        let mut out = SendQueue::default();
        let places: Vec<_> = (0..4).map(|_| queue.reserve()).collect();
        let text = |text: &'static str| vec![Piece::Owned(Bytes::from_static(text.as_bytes()))];
        queue.fill(places[1], text("b"), &mut out);
        assert_eq!(out.bytes(), 0);
        queue.fill(places[3], text("d"), &mut out);
        queue.fill(places[0], text("a"), &mut out);
        assert_eq!((out.bytes(), queue.waiting()), (2, 2));
        queue.fill(places[2], text("c"), &mut out);
        let mut slices = Vec::new();
        out.gather(&mut slices);
        assert_eq!(slices.concat(), b"abcd");
    }
}
