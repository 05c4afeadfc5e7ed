//! DeleteRecords on the owner core: the log start moves up, durably, before the answer.

use std::rc::Rc;

use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::ids::{Offset, TopicIdPartition};
use slipring_storage::store::DeleteRecordsError;

use crate::shard::Shard;

/// One partition of a DeleteRecords request.
#[derive(Clone, Copy, Debug)]
pub struct DeleteRecordsQuery {
    /// Which partition.
    pub partition: TopicIdPartition,
    /// Records before this offset go; -1 for all that are committed.
    pub before: Offset,
}

/// Its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeleteRecordsAnswer {
    /// `None` or why nothing was deleted.
    pub error: ErrorCode,
    /// Where the log starts now on every replica; -1 with an error.
    pub low_watermark: Offset,
}

impl DeleteRecordsAnswer {
    fn failed(error: ErrorCode) -> Self {
        Self { error, low_watermark: Offset(-1) }
    }
}

/// Answers queries for partitions of this core, in order; one write of the checkpoint per data directory.
pub async fn delete_all(shard: &Rc<Shard>, queries: Vec<DeleteRecordsQuery>) -> Vec<DeleteRecordsAnswer> {
    let mut answers = vec![DeleteRecordsAnswer::failed(ErrorCode::NotLeaderOrFollower); queries.len()];
    for (index, store) in shard.stores.iter().enumerate() {
        let (places, wanted): (Vec<_>, Vec<_>) = {
            let partitions = shard.partitions.borrow();
            let here = queries.iter().enumerate().filter_map(|(place, query)| {
                let partition = partitions.get(query.partition)?;
                (partition.store == index).then_some((place, (partition.log, query.before)))
            });
            here.unzip()
        };
        if wanted.is_empty() {
            continue;
        }
        for (place, deleted) in places.into_iter().zip(store.delete_records(&wanted).await) {
            answers[place] = match deleted {
                Ok(start) => DeleteRecordsAnswer { error: ErrorCode::None, low_watermark: start },
                Err(error) => DeleteRecordsAnswer::failed(error_code(&error)),
            };
        }
    }
    answers
}

fn error_code(error: &DeleteRecordsError) -> ErrorCode {
    match error {
        DeleteRecordsError::NoSuchLog => ErrorCode::NotLeaderOrFollower,
        DeleteRecordsError::OutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        DeleteRecordsError::Storage(error) => {
            tracing::warn!(%error, "records can't be deleted");
            ErrorCode::KafkaStorageError
        }
    }
}
