//! Hosts the controller on shard 0: one command at a time: decide, append, replay, publish to every shard, answer. An answer
//! leaves when its records are durable and every shard serves them. No decisions here.

use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use slipring_machine::controller::{Command, Controller, Reply};
use slipring_machine::image::{ImageDelta, ImageError};
use slipring_protocol::ids::Offset;

use super::metadata_log::{MetadataLog, MetadataLogError};
use super::view::{ClusterView, Local, ViewChange};
use crate::runtime;
use crate::runtime::mailbox::ShardId;
use crate::shard::Shard;
use crate::shard::message::ShardRequest;

/// Commands that may wait for the controller; further ones wait at their connections.
const COMMANDS_MAX: usize = 256;

/// The way to the controller, for tasks of its shard.
#[derive(Clone)]
pub struct ControllerMailbox {
    commands: flume::Sender<(Command, flume::Sender<Reply>)>,
}

impl ControllerMailbox {
    /// Has the controller execute a command; its reply comes when every shard serves the outcome. `None` when the broker
    /// is stopping.
    pub async fn execute(&self, command: Command) -> Option<Reply> {
        let (sender, reply) = flume::bounded(1);
        self.commands.send_async((command, sender)).await.ok()?;
        reply.recv_async().await.ok()
    }
}

/// Why the controller can't go on: the node stops, as Kafka's does.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// Its log failed.
    #[error(transparent)]
    Log(#[from] MetadataLogError),
    /// Its own records contradict each other.
    #[error("the metadata log contradicts itself: {0}")]
    Image(#[from] ImageError),
    /// There are logs, and no metadata that could tell of their topics: moving them aside would hide all of them.
    #[error(
        "the metadata log is empty, but {logs} logs of topics are there, such as {example}: bring __cluster_metadata-0 back, or move them away"
    )]
    MetadataLost {
        /// How many.
        logs: usize,
        /// One of them.
        example: String,
    },
    /// Logs without a topic can't be moved out of the way.
    #[error("logs of deleted topics can't be cleared: {0}")]
    Strays(std::io::Error),
    /// Start-up was refused.
    #[error("the controller refused to start this broker: {0}")]
    Refused(String),
}

/// The controller with its log and what it publishes.
pub struct ControllerHost {
    shard: Rc<Shard>,
    controller: Controller,
    log: MetadataLog,
    view: ClusterView,
    local: Local,
    placement_path: PathBuf,
}

impl fmt::Debug for ControllerHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControllerHost").field("epoch", &self.log.epoch()).finish_non_exhaustive()
    }
}

impl ControllerHost {
    /// A host whose controller has replayed the log.
    #[must_use]
    pub fn new(
        shard: Rc<Shard>,
        controller: Controller,
        log: MetadataLog,
        view: ClusterView,
        local: Local,
        placement_path: PathBuf,
    ) -> Self {
        Self { shard, controller, log, view, local, placement_path }
    }

    /// Makes the mailbox and the loop that serves it.
    pub fn serve(mut self) -> (ControllerMailbox, impl Future<Output = ()>) {
        let (commands, queue) = flume::bounded::<(Command, flume::Sender<Reply>)>(COMMANDS_MAX);
        let serving = async move {
            while let Ok((command, reply)) = queue.recv_async().await {
                match self.execute(command).await {
                    // The connection may be gone.
                    Ok(answer) => _ = reply.send(answer),
                    Err(error) => {
                        tracing::error!(%error, "the controller can't go on: stopping this node");
                        runtime::end_node().await;
                    }
                }
            }
        };
        (ControllerMailbox { commands }, serving)
    }

    /// Executes one command.
    ///
    /// # Errors
    /// When the node can't lead the metadata any longer.
    pub async fn execute(&mut self, command: Command) -> Result<Reply, HostError> {
        let decision = self.controller.decide(runtime::wall_clock(), command);
        if decision.records.is_empty() {
            return Ok(decision.reply);
        }
        let base = self.log.end();
        let last = self.log.append(&self.shard, &decision.records, decision.atomic).await?;
        assert_eq!(last, base.plus(decision.records.len() as i64 - 1), "only the host appends");
        let delta = self.controller.replay(&decision.records, base, self.log.epoch())?;
        self.publish(&delta).await;
        Ok(decision.reply)
    }

    /// The offset of the next record.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.log.end()
    }

    /// Gives every shard the present image, and waits until all serve it.
    pub async fn publish(&mut self, delta: &ImageDelta) {
        let (view, change) = self.view.advance(self.controller.image().clone(), delta, &mut self.local);
        self.view = view.clone();
        if !change.opened.is_empty() || !change.deleted.is_empty() {
            self.keep_placement().await;
        }
        publish_to_all(&self.shard, Arc::new(view), Arc::new(change)).await;
    }

    /// Losing it costs balance, not data, so a failure is only told.
    async fn keep_placement(&self) {
        let bytes = self.local.placement.encode();
        if let Err(error) = self.shard.disk.replace_whole(&self.placement_path, bytes).await {
            tracing::warn!(%error, path = %self.placement_path.display(), "the core map can't be kept");
        }
    }
}

async fn publish_to_all(shard: &Rc<Shard>, view: Arc<ClusterView>, change: Arc<ViewChange>) {
    let others = (0..shard.mail.shards()).map(ShardId).filter(|to| *to != shard.id);
    let asked: Vec<_> =
        others.map(|to| shard.ask(to, ShardRequest::Publish(view.clone(), change.clone()))).collect();
    shard.end_turn();
    shard.call(shard.id, ShardRequest::Publish(view, change)).await;
    for token in asked {
        shard.calls.wait(token).await;
    }
}
