//! The shard's loops: mail from other cores, and the sweep over idle connections. Every message is handled without
//! waiting; the few questions that need the disk get a task of their own.

use std::rc::Rc;
use std::time::Duration;

use super::Shard;
use super::message::{Message, ProducePart, ShardReply, ShardRequest, Token};
use crate::controller::apply;
use crate::coordinator;
use crate::net::budget::HELD_UP_MAX;
use crate::partition::produce::{Outcome, Requester, append};
use crate::partition::{fetch, offsets, records, sizes};
use crate::runtime::mailbox::{Batch, ShardId};
use crate::runtime::timers::TICK;
use crate::runtime::{self, Queue};

/// Batches of mail handled before the turn ends.
const BATCHES_PER_TURN_MAX: usize = 64;
/// How often connections are looked at for idleness and stuck frames.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Runs the mail loop until every sender is gone.
pub async fn run(shard: Rc<Shard>) {
    while let Some(batch) = shard.mail.receive().await {
        handle(&shard, batch);
        for _ in 1..BATCHES_PER_TURN_MAX {
            let Some(batch) = shard.mail.try_receive() else { break };
            handle(&shard, batch);
        }
        shard.end_turn();
        if shard.stopping.get() {
            runtime::yield_if_needed().await;
        }
    }
}

fn handle(shard: &Rc<Shard>, batch: Batch<Message>) {
    shard.metrics.mail_batches.inc();
    shard.metrics.mail_messages.inc_by(batch.messages.len() as u64);
    for message in batch.messages {
        match message {
            Message::Accepted(accepted) => shard.accepted(accepted),
            Message::Produce(parts) => parts.into_iter().for_each(|part| produce(shard, batch.from, part)),
            Message::Produced(token, part, produced) => shard.produced(token, part, produced),
            Message::Request(token, request) => answer(shard, batch.from, token, request),
            Message::Reply(token, reply) => shard.calls.answer(token, reply),
            Message::Watched(token, plans) => shard.watched(token, batch.from, plans),
            Message::Stop => {
                let shard = shard.clone();
                runtime::spawn(Queue::Foreground, async move { super::stop::stop(&shard).await });
            }
        }
    }
}

/// Appends a batch from another core, or lets it wait behind others while its store has no room. What can wait here is
/// bounded by what connections may have in flight.
fn produce(shard: &Rc<Shard>, from: ShardId, part: ProducePart) {
    let mut parked = shard.parked.borrow_mut();
    if parked.is_empty() && try_produce(shard, from, &part) {
        return;
    }
    parked.push_back((from, part));
    if parked.len() == 1 {
        let shard = shard.clone();
        runtime::spawn(Queue::Foreground, async move { unpark(&shard).await });
    }
}

/// True when the batch is settled or staged; false when it must wait.
fn try_produce(shard: &Rc<Shard>, from: ShardId, part: &ProducePart) -> bool {
    let requester = Requester { shard: from, request: part.request, part: part.part };
    match append(shard, part.partition, &part.batch, part.wants_answer.then_some(requester)) {
        Outcome::Now(produced) if part.wants_answer => {
            shard.mail.post(from, Message::Produced(part.request, part.part, produced));
            true
        }
        Outcome::Now(_) | Outcome::Staged => true,
        Outcome::Busy => false,
    }
}

async fn unpark(shard: &Rc<Shard>) {
    loop {
        shard.end_turn();
        shard.wait_for_room().await;
        let mut parked = shard.parked.borrow_mut();
        while parked.front().is_some_and(|(from, part)| try_produce(shard, *from, part)) {
            parked.pop_front();
        }
        if parked.is_empty() {
            break;
        }
    }
    shard.end_turn();
}

fn answer(shard: &Rc<Shard>, from: ShardId, token: Token, request: ShardRequest) {
    let request = match serve_now(shard, request) {
        Ok(reply) => return shard.mail.post(from, Message::Reply(token, reply)),
        Err(request) => request,
    };
    let shard = shard.clone();
    runtime::spawn(Queue::Foreground, async move {
        let reply = serve(&shard, request).await;
        shard.mail.post(from, Message::Reply(token, reply));
        shard.end_turn();
    });
}

/// Answers what needs no waiting; gives the request back otherwise.
fn serve_now(shard: &Rc<Shard>, request: ShardRequest) -> Result<ShardReply, ShardRequest> {
    match request {
        ShardRequest::Fetch { parts, bytes_max, watch } => {
            match fetch::try_plan(shard, &parts, bytes_max, watch) {
                Some(plans) => Ok(ShardReply::Fetch(plans)),
                None => Err(ShardRequest::Fetch { parts, bytes_max, watch }),
            }
        }
        request => Err(request),
    }
}

/// Answers a question to this core.
pub async fn serve(shard: &Rc<Shard>, request: ShardRequest) -> ShardReply {
    match request {
        ShardRequest::Fetch { parts, bytes_max, watch } => {
            ShardReply::Fetch(fetch::plan(shard, &parts, bytes_max, watch).await)
        }
        ShardRequest::Offsets(queries) => ShardReply::Offsets(offsets::answer_all(shard, queries).await),
        ShardRequest::EpochEnds(queries) => ShardReply::EpochEnds(
            queries.into_iter().map(|query| offsets::epoch_end(shard, &query)).collect(),
        ),
        ShardRequest::DeleteRecords(queries) => {
            ShardReply::DeleteRecords(records::delete_all(shard, queries).await)
        }
        ShardRequest::LogSizes => ShardReply::LogSizes(sizes::all(shard)),
        ShardRequest::Producers(partitions) => ShardReply::Producers(sizes::producers(shard, &partitions)),
        ShardRequest::Control(command) => {
            let Some(controller) = shard.controller.borrow().clone() else {
                return ShardReply::Control(None);
            };
            ShardReply::Control(controller.execute(*command).await.map(Box::new))
        }
        ShardRequest::Group(partition, command) => {
            ShardReply::Group(Box::new(coordinator::execute(shard, partition, *command).await))
        }
        ShardRequest::ListGroups(filters) => ShardReply::Groups(coordinator::list_own(shard, &filters).await),
        ShardRequest::TakeSession(id) => {
            ShardReply::Session(shard.sessions.borrow_mut().take(id).map(Box::new))
        }
        ShardRequest::Publish(view, change) => {
            apply::apply(shard, view, &change).await;
            ShardReply::Published
        }
    }
}

/// Tries again to send what a full mailbox refused.
pub fn retry_flush(shard: &Rc<Shard>) {
    if shard.flush_retrying.replace(true) {
        return;
    }
    let shard = shard.clone();
    runtime::spawn(Queue::Foreground, async move {
        loop {
            runtime::sleep(TICK).await;
            if shard.mail.flush() {
                shard.flush_retrying.set(false);
                return;
            }
        }
    });
}

/// Closes connections that were silent for `connections.max.idle.ms`, those whose half-sent frame has been arriving for as
/// long, and those that hold up others with a frame that does not arrive.
pub async fn sweep_connections(shard: Rc<Shard>) {
    let idle_max = shard.config.network.idle_ms_max.map(Duration::from_millis);
    while !shard.stopping.get() {
        runtime::sleep(SWEEP_INTERVAL).await;
        let now = runtime::now();
        let stale_since = idle_max.and_then(|idle_max| now.minus(idle_max));
        let held_up_since = now.minus(HELD_UP_MAX);
        let held_up = shard.network.full_since() <= held_up_since && shard.network.full_since().is_some();
        for connection in shard.connections() {
            if stale_since.is_some_and(|since| connection.is_stale(since)) {
                tracing::debug!(peer = %connection.peer, "closing idle connection");
                connection.end();
            } else if held_up && held_up_since.is_some_and(|since| connection.holds_up(since)) {
                tracing::warn!(peer = %connection.peer, "closing connection: its request holds memory and does not arrive");
                connection.end();
            }
        }
    }
}
