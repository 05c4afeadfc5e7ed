//! The mesh of mailboxes between shards: one bounded queue per receiving shard, messages in whole batches. What a turn
//! produced for another core leaves as one batch; a full queue keeps the batch at the sender, whose connections stop
//! reading (their in-flight limits are the bound), so shards never wait for each other.

use std::cell::RefCell;

/// Batches that may wait in one shard's queue.
const MAILBOX_BATCHES_MAX: usize = 1024;

/// Index of a shard, 0 to the number of cores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardId(pub u16);

impl ShardId {
    /// As an index into per-shard tables.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A batch of messages with its sender.
pub struct Batch<M> {
    /// The shard (or side thread) that sent it.
    pub from: ShardId,
    /// In order of sending.
    pub messages: Vec<M>,
}

/// What one shard holds of the mesh: its inbox and an outbox for every shard.
pub struct Mailboxes<M> {
    own: ShardId,
    inbox: flume::Receiver<Batch<M>>,
    peers: Vec<flume::Sender<Batch<M>>>,
    outboxes: RefCell<Vec<Vec<M>>>,
}

/// A way in for threads that are no shard: the acceptor, the metrics endpoint, signals.
pub struct Inlet<M> {
    peers: Vec<flume::Sender<Batch<M>>>,
}

impl<M> Clone for Inlet<M> {
    fn clone(&self) -> Self {
        Self { peers: self.peers.clone() }
    }
}

impl<M> Inlet<M> {
    /// Sends one message, waiting while the shard's queue is full. False when the shard is gone.
    #[must_use]
    pub fn send(&self, to: ShardId, message: M) -> bool {
        self.peers[to.index()].send(Batch { from: to, messages: vec![message] }).is_ok()
    }
}

/// Makes the mesh for `shards` shards.
#[must_use]
pub fn mesh<M>(shards: u16) -> (Vec<Mailboxes<M>>, Inlet<M>) {
    let (peers, inboxes): (Vec<_>, Vec<_>) = (0..shards).map(|_| flume::bounded(MAILBOX_BATCHES_MAX)).unzip();
    let mailboxes = inboxes.into_iter().zip(0..).map(|(inbox, own)| Mailboxes {
        own: ShardId(own),
        inbox,
        peers: peers.clone(),
        outboxes: RefCell::new((0..shards).map(|_| Vec::new()).collect()),
    });
    (mailboxes.collect(), Inlet { peers: peers.clone() })
}

impl<M> Mailboxes<M> {
    /// This shard.
    #[must_use]
    pub fn own(&self) -> ShardId {
        self.own
    }

    /// Shards of the mesh.
    #[must_use]
    pub fn shards(&self) -> u16 {
        u16::try_from(self.peers.len()).expect("made from a u16")
    }

    /// Puts a message into the outbox for `to`; it leaves with the next `flush`.
    pub fn post(&self, to: ShardId, message: M) {
        self.outboxes.borrow_mut()[to.index()].push(message);
    }

    /// Sends every outbox that holds something, as one batch each. True when all could leave; false leaves the rest for
    /// the next flush.
    pub fn flush(&self) -> bool {
        let mut all = true;
        for (outbox, peer) in self.outboxes.borrow_mut().iter_mut().zip(&self.peers) {
            if outbox.is_empty() {
                continue;
            }
            match peer.try_send(Batch { from: self.own, messages: std::mem::take(outbox) }) {
                Ok(()) | Err(flume::TrySendError::Disconnected(_)) => {}
                Err(flume::TrySendError::Full(batch)) => {
                    *outbox = batch.messages;
                    all = false;
                }
            }
        }
        all
    }

    /// The next batch; `None` when every sender is gone.
    pub async fn receive(&self) -> Option<Batch<M>> {
        self.inbox.recv_async().await.ok()
    }

    /// A batch that is already there.
    pub fn try_receive(&self) -> Option<Batch<M>> {
        self.inbox.try_recv().ok()
    }
}
