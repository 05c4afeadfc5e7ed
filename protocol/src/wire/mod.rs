//! The primitives of Kafka's wire format, and what can be wrong with bytes. On the connection's core; allocates only what
//! a caller asks for, and nothing on the word of a count.

mod leader;
mod reader;
mod writer;

pub use kafka_protocol::protocol::StrBytes as WireStr;
use smallvec::SmallVec;

pub use leader::{LeaderIdAndEpoch, NodeEndpoint};
pub(crate) use leader::{read_endpoints, write_endpoints};
pub(crate) use reader::{Decoder, Reader};
pub(crate) use writer::{Writer, uvarint_size};

/// A list that mostly holds one element, which then needs no allocation.
pub type Few<T> = SmallVec<[T; 1]>;

/// Longest string of the protocol, in bytes.
pub const STRING_BYTES_MAX: usize = i16::MAX as usize;

/// Bytes that the decoded form of a request may take whatever its size on the wire: room for some 100,000 short elements.
pub const DECODED_BYTES_FLOOR: usize = 8 << 20;

/// Bytes that the decoded form may take on top, per byte on the wire. An element of a real request (a topic name of ten
/// letters, a partition of ListOffsets) takes two to four.
pub const DECODED_BYTES_PER_WIRE_BYTE: usize = 4;

/// The most memory that the decoded form of a body of `wire` bytes may take before it is refused.
#[must_use]
pub const fn decoded_bytes_max(wire: usize) -> usize {
    DECODED_BYTES_FLOOR + wire * DECODED_BYTES_PER_WIRE_BYTE
}

/// Bytes that are no request (or response). Kafka throws `InvalidRequestException` and closes the connection; so do we.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The bytes end inside a field.
    #[error("{wanted} bytes wanted, {left} left")]
    Truncated {
        /// Bytes that the field needs.
        wanted: usize,
        /// Bytes that there are.
        left: usize,
    },
    /// An array claims more elements than the bytes left can hold.
    #[error("array of {count} elements in {left} bytes")]
    CountTooLarge {
        /// Elements claimed.
        count: usize,
        /// Bytes that there are.
        left: usize,
    },
    /// Null where the schema allows none.
    #[error("null where a value must stand")]
    Null,
    /// A string above [`STRING_BYTES_MAX`].
    #[error("string of {0} bytes")]
    StringTooLong(usize),
    /// A variable-length integer of more than five bytes.
    #[error("variable-length integer of more than five bytes")]
    VarintTooLong,
    /// A tagged field that this version does not have.
    #[error("tag {tag} is not valid in version {version}")]
    TagNotValid {
        /// The tag.
        tag: u32,
        /// Version of the message.
        version: i16,
    },
    /// The decoded form would take more than [`decoded_bytes_max`].
    #[error("too many elements for a request of {wire} bytes")]
    TooManyElements {
        /// Bytes of the body.
        wire: usize,
    },
    /// No API has this key.
    #[error("unknown API key {0}")]
    UnknownKey(i16),
    /// The API is not served in this version.
    #[error("API key {key} is not served in version {version}")]
    UnsupportedVersion {
        /// Key asked for.
        key: i16,
        /// Version asked for.
        version: i16,
    },
    /// The published codec refuses what our own walk let pass.
    #[error("the codec of API key {key} version {version} refuses the message")]
    Codec {
        /// Key of the API.
        key: i16,
        /// Version of the message.
        version: i16,
    },
}
