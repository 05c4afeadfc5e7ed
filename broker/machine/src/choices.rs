//! Choices drawn from a seed: placement spreads by them, simulations are driven by them. The seed is an input, so they
//! repeat.

/// SplitMix64.
#[derive(Clone, Debug)]
pub(crate) struct Choices(u64);

impl Choices {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `end`, which is above 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("below a usize")
    }

    /// Brings values into another order.
    pub(crate) fn shuffle<T>(&mut self, values: &mut [T]) {
        for last in (1..values.len()).rev() {
            values.swap(last, self.below(last + 1));
        }
    }
}

/// Seeds that a simulation runs: `SLIPRING_SEEDS` at build time for a long run, else few enough for every save.
#[cfg(test)]
pub(crate) const fn seeds(usual: u64) -> u64 {
    match option_env!("SLIPRING_SEEDS") {
        None => usual,
        Some(text) => match u64::from_str_radix(text, 10) {
            Ok(seeds) => seeds,
            Err(_) => panic!("SLIPRING_SEEDS is not a number"),
        },
    }
}

#[cfg(test)]
impl Choices {
    /// A number from `start` up to but not `end`.
    pub(crate) fn between(&mut self, start: i32, end: i32) -> i32 {
        start + i32::try_from(self.below(usize::try_from(end - start).unwrap())).unwrap()
    }

    /// True once in `n` times.
    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of some values.
    pub(crate) fn of<'a, T>(&mut self, values: &'a [T]) -> &'a T {
        &values[self.below(values.len())]
    }
}
