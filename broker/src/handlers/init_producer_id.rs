//! InitProducerId (key 22), v0-5. Ids for idempotent producers, from a block that this core was given by the controller.
//! v3 the producer's present id and epoch. Missing: transactional ids; there is no transaction coordinator yet, so they are
//! answered with COORDINATOR_NOT_AVAILABLE (15).

use std::rc::Rc;

use kafka_protocol::messages::{InitProducerIdRequest, InitProducerIdResponse, ProducerId as WireProducerId};
use slipring_machine::controller::{BrokerRef, Command, Reply};
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::ids::ProducerId;

use super::control;
use crate::net::connection::Closed;
use crate::router::Request;
use crate::runtime::conn::Piece;
use crate::shard::Shard;

/// Handles one request.
pub async fn handle(request: Request<'_>) -> Result<Vec<Piece>, Closed> {
    let body: InitProducerIdRequest = request.decode()?;
    let known = (body.producer_id.0 != -1, body.producer_epoch != -1);
    let outcome = match &body.transactional_id {
        _ if known.0 != known.1 => Err(ErrorCode::InvalidRequest),
        Some(id) if id.is_empty() => Err(ErrorCode::InvalidRequest),
        Some(_) => Err(ErrorCode::CoordinatorNotAvailable),
        None => next_id(request.shard).await,
    };
    let response = match outcome {
        Ok(id) => {
            InitProducerIdResponse::default().with_producer_id(WireProducerId(id.0)).with_producer_epoch(0)
        }
        Err(error) => InitProducerIdResponse::default()
            .with_error_code(error.code())
            .with_producer_id(WireProducerId(-1))
            .with_producer_epoch(-1),
    };
    request.respond(&response)
}

/// Ids that this core may give out.
#[derive(Debug, Default)]
pub struct ProducerIds {
    next: i64,
    end: i64,
}

impl ProducerIds {
    fn take(&mut self) -> Option<ProducerId> {
        (self.next < self.end).then(|| {
            self.next += 1;
            ProducerId(self.next - 1)
        })
    }
}

async fn next_id(shard: &Rc<Shard>) -> Result<ProducerId, ErrorCode> {
    if let Some(id) = shard.producer_ids.borrow_mut().take() {
        return Ok(id);
    }
    let view = shard.view();
    let broker = view.image().broker(view.node()).ok_or(ErrorCode::CoordinatorLoadInProgress)?;
    let broker = BrokerRef { id: broker.id, epoch: broker.epoch };
    match control::execute(shard, Command::AllocateProducerIds(broker)).await {
        Some(Reply::AllocateProducerIds(Ok(block))) => {
            // Another request of this core may have fetched a block meanwhile; what is left of it is not missed.
            let mut ids = shard.producer_ids.borrow_mut();
            *ids = ProducerIds { next: block.first.0, end: block.first.0 + block.count };
            ids.take().ok_or(ErrorCode::UnknownServerError)
        }
        Some(Reply::AllocateProducerIds(Err(error))) => Err(error.code),
        _ => Err(ErrorCode::CoordinatorLoadInProgress),
    }
}
