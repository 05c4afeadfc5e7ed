//! Seeded mutations of good batches and metadata records: nothing panics, on the stable toolchain and in seconds. A
//! failure names its round, which alone gives the bytes again.

use slipring_protocol::batch::{BatchBuilder, Compression, RecordSpec, compress, compute_crc, fuzz_batch};
use slipring_protocol::ids::TimestampMs;
use slipring_protocol::metadata_records::fuzz_metadata_record;

use super::{columns, from_hex};

/// xorshift64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// Flips, overwrites, cuts and repeats a few bytes from `from` on.
    fn mutate(&mut self, bytes: &mut Vec<u8>, from: usize) {
        for _ in 0..=self.below(4) {
            if bytes.len() <= from {
                return;
            }
            let at = from + self.below(bytes.len() - from);
            match self.below(6) {
                0 => bytes[at] = self.next() as u8,
                1 => bytes[at] = 0xff,
                2 => bytes.truncate(at),
                3 => bytes.extend_from_within(at..),
                _ => bytes[at] ^= 1 << self.below(8),
            }
        }
    }
}

fn batch(random: &mut Random) -> Vec<u8> {
    let codec = Compression::ALL[random.below(5)];
    let mut builder = BatchBuilder::new();
    builder.compression(codec);
    for _ in 0..1 + random.below(5) {
        let value = vec![random.next() as u8; random.below(300)];
        builder.append_record(&RecordSpec {
            timestamp: TimestampMs(random.below(100) as i64),
            key: (random.below(2) == 0).then_some(b"key"),
            value: Some(&value),
            headers: &[(&b"h"[..], Some(&b"v"[..]))][..random.below(2)],
            ..RecordSpec::default()
        });
    }
    if random.below(3) == 0 {
        // Broken records, well compressed.
        let mut area = builder.area().to_vec();
        random.mutate(&mut area, 0);
        return builder.build_with_area(&compress(codec, &area));
    }
    builder.build()
}

fn seal(batch: &mut [u8]) {
    if batch.len() >= 61 {
        let length = (batch.len() - 12) as i32;
        batch[8..12].copy_from_slice(&length.to_be_bytes());
        let crc = compute_crc(batch);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
    }
}

#[test]
fn mutated_batches_do_not_panic() {
    for round in 1..=20_000u64 {
        let mut random = Random(round.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut bytes = batch(&mut random);
        if random.below(4) > 0 {
            // Mostly behind the header's first fields, and sealed again so that the CRC does not end it all.
            let from = [0, 21, 61][random.below(3)];
            random.mutate(&mut bytes, from);
            if random.below(8) > 0 {
                seal(&mut bytes);
            }
        }
        if let Err(panic) = std::panic::catch_unwind(|| fuzz_batch(&bytes)) {
            eprintln!("round {round}: {bytes:02x?}");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn mutated_metadata_records_do_not_panic() {
    let seeds: Vec<Vec<u8>> =
        columns(include_str!("golden/metadata_records.tsv")).map(|row| from_hex(row[1])).collect();
    for round in 1..=50_000u64 {
        let mut random = Random(round.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut bytes = seeds[random.below(seeds.len())].clone();
        random.mutate(&mut bytes, 0);
        if let Err(panic) = std::panic::catch_unwind(|| fuzz_metadata_record(&bytes)) {
            eprintln!("round {round}: {bytes:02x?}");
            std::panic::resume_unwind(panic);
        }
    }
}
