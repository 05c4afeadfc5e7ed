//! New partitions, whether with a topic or later: who may hold them, and their records.

use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::ids::{BrokerId, LeaderEpoch, PartitionIndex, TopicId};
use slipring_protocol::metadata_records::{LeaderRecoveryState, Partition};

use super::{ApiError, Controller};
use crate::image::DirectoryId;

impl Controller {
    /// Whether brokers chosen by hand can hold a partition. `factor` is what the partitions before had.
    pub(super) fn check_assignment(
        &self,
        replicas: &[BrokerId],
        factor: Option<usize>,
        partition: PartitionIndex,
    ) -> Result<(), ApiError> {
        let invalid = |message: String| Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, message));
        if replicas.is_empty() {
            return invalid("The manual partition assignment includes an empty replica list.".to_owned());
        }
        let mut sorted = replicas.to_vec();
        sorted.sort_unstable();
        let mut before = None;
        for broker in sorted {
            if self.image.broker(broker).is_none() {
                return invalid(format!(
                    "The manual partition assignment includes broker {broker}, but no such broker is registered."
                ));
            }
            if before == Some(broker) {
                return invalid(format!(
                    "The manual partition assignment includes the broker {broker} more than once."
                ));
            }
            before = Some(broker);
        }
        if let Some(factor) = factor.filter(|factor| *factor != replicas.len()) {
            return invalid(format!(
                "The manual partition assignment includes a partition with {} replica(s), but this is not consistent \
                 with previous partitions, which have {factor} replica(s).",
                replicas.len()
            ));
        }
        if !replicas.iter().any(|&replica| self.is_active(replica)) {
            return invalid(format!(
                "All brokers specified in the manual partition assignment for partition {partition} are fenced or in \
                 controlled shutdown."
            ));
        }
        Ok(())
    }

    /// The record of a new partition: those of its brokers that are active are in sync, and the first of them leads.
    pub(super) fn new_partition(
        &self,
        topic: TopicId,
        partition: PartitionIndex,
        replicas: Vec<BrokerId>,
        directories: &[DirectoryId],
    ) -> Partition {
        let isr: Vec<BrokerId> =
            replicas.iter().copied().filter(|&replica| self.is_active(replica)).collect();
        Partition {
            partition,
            topic,
            leader: *isr.first().expect("placement and assignment take at least one active broker"),
            replicas,
            isr,
            removing_replicas: Vec::new(),
            adding_replicas: Vec::new(),
            leader_recovery: LeaderRecoveryState::Recovered,
            leader_epoch: LeaderEpoch(0),
            partition_epoch: 0,
            directories: directories.iter().map(|directory| directory.0).collect(),
            elr: Vec::new(),
            last_known_elr: Vec::new(),
        }
    }

    fn is_active(&self, broker: BrokerId) -> bool {
        self.image.broker(broker).is_some_and(|broker| broker.is_active())
    }
}
