//! One hop per owner core: splits a request's items by owner, asks all owners at the same time, and puts the answers back
//! in the order of the items.

use std::rc::Rc;

use crate::runtime::mailbox::ShardId;
use crate::shard::Shard;
use crate::shard::message::{ShardReply, ShardRequest};

/// Items of a request by owner core, each with its place in the request.
pub(super) struct Scattered<T> {
    by_owner: Vec<(ShardId, Vec<usize>, Vec<T>)>,
}

impl<T> Default for Scattered<T> {
    fn default() -> Self {
        Self { by_owner: Vec::new() }
    }
}

impl<T> Scattered<T> {
    /// Adds the item at `place` of the request.
    pub(super) fn push(&mut self, owner: ShardId, place: usize, item: T) {
        let index = self.by_owner.iter().position(|(shard, ..)| *shard == owner).unwrap_or_else(|| {
            self.by_owner.push((owner, Vec::new(), Vec::new()));
            self.by_owner.len() - 1
        });
        let (_, places, items) = &mut self.by_owner[index];
        places.push(place);
        items.push(item);
    }

    /// Asks every owner and gives the answers with their places.
    pub(super) async fn ask<A>(
        self,
        shard: &Rc<Shard>,
        request: impl Fn(Vec<T>) -> ShardRequest,
        answers: impl Fn(ShardReply) -> Vec<A>,
    ) -> Vec<(usize, A)> {
        let mut own = None;
        let mut asked = Vec::new();
        for (owner, places, items) in self.by_owner {
            if owner == shard.id {
                own = Some((places, request(items)));
            } else {
                asked.push((places, shard.ask(owner, request(items))));
            }
        }
        if !asked.is_empty() {
            shard.end_turn();
        }
        let mut all = Vec::new();
        if let Some((places, request)) = own {
            all.extend(places.into_iter().zip(answers(shard.call(shard.id, request).await)));
        }
        for (places, token) in asked {
            all.extend(places.into_iter().zip(answers(shard.calls.wait(token).await)));
        }
        all
    }
}
