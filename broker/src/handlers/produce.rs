//! Produce (key 0), v3-13. Validates on the connection's core, then one hop per owner core; answered when every part is
//! durable (acks=1 and all), at once with nothing (acks=0).
//!
//! Behaviour (Kafka's `KafkaApis.handleProduceRequest`, `ReplicaManager.appendRecords`): unknown topic name → 3, unknown id →
//! 100, unknown partition → 3, acks other than -1, 0, 1 → 21; with acks=0 an error closes the connection.
//! Missing: transactional writes (a transactional batch is refused until the coordinator is there), quotas.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use slipring_protocol::batch::{BATCH_HEADER_SIZE, CheckedBatch, InvalidBatch};
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::frame;
use slipring_protocol::header::RequestHeader;
use slipring_protocol::ids::{PartitionIndex, TopicId, TopicIdPartition};
use slipring_protocol::produce::{
    ProducePartitionResponse, ProduceRequest, ProduceResponse, ProduceTopicResponse, RecordError,
};
use slipring_protocol::wire::WireStr;

use crate::controller::view::{ClusterView, TopicView};
use crate::net::connection::{Closed, Connection};
use crate::net::response_queue::Place;
use crate::partition::produce::{Outcome, Produced, Requester, append};
use crate::runtime::conn::Piece;
use crate::runtime::mailbox::ShardId;
use crate::runtime::{self, Instant};
use crate::shard::Shard;
use crate::shard::message::{Message, ProducePart, Token};

/// A produce request whose parts are on their way to the disk.
pub struct PendingProduce {
    /// When the request was taken up.
    pub arrived: Instant,
    connection: Rc<Connection>,
    place: Option<Place>,
    bytes: usize,
    header: RequestHeader,
    topics: Vec<(WireStr, TopicId)>,
    parts: Vec<Part>,
    missing: usize,
}

struct Part {
    topic: usize,
    index: PartitionIndex,
    produced: Option<Produced>,
}

/// A validated batch and the core that owns its partition.
struct Ready {
    part: u32,
    owner: ShardId,
    partition: TopicIdPartition,
    batch: CheckedBatch,
}

/// Handles one produce request: returns once its batches are validated and on their way, so that the next produce of the
/// connection may overlap with its commit.
///
/// # Errors
/// When the bytes are no produce request.
pub async fn handle(
    shard: &Rc<Shard>,
    connection: &Rc<Connection>,
    header: &RequestHeader,
    body: Bytes,
) -> Result<(), Closed> {
    let bytes = body.len();
    let request =
        ProduceRequest::decode(header.version, body).map_err(|error| Closed::Protocol(error.to_string()))?;
    shard.metrics.request(header.api.key);
    let acks = request.acks;
    let mut pending = PendingProduce::new(connection, header, bytes, &request);
    let mut ready = Vec::with_capacity(pending.parts.len());
    validate_all(shard, header, &request, &mut pending, &mut ready).await;
    connection.steering.note(shard.id, ready.iter().map(|ready| ready.owner));
    if acks == 0 {
        // Nothing is answered; an error that is known by now closes the connection, as in Kafka.
        let refused =
            pending.parts.iter().find_map(|part| part.produced.as_ref().map(|produced| produced.error));
        let dispatched = dispatch(shard, NO_REQUEST, ready, false).await;
        return refused
            .map_or(dispatched, Err)
            .map_err(|error| Closed::Protocol(format!("acks=0: {error:?}")));
    }
    pending.place = Some(connection.reserve(bytes));
    let token = shard.produces.borrow_mut().insert(pending);
    // Failures are among the answers.
    _ = dispatch(shard, token, ready, true).await;
    shard.finish_if_complete(token);
    Ok(())
}

impl PendingProduce {
    fn new(
        connection: &Rc<Connection>,
        header: &RequestHeader,
        bytes: usize,
        request: &ProduceRequest,
    ) -> Self {
        let topics = request.topics.iter().map(|topic| (topic.name.clone(), topic.topic_id)).collect();
        let parts: Vec<Part> = (0..)
            .zip(&request.topics)
            .flat_map(|(topic, of)| {
                of.partitions.iter().map(move |partition| Part {
                    topic,
                    index: partition.index,
                    produced: None,
                })
            })
            .collect();
        let missing = parts.len();
        Self {
            arrived: runtime::now(),
            connection: connection.clone(),
            place: None,
            bytes,
            header: header.clone(),
            topics,
            parts,
            missing,
        }
    }

    /// Takes in the outcome of a part; true when it was the last one.
    pub fn complete(&mut self, part: u32, produced: Produced) -> bool {
        let slot = &mut self.parts[part as usize].produced;
        assert!(slot.is_none(), "a part has one outcome");
        *slot = Some(produced);
        self.missing -= 1;
        self.missing == 0
    }

    /// Whether every part has its outcome.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// Puts the answer into its place; the connection is to be flushed.
    pub fn answer(self) -> Rc<Connection> {
        let mut topics: Vec<_> = self
            .topics
            .into_iter()
            .map(|(name, topic_id)| ProduceTopicResponse { name, topic_id, partitions: Default::default() })
            .collect();
        for part in self.parts {
            let produced = part.produced.expect("answered when all parts are there");
            topics[part.topic].partitions.push(partition_response(part.index, produced));
        }
        // As Kafka groups its answers: a topic without partitions is not among them.
        topics.retain(|topic| !topic.partitions.is_empty());
        let response = ProduceResponse {
            topics: topics.into_iter().collect(),
            throttle_ms: 0,
            node_endpoints: Vec::new(),
        };
        let mut out = Vec::with_capacity(128);
        let start = self.header.begin_response(&mut out);
        response.encode(self.header.version, &mut out).expect("decoded in the same version");
        frame::finish(&mut out, start, 0);
        let place = self.place.expect("only requests with a place are answered");
        self.connection.fill(place, self.bytes, vec![Piece::Owned(Bytes::from(out))]);
        self.connection
    }
}

fn partition_response(index: PartitionIndex, produced: Produced) -> ProducePartitionResponse {
    ProducePartitionResponse {
        index,
        error: produced.error,
        base_offset: produced.base_offset,
        log_append_time_ms: produced.log_append_time,
        log_start_offset: produced.log_start,
        record_errors: produced
            .record_errors
            .into_iter()
            .map(|(batch_index, message)| RecordError {
                batch_index,
                message: message.map(WireStr::from_string),
            })
            .collect(),
        error_message: produced.message.map(WireStr::from_string),
        current_leader: None,
    }
}

/// Validates every part; refusals go straight into `pending`.
async fn validate_all(
    shard: &Rc<Shard>,
    header: &RequestHeader,
    request: &ProduceRequest,
    pending: &mut PendingProduce,
    ready: &mut Vec<Ready>,
) {
    let view = shard.view();
    let mut part = 0;
    for topic in &request.topics {
        let found = find_topic(&view, header.version, &topic.name, topic.topic_id);
        for partition in &topic.partitions {
            let outcome = match &found {
                Ok(found) => {
                    validate(
                        shard,
                        request,
                        found,
                        partition.index,
                        partition.records.as_ref(),
                        header.version,
                    )
                    .await
                }
                Err(error) => Err(Produced::refused(*error, None)),
            };
            match outcome {
                Ok((owner, id, batch)) => ready.push(Ready { part, owner, partition: id, batch }),
                Err(produced) => _ = pending.complete(part, produced),
            }
            part += 1;
        }
    }
}

fn find_topic(
    view: &ClusterView,
    version: i16,
    name: &str,
    id: TopicId,
) -> Result<Arc<TopicView>, ErrorCode> {
    if version >= IDS_FROM {
        view.topic_by_id(id).cloned().ok_or(ErrorCode::UnknownTopicId)
    } else {
        view.topic(name).cloned().ok_or(ErrorCode::UnknownTopicOrPartition)
    }
}

async fn validate(
    shard: &Rc<Shard>,
    request: &ProduceRequest,
    topic: &TopicView,
    index: PartitionIndex,
    records: Option<&Bytes>,
    version: i16,
) -> Result<(ShardId, TopicIdPartition, CheckedBatch), Produced> {
    let refused = |error| Produced::refused(error, None);
    let Some(owner) = topic.owner(index) else { return Err(refused(ErrorCode::UnknownTopicOrPartition)) };
    let records = records.cloned().unwrap_or_default();
    // Kafka looks at acks between the first and the further checks of the records.
    if !matches!(request.acks, -1..=1) && records.len() >= BATCH_HEADER_SIZE {
        return Err(refused(ErrorCode::InvalidRequiredAcks));
    }
    if topic.is_internal() {
        return Err(refused(ErrorCode::InvalidTopicException));
    }
    if request.acks == -1 && topic.in_sync(index) < topic.in_sync_min(index) {
        return Err(refused(ErrorCode::NotEnoughReplicas));
    }
    let checked = shard.validators.check(&records, version, &topic.settings.batch_rules()).await;
    let batch = checked.map_err(|invalid| invalid_batch(shard, topic, invalid))?;
    if batch.header().is_transactional() {
        // No transaction can be open: nobody coordinates any.
        return Err(refused(match request.transactional_id {
            None => ErrorCode::TransactionalIdAuthorizationFailed,
            Some(_) => ErrorCode::InvalidTxnState,
        }));
    }
    Ok((owner, TopicIdPartition { topic_id: topic.id, partition: index }, batch))
}

fn invalid_batch(shard: &Shard, topic: &TopicView, invalid: InvalidBatch) -> Produced {
    shard.metrics.invalid_batch(&topic.name);
    Produced { record_errors: invalid.record_errors, ..Produced::refused(invalid.error, invalid.message) }
}

/// Appends what this core owns and posts the rest, one message per owner core.
async fn dispatch(
    shard: &Rc<Shard>,
    token: Token,
    ready: Vec<Ready>,
    wants_answer: bool,
) -> Result<(), ErrorCode> {
    let mut away: Vec<(ShardId, Vec<ProducePart>)> = Vec::new();
    let mut failed = Ok(());
    for Ready { part, owner, partition, batch } in ready {
        if owner != shard.id {
            let message = ProducePart { request: token, part, partition, batch, wants_answer };
            match away.iter_mut().find(|(shard, _)| *shard == owner) {
                Some((_, parts)) => parts.push(message),
                None => away.push((owner, vec![message])),
            }
            continue;
        }
        let requester = wants_answer.then_some(Requester { shard: shard.id, request: token, part });
        match append_with_room(shard, partition, &batch, requester).await {
            Some(produced) if wants_answer => shard.produced(token, part, produced),
            Some(produced) if produced.error != ErrorCode::None => failed = Err(produced.error),
            Some(_) | None => {}
        }
    }
    for (owner, parts) in away {
        shard.mail.post(owner, Message::Produce(parts));
    }
    failed
}

/// Appends to a partition of this core; the connection waits while the store has no room.
async fn append_with_room(
    shard: &Rc<Shard>,
    partition: TopicIdPartition,
    batch: &CheckedBatch,
    requester: Option<Requester>,
) -> Option<Produced> {
    loop {
        // Those from other cores that came first go first.
        if shard.parked.borrow().is_empty() {
            match append(shard, partition, batch, requester) {
                Outcome::Now(produced) => return Some(produced),
                Outcome::Staged => return None,
                Outcome::Busy => {}
            }
        }
        shard.end_turn();
        shard.wait_for_room().await;
        runtime::yield_if_needed().await;
    }
}

/// Of a produce that nobody waits for.
const NO_REQUEST: Token = Token(0);

/// Topic ids instead of names (KIP-516).
const IDS_FROM: i16 = 13;
