//! Levels that nobody counts as they change: log sizes, journal and memory in use, fetches that wait, groups and how far they
//! are behind. Looked up on their own core every two seconds; nothing here waits for a disk.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::coordinator::lag;
use crate::runtime;
use crate::shard::Shard;

const INTERVAL: Duration = Duration::from_secs(2);

/// Refreshes this core's levels until the shard stops.
pub async fn watch(shard: Rc<Shard>) {
    while !shard.stopping.get() {
        refresh(&shard);
        refresh_groups(&shard).await;
        runtime::sleep(INTERVAL).await;
    }
}

async fn refresh_groups(shard: &Rc<Shard>) {
    if shard.config.metrics_listener.is_none() {
        return;
    }
    let series_max = shard.config.lag_series_max;
    let (tally, lags) = lag::look(shard, series_max).await;
    shard.metrics.groups.tallied(&tally);
    shard.metrics.groups.lagged(&lags, series_max);
}

fn refresh(shard: &Shard) {
    let mut topics: HashMap<Arc<str>, u64> = HashMap::new();
    for partition in shard.partitions.borrow().iter() {
        // Absent only while it is being deleted.
        let Ok(bytes) = shard.stores[partition.store].log_bytes(partition.log) else { continue };
        match topics.get_mut(&partition.topic) {
            Some(sum) => *sum += bytes,
            None => _ = topics.insert(partition.topic.clone(), bytes),
        }
    }
    shard.metrics.log_sizes(&topics);
    let levels = &shard.metrics.levels;
    let sum = |of: fn(slipring_storage::store::StoreUsage) -> u64| {
        let sum: u64 = shard.stores.iter().map(|store| of(store.usage())).sum();
        i64::try_from(sum).unwrap_or(i64::MAX)
    };
    levels.staged_bytes.set(sum(|usage| usage.staged_bytes));
    levels.tail_bytes.set(sum(|usage| usage.tail_bytes));
    levels.journal_used_bytes.set(sum(|usage| usage.journal_used_bytes));
    levels.journal_bytes.set(sum(|usage| usage.journal_bytes));
    levels.segment_files.set(sum(|usage| usage.open_files as u64));
    levels.fetches_waiting.set(i64::try_from(shard.fetches.borrow().len()).unwrap_or(i64::MAX));
    levels.produces_waiting.set(i64::try_from(shard.produces.borrow().len()).unwrap_or(i64::MAX));
}
