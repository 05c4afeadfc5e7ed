//! Appending a client's batches on the owner core, and who waits for them.

use slipring_protocol::batch::CheckedBatch;
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::ids::{Offset, TimestampMs, TopicIdPartition};
use slipring_storage::error::AppendError;
use slipring_storage::log::Append;
use slipring_storage::producer_state::{Origin, ProducerError};

use crate::runtime;
use crate::runtime::mailbox::ShardId;
use crate::shard::Shard;
use crate::shard::message::Token;

/// Outcome of one partition's part of a produce request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Produced {
    /// `None` or why nothing was appended.
    pub error: ErrorCode,
    /// Offset of the first record; -1 with an error.
    pub base_offset: Offset,
    /// The time that LogAppendTime stamped, or the largest timestamp of a duplicate's original; -1 otherwise.
    pub log_append_time: TimestampMs,
    /// Start of the log; -1 with most errors.
    pub log_start: Offset,
    /// What to tell the client's operator.
    pub message: Option<String>,
    /// Which records were refused, by index in the batch.
    pub record_errors: Vec<(i32, Option<String>)>,
}

impl Produced {
    /// A refusal.
    #[must_use]
    pub fn refused(error: ErrorCode, message: Option<String>) -> Self {
        Self {
            error,
            base_offset: Offset(-1),
            log_append_time: TimestampMs(-1),
            log_start: Offset(-1),
            message,
            record_errors: Vec::new(),
        }
    }
}

/// A part of a produce request that waits for the commit of its records.
#[derive(Clone, Copy, Debug)]
pub struct Waiter {
    /// Answered once this offset may be acknowledged.
    pub last_offset: Offset,
    /// The core of the connection.
    pub shard: ShardId,
    /// The request there.
    pub request: Token,
    /// Which of its partitions.
    pub part: u32,
    /// For the answer.
    pub base_offset: Offset,
    /// For the answer.
    pub log_append_time: TimestampMs,
}

/// Who is to hear of an append.
#[derive(Clone, Copy, Debug)]
pub struct Requester {
    /// The core of the connection.
    pub shard: ShardId,
    /// The request there.
    pub request: Token,
    /// Which of its partitions.
    pub part: u32,
}

/// What became of a batch handed to its owner core.
#[derive(Debug)]
pub enum Outcome {
    /// To be answered at once: a refusal, or a duplicate whose original is durable already.
    Now(Produced),
    /// Staged: the requester, if there is one, hears of it after the commit.
    Staged,
    /// The store has no room: wait for it and try again.
    Busy,
}

/// Appends a batch to a partition of this core.
pub fn append(
    shard: &Shard,
    id: TopicIdPartition,
    batch: &CheckedBatch,
    requester: Option<Requester>,
) -> Outcome {
    let mut partitions = shard.partitions.borrow_mut();
    let Some(partition) = partitions.get_mut(id) else {
        return Outcome::Now(Produced::refused(ErrorCode::NotLeaderOrFollower, None));
    };
    let store = &shard.stores[partition.store];
    let append = Append {
        batch: batch.bytes(),
        header: batch.header(),
        leader_epoch: partition.leader_epoch,
        origin: Origin::Client,
        now: runtime::wall_clock(),
    };
    let appended = match store.append(partition.log, &append) {
        Ok(appended) => appended,
        Err(AppendError::Busy) => return Outcome::Busy,
        Err(error) => {
            let log_start = store.bounds(partition.log).map_or(Offset(-1), |bounds| bounds.log_start);
            return Outcome::Now(refusal(&error, log_start));
        }
    };
    shard.metrics.appended(&partition.topic, batch.header(), appended.duplicate.is_some());
    let produced = Produced {
        error: ErrorCode::None,
        base_offset: appended.base_offset,
        // Kafka tells the original's time as if it were one of appending, whoever set it.
        log_append_time: appended.duplicate.unwrap_or_else(|| batch.log_append_time()),
        log_start: appended.log_start,
        message: None,
        record_errors: Vec::new(),
    };
    let acknowledged =
        store.bounds(partition.log).is_ok_and(|bounds| appended.last_offset < bounds.acknowledged_end);
    if appended.duplicate.is_some() && acknowledged {
        return Outcome::Now(produced);
    }
    if let Some(requester) = requester {
        partition.wait(Waiter {
            last_offset: appended.last_offset,
            shard: requester.shard,
            request: requester.request,
            part: requester.part,
            base_offset: produced.base_offset,
            log_append_time: produced.log_append_time,
        });
    }
    Outcome::Staged
}

/// The code of an append's failure: the one mapping to the wire.
fn append_error_code(error: &AppendError) -> ErrorCode {
    match error {
        AppendError::NoSuchLog => ErrorCode::NotLeaderOrFollower,
        AppendError::Storage(_) => ErrorCode::KafkaStorageError,
        AppendError::Producer(ProducerError::OutOfOrderSequence { .. }) => {
            ErrorCode::OutOfOrderSequenceNumber
        }
        AppendError::Producer(ProducerError::InvalidProducerEpoch { .. }) => ErrorCode::InvalidProducerEpoch,
        AppendError::Producer(ProducerError::InvalidTxnState(_)) => ErrorCode::InvalidTxnState,
        AppendError::Producer(ProducerError::TransactionCoordinatorFenced { .. }) => {
            ErrorCode::TransactionCoordinatorFenced
        }
        AppendError::TooLarge { .. } => ErrorCode::RecordListTooLarge,
        // Waited out before, and only of appends that are not a client's.
        AppendError::Busy | AppendError::OutOfOrderOffsets { .. } | AppendError::BadBatch => {
            ErrorCode::UnknownServerError
        }
    }
}

/// An append's failure as the client hears of it.
fn refusal(error: &AppendError, log_start: Offset) -> Produced {
    let code = append_error_code(error);
    Produced { log_start, ..Produced::refused(code, Some(error.to_string())) }
}
