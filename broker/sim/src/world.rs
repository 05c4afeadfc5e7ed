//! What the clients of one seed share over all its lives: the ledger, the plan, and whether the present life is ending.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use slipring::runtime::{self, Queue};

use crate::chance::Chance;
use crate::ledger::{BatchNumber, Ledger};
use crate::node::Node;
use crate::wire::Wire;

/// The world around the broker in one life.
#[derive(Clone)]
pub struct Life {
    /// What is known.
    pub ledger: Rc<RefCell<Ledger>>,
    /// The running broker.
    pub node: Rc<Node>,
    made_before: BatchNumber,
    over: Rc<Cell<bool>>,
    clients: Rc<Cell<usize>>,
}

impl Life {
    /// A life that begins.
    #[must_use]
    pub fn new(ledger: Rc<RefCell<Ledger>>, node: Rc<Node>) -> Self {
        let made_before = ledger.borrow().next_batch();
        Self { ledger, node, made_before, over: Rc::default(), clients: Rc::default() }
    }

    /// Batches below this were made in earlier lives.
    #[must_use]
    pub fn made_before(&self) -> BatchNumber {
        self.made_before
    }

    /// Whether clients are to come to an end.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.over.get()
    }

    /// A new connection; none when the life is over.
    #[must_use]
    pub fn connect(&self) -> Option<Rc<Wire>> {
        (!self.is_over()).then(|| self.node.connect())
    }

    /// Tells the clients to come to an end.
    pub fn end(&self) {
        self.over.set(true);
    }

    /// Starts a client.
    pub fn spawn(&self, client: impl Future<Output = ()> + 'static) {
        self.clients.set(self.clients.get() + 1);
        let clients = self.clients.clone();
        runtime::spawn(Queue::Foreground, async move {
            client.await;
            clients.set(clients.get() - 1);
        });
    }

    /// Tells the clients to come to an end, and waits until they have.
    ///
    /// # Panics
    /// When one does not.
    pub async fn end_clients(&self) {
        self.end();
        let deadline = runtime::now().plus(Duration::from_secs(600));
        while self.clients.get() > 0 {
            assert!(runtime::now() < deadline, "{} clients do not come to an end", self.clients.get());
            runtime::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Sleeps for up to `most`; ends early when the life does.
    pub async fn rest(&self, chance: &mut Chance, most: Duration) {
        let until = runtime::now().plus(chance.pause(most));
        while runtime::now() < until && !self.is_over() {
            let left = until.since(runtime::now());
            runtime::sleep(left.min(Duration::from_millis(50))).await;
        }
    }
}
