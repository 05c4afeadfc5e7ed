//! Numbers with a type: offsets, epochs, sequences and ids never stand side by side as bare integers.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use uuid::Uuid;

macro_rules! newtype {
    ($(#[$meta:meta])* $name:ident($inner:ty)) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

newtype!(
    /// Position of one record in a partition. Ends are exclusive.
    Offset(i64)
);
newtype!(
    /// Number of a partition leader's reign; stamped in batches outside their CRC. -1 when unknown.
    LeaderEpoch(i32)
);
newtype!(
    /// Identity of an idempotent or transactional producer. -1 when the producer is neither.
    ProducerId(i64)
);
newtype!(
    /// Incarnation of a producer id; a higher one fences lower ones. -1 when there is none.
    ProducerEpoch(i16)
);
newtype!(
    /// Per partition sequence number of a producer's record; wraps from `i32::MAX` to 0. -1 when there is none.
    Sequence(i32)
);
newtype!(
    /// Node id of a broker or controller.
    BrokerId(i32)
);
newtype!(
    /// Index of a partition in its topic.
    PartitionIndex(i32)
);
newtype!(
    /// Milliseconds since the Unix epoch. -1 when there is none.
    TimestampMs(i64)
);

impl Offset {
    /// The offset `records` further on. Saturates: bytes from outside may name any offset.
    #[must_use]
    pub const fn plus(self, records: i64) -> Self {
        Self(self.0.saturating_add(records))
    }
}

impl LeaderEpoch {
    /// "No epoch", as requests and old batches say it.
    pub const NONE: Self = Self(-1);
}

impl ProducerId {
    /// Neither idempotent nor transactional.
    pub const NONE: Self = Self(-1);
}

impl ProducerEpoch {
    /// No producer epoch.
    pub const NONE: Self = Self(-1);
}

impl Sequence {
    /// No sequence.
    pub const NONE: Self = Self(-1);

    /// The sequence `records` further on, wrapping past `i32::MAX` to 0 (Kafka's `DefaultRecordBatch.incrementSequence`).
    #[must_use]
    pub const fn plus(self, records: i32) -> Self {
        let room = i32::MAX - records;
        if self.0 > room { Self(records - (i32::MAX - self.0) - 1) } else { Self(self.0 + records) }
    }
}

/// A topic's id (KIP-516); all zero means "none". Shown as Kafka shows it: base64url without padding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub Uuid);

impl TopicId {
    /// "No id": what a request by name carries.
    pub const NONE: Self = Self(Uuid::nil());
    /// The fixed id of `__cluster_metadata` (Kafka's `Uuid.METADATA_TOPIC_ID`).
    pub const CLUSTER_METADATA: Self = Self(Uuid::from_u128(1));

    /// Whether this is "no id".
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0.is_nil()
    }
}

impl fmt::Display for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&encode_uuid(self.0))
    }
}

impl FromStr for TopicId {
    type Err = InvalidUuid;

    fn from_str(text: &str) -> Result<Self, InvalidUuid> {
        decode_uuid(text).map(Self)
    }
}

/// A partition by its topic's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    /// Topic name.
    pub topic: Arc<str>,
    /// Partition of it.
    pub partition: PartitionIndex,
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// A partition by its topic's id: unlike a name, never reused by another topic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicIdPartition {
    /// Topic id.
    pub topic_id: TopicId,
    /// Partition of it.
    pub partition: PartitionIndex,
}

impl fmt::Display for TopicIdPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic_id, self.partition)
    }
}

/// Text that is not a uuid in Kafka's base64url form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a uuid in base64url form (22 characters)")]
pub struct InvalidUuid;

const BASE64URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A uuid as Kafka writes it everywhere (`org.apache.kafka.common.Uuid.toString`): 22 characters of base64url.
#[must_use]
pub fn encode_uuid(uuid: Uuid) -> String {
    let value = uuid.as_u128();
    // 128 bits are 21 groups of six and one of two, which stands in the top of the last character.
    let mut text: String =
        (0..21).map(|group| char::from(BASE64URL[(value >> (122 - 6 * group)) as usize & 63])).collect();
    text.push(char::from(BASE64URL[(value << 4) as usize & 63]));
    text
}

/// The inverse of [`encode_uuid`].
///
/// # Errors
/// When the text is not 22 characters of base64url.
pub fn decode_uuid(text: &str) -> Result<Uuid, InvalidUuid> {
    if text.len() != 22 {
        return Err(InvalidUuid);
    }
    let mut value = 0u128;
    for (index, byte) in text.bytes().enumerate() {
        let six = BASE64URL.iter().position(|&letter| letter == byte).ok_or(InvalidUuid)? as u128;
        value = if index < 21 { value << 6 | six } else { value << 2 | six >> 4 };
    }
    Ok(Uuid::from_u128(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_wrap_to_zero() {
        assert_eq!(Sequence(i32::MAX).plus(1), Sequence(0));
        assert_eq!(Sequence(i32::MAX - 1).plus(3), Sequence(1));
        assert_eq!(Sequence(5).plus(3), Sequence(8));
    }

    #[test]
    fn uuids_read_back_and_match_kafka() {
        // Uuid.METADATA_TOPIC_ID prints as this in Kafka.
        assert_eq!(TopicId::CLUSTER_METADATA.to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        for value in [0u128, 1, u128::MAX, 0x0123_4567_89ab_cdef_0011_2233_4455_6677] {
            let uuid = Uuid::from_u128(value);
            assert_eq!(decode_uuid(&encode_uuid(uuid)), Ok(uuid));
        }
        assert_eq!(decode_uuid("short"), Err(InvalidUuid));
        assert_eq!(decode_uuid("AAAAAAAAAAAAAAAAAAAAA!"), Err(InvalidUuid));
    }
}
