//! The first records of a reign (Kafka's `ActivationRecordsGenerator`) and the registration of the controller itself.

use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::ids::BrokerId;
use slipring_protocol::metadata_records::{
    AbortTransaction, Endpoint, FeatureLevel, FeatureRange, MetadataRecord, RegisterController,
};
use uuid::Uuid;

use super::{ApiError, Controller, Decision, METADATA_VERSION_4_3_IV0, METADATA_VERSION_MIN};
use crate::image::{ControllerImage, METADATA_VERSION};

/// This node becomes the active controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivateController {
    /// This node.
    pub node_id: BrokerId,
    /// This process; fresh at every start.
    pub incarnation_id: Uuid,
    /// Where the controller can be reached.
    pub endpoints: Vec<Endpoint>,
    /// Feature levels that it supports.
    pub features: Vec<FeatureRange>,
    /// Levels that a new log starts with, besides `metadata.version`; level 0 is left out. A log of an earlier version that is
    /// behind them is brought up to them.
    pub bootstrap_features: Vec<(String, i16)>,
}

impl Controller {
    /// An empty log gets its feature levels; a transaction that an earlier reign left open is aborted; the controller is
    /// registered if it is not, with just these values.
    pub fn activate(&self, command: &ActivateController) -> Decision<Result<(), ApiError>> {
        let settled = self.image.settled();
        let mut records = Vec::new();
        if self.image.in_transaction() {
            records.push(AbortTransaction { reason: Some("Controller failover".to_owned()) }.into());
        }
        match settled.metadata_version() {
            None => bootstrap(command, &mut records),
            Some(METADATA_VERSION_MIN..=METADATA_VERSION_4_3_IV0) => {
                let is_behind = |(name, level): &&(String, i16)| settled.feature(name) < *level;
                records.extend(command.bootstrap_features.iter().filter(is_behind).map(feature));
            }
            Some(level) => {
                let message = format!(
                    "The metadata log is at level {level} of metadata.version. Levels {METADATA_VERSION_MIN} to \
                     {METADATA_VERSION_4_3_IV0} are supported."
                );
                return Decision::nothing(Err(ApiError::new(ErrorCode::UnsupportedVersion, message)));
            }
        }
        let controller = ControllerImage {
            id: command.node_id,
            incarnation_id: command.incarnation_id,
            endpoints: command.endpoints.clone(),
            features: command.features.clone(),
        };
        if settled.controller(command.node_id).is_none_or(|registered| **registered != controller) {
            let record = RegisterController {
                controller: controller.id,
                incarnation: controller.incarnation_id,
                zk_migration_ready: false,
                endpoints: controller.endpoints,
                features: controller.features,
            };
            records.push(record.into());
        }
        Decision::atomic(records, Ok(()))
    }
}

/// `metadata.version` comes first: its level says how to read what follows.
fn bootstrap(command: &ActivateController, records: &mut Vec<MetadataRecord>) {
    records.push(feature(&(METADATA_VERSION.to_owned(), METADATA_VERSION_4_3_IV0)));
    let mut features: Vec<_> = command.bootstrap_features.iter().filter(|(_, level)| *level > 0).collect();
    features.sort();
    records.extend(features.into_iter().map(feature));
}

fn feature((name, level): &(String, i16)) -> MetadataRecord {
    FeatureLevel { name: name.clone(), level: *level }.into()
}
