//! Fetch (key 1), v4-18. v5 log start · v7 sessions (KIP-227) · v9 leader epoch · v11 rack · v12 flexible, diverging epoch ·
//! v13 topic ids · v15 replica state · v16 node endpoints · v17 directory id · v18 high watermark.
//!
//! Behaviour (Kafka's `KafkaApis.handleFetchRequest`, `FetchContext`, `DelayedFetch`): a session error answers alone; unknown
//! id → 100, unknown topic or partition → 3; an error or a diverging epoch answers at once. Batches are sent whole: where
//! Kafka cuts the last one off in the middle, we end before it.
//! Missing: followers (refused), read_committed's aborted transactions (there are no transactions yet), tiered storage.

mod gather;

use std::time::Duration;

use bytes::Bytes;
use slipring_machine::fetch_session::{
    Completed, FetchContext, FetchOutcome, FetchTarget, FetchView, SessionId,
};
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::fetch::{
    EpochEndOffset, FetchPartitionHead, FetchRequest, FetchResponseEncoder, FetchResponseHead,
    Piece as WirePiece,
};
use slipring_protocol::ids::TopicIdPartition;
use slipring_storage::chunk::ChunkSlice;

pub use self::gather::FetchWait;
use self::gather::{Limits, Wanted, gather};
use crate::controller::view::ClusterView;
use crate::net::connection::Closed;
use crate::partition::fetch::{FetchPart, FetchPlan};
use crate::router::Request;
use crate::runtime;
use crate::runtime::conn::Piece;
use crate::runtime::mailbox::ShardId;
use crate::shard::Shard;
use crate::shard::message::{ShardReply, ShardRequest};

/// Handles one request.
pub async fn handle(request: Request<'_>) -> Result<Vec<Piece>, Closed> {
    let version = request.header.version;
    let body = FetchRequest::decode(version, request.body.clone())
        .map_err(|error| Closed::Protocol(format!("Fetch v{version}: {error}")))?;
    let shard = request.shard;
    let view = shard.view();
    let session = FetchView::of(version, &body);
    let mut targets = Vec::new();
    if let Some(owner) = away(session.session_id, shard) {
        adopt_session(&request, owner, session.session_id).await;
    }
    let begun =
        shard.sessions.borrow_mut().begin(runtime::wall_clock(), &session, view.image(), &mut targets);
    let context = match begun {
        Ok(context) => context,
        Err(error) => return Ok(only_error(&request, error)),
    };
    let wanted: Vec<Wanted> = targets.iter().map(|target| want(&view, target, &body)).collect();
    let owners = wanted.iter().filter_map(|wanted| Some(wanted.as_ref().ok()?.0));
    request.connection.steering.note(shard.id, owners);
    let wait = Duration::from_millis(u64::try_from(body.max_wait_ms).unwrap_or(0));
    let bytes_max = size(body.max_bytes).min(shard.config.fetch.bytes_max);
    let limits = Limits {
        bytes_min: size(body.min_bytes).min(bytes_max),
        bytes_max,
        deadline: runtime::now().plus(wait),
    };
    let plans = gather(shard, &wanted, limits).await;
    let mut parts = Vec::with_capacity(plans.len());
    for (target, mut plan) in targets.iter().zip(plans) {
        let records = match gather::read(shard, &mut plan).await {
            Ok(records) => records,
            Err(error) => {
                plan = FetchPlan::failed(error);
                Vec::new()
            }
        };
        if let Some(topic) = &target.topic {
            shard.metrics.fetched(topic, records.iter().map(|slice| slice.len()).sum());
        }
        parts.push((plan, records));
    }
    respond(&request, &context, &targets, parts, body.isolation_level == 1)
}

fn size(bytes: i32) -> usize {
    usize::try_from(bytes).unwrap_or(0)
}

/// What to ask for a target, of which core.
fn want(view: &ClusterView, target: &FetchTarget, body: &FetchRequest) -> Wanted {
    if body.replica_id.0 >= 0 {
        return Err(ErrorCode::NotLeaderOrFollower);
    }
    let image = target.resolve(view.image())?;
    let topic = view.topic_by_id(image.id).ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let owner = topic.owner(target.partition).ok_or(ErrorCode::NotLeaderOrFollower)?;
    let part = FetchPart {
        partition: TopicIdPartition { topic_id: topic.id, partition: target.partition },
        offset: target.fetch_offset,
        bytes_max: size(target.max_bytes),
        current_leader_epoch: target.current_leader_epoch,
        last_fetched_epoch: target.last_fetched_epoch,
        read_committed: body.isolation_level == 1,
    };
    Ok((owner, part))
}

fn only_error(request: &Request<'_>, error: ErrorCode) -> Vec<Piece> {
    let head = FetchResponseHead { throttle_ms: 0, error, session_id: 0 };
    let encoder = encoder(request, head, 0);
    pieces(encoder)
}

/// Ends the fetch in its session, which chooses the partitions to send, and writes the answer around the records.
fn respond(
    request: &Request<'_>,
    context: &FetchContext,
    targets: &[FetchTarget],
    mut parts: Vec<(FetchPlan, Vec<ChunkSlice>)>,
    read_committed: bool,
) -> Result<Vec<Piece>, Closed> {
    let shard = request.shard;
    let outcomes: Vec<FetchOutcome> =
        (0..).zip(&parts).map(|(target, (plan, records))| outcome(target, plan, records)).collect();
    let mut selected = Vec::new();
    let Completed { error, session_id } = shard.sessions.borrow_mut().complete(
        runtime::wall_clock(),
        context,
        targets,
        &outcomes,
        fresh_session_id(shard),
        &mut selected,
    );
    let head = FetchResponseHead { throttle_ms: 0, error, session_id: session_id.0 };
    // Partitions of one topic that follow each other share its entry, as Kafka groups them.
    let mut topics: Vec<(&FetchTarget, Vec<usize>)> = Vec::new();
    for index in selected.into_iter().map(|index| index as usize) {
        let target = &targets[index];
        match topics.last_mut() {
            Some((last, indexes)) if last.topic_id == target.topic_id && last.topic == target.topic => {
                indexes.push(index)
            }
            _ => topics.push((target, vec![index])),
        }
    }
    let mut encoder = encoder(request, head, topics.len());
    for (topic, indexes) in topics {
        encoder.begin_topic(topic.topic.as_deref().unwrap_or_default(), topic.topic_id, indexes.len());
        for index in indexes {
            let (plan, records) = &mut parts[index];
            let bytes = records.iter().map(|slice| slice.len()).sum();
            encoder.partition(&partition_head(&targets[index], plan, read_committed), bytes);
            for slice in records.drain(..) {
                let bytes = slice.len();
                encoder.records(slice, bytes);
            }
        }
    }
    Ok(pieces(encoder))
}

fn outcome(target: u32, plan: &FetchPlan, records: &[ChunkSlice]) -> FetchOutcome {
    FetchOutcome {
        target,
        error: plan.error,
        high_watermark: plan.high_watermark,
        log_start: plan.log_start,
        records_bytes: records.iter().map(|slice| slice.len()).sum(),
        preferred_replica: false,
        diverging_epoch: plan.diverging.is_some(),
    }
}

fn partition_head(target: &FetchTarget, plan: &FetchPlan, read_committed: bool) -> FetchPartitionHead {
    let mut head = match plan.error {
        ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId | ErrorCode::InconsistentTopicId => {
            FetchPartitionHead::refused(target.partition, plan.error)
        }
        error => FetchPartitionHead::failed(target.partition, error),
    };
    if plan.error == ErrorCode::None && read_committed {
        head.aborted_transactions = Some(Vec::new());
    }
    head.high_watermark = plan.high_watermark;
    head.last_stable_offset = plan.last_stable;
    head.log_start_offset = plan.log_start;
    head.diverging_epoch = plan.diverging.map(|(epoch, end_offset)| EpochEndOffset { epoch, end_offset });
    head
}

fn encoder(
    request: &Request<'_>,
    head: FetchResponseHead,
    topics: usize,
) -> FetchResponseEncoder<ChunkSlice> {
    let header = request.header;
    FetchResponseEncoder::framed(header.version, header.correlation_id, head, topics)
        .expect("the request was decoded in this version")
}

fn pieces(encoder: FetchResponseEncoder<ChunkSlice>) -> Vec<Piece> {
    let piece = |piece| match piece {
        WirePiece::Bytes(bytes) => Piece::Owned(Bytes::from(bytes)),
        WirePiece::Records(slice) => Piece::Records(slice),
    };
    encoder.finish(&[]).pieces.into_iter().map(piece).collect()
}

/// Bits of a session id that name the core where it was opened.
const SHARD_BITS: u32 = 10;

/// A random id that names this core.
fn fresh_session_id(shard: &Shard) -> SessionId {
    let random = shard.random() & ((1 << (31 - SHARD_BITS)) - 1);
    let id = u32::from(shard.id.0) << (31 - SHARD_BITS) | random.max(1);
    SessionId(id.cast_signed())
}

/// The core of a session, when it is another one.
fn away(id: SessionId, shard: &Shard) -> Option<ShardId> {
    if id.0 <= 0 || shard.sessions.borrow().contains(id) {
        return None;
    }
    let owner = ShardId(u16::try_from(id.0.cast_unsigned() >> (31 - SHARD_BITS)).expect("10 bits"));
    (owner != shard.id && owner.0 < shard.mail.shards()).then_some(owner)
}

/// A client that reconnected to another core goes on with its session: the session moves here.
async fn adopt_session(request: &Request<'_>, owner: ShardId, id: SessionId) {
    let shard = request.shard;
    if let ShardReply::Session(Some(session)) = shard.call(owner, ShardRequest::TakeSession(id)).await {
        shard.sessions.borrow_mut().adopt(runtime::wall_clock(), *session);
    }
}
