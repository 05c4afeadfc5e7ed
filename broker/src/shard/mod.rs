//! A core's shard: its partitions, its connections and the mail from other cores. Everything here lives on one thread; what
//! crosses to another core goes through `message`.

pub mod boot;
pub mod calls;
pub mod committer;
pub mod message;
pub mod pump;
pub mod stop;
pub mod tokens;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use bytes::BytesMut;
use slipring_machine::fetch_session::{SessionCache, SessionCacheConfig};
use slipring_protocol::api::ApiKey;
use slipring_storage::disk::{BufPool, Disk};
use slipring_storage::store::Store;

use self::calls::Calls;
use self::message::{Message, ProducePart, ShardReply, ShardRequest, Token};
use self::tokens::TokenTable;
use crate::boot::directories::OpenDirectory;
use crate::config::BrokerConfig;
use crate::controller::host::ControllerMailbox;
use crate::controller::view::ClusterView;
use crate::coordinator::Coordinators;
use crate::handlers::fetch::FetchWait;
use crate::handlers::init_producer_id::ProducerIds;
use crate::handlers::produce::PendingProduce;
use crate::metrics::ShardMetrics;
use crate::net::budget::NetworkBudget;
use crate::net::connection::{self, Connection, ConnectionId};
use crate::net::listener::{Accepted, ConnectionPermit};
use crate::partition::Watch;
use crate::partition::fetch::{self, FetchPlan};
use crate::partition::produce::{Produced, Waiter};
use crate::partition::table::PartitionTable;
use crate::runtime::conn::Conn;
use crate::runtime::mailbox::{Mailboxes, ShardId};
use crate::runtime::signal::{Signal, WaitQueue};
use crate::runtime::{self, Queue};
use crate::validation::Validators;

/// The state of one core.
pub struct Shard {
    /// Which core.
    pub id: ShardId,
    /// The configuration that the broker was started with. What may change while it runs is the view's.
    pub config: Arc<BrokerConfig>,
    /// The storage engine's way to this core's ring.
    pub disk: Disk,
    /// One store per data directory.
    pub stores: Vec<Store>,
    /// The data directories, with what their journals told at start.
    pub directories: Vec<OpenDirectory>,
    /// The partitions that this core owns.
    pub partitions: RefCell<PartitionTable>,
    /// The cluster as this core knows it.
    pub view: RefCell<Arc<ClusterView>>,
    /// The mesh.
    pub mail: Mailboxes<Message>,
    /// Questions to other cores.
    pub calls: Calls,
    /// Produce requests of this core's connections that wait for their commits.
    pub produces: RefCell<TokenTable<PendingProduce>>,
    /// Fetches of this core's connections that wait for bytes.
    pub fetches: RefCell<TokenTable<Rc<FetchWait>>>,
    /// Fetch sessions (KIP-227) that were opened on this core.
    pub sessions: RefCell<SessionCache>,
    /// Groups whose partitions this core owns.
    pub coordinators: Coordinators,
    /// Producer ids that this core may give out.
    pub producer_ids: RefCell<ProducerIds>,
    /// Where validation goes that would hold the core.
    pub validators: Validators,
    /// On shard 0: the way to the controller.
    pub controller: RefCell<Option<ControllerMailbox>>,
    /// On shard 0: the controller may still execute a command.
    pub controller_running: Cell<bool>,
    /// This core's counters.
    pub metrics: ShardMetrics,
    /// Memory for requests that are arriving.
    pub network: NetworkBudget,
    /// Batches from other cores that wait for room, in order.
    pub parked: RefCell<VecDeque<(ShardId, ProducePart)>>,
    /// A commit has moved some log's end, or fenced it.
    pub committed: WaitQueue,
    /// Buffers for reads of segments.
    pub read_pool: BufPool,
    /// One per store: something is staged.
    pub commit_signals: Vec<Signal>,
    /// No new work is begun.
    pub stopping: Cell<bool>,
    /// Turns ended so far: how busy the core is.
    pub turns: Cell<u64>,
    /// Committers that still run.
    pub committers_running: Cell<usize>,
    /// Background tasks that still run.
    pub background_running: Cell<usize>,
    /// Something that stopping waits for has ended.
    pub quiet: WaitQueue,
    /// Every store closed without an error.
    pub closed_cleanly: Cell<bool>,
    /// The shard has stopped.
    pub stopped: Signal,
    /// A task is at work on what a full mailbox refused.
    flush_retrying: Cell<bool>,
    connections: RefCell<BTreeMap<ConnectionId, Rc<Connection>>>,
    connections_made: Cell<u64>,
    random: Cell<u64>,
    /// Connections with an answer that is not sent yet.
    answered: RefCell<Vec<Rc<Connection>>>,
}

/// Read buffers kept warm for the next reads of segments.
const READ_POOL_BYTES: usize = 16 << 20;

/// What a shard is made of.
pub struct ShardParts {
    /// The broker's configuration.
    pub config: Arc<BrokerConfig>,
    /// This core's ring.
    pub disk: Disk,
    /// One store per data directory.
    pub stores: Vec<Store>,
    /// The data directories.
    pub directories: Vec<OpenDirectory>,
    /// The mesh.
    pub mail: Mailboxes<Message>,
    /// The view to begin with.
    pub view: Arc<ClusterView>,
    /// The helper threads.
    pub validators: Validators,
    /// This core's counters.
    pub metrics: ShardMetrics,
    /// Memory for requests that are arriving.
    pub network_bytes_max: usize,
}

impl Shard {
    /// Puts a shard together; `pump::start` sets it going.
    #[must_use]
    pub fn new(parts: ShardParts) -> Rc<Self> {
        let ShardParts {
            config,
            disk,
            stores,
            directories,
            mail,
            view,
            validators,
            metrics,
            network_bytes_max,
        } = parts;
        let slots_max = (config.fetch.session_slots / usize::from(mail.shards())).max(1);
        let sessions = SessionCache::new(SessionCacheConfig { slots_max, ..SessionCacheConfig::default() });
        Rc::new(Self {
            id: mail.own(),
            disk,
            partitions: RefCell::default(),
            view: RefCell::new(view),
            mail,
            calls: Calls::default(),
            produces: RefCell::default(),
            fetches: RefCell::default(),
            sessions: RefCell::new(sessions),
            coordinators: Coordinators::default(),
            producer_ids: RefCell::default(),
            validators,
            controller: RefCell::default(),
            controller_running: Cell::new(false),
            metrics,
            network: NetworkBudget::new(network_bytes_max),
            parked: RefCell::default(),
            committed: WaitQueue::default(),
            read_pool: BufPool::new(READ_POOL_BYTES),
            commit_signals: stores.iter().map(|_| Signal::default()).collect(),
            stopping: Cell::new(false),
            turns: Cell::new(0),
            committers_running: Cell::new(stores.len()),
            background_running: Cell::new(stores.len()),
            quiet: WaitQueue::default(),
            closed_cleanly: Cell::new(true),
            stopped: Signal::default(),
            flush_retrying: Cell::new(false),
            connections: RefCell::default(),
            connections_made: Cell::new(0),
            answered: RefCell::default(),
            stores,
            directories,
            config,
            random: Cell::new(runtime::random()),
        })
    }

    /// A random number: for ids that need not be secret.
    pub fn random(&self) -> u32 {
        // splitmix64.
        self.random.set(self.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15));
        let mut mixed = self.random.get();
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((mixed ^ mixed >> 31) >> 32).expect("32 bits are left")
    }

    /// The view of this moment.
    pub fn view(&self) -> Arc<ClusterView> {
        self.view.borrow().clone()
    }

    /// The broker's configuration as it is now, dynamic values included.
    pub fn config_now(&self) -> Arc<BrokerConfig> {
        self.view.borrow().config().clone()
    }

    /// Asks a shard, this one included, and waits for the answer.
    pub async fn call(self: &Rc<Self>, to: ShardId, request: ShardRequest) -> ShardReply {
        if to == self.id {
            return pump::serve(self, request).await;
        }
        let token = self.ask(to, request);
        self.end_turn();
        self.calls.wait(token).await
    }

    /// Asks another shard; the question leaves when the turn ends, the answer is in `calls`.
    pub fn ask(&self, to: ShardId, request: ShardRequest) -> Token {
        let token = self.calls.open();
        self.mail.post(to, Message::Request(token, request));
        token
    }

    /// Tells the requester of a part of a produce, on whichever core it is.
    pub fn tell(&self, waiter: Waiter, produced: Produced) {
        if waiter.shard == self.id {
            self.produced(waiter.request, waiter.part, produced);
        } else {
            self.mail.post(waiter.shard, Message::Produced(waiter.request, waiter.part, produced));
        }
    }

    /// Takes in the outcome of a part of a produce request of this core's connections.
    pub fn produced(&self, request: Token, part: u32, produced: Produced) {
        let mut produces = self.produces.borrow_mut();
        let Some(pending) = produces.get_mut(request) else { return };
        if !pending.complete(part, produced) {
            return;
        }
        let pending = produces.remove(request).expect("just seen");
        drop(produces);
        let connection = self.settle(pending);
        let mut answered = self.answered.borrow_mut();
        if !answered.last().is_some_and(|last| Rc::ptr_eq(last, &connection)) {
            answered.push(connection);
        }
    }

    /// Waits until every store takes appends again.
    pub async fn wait_for_room(&self) {
        for store in &self.stores {
            store.wait_for_room().await;
        }
    }

    /// Answers a produce request none of whose parts is on its way any more.
    pub fn finish_if_complete(&self, request: Token) {
        let mut produces = self.produces.borrow_mut();
        if produces.get_mut(request).is_some_and(|pending| pending.is_complete()) {
            let pending = produces.remove(request).expect("just seen");
            drop(produces);
            let connection = self.settle(pending);
            self.answered.borrow_mut().push(connection);
        }
    }

    fn settle(&self, pending: PendingProduce) -> Rc<Connection> {
        let took = runtime::now().since(pending.arrived);
        self.metrics.answered(ApiKey::Produce, took.as_secs_f64());
        pending.answer()
    }

    /// Tells a waiting fetch, on whichever core it is, that a partition it watches has changed, and what it may read of
    /// this core now. Only once.
    pub fn tell_watch(&self, watch: &Watch) {
        if watch.told.replace(true) {
            return;
        }
        let plans = fetch::try_plan(self, &watch.parts, watch.bytes_max, None).unwrap_or_default();
        if watch.shard == self.id {
            self.watched(watch.token, self.id, plans);
        } else {
            self.mail.post(watch.shard, Message::Watched(watch.token, plans));
        }
    }

    /// A partition of `owner` that a fetch of this core watches has changed.
    pub fn watched(&self, token: Token, owner: ShardId, plans: Vec<FetchPlan>) {
        if let Some(fetch) = self.fetches.borrow_mut().get_mut(token) {
            fetch.wake(owner, plans);
        }
    }

    /// Ends a turn: sends what it answered, one send per connection; posts what it has for other cores, one batch per
    /// core; and sets the committers going on what it staged.
    pub fn end_turn(self: &Rc<Self>) {
        runtime::beat();
        self.turns.set(self.turns.get() + 1);
        for connection in self.answered.take() {
            connection.flush();
        }
        if !self.mail.flush() {
            pump::retry_flush(self);
        }
        for (store, signal) in self.stores.iter().zip(&self.commit_signals) {
            if store.has_staged() {
                signal.set();
            }
        }
    }

    /// Takes over an accepted connection.
    pub fn accepted(self: &Rc<Self>, accepted: Accepted) {
        if self.stopping.get() {
            // Dropped: the client sees the end, as the others do.
            return;
        }
        let Accepted { socket, input, moves, peer, permit } = accepted;
        self.serve_from(Conn::from_socket(socket), peer, permit, moves, input);
    }

    /// Serves a connection of this shard's driver.
    pub fn serve(self: &Rc<Self>, conn: Conn, peer: IpAddr, permit: ConnectionPermit) {
        self.serve_from(conn, peer, permit, 0, BytesMut::new());
    }

    fn serve_from(
        self: &Rc<Self>,
        conn: Conn,
        peer: IpAddr,
        permit: ConnectionPermit,
        moves: u32,
        input: BytesMut,
    ) {
        self.connections_made.set(self.connections_made.get() + 1);
        let id = ConnectionId(self.connections_made.get());
        let connection = Connection::new(id, peer, conn, permit, moves);
        self.connections.borrow_mut().insert(id, connection.clone());
        self.metrics.connections.inc();
        if moves == 0 {
            self.metrics.connections_accepted.inc();
        }
        runtime::spawn(Queue::Foreground, connection::serve(self.clone(), connection, input));
    }

    /// A connection has ended.
    pub fn connection_ended(&self, id: ConnectionId) {
        if self.connections.borrow_mut().remove(&id).is_some() {
            self.metrics.connections.dec();
        }
        self.quiet.wake_all();
    }

    /// The connections of this core.
    pub fn connections(&self) -> Vec<Rc<Connection>> {
        self.connections.borrow().values().cloned().collect()
    }

    /// Whether a client still waits for an answer that the disk will give.
    pub fn has_unanswered(&self) -> bool {
        !self.produces.borrow().is_empty()
            || self.connections.borrow().values().any(|connection| connection.has_unsent())
    }
}
