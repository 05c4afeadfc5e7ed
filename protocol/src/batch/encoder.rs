//! Compressing record areas piece by piece, in the form Kafka's broker writes (its `Compression.wrapForOutput`). Memory is
//! what came out so far, one block, and the codec's own state. Runs where validation runs.

use std::io::Write;

use lz4::block::CompressionMode;

use super::compression::{Compression, StoredCodec, ZSTD_LEVEL};

/// A compressor that appends to a vector.
pub(super) enum Encoder {
    Plain(Vec<u8>),
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
    Snappy(Box<Blocks<Snappy>>),
    Lz4(Blocks<Lz4>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Encoder {
    /// Appends to what `out` holds. Levels are Kafka's: gzip 1-9, or -1 for its default; lz4 9 is the fast compressor, any
    /// other the thorough one (`Lz4BlockOutputStream`).
    pub(super) fn new(stored: StoredCodec, out: Vec<u8>) -> Self {
        match stored.codec {
            Compression::None => Self::Plain(out),
            Compression::Gzip => {
                let level = stored.level.and_then(|level| u32::try_from(level).ok());
                let level = level.map_or_else(flate2::Compression::default, flate2::Compression::new);
                Self::Gzip(flate2::write::GzEncoder::new(out, level))
            }
            Compression::Snappy => {
                Self::Snappy(Box::new(Blocks::new(Snappy(snap::raw::Encoder::new()), out)))
            }
            Compression::Lz4 => {
                let level = stored.level.filter(|level| *level != LZ4_LEVEL);
                let mode = level.map_or(CompressionMode::DEFAULT, CompressionMode::HIGHCOMPRESSION);
                Self::Lz4(Blocks::new(Lz4(mode), out))
            }
            Compression::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(out, stored.level.unwrap_or(ZSTD_LEVEL))
                    .expect("libzstd takes any level, and clamps it");
                encoder.window_log(ZSTD_WINDOW_LOG).expect("the window is in libzstd's range");
                Self::Zstd(encoder)
            }
        }
    }

    /// Compresses on.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        match self {
            Self::Plain(out) => out.extend_from_slice(bytes),
            Self::Gzip(encoder) => encoder.write_all(bytes).expect(IN_MEMORY),
            Self::Snappy(blocks) => blocks.write(bytes),
            Self::Lz4(blocks) => blocks.write(bytes),
            Self::Zstd(encoder) => encoder.write_all(bytes).expect(IN_MEMORY),
        }
    }

    /// Bytes that came out so far, those it began with included.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Plain(out) => out.len(),
            Self::Gzip(encoder) => encoder.get_ref().len(),
            Self::Snappy(blocks) => blocks.out.len(),
            Self::Lz4(blocks) => blocks.out.len(),
            Self::Zstd(encoder) => encoder.get_ref().len(),
        }
    }

    /// Ends the stream.
    pub(super) fn finish(self) -> Vec<u8> {
        match self {
            Self::Plain(out) => out,
            Self::Gzip(encoder) => encoder.finish().expect(IN_MEMORY),
            Self::Snappy(blocks) => blocks.finish(),
            Self::Lz4(blocks) => blocks.finish(),
            Self::Zstd(encoder) => encoder.finish().expect(IN_MEMORY),
        }
    }
}

/// A stream of blocks that are compressed each for itself.
pub(super) struct Blocks<F> {
    format: F,
    out: Vec<u8>,
    block: Vec<u8>,
}

/// What a stream of blocks looks like.
pub(super) trait BlockFormat {
    /// Bytes of a whole block before it is compressed.
    const BLOCK_BYTES: usize;
    fn begin(&self, out: &mut Vec<u8>);
    fn block(&mut self, block: &[u8], out: &mut Vec<u8>);
    fn end(&self, out: &mut Vec<u8>);
}

impl<F: BlockFormat> Blocks<F> {
    fn new(format: F, mut out: Vec<u8>) -> Self {
        format.begin(&mut out);
        Self { format, out, block: Vec::new() }
    }

    fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = F::BLOCK_BYTES - self.block.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.block.extend_from_slice(now);
            if self.block.len() == F::BLOCK_BYTES {
                self.flush();
            }
            bytes = later;
        }
    }

    fn flush(&mut self) {
        if !self.block.is_empty() {
            self.format.block(&self.block, &mut self.out);
            self.block.clear();
        }
    }

    fn finish(mut self) -> Vec<u8> {
        self.flush();
        self.format.end(&mut self.out);
        self.out
    }
}

/// snappy-java's framing: a header, then blocks with their length in front.
pub(super) struct Snappy(snap::raw::Encoder);

impl BlockFormat for Snappy {
    const BLOCK_BYTES: usize = 32 << 10;

    fn begin(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&XERIAL_HEADER);
    }

    fn block(&mut self, block: &[u8], out: &mut Vec<u8>) {
        let packed = self.0.compress_vec(block).expect("a block is far below snappy's limit of 4 GiB");
        out.extend_from_slice(&(packed.len() as u32).to_be_bytes());
        out.extend_from_slice(&packed);
    }

    fn end(&self, _: &mut Vec<u8>) {}
}

/// An lz4 frame of independent 64 KiB blocks without checksums.
pub(super) struct Lz4(CompressionMode);

impl BlockFormat for Lz4 {
    const BLOCK_BYTES: usize = 64 << 10;

    fn begin(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&LZ4_MAGIC);
        out.extend_from_slice(&LZ4_DESCRIPTOR);
        let checksum = twox_hash::XxHash32::oneshot(0, &LZ4_DESCRIPTOR);
        out.push((checksum >> 8) as u8);
    }

    fn block(&mut self, block: &[u8], out: &mut Vec<u8>) {
        let at = out.len();
        let bound =
            lz4::block::compress_bound(block.len()).expect("a block is far below lz4's limit of 2 GiB");
        out.resize(at + 4 + bound, 0);
        let packed = lz4::block::compress_to_buffer(block, Some(self.0), false, &mut out[at + 4..])
            .expect("the room is what lz4 asked for");
        if packed < block.len() {
            out.truncate(at + 4 + packed);
            out[at..at + 4].copy_from_slice(&(packed as u32).to_le_bytes());
        } else {
            out.truncate(at + 4);
            out[at..].copy_from_slice(&(block.len() as u32 | LZ4_STORED).to_le_bytes());
            out.extend_from_slice(block);
        }
    }

    fn end(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&[0; 4]);
    }
}

/// snappy-java's stream header: magic, version 1, compatible with version 1.
pub(super) const XERIAL_HEADER: [u8; 16] =
    [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1];
const LZ4_MAGIC: [u8; 4] = 0x184D_2204_u32.to_le_bytes();
/// Version 1, independent blocks; blocks of 64 KiB.
const LZ4_DESCRIPTOR: [u8; 2] = [0b0110_0000, 4 << 4];
/// Marks a block that is not compressed.
const LZ4_STORED: u32 = 1 << 31;
/// Kafka's default of `compression.lz4.level`.
const LZ4_LEVEL: i32 = 9;
/// As large as batches usually may be. The window that the highest levels would take by themselves costs up to a GiB.
const ZSTD_WINDOW_LOG: u32 = 20;
const IN_MEMORY: &str = "writing to memory does not fail";

#[cfg(test)]
mod tests {
    use super::super::decompress::Decompressor;
    use super::*;

    fn inflate(codec: Compression, area: &[u8]) -> Vec<u8> {
        let mut source = Decompressor::new(codec, area).unwrap();
        let mut window = vec![0; 10_000];
        let mut out = Vec::new();
        loop {
            match source.fill(&mut window).unwrap() {
                0 => return out,
                read => out.extend_from_slice(&window[..read]),
            }
        }
    }

    #[test]
    fn every_codec_and_level_is_read_back() {
        let mut seed = 1u32;
        let noise = std::iter::repeat_with(|| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 24) as u8
        });
        let mut data: Vec<u8> = noise.take(150_000).collect();
        data.extend(b"the same again and again ".repeat(8_000));
        let levels: [(Compression, &[i32]); 5] = [
            (Compression::None, &[0]),
            (Compression::Gzip, &[-1, 1, 9]),
            (Compression::Snappy, &[0]),
            (Compression::Lz4, &[1, 9, 17]),
            (Compression::Zstd, &[-131_072, 0, 3, 19, 22]),
        ];
        for (codec, levels) in levels {
            for level in levels {
                for (size, step) in [(0, 1), (1, 1), (65_536, 7_000), (data.len(), 33_333)] {
                    let stored = StoredCodec { codec, level: Some(*level) };
                    let mut encoder = Encoder::new(stored, b"head".to_vec());
                    for piece in data[..size].chunks(step) {
                        encoder.write(piece);
                        assert!(encoder.len() >= 4);
                    }
                    let out = encoder.finish();
                    assert_eq!(&out[..4], b"head");
                    assert!(inflate(codec, &out[4..]) == data[..size], "{codec:?} {level} {size}");
                }
            }
        }
    }

    #[test]
    fn a_higher_level_packs_tighter() {
        let data: Vec<u8> =
            (0..40_000u32).flat_map(|n| (n.wrapping_mul(n) % 1_000).to_string().into_bytes()).collect();
        for (codec, low, high) in
            [(Compression::Gzip, 1, 9), (Compression::Lz4, 9, 12), (Compression::Zstd, 1, 19)]
        {
            let size = |level| {
                let mut encoder = Encoder::new(StoredCodec { codec, level: Some(level) }, Vec::new());
                encoder.write(&data);
                encoder.finish().len()
            };
            assert!(size(high) < size(low), "{codec:?}: {} {}", size(high), size(low));
        }
    }
}
