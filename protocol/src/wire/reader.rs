//! Reading: a cursor over bytes that may be anything. Every length is held against the bytes left before it is believed,
//! and what decoding would allocate is charged to a budget that follows the size of the body.

use bytes::Bytes;
use uuid::Uuid;

use super::{STRING_BYTES_MAX, WireError, WireStr, decoded_bytes_max};

/// Cursor over a body.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    flexible: bool,
    wire: usize,
    budget: usize,
    odd: bool,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(body: &'a [u8], flexible: bool) -> Self {
        Self { rest: body, flexible, wire: body.len(), budget: decoded_bytes_max(body.len()), odd: false }
    }

    pub(crate) const fn left(&self) -> usize {
        self.rest.len()
    }

    pub(crate) const fn is_flexible(&self) -> bool {
        self.flexible
    }

    /// Bytes of decoded form charged so far.
    pub(crate) const fn charged(&self) -> usize {
        decoded_bytes_max(self.wire) - self.budget
    }

    /// Books memory that decoding will take.
    pub(crate) const fn charge(&mut self, count: usize, bytes_each: usize) -> Result<(), WireError> {
        match self.budget.checked_sub(count.saturating_mul(bytes_each)) {
            Some(left) => {
                self.budget = left;
                Ok(())
            }
            None => Err(WireError::TooManyElements { wire: self.wire }),
        }
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(WireError::Truncated { wanted: count, left: self.rest.len() })?;
        self.rest = rest;
        Ok(taken)
    }

    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (taken, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(WireError::Truncated { wanted: N, left: self.rest.len() })?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn i8(&mut self) -> Result<i8, WireError> {
        self.chunk().map(i8::from_be_bytes)
    }

    pub(crate) fn i16(&mut self) -> Result<i16, WireError> {
        self.chunk().map(i16::from_be_bytes)
    }

    pub(crate) fn i32(&mut self) -> Result<i32, WireError> {
        self.chunk().map(i32::from_be_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, WireError> {
        self.chunk().map(i64::from_be_bytes)
    }

    pub(crate) fn uuid(&mut self) -> Result<Uuid, WireError> {
        self.chunk().map(Uuid::from_bytes)
    }

    /// Unsigned variable-length integer of at most five bytes. Bits above the 32nd are dropped, as Kafka's
    /// `ByteUtils.readUnsignedVarint` does.
    pub(crate) fn uvarint(&mut self) -> Result<u32, WireError> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.chunk()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(WireError::VarintTooLong)
    }

    /// A length that was read; every negative one is null, as in Kafka, though only -1 is written.
    const fn length(&mut self, length: i32) -> Option<usize> {
        if length >= 0 {
            return Some(length as usize);
        }
        self.odd |= length != -1;
        None
    }

    fn compact_length(&mut self) -> Result<Option<usize>, WireError> {
        // One more than the length, so that null is zero.
        let raw = self.uvarint()?;
        Ok(self.length((raw as i32).wrapping_sub(1)))
    }

    /// Whether a null or an empty tag section was read since the last call that no encoder writes like that.
    pub(crate) const fn take_odd(&mut self) -> bool {
        std::mem::replace(&mut self.odd, false)
    }

    /// Length of a string; none for null.
    pub(crate) fn string_length(&mut self) -> Result<Option<usize>, WireError> {
        let length = if self.flexible {
            self.compact_length()?
        } else {
            let length = i32::from(self.i16()?);
            self.length(length)
        };
        match length {
            Some(length) if length > STRING_BYTES_MAX => Err(WireError::StringTooLong(length)),
            length => Ok(length),
        }
    }

    /// Length of an array in elements, or of bytes or records in bytes; none for null. Not yet held against anything.
    pub(crate) fn long_length(&mut self) -> Result<Option<usize>, WireError> {
        if self.flexible {
            return self.compact_length();
        }
        let length = self.i32()?;
        Ok(self.length(length))
    }

    /// Count of an array whose elements take at least `wire_min` bytes each (0 counts as 1) and `decoded` bytes of memory.
    pub(crate) fn nullable_count(
        &mut self,
        wire_min: usize,
        decoded: usize,
    ) -> Result<Option<usize>, WireError> {
        let Some(count) = self.long_length()? else { return Ok(None) };
        self.check_count(count, wire_min, decoded)?;
        Ok(Some(count))
    }

    /// Holds a count against the bytes left, and charges what its elements will take.
    pub(crate) fn check_count(
        &mut self,
        count: usize,
        wire_min: usize,
        decoded: usize,
    ) -> Result<(), WireError> {
        if count.saturating_mul(wire_min.max(1)) > self.left() {
            return Err(WireError::CountTooLarge { count, left: self.left() });
        }
        self.charge(count, decoded)
    }

    /// As [`Self::nullable_count`], null refused.
    pub(crate) fn count(&mut self, wire_min: usize, decoded: usize) -> Result<usize, WireError> {
        self.nullable_count(wire_min, decoded)?.ok_or(WireError::Null)
    }

    /// Bytes of a string; none for null.
    pub(crate) fn nullable_string(&mut self) -> Result<Option<&'a [u8]>, WireError> {
        self.string_length()?.map(|length| self.take(length)).transpose()
    }

    /// Bytes of `bytes` or `records`; none for null.
    pub(crate) fn nullable_bytes(&mut self) -> Result<Option<&'a [u8]>, WireError> {
        self.long_length()?.map(|length| self.take(length)).transpose()
    }

    /// Number of tagged fields that follow; zero in versions without them.
    pub(crate) fn tag_count(&mut self) -> Result<u32, WireError> {
        if !self.flexible {
            return Ok(0);
        }
        let count = self.uvarint()?;
        if count > i32::MAX as u32 {
            // Kafka counts up to a negative number: not at all.
            self.odd = true;
            return Ok(0);
        }
        // Each takes a tag and a size.
        if count as usize > self.left() / 2 {
            return Err(WireError::CountTooLarge { count: count as usize, left: self.left() });
        }
        Ok(count)
    }

    /// Tag and size of the next tagged field. As in Kafka, the size binds only for unknown tags: known ones are read by
    /// their type.
    pub(crate) fn tag(&mut self) -> Result<(u32, usize), WireError> {
        Ok((self.uvarint()?, self.uvarint()? as usize))
    }

    /// Passes over tagged fields none of which is known.
    pub(crate) fn skip_tags(&mut self) -> Result<(), WireError> {
        for _ in 0..self.tag_count()? {
            let (_, size) = self.tag()?;
            self.take(size)?;
        }
        Ok(())
    }
}

/// A [`Reader`] over a reference-counted body, which hands out slices that keep the body alive.
#[derive(Debug)]
pub(crate) struct Decoder<'a> {
    body: &'a Bytes,
    reader: Reader<'a>,
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(body: &'a Bytes, flexible: bool) -> Self {
        Self { body, reader: Reader::new(body, flexible) }
    }

    /// A string; none for null. Malformed UTF-8 is replaced, as Java does when it reads it.
    ///
    /// # Errors
    /// When the bytes end, or the replacements make the string longer than the protocol allows.
    pub(crate) fn nullable_text(&mut self) -> Result<Option<WireStr>, WireError> {
        let Some(bytes) = self.reader.nullable_string()? else { return Ok(None) };
        if let Ok(text) = WireStr::from_utf8(self.body.slice_ref(bytes)) {
            return Ok(Some(text));
        }
        let text = String::from_utf8_lossy(bytes).into_owned();
        if text.len() > STRING_BYTES_MAX {
            return Err(WireError::StringTooLong(text.len()));
        }
        self.reader.charge(1, text.len())?;
        Ok(Some(WireStr::from_string(text)))
    }

    /// A string, null refused.
    pub(crate) fn text(&mut self) -> Result<WireStr, WireError> {
        self.nullable_text()?.ok_or(WireError::Null)
    }

    /// Records as a slice of the body; none for null.
    pub(crate) fn nullable_records(&mut self) -> Result<Option<Bytes>, WireError> {
        Ok(self.reader.nullable_bytes()?.map(|bytes| self.body.slice_ref(bytes)))
    }
}

impl<'a> std::ops::Deref for Decoder<'a> {
    type Target = Reader<'a>;

    fn deref(&self) -> &Reader<'a> {
        &self.reader
    }
}

impl std::ops::DerefMut for Decoder<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.reader
    }
}
