//! One process of the broker: real shards on the simulated disk, started and stopped as `slipring::boot` does it, without
//! threads and sockets.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use slipring::boot::directories::{self, OpenDirectory};
use slipring::config::{BrokerConfig, Overrides};
use slipring::controller::boot::Seed;
use slipring::metrics::Metrics;
use slipring::net::listener::ConnectionCounts;
use slipring::runtime;
use slipring::runtime::conn::Conn;
use slipring::runtime::mailbox::{Inlet, ShardId, mesh};
use slipring::runtime::sim::{SimConn, connect};
use slipring::shard::Shard;
use slipring::shard::boot::{ShardSeed, start};
use slipring::shard::message::Message;
use slipring::validation::Validators;
use slipring_storage::directory::Expectation;
use slipring_storage::disk::{Disk, SimDisk};
use slipring_storage::store::StoreConfig;

use crate::wire::Wire;

/// Virtual time within which a stop must be done.
const STOP_WITHIN: Duration = Duration::from_secs(60);

/// What a node is started with.
#[derive(Clone)]
pub struct NodeConfig {
    /// The broker's configuration.
    pub broker: Arc<BrokerConfig>,
    /// Each core's share.
    pub store: StoreConfig,
}

impl NodeConfig {
    /// The default configuration with keys set, data in `directories`.
    #[must_use]
    pub fn new(sets: &[(&str, &str)], store: StoreConfig, directories: usize) -> Self {
        let names: Vec<String> = (0..directories).map(|number| format!("/data-{number}")).collect();
        let mut sets: Vec<(String, String)> =
            sets.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        sets.push(("log.dirs".to_owned(), names.join(",")));
        let (broker, _) = BrokerConfig::load(None, &sets, &Overrides::default())
            .expect("the scenario's settings are right");
        Self { broker: Arc::new(broker), store }
    }
}

/// A running broker.
pub struct Node {
    shards: Vec<Rc<Shard>>,
    directories: Vec<OpenDirectory>,
    counts: Arc<ConnectionCounts>,
    inlet: Inlet<Message>,
    disk: Disk,
}

impl Node {
    /// Starts the broker; every partition is served when it returns.
    ///
    /// # Panics
    /// When it can't start.
    pub async fn start(disk: &SimDisk, config: &NodeConfig, shards: u16) -> Rc<Self> {
        let disk = Disk::Sim(disk.clone());
        let expect = |cluster_id, node_id| Expectation {
            cluster_id,
            node_id,
            new_cluster_id: "c2xpcHJpbmctc2ltLWlkLQ".to_owned(),
            new_directory_id: runtime::random_id(),
        };
        let opened = directories::open(&disk, &config.broker, expect).await;
        let directories = started(&disk, opened).await;
        let (mailboxes, inlet) = mesh(shards);
        let metrics = Metrics::new();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 9092));
        let counts = ConnectionCounts::new(shards, usize::MAX, config.broker.network.connection_limits());
        let mut starting = Vec::new();
        for mail in mailboxes {
            let own = mail.own();
            let addresses = vec![("PLAINTEXT".to_owned(), address)];
            let seed = ShardSeed {
                config: config.broker.clone(),
                mail,
                store_config: config.store,
                metrics: metrics.of_shard_later(own),
                validators: Validators::on_core(),
                controller: (own == ShardId(0)).then(|| Seed { addresses, connections: counts.clone() }),
                directories: directories.clone(),
            };
            starting.push(spawned(start(seed, disk.clone())));
        }
        let mut running = Vec::new();
        for shard in starting {
            let shard = shard.recv_async().await.expect("a start ends");
            running.push(started(&disk, shard).await);
        }
        Rc::new(Self { shards: running, directories, counts, inlet, disk })
    }

    /// A new connection for frames.
    #[must_use]
    pub fn connect(&self) -> Rc<Wire> {
        Wire::new(self.connect_raw(), (runtime::random() >> 40) as i32)
    }

    /// A new connection, to the core with the fewest.
    #[must_use]
    pub fn connect_raw(&self) -> SimConn {
        let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let permit = self.counts.admit(peer).expect("no limits are set");
        let (client, broker) = connect(runtime::random());
        let shard = self.shards[usize::from(permit.shard.0)].clone();
        shard.serve(Conn::Sim(broker), peer, permit);
        client
    }

    /// Connections that are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.counts.total()
    }

    /// Where the data is.
    pub fn directories(&self) -> impl Iterator<Item = PathBuf> {
        self.directories.iter().map(|open| open.directory.path().to_path_buf())
    }

    /// Stops it cleanly.
    ///
    /// # Panics
    /// When it does not stop, or could not close everything.
    pub async fn stop(&self) {
        assert!(self.inlet.send(ShardId(0), Message::Stop), "a running shard reads its mail");
        for shard in &self.shards {
            let late = async {
                runtime::sleep(STOP_WITHIN).await;
                panic!("shard {} does not stop", shard.id.0);
            };
            futures_lite::future::or(shard.stopped.wait(), late).await;
            assert!(shard.closed_cleanly.get(), "shard {} could not close everything", shard.id.0);
        }
        directories::mark_clean(&self.disk, &self.directories).await;
    }
}

/// What was started; never returns when the power is gone.
async fn started<T>(disk: &Disk, outcome: Result<T, impl Display>) -> T {
    match (outcome, disk) {
        (Ok(started), _) => started,
        (Err(_), Disk::Sim(disk)) if disk.is_crashed() => std::future::pending().await,
        (Err(error), _) => panic!("the broker can't start: {error}"),
    }
}

/// Starts a future as a task of its own, as if on its own core; its output comes through the channel.
fn spawned<T: 'static>(future: impl Future<Output = T> + 'static) -> flume::Receiver<T> {
    let (sender, receiver) = flume::bounded(1);
    runtime::spawn(runtime::Queue::Foreground, async move {
        // Nobody waits any more when the life is over.
        _ = sender.send(future.await);
    });
    receiver
}
