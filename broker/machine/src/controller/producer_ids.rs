//! Blocks of producer ids (Kafka's `ProducerIdControlManager`).

use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::ids::{BrokerId, ProducerId};
use slipring_protocol::metadata_records::ProducerIds;

use super::{ApiError, BrokerRef, Controller, Decision};

/// Ids in a block.
pub const PRODUCER_ID_BLOCK_SIZE: i64 = 1000;

/// Producer ids that a broker may give out; no other block holds any of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerIdBlock {
    /// The broker.
    pub broker: BrokerId,
    /// First id of the block.
    pub first: ProducerId,
    /// Ids in it.
    pub count: i64,
}

impl Controller {
    /// The next block, for a broker that names its present registration.
    pub fn allocate_producer_ids(&self, broker: BrokerRef) -> Decision<Result<ProducerIdBlock, ApiError>> {
        if let Err(error) = self.registered(broker) {
            return Decision::nothing(Err(error));
        }
        let first = self.image.producer_id_next();
        let Some(next) = first.0.checked_add(PRODUCER_ID_BLOCK_SIZE) else {
            // Kafka hides the message of its unknown errors, too.
            return Decision::nothing(Err(ApiError::bare(ErrorCode::UnknownServerError)));
        };
        let record = ProducerIds { broker: broker.id, broker_epoch: broker.epoch.0, next: ProducerId(next) };
        let block = ProducerIdBlock { broker: broker.id, first, count: PRODUCER_ID_BLOCK_SIZE };
        Decision::splittable(vec![record.into()], Ok(block))
    }
}
