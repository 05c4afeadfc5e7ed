//! Everything that a run leaves to chance comes from here, and so from its seed. Every client has a sequence of its own,
//! so that what one draws does not change the others.

use std::ops::Range;
use std::time::Duration;

use slipring::runtime::sim::Choices;

/// A seeded sequence of draws.
#[derive(Clone, Debug)]
pub struct Chance(Choices);

impl Chance {
    /// The sequence of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(Choices::new(seed))
    }

    /// A sequence of its own for somebody.
    pub const fn fork(&mut self) -> Self {
        Self::new(self.0.next())
    }

    /// Any number.
    pub const fn number(&mut self) -> u64 {
        self.0.next()
    }

    /// A number of a range that is not empty.
    pub fn of(&mut self, range: Range<usize>) -> usize {
        range.start + self.0.below(range.len())
    }

    /// True in `percent` of a hundred cases.
    pub fn percent(&mut self, percent: usize) -> bool {
        self.0.below(100) < percent
    }

    /// One of several.
    pub fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.0.below(of.len())]
    }

    /// A time of up to `most`, mostly a short one.
    pub fn pause(&mut self, most: Duration) -> Duration {
        let most = usize::try_from(most.as_micros()).unwrap_or(usize::MAX).max(2);
        let bound = most >> self.0.below(12);
        Duration::from_micros(self.0.below(bound.max(1)) as u64)
    }
}
