//! The controller's start on shard 0: open the metadata log, replay it, take the lead, register this broker, publish the first
//! view (from then on every shard serves its partitions), and unfence.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use slipring_machine::controller::{
    ActivateController, BrokerRef, Command, Controller, ControllerConfig, RegisterBroker, Reply,
};
use slipring_machine::image::{DirectoryId, ImageDelta, MetadataImage};
use slipring_protocol::ids::{LeaderEpoch, Offset, PartitionIndex, TopicId, TopicIdPartition};
use slipring_protocol::metadata_records::{Endpoint, FeatureRange, MetadataRecord};
use slipring_storage::error::StorageError;
use slipring_storage::log::LogConfig;
use slipring_storage::store::{LogId, NewLog};

use super::host::{ControllerHost, HostError};
use super::metadata_log::{self, MetadataLog};
use super::placement::{self, Placement};
use super::strays;
use super::view::{ClusterView, Directories, GROUP_VERSION, Local, SUPPORTED_FEATURES};
use crate::net::listener::ConnectionCounts;
use crate::partition::Partition;
use crate::runtime::{self, Queue};
use crate::shard::Shard;

/// What the controller starts from.
#[derive(Clone)]
pub struct Seed {
    /// The listeners' names and the addresses they are bound to.
    pub addresses: Vec<(String, SocketAddr)>,
    /// The connections of the process, whose limits may change.
    pub connections: Arc<ConnectionCounts>,
}

/// The metadata log's one partition.
const METADATA: TopicIdPartition =
    TopicIdPartition { topic_id: TopicId::CLUSTER_METADATA, partition: PartitionIndex(0) };
/// The directory of its log.
const METADATA_DIRECTORY: &str = "__cluster_metadata-0";
/// Kafka's default of `metadata.log.segment.bytes`.
const METADATA_SEGMENT_BYTES: u64 = 1 << 30;

/// Starts the controller; when it returns, every shard serves its partitions.
///
/// # Errors
/// When the metadata log can't be opened, read or led.
pub async fn start_controller(shard: &Rc<Shard>, seed: Seed) -> Result<(), HostError> {
    let log = open_log(shard).await.map_err(metadata_log::MetadataLogError::from)?;
    let store = shard.stores[0].clone();
    let mut image = MetadataImage::empty(shard.view().cluster_id().into());
    let mut damaged = None;
    let mut removed = BTreeSet::new();
    metadata_log::replay(shard, &store, log, |offset, epoch, record| {
        if let MetadataRecord::RemoveTopic(topic) = &record {
            removed.insert(topic.id);
        }
        if damaged.is_none() {
            damaged = image.replay(&[record], offset, epoch).err();
        }
    })
    .await?;
    if let Some(error) = damaged {
        return Err(error.into());
    }
    if store.bounds(log).map_err(metadata_log::MetadataLogError::from)?.log_end == Offset(0) {
        strays::refuse_any(&shard.directories)?;
    }
    strays::clear(&shard.disk, &shard.directories, &image, &removed).await.map_err(HostError::Strays)?;
    let directory = &shard.directories[0].directory;
    let state_path = directory.partition_path(METADATA_DIRECTORY).join("quorum-state");
    let node = shard.config.node_id;
    let led = MetadataLog::lead(shard, store, log, state_path, node).await?;
    tracing::info!(epoch = led.epoch().0, records = led.end().0, "leading the metadata log");
    let controller_config = ControllerConfig {
        node_id: node,
        unclean_leader_election: shard.config.topic_defaults.unclean_leader_election,
    };
    let (placement, placement_path) = read_placement(shard).await;
    let directories =
        shard.directories.iter().map(|open| DirectoryId(open.directory.directory_id())).collect();
    let local = Local {
        started_with: shard.config.clone(),
        placement,
        directories: Directories(directories),
        connections: seed.connections.clone(),
    };
    let cluster_id: std::sync::Arc<str> = shard.view().cluster_id().into();
    let view = ClusterView::empty(MetadataImage::empty(cluster_id.clone()), shard.config.clone());
    let controller = Controller::new(controller_config, image.clone());
    let mut host = ControllerHost::new(shard.clone(), controller, led, view, local, placement_path);
    // Everything that the log says, before this start changes any of it: the logs are opened here.
    host.publish(&ImageDelta::between(&MetadataImage::empty(cluster_id), &image)).await;
    register(shard, &mut host, &seed).await?;
    let (mailbox, serving) = host.serve();
    *shard.controller.borrow_mut() = Some(mailbox);
    shard.controller_running.set(true);
    let shard = shard.clone();
    runtime::spawn(Queue::Foreground, async move {
        serving.await;
        shard.controller_running.set(false);
        shard.quiet.wake_all();
    });
    Ok(())
}

/// The metadata log is a log like any other, but for its flushing, and that no client sees it.
async fn open_log(shard: &Rc<Shard>) -> Result<LogId, StorageError> {
    let topic: std::sync::Arc<str> = metadata_log::TOPIC.into();
    let config = LogConfig { segment_bytes: METADATA_SEGMENT_BYTES, ..LogConfig::default() };
    let new = NewLog { id: METADATA, topic: topic.clone(), config, leader_epoch: LeaderEpoch(0) };
    let (store, directory) = (&shard.stores[0], &shard.directories[0]);
    let log = if directory.has_log(METADATA, &topic) {
        let (log, report) = store.open_log(new, &directory.recovered, runtime::wall_clock()).await?;
        if let Some(damage) = report.damage {
            // What comes behind is not known: topics made there would look like strays.
            return Err(damage);
        }
        log
    } else {
        store.create_log(new).await?
    };
    shard.partitions.borrow_mut().insert(Partition::new(METADATA, topic, 0, log, LeaderEpoch(0)));
    Ok(log)
}

async fn read_placement(shard: &Rc<Shard>) -> (Placement, std::path::PathBuf) {
    let path = shard.directories[0].directory.path().join(placement::FILE_NAME);
    let shards = shard.mail.shards();
    let placement = match shard.disk.read_whole(&path).await {
        Ok(bytes) => Placement::decode(&bytes, shards).unwrap_or_else(|error| {
            tracing::warn!(%error, "partitions are placed on cores anew");
            Placement::new(shards)
        }),
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(%error, "partitions are placed on cores anew");
            }
            Placement::new(shards)
        }
    };
    (placement, path)
}

/// Registers controller and broker under this process's incarnation, and unfences the broker: its partitions get it as
/// their leader under new epochs.
async fn register(shard: &Rc<Shard>, host: &mut ControllerHost, seed: &Seed) -> Result<(), HostError> {
    let config = &shard.config;
    let features: Vec<FeatureRange> = SUPPORTED_FEATURES
        .iter()
        .map(|feature| FeatureRange { name: feature.name.to_owned(), min: feature.min, max: feature.max })
        .collect();
    let endpoints = endpoints(shard, seed);
    let activate = ActivateController {
        node_id: config.node_id,
        incarnation_id: runtime::random_id(),
        endpoints: endpoints.clone(),
        features: features.clone(),
        bootstrap_features: vec![(GROUP_VERSION.to_owned(), 1)],
    };
    match host.execute(Command::ActivateController(activate)).await? {
        Reply::ActivateController(Ok(())) => {}
        other => return Err(HostError::Refused(format!("{other:?}"))),
    }
    let broker = RegisterBroker {
        broker_id: config.node_id,
        cluster_id: shard.view().cluster_id().to_owned(),
        incarnation_id: runtime::random_id(),
        endpoints,
        features,
        rack: config.rack.clone(),
        log_dirs: shard.directories.iter().map(|open| open.directory.directory_id()).collect(),
        next_offset: host.end(),
    };
    let epoch = match host.execute(Command::RegisterBroker(broker)).await? {
        Reply::RegisterBroker(Ok(epoch)) => epoch,
        other => return Err(HostError::Refused(format!("{other:?}"))),
    };
    let broker = BrokerRef { id: config.node_id, epoch };
    match host.execute(Command::UnfenceBroker(broker)).await? {
        Reply::UnfenceBroker(Ok(())) => Ok(()),
        other => Err(HostError::Refused(format!("{other:?}"))),
    }
}

fn endpoints(shard: &Shard, seed: &Seed) -> Vec<Endpoint> {
    let listeners = &shard.config.listeners;
    let advertised =
        seed.addresses.iter().filter_map(|(name, address)| listeners.advertised_as(name, address.port()));
    advertised
        .map(|listener| Endpoint {
            name: listener.name,
            host: listener.host,
            port: listener.port,
            security_protocol: PLAINTEXT,
        })
        .collect()
}

/// Kafka's number of the security protocol.
const PLAINTEXT: i16 = 0;
