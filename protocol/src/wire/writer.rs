//! Writing: straight into one growing vector, no buffers in between.

use bytes::BufMut;
use uuid::Uuid;

use super::STRING_BYTES_MAX;

/// Appends fields of one message version to a vector.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    pub(crate) out: &'a mut Vec<u8>,
    flexible: bool,
}

impl<'a> Writer<'a> {
    pub(crate) const fn new(out: &'a mut Vec<u8>, flexible: bool) -> Self {
        Self { out, flexible }
    }

    pub(crate) const fn is_flexible(&self) -> bool {
        self.flexible
    }

    pub(crate) fn i8(&mut self, value: i8) {
        self.out.put_i8(value);
    }

    pub(crate) fn i16(&mut self, value: i16) {
        self.out.put_i16(value);
    }

    pub(crate) fn i32(&mut self, value: i32) {
        self.out.put_i32(value);
    }

    pub(crate) fn i64(&mut self, value: i64) {
        self.out.put_i64(value);
    }

    pub(crate) fn uuid(&mut self, value: Uuid) {
        self.out.put_slice(value.as_bytes());
    }

    pub(crate) fn uvarint(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.out.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.put_u8(value as u8);
    }

    /// A string. One that is too long for the protocol is cut at a character; only messages of our own can be.
    pub(crate) fn text(&mut self, text: &str) {
        let text = &text[..text.floor_char_boundary(STRING_BYTES_MAX)];
        if self.flexible {
            self.uvarint(text.len() as u32 + 1);
        } else {
            self.i16(text.len() as i16);
        }
        self.out.put_slice(text.as_bytes());
    }

    /// Bytes as they are.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.out.put_slice(bytes);
    }

    pub(crate) fn nullable_text(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.text(text),
            None if self.flexible => self.uvarint(0),
            None => self.i16(-1),
        }
    }

    /// Count of an array, or length of bytes or records.
    ///
    /// # Panics
    /// When the length does not fit the wire: no message of ours comes near 2 GiB.
    pub(crate) fn length(&mut self, length: usize) {
        let length = i32::try_from(length).expect("messages stay below 2 GiB");
        if self.flexible {
            self.uvarint(length as u32 + 1);
        } else {
            self.i32(length);
        }
    }

    pub(crate) fn nullable_length(&mut self, length: Option<usize>) {
        match length {
            Some(length) => self.length(length),
            None if self.flexible => self.uvarint(0),
            None => self.i32(-1),
        }
    }

    /// Number of tagged fields that follow; nothing in versions without them.
    pub(crate) fn tag_count(&mut self, count: u32) {
        if self.flexible {
            self.uvarint(count);
        }
    }

    /// Tag and size of a tagged field.
    pub(crate) fn tag(&mut self, tag: u32, size: usize) {
        self.uvarint(tag);
        self.uvarint(u32::try_from(size).expect("messages stay below 2 GiB"));
    }

    /// The end of a structure without tagged fields.
    pub(crate) fn no_tags(&mut self) {
        self.tag_count(0);
    }
}

/// Bytes of a variable-length integer.
pub(crate) const fn uvarint_size(value: usize) -> usize {
    match value {
        0..=0x7f => 1,
        0x80..=0x3fff => 2,
        0x4000..=0x1f_ffff => 3,
        0x20_0000..=0xfff_ffff => 4,
        _ => 5,
    }
}
