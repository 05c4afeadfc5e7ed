//! What consumers print, read back as records: the binary dump of our client programs, kcat's format string and the
//! lines of Kafka's console consumer.

use std::io::{self, BufRead};

/// How a consumer prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DumpFormat {
    /// As `clients/python/common.py` describes it.
    Binary,
    /// [`KCAT_FORMAT`].
    Kcat,
    /// One line a record: [`CONSOLE_SETTINGS`].
    Console,
}

/// One consumed record. The buffers are used again for the next one.
#[derive(Debug, Default)]
pub(crate) struct DumpRecord {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<Vec<u8>>,
    /// Header `n`.
    pub(crate) header: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
}

/// kcat's `-f`: a line of numbers, then key and value of the lengths told.
pub(crate) const KCAT_FORMAT: &str = "%p %o %T %K %S %h\\n%k%s";

/// What the console consumer prints before the value, with [`SEPARATOR`] between.
pub(crate) const CONSOLE_SETTINGS: [&str; 5] =
    ["print.timestamp", "print.partition", "print.offset", "print.headers", "print.key"];

/// Never part of a line of the data set, which has no control characters.
pub(crate) const SEPARATOR: char = '\u{1f}';

/// Reads the next record; false at the end.
///
/// # Errors
/// Of the pipe, or `InvalidData` for what is no record.
pub(crate) fn read_record(
    format: DumpFormat,
    input: &mut impl BufRead,
    record: &mut DumpRecord,
) -> io::Result<bool> {
    if input.fill_buf()?.is_empty() {
        return Ok(false);
    }
    match format {
        DumpFormat::Binary => read_binary(input, record)?,
        DumpFormat::Kcat => read_kcat(input, record)?,
        DumpFormat::Console => read_console(input, record)?,
    }
    Ok(true)
}

fn read_binary(input: &mut impl BufRead, record: &mut DumpRecord) -> io::Result<()> {
    record.partition = i32::from_be_bytes(array(input)?);
    record.offset = i64::from_be_bytes(array(input)?);
    record.timestamp = i64::from_be_bytes(array(input)?);
    for field in [&mut record.key, &mut record.header, &mut record.value] {
        let length = i32::from_be_bytes(array(input)?);
        read_field(input, field, length)?;
    }
    Ok(())
}

fn read_kcat(input: &mut impl BufRead, record: &mut DumpRecord) -> io::Result<()> {
    let line = read_line(input)?;
    let text = std::str::from_utf8(&line).map_err(|_| broken(&line))?;
    let mut words = text.split(' ');
    let mut number =
        || words.next().and_then(|word| word.parse::<i64>().ok()).ok_or_else(|| broken(text.as_bytes()));
    record.partition = number()? as i32;
    record.offset = number()?;
    record.timestamp = number()?;
    let key = number()? as i32;
    let value = number()? as i32;
    record.header = header_after(words.next().unwrap_or_default(), "n=");
    read_field(input, &mut record.key, key)?;
    read_field(input, &mut record.value, value)
}

fn read_console(input: &mut impl BufRead, record: &mut DumpRecord) -> io::Result<()> {
    let line = read_line(input)?;
    let mut fields = line.splitn(6, |byte| *byte == SEPARATOR as u8);
    let mut field = || fields.next().ok_or_else(|| broken(&line));
    let number = |field: &[u8]| {
        let text = std::str::from_utf8(field).ok()?;
        text.split_once(':').and_then(|(_, number)| number.parse::<i64>().ok())
    };
    record.timestamp = number(field()?).ok_or_else(|| broken(&line))?;
    record.partition = number(field()?).ok_or_else(|| broken(&line))? as i32;
    record.offset = number(field()?).ok_or_else(|| broken(&line))?;
    let headers = String::from_utf8_lossy(field()?).into_owned();
    record.header = header_after(&headers, "n:");
    let key = field()?;
    record.key = (key != b"null").then(|| key.to_vec());
    record.value = Some(field()?.to_vec());
    Ok(())
}

fn header_after(text: &str, name: &str) -> Option<Vec<u8>> {
    text.strip_prefix(name).map(|value| value.as_bytes().to_vec())
}

fn read_field(input: &mut impl BufRead, field: &mut Option<Vec<u8>>, length: i32) -> io::Result<()> {
    let Ok(length) = usize::try_from(length) else {
        *field = None;
        return Ok(());
    };
    let bytes = field.get_or_insert_default();
    bytes.resize(length, 0);
    input.read_exact(bytes)
}

fn read_line(input: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    input.read_until(b'\n', &mut line)?;
    line.pop_if(|byte| *byte == b'\n').ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(line)
}

fn array<const N: usize>(input: &mut impl BufRead) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn broken(line: &[u8]) -> io::Error {
    let start = String::from_utf8_lossy(&line[..line.len().min(120)]).into_owned();
    io::Error::new(io::ErrorKind::InvalidData, format!("no record: {start:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(format: DumpFormat, mut input: &[u8]) -> io::Result<Vec<DumpRecord>> {
        let mut records = Vec::new();
        let mut record = DumpRecord::default();
        while read_record(format, &mut input, &mut record)? {
            records.push(std::mem::take(&mut record));
        }
        Ok(records)
    }

    #[test]
    fn three_formats() {
        let binary = b"\0\0\0\x02\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\x09\xff\xff\xff\xff\0\0\0\x01n\0\0\0\x02ab";
        let kcat = b"2 7 9 -1 2 n=n\nab2 8 9 1 0 \nk";
        let console = b"CreateTime:9\x1fPartition:2\x1fOffset:7\x1fn:n\x1fnull\x1fab\n";
        for (format, bytes) in [
            (DumpFormat::Binary, &binary[..]),
            (DumpFormat::Kcat, &kcat[..]),
            (DumpFormat::Console, &console[..]),
        ] {
            let records = read_all(format, bytes).unwrap();
            let first = &records[0];
            assert_eq!((first.partition, first.offset, first.timestamp), (2, 7, 9), "{format:?}");
            assert_eq!(first.key, None);
            assert_eq!(first.header.as_deref(), Some(&b"n"[..]));
            assert_eq!(first.value.as_deref(), Some(&b"ab"[..]));
        }
        let second = &read_all(DumpFormat::Kcat, kcat).unwrap()[1];
        assert_eq!((second.key.as_deref(), second.value.as_deref()), (Some(&b"k"[..]), Some(&b""[..])));
        assert!(read_all(DumpFormat::Binary, &binary[..20]).is_err());
        assert!(read_all(DumpFormat::Kcat, b"2 7 9 -1 5 \nab").is_err());
        assert!(read_all(DumpFormat::Console, b"Processed a total of 3 messages\n").is_err());
    }
}
