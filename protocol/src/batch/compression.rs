//! The codecs of record batches by name and level, and compressing whole record areas. Piece by piece is `encoder`;
//! decompressing is `decompress/`.

use super::encoder::Encoder;

/// Codec in the low three attribute bits (`CompressionType`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Compression {
    /// Records as they are.
    #[default]
    None = 0,
    /// RFC 1952.
    Gzip = 1,
    /// snappy, in snappy-java's ("xerial") framing or raw.
    Snappy = 2,
    /// lz4 frame.
    Lz4 = 3,
    /// zstd frame.
    Zstd = 4,
}

impl Compression {
    /// All codecs, in the order of their ids.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The codec that attribute bits name; `None` for 5-7.
    #[must_use]
    pub const fn from_attributes(attributes: i16) -> Option<Self> {
        match attributes & 7 {
            0 => Some(Self::None),
            1 => Some(Self::Gzip),
            2 => Some(Self::Snappy),
            3 => Some(Self::Lz4),
            4 => Some(Self::Zstd),
            _ => None,
        }
    }

    /// The attribute bits.
    #[must_use]
    pub const fn bits(self) -> i16 {
        self as i16
    }

    /// Kafka's name of it, as in `compression.type`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// A codec and its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredCodec {
    /// The codec; `None` stores uncompressed.
    pub codec: Compression,
    /// The codec's level, as Kafka counts it; `None` where the codec has none, and for its default.
    pub level: Option<i32>,
}

/// Compresses `records` in the form Java clients write (snappy: xerial framing; lz4: independent 64 KiB blocks), at the
/// codec's default level.
#[must_use]
pub fn compress(codec: Compression, records: &[u8]) -> Vec<u8> {
    if codec == Compression::Zstd {
        // In one go: the frame then tells its size, and readers need no window.
        return zstd::bulk::compress(records, ZSTD_LEVEL).expect("compressing memory does not fail");
    }
    let mut encoder = Encoder::new(StoredCodec { codec, level: None }, Vec::new());
    encoder.write(records);
    encoder.finish()
}

pub(super) const ZSTD_LEVEL: i32 = 3;
