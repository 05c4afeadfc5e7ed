//! Planning a fetch on the owner core: which bytes of the tail or of a segment answer it. The owner decides, the
//! connection's core moves the bytes.

use std::cell::Cell;
use std::rc::Rc;

use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::ids::{LeaderEpoch, Offset, TopicIdPartition};
use slipring_storage::error::ReadError;
use slipring_storage::read::{ReadLimit, ReadPlan, ReadRange, ReadSlice};
use slipring_storage::store::{LogId, Planned, Store};

use super::{Partition, Watch};
use crate::shard::Shard;
use crate::shard::message::WatchRequest;

/// One partition of a fetch.
#[derive(Clone, Copy, Debug)]
pub struct FetchPart {
    /// Which partition.
    pub partition: TopicIdPartition,
    /// Where to begin.
    pub offset: Offset,
    /// `partition_max_bytes`.
    pub bytes_max: usize,
    /// The epoch that the client believes in; -1 for none.
    pub current_leader_epoch: LeaderEpoch,
    /// Epoch of the last record that the client has; -1 for none (KIP-595).
    pub last_fetched_epoch: LeaderEpoch,
    /// Stop at the last stable offset.
    pub read_committed: bool,
}

/// What may be read of one partition now.
#[derive(Debug)]
pub struct FetchPlan {
    /// `None` or why nothing may be read.
    pub error: ErrorCode,
    /// -1 with an error.
    pub high_watermark: Offset,
    /// -1 with an error.
    pub last_stable: Offset,
    /// -1 with an error.
    pub log_start: Offset,
    /// Where the client's log departs from ours: the largest epoch common to both, and its end.
    pub diverging: Option<(LeaderEpoch, Offset)>,
    /// The bytes, in order.
    pub slices: Vec<ReadSlice>,
    /// How many bytes the slices hold; for file ranges before their edges are cut.
    pub bytes: usize,
    /// There is more to read than one plan can give: waiting for it would be in vain.
    pub goes_on: bool,
}

impl FetchPlan {
    /// Nothing, because of an error.
    #[must_use]
    pub fn failed(error: ErrorCode) -> Self {
        Self {
            error,
            high_watermark: Offset(-1),
            last_stable: Offset(-1),
            log_start: Offset(-1),
            diverging: None,
            slices: Vec::new(),
            bytes: 0,
            goes_on: false,
        }
    }

    /// Whether it must be answered at once, whatever else there is to read (Kafka's `DelayedFetch.tryComplete`, also where
    /// it reads an older segment).
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        self.error != ErrorCode::None || self.diverging.is_some() || self.goes_on
    }
}

/// Plans all parts without waiting; `None` when a part needs an index that is not in memory.
pub fn try_plan(
    shard: &Shard,
    parts: &[FetchPart],
    bytes_max: usize,
    watch: Option<WatchRequest>,
) -> Option<Vec<FetchPlan>> {
    let mut budget = Budget::new(bytes_max);
    let mut plans = Vec::with_capacity(parts.len());
    for part in parts {
        let plan = match begin(shard, part, &budget) {
            Err(plan) => plan,
            Ok((store, log, range)) => match store.try_plan_read(log, &range) {
                Ok(Planned::Ready(read)) => finish(Ok(read)),
                Ok(Planned::NeedsDisk) => return None,
                Err(error) => finish(Err(error)),
            },
        };
        budget.spend(plan.bytes);
        plans.push(plan);
    }
    watch_if_short(shard, parts, bytes_max, &plans, watch);
    Some(plans)
}

/// Plans all parts, loading indexes from disk where it must.
pub async fn plan(
    shard: &Rc<Shard>,
    parts: &[FetchPart],
    bytes_max: usize,
    watch: Option<WatchRequest>,
) -> Vec<FetchPlan> {
    if let Some(plans) = try_plan(shard, parts, bytes_max, watch) {
        return plans;
    }
    let mut budget = Budget::new(bytes_max);
    let mut plans = Vec::with_capacity(parts.len());
    for part in parts {
        let plan = match begin(shard, part, &budget) {
            Err(plan) => plan,
            Ok((store, log, range)) => finish(store.plan_read(log, range).await),
        };
        budget.spend(plan.bytes);
        plans.push(plan);
    }
    watch_if_short(shard, parts, bytes_max, &plans, watch);
    plans
}

/// Bytes left for a request; the first batch of its first partition with records is let through whatever its size.
struct Budget {
    left: usize,
    spent: bool,
}

impl Budget {
    fn new(bytes_max: usize) -> Self {
        Self { left: bytes_max, spent: false }
    }

    fn spend(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
        self.spent |= bytes > 0;
    }
}

fn begin(shard: &Shard, part: &FetchPart, budget: &Budget) -> Result<(Store, LogId, ReadRange), FetchPlan> {
    let partitions = shard.partitions.borrow();
    let partition =
        partitions.get(part.partition).ok_or_else(|| FetchPlan::failed(ErrorCode::NotLeaderOrFollower))?;
    partition.check_epoch(part.current_leader_epoch).map_err(FetchPlan::failed)?;
    let store = &shard.stores[partition.store];
    if let Some(diverging) = diverging_end(store, partition, part) {
        if diverging.1 < Offset(0) {
            // An epoch that is not known here: there is nothing to truncate to (Kafka's `Partition.readRecords`).
            return Err(FetchPlan::failed(ErrorCode::OffsetOutOfRange));
        }
        let bounds =
            store.bounds(partition.log).map_err(|_| FetchPlan::failed(ErrorCode::NotLeaderOrFollower))?;
        return Err(FetchPlan {
            error: ErrorCode::None,
            high_watermark: bounds.high_watermark,
            last_stable: bounds.last_stable,
            log_start: bounds.log_start,
            diverging: Some(diverging),
            slices: Vec::new(),
            bytes: 0,
            goes_on: false,
        });
    }
    let range = ReadRange {
        start: part.offset,
        bytes_max: part.bytes_max.min(budget.left),
        min_one_batch: !budget.spent,
        upto: if part.read_committed { ReadLimit::LastStable } else { ReadLimit::HighWatermark },
    };
    Ok((store.clone(), partition.log, range))
}

/// Where the log of a client that has read up to `part.offset` under `last_fetched_epoch` departs from ours, if it does
/// (Kafka's `Partition.readRecords`).
fn diverging_end(store: &Store, partition: &Partition, part: &FetchPart) -> Option<(LeaderEpoch, Offset)> {
    if part.last_fetched_epoch == LeaderEpoch::NONE {
        return None;
    }
    let ours = store.end_offset_for_epoch(partition.log, part.last_fetched_epoch).ok()?;
    (ours.epoch < part.last_fetched_epoch || ours.end < part.offset).then_some((ours.epoch, ours.end))
}

fn finish(read: Result<ReadPlan, ReadError>) -> FetchPlan {
    match read {
        Ok(read) => FetchPlan {
            error: ErrorCode::None,
            high_watermark: read.bounds.high_watermark,
            last_stable: read.bounds.last_stable,
            log_start: read.bounds.log_start,
            diverging: None,
            slices: read.slices,
            bytes: read.bytes,
            goes_on: read.goes_on,
        },
        Err(error) => FetchPlan::failed(read_error_code(&error)),
    }
}

/// The code of a read's failure: the one mapping to the wire.
#[must_use]
pub fn read_error_code(error: &ReadError) -> ErrorCode {
    match error {
        ReadError::NoSuchLog => ErrorCode::NotLeaderOrFollower,
        ReadError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        ReadError::Storage(error) => {
            tracing::warn!(%error, "a log can't be read");
            ErrorCode::KafkaStorageError
        }
    }
}

/// When there is too little to answer: has every partition of the request tell the waiting fetch once, when it changes.
fn watch_if_short(
    shard: &Shard,
    parts: &[FetchPart],
    bytes_max: usize,
    plans: &[FetchPlan],
    watch: Option<WatchRequest>,
) {
    let Some(watch) = watch else { return };
    let bytes: usize = plans.iter().map(|plan| plan.bytes).sum();
    if bytes >= watch.bytes_min || plans.iter().any(FetchPlan::is_urgent) {
        return;
    }
    let WatchRequest { shard: core, token, until, .. } = watch;
    let parts = parts.to_vec();
    let watch = Rc::new(Watch { shard: core, token, until, parts, bytes_max, told: Cell::new(false) });
    let mut partitions = shard.partitions.borrow_mut();
    for part in &watch.parts {
        if let Some(partition) = partitions.get_mut(part.partition) {
            partition.watch(watch.clone());
        }
    }
}
