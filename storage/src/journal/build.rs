//! Gathering one commit into one aligned buffer. Pure; on the core's committer.

use slipring_protocol::ids::Offset;

use super::format::{
    CommitHeader, DESCRIPTOR_ALIGN, Descriptor, HEADER_BYTES, Kind, LogKey, descriptors_bytes_max,
    encode_descriptors,
};
use crate::chunk::ChunkSlice;
use crate::disk::{AlignedBuf, BufPool, round_up_to_block};

/// A commit in the making.
pub(crate) struct CommitBuilder {
    buf: AlignedBuf,
    descriptors: Vec<Descriptor>,
}

/// What all descriptors of a log share within a commit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogHead {
    pub(crate) key: LogKey,
    pub(crate) leader_epoch: i32,
    /// See [`Descriptor::promise`].
    pub(crate) promise: bool,
}

/// Where a descriptor's bytes lie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    pub(crate) order: u64,
    pub(crate) segment: Offset,
    pub(crate) from: u64,
    pub(crate) base_offset: Offset,
    pub(crate) end_offset: Offset,
}

/// Bytes that a commit of so many fragment bytes and descriptors takes at most.
pub(crate) const fn commit_bytes_max(fragment_bytes: usize, descriptors: usize) -> usize {
    round_up_to_block(HEADER_BYTES + fragment_bytes + DESCRIPTOR_ALIGN + descriptors_bytes_max(descriptors))
}

impl CommitBuilder {
    /// An empty commit with room for so much.
    pub(crate) fn new(pool: &BufPool, fragment_bytes: usize, descriptors: usize) -> CommitBuilder {
        let mut buf = pool.take(commit_bytes_max(fragment_bytes, descriptors));
        buf.truncate(0);
        buf.append(&[0; HEADER_BYTES]);
        CommitBuilder { buf, descriptors: Vec::with_capacity(descriptors) }
    }

    /// Starts a fragment; gives where it begins.
    pub(crate) fn begin_fragment(&mut self) -> Fragment {
        Fragment { at: self.buf.len(), crc: 0 }
    }

    /// Adds bytes to it.
    pub(crate) fn push(&mut self, fragment: &mut Fragment, slice: &ChunkSlice) {
        fragment.crc = crc32c::crc32c_append(fragment.crc, slice);
        let taken = self.buf.append(slice);
        assert_eq!(taken, slice.len(), "the commit's size was planned");
    }

    /// Ends it.
    pub(crate) fn end_fragment(&mut self, head: LogHead, extent: Extent, fragment: &Fragment) {
        let length = (self.buf.len() - fragment.at) as u32;
        let kind = Kind::Fragment { at: fragment.at as u32, length, crc: fragment.crc };
        self.describe(head, extent, kind);
    }

    /// Adds a descriptor without bytes.
    pub(crate) fn describe(&mut self, head: LogHead, extent: Extent, kind: Kind) {
        self.descriptors.push(Descriptor {
            log: head.key,
            order: extent.order,
            leader_epoch: head.leader_epoch,
            segment_base: extent.segment.0,
            position: extent.from,
            base_offset: extent.base_offset.0,
            end_offset: extent.end_offset.0,
            promise: head.promise,
            kind,
        });
    }

    /// Closes the commit: `header` gets its lengths, the buffer is padded to whole blocks.
    pub(crate) fn seal(mut self, lengths: impl FnOnce(u64) -> CommitHeader) -> AlignedBuf {
        let archived = encode_descriptors(&self.descriptors);
        let at = self.buf.len().next_multiple_of(DESCRIPTOR_ALIGN);
        let gap = at - self.buf.len();
        self.buf.append(&[0; DESCRIPTOR_ALIGN][..gap]);
        let taken = self.buf.append(&archived);
        assert_eq!(taken, archived.len(), "the commit's size was planned");
        self.buf.pad_to_block();
        let mut header = lengths(self.buf.len() as u64);
        header.descriptors_at = at as u32;
        header.descriptors_length = archived.len() as u32;
        header.encode_into(&mut self.buf);
        self.buf
    }
}

/// A fragment under way.
#[derive(Debug)]
pub(crate) struct Fragment {
    at: usize,
    crc: u32,
}
