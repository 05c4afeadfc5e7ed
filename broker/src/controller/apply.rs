//! Making a shard serve a new view: its logs opened, created, deleted or put under a new reign before the view is shown to
//! requests, so that whoever sees a partition can use it.

use std::rc::Rc;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream;
use slipring_protocol::error_code::ErrorCode;
use slipring_storage::error::StorageError;
use slipring_storage::log::{LogConfig, LogDurability};
use slipring_storage::retention::RetentionConfig;
use slipring_storage::store::{LogId, NewLog};

use super::view::{ClusterView, PartitionHome, ViewChange};
use crate::config::internal_topic::OFFSETS_TOPIC;
use crate::config::{Durability, TopicSettings};
use crate::coordinator;
use crate::partition::Partition;
use crate::partition::produce::Produced;
use crate::runtime;
use crate::shard::Shard;

/// Logs opened or created at the same time: enough to fill the disk's queue, few enough to bound memory.
const LOGS_AT_ONCE: usize = 64;

/// Applies a change to this shard, then shows it the view.
pub async fn apply(shard: &Rc<Shard>, view: Arc<ClusterView>, change: &ViewChange) {
    delete_logs(shard, change).await;
    let opened = change.opened.iter().filter(|home| home.owner == shard.id);
    stream::iter(opened).for_each_concurrent(LOGS_AT_ONCE, |home| open_log(shard, home)).await;
    for home in change.reigns.iter().filter(|home| home.owner == shard.id) {
        if let Some(partition) = shard.partitions.borrow_mut().get_mut(home.id) {
            shard.stores[partition.store].set_leader_epoch(partition.log, home.leader_epoch);
            partition.leader_epoch = home.leader_epoch;
        }
    }
    if let Some(config) = &change.config {
        for store in &shard.stores {
            store.set_producer_expiry(config.producer_id_expiration_ms);
        }
    }
    for topic in &change.settings {
        let config = log_config(&topic.settings);
        for partition in
            shard.partitions.borrow().iter().filter(|partition| partition.id.topic_id == topic.id)
        {
            shard.stores[partition.store].set_config(partition.log, config);
        }
    }
    shard.metrics.partitions.set(i64::try_from(shard.partitions.borrow().len()).unwrap_or(i64::MAX));
    coordinator::start(shard, &view);
    *shard.view.borrow_mut() = view;
    coordinator::show_topics(shard);
    serve_groups(shard, change);
}

/// Groups are loaded where their partitions were opened, and forget topics that are gone.
fn serve_groups(shard: &Rc<Shard>, change: &ViewChange) {
    let of_groups = |home: &&PartitionHome| &*home.topic.name == OFFSETS_TOPIC;
    for home in change.opened.iter().filter(of_groups).filter(|home| home.owner == shard.id) {
        if shard.partitions.borrow().get(home.id).is_some() {
            coordinator::open(shard, home.id);
        }
    }
    let mut deleted: Vec<Arc<str>> = change.deleted.iter().map(|home| home.topic.name.clone()).collect();
    deleted.dedup();
    if !deleted.is_empty() {
        coordinator::topics_deleted(shard, &deleted);
    }
}

async fn open_log(shard: &Rc<Shard>, home: &PartitionHome) {
    if shard.partitions.borrow().get(home.id).is_some() {
        return;
    }
    match open_or_create(shard, home).await {
        Ok(log) => {
            let name = home.topic.name.clone();
            let partition = Partition::new(home.id, name, home.directory, log, home.leader_epoch);
            shard.partitions.borrow_mut().insert(partition);
        }
        // The partition stays away: its requests get NOT_LEADER_OR_FOLLOWER, others are served.
        Err(error) => {
            shard.metrics.fenced_logs.inc();
            tracing::error!(
                topic = %home.topic.name,
                partition = home.id.partition.0,
                %error,
                "log can't be opened: the partition is offline"
            );
        }
    }
}

async fn open_or_create(shard: &Rc<Shard>, home: &PartitionHome) -> Result<LogId, StorageError> {
    let store = &shard.stores[home.directory];
    let new = NewLog {
        id: home.id,
        topic: home.topic.name.clone(),
        config: log_config(&home.topic.settings),
        leader_epoch: home.leader_epoch,
    };
    let directory = &shard.directories[home.directory];
    if !directory.has_log(home.id, &home.topic.name) {
        return store.create_log(new).await;
    }
    let (log, report) = store.open_log(new, &directory.recovered, runtime::wall_clock()).await?;
    if let Some(damage) = &report.damage {
        tracing::error!(
            topic = %home.topic.name,
            partition = home.id.partition.0,
            %damage,
            "log is damaged: what is before the damage can be read, nothing is appended"
        );
    }
    if report.truncated_bytes > 0 {
        tracing::debug!(
            topic = %home.topic.name,
            partition = home.id.partition.0,
            bytes = report.truncated_bytes,
            "cut off behind the last acknowledged record: blocks allocated ahead, or a torn tail"
        );
    }
    store.set_leader_epoch(log, home.leader_epoch);
    Ok(log)
}

async fn delete_logs(shard: &Rc<Shard>, change: &ViewChange) {
    for home in change.deleted.iter().filter(|home| home.owner == shard.id) {
        let Some(mut partition) = shard.partitions.borrow_mut().remove(home.id) else { continue };
        coordinator::close(shard, home.id);
        for waiter in partition.take_all_waiters() {
            shard.tell(waiter, Produced::refused(ErrorCode::UnknownTopicOrPartition, None));
        }
        for watch in partition.take_watches() {
            shard.tell_watch(&watch);
        }
        shard.metrics.forget_topic(&partition.topic);
        if let Err(error) = shard.stores[partition.store].delete_log(partition.log).await {
            tracing::error!(topic = %partition.topic, partition = home.id.partition.0, %error, "log can't be deleted");
        }
    }
    shard.end_turn();
}

/// The part of a topic's configs that its logs act on.
#[must_use]
pub fn log_config(settings: &TopicSettings) -> LogConfig {
    LogConfig {
        segment_bytes: u64::from(settings.segment_bytes),
        segment_ms: settings.segment_ms,
        segment_jitter_ms: settings.segment_jitter_ms,
        segment_index_bytes: settings.segment_index_bytes as usize,
        index_interval_bytes: u64::from(settings.index_interval_bytes),
        durability: match settings.durability {
            Durability::Flushed => LogDurability::Flushed,
            Durability::Written => LogDurability::Written,
        },
        retention: RetentionConfig {
            delete: settings.cleanup.delete,
            ms: settings.retention_ms,
            bytes: settings.retention_bytes.and_then(|bytes| u64::try_from(bytes).ok()),
            file_delete_delay_ms: u64::try_from(settings.file_delete_delay_ms).unwrap_or(0),
        },
    }
}
