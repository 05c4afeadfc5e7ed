//! Questions of this shard that wait for another shard's answer.

use std::cell::RefCell;
use std::future::poll_fn;
use std::task::{Poll, Waker};

use super::message::{ShardReply, Token};
use super::tokens::TokenTable;

/// The open questions of one shard.
#[derive(Default)]
pub struct Calls {
    open: RefCell<TokenTable<Call>>,
}

#[derive(Default)]
struct Call {
    reply: Option<ShardReply>,
    waker: Option<Waker>,
}

impl Calls {
    /// Opens a question.
    pub fn open(&self) -> Token {
        self.open.borrow_mut().insert(Call::default())
    }

    /// Hands in the answer.
    pub fn answer(&self, token: Token, reply: ShardReply) {
        if let Some(call) = self.open.borrow_mut().get_mut(token) {
            call.reply = Some(reply);
            if let Some(waker) = call.waker.take() {
                waker.wake();
            }
        }
    }

    /// Waits for the answer.
    pub async fn wait(&self, token: Token) -> ShardReply {
        poll_fn(|context| {
            let mut open = self.open.borrow_mut();
            let call = open.get_mut(token).expect("open until its answer is taken");
            let Some(reply) = call.reply.take() else {
                call.waker = Some(context.waker().clone());
                return Poll::Pending;
            };
            open.remove(token);
            Poll::Ready(reply)
        })
        .await
    }
}
