//! Kafka's error codes, all of 4.3. Plain values, for any core; which code an error becomes is decided where the error is
//! mapped to the wire, never here.

use std::fmt;

macro_rules! error_codes {
    ($($code:literal $name:ident $kind:ident $message:literal,)+) => {
        /// Kafka's error codes (`org.apache.kafka.common.protocol.Errors`). `None` is "no error".
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        pub enum ErrorCode {
            $(#[doc = $message] $name = $code,)+
        }

        impl ErrorCode {
            /// Every code, ascending.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The code of a number; a number that Kafka 4.3 does not know is `UnknownServerError`, as Kafka's clients
            /// read it.
            #[must_use]
            pub const fn from_code(code: i16) -> Self {
                match code {
                    $($code => Self::$name,)+
                    _ => Self::UnknownServerError,
                }
            }

            /// Whether the same request may succeed later (Kafka's `RetriableException`).
            #[must_use]
            pub const fn is_retriable(self) -> bool {
                match self {
                    $(Self::$name => is_retriable!($kind),)+
                }
            }

            /// What the code means, in a few words.
            #[must_use]
            pub const fn message(self) -> &'static str {
                match self {
                    $(Self::$name => $message,)+
                }
            }
        }
    };
}

macro_rules! is_retriable {
    (retriable) => {
        true
    };
    (fatal) => {
        false
    };
}

impl ErrorCode {
    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// Whether there is an error at all.
    #[must_use]
    pub const fn is_error(self) -> bool {
        !matches!(self, Self::None)
    }
}

#[expect(clippy::derivable_impls, reason = "the table's macro cannot mark one of its variants")]
impl Default for ErrorCode {
    fn default() -> Self {
        Self::None
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?} ({}): {}", self.code(), self.message())
    }
}

impl std::error::Error for ErrorCode {}

error_codes! {
    -1 UnknownServerError fatal "the broker met an error it did not expect",
    0 None fatal "no error",
    1 OffsetOutOfRange fatal "the offset lies outside the log",
    2 CorruptMessage retriable "the batch is corrupt, too large, or misses a key that the topic needs",
    3 UnknownTopicOrPartition retriable "no such topic or partition here",
    4 InvalidFetchSize fatal "the fetch size is not valid",
    5 LeaderNotAvailable retriable "the partition has no leader at the moment",
    6 NotLeaderOrFollower retriable "this broker is not the leader, or not a replica, of the partition",
    7 RequestTimedOut retriable "the request timed out",
    8 BrokerNotAvailable fatal "the broker is not available",
    9 ReplicaNotAvailable retriable "the replica is not available",
    10 MessageTooLarge fatal "the record batch is larger than the topic allows",
    11 StaleControllerEpoch fatal "the controller epoch is stale",
    12 OffsetMetadataTooLarge fatal "the metadata of the committed offset is too large",
    13 NetworkException retriable "the connection broke before the answer came",
    14 CoordinatorLoadInProgress retriable "the coordinator is still loading",
    15 CoordinatorNotAvailable retriable "the coordinator is not available",
    16 NotCoordinator retriable "this broker is not the coordinator",
    17 InvalidTopicException fatal "the topic name is not valid",
    18 RecordListTooLarge fatal "the batches are larger than a segment",
    19 NotEnoughReplicas retriable "fewer replicas in sync than min.insync.replicas asks for",
    20 NotEnoughReplicasAfterAppend retriable "appended, but with fewer replicas in sync than min.insync.replicas asks for",
    21 InvalidRequiredAcks fatal "acks is none of -1, 0 and 1",
    22 IllegalGeneration fatal "the group generation is not the current one",
    23 InconsistentGroupProtocol fatal "no protocol that all members of the group share",
    24 InvalidGroupId fatal "the group id is not valid",
    25 UnknownMemberId fatal "the coordinator does not know this member",
    26 InvalidSessionTimeout fatal "the session timeout is outside the allowed range",
    27 RebalanceInProgress fatal "the group is rebalancing",
    28 InvalidCommitOffsetSize fatal "the committed offset does not fit in a record",
    29 TopicAuthorizationFailed fatal "not authorized for the topic",
    30 GroupAuthorizationFailed fatal "not authorized for the group",
    31 ClusterAuthorizationFailed fatal "not authorized for the cluster",
    32 InvalidTimestamp fatal "a record's timestamp is outside the allowed range",
    33 UnsupportedSaslMechanism fatal "the SASL mechanism is not supported",
    34 IllegalSaslState fatal "not possible in the present SASL state",
    35 UnsupportedVersion fatal "the version of this API is not supported",
    36 TopicAlreadyExists fatal "the topic exists already",
    37 InvalidPartitions fatal "the number of partitions is not valid",
    38 InvalidReplicationFactor fatal "the replication factor is below 1 or above the number of brokers",
    39 InvalidReplicaAssignment fatal "the replica assignment is not valid",
    40 InvalidConfig fatal "the configuration is not valid",
    41 NotController retriable "this node is not the active controller",
    42 InvalidRequest fatal "the request is malformed or contradicts itself",
    43 UnsupportedForMessageFormat fatal "the message format does not support the request",
    44 PolicyViolation fatal "a policy refuses the request",
    45 OutOfOrderSequenceNumber fatal "the producer's sequence number is out of order",
    46 DuplicateSequenceNumber fatal "the producer's sequence number was used before",
    47 InvalidProducerEpoch fatal "the producer epoch is old",
    48 InvalidTxnState fatal "not possible in the transaction's present state",
    49 InvalidProducerIdMapping fatal "the producer id does not belong to this transactional id",
    50 InvalidTransactionTimeout fatal "the transaction timeout is above transaction.max.timeout.ms",
    51 ConcurrentTransactions retriable "another operation on the transaction is under way",
    52 TransactionCoordinatorFenced fatal "the transaction coordinator was fenced by a newer one",
    53 TransactionalIdAuthorizationFailed fatal "not authorized for the transactional id",
    54 SecurityDisabled fatal "security is switched off",
    55 OperationNotAttempted fatal "the operation was not attempted",
    56 KafkaStorageError retriable "the disk failed under the log",
    57 LogDirNotFound fatal "no such log directory on this broker",
    58 SaslAuthenticationFailed fatal "SASL authentication failed",
    59 UnknownProducerId fatal "no state is held for this producer id",
    60 ReassignmentInProgress fatal "a reassignment of the partition is under way",
    61 DelegationTokenAuthDisabled fatal "delegation tokens are switched off",
    62 DelegationTokenNotFound fatal "no such delegation token",
    63 DelegationTokenOwnerMismatch fatal "the principal may not use this delegation token",
    64 DelegationTokenRequestNotAllowed fatal "delegation tokens cannot be requested over this connection",
    65 DelegationTokenAuthorizationFailed fatal "not authorized for the delegation token",
    66 DelegationTokenExpired fatal "the delegation token has expired",
    67 InvalidPrincipalType fatal "the principal type is not supported",
    68 NonEmptyGroup fatal "the group is not empty",
    69 GroupIdNotFound fatal "no such group",
    70 FetchSessionIdNotFound retriable "no such fetch session",
    71 InvalidFetchSessionEpoch retriable "the fetch session epoch is not the expected one",
    72 ListenerNotFound retriable "the leader has no listener of this name",
    73 TopicDeletionDisabled fatal "topic deletion is switched off",
    74 FencedLeaderEpoch retriable "the leader epoch in the request is older than the broker's",
    75 UnknownLeaderEpoch retriable "the leader epoch in the request is newer than the broker's",
    76 UnsupportedCompressionType fatal "the client cannot read the partition's compression",
    77 StaleBrokerEpoch fatal "the broker epoch is stale",
    78 OffsetNotAvailable retriable "the high watermark has not caught up since the election",
    79 MemberIdRequired fatal "join again with the member id given here",
    80 PreferredLeaderNotAvailable retriable "the preferred leader is not available",
    81 GroupMaxSizeReached fatal "the group is full",
    82 FencedInstanceId fatal "another member took this group.instance.id",
    83 EligibleLeadersNotAvailable retriable "no replica is eligible to lead",
    84 ElectionNotNeeded retriable "no election is needed",
    85 NoReassignmentInProgress fatal "no reassignment is under way",
    86 GroupSubscribedToTopic fatal "the group is subscribed to the topic",
    87 InvalidRecord fatal "a record failed validation",
    88 UnstableOffsetCommit retriable "transactional offset commits are still undecided",
    89 ThrottlingQuotaExceeded retriable "a quota is used up",
    90 ProducerFenced fatal "a newer producer with this transactional id exists",
    91 ResourceNotFound fatal "the request names something that does not exist",
    92 DuplicateResource fatal "the request names something twice",
    93 UnacceptableCredential fatal "the credential is not acceptable",
    94 InconsistentVoterSet fatal "the voter set does not match",
    95 InvalidUpdateVersion fatal "the update version is not valid",
    96 FeatureUpdateFailed fatal "the features could not be updated",
    97 PrincipalDeserializationFailure fatal "the forwarded principal could not be read",
    98 SnapshotNotFound fatal "no such snapshot",
    99 PositionOutOfRange fatal "the position lies outside the snapshot",
    100 UnknownTopicId retriable "no topic with this id here",
    101 DuplicateBrokerRegistration fatal "the broker id is in use",
    102 BrokerIdNotRegistered fatal "the broker id is not registered",
    103 InconsistentTopicId retriable "the log belongs to another topic id",
    104 InconsistentClusterId fatal "the cluster id is another one",
    105 TransactionalIdNotFound fatal "no such transactional id",
    106 FetchSessionTopicIdError retriable "the fetch session mixes requests with and without topic ids",
    107 IneligibleReplica fatal "the new in-sync set holds an ineligible replica",
    108 NewLeaderElected fatal "the partition changed and a new leader was elected",
    109 OffsetMovedToTieredStorage fatal "the offset moved to tiered storage",
    110 FencedMemberEpoch fatal "the member epoch is fenced, rejoin the group",
    111 UnreleasedInstanceId fatal "the instance id is still held by another member",
    112 UnsupportedAssignor fatal "the assignor is not supported",
    113 StaleMemberEpoch fatal "the member epoch is stale",
    114 MismatchedEndpointType fatal "the endpoint is of the wrong type",
    115 UnsupportedEndpointType fatal "the endpoint type is not supported",
    116 UnknownControllerId fatal "no such controller id",
    117 UnknownSubscriptionId fatal "the telemetry subscription id is unknown",
    118 TelemetryTooLarge fatal "the telemetry payload is too large",
    119 InvalidRegistration fatal "the registration is not valid",
    120 TransactionAbortable fatal "the transaction must be aborted",
    121 InvalidRecordState fatal "the record is in another state",
    122 ShareSessionNotFound retriable "no such share session",
    123 InvalidShareSessionEpoch retriable "the share session epoch is not the expected one",
    124 FencedStateEpoch fatal "the share state epoch is fenced",
    125 InvalidVoterKey fatal "the voter key belongs to another replica",
    126 DuplicateVoter fatal "the voter is in the set already",
    127 VoterNotFound fatal "the voter is not in the set",
    128 InvalidRegularExpression fatal "the regular expression is not valid",
    129 RebootstrapRequired fatal "the metadata is too old, bootstrap again",
    130 StreamsInvalidTopology fatal "the streams topology is not valid",
    131 StreamsInvalidTopologyEpoch fatal "the streams topology epoch is not valid",
    132 StreamsTopologyFenced fatal "the streams topology epoch is old",
    133 ShareSessionLimitReached retriable "too many share sessions",
}

#[cfg(test)]
mod tests {
    use kafka_protocol::error::ResponseError;

    use super::*;

    #[test]
    fn numbers_are_dense_and_read_back() {
        let numbers: Vec<i16> = ErrorCode::ALL.iter().map(|code| code.code()).collect();
        assert_eq!(numbers, (-1..=133).collect::<Vec<_>>());
        assert!(ErrorCode::ALL.iter().all(|&code| ErrorCode::from_code(code.code()) == code));
        assert_eq!(ErrorCode::from_code(999), ErrorCode::UnknownServerError);
    }

    #[test]
    fn names_and_retriability_agree_with_the_published_codec() {
        for &code in ErrorCode::ALL {
            let Some(theirs) = ResponseError::try_from_code(code.code()) else { continue };
            assert_eq!(format!("{code:?}"), format!("{theirs:?}"));
            // ConcurrentTransactionsException is retriable since Kafka 4.0; the published table still says otherwise.
            let retriable = theirs.is_retriable() || code == ErrorCode::ConcurrentTransactions;
            assert_eq!(code.is_retriable(), retriable, "{code:?}");
        }
    }
}
