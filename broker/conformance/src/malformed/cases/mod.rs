//! The hostile conversations, by class.

mod batches;
mod bodies;
mod bombs;
mod flows;
mod frames;

use crate::chance::Chance;
use crate::session::schema::Schema;

use super::case::Case;

pub(crate) use bombs::bombs;
pub(crate) use flows::hello;

/// A class of conversations.
pub(crate) struct Class {
    pub(crate) name: &'static str,
    /// Of a thousand requests.
    pub(crate) share: usize,
    pub(crate) cases: Vec<Case>,
}

/// All classes but the bombs. The cases of a class come in random order.
pub(crate) fn classes(chance: &mut Chance) -> Vec<Class> {
    let schema = Schema::load();
    let mut classes = vec![
        Class { name: "garbage", share: 150, cases: frames::garbage(chance) },
        Class { name: "lengths", share: 60, cases: frames::lengths() },
        Class { name: "headers", share: 60, cases: frames::headers() },
        Class { name: "versions", share: 110, cases: frames::versions() },
        Class { name: "counts", share: 220, cases: bodies::counts(&schema) },
        Class { name: "truncated", share: 220, cases: bodies::truncated(&schema) },
        Class { name: "batches", share: 110, cases: batches::broken() },
        Class { name: "flows", share: 70, cases: flows::flows(chance) },
    ];
    for class in &mut classes {
        chance.shuffle(&mut class.cases);
    }
    classes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_make_a_whole_and_cases_repeat() {
        let classes = || super::classes(&mut Chance::new(5));
        assert_eq!(classes().iter().map(|class| class.share).sum::<usize>(), 1000);
        for (left, right) in classes().iter().zip(classes()) {
            assert!(!left.cases.is_empty(), "{}", left.name);
            let same = left.cases.iter().zip(&right.cases).all(|(left, right)| left.bytes == right.bytes);
            assert!(same && left.cases.len() == right.cases.len(), "{}", left.name);
        }
    }
}
