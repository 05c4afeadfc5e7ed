//! Streaming decompression of record areas with bounded memory: a caller's window plus the codec's own state. Runs on
//! the connection's core or a helper thread; never inflates a batch whole.

mod lz4;
mod snappy;

use std::io::{Cursor, Read};

use flate2::bufread::GzDecoder;

use self::lz4::Lz4Frame;
use self::snappy::SnappyStream;
use super::compression::Compression;

/// A codec reading from `I`, the compressed record area.
pub(super) enum Decompressor<I: AsRef<[u8]>> {
    /// `None` once the last member has ended.
    Gzip(Option<Box<GzDecoder<Cursor<I>>>>),
    Snappy(SnappyStream<I>),
    Lz4(Lz4Frame<I>),
    Zstd(Box<zstd::stream::read::Decoder<'static, Cursor<I>>>),
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
            Compression::Zstd => {
                let decoder = zstd::stream::read::Decoder::with_buffer(Cursor::new(area))
                    .map_err(|_| corrupt(Compression::Zstd, "no decoder"))?;
                Self::Zstd(Box::new(decoder))
            }
        })
    }

    /// Inflates into `out` (not empty) and tells how many bytes; 0 is the end.
    pub(super) fn fill(&mut self, out: &mut [u8]) -> Result<usize, CodecError> {
        match self {
            Self::Gzip(decoder) => fill_gzip(decoder, out),
            Self::Snappy(stream) => stream.fill(out),
            Self::Lz4(frame) => frame.fill(out),
            Self::Zstd(decoder) => {
                decoder.read(out).map_err(|_| corrupt(Compression::Zstd, "not a zstd stream"))
            }
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
        Compression::Zstd => zstd_window(area).saturating_add(ZSTD_STATE),
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

/// The window that a zstd frame header claims (RFC 8878 3.1.1.1), at most what the decoder accepts.
fn zstd_window(area: &[u8]) -> usize {
    let Some((_, [descriptor, window, ..])) = area.split_at_checked(4) else {
        return 0;
    };
    if descriptor & 0x20 != 0 {
        // A single segment: the window is the content, whose size follows the dictionary id.
        let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
        let size_bytes = [1, 2, 4, 8][usize::from(descriptor >> 6)];
        let field = area.get(5 + dictionary..5 + dictionary + size_bytes).unwrap_or_default();
        let size = field.iter().rev().fold(0u64, |size, &byte| size << 8 | u64::from(byte));
        let size = if size_bytes == 2 { size + 256 } else { size };
        return usize::try_from(size).unwrap_or(usize::MAX).min(ZSTD_WINDOW_MAX);
    }
    let base = 1usize << (10 + (window >> 3)).min(27);
    (base + base / 8 * usize::from(window & 7)).min(ZSTD_WINDOW_MAX)
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
