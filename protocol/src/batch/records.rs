//! Lazy iterator over the records of an uncompressed record area. Nothing is copied: key, value and headers are
//! slices.

use super::varint::{VarintError, take_varint, take_varlong};

/// Iterator over the records of `area`, the bytes after the batch header (decompressed where there is a codec).
/// Yields at most the claimed count, and an error for bytes that are no records or that remain after the last one.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    area: &'a [u8],
    left: i32,
    failed: bool,
}

impl<'a> Records<'a> {
    /// `count` is the batch header's record count; negative counts as none.
    #[must_use]
    pub const fn new(area: &'a [u8], count: i32) -> Self {
        Self { area, left: count, failed: false }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        if self.left <= 0 {
            if self.area.is_empty() {
                return None;
            }
            self.failed = true;
            return Some(Err(RecordError::Trailing(self.area.len())));
        }
        self.left -= 1;
        let record = Record::take(&mut self.area);
        self.failed = record.is_err();
        Some(record)
    }
}

/// One record. Offset and timestamp are relative to the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Unused by Kafka; 0.
    pub attributes: i8,
    /// Milliseconds after the batch's base timestamp; may be negative.
    pub timestamp_delta: i64,
    /// Offsets after the batch's base offset.
    pub offset_delta: i32,
    /// Key; `None` is a null key, which differs from an empty one.
    pub key: Option<&'a [u8]>,
    /// Value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Headers, already checked.
    pub headers: Headers<'a>,
}

impl<'a> Record<'a> {
    /// Takes one record off the front of `area`: its length, and then exactly that many bytes (`DefaultRecord.readFrom`).
    ///
    /// # Errors
    /// When the bytes are no record; `area` is then unspecified.
    pub fn take(area: &mut &'a [u8]) -> Result<Self, RecordError> {
        let length = take_varint(area)?;
        let length = usize::try_from(length).map_err(|_| RecordError::Length(length))?;
        let (mut body, rest) = area.split_at_checked(length).ok_or(RecordError::Short)?;
        *area = rest;
        let record = Self::parse_body(&mut body)?;
        if body.is_empty() { Ok(record) } else { Err(RecordError::Trailing(body.len())) }
    }

    fn parse_body(body: &mut &'a [u8]) -> Result<Self, RecordError> {
        let (&attributes, rest) = body.split_first().ok_or(RecordError::Short)?;
        *body = rest;
        let timestamp_delta = take_varlong(body)?;
        let offset_delta = take_varint(body)?;
        let key = take_nullable(body)?;
        let value = take_nullable(body)?;
        let headers = Headers::take(body)?;
        Ok(Self { attributes: attributes as i8, timestamp_delta, offset_delta, key, value, headers })
    }
}

/// The headers of a record: iterates name and value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Headers<'a> {
    bytes: &'a [u8],
    left: usize,
}

impl<'a> Headers<'a> {
    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.left
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// Walks all headers once, so that a record handed out holds only good ones.
    fn take(body: &mut &'a [u8]) -> Result<Self, RecordError> {
        let count = take_varint(body)?;
        // A header has at least two bytes, so a count the bytes cannot hold is refused before it is walked.
        let left = usize::try_from(count)
            .ok()
            .filter(|&count| count <= body.len() / 2)
            .ok_or(RecordError::HeaderCount(count))?;
        let bytes = *body;
        for _ in 0..left {
            take_header(body)?;
        }
        Ok(Self { bytes: &bytes[..bytes.len() - body.len()], left })
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        take_header(&mut self.bytes).ok()
    }
}

/// Bytes that are no record. Whoever produced the batch is to blame (or the disk, when its CRC is wrong).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The bytes end inside a record.
    #[error("record cut short")]
    Short,
    /// A varint that goes on past its longest form.
    #[error("record holds an endless varint")]
    Varint,
    /// A negative record length.
    #[error("record length {0}")]
    Length(i32),
    /// A header count that is negative or more than the bytes can hold.
    #[error("record header count {0}")]
    HeaderCount(i32),
    /// A header without a name.
    #[error("record header with a null name")]
    HeaderName,
    /// Bytes after the last field or the last record.
    #[error("{0} bytes follow the last record field")]
    Trailing(usize),
}

impl From<VarintError> for RecordError {
    fn from(error: VarintError) -> Self {
        match error {
            VarintError::Short => Self::Short,
            VarintError::Long => Self::Varint,
        }
    }
}

fn take_header<'a>(body: &mut &'a [u8]) -> Result<(&'a [u8], Option<&'a [u8]>), RecordError> {
    let name = take_nullable(body)?.ok_or(RecordError::HeaderName)?;
    Ok((name, take_nullable(body)?))
}

/// Any negative length is null, as in Kafka.
fn take_nullable<'a>(body: &mut &'a [u8]) -> Result<Option<&'a [u8]>, RecordError> {
    let Ok(length) = usize::try_from(take_varint(body)?) else {
        return Ok(None);
    };
    let (field, rest) = body.split_at_checked(length).ok_or(RecordError::Short)?;
    *body = rest;
    Ok(Some(field))
}
