//! What the tests of the log engine share: a broker's worth of stores on a simulated disk, batches, reading back.

#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use slipring_protocol::batch::{BatchBuilder, BatchHeader, Batches, crc_ok};
use slipring_protocol::ids::{
    BrokerId, LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId, Sequence, TimestampMs, TopicId,
    TopicIdPartition,
};
use slipring_storage::checkpoint::load_partition_metadata;
use slipring_storage::directory::{DataDirectory, Expectation};
use slipring_storage::disk::{BufPool, Disk};
use slipring_storage::error::{AppendError, ReadError, StorageError};
use slipring_storage::log::{Append, Appended, LogConfig};
use slipring_storage::producer_state::Origin;
use slipring_storage::read::{ReadLimit, ReadRange, ReadSlice, read_range};
use slipring_storage::recovery::{DirectoryRecovery, recover_directory};
use slipring_storage::store::{LogId, LogOpenReport, NewLog, Store, StoreConfig};
use uuid::Uuid;

pub mod chance;
pub mod workload;

pub const ROOT: &str = "/data";
/// So many names there are: topic `n` and topic `n + NAMES` share one.
pub const NAMES: u32 = 100;

pub fn root() -> PathBuf {
    Path::new(ROOT).to_path_buf()
}

/// Topic number `topic`, partition 0.
pub fn log_of(topic: u32) -> TopicIdPartition {
    TopicIdPartition {
        topic_id: TopicId(Uuid::from_u128(1000 + u128::from(topic))),
        partition: PartitionIndex(0),
    }
}

pub fn topic_name(topic: u32) -> Arc<str> {
    Arc::from(format!("t{}", topic % NAMES))
}

pub fn new_log(topic: u32, config: LogConfig, epoch: i32) -> NewLog {
    NewLog { id: log_of(topic), topic: topic_name(topic), config, leader_epoch: LeaderEpoch(epoch) }
}

pub fn expectation() -> Expectation {
    Expectation {
        cluster_id: None,
        node_id: BrokerId(1),
        new_cluster_id: "AAAAAAAAAAAAAAAAAAAAAg".to_owned(),
        new_directory_id: Uuid::from_u128(77),
    }
}

pub async fn open_directory(
    disk: &Disk,
    root: &Path,
) -> Result<(Arc<DataDirectory>, DirectoryRecovery), String> {
    let directory =
        DataDirectory::open(disk, root, &expectation()).await.map_err(|error| error.to_string())?;
    let recovery = recover_directory(disk, &directory).await.map_err(|error| error.to_string())?;
    Ok((Arc::new(directory), recovery))
}

/// The topic id that the directory of this topic's name carries.
pub async fn owner(disk: &Disk, topic: u32) -> Option<TopicId> {
    let path = root().join(format!("{}-0", topic_name(topic))).join("partition.metadata");
    load_partition_metadata(disk, &path).await.ok().flatten()
}

/// One batch whose records say which number they have.
pub fn batch(first: u64, records: u32, value_bytes: usize) -> Vec<u8> {
    batch_of(first, records, value_bytes, None)
}

pub fn batch_of(
    first: u64,
    records: u32,
    value_bytes: usize,
    producer: Option<(ProducerId, ProducerEpoch, Sequence)>,
) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    if let Some((id, epoch, sequence)) = producer {
        builder.producer(id, epoch, sequence);
    }
    for record in 0..records {
        let number = first + u64::from(record);
        let mut value = number.to_be_bytes().to_vec();
        value.extend((0..value_bytes).map(|at| (number as usize * 31 + at) as u8));
        builder.append(TimestampMs(1_000_000 + number as i64), None, Some(&value));
    }
    builder.build()
}

pub fn append(store: &Store, id: LogId, batch: &[u8], epoch: i32) -> Result<Appended, AppendError> {
    append_at(store, id, batch, epoch, TimestampMs(1_000_000))
}

pub fn append_at(
    store: &Store,
    id: LogId,
    batch: &[u8],
    epoch: i32,
    now: TimestampMs,
) -> Result<Appended, AppendError> {
    let header = BatchHeader::parse(batch).unwrap();
    store.append(
        id,
        &Append { batch, header: &header, leader_epoch: LeaderEpoch(epoch), origin: Origin::Client, now },
    )
}

/// Reads a whole log batch by batch: offset and batch bytes with offset and epoch as stored. Checks that offsets are dense
/// and checksums right.
pub async fn read_all(
    disk: &Disk,
    store: &Store,
    id: LogId,
    upto: ReadLimit,
) -> Result<Vec<Vec<u8>>, ReadError> {
    let start = store.bounds(id).unwrap().log_start;
    read_from(disk, store, id, start, upto, 10_000).await
}

pub async fn read_from(
    disk: &Disk,
    store: &Store,
    id: LogId,
    start: Offset,
    upto: ReadLimit,
    bytes_max: usize,
) -> Result<Vec<Vec<u8>>, ReadError> {
    let mut batches = Vec::new();
    let mut next = start;
    loop {
        let range = ReadRange { start: next, bytes_max, min_one_batch: true, upto };
        let bytes = read_once(disk, store, id, range).await?;
        if bytes.is_empty() {
            return Ok(batches);
        }
        for batch in Batches::new(&bytes) {
            let batch = batch.unwrap();
            assert!(crc_ok(batch.bytes), "a stored batch keeps its checksum");
            assert!(batch.header.last_offset() >= next, "what comes before the start is cut off");
            if batch.header.base_offset > start {
                assert_eq!(batch.header.base_offset, next, "offsets are dense");
            }
            next = batch.header.next_offset();
            batches.push(batch.bytes.to_vec());
        }
        let whole: usize = Batches::new(&bytes).map(|batch| batch.unwrap().bytes.len()).sum();
        assert_eq!(whole, bytes.len(), "only whole batches come back");
    }
}

pub async fn read_once(
    disk: &Disk,
    store: &Store,
    id: LogId,
    range: ReadRange,
) -> Result<Vec<u8>, ReadError> {
    let plan = store.plan_read(id, range).await?;
    let pool = BufPool::new(0);
    let mut bytes = Vec::new();
    for slice in &plan.slices {
        match slice {
            ReadSlice::Memory(slice) => bytes.extend_from_slice(slice),
            ReadSlice::File(range) => {
                for slice in read_range(disk, &pool, range).await?.slices {
                    bytes.extend_from_slice(&slice);
                }
            }
        }
    }
    Ok(bytes)
}

/// One run of a broker's storage: a directory and its stores.
pub struct Run {
    pub disk: Disk,
    pub directory: Arc<DataDirectory>,
    pub recovery: DirectoryRecovery,
    pub stores: Vec<Store>,
    pub logs: BTreeMap<u32, (usize, LogId)>,
}

impl Run {
    pub async fn start(disk: &Disk, cores: u32, config: StoreConfig) -> Result<Run, String> {
        let (directory, recovery) = open_directory(disk, &root()).await?;
        let mut stores = Vec::new();
        for core in 0..cores {
            let store = Store::open(disk.clone(), Arc::clone(&directory), core, config).await;
            stores.push(store.map_err(|error| error.to_string())?);
        }
        Ok(Run { disk: disk.clone(), directory, recovery, stores, logs: BTreeMap::new() })
    }

    pub fn place(&self, topic: u32) -> usize {
        topic as usize % self.stores.len()
    }

    pub async fn create(&mut self, topic: u32, config: LogConfig) -> Result<LogId, StorageError> {
        let place = self.place(topic);
        let id = self.stores[place].create_log(new_log(topic, config, 0)).await?;
        self.logs.insert(topic, (place, id));
        Ok(id)
    }

    pub async fn open(
        &mut self,
        topic: u32,
        config: LogConfig,
        epoch: i32,
    ) -> Result<LogOpenReport, StorageError> {
        self.open_at(topic, config, epoch, TimestampMs(0)).await
    }

    pub async fn open_at(
        &mut self,
        topic: u32,
        config: LogConfig,
        epoch: i32,
        now: TimestampMs,
    ) -> Result<LogOpenReport, StorageError> {
        let place = self.place(topic);
        let new = new_log(topic, config, epoch);
        let (id, report) = self.stores[place].open_log(new, &self.recovery, now).await?;
        self.logs.insert(topic, (place, id));
        Ok(report)
    }

    pub fn store(&self, topic: u32) -> (&Store, LogId) {
        let (place, id) = self.logs[&topic];
        (&self.stores[place], id)
    }

    pub async fn commit_all(&self) {
        for store in &self.stores {
            while store.has_staged() {
                store.commit().await;
                store.background(0).await;
            }
        }
    }

    pub async fn background(&self, now_ms: u64) {
        for store in &self.stores {
            for _ in 0..8 {
                if store.background(now_ms).await != Some(std::time::Duration::ZERO) {
                    break;
                }
            }
        }
    }

    pub async fn close(self) -> Result<(), String> {
        for store in &self.stores {
            store.close().await.map_err(|error| error.to_string())?;
        }
        self.directory.mark_clean(&self.disk, 1).await.map_err(|error| error.to_string())
    }

    pub async fn read(&self, topic: u32) -> Result<Vec<Vec<u8>>, ReadError> {
        let (store, id) = self.store(topic);
        read_all(&self.disk, store, id, ReadLimit::HighWatermark).await
    }
}
