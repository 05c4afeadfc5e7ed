//! The one table of Kafka's APIs: key, name, version range, first flexible version, listener scope, and whether Slipring
//! serves it. Plain data for any core. ApiVersions, header versions and the router derive from it; nothing repeats it.

macro_rules! apis {
    ($($key:literal $name:ident $min:literal $min_served:literal $max:literal $flexible:tt $scope:ident $advertised:literal,)+) => {
        /// Every request of Kafka 4.3 that has a version left. (Keys 4 to 7 lost their last one in Kafka 4.0.)
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i16)]
        #[allow(missing_docs, reason = "the names are Kafka's")]
        pub enum ApiKey {
            $($name = $key,)+
        }

        /// All APIs, by ascending key.
        pub const APIS: &[ApiInfo] = &[$(ApiInfo {
            key: ApiKey::$name,
            name: stringify!($name),
            min: $min,
            min_served: $min_served,
            max: $max,
            flexible_from: $flexible,
            scope: Scope::$scope,
            advertised: $advertised,
        },)+];
    };
}

/// One API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiInfo {
    /// Its key.
    pub key: ApiKey,
    /// Its name as Kafka writes it.
    pub name: &'static str,
    /// Lowest version that ApiVersions names.
    pub min: i16,
    /// Lowest version that is answered. Differs from `min` for Produce only: librdkafka wants to see version 0
    /// advertised (KAFKA-18659), yet Kafka 4 refuses what is below 3.
    pub min_served: i16,
    /// Highest version, advertised and served.
    pub max: i16,
    /// First version with compact lengths and tagged fields; `i16::MAX` when there is none.
    pub flexible_from: i16,
    /// The listener that it belongs to.
    pub scope: Scope,
    /// Whether Slipring serves it and so names it in ApiVersions.
    pub advertised: bool,
}

/// Where a request may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// A listener for clients and brokers.
    Broker,
    /// The controller's listener only.
    Controller,
}

impl ApiInfo {
    /// Whether requests of this version are answered.
    #[must_use]
    pub const fn serves(&self, version: i16) -> bool {
        self.advertised && self.min_served <= version && version <= self.max
    }

    /// Whether this version has compact lengths and tagged fields.
    #[must_use]
    pub const fn is_flexible(&self, version: i16) -> bool {
        version >= self.flexible_from
    }

    /// Version of the request header: 2 for flexible requests, else 1 (Kafka 4 knows no version 0 any more).
    #[must_use]
    pub const fn request_header_version(&self, version: i16) -> i16 {
        if self.is_flexible(version) { 2 } else { 1 }
    }

    /// Version of the response header: 1 for flexible requests, else 0. ApiVersions always has 0: its client cannot know
    /// yet what the broker speaks (KIP-511).
    #[must_use]
    pub const fn response_header_version(&self, version: i16) -> i16 {
        if self.is_flexible(version) && !matches!(self.key, ApiKey::ApiVersions) { 1 } else { 0 }
    }
}

impl ApiKey {
    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> i16 {
        self as i16
    }

    /// Its row of the table.
    #[must_use]
    pub const fn info(self) -> &'static ApiInfo {
        &APIS[row(self.code())]
    }
}

/// The row of a key; none for keys that Kafka 4.3 does not know or no longer has.
#[must_use]
pub const fn lookup(key: i16) -> Option<&'static ApiInfo> {
    match key {
        0..=LAST_BEFORE_GAP | FIRST_AFTER_GAP..=LAST => Some(&APIS[row(key)]),
        _ => None,
    }
}

/// Whether a request of this key and version is answered.
#[must_use]
pub const fn supports(key: i16, version: i16) -> bool {
    match lookup(key) {
        Some(api) => api.serves(version),
        None => false,
    }
}

/// The rows that ApiVersions names, by ascending key.
pub fn advertised() -> impl Iterator<Item = &'static ApiInfo> {
    APIS.iter().filter(|api| api.advertised)
}

/// Version of the request header of a known API.
#[must_use]
pub const fn request_header_version(key: ApiKey, version: i16) -> i16 {
    key.info().request_header_version(version)
}

/// Version of the response header of a known API.
#[must_use]
pub const fn response_header_version(key: ApiKey, version: i16) -> i16 {
    key.info().response_header_version(version)
}

/// The version under which the `kafka-protocol` codec must be asked to read or write this API.
///
/// Kafka 4.3 is one ahead of it for ListOffsets: version 11 has the bytes of version 10 and only allows one more special
/// timestamp, -6 (KIP-1023). Whoever answers version 11 decodes and encodes it as 10. And for DescribeLogDirs: the request of
/// version 5 has the bytes of version 4; its answer has one field more and is written by hand.
#[must_use]
pub const fn codec_version(key: ApiKey, version: i16) -> i16 {
    match (key, version) {
        (ApiKey::ListOffsets, 11) => 10,
        (ApiKey::DescribeLogDirs, 5) => 4,
        _ => version,
    }
}

const fn row(key: i16) -> usize {
    (if key <= LAST_BEFORE_GAP { key } else { key - (FIRST_AFTER_GAP - LAST_BEFORE_GAP - 1) }) as usize
}

const LAST_BEFORE_GAP: i16 = 3;
const FIRST_AFTER_GAP: i16 = 8;
const LAST: i16 = 92;
const NEVER: i16 = i16::MAX;

const _: () = {
    let mut index = 0;
    while index < APIS.len() {
        let api = &APIS[index];
        assert!(row(api.key.code()) == index, "a key finds its own row");
        assert!(api.min <= api.min_served && api.min_served <= api.max, "ranges are not empty");
        index += 1;
    }
};

// key name, advertised from, served from, to, flexible from, listener, served by Slipring.
apis! {
    0 Produce 0 3 13 9 Broker true,
    1 Fetch 4 4 18 12 Broker true,
    2 ListOffsets 1 1 11 6 Broker true,
    3 Metadata 0 0 13 9 Broker true,
    8 OffsetCommit 2 2 10 8 Broker true,
    9 OffsetFetch 1 1 10 6 Broker true,
    10 FindCoordinator 0 0 6 3 Broker true,
    11 JoinGroup 0 0 9 6 Broker true,
    12 Heartbeat 0 0 4 4 Broker true,
    13 LeaveGroup 0 0 5 4 Broker true,
    14 SyncGroup 0 0 5 4 Broker true,
    15 DescribeGroups 0 0 6 5 Broker true,
    16 ListGroups 0 0 5 3 Broker true,
    17 SaslHandshake 0 0 1 NEVER Broker false,
    18 ApiVersions 0 0 4 3 Broker true,
    19 CreateTopics 2 2 7 5 Broker true,
    20 DeleteTopics 1 1 6 4 Broker true,
    21 DeleteRecords 0 0 2 2 Broker true,
    22 InitProducerId 0 0 5 2 Broker true,
    23 OffsetForLeaderEpoch 2 2 4 4 Broker true,
    24 AddPartitionsToTxn 0 0 5 3 Broker false,
    25 AddOffsetsToTxn 0 0 4 3 Broker false,
    26 EndTxn 0 0 5 3 Broker false,
    27 WriteTxnMarkers 1 1 2 1 Broker false,
    28 TxnOffsetCommit 0 0 5 3 Broker false,
    29 DescribeAcls 1 1 3 2 Broker false,
    30 CreateAcls 1 1 3 2 Broker false,
    31 DeleteAcls 1 1 3 2 Broker false,
    32 DescribeConfigs 1 1 4 4 Broker true,
    33 AlterConfigs 0 0 2 2 Broker true,
    34 AlterReplicaLogDirs 1 1 2 2 Broker false,
    35 DescribeLogDirs 1 1 5 2 Broker true,
    36 SaslAuthenticate 0 0 2 2 Broker false,
    37 CreatePartitions 0 0 3 2 Broker true,
    38 CreateDelegationToken 1 1 3 2 Broker false,
    39 RenewDelegationToken 1 1 2 2 Broker false,
    40 ExpireDelegationToken 1 1 2 2 Broker false,
    41 DescribeDelegationToken 1 1 3 2 Broker false,
    42 DeleteGroups 0 0 2 2 Broker true,
    43 ElectLeaders 0 0 2 2 Broker true,
    44 IncrementalAlterConfigs 0 0 1 1 Broker true,
    45 AlterPartitionReassignments 0 0 1 0 Broker true,
    46 ListPartitionReassignments 0 0 0 0 Broker true,
    47 OffsetDelete 0 0 0 NEVER Broker true,
    48 DescribeClientQuotas 0 0 1 1 Broker false,
    49 AlterClientQuotas 0 0 1 1 Broker false,
    50 DescribeUserScramCredentials 0 0 0 0 Broker false,
    51 AlterUserScramCredentials 0 0 0 0 Broker false,
    52 Vote 0 0 2 0 Controller false,
    53 BeginQuorumEpoch 0 0 1 1 Controller false,
    54 EndQuorumEpoch 0 0 1 1 Controller false,
    55 DescribeQuorum 0 0 2 0 Broker true,
    56 AlterPartition 2 2 3 0 Controller false,
    57 UpdateFeatures 0 0 2 0 Broker true,
    58 Envelope 0 0 0 0 Controller false,
    59 FetchSnapshot 0 0 1 0 Controller false,
    60 DescribeCluster 0 0 2 0 Broker true,
    61 DescribeProducers 0 0 0 0 Broker true,
    62 BrokerRegistration 0 0 4 0 Controller false,
    63 BrokerHeartbeat 0 0 2 0 Controller false,
    64 UnregisterBroker 0 0 0 0 Broker true,
    65 DescribeTransactions 0 0 0 0 Broker false,
    66 ListTransactions 0 0 2 0 Broker false,
    67 AllocateProducerIds 0 0 0 0 Controller false,
    68 ConsumerGroupHeartbeat 0 0 1 0 Broker true,
    69 ConsumerGroupDescribe 0 0 1 0 Broker true,
    70 ControllerRegistration 0 0 0 0 Controller false,
    71 GetTelemetrySubscriptions 0 0 0 0 Broker false,
    72 PushTelemetry 0 0 0 0 Broker false,
    73 AssignReplicasToDirs 0 0 0 0 Controller false,
    74 ListConfigResources 0 0 1 0 Broker true,
    75 DescribeTopicPartitions 0 0 0 0 Broker true,
    76 ShareGroupHeartbeat 1 1 1 0 Broker false,
    77 ShareGroupDescribe 1 1 1 0 Broker false,
    78 ShareFetch 1 1 2 0 Broker false,
    79 ShareAcknowledge 1 1 2 0 Broker false,
    80 AddRaftVoter 0 0 1 0 Broker false,
    81 RemoveRaftVoter 0 0 0 0 Broker false,
    82 UpdateRaftVoter 0 0 0 0 Controller false,
    83 InitializeShareGroupState 0 0 0 0 Broker false,
    84 ReadShareGroupState 0 0 0 0 Broker false,
    85 WriteShareGroupState 0 0 1 0 Broker false,
    86 DeleteShareGroupState 0 0 0 0 Broker false,
    87 ReadShareGroupStateSummary 0 0 1 0 Broker false,
    88 StreamsGroupHeartbeat 0 0 0 0 Broker false,
    89 StreamsGroupDescribe 0 0 0 0 Broker false,
    90 DescribeShareGroupOffsets 0 0 1 0 Broker false,
    91 AlterShareGroupOffsets 0 0 0 0 Broker false,
    92 DeleteShareGroupOffsets 0 0 0 0 Broker false,
}
