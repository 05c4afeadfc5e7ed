//! Judges consumed records against the data set: byte-identical, each once, in order per partition, offsets dense from 0,
//! one partition per key.

use std::collections::HashMap;
use std::io;

use crate::dataset::Dataset;
use crate::dump::DumpRecord;

/// What the producer was told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) is_keyed: bool,
    pub(crate) has_header: bool,
    /// Record `n` has timestamp `base + n`.
    pub(crate) timestamp_base: Option<i64>,
}

/// A check in progress.
pub(crate) struct Verifier<'a> {
    data: &'a Dataset,
    expected: Expected,
    seen: Vec<u64>,
    records: u64,
    partitions: HashMap<i32, Progress>,
    partition_of_key: HashMap<u64, i32>,
    value: Vec<u8>,
}

#[derive(Default)]
struct Progress {
    next_offset: i64,
    last_number: Option<u64>,
}

impl<'a> Verifier<'a> {
    pub(crate) fn new(data: &'a Dataset, expected: Expected) -> Self {
        Self {
            data,
            expected,
            seen: vec![0; data.records().div_ceil(64) as usize],
            records: 0,
            partitions: HashMap::new(),
            partition_of_key: HashMap::new(),
            value: Vec::new(),
        }
    }

    /// Takes the next record of a dump.
    ///
    /// # Errors
    /// Says what is wrong with it, or what is wrong with the data set's file.
    pub(crate) fn take(&mut self, record: &DumpRecord) -> Result<(), String> {
        let at = format_args!("partition {} offset {}", record.partition, record.offset);
        let value = record.value.as_deref().ok_or_else(|| format!("{at}: no value"))?;
        let number = self.data.mode.number(value).ok_or_else(|| format!("{at}: no number in the value"))?;
        if !self.data.read(number, &mut self.value).map_err(|error: io::Error| error.to_string())? {
            return Err(format!("{at}: number {number} was never produced"));
        }
        if self.value != value {
            return Err(format!("{at}: record {number} differs from what was produced"));
        }
        let (word, bit) = ((number / 64) as usize, 1 << (number % 64));
        if self.seen[word] & bit != 0 {
            return Err(format!("{at}: record {number} is there twice"));
        }
        self.seen[word] |= bit;
        self.records += 1;
        let progress = self.partitions.entry(record.partition).or_default();
        if record.offset != progress.next_offset {
            return Err(format!("{at}: offset {} was expected", progress.next_offset));
        }
        progress.next_offset += 1;
        if progress.last_number.is_some_and(|last| last >= number) {
            return Err(format!("{at}: record {number} came after {:?}", progress.last_number));
        }
        progress.last_number = Some(number);
        self.check_key(record, number).map_err(|why| format!("{at}: record {number}: {why}"))
    }

    /// Ends the check.
    ///
    /// # Errors
    /// Says how many records are missing.
    pub(crate) fn finish(self) -> Result<u64, String> {
        match self.data.records() - self.records {
            0 => Ok(self.records),
            missing => Err(format!("{missing} of {} records are missing", self.data.records())),
        }
    }

    fn check_key(&mut self, record: &DumpRecord, number: u64) -> Result<(), String> {
        let key = self.expected.is_keyed.then(|| format!("k{}", number % KEY_COUNT));
        if record.key.as_deref() != key.as_deref().map(str::as_bytes) {
            return Err(format!("key {:?} instead of {key:?}", record.key));
        }
        let header = self.expected.has_header.then(|| number.to_string());
        if record.header.as_deref() != header.as_deref().map(str::as_bytes) {
            return Err(format!("header {:?} instead of {header:?}", record.header));
        }
        if let Some(base) = self.expected.timestamp_base
            && record.timestamp != base + number as i64
        {
            return Err(format!("timestamp {} instead of {}", record.timestamp, base + number as i64));
        }
        if key.is_some() {
            let home = *self.partition_of_key.entry(number % KEY_COUNT).or_insert(record.partition);
            if home != record.partition {
                return Err(format!("its key was in partition {home} before"));
            }
        }
        Ok(())
    }
}

/// As many keys as the client programs use.
pub(crate) const KEY_COUNT: u64 = 1009;

#[cfg(test)]
mod tests {
    use super::*;

    fn record(partition: i32, offset: i64, value: &str) -> DumpRecord {
        DumpRecord { partition, offset, value: Some(value.into()), ..DumpRecord::default() }
    }

    const PLAIN: Expected = Expected { is_keyed: false, has_header: false, timestamp_base: None };

    #[test]
    fn every_fault_is_seen() {
        let data = Dataset::counter(3);
        let run = |records: &[DumpRecord]| {
            let mut verifier = Verifier::new(&data, PLAIN);
            records.iter().try_for_each(|record| verifier.take(record))?;
            verifier.finish()
        };
        assert_eq!(run(&[record(0, 0, "0"), record(1, 0, "1"), record(0, 1, "2")]), Ok(3));
        let faults = [
            (vec![record(0, 0, "0"), record(0, 2, "1")], "offset 1 was expected"),
            (vec![record(0, 0, "0"), record(1, 0, "0")], "there twice"),
            (vec![record(0, 0, "1"), record(0, 1, "0")], "came after"),
            (vec![record(0, 0, "00")], "differs"),
            (vec![record(0, 0, "7")], "never produced"),
            (vec![record(0, 0, "x")], "no number"),
            (vec![record(0, 0, "0")], "2 of 3 records are missing"),
        ];
        for (records, why) in faults {
            let said = run(&records).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn keys_headers_and_timestamps_are_checked() {
        let data = Dataset::counter(2);
        let expected = Expected { is_keyed: true, has_header: true, timestamp_base: Some(100) };
        let good = |number: u64| DumpRecord {
            timestamp: 100 + number as i64,
            key: Some(format!("k{number}").into()),
            header: Some(number.to_string().into()),
            ..record(number as i32, 0, &number.to_string())
        };
        let mut verifier = Verifier::new(&data, expected);
        assert_eq!(verifier.take(&good(0)), Ok(()));
        for bad in [
            DumpRecord { key: None, ..good(1) },
            DumpRecord { header: Some(b"0".to_vec()), ..good(1) },
            DumpRecord { timestamp: 7, ..good(1) },
        ] {
            assert!(Verifier::new(&data, expected).take(&bad).is_err());
        }
    }
}
