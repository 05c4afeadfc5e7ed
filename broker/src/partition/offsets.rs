//! ListOffsets and OffsetForLeaderEpoch on the owner core.

use std::rc::Rc;

use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::ids::{LeaderEpoch, Offset, TimestampMs, TopicIdPartition};

use super::fetch::read_error_code;
use crate::shard::Shard;

/// One partition of a ListOffsets request.
#[derive(Clone, Copy, Debug)]
pub struct OffsetQuery {
    /// Which partition.
    pub partition: TopicIdPartition,
    /// The epoch that the client believes in; -1 for none.
    pub current_leader_epoch: LeaderEpoch,
    /// A time, or one of the special values below zero.
    pub timestamp: TimestampMs,
    /// Stop at the last stable offset.
    pub read_committed: bool,
}

impl OffsetQuery {
    /// The high watermark, asked for by this broker itself.
    #[must_use]
    pub const fn end_of(partition: TopicIdPartition) -> Self {
        Self {
            partition,
            current_leader_epoch: LeaderEpoch::NONE,
            timestamp: TimestampMs(special::LATEST),
            read_committed: false,
        }
    }
}

/// Its answer; offset and timestamp are -1 when there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetAnswer {
    /// `None` or why there is no answer.
    pub error: ErrorCode,
    /// Timestamp of the record found; -1 for the special values that name a bound.
    pub timestamp: TimestampMs,
    /// The offset found.
    pub offset: Offset,
    /// Epoch of the record at the offset; -1 when unknown.
    pub leader_epoch: LeaderEpoch,
}

/// One partition of an OffsetForLeaderEpoch request.
#[derive(Clone, Copy, Debug)]
pub struct EpochEndQuery {
    /// Which partition.
    pub partition: TopicIdPartition,
    /// The epoch that the client believes in; -1 for none.
    pub current_leader_epoch: LeaderEpoch,
    /// The epoch whose end is asked for.
    pub leader_epoch: LeaderEpoch,
}

/// Its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEndAnswer {
    /// `None` or why there is no answer.
    pub error: ErrorCode,
    /// The largest epoch at or below the one asked for; -1 when there is none.
    pub leader_epoch: LeaderEpoch,
    /// Its end offset; -1 when there is none.
    pub end_offset: Offset,
}

/// Special timestamps of ListOffsets (Kafka's `ListOffsetsRequest`).
mod special {
    /// The high watermark, or the last stable offset.
    pub(super) const LATEST: i64 = -1;
    /// The start of the log.
    pub(super) const EARLIEST: i64 = -2;
    /// The record with the largest timestamp (KIP-734).
    pub(super) const MAX_TIMESTAMP: i64 = -3;
    /// The first offset on local disk (KIP-405).
    pub(super) const EARLIEST_LOCAL: i64 = -4;
    /// The last offset in tiered storage (KIP-1005).
    pub(super) const LATEST_TIERED: i64 = -5;
    /// The first offset that waits for its upload (KIP-1023).
    pub(super) const EARLIEST_PENDING_UPLOAD: i64 = -6;
}

/// Answers queries for partitions of this core, in order. Look-ups by time may read segments.
pub async fn answer_all(shard: &Rc<Shard>, queries: Vec<OffsetQuery>) -> Vec<OffsetAnswer> {
    let mut answers = Vec::with_capacity(queries.len());
    for query in queries {
        answers.push(
            answer(shard, query).await.unwrap_or_else(|error| OffsetAnswer { error, ..OffsetAnswer::NONE }),
        );
        crate::runtime::yield_if_needed().await;
    }
    answers
}

impl OffsetAnswer {
    const NONE: Self = Self {
        error: ErrorCode::None,
        timestamp: TimestampMs(-1),
        offset: Offset(-1),
        leader_epoch: LeaderEpoch::NONE,
    };
}

async fn answer(shard: &Rc<Shard>, query: OffsetQuery) -> Result<OffsetAnswer, ErrorCode> {
    let (store, log) = {
        let partitions = shard.partitions.borrow();
        let partition = partitions.get(query.partition).ok_or(ErrorCode::NotLeaderOrFollower)?;
        partition.check_epoch(query.current_leader_epoch)?;
        (shard.stores[partition.store].clone(), partition.log)
    };
    let bounds = store.bounds(log).map_err(|_| ErrorCode::NotLeaderOrFollower)?;
    let end = if query.read_committed { bounds.last_stable } else { bounds.high_watermark };
    let epoch_at = |offset| store.epoch_for_offset(log, offset).ok().flatten().unwrap_or(LeaderEpoch::NONE);
    let at_bound =
        |offset: Offset| OffsetAnswer { offset, leader_epoch: epoch_at(offset), ..OffsetAnswer::NONE };
    let found = match query.timestamp.0 {
        special::LATEST => return Ok(OffsetAnswer { leader_epoch: bounds.leader_epoch, ..at_bound(end) }),
        special::EARLIEST | special::EARLIEST_LOCAL => return Ok(at_bound(bounds.log_start)),
        // Nothing is tiered.
        special::LATEST_TIERED | special::EARLIEST_PENDING_UPLOAD => return Ok(OffsetAnswer::NONE),
        special::MAX_TIMESTAMP => store.offset_of_max_timestamp(log).await,
        _ => store.offset_for_timestamp(log, query.timestamp).await,
    };
    let found = found.map_err(|error| {
        tracing::warn!(partition = %query.partition, %error, "look-up by time failed");
        read_error_code(&error)
    })?;
    Ok(found.filter(|found| found.offset < end).map_or(OffsetAnswer::NONE, |found| OffsetAnswer {
        error: ErrorCode::None,
        timestamp: found.timestamp,
        offset: found.offset,
        leader_epoch: epoch_at(found.offset),
    }))
}

/// Answers an OffsetForLeaderEpoch query for a partition of this core.
pub fn epoch_end(shard: &Shard, query: &EpochEndQuery) -> EpochEndAnswer {
    let failed = |error| EpochEndAnswer { error, leader_epoch: LeaderEpoch::NONE, end_offset: Offset(-1) };
    let partitions = shard.partitions.borrow();
    let Some(partition) = partitions.get(query.partition) else {
        return failed(ErrorCode::NotLeaderOrFollower);
    };
    if let Err(error) = partition.check_epoch(query.current_leader_epoch) {
        return failed(error);
    }
    match shard.stores[partition.store].end_offset_for_epoch(partition.log, query.leader_epoch) {
        Ok(end) => EpochEndAnswer { error: ErrorCode::None, leader_epoch: end.epoch, end_offset: end.end },
        Err(_) => failed(ErrorCode::NotLeaderOrFollower),
    }
}
