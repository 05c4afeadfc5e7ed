use proptest::prelude::*;
use slipring_protocol::batch::{BatchBuilder, Compression};
use slipring_protocol::ids::{Offset, TimestampMs};

use super::*;

fn segment(batches: i64) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in 0..batches {
        let mut builder = BatchBuilder::new();
        builder.base_offset(Offset(100 + 2 * number));
        if number % 2 == 1 {
            builder.compression(Compression::Gzip);
        }
        builder.append(TimestampMs(number), None, Some(b"a value"));
        builder.append(TimestampMs(number), Some(b"k"), Some(&[7; 300]));
        bytes.extend(builder.build());
    }
    bytes
}

fn walk(bytes: &[u8]) -> (Vec<SeenBatch>, Option<Step>) {
    let mut walk = BatchWalk::new(bytes, Offset(100));
    let mut batches = Vec::new();
    while let Some(step) = walk.step().unwrap() {
        match step {
            Step::Batch(batch) => batches.push(batch),
            lost @ Step::Lost { .. } => return (batches, Some(lost)),
        }
    }
    (batches, None)
}

#[test]
fn a_good_segment_has_no_faults_and_a_bad_batch_does_not_hide_those_behind_it() {
    let mut bytes = segment(5);
    let (batches, lost) = walk(&bytes);
    assert!(lost.is_none() && batches.len() == 5 && batches.iter().all(|batch| batch.faults.is_empty()));
    let second = batches[1].position;
    bytes[second as usize + 70] ^= 1;
    let (batches, lost) = walk(&bytes);
    assert!(lost.is_none() && batches.len() == 5);
    let faulty: Vec<_> = batches.iter().filter(|batch| !batch.faults.is_empty()).collect();
    assert_eq!(faulty.len(), 1);
    assert_eq!(faulty[0].position, second);
    assert!(faulty[0].faults[0].contains("CRC"), "{faulty:?}");
    let (batches, lost) = walk(&bytes[..bytes.len() - 1]);
    assert_eq!(batches.len(), 4);
    assert!(matches!(lost, Some(Step::Lost { reason, .. }) if reason.contains("the file has")));
}

proptest! {
    #[test]
    fn flipped_bits_are_noticed_and_never_panic(at in any::<prop::sample::Index>(), bit in 0..8u32) {
        let mut bytes = segment(3);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let (batches, lost) = walk(&bytes);
        let good: Vec<_> = batches.iter().filter(|batch| batch.faults.is_empty()).collect();
        // The leader epoch is under no checksum; neither is a base offset that stays in order.
        let start = batches.iter().rev().find(|batch| batch.position as usize <= at).map_or(0, |batch| batch.position);
        let unguarded = at - (start as usize) < 16;
        prop_assert!(unguarded || lost.is_some() || good.len() < 3);
    }

    #[test]
    fn any_bytes_are_walked(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        walk(&bytes);
    }
}

mod journal {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::super::{JournalWalk, Reach};
    use crate::journal::format::{
        CommitHeader, DESCRIPTOR_ALIGN, Descriptor, HEADER_BYTES, Kind, LogKey, Place, RING_START,
        Superblock, encode_descriptors,
    };
    use crate::limits::BLOCK;

    const FIRST: u64 = 5;

    fn commit(sequence: u64) -> Vec<u8> {
        let fragment = [sequence as u8; 100];
        let mut bytes = vec![0; BLOCK as usize];
        bytes[HEADER_BYTES..HEADER_BYTES + 100].copy_from_slice(&fragment);
        let descriptor = Descriptor {
            log: LogKey { topic_id: [7; 16], partition: 3 },
            order: sequence,
            leader_epoch: 2,
            segment_base: 0,
            position: 100 * sequence,
            base_offset: sequence as i64,
            end_offset: sequence as i64 + 1,
            promise: true,
            kind: Kind::Fragment { at: HEADER_BYTES as u32, length: 100, crc: crc32c::crc32c(&fragment) },
        };
        let archived = encode_descriptors(&vec![descriptor]);
        let at = (HEADER_BYTES + 100).next_multiple_of(DESCRIPTOR_ALIGN);
        bytes[at..at + archived.len()].copy_from_slice(&archived);
        let header = CommitHeader {
            journal: Uuid::from_u128(5),
            sequence,
            lap: 1,
            length: BLOCK,
            oldest: Place { sequence: FIRST, position: RING_START },
            synced_through: sequence - 1,
            descriptors_at: at as u32,
            descriptors_length: archived.len() as u32,
            durable: true,
        };
        header.encode_into(&mut bytes);
        bytes
    }

    /// Commits 5, 6 and 7, and a block of zeros.
    fn file() -> Vec<u8> {
        let superblock = Superblock {
            journal: Uuid::from_u128(5),
            generation: 2,
            lap: 1,
            first_sequence: FIRST,
            oldest: Place { sequence: FIRST, position: RING_START },
            finished: FIRST - 1,
            empty: false,
        };
        let mut bytes = superblock.encode().to_vec();
        bytes.extend([0; BLOCK as usize]);
        (FIRST..FIRST + 3).for_each(|sequence| bytes.extend(commit(sequence)));
        bytes.extend([0; BLOCK as usize]);
        bytes
    }

    fn reach(bytes: &[u8]) -> Reach {
        JournalWalk::new(bytes).unwrap().reach().unwrap()
    }

    #[test]
    fn a_replay_is_followed_to_its_end() {
        let mut bytes = file();
        let mut walk = JournalWalk::new(&bytes[..]).unwrap();
        assert_eq!(walk.superblocks().filter(|(_, read)| read.is_ok()).count(), 1);
        let second = (walk.step().unwrap(), walk.step().unwrap()).1.unwrap();
        assert_eq!((second.sequence, second.position), (6, RING_START + BLOCK));
        let entry = &second.entries.unwrap()[0];
        assert_eq!((entry.kind, entry.position, entry.length, entry.end.0), ("fragment", 600, 100, 7));
        let whole = Reach { first: 5, next: 8, commits: 3, bytes: 3 * BLOCK, missing: None };
        assert_eq!(reach(&bytes), whole);
        // The last one may be torn; one that a later one vouches for may not.
        let last = (RING_START + 2 * BLOCK) as usize + HEADER_BYTES;
        bytes[last] ^= 1;
        assert_eq!(reach(&bytes), Reach { next: 7, commits: 2, bytes: 2 * BLOCK, ..whole });
        bytes[last] ^= 1;
        let middle = (RING_START + BLOCK) as usize + HEADER_BYTES;
        bytes[middle] ^= 1;
        assert_eq!(reach(&bytes).missing, Some((6, RING_START + BLOCK)));
        bytes[16] ^= 1;
        assert_eq!(reach(&bytes).missing, Some((5, RING_START)), "no superblock, but commits");
    }

    proptest! {
        #[test]
        fn flipped_bits_never_panic_and_never_lengthen_a_replay(
            at in any::<prop::sample::Index>(), bit in 0..8u32, cut in any::<prop::sample::Index>()
        ) {
            let mut bytes = file();
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(reach(&bytes).commits <= 3);
            reach(&bytes[..cut.index(bytes.len())]);
        }
    }
}
