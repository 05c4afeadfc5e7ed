//! The hash of producer ids: the same in every run, so that simulated runs repeat, and a few instructions, since every
//! idempotent batch looks its producer up.

use std::hash::{BuildHasher, Hasher};

/// Makes [`IdHasher`]s.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FixedState;

impl BuildHasher for FixedState {
    type Hasher = IdHasher;

    fn build_hasher(&self) -> IdHasher {
        IdHasher(0)
    }
}

/// Mixes one 64-bit number (the finaliser of SplitMix64): ids are handed out in sequence, and the map uses both ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_i64(&mut self, number: i64) {
        self.0 ^= number.cast_unsigned();
    }
}
