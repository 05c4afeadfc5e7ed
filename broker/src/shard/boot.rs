//! A shard's start on its own thread: ring, stores, loops; on shard 0 also the controller, which publishes the first view.

use std::rc::Rc;
use std::sync::Arc;

use slipring_machine::image::MetadataImage;
use slipring_storage::disk::{Disk, UringDisk};
use slipring_storage::store::{Store, StoreConfig};

use super::message::Message;
use super::{Shard, ShardParts, committer, pump};
use crate::boot::directories::OpenDirectory;
use crate::boot::{DISK_RING_ENTRIES, ShardReport};
use crate::config::BrokerConfig;
use crate::controller::boot::{Seed, start_controller};
use crate::controller::view::ClusterView;
use crate::metrics::{ShardMetricsSeed, gauges};
use crate::runtime::mailbox::Mailboxes;
use crate::runtime::{self, Queue, uring};
use crate::validation::Validators;

/// What the main thread gives a shard on its way.
pub struct ShardSeed {
    /// The broker's configuration.
    pub config: Arc<BrokerConfig>,
    /// Its end of the mesh.
    pub mail: Mailboxes<Message>,
    /// Its share of memory and files.
    pub store_config: StoreConfig,
    /// Its counters.
    pub metrics: ShardMetricsSeed,
    /// The helper threads.
    pub validators: Validators,
    /// On shard 0: what the controller starts from.
    pub controller: Option<Seed>,
    /// The data directories.
    pub directories: Vec<OpenDirectory>,
}

/// A shard's life; it tells the main thread how it goes.
pub async fn shard_main(seed: ShardSeed, reporter: flume::Sender<(u16, ShardReport)>) {
    let own = seed.mail.own().0;
    let ring = match UringDisk::new(DISK_RING_ENTRIES) {
        Ok(ring) => ring,
        Err(error) => return report(&reporter, own, ShardReport::Failed(error.to_string())),
    };
    uring::drive_disk(&ring);
    let report_to = reporter.clone();
    match run(seed, Disk::Uring(ring), move |outcome| report(&report_to, own, outcome)).await {
        Ok(cleanly) => report(&reporter, own, ShardReport::Stopped { cleanly }),
        Err(reason) => report(&reporter, own, ShardReport::Failed(reason)),
    }
}

async fn run(seed: ShardSeed, disk: Disk, report: impl Fn(ShardReport)) -> Result<bool, String> {
    let shard = start(seed, disk).await?;
    report(ShardReport::Ready);
    shard.stopped.wait().await;
    Ok(shard.closed_cleanly.get())
}

/// Starts a shard on any driver's disk; it serves until it is told to stop, and sets `stopped` then.
///
/// # Errors
/// Why it could not start.
pub async fn start(seed: ShardSeed, disk: Disk) -> Result<Rc<Shard>, String> {
    let ShardSeed { config, mail, store_config, metrics, validators, controller, directories } = seed;
    let core = u32::from(mail.own().0);
    let mut stores = Vec::with_capacity(directories.len());
    for open in &directories {
        let store = Store::open(disk.clone(), open.directory.clone(), core, store_config).await;
        stores.push(store.map_err(|error| error.to_string())?);
    }
    let cluster_id =
        directories.first().map(|open| open.directory.cluster_id().to_owned()).unwrap_or_default();
    let view = Arc::new(ClusterView::empty(MetadataImage::empty(cluster_id.into()), config.clone()));
    let metrics = metrics.on_shard();
    // Half of what the tails may take.
    let network_bytes_max = store_config.tail_bytes / 2 * stores.len();
    let parts =
        ShardParts { config, disk, stores, directories, mail, view, validators, metrics, network_bytes_max };
    let shard = Shard::new(parts);
    runtime::spawn(Queue::Foreground, pump::run(shard.clone()));
    runtime::spawn(Queue::Foreground, pump::sweep_connections(shard.clone()));
    runtime::spawn(Queue::Background, gauges::watch(shard.clone()));
    let held = shard.metrics.held_seconds.clone();
    runtime::on_held(move |late| held.observe(late.as_secs_f64()));
    for index in 0..shard.stores.len() {
        runtime::spawn(Queue::Foreground, committer::run(shard.clone(), index));
        committer::start_background(&shard, index);
    }
    if let Some(seed) = controller {
        start_controller(&shard, seed).await.map_err(|error| error.to_string())?;
    }
    Ok(shard)
}

fn report(reporter: &flume::Sender<(u16, ShardReport)>, core: u16, outcome: ShardReport) {
    // The main thread is gone only when the process ends anyway.
    _ = reporter.send((core, outcome));
}
