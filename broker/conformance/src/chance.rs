//! Seeded choices (splitmix64): the same seed gives the same load, moments and hostile bytes.

/// A stream of choices.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A stream of its own, so that one user's choices do not shift another's.
    pub(crate) fn fork(&mut self, name: u64) -> Self {
        Self(mix(self.next() ^ mix(name)))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// At least `low`, below `high`.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low)
    }

    /// True once in `times`.
    pub(crate) fn one_in(&mut self, times: u64) -> bool {
        self.next().is_multiple_of(times)
    }

    /// An index into something of this length.
    pub(crate) fn index(&mut self, length: usize) -> usize {
        (self.next() % length as u64) as usize
    }

    /// Random bytes.
    pub(crate) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }

    /// Puts a list into another order.
    pub(crate) fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            list.swap(last, self.index(last + 1));
        }
    }
}

/// Scatters a number.
pub(crate) const fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// The seed of this run: the given one, or one off the clock.
pub(crate) fn seed(given: Option<u64>) -> u64 {
    given.unwrap_or_else(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        mix(since.map_or(0, |since| since.as_nanos() as u64)) >> 32
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_repeat_and_stay_in_range() {
        let draw = || {
            let mut chance = Chance::new(7);
            let mut fork = chance.fork(1);
            (0..100).map(|_| (chance.between(3, 9), fork.index(4))).collect::<Vec<_>>()
        };
        assert_eq!(draw(), draw());
        assert!(draw().iter().all(|(number, index)| (3..9).contains(number) && *index < 4));
        let mut list = [0, 1, 2, 3, 4, 5];
        Chance::new(1).shuffle(&mut list);
        list.sort_unstable();
        assert_eq!((list, Chance::new(1).bytes(13).len()), ([0, 1, 2, 3, 4, 5], 13));
    }
}
