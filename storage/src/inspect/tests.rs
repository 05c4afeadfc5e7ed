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
