//! snappy in both framings: snappy-java's stream ("xerial", what Java clients write) and one raw block (librdkafka,
//! Go clients). A decoder of our own, because a raw block can be as large as a batch: it stops after every piece, and
//! its buffer grows with what was really inflated, never with what a header claims.

use super::super::compression::Compression;
use super::super::encoder::XERIAL_HEADER;
use super::{CodecError, corrupt};

/// A record area being read.
pub(in super::super) struct SnappyStream<I> {
    area: I,
    at: usize,
    /// End of the current block in `area`.
    block_end: usize,
    /// Bytes the current block says it holds.
    claimed: usize,
    /// What the current block has given so far: copies may reach back anywhere in it.
    block: Vec<u8>,
    taken: usize,
    xerial: bool,
}

impl<I: AsRef<[u8]>> SnappyStream<I> {
    /// Tells the framings apart as snappy-java does, by the first 16 bytes.
    pub(super) fn new(area: I) -> Result<Self, CodecError> {
        let bytes = area.as_ref();
        if bytes.is_empty() {
            return Err(bad("empty"));
        }
        let xerial = bytes.len() >= XERIAL_HEADER.len() && bytes.starts_with(&XERIAL_HEADER[..8]);
        let mut stream = Self { area, at: 0, block_end: 0, claimed: 0, block: Vec::new(), taken: 0, xerial };
        if xerial {
            stream.skip_stream_header()?;
            stream.block_end = stream.at;
        } else {
            stream.open_block(0, stream.area.as_ref().len())?;
        }
        Ok(stream)
    }

    /// Inflates into `out`; 0 after the last block.
    pub(super) fn fill(&mut self, out: &mut [u8]) -> Result<usize, CodecError> {
        while self.taken == self.block.len() {
            if self.at < self.block_end {
                let until = self.block.len().saturating_add(out.len()).min(self.claimed);
                self.inflate(until)?;
            } else if !self.next_block()? {
                return Ok(0);
            }
        }
        let ready = &self.block[self.taken..];
        let length = ready.len().min(out.len());
        out[..length].copy_from_slice(&ready[..length]);
        self.taken += length;
        Ok(length)
    }

    /// Opens the next block of a xerial stream; false at the end.
    fn next_block(&mut self) -> Result<bool, CodecError> {
        if self.block.len() != self.claimed {
            return Err(bad("block gives less than it claims"));
        }
        if !self.xerial {
            return Ok(false);
        }
        // Fewer than four bytes before the end are ignored, as snappy-java does.
        let Some(size) = self.area.as_ref().get(self.at..).and_then(|rest| rest.first_chunk::<4>()) else {
            return Ok(false);
        };
        if size[..] == XERIAL_HEADER[..4] {
            self.skip_stream_header()?;
            self.block_end = self.at;
            (self.claimed, self.taken) = (0, 0);
            self.block.clear();
            return Ok(true);
        }
        let size = usize::try_from(i32::from_be_bytes(*size)).map_err(|_| bad("negative block size"))?;
        let start = self.at + 4;
        let end = start.checked_add(size).filter(|&end| end <= self.area.as_ref().len());
        self.open_block(start, end.ok_or(bad("cut short in a block"))?)?;
        Ok(true)
    }

    /// Reads a block's claimed length and holds it against what its bytes could express.
    fn open_block(&mut self, start: usize, end: usize) -> Result<(), CodecError> {
        let mut bytes = self.area.as_ref().get(start..end).ok_or(bad("cut short"))?;
        let claimed = take_length(&mut bytes)?;
        if claimed > expansion_max(bytes.len()) {
            return Err(bad("claims more than it can hold"));
        }
        (self.at, self.block_end) = (end - bytes.len(), end);
        (self.claimed, self.taken) = (claimed, 0);
        self.block.clear();
        Ok(())
    }

    /// Runs elements of the current block until it has given `until` bytes or ends.
    fn inflate(&mut self, until: usize) -> Result<(), CodecError> {
        let mut bytes = self.area.as_ref().get(self.at..self.block_end).ok_or(bad("cut short"))?;
        // At least one element even when all that was claimed is there: more is an error.
        while let Some(element) = Element::take(&mut bytes)? {
            match element {
                Element::Literal(literal) => self.block.extend_from_slice(literal),
                Element::Copy { offset, length } => copy_back(&mut self.block, offset, length)?,
            }
            if self.block.len() > self.claimed {
                return Err(bad("block gives more than it claims"));
            }
            if self.block.len() >= until {
                break;
            }
        }
        self.at = self.block_end - bytes.len();
        Ok(())
    }

    /// Passes over magic and versions; like snappy-java we do not look at the versions.
    fn skip_stream_header(&mut self) -> Result<(), CodecError> {
        let header = self.area.as_ref().get(self.at..self.at + XERIAL_HEADER.len());
        if header.is_none_or(|header| header[..8] != XERIAL_HEADER[..8]) {
            return Err(bad("broken stream header"));
        }
        self.at += XERIAL_HEADER.len();
        Ok(())
    }
}

/// One step of a block (snappy's format description, section 2).
enum Element<'a> {
    Literal(&'a [u8]),
    Copy { offset: usize, length: usize },
}

impl<'a> Element<'a> {
    /// `None` at the end of the block.
    fn take(bytes: &mut &'a [u8]) -> Result<Option<Self>, CodecError> {
        let Some((&tag, rest)) = bytes.split_first() else {
            return Ok(None);
        };
        *bytes = rest;
        let high = usize::from(tag >> 2);
        Ok(Some(match tag & 3 {
            0 => {
                let length = if high < 60 { high } else { take_little(bytes, high - 59)? } + 1;
                let (literal, rest) = bytes.split_at_checked(length).ok_or(bad("cut short in a literal"))?;
                *bytes = rest;
                Self::Literal(literal)
            }
            1 => {
                let offset = usize::from(tag >> 5) << 8 | take_little(bytes, 1)?;
                Self::Copy { offset, length: (high & 7) + 4 }
            }
            2 => Self::Copy { offset: take_little(bytes, 2)?, length: high + 1 },
            _ => Self::Copy { offset: take_little(bytes, 4)?, length: high + 1 },
        }))
    }
}

/// Repeats `length` bytes from `offset` before the end; they may overlap what they append.
fn copy_back(block: &mut Vec<u8>, offset: usize, length: usize) -> Result<(), CodecError> {
    let start =
        block.len().checked_sub(offset).filter(|_| offset > 0).ok_or(bad("copy from before the start"))?;
    if offset >= length {
        block.extend_from_within(start..start + length);
        return Ok(());
    }
    let end = block.len() + length;
    while block.len() < end {
        let piece = (end - block.len()).min(block.len() - start);
        block.extend_from_within(start..start + piece);
    }
    Ok(())
}

/// The first block's claimed length, as far as the area could hold it.
pub(super) fn claimed_length(area: &[u8]) -> usize {
    let xerial = area.len() >= XERIAL_HEADER.len() && area.starts_with(&XERIAL_HEADER[..8]);
    let mut block = if xerial { area.get(XERIAL_HEADER.len() + 4..).unwrap_or_default() } else { area };
    let claimed = take_length(&mut block).unwrap_or(0);
    claimed.min(expansion_max(block.len()))
}

/// The most that `bytes` of elements can give: the densest element is a copy of 64 bytes in three.
const fn expansion_max(bytes: usize) -> usize {
    bytes.saturating_mul(64) / 3 + 64
}

fn take_length(bytes: &mut &[u8]) -> Result<usize, CodecError> {
    let length = crate::batch::varint::take_unsigned_varint(bytes).map_err(|_| bad("no block length"))?;
    Ok(length as usize)
}

fn take_little(bytes: &mut &[u8], count: usize) -> Result<usize, CodecError> {
    let (field, rest) = bytes.split_at_checked(count).ok_or(bad("cut short in an element"))?;
    *bytes = rest;
    Ok(field.iter().rev().fold(0, |value, &byte| value << 8 | usize::from(byte)))
}

const fn bad(what: &'static str) -> CodecError {
    corrupt(Compression::Snappy, what)
}
