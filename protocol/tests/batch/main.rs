//! Record batches and metadata records from outside the crate: against bytes and verdicts of Kafka 4.3.0, round trips,
//! seeded mutations.

mod golden;
mod mutation;
mod repack;
mod roundtrip;
mod verdicts;

use slipring_protocol::batch::{BatchRules, Checked, CheckedBatch, InvalidBatch, check_produced};
use slipring_protocol::ids::TimestampMs;

/// Lines of a golden file as columns; comments left out.
fn columns(file: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    file.lines().filter(|line| !line.starts_with('#')).map(|line| line.split('\t').collect())
}

fn from_hex(text: &str) -> Vec<u8> {
    assert_eq!(text.len() % 2, 0);
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).expect("hex")).collect()
}

/// Both stages to the end, with a budget that stops often.
fn check(
    records: Vec<u8>,
    version: i16,
    rules: &BatchRules,
    now: TimestampMs,
) -> Result<CheckedBatch, InvalidBatch> {
    use slipring_protocol::batch::Progress;
    match check_produced(&records.into(), version, rules, now)? {
        Checked::Done(batch) => Ok(batch),
        Checked::Deep(mut deep) => loop {
            if let Progress::Done(verdict) = deep.run(7) {
                return verdict;
            }
        },
    }
}
