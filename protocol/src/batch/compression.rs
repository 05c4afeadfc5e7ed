//! The codecs of record batches by name, and compressing whole record areas. Decompressing is `decompress/`.

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

/// Compresses `records` in the form Java clients write (snappy: xerial framing; lz4: independent 64 KiB blocks), at the
/// codec's default level.
#[must_use]
pub fn compress(codec: Compression, records: &[u8]) -> Vec<u8> {
    match codec {
        Compression::None => records.to_vec(),
        Compression::Gzip => compress_gzip(records),
        Compression::Snappy => compress_xerial(records),
        Compression::Lz4 => compress_lz4(records),
        Compression::Zstd => {
            zstd::bulk::compress(records, ZSTD_LEVEL).expect("compressing memory does not fail")
        }
    }
}

fn compress_gzip(records: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(records).and_then(|()| encoder.finish()).expect("writing to memory does not fail")
}

fn compress_lz4(records: &[u8]) -> Vec<u8> {
    use std::io::Write;

    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
    let info = FrameInfo::new().block_size(BlockSize::Max64KB).block_mode(BlockMode::Independent);
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(records).expect("writing to memory does not fail");
    encoder.finish().expect("writing to memory does not fail")
}

fn compress_xerial(records: &[u8]) -> Vec<u8> {
    let mut out = XERIAL_HEADER.to_vec();
    let mut encoder = snap::raw::Encoder::new();
    for block in records.chunks(XERIAL_BLOCK_SIZE) {
        let packed = encoder.compress_vec(block).expect("a block is far below snappy's limit of 4 GiB");
        out.extend_from_slice(&(packed.len() as u32).to_be_bytes());
        out.extend_from_slice(&packed);
    }
    out
}

/// snappy-java's stream header: magic, version 1, compatible with version 1.
pub(super) const XERIAL_HEADER: [u8; 16] =
    [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1];
const XERIAL_BLOCK_SIZE: usize = 32 * 1024;
const ZSTD_LEVEL: i32 = 3;
