//! A consumer: fetches by itself or in sessions, waits long, reads late, breaks off. What it has seen it will see again.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use slipring::runtime;
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::fetch::{
    FetchPartition, FetchPartitionResponse, FetchRequest, FetchResponse, FetchTopic, ForgottenTopic,
};
use slipring_protocol::ids::{Offset, TopicId, TopicIdPartition};
use slipring_protocol::wire::WireStr;

use crate::IDS_FROM;
use crate::chance::Chance;
use crate::wire::{Gone, Wire};
use crate::world::Life;

/// How often a waiting fetch is looked at.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);

/// A consumer; where it stands survives connections and lives.
#[derive(Default)]
pub struct Consumer {
    positions: RefCell<BTreeMap<TopicIdPartition, i64>>,
}

/// One connection's fetches.
struct Session<'a> {
    consumer: &'a Consumer,
    life: &'a Life,
    wire: &'a Wire,
    version: i16,
    /// Names of the partitions it wants.
    wanted: BTreeMap<TopicIdPartition, String>,
    /// Whether it asks for fetch sessions.
    incremental: bool,
    session_id: i32,
    session_epoch: i32,
    /// What the session stands at.
    known: BTreeMap<TopicIdPartition, i64>,
    high_watermarks: BTreeMap<TopicIdPartition, i64>,
}

/// What was true when a fetch was sent.
struct Asked {
    acknowledged: BTreeMap<TopicIdPartition, i64>,
    deleted: Vec<TopicId>,
    min_bytes: i32,
}

impl Consumer {
    /// Consumes until the life is over.
    pub async fn run(&self, life: &Life, mut chance: Chance) {
        while let Some(wire) = life.connect() {
            let version = i16::try_from(chance.of(4..19)).expect("small");
            let mut wanted = life.ledger.borrow().live_partitions();
            wanted.retain(|(name, _)| version >= IDS_FROM || crate::is_lasting(name));
            let percent = chance.one(&[20, 60, 100]);
            wanted.retain(|_| chance.percent(percent));
            let mut session = Session {
                consumer: self,
                life,
                wire: &wire,
                version,
                wanted: wanted.into_iter().map(|(name, partition)| (partition, name)).collect(),
                incremental: version >= 7 && chance.percent(70),
                session_id: 0,
                session_epoch: 0,
                known: BTreeMap::new(),
                high_watermarks: BTreeMap::new(),
            };
            for _ in 0..chance.of(1..40) {
                if life.is_over() || session.wanted.is_empty() || session.fetch(&mut chance).await.is_err() {
                    break;
                }
            }
            wire.cut();
            if chance.percent(30) {
                // Somebody else reads it all again.
                self.positions.borrow_mut().clear();
            }
            life.rest(&mut chance, Duration::from_secs(2)).await;
        }
    }

    fn position(&self, partition: TopicIdPartition) -> i64 {
        self.positions.borrow().get(&partition).copied().unwrap_or(0)
    }
}

impl Session<'_> {
    async fn fetch(&mut self, chance: &mut Chance) -> Result<(), Gone> {
        if self.wanted.len() > 1 && chance.percent(5) {
            let dropped = *self.wanted.keys().next().expect("there are two");
            self.wanted.remove(&dropped);
        }
        let request = self.request(chance);
        let asked = {
            let ledger = self.life.ledger.borrow();
            let of = |partition: &TopicIdPartition| (*partition, ledger.acknowledged_end(*partition));
            let topics = self.wanted.keys().map(|partition| partition.topic_id);
            Asked {
                acknowledged: self.wanted.keys().map(of).collect(),
                deleted: topics.filter(|id| ledger.is_deleted(*id)).collect(),
                min_bytes: request.min_bytes,
            }
        };
        self.wire.send_fetch(self.version, &request).await?;
        if chance.percent(15) {
            self.life.rest(chance, Duration::from_secs(20)).await;
        }
        let response = futures_lite::future::or(self.wire.receive_fetch(), self.watch(&asked)).await?;
        self.answered(&asked, &request, &response);
        Ok(())
    }

    fn request(&mut self, chance: &mut Chance) -> FetchRequest {
        let mut request = FetchRequest {
            max_wait_ms: chance.one(&[0, 100, 500, 10_000, 300_000]),
            min_bytes: chance.one(&[1, 1, 1, 1, 0, 5_000]),
            max_bytes: chance.one(&[i32::MAX, i32::MAX, 50_000, 1_000, 1]),
            ..FetchRequest::default()
        };
        if self.life.is_over() {
            request.max_wait_ms = 0;
        }
        if self.incremental {
            (request.session_id, request.session_epoch) = (self.session_id, self.session_epoch);
        }
        let full = !self.incremental || self.session_epoch == 0;
        let bytes_max = chance.one(&[1 << 20, 1 << 20, 10_000, 100]);
        for (partition, name) in &self.wanted {
            let position = self.consumer.position(*partition);
            if !full && self.known.get(partition) == Some(&position) {
                continue;
            }
            let entry = FetchPartition::new(partition.partition, Offset(position), bytes_max);
            match request.topics.last_mut() {
                Some(topic) if topic.topic_id == partition.topic_id => topic.partitions.push(entry),
                _ => request.topics.push(FetchTopic {
                    name: WireStr::from_string(name.clone()),
                    topic_id: partition.topic_id,
                    partitions: vec![entry],
                }),
            }
        }
        if !full {
            let gone = self.known.keys().filter(|partition| !self.wanted.contains_key(partition));
            request.forgotten = gone
                .map(|partition| ForgottenTopic {
                    name: WireStr::from_string(self.life.ledger.borrow().name_of(partition.topic_id)),
                    topic_id: partition.topic_id,
                    partitions: vec![partition.partition],
                })
                .collect();
        }
        self.known =
            self.wanted.keys().map(|partition| (*partition, self.consumer.position(*partition))).collect();
        request
    }

    /// Panics when the broker lets a fetch wait although acknowledged records are there to be read.
    async fn watch(&self, asked: &Asked) -> Result<FetchResponse, Gone> {
        let mut noticed = false;
        loop {
            runtime::sleep(WATCH_INTERVAL).await;
            let ledger = self.life.ledger.borrow();
            let readable = self.known.iter().find(|(partition, position)| {
                ledger.is_live(partition.topic_id) && ledger.acknowledged_end(**partition) > **position
            });
            let Some((partition, position)) = readable else {
                noticed = false;
                continue;
            };
            assert!(
                !noticed || asked.min_bytes > 1,
                "lost wake-up: a fetch of {partition} from {position} waits, {} are acknowledged",
                ledger.acknowledged_end(*partition)
            );
            noticed = true;
        }
    }

    fn answered(&mut self, asked: &Asked, request: &FetchRequest, response: &FetchResponse) {
        match response.head.error {
            ErrorCode::None => {}
            // Sessions are few, and others need one too.
            ErrorCode::FetchSessionIdNotFound => {
                (self.session_id, self.session_epoch) = (0, 0);
                return;
            }
            error => panic!("a fetch in session {} was refused with {error:?}", request.session_id),
        }
        if self.incremental {
            self.session_id = response.head.session_id;
            self.session_epoch = if self.session_id == 0 { 0 } else { self.session_epoch + 1 };
        }
        let mut brought = 0;
        for topic in &response.topics {
            for answer in &topic.partitions {
                let partition = self.find(&topic.name, topic.topic_id, answer);
                brought += self.partition(asked, partition, answer);
            }
        }
        let all = self.known.iter().next().filter(|_| self.known.len() == 1);
        if let Some((partition, position)) = all
            && self.wanted.contains_key(partition)
            && self.life.ledger.borrow().is_live(partition.topic_id)
        {
            let readable = asked.acknowledged.get(partition).is_some_and(|end| end > position);
            assert!(
                brought > 0 || !readable,
                "{partition} from {position}: acknowledged records are not shown"
            );
        }
    }

    fn find(&self, name: &str, id: TopicId, answer: &FetchPartitionResponse) -> TopicIdPartition {
        let index = answer.head.partition;
        let by_name = |(partition, wanted): (&TopicIdPartition, &String)| {
            let same = if self.version < IDS_FROM { wanted == name } else { partition.topic_id == id };
            (same && partition.partition == index).then_some(*partition)
        };
        let found = self.wanted.iter().find_map(by_name);
        found.unwrap_or_else(|| panic!("an answer for {name} {id} {}, which nobody asked for", index.0))
    }

    /// Gives the records that came.
    fn partition(
        &mut self,
        asked: &Asked,
        partition: TopicIdPartition,
        answer: &FetchPartitionResponse,
    ) -> i64 {
        let position = self.known[&partition];
        let head = &answer.head;
        match head.error {
            ErrorCode::None => {}
            ErrorCode::UnknownTopicOrPartition
            | ErrorCode::UnknownTopicId
            | ErrorCode::InconsistentTopicId
            | ErrorCode::NotLeaderOrFollower
                if !self.life.ledger.borrow().is_live(partition.topic_id) =>
            {
                self.wanted.remove(&partition);
                return 0;
            }
            error => panic!("a fetch of {partition} from {position} was refused with {error:?}"),
        }
        assert!(!asked.deleted.contains(&partition.topic_id), "{partition} is deleted, but can be read");
        let high_watermark = head.high_watermark.0;
        let acknowledged = asked.acknowledged[&partition];
        assert!(
            high_watermark >= acknowledged,
            "{partition}: high watermark {high_watermark}, though {acknowledged} were acknowledged"
        );
        let before = self.high_watermarks.insert(partition, high_watermark).unwrap_or(0);
        assert!(
            before <= high_watermark,
            "{partition}: high watermark falls from {before} to {high_watermark}"
        );
        let records = answer.records.as_deref().unwrap_or_default();
        let next = self.life.ledger.borrow_mut().seen(partition, position, records);
        assert!(next <= high_watermark, "{partition}: records up to {next} above {high_watermark}");
        self.consumer.positions.borrow_mut().insert(partition, next);
        next - position
    }
}
