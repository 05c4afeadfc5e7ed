//! Streaming decompression of record areas with bounded memory: a caller's window plus the codec's own state. Runs on
//! the connection's core or a helper thread; never inflates a batch whole.

mod lz4;
mod snappy;
mod zstd_frames;

use std::io::{Cursor, Read};

use flate2::bufread::GzDecoder;

use self::lz4::Lz4Frame;
use self::snappy::SnappyStream;
use self::zstd_frames::ZstdFrames;
use super::compression::Compression;

/// A codec reading from `I`, the compressed record area.
pub(super) enum Decompressor<I: AsRef<[u8]>> {
    /// `None` once the last member has ended.
    Gzip(Option<Box<GzDecoder<Cursor<I>>>>),
    Snappy(SnappyStream<I>),
    Lz4(Lz4Frame<I>),
    Zstd(ZstdFrames<I>),
    /// Not compressed: the area as it is, so that readers need one path only.
    Plain(Cursor<I>),
}

impl<I: AsRef<[u8]>> Decompressor<I> {
    /// Opens `area`, what follows the batch header.
    pub(super) fn new(codec: Compression, area: I) -> Result<Self, CodecError> {
        Ok(match codec {
            Compression::None => Self::Plain(Cursor::new(area)),
            Compression::Gzip => Self::Gzip(Some(Box::new(GzDecoder::new(Cursor::new(area))))),
            Compression::Snappy => Self::Snappy(SnappyStream::new(area)?),
            Compression::Lz4 => Self::Lz4(Lz4Frame::new(area)?),
            Compression::Zstd => Self::Zstd(ZstdFrames::new(area)?),
        })
    }

    /// Inflates into `out` (not empty) and tells how many bytes; 0 is the end.
    pub(super) fn fill(&mut self, out: &mut [u8]) -> Result<usize, CodecError> {
        match self {
            Self::Gzip(decoder) => fill_gzip(decoder, out),
            Self::Snappy(stream) => stream.fill(out),
            Self::Lz4(frame) => frame.fill(out),
            Self::Zstd(frames) => frames.fill(out),
            Self::Plain(cursor) => cursor.read(out).map_err(|_| corrupt(Compression::None, "unreadable")),
        }
    }
}

/// Compressed bytes that their codec cannot read. The producer's fault when the batch's CRC is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} data is corrupt: {what}", codec.name())]
pub struct CodecError {
    /// The codec the batch names.
    pub codec: Compression,
    /// What is wrong.
    pub what: &'static str,
}

/// Bytes of codec state that inflating `area` will hold, as far as its first bytes claim; for a caller that reserves
/// memory first. Never more than the codec can reach.
#[must_use]
pub fn decompression_memory(codec: Compression, area: &[u8]) -> usize {
    match codec {
        Compression::None => 0,
        // A 32 KiB window and the tables.
        Compression::Gzip => 64 << 10,
        Compression::Snappy => snappy::claimed_length(area),
        Compression::Lz4 => lz4::block_size_max(area),
        Compression::Zstd => zstd_frames::window(area).saturating_add(ZSTD_STATE),
    }
}

/// Reads on into the next member as `java.util.zip.GZIPInputStream` does; anything else after a member is ignored.
fn fill_gzip<I: AsRef<[u8]>>(
    decoder: &mut Option<Box<GzDecoder<Cursor<I>>>>,
    out: &mut [u8],
) -> Result<usize, CodecError> {
    loop {
        let Some(current) = decoder else {
            return Ok(0);
        };
        let read = current.read(out).map_err(|_| corrupt(Compression::Gzip, "not a gzip stream"))?;
        if read > 0 {
            return Ok(read);
        }
        let rest = decoder.take().expect("it was there a moment ago").into_inner();
        let at = usize::try_from(rest.position()).unwrap_or(usize::MAX);
        let next = rest.get_ref().as_ref().get(at..).unwrap_or_default();
        if next.len() >= GZIP_MEMBER_MIN && next.starts_with(&GZIP_MAGIC) {
            *decoder = Some(Box::new(GzDecoder::new(rest)));
        }
    }
}

const fn corrupt(codec: Compression, what: &'static str) -> CodecError {
    CodecError { codec, what }
}

const GZIP_MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
/// Header and trailer of the smallest member.
const GZIP_MEMBER_MIN: usize = 18;
/// Largest window libzstd takes by default, and so does zstd-jni.
const ZSTD_WINDOW_MAX: usize = 1 << 27;
/// The decoder's tables, and two blocks of buffer.
const ZSTD_STATE: usize = 512 << 10;

#[cfg(test)]
mod tests;
