//! `__cluster_metadata-0` on shard 0: KRaft's record batches in Kafka's format, always flushed. A single node is a quorum of
//! one: it leads under a new epoch from every start on, which it writes down (`quorum-state`) before it uses it.

use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use slipring_protocol::batch::{
    BATCH_HEADER_SIZE, BatchBuilder, BatchHeader, ControlRecord, LeaderChange, Records,
};
use slipring_protocol::ids::{BrokerId, LeaderEpoch, Offset};
use slipring_protocol::metadata_records::{MetadataRecord, MetadataRecordError};
use slipring_storage::error::{AppendError, StorageError};
use slipring_storage::log::Append;
use slipring_storage::producer_state::Origin;
use slipring_storage::store::{LogId, Store};

use crate::partition::replay::{ReplayError, read_all};
use crate::runtime;
use crate::shard::Shard;

/// Name of the metadata topic.
pub const TOPIC: &str = "__cluster_metadata";
/// Records of one batch, as in Kafka (`KafkaRaftClient.MAX_BATCH_SIZE_BYTES` bounds it in bytes).
const RECORDS_PER_BATCH_MAX: usize = 1_000;

/// The metadata log, led by this node.
pub struct MetadataLog {
    store: Store,
    log: LogId,
    epoch: LeaderEpoch,
    state_path: PathBuf,
}

/// Why the metadata log can't go on.
#[derive(Debug, thiserror::Error)]
pub enum MetadataLogError {
    /// The log's storage failed.
    #[error("the metadata log failed: {0}")]
    Storage(#[from] StorageError),
    /// A record was refused.
    #[error("the metadata log refused a record: {0}")]
    Append(#[from] AppendError),
    /// The log could not be read.
    #[error("the metadata log can't be read: {0}")]
    Read(#[from] ReplayError),
    /// A record makes no sense.
    #[error("the metadata log holds a record that can't be read at offset {offset}: {error}")]
    Record {
        /// Which.
        offset: Offset,
        /// Why.
        error: MetadataRecordError,
    },
    /// The epoch could not be kept.
    #[error("quorum-state can't be kept: {0}")]
    State(io::Error),
}

impl MetadataLog {
    /// Takes the lead of an open log: under a higher epoch than any before, made durable first.
    ///
    /// # Errors
    /// When the epoch can't be kept or the first batch of the reign not be written.
    pub async fn lead(
        shard: &Rc<Shard>,
        store: Store,
        log: LogId,
        state_path: PathBuf,
        node: BrokerId,
    ) -> Result<Self, MetadataLogError> {
        let kept = read_state(shard, &state_path).await?;
        let epoch = LeaderEpoch(kept.max(store.bounds(log)?.leader_epoch.0) + 1);
        let state = quorum_state(node, epoch);
        shard.disk.replace_whole(&state_path, state.into_bytes()).await.map_err(MetadataLogError::State)?;
        store.set_leader_epoch(log, epoch);
        let led = Self { store, log, epoch, state_path };
        let change = LeaderChange { leader: node, voters: vec![node], granting_voters: vec![node] };
        let mut batch = BatchBuilder::new();
        batch.append_control(runtime::wall_clock(), &ControlRecord::LeaderChange(change));
        let last = led.stage(shard, &mut batch).await?;
        led.durable(shard, last).await?;
        Ok(led)
    }

    /// The reign.
    #[must_use]
    pub fn epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    /// The offset that the next record gets.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.store.bounds(self.log).map_or(Offset(0), |bounds| bounds.log_end)
    }

    /// Where the epoch is kept.
    #[must_use]
    pub fn state_path(&self) -> &PathBuf {
        &self.state_path
    }

    /// Appends records and waits until they are durable; gives the offset of the last one. `atomic` ones take effect
    /// together or not at all: they are one batch.
    ///
    /// # Errors
    /// When they can't be made durable: this node can't lead the metadata any longer.
    pub async fn append(
        &self,
        shard: &Rc<Shard>,
        records: &[MetadataRecord],
        atomic: bool,
    ) -> Result<Offset, MetadataLogError> {
        let per_batch = if atomic { records.len().max(1) } else { RECORDS_PER_BATCH_MAX };
        let mut last = Offset(self.end().0 - 1);
        for records in records.chunks(per_batch) {
            let mut batch = BatchBuilder::new();
            let now = runtime::wall_clock();
            for record in records {
                batch.append(now, None, Some(&record.to_bytes()));
            }
            last = self.stage(shard, &mut batch).await?;
        }
        self.durable(shard, last).await?;
        Ok(last)
    }

    /// Stages a batch; waits while the store has no room, as a client's produce does.
    async fn stage(&self, shard: &Rc<Shard>, batch: &mut BatchBuilder) -> Result<Offset, MetadataLogError> {
        batch.leader_epoch(self.epoch);
        let bytes = batch.build();
        let header = BatchHeader::parse(&bytes).expect("built a line above");
        let append = Append {
            batch: &bytes,
            header: &header,
            leader_epoch: self.epoch,
            origin: Origin::RaftLeader,
            now: runtime::wall_clock(),
        };
        loop {
            match self.store.append(self.log, &append) {
                Ok(appended) => return Ok(appended.last_offset),
                Err(AppendError::Busy) => {
                    shard.end_turn();
                    self.store.wait_for_room().await;
                    runtime::yield_if_needed().await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn durable(&self, shard: &Rc<Shard>, last: Offset) -> Result<(), MetadataLogError> {
        shard.end_turn();
        let settled = || {
            let acknowledged = self.store.bounds(self.log).is_ok_and(|bounds| bounds.acknowledged_end > last);
            acknowledged || self.store.fence_of(self.log).is_some()
        };
        shard.committed.wait_until(settled).await;
        match self.store.fence_of(self.log) {
            None => Ok(()),
            Some(cause) => Err(StorageError::Fenced(cause).into()),
        }
    }
}

/// Reads all records of an open metadata log, handing each to `replay` with its offset and epoch.
///
/// # Errors
/// When the log can't be read, or holds what is no metadata.
pub async fn replay(
    shard: &Rc<Shard>,
    store: &Store,
    log: LogId,
    mut replay: impl FnMut(Offset, LeaderEpoch, MetadataRecord),
) -> Result<(), MetadataLogError> {
    read_all(shard, store, log, |header, bytes| replay_batch(header, bytes, &mut replay)).await
}

fn replay_batch(
    header: &BatchHeader,
    bytes: &[u8],
    replay: &mut impl FnMut(Offset, LeaderEpoch, MetadataRecord),
) -> Result<(), MetadataLogError> {
    if header.is_control() {
        return Ok(());
    }
    for record in Records::new(&bytes[BATCH_HEADER_SIZE..], header.record_count) {
        let record = record.map_err(|_| ReplayError::Batch(header.base_offset))?;
        let offset = header.base_offset.plus(i64::from(record.offset_delta));
        let record = MetadataRecord::decode(record.value.unwrap_or_default())
            .map_err(|error| MetadataLogError::Record { offset, error })?;
        replay(offset, header.leader_epoch, record);
    }
    Ok(())
}

/// The epoch that was kept last; 0 when there is none.
async fn read_state(shard: &Rc<Shard>, path: &std::path::Path) -> Result<i32, MetadataLogError> {
    let bytes = match shard.disk.read_whole(path).await {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(MetadataLogError::State(error)),
    };
    let damaged =
        || MetadataLogError::State(io::Error::new(io::ErrorKind::InvalidData, "damaged quorum-state"));
    let state: QuorumState = serde_json::from_slice(&bytes).map_err(|_| damaged())?;
    Ok(state.leader_epoch)
}

fn quorum_state(node: BrokerId, epoch: LeaderEpoch) -> String {
    let state = QuorumState {
        cluster_id: String::new(),
        leader_id: node.0,
        leader_epoch: epoch.0,
        voted_id: -1,
        applied_offset: 0,
        current_voters: vec![StateVoter { voter_id: node.0 }],
        data_version: 0,
    };
    serde_json::to_string(&state).expect("plain fields serialise")
}

/// Kafka's `quorum-state` file (`QuorumStateData`, version 0).
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct QuorumState {
    #[serde(default)]
    cluster_id: String,
    leader_id: i32,
    leader_epoch: i32,
    voted_id: i32,
    #[serde(default)]
    applied_offset: i64,
    #[serde(default)]
    current_voters: Vec<StateVoter>,
    #[serde(rename = "data_version")]
    data_version: i16,
}

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct StateVoter {
    voter_id: i32,
}
