//! lz4 frames as Kafka reads them (`Lz4BlockInputStream`): one frame, independent blocks only, header and block
//! checksums checked, content checksum and everything after the end mark ignored. One block is inflated at a time.

use twox_hash::XxHash32;

use super::super::compression::Compression;
use super::{CodecError, corrupt};

/// One frame being read.
pub(in super::super) struct Lz4Frame<I> {
    area: I,
    at: usize,
    block_max: usize,
    block_checksums: bool,
    block: Vec<u8>,
    /// What is left of the current block, in `block` or, where stored, in `area`.
    left: std::ops::Range<usize>,
    stored: bool,
    finished: bool,
}

impl<I: AsRef<[u8]>> Lz4Frame<I> {
    /// Reads and checks the frame header.
    pub(super) fn new(area: I) -> Result<Self, CodecError> {
        let bytes = area.as_ref();
        let descriptor = bytes.get(4..).unwrap_or_default();
        let [flags, block_descriptor, ..] = *descriptor else {
            return Err(bad("cut short in the frame header"));
        };
        if !bytes.starts_with(&MAGIC) {
            return Err(bad("no frame magic"));
        }
        if flags & VERSION_MASK != VERSION_1 || flags & RESERVED_MASK != 0 || block_descriptor & 0x8f != 0 {
            return Err(bad("unsupported frame"));
        }
        if flags & INDEPENDENT == 0 {
            return Err(bad("blocks depend on each other"));
        }
        let block_max = block_size(block_descriptor).ok_or(bad("unsupported block size"))?;
        let length = if flags & CONTENT_SIZE != 0 { 10 } else { 2 };
        let (hashed, rest) =
            descriptor.split_at_checked(length).ok_or(bad("cut short in the frame header"))?;
        let check = *rest.first().ok_or(bad("cut short in the frame header"))?;
        if check != (XxHash32::oneshot(0, hashed) >> 8) as u8 {
            return Err(bad("frame header checksum"));
        }
        Ok(Self {
            at: 4 + length + 1,
            block_max,
            block_checksums: flags & BLOCK_CHECKSUM != 0,
            block: Vec::new(),
            left: 0..0,
            stored: false,
            finished: false,
            area,
        })
    }

    /// Gives what is left of the current block, else inflates the next one. 0 after the end mark.
    pub(super) fn fill(&mut self, out: &mut [u8]) -> Result<usize, CodecError> {
        while self.left.is_empty() {
            if self.finished {
                return Ok(0);
            }
            self.next_block()?;
        }
        let source = if self.stored { self.area.as_ref() } else { &self.block };
        let length = out.len().min(self.left.len());
        let end = self.left.start + length;
        let piece = source.get(self.left.start..end).ok_or(bad("cut short"))?;
        out[..length].copy_from_slice(piece);
        self.left.start = end;
        Ok(length)
    }

    fn next_block(&mut self) -> Result<(), CodecError> {
        let bytes = self.area.as_ref();
        let word = take_word(bytes, &mut self.at)?;
        let size = (word & !STORED) as usize;
        if size == 0 {
            self.finished = true;
            return Ok(());
        }
        if size > self.block_max {
            return Err(bad("block larger than the frame allows"));
        }
        let start = self.at;
        let data = bytes.get(start..start + size).ok_or(bad("cut short in a block"))?;
        self.at += size;
        if self.block_checksums && take_word(bytes, &mut self.at)? != XxHash32::oneshot(0, data) {
            return Err(bad("block checksum"));
        }
        self.stored = word & STORED != 0;
        if self.stored {
            self.left = start..start + size;
            return Ok(());
        }
        // A byte of lz4 gives at most 255, so a small block cannot make us take the largest buffer.
        let room = self.block_max.min(size.saturating_mul(255));
        if self.block.len() < room {
            self.block.resize(room, 0);
        }
        let inflated = lz4_flex::block::decompress_into(data, &mut self.block[..room])
            .map_err(|_| bad("not an lz4 block"))?;
        self.left = 0..inflated;
        Ok(())
    }
}

/// The block buffer a frame asks for, 0 when this is no frame.
pub(super) fn block_size_max(area: &[u8]) -> usize {
    let claimed = area.get(5).and_then(|&descriptor| block_size(descriptor)).unwrap_or(0);
    claimed.min(area.len().saturating_mul(255))
}

fn block_size(descriptor: u8) -> Option<usize> {
    match descriptor >> 4 & 7 {
        4 => Some(64 << 10),
        5 => Some(256 << 10),
        6 => Some(1 << 20),
        7 => Some(4 << 20),
        _ => None,
    }
}

fn take_word(bytes: &[u8], at: &mut usize) -> Result<u32, CodecError> {
    let word = bytes.get(*at..).and_then(|rest| rest.first_chunk::<4>()).ok_or(bad("cut short"))?;
    *at += 4;
    Ok(u32::from_le_bytes(*word))
}

const fn bad(what: &'static str) -> CodecError {
    corrupt(Compression::Lz4, what)
}

const MAGIC: [u8; 4] = 0x184D_2204u32.to_le_bytes();
const VERSION_MASK: u8 = 0xc0;
const VERSION_1: u8 = 0x40;
const INDEPENDENT: u8 = 0x20;
const BLOCK_CHECKSUM: u8 = 0x10;
const CONTENT_SIZE: u8 = 0x08;
/// Kafka counts the dictionary flag among the reserved bits.
const RESERVED_MASK: u8 = 0x03;
const STORED: u32 = 0x8000_0000;
