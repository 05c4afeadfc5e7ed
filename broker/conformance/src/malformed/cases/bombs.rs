//! Compression bombs: batches that are small on the wire and hundreds of megabytes once inflated. Built one by one, when
//! their turn comes, since each takes that memory here too.

use std::io::Write;

use slipring_protocol::batch::{BatchBuilder, Compression, compress};
use slipring_protocol::ids::TimestampMs;

use super::batches::bomb;
use crate::malformed::body::put_uvarint;
use crate::malformed::case::Case;

/// One bomb.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bomb {
    codec: Compression,
    content: Content,
}

#[derive(Clone, Copy, Debug)]
enum Content {
    /// One record with a huge value: what a client may send.
    Value,
    /// A record and then zeros for ever.
    Tail,
    /// Far more records than the header counts.
    Records,
    /// The codec's own header claims the most that it can.
    Claim,
}

/// Every bomb of every codec.
pub(crate) fn bombs() -> Vec<Bomb> {
    let codecs = [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];
    let contents = [Content::Value, Content::Tail, Content::Records, Content::Claim];
    let all = codecs.into_iter().flat_map(|codec| contents.map(|content| Bomb { codec, content }));
    all.filter(|bomb| !matches!((bomb.codec, bomb.content), (Compression::Gzip, Content::Claim))).collect()
}

impl Bomb {
    /// The request that carries it.
    pub(crate) fn case(self) -> Case {
        let mut builder = BatchBuilder::new();
        builder.append(TimestampMs(1), None, None).compression(self.codec);
        let area = match self.content {
            Content::Value => compress(self.codec, &one_record(INFLATED_BYTES)),
            Content::Tail => compress(self.codec, &[&RECORD[..], &vec![0; INFLATED_BYTES]].concat()),
            Content::Records => compress(self.codec, &RECORD.repeat(INFLATED_BYTES / RECORD.len())),
            Content::Claim => claim(self.codec),
        };
        bomb(format!("bomb {} {:?}", self.codec.name(), self.content), builder.build_with_area(&area))
    }
}

/// A record with a value of zeros.
fn one_record(bytes: usize) -> Vec<u8> {
    let mut body = vec![0, 0, 0, 1];
    put_uvarint(&mut body, bytes as u64 * 2);
    body.resize(body.len() + bytes, 0);
    body.push(0);
    let mut record = Vec::with_capacity(body.len() + 5);
    put_uvarint(&mut record, body.len() as u64 * 2);
    record.append(&mut body);
    record
}

/// A frame whose header promises as much as the format can say, and holds next to nothing.
fn claim(codec: Compression) -> Vec<u8> {
    match codec {
        // A raw block of 4 GiB - 1.
        Compression::Snappy => [&[0xff, 0xff, 0xff, 0xff, 0x0f][..], &[0; 64]].concat(),
        // A content size of 2^62 bytes; its checksum is not right, which comes to light later.
        Compression::Lz4 => {
            let mut frame = b"\x04\x22\x4d\x18\x68\x70".to_vec();
            frame.extend((1u64 << 62).to_le_bytes());
            frame.extend([0, 0xff, 0xff, 0xff, 0x7f]);
            frame
        }
        // A window of 3.75 TB and a content size of 2^62 bytes, then one run-length block of the largest size.
        _ => {
            let mut frame = 0xfd2f_b528_u32.to_le_bytes().to_vec();
            frame.extend([0xc0, 0xff]);
            frame.extend((1u64 << 62).to_le_bytes());
            frame.write_all(&[0xfb, 0xff, 0xff, 0]).expect("a vector takes everything");
            frame
        }
    }
}

/// An empty record: length, attributes, deltas, no key, no value, no headers.
const RECORD: [u8; 7] = [12, 0, 0, 0, 1, 1, 0];
const INFLATED_BYTES: usize = 300 << 20;
