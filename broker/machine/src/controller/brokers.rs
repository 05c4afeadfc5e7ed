//! Registration, fencing and unfencing of brokers (Kafka's `ClusterControlManager`, and the parts of
//! `ReplicationControlManager` that follow from it). A restart is a registration with a new incarnation: the broker leaves
//! the leadership of all its partitions, and takes it again when it is unfenced; so leader epochs rise by two.

use std::collections::BTreeSet;

use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::ids::{BrokerId, Offset};
use slipring_protocol::metadata_records::{
    BrokerRegistrationChange, Endpoint, FeatureRange, RegisterBroker as RegisterBrokerRecord,
};
use uuid::Uuid;

use super::leadership::Move;
use super::{ApiError, Controller, Decision};
use crate::image::{BrokerEpoch, BrokerImage, DirectoryId, METADATA_VERSION};

/// A broker registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterBroker {
    /// Its node id.
    pub broker_id: BrokerId,
    /// Cluster that it believes to be in.
    pub cluster_id: String,
    /// Its process; fresh at every start.
    pub incarnation_id: Uuid,
    /// Where clients reach it.
    pub endpoints: Vec<Endpoint>,
    /// Feature levels that it supports; `metadata.version` must be among them.
    pub features: Vec<FeatureRange>,
    /// Its rack.
    pub rack: Option<String>,
    /// Its data directories that are online.
    pub log_dirs: Vec<Uuid>,
    /// Offset that the next record of the metadata log gets: a new registration's epoch.
    pub next_offset: Offset,
}

/// A broker by one of its registrations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokerRef {
    /// Its node id.
    pub id: BrokerId,
    /// Epoch of the registration.
    pub epoch: BrokerEpoch,
}

impl Controller {
    /// Registers a broker. A new incarnation starts fenced, under a new epoch, and without the leaderships of the one
    /// before; the same incarnation amends its registration and keeps its epoch.
    pub fn register_broker(&self, command: &RegisterBroker) -> Decision<Result<BrokerEpoch, ApiError>> {
        if let Err(error) = self.check_registration(command) {
            return Decision::nothing(Err(error));
        }
        let known = self.image.broker(command.broker_id);
        let same = known.filter(|broker| broker.incarnation_id == command.incarnation_id);
        let mut records = Vec::new();
        if same.is_none() && known.is_some() {
            self.leader_changes(Move::Leaves(command.broker_id), &mut records);
        }
        let epoch = same.map_or(BrokerEpoch(command.next_offset.0), |broker| broker.epoch);
        let record = RegisterBrokerRecord {
            broker: command.broker_id,
            migrating_zk_broker: false,
            incarnation: command.incarnation_id,
            epoch: epoch.0,
            endpoints: command.endpoints.clone(),
            features: command.features.clone(),
            rack: command.rack.clone(),
            fenced: same.is_none_or(|broker| broker.fenced),
            in_controlled_shutdown: same.is_some_and(|broker| broker.in_controlled_shutdown),
            log_dirs: command.log_dirs.clone(),
            cordoned_log_dirs: None,
        };
        records.push(record.into());
        // The registration stands last: when only a part was written, the broker registers again.
        Decision::splittable(records, Ok(epoch))
    }

    /// Lets a broker lead: the partitions without a leader that wait for it get it.
    pub fn unfence_broker(&self, broker: BrokerRef) -> Decision<Result<(), ApiError>> {
        self.fence(broker, false)
    }

    /// Takes every leadership from a broker, and hides it from clients.
    pub fn fence_broker(&self, broker: BrokerRef) -> Decision<Result<(), ApiError>> {
        self.fence(broker, true)
    }

    fn fence(&self, broker: BrokerRef, fenced: bool) -> Decision<Result<(), ApiError>> {
        match self.registered(broker) {
            Err(error) => return Decision::nothing(Err(error)),
            Ok(registration) if registration.fenced == fenced => return Decision::nothing(Ok(())),
            Ok(_) => {}
        }
        let change = BrokerRegistrationChange {
            broker: broker.id,
            epoch: broker.epoch.0,
            fenced: Some(fenced),
            ..BrokerRegistrationChange::default()
        };
        let mut records = Vec::new();
        if fenced {
            self.leader_changes(Move::Leaves(broker.id), &mut records);
            records.push(change.into());
        } else {
            records.push(change.into());
            self.leader_changes(Move::Arrives(broker.id), &mut records);
        }
        Decision::splittable(records, Ok(()))
    }

    /// The registration that a caller names, if it is the present one.
    pub(super) fn registered(&self, broker: BrokerRef) -> Result<&BrokerImage, ApiError> {
        let stale = |message| Err(ApiError::new(ErrorCode::StaleBrokerEpoch, message));
        match self.image.broker(broker.id) {
            None => stale(format!("No broker registration found for broker id {}", broker.id)),
            Some(registered) if registered.epoch != broker.epoch => {
                let (have, got) = (registered.epoch.0, broker.epoch.0);
                stale(format!("Expected broker epoch {have}, but got broker epoch {got}"))
            }
            Some(registered) => Ok(registered),
        }
    }

    fn check_registration(&self, command: &RegisterBroker) -> Result<(), ApiError> {
        let cluster_id = &**self.image.cluster_id();
        if command.cluster_id != cluster_id {
            return Err(ApiError::new(
                ErrorCode::InconsistentClusterId,
                format!("Expected cluster ID {cluster_id}, but got cluster ID {}", command.cluster_id),
            ));
        }
        self.check_directories(command)?;
        for feature in &command.features {
            self.check_feature(feature)?;
        }
        if !command.features.iter().any(|feature| feature.name == METADATA_VERSION) {
            return Err(invalid(format!("Request features do not contain '{METADATA_VERSION}'")));
        }
        // A feature that is in force but that the broker does not name is one that it has at level 0 only.
        for (name, _) in self.image.features() {
            if !command.features.iter().any(|feature| *feature.name == **name) {
                self.check_feature(&FeatureRange { name: name.to_string(), min: 0, max: 0 })?;
            }
        }
        Ok(())
    }

    fn check_directories(&self, command: &RegisterBroker) -> Result<(), ApiError> {
        if command.log_dirs.is_empty() {
            return Err(invalid("No directories specified in request"));
        }
        if command.log_dirs.iter().any(|&id| DirectoryId(id).is_reserved()) {
            return Err(invalid("Reserved directory ID in request"));
        }
        let ids: BTreeSet<&Uuid> = command.log_dirs.iter().collect();
        if ids.len() != command.log_dirs.len() {
            return Err(invalid("Duplicate directory ID in request"));
        }
        for other in self.image.brokers().filter(|other| other.id != command.broker_id) {
            if let Some(taken) = other.directories.iter().find(|directory| ids.contains(&directory.0)) {
                let taken = slipring_protocol::ids::encode_uuid(taken.0);
                return Err(invalid(format!(
                    "Broker {} is already registered with directory {taken}",
                    other.id
                )));
            }
        }
        Ok(())
    }

    fn check_feature(&self, feature: &FeatureRange) -> Result<(), ApiError> {
        let level = self.image.feature(&feature.name);
        if (feature.min..=feature.max).contains(&level) {
            return Ok(());
        }
        let message = format!(
            "Unable to register because the broker does not support finalized version {level} of {}. The broker wants a \
             version between {} and {}, inclusive.",
            feature.name, feature.min, feature.max
        );
        Err(ApiError::new(ErrorCode::UnsupportedVersion, message))
    }
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new(ErrorCode::InvalidRegistration, message)
}
