//! A shard's clean stop, the reverse of its start: no more connections, what is staged becomes durable and is answered,
//! background work ends, the stores write everything into segments and close. Shard 0 is told first: it lets the controller
//! finish, whose changes every shard takes part in, before it tells the others.

use std::rc::Rc;
use std::time::Duration;

use super::Shard;
use super::message::Message;
use crate::coordinator;
use crate::runtime;
use crate::runtime::mailbox::ShardId;

/// How long clients get to take the answers that are on their way.
const ANSWERS_GRACE: Duration = Duration::from_millis(300);

/// Stops the shard; its mail loop ends afterwards, when the mesh is dropped.
pub async fn stop(shard: &Rc<Shard>) {
    if shard.id == ShardId(0) {
        // Commands from now on hear that the broker is stopping; those that it has come to their end.
        drop(shard.controller.borrow_mut().take());
        shard.quiet.wait_until(|| !shard.controller_running.get()).await;
        for other in (1..shard.mail.shards()).map(ShardId) {
            shard.mail.post(other, Message::Stop);
        }
        shard.end_turn();
    }
    coordinator::stop(shard).await;
    let deadline = runtime::now().plus(ANSWERS_GRACE);
    // Requests that are being handled finish; idle connections end at once.
    while shard.has_unanswered() && runtime::now() < deadline {
        shard.end_turn();
        runtime::sleep(runtime::timers::TICK).await;
    }
    shard.stopping.set(true);
    for connection in shard.connections() {
        connection.end();
    }
    shard.commit_signals.iter().for_each(crate::runtime::signal::Signal::set);
    shard
        .quiet
        .wait_until(|| shard.committers_running.get() == 0 && shard.background_running.get() == 0)
        .await;
    for store in &shard.stores {
        if let Err(error) = store.close().await {
            shard.closed_cleanly.set(false);
            tracing::error!(%error, "a store could not be closed cleanly; the next start recovers it");
        }
    }
    shard.stopped.set();
}
