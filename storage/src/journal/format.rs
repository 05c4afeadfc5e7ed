//! Bytes of a core's journal: superblocks, commit headers, descriptors. Pure: bytes in, values out, nothing trusted.
//! Used by the core's committer and by recovery.
//!
//! ```text
//! block 0, 1   superblocks; the valid one with the higher generation counts, so a torn one loses nothing
//! block 2 ..   the ring: commits one behind the other, each in whole blocks, none across the end
//!
//! commit:  0    header, 128 bytes
//!          128  fragments, one behind the other
//!          ..   descriptors (rkyv, 16-byte aligned)
//!          ..   padding to 4096
//! ```
//!
//! The header's CRC-32C covers header and descriptors; each descriptor carries the CRC-32C of its fragment, so all that
//! counts is covered while every byte is summed once.

use rkyv::rancor;
use uuid::Uuid;

use crate::limits::BLOCK;

pub(crate) use crate::disk::BLOCK_BYTES;

/// First byte of the ring.
pub(crate) const RING_START: u64 = 2 * BLOCK;
/// Bytes of a commit's header.
pub(crate) const HEADER_BYTES: usize = 128;
/// Alignment of the descriptors inside a commit: what rkyv wants of its buffer.
pub(crate) const DESCRIPTOR_ALIGN: usize = 16;

const COMMIT_MAGIC: [u8; 8] = *b"SLIPJCMT";
const SUPER_MAGIC: [u8; 8] = *b"SLIPJSUP";
const VERSION: u32 = 2;
const CRC_AT: usize = 12;
const CRC_FROM: usize = 16;
const FLAG_DURABLE: u32 = 1;
const STATE_ACTIVE: u32 = 1;
const STATE_EMPTY: u32 = 2;

/// Sequence and position of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) sequence: u64,
    pub(crate) position: u64,
}

/// Head of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CommitHeader {
    /// The journal's identity in this run: bytes of earlier runs never match.
    pub(crate) journal: Uuid,
    pub(crate) sequence: u64,
    pub(crate) lap: u64,
    /// Bytes of the whole commit.
    pub(crate) length: u64,
    /// Oldest commit that is still needed, as known when this one was issued.
    pub(crate) oldest: Place,
    /// Commits up to here were durable when this one was issued; equals `sequence - 1` unless there are `written` logs.
    pub(crate) synced_through: u64,
    pub(crate) descriptors_at: u32,
    pub(crate) descriptors_length: u32,
    /// Whether the write itself was to be durable.
    pub(crate) durable: bool,
}

/// Which log a descriptor speaks of.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
pub(crate) struct LogKey {
    pub(crate) topic_id: [u8; 16],
    pub(crate) partition: i32,
}

/// One entry of a commit: a promise about a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub(crate) struct Descriptor {
    pub(crate) log: LogKey,
    /// Counts the descriptors of this log in this run: their order, also across journals.
    pub(crate) order: u64,
    pub(crate) leader_epoch: i32,
    /// Segment that `position` lies in.
    pub(crate) segment_base: i64,
    pub(crate) position: u64,
    /// First offset that this descriptor newly covers.
    pub(crate) base_offset: i64,
    /// The log's end once this descriptor holds; exclusive.
    pub(crate) end_offset: i64,
    /// Once the commit is done everything of the log up to here is on stable storage: what is not valid below is damage.
    /// False while bytes of a `written` log are not flushed yet.
    pub(crate) promise: bool,
    pub(crate) kind: Kind,
}

/// What a descriptor says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub(crate) enum Kind {
    /// The bytes stand in this commit. A length of 0 only repeats the log's end.
    Fragment {
        /// Where in the commit.
        at: u32,
        length: u32,
        crc: u32,
    },
    /// The bytes went straight to the segment, written together with this commit.
    Direct { length: u64 },
    /// The log was cut: it ends at `end_offset`, which lies at `position`.
    Truncate,
    /// The log is deleted.
    Delete,
}

impl Descriptor {
    /// The byte after what this descriptor covers in its segment.
    pub(crate) fn end_position(&self) -> u64 {
        let length = match self.kind {
            Kind::Fragment { length, .. } => u64::from(length),
            Kind::Direct { length } => length,
            Kind::Truncate | Kind::Delete => 0,
        };
        self.position.saturating_add(length)
    }
}

/// Why bytes are no valid commit or superblock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FormatError {
    #[error("no journal header")]
    Magic,
    #[error("journal format version {0} is unknown")]
    Version(u32),
    #[error("lengths in the header contradict each other")]
    Length,
    #[error("checksum does not match")]
    Crc,
    #[error("descriptors do not parse")]
    Descriptors,
}

impl CommitHeader {
    /// Writes header and checksum into `commit`, whose descriptors already stand in place.
    pub(crate) fn encode_into(&self, commit: &mut [u8]) {
        let descriptors =
            self.descriptors_at as usize..(self.descriptors_at + self.descriptors_length) as usize;
        let descriptor_bytes_crc = crc32c::crc32c(&commit[descriptors]);
        let head = &mut commit[..HEADER_BYTES];
        head.fill(0);
        head[..8].copy_from_slice(&COMMIT_MAGIC);
        put_u32(head, 8, VERSION);
        head[16..32].copy_from_slice(self.journal.as_bytes());
        for (at, value) in [
            (32, self.sequence),
            (40, self.lap),
            (48, self.length),
            (56, self.oldest.sequence),
            (64, self.oldest.position),
            (72, self.synced_through),
        ] {
            put_u64(head, at, value);
        }
        put_u32(head, 80, self.descriptors_at);
        put_u32(head, 84, self.descriptors_length);
        put_u32(head, 88, descriptor_bytes_crc);
        put_u32(head, 92, if self.durable { FLAG_DURABLE } else { 0 });
        let crc = crc32c::crc32c(&head[CRC_FROM..]);
        put_u32(head, CRC_AT, crc);
    }

    /// Reads the header at the start of `bytes`; checks its own checksum only.
    pub(crate) fn decode(bytes: &[u8]) -> Result<CommitHeader, FormatError> {
        let head = bytes.get(..HEADER_BYTES).ok_or(FormatError::Magic)?;
        check_head(head, COMMIT_MAGIC)?;
        let header = CommitHeader {
            journal: uuid_at(head, 16),
            sequence: u64_at(head, 32),
            lap: u64_at(head, 40),
            length: u64_at(head, 48),
            oldest: Place { sequence: u64_at(head, 56), position: u64_at(head, 64) },
            synced_through: u64_at(head, 72),
            descriptors_at: u32_at(head, 80),
            descriptors_length: u32_at(head, 84),
            durable: u32_at(head, 92) & FLAG_DURABLE != 0,
        };
        let end = u64::from(header.descriptors_at) + u64::from(header.descriptors_length);
        let whole = header.length.is_multiple_of(BLOCK) && header.length > 0;
        if !whole || end > header.length || (header.descriptors_at as usize) < HEADER_BYTES {
            return Err(FormatError::Length);
        }
        Ok(header)
    }
}

/// Reads a whole commit, which `bytes` starts with: header, descriptors and the checksum of every fragment.
pub(crate) fn decode_commit(bytes: &[u8]) -> Result<(CommitHeader, Vec<Descriptor>), FormatError> {
    let header = CommitHeader::decode(bytes)?;
    let length = usize::try_from(header.length).map_err(|_| FormatError::Length)?;
    let commit = bytes.get(..length).ok_or(FormatError::Length)?;
    let from = header.descriptors_at as usize;
    let archived = &commit[from..from + header.descriptors_length as usize];
    if crc32c::crc32c(archived) != u32_at(commit, 88) {
        return Err(FormatError::Crc);
    }
    let descriptors = decode_descriptors(archived)?;
    for descriptor in &descriptors {
        if let Kind::Fragment { at, length, crc } = descriptor.kind {
            let at = at as usize;
            let fragment = commit.get(at..at + length as usize).ok_or(FormatError::Length)?;
            if crc32c::crc32c(fragment) != crc {
                return Err(FormatError::Crc);
            }
        }
    }
    Ok((header, descriptors))
}

/// The descriptors' bytes.
pub(crate) fn encode_descriptors(descriptors: &Vec<Descriptor>) -> rkyv::util::AlignedVec {
    rkyv::to_bytes::<rancor::Error>(descriptors).expect("plain numbers always serialize")
}

fn decode_descriptors(bytes: &[u8]) -> Result<Vec<Descriptor>, FormatError> {
    let mut aligned = rkyv::util::AlignedVec::<DESCRIPTOR_ALIGN>::with_capacity(bytes.len());
    aligned.extend_from_slice(bytes);
    rkyv::from_bytes::<Vec<Descriptor>, rancor::Error>(&aligned).map_err(|_| FormatError::Descriptors)
}

/// Bytes that `count` descriptors take at most.
pub(crate) const fn descriptors_bytes_max(count: usize) -> usize {
    count * DESCRIPTOR_BYTES_MAX + 64
}

const DESCRIPTOR_BYTES_MAX: usize = size_of::<ArchivedDescriptor>();

/// One of the two superblocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Superblock {
    pub(crate) journal: Uuid,
    /// Counts the superblocks ever written to this file.
    pub(crate) generation: u64,
    pub(crate) lap: u64,
    /// First commit of the lap; it stands at the start of the ring.
    pub(crate) first_sequence: u64,
    pub(crate) oldest: Place,
    /// The last commit that was done, its direct writes included, when this was written.
    pub(crate) finished: u64,
    /// Nothing in the ring is needed: the stop was clean, or everything was replayed.
    pub(crate) empty: bool,
}

impl Superblock {
    /// The block that holds it.
    pub(crate) fn encode(&self) -> [u8; BLOCK as usize] {
        let mut block = [0; BLOCK as usize];
        block[..8].copy_from_slice(&SUPER_MAGIC);
        put_u32(&mut block, 8, VERSION);
        block[16..32].copy_from_slice(self.journal.as_bytes());
        for (at, value) in [
            (32, self.generation),
            (40, self.lap),
            (48, self.first_sequence),
            (56, self.oldest.sequence),
            (64, self.oldest.position),
        ] {
            put_u64(&mut block, at, value);
        }
        put_u64(&mut block, 80, self.finished);
        put_u32(&mut block, 72, if self.empty { STATE_EMPTY } else { STATE_ACTIVE });
        let crc = crc32c::crc32c(&block[CRC_FROM..HEADER_BYTES]);
        put_u32(&mut block, CRC_AT, crc);
        block
    }

    /// Reads one.
    pub(crate) fn decode(block: &[u8]) -> Result<Superblock, FormatError> {
        let head = block.get(..HEADER_BYTES).ok_or(FormatError::Magic)?;
        check_head(head, SUPER_MAGIC)?;
        let state = u32_at(head, 72);
        if state != STATE_ACTIVE && state != STATE_EMPTY {
            return Err(FormatError::Descriptors);
        }
        Ok(Superblock {
            journal: uuid_at(head, 16),
            generation: u64_at(head, 32),
            lap: u64_at(head, 40),
            first_sequence: u64_at(head, 48),
            oldest: Place { sequence: u64_at(head, 56), position: u64_at(head, 64) },
            finished: u64_at(head, 80),
            empty: state == STATE_EMPTY,
        })
    }

    /// Where a generation stands: the two blocks take turns.
    pub(crate) const fn position(generation: u64) -> u64 {
        (generation % 2) * BLOCK
    }

    /// The one that counts among the two blocks at the start of a journal; `None` when neither is valid. A journal of
    /// another format is an error.
    pub(crate) fn newest(blocks: &[u8]) -> Result<Option<Superblock>, FormatError> {
        let decoded = || blocks.chunks(BLOCK as usize).take(2).map(Superblock::decode);
        let newest = decoded().filter_map(Result::ok).max_by_key(|superblock| superblock.generation);
        match decoded().find(|block| matches!(block, Err(FormatError::Version(_)))) {
            Some(Err(unknown)) if newest.is_none() => Err(unknown),
            _ => Ok(newest),
        }
    }
}

fn check_head(head: &[u8], magic: [u8; 8]) -> Result<(), FormatError> {
    if head[..8] != magic {
        return Err(FormatError::Magic);
    }
    if crc32c::crc32c(&head[CRC_FROM..]) != u32_at(head, CRC_AT) {
        return Err(FormatError::Crc);
    }
    match u32_at(head, 8) {
        VERSION => Ok(()),
        other => Err(FormatError::Version(other)),
    }
}

fn put_u32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

fn put_u64(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes were sliced"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes were sliced"))
}

fn uuid_at(bytes: &[u8], at: usize) -> Uuid {
    Uuid::from_bytes(bytes[at..at + 16].try_into().expect("sixteen bytes were sliced"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(at: u32, fragment: &[u8]) -> Descriptor {
        Descriptor {
            log: LogKey { topic_id: [7; 16], partition: 3 },
            order: 9,
            leader_epoch: 2,
            segment_base: 100,
            position: 8192,
            base_offset: 110,
            end_offset: 120,
            promise: true,
            kind: Kind::Fragment { at, length: fragment.len() as u32, crc: crc32c::crc32c(fragment) },
        }
    }

    fn commit() -> Vec<u8> {
        let fragment = b"twelve bytes";
        let mut bytes = vec![0; BLOCK as usize];
        bytes[HEADER_BYTES..HEADER_BYTES + 12].copy_from_slice(fragment);
        let mut direct = descriptor(0, b"");
        direct.kind = Kind::Direct { length: 1 << 20 };
        let archived = encode_descriptors(&vec![descriptor(HEADER_BYTES as u32, fragment), direct]);
        assert!(archived.len() <= descriptors_bytes_max(2));
        let at = (HEADER_BYTES + 12).next_multiple_of(DESCRIPTOR_ALIGN);
        bytes[at..at + archived.len()].copy_from_slice(&archived);
        let header = CommitHeader {
            journal: Uuid::from_u128(5),
            sequence: 8,
            lap: 2,
            length: BLOCK,
            oldest: Place { sequence: 4, position: 12288 },
            synced_through: 7,
            descriptors_at: at as u32,
            descriptors_length: archived.len() as u32,
            durable: true,
        };
        header.encode_into(&mut bytes);
        assert_eq!(CommitHeader::decode(&bytes), Ok(header));
        bytes
    }

    #[test]
    fn a_commit_reads_back() {
        let (header, descriptors) = decode_commit(&commit()).unwrap();
        assert_eq!(header.sequence, 8);
        assert_eq!(descriptors.len(), 2);
        assert_eq!(descriptors[0].end_position(), 8192 + 12);
        assert_eq!(descriptors[1].end_position(), 8192 + (1 << 20));
    }

    #[test]
    fn every_flipped_bit_that_counts_is_noticed() {
        let good = commit();
        let (header, _) = decode_commit(&good).unwrap();
        let end = (header.descriptors_at + header.descriptors_length) as usize;
        // The padding between fragments and descriptors (4 bytes here) carries nothing.
        for byte in (0..HEADER_BYTES + 12).chain(header.descriptors_at as usize..end) {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[byte] ^= 1 << bit;
                assert!(decode_commit(&bad).is_err(), "byte {byte} bit {bit}");
            }
        }
        assert!(decode_commit(&good[..4000]).is_err());
    }

    #[test]
    fn the_newest_valid_superblock_counts() {
        let superblock = |generation| Superblock {
            journal: Uuid::from_u128(1),
            generation,
            lap: 1,
            first_sequence: 1,
            oldest: Place { sequence: 1, position: RING_START },
            finished: 0,
            empty: false,
        };
        let mut blocks = superblock(4).encode().to_vec();
        blocks.extend_from_slice(&superblock(5).encode());
        assert_eq!(Superblock::newest(&blocks), Ok(Some(superblock(5))));
        blocks[BLOCK as usize + 33] ^= 1;
        assert_eq!(Superblock::newest(&blocks), Ok(Some(superblock(4))));
        blocks[40] ^= 1;
        assert_eq!(Superblock::newest(&blocks), Ok(None));
        let mut older = superblock(4).encode().to_vec();
        older[8] = 1;
        assert_eq!(Superblock::newest(&older), Err(FormatError::Version(1)));
    }
}
