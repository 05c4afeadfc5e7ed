//! Conversations of several requests: garbage behind valid ones, and clients that close one side or go.

use crate::chance::Chance;
use crate::malformed::VICTIM;
use crate::malformed::body::batch;
use crate::malformed::case::{Asked, Case, Ending, frame};

use super::batches::produce;

/// A request that is always answered: ApiVersions 0.
pub(crate) fn hello() -> Vec<u8> {
    frame(18, 0, b"")
}

/// All of them.
pub(super) fn flows(chance: &mut Chance) -> Vec<Case> {
    let mut cases = Vec::new();
    for count in [1, 3, 20] {
        behind(&mut cases, count, chance);
    }
    for _ in 0..20 {
        cases.push(asking("three requests at once", 3, &[]).watch(false));
        cases.push(asking("three requests, then half closed", 3, &[]).ending(Ending::HalfClose));
        cases.push(asking("a request, then half closed", 1, &[]).ending(Ending::HalfClose));
        cases.push(asking("a request, then reset", 1, &[]).ending(Ending::Reset));
        cases.push(asking("twenty requests, then reset", 20, &[]).ending(Ending::Reset));
        cases.push(Case::raw("opened, then reset", Vec::new()).ending(Ending::Reset));
        cases.push(Case::raw("opened, then half closed", Vec::new()).ending(Ending::HalfClose));
    }
    let produced = frame(0, 11, &produce(VICTIM, -1, Some(batch())));
    for _ in 0..10 {
        cases.push(producing("a produce, then half closed", produced.clone()).ending(Ending::HalfClose));
        cases.push(producing("a produce, then garbage", [&produced[..], &[0xff; 8]].concat()));
    }
    cases.push(silent("produce without acknowledgement of a wrong batch", &[0xff; 80]));
    cases.push(silent("produce without acknowledgement of nothing", &[]));
    cases
}

/// Valid requests and garbage behind them, in one piece.
fn behind(cases: &mut Vec<Case>, count: usize, chance: &mut Chance) {
    let mut unknown_key = frame(18, 0, b"");
    unknown_key[4] = 0x7f;
    let mut add = |name: &str, garbage: &[u8]| {
        cases.push(asking(&format!("{count} requests, then {name}"), count, garbage));
    };
    add("a negative length", &[0xff; 8]);
    add("a huge length", &[0x7f; 8]);
    add("an unknown key", &unknown_key);
    add("an unsupported version", &frame(3, 99, b""));
    add("a broken body", &frame(3, 1, &[0x7f, 0xff, 0xff, 0xff]));
    for _ in 0..10 {
        let mut bytes = chance.bytes(200);
        bytes[0] |= 0x80;
        add("garbage", &bytes);
    }
}

fn asking(name: &str, count: usize, rest: &[u8]) -> Case {
    let mut case = Case::raw(name, [&hello().repeat(count)[..], rest].concat());
    case.asked = vec![Asked { api: "ApiVersions", version: 0 }; count];
    case
}

fn producing(name: &str, bytes: Vec<u8>) -> Case {
    let mut case = Case::raw(name, bytes);
    case.asked = vec![Asked { api: "Produce", version: 11 }];
    case
}

/// A produce request with acks=0, which has no answer.
fn silent(name: &str, records: &[u8]) -> Case {
    Case::raw(name, frame(0, 11, &produce(VICTIM, 0, Some(records.to_vec()))))
}

impl Case {
    fn watch(mut self, is_watched: bool) -> Self {
        self.is_watched = is_watched;
        self
    }
}
