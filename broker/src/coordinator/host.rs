//! One partition's machine and its world: the partition's log, the clock, and the requests that wait. Lives on the core that
//! owns the partition. It decides nothing: it brings the machine's records into the log in order, tells it when they are
//! durable, and hands on its answers.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use futures_lite::future;
use slipring_machine::group::{Answer, Command, Coordinator, Log, Now, Reply, RequestId, WriteId};
use slipring_protocol::batch::{BatchBuilder, BatchHeader};
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::group_records::GroupRecord;
use slipring_protocol::ids::{LeaderEpoch, Offset, TimestampMs, TopicIdPartition};
use slipring_storage::error::AppendError;
use slipring_storage::log::Append;
use slipring_storage::producer_state::Origin;
use slipring_storage::store::{LogId, Store};

use super::load;
use crate::runtime::signal::Signal;
use crate::runtime::{self, Instant, Queue};
use crate::shard::Shard;

/// A partition's groups on their core.
pub(super) struct Host {
    id: TopicIdPartition,
    state: RefCell<State>,
    /// Batches of the machine that are not in the log yet, in order: it had no room.
    unstaged: RefCell<VecDeque<(WriteId, Vec<u8>)>>,
    /// Writes in the log that are not durable, by last offset.
    staged: RefCell<VecDeque<(Offset, WriteId)>>,
    waiting: RefCell<BTreeMap<RequestId, Waiting>>,
    requests: Cell<u64>,
    /// Topics that were deleted while the groups were loaded.
    forgotten: RefCell<Vec<Arc<str>>>,
    /// Something for the task to look at.
    wake: Signal,
}

enum State {
    Loading,
    Serving(Box<Coordinator>),
    Gone(ErrorCode),
}

#[derive(Default)]
struct Waiting {
    reply: Option<Reply>,
    waker: Option<Waker>,
}

/// What the machine sees of the log: batches are made here and staged after the turn, in the same order.
struct Batches<'a> {
    unstaged: &'a mut VecDeque<(WriteId, Vec<u8>)>,
    now: TimestampMs,
    leader_epoch: LeaderEpoch,
    bytes_max: usize,
}

impl Log for Batches<'_> {
    fn append(&mut self, write: WriteId, records: &[GroupRecord]) -> Result<(), ErrorCode> {
        let mut batch = BatchBuilder::new();
        batch.leader_epoch(self.leader_epoch);
        let (mut key, mut value) = (Vec::new(), Vec::new());
        for record in records {
            key.clear();
            value.clear();
            record.encode_key(&mut key);
            let has_value = record.encode_value(&mut value);
            batch.append(self.now, Some(&key), has_value.then_some(&value[..]));
        }
        let bytes = batch.build();
        if bytes.len() > self.bytes_max {
            return Err(ErrorCode::RecordListTooLarge);
        }
        self.unstaged.push_back((write, bytes));
        Ok(())
    }
}

impl Host {
    pub(super) fn new(id: TopicIdPartition) -> Rc<Self> {
        Rc::new(Self {
            id,
            state: RefCell::new(State::Loading),
            unstaged: RefCell::default(),
            staged: RefCell::default(),
            waiting: RefCell::default(),
            requests: Cell::new(0),
            forgotten: RefCell::default(),
            wake: Signal::default(),
        })
    }

    /// Loads the groups and serves them from then on, until they are given up.
    pub(super) fn start(self: Rc<Self>, shard: &Rc<Shard>) {
        let shard = shard.clone();
        runtime::spawn(Queue::Foreground, async move {
            // More than once when the log refused what the machine had decided.
            while self.load(&shard).await {
                self.run(&shard).await;
            }
        });
    }

    async fn load(&self, shard: &Rc<Shard>) -> bool {
        if !matches!(&*self.state.borrow(), State::Loading) {
            return false;
        }
        let Some((store, log, _)) = self.log(shard) else {
            self.give_up(ErrorCode::NotCoordinator);
            return false;
        };
        // What a former machine staged is to be durable before it can be shown.
        shard.committed.wait_until(|| is_durable(&store, log)).await;
        let began = runtime::now();
        let mut coordinator = Coordinator::new(shard.config.groups);
        match load::read_all(shard, &store, log, |record| coordinator.replay(record)).await {
            Ok(records) if matches!(&*self.state.borrow(), State::Loading) => {
                let (groups, offsets) = coordinator.counts();
                if records > 0 {
                    let ms = runtime::now().since(began).as_millis() as u64;
                    let partition = self.id.partition.0;
                    tracing::info!(partition, records, groups, offsets, ms, "groups loaded");
                }
            }
            Ok(_) => return false,
            Err(error) => {
                tracing::error!(partition = self.id.partition.0, %error, "groups can't be loaded");
                self.give_up(ErrorCode::NotCoordinator);
                return false;
            }
        }
        coordinator.set_topics(shard.view());
        *self.state.borrow_mut() = State::Serving(Box::new(coordinator));
        self.turn(shard, |coordinator, now, log, out| coordinator.loaded(now, log, out));
        let forgotten = self.forgotten.take();
        if !forgotten.is_empty() {
            self.forget_topics(shard, &forgotten);
        }
        true
    }

    /// Time, the disk and what waits for room.
    async fn run(&self, shard: &Rc<Shard>) {
        while let Some(due) = self.next_tick() {
            if due.is_some_and(|due| due <= runtime::now()) {
                self.turn(shard, |coordinator, now, log, out| coordinator.tick(now, log, out));
                continue;
            }
            let tick = async {
                match due {
                    Some(due) => runtime::sleep_until(due).await,
                    None => future::pending().await,
                }
            };
            let changed = async {
                if self.staged.borrow().is_empty() {
                    future::pending::<()>().await;
                }
                shard.committed.wait_until(|| self.is_settled(shard)).await;
            };
            let room = async {
                match self.log(shard) {
                    Some((store, ..)) if !self.unstaged.borrow().is_empty() => store.wait_for_room().await,
                    _ => future::pending().await,
                }
            };
            future::or(future::or(self.wake.wait(), tick), future::or(changed, room)).await;
            self.stage(shard);
            self.settle(shard);
            runtime::yield_if_needed().await;
        }
    }

    /// When the machine is to be ticked; an outer none when it is gone.
    fn next_tick(&self) -> Option<Option<Instant>> {
        match &*self.state.borrow() {
            State::Serving(coordinator) => {
                let at = |ms| Instant::default().plus(Duration::from_millis(ms));
                Some(coordinator.next_tick_ms().map(at))
            }
            State::Loading | State::Gone(_) => None,
        }
    }

    /// Has the machine decide a command, and waits for its answer.
    pub(super) async fn execute(&self, shard: &Rc<Shard>, command: Command) -> Reply {
        match &*self.state.borrow() {
            State::Loading => return command.failure(ErrorCode::CoordinatorLoadInProgress),
            State::Gone(error) => return command.failure(*error),
            State::Serving(_) => {}
        }
        let id = RequestId(self.requests.get());
        self.requests.set(id.0 + 1);
        self.waiting.borrow_mut().insert(id, Waiting::default());
        self.turn(shard, |coordinator, now, log, out| coordinator.handle(now, id, command, log, out));
        self.wake.set();
        shard.end_turn();
        poll_fn(|context| {
            let mut waiting = self.waiting.borrow_mut();
            let entry = waiting.get_mut(&id).expect("waits until its answer is taken");
            let Some(reply) = entry.reply.take() else {
                entry.waker = Some(context.waker().clone());
                return Poll::Pending;
            };
            waiting.remove(&id);
            Poll::Ready(reply)
        })
        .await
    }

    /// Has a look at the machine, if there is one.
    pub(super) fn look(&self, look: impl FnOnce(&mut Coordinator)) {
        if let State::Serving(coordinator) = &mut *self.state.borrow_mut() {
            look(coordinator);
        }
    }

    /// The topics are those of the shard's view from now on.
    pub(super) fn show_topics(&self, shard: &Rc<Shard>) {
        if let State::Serving(coordinator) = &mut *self.state.borrow_mut() {
            coordinator.set_topics(shard.view());
        }
    }

    /// The offsets in these topics are deleted; nobody waits for it.
    pub(super) fn forget_topics(&self, shard: &Rc<Shard>, topics: &[Arc<str>]) {
        if matches!(&*self.state.borrow(), State::Loading) {
            return self.forgotten.borrow_mut().extend_from_slice(topics);
        }
        let id = RequestId(self.requests.get());
        self.requests.set(id.0 + 1);
        let command = Command::DeleteTopics(topics.to_vec());
        self.turn(shard, |coordinator, now, log, out| coordinator.handle(now, id, command, log, out));
        self.wake.set();
    }

    /// The groups are served elsewhere, or nowhere: whoever waits is told so.
    pub(super) fn give_up(&self, error: ErrorCode) {
        self.unload(State::Gone(error), error);
    }

    /// The log refused what the machine had decided: whoever waits looks for the coordinator again, and the groups are loaded
    /// from what is in the log (Kafka's `CoordinatorContext` goes from `FAILED` to `LOADING`).
    fn reload(&self) {
        self.unload(State::Loading, ErrorCode::NotCoordinator);
    }

    fn unload(&self, next: State, error: ErrorCode) {
        let before = std::mem::replace(&mut *self.state.borrow_mut(), next);
        if let State::Serving(coordinator) = before {
            let mut out = Vec::new();
            coordinator.unload(error, &mut out);
            self.deliver(out);
        }
        self.unstaged.borrow_mut().clear();
        self.staged.borrow_mut().clear();
        self.wake.set();
    }

    /// One event of the machine: its records go to the log, its answers to those who wait.
    fn turn(
        &self,
        shard: &Rc<Shard>,
        event: impl FnOnce(&mut Coordinator, Now, &mut dyn Log, &mut Vec<Answer>),
    ) {
        let Some((_, _, leader_epoch)) = self.log(shard) else {
            return self.give_up(ErrorCode::NotCoordinator);
        };
        let steady_ms = runtime::now().0 / 1_000;
        let now = Now { wall: runtime::wall_clock(), steady_ms };
        let mut out = Vec::new();
        if let State::Serving(coordinator) = &mut *self.state.borrow_mut() {
            let mut unstaged = self.unstaged.borrow_mut();
            let bytes_max = self.bytes_max(shard);
            let mut log = Batches { unstaged: &mut unstaged, now: now.wall, leader_epoch, bytes_max };
            event(coordinator, now, &mut log, &mut out);
        }
        self.deliver(out);
        self.stage(shard);
    }

    fn deliver(&self, answers: Vec<Answer>) {
        let mut waiting = self.waiting.borrow_mut();
        for (to, reply) in answers {
            let Some(entry) = waiting.get_mut(&to) else { continue };
            entry.reply = Some(reply);
            if let Some(waker) = entry.waker.take() {
                waker.wake();
            }
        }
    }

    /// Puts batches into the log while it has room.
    fn stage(&self, shard: &Rc<Shard>) {
        let Some((store, log, leader_epoch)) = self.log(shard) else {
            return self.give_up(ErrorCode::NotCoordinator);
        };
        let mut unstaged = self.unstaged.borrow_mut();
        let before = self.staged.borrow().len();
        let failure = loop {
            let Some((write, bytes)) = unstaged.front() else { break None };
            let header = BatchHeader::parse(bytes).expect("built by our own hand");
            let origin = Origin::Coordinator;
            let now = runtime::wall_clock();
            match store.append(log, &Append { batch: bytes, header: &header, leader_epoch, origin, now }) {
                Ok(appended) => {
                    self.staged.borrow_mut().push_back((appended.last_offset, *write));
                    unstaged.pop_front();
                }
                Err(AppendError::Busy) => break None,
                Err(error) => break Some(error),
            }
        };
        drop(unstaged);
        if let Some(error) = failure {
            let partition = self.id.partition.0;
            if matches!(error, AppendError::TooLarge { .. }) {
                // The topic's configs were changed while the batch waited for room.
                tracing::warn!(partition, %error, "groups can't be written: loaded anew");
                self.reload();
            } else {
                tracing::error!(partition, %error, "groups can't be written: given up");
                self.give_up(ErrorCode::NotCoordinator);
            }
        } else if self.staged.borrow().len() > before {
            shard.end_turn();
            self.wake.set();
        }
    }

    /// The largest batch that the log takes, in bytes.
    fn bytes_max(&self, shard: &Shard) -> usize {
        let view = shard.view.borrow();
        let settings =
            view.topic_by_id(self.id.topic_id).map_or(&shard.config.topic_defaults, |topic| &topic.settings);
        settings.message_bytes_max.min(settings.segment_bytes as usize)
    }

    fn is_settled(&self, shard: &Rc<Shard>) -> bool {
        let Some((store, log, _)) = self.log(shard) else { return true };
        let first = self.staged.borrow().front().map(|(last_offset, _)| *last_offset);
        let acknowledged = store.bounds(log).map_or(Offset(i64::MAX), |bounds| bounds.acknowledged_end);
        first.is_none_or(|first| first < acknowledged) || store.fence_of(log).is_some()
    }

    /// Tells the machine what is durable, or gives it up with its log.
    fn settle(&self, shard: &Rc<Shard>) {
        let Some((store, log, _)) = self.log(shard) else { return };
        let acknowledged = store.bounds(log).map_or(Offset(0), |bounds| bounds.acknowledged_end);
        let mut durable = None;
        let mut staged = self.staged.borrow_mut();
        while staged.front().is_some_and(|(last_offset, _)| *last_offset < acknowledged) {
            durable = staged.pop_front();
        }
        drop(staged);
        if let Some((_, up_to)) = durable {
            self.turn(shard, |coordinator, now, log, out| coordinator.durable(up_to, now, log, out));
        }
        if store.fence_of(log).is_some() {
            tracing::error!(partition = self.id.partition.0, "groups given up: their log is fenced");
            self.give_up(ErrorCode::NotCoordinator);
        }
    }

    fn log(&self, shard: &Shard) -> Option<(Store, LogId, LeaderEpoch)> {
        let partitions = shard.partitions.borrow();
        let partition = partitions.get(self.id)?;
        Some((shard.stores[partition.store].clone(), partition.log, partition.leader_epoch))
    }
}

/// Whether everything in a log is durable, or nothing more will be.
fn is_durable(store: &Store, log: LogId) -> bool {
    let ends = store.bounds(log).map(|bounds| (bounds.acknowledged_end, bounds.log_end));
    ends.map_or(true, |(acknowledged, end)| acknowledged >= end) || store.fence_of(log).is_some()
}
