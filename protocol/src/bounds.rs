//! The walk over a request's body that must pass before the `kafka-protocol` decoder sees bytes from a socket: that decoder
//! allocates whatever a count claims. On the connection's core; allocates nothing unless the body has to be mended.
//!
//! What Kafka 4.3 does with odd bytes, tried on a broker, and so do we: bytes after the body are ignored; unknown tagged fields
//! are passed over; the size of a known one is not looked at; malformed UTF-8 is replaced; any negative length is null, and a
//! negative number of tagged fields is none. (The published decoder refuses these last three or takes them for huge, so they
//! are mended before it sees them.) Null where none may stand, a count that the bytes left cannot hold, a string above 32,767
//! bytes, a tag that the version does not have, and a body that ends early throw `InvalidRequestException`, which closes the
//! connection. Stricter than Kafka in one place: a request whose decoded form would take more than `wire::decoded_bytes_max`
//! is refused like a malformed one.

use bytes::Bytes;
use kafka_protocol::protocol::{Encodable, Request};

use crate::api::{ApiKey, codec_version};
use crate::schema::{self, Field, Type};
use crate::wire::{Reader, STRING_BYTES_MAX, WireError, Writer};

/// What a walk found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walk {
    /// Memory that the decoded form takes besides its outermost structure, in bytes; an upper bound.
    pub decoded_bytes: usize,
    /// Bytes after the body.
    pub trailing_bytes: usize,
    /// Whether some text is not UTF-8, or a null is not written as such; [`decode`] mends it.
    pub malformed: bool,
}

/// Whether `body` may be shown to a decoder.
///
/// # Errors
/// When it may not; see the head of this file. Also for a key without a shape and a version out of range.
pub fn check(key: ApiKey, version: i16, body: &[u8]) -> Result<(), WireError> {
    walk(key, version, body).map(|_| ())
}

/// As [`check`], telling what was found.
///
/// # Errors
/// As [`check`].
pub fn walk(key: ApiKey, version: i16, body: &[u8]) -> Result<Walk, WireError> {
    Walker::run(key, version, body, None)
}

/// Reads a request: walks it, mends it where the published codec would stumble, and decodes it with the published codec, under the
/// version that it knows for ours ([`codec_version`]).
///
/// # Errors
/// As [`check`]; Kafka closes the connection.
pub fn decode<R: Request>(version: i16, body: Bytes) -> Result<R, WireError> {
    let key = crate::api::lookup(R::KEY).ok_or(WireError::UnknownKey(R::KEY))?.key;
    let found = walk(key, version, &body)?;
    let mut body = if found.malformed {
        let mut mended = Vec::with_capacity(body.len() + MENDED_BYTES_MORE);
        Walker::run(key, version, &body, Some(&mut mended))?;
        Bytes::from(mended)
    } else {
        body
    };
    R::decode(&mut body, codec_version(key, version)).map_err(|_| WireError::Codec { key: R::KEY, version })
}

/// Appends the body of a response, under the version that the published codec knows for ours.
///
/// # Errors
/// When the codec refuses it: a field is set that the version does not have, or a string is too long.
pub fn encode<M: Encodable>(
    key: ApiKey,
    version: i16,
    response: &M,
    out: &mut Vec<u8>,
) -> Result<(), WireError> {
    response
        .encode(out, codec_version(key, version))
        .map_err(|_| WireError::Codec { key: key.code(), version })
}

struct Walker<'a, 'm> {
    reader: Reader<'a>,
    version: i16,
    malformed: bool,
    mended: Option<Mended<'a, 'm>>,
}

/// A copy of the body, mended.
struct Mended<'a, 'm> {
    body: &'a [u8],
    copied: usize,
    out: &'m mut Vec<u8>,
}

impl<'a, 'm> Walker<'a, 'm> {
    fn run(
        key: ApiKey,
        version: i16,
        body: &'a [u8],
        mend: Option<&'m mut Vec<u8>>,
    ) -> Result<Walk, WireError> {
        let info = key.info();
        let unsupported = WireError::UnsupportedVersion { key: key.code(), version };
        let request = schema::lookup(key).ok_or(unsupported)?;
        if !(info.min_served..=info.max).contains(&version) {
            return Err(unsupported);
        }
        let mut walker = Walker {
            reader: Reader::new(body, info.is_flexible(version)),
            version,
            malformed: false,
            mended: mend.map(|out| Mended { body, copied: 0, out }),
        };
        walker.structure(request.fields)?;
        if let Some(mended) = &mut walker.mended {
            mended.copy_to(body.len());
        }
        Ok(Walk {
            decoded_bytes: walker.reader.charged(),
            trailing_bytes: walker.reader.left(),
            malformed: walker.malformed,
        })
    }

    fn structure(&mut self, fields: &[Field]) -> Result<(), WireError> {
        for field in fields {
            if field.tag.is_none() && field.versions.contains(self.version) {
                self.value(&field.ty, field.nullable.contains(self.version))?;
            }
        }
        self.tags(fields)
    }

    fn tags(&mut self, fields: &[Field]) -> Result<(), WireError> {
        let before = self.reader.left();
        let count = self.reader.tag_count()?;
        if self.reader.take_odd() {
            self.replace(before, |writer| writer.no_tags());
        }
        let mut unknown = 0;
        for _ in 0..count {
            let (tag, size) = self.reader.tag()?;
            match fields.iter().find(|field| field.tag == Some(tag)) {
                Some(field) if field.versions.contains(self.version) => {
                    self.value(&field.ty, field.nullable.contains(self.version))?;
                }
                Some(_) => return Err(WireError::TagNotValid { tag, version: self.version }),
                None => {
                    let first = unknown == 0;
                    unknown += 1;
                    self.reader.charge(1, if first { FIRST_TAG_BYTES } else { NEXT_TAG_BYTES })?;
                    self.reader.take(size)?;
                }
            }
        }
        Ok(())
    }

    fn value(&mut self, ty: &Type, nullable: bool) -> Result<(), WireError> {
        let before = self.reader.left();
        let length = match ty {
            Type::Fixed(bytes) => return self.reader.take(*bytes).map(|_| ()),
            Type::Struct(fields) if nullable => return self.optional(fields),
            Type::Struct(fields) => return self.structure(fields),
            Type::String => self.reader.string_length()?,
            Type::Bytes | Type::Array(_) => self.reader.long_length()?,
        };
        let Some(length) = length else { return self.null(ty, nullable, before) };
        match ty {
            Type::Array(element) => self.elements(element, length),
            Type::String => self.text(length, before),
            Type::Fixed(_) | Type::Struct(_) | Type::Bytes => self.reader.take(length).map(|_| ()),
        }
    }

    /// A structure that may be missing: a byte below zero says so, any other that it follows.
    fn optional(&mut self, fields: &[Field]) -> Result<(), WireError> {
        let before = self.reader.left();
        let mark = self.reader.i8()?;
        let wanted = if mark < 0 { -1 } else { 1 };
        if mark != wanted {
            self.replace(before, |writer| writer.i8(wanted));
        }
        if mark < 0 { Ok(()) } else { self.structure(fields) }
    }

    fn null(&mut self, ty: &Type, nullable: bool, before: usize) -> Result<(), WireError> {
        if !nullable {
            return Err(WireError::Null);
        }
        if self.reader.take_odd() {
            self.replace(before, |writer| match ty {
                Type::String => writer.nullable_text(None),
                _ => writer.nullable_length(None),
            });
        }
        Ok(())
    }

    fn elements(&mut self, element: &Type, count: usize) -> Result<(), WireError> {
        let wire_min = element.wire_bytes_min(self.version, self.reader.is_flexible());
        self.reader.check_count(count, wire_min, element.decoded_bytes())?;
        if let Type::Fixed(bytes) = element {
            self.reader.take(count * bytes)?;
            return Ok(());
        }
        for _ in 0..count {
            self.value(element, false)?;
        }
        Ok(())
    }

    fn text(&mut self, length: usize, before: usize) -> Result<(), WireError> {
        let bytes = self.reader.take(length)?;
        if std::str::from_utf8(bytes).is_err() {
            let text = String::from_utf8_lossy(bytes);
            if text.len() > STRING_BYTES_MAX {
                return Err(WireError::StringTooLong(text.len()));
            }
            self.replace(before, |writer| writer.text(&text));
        }
        Ok(())
    }

    /// What was read since `before` bytes were left is to be written otherwise.
    fn replace(&mut self, before: usize, write: impl FnOnce(&mut Writer<'_>)) {
        self.malformed = true;
        if let Some(mended) = &mut self.mended {
            mended.copy_to(mended.body.len() - before);
            write(&mut Writer::new(mended.out, self.reader.is_flexible()));
            mended.copied = mended.body.len() - self.reader.left();
        }
    }
}

impl Mended<'_, '_> {
    fn copy_to(&mut self, end: usize) {
        self.out.extend_from_slice(&self.body[self.copied..end]);
        self.copied = end;
    }
}

/// A map's first entry allocates a whole node of eleven.
const FIRST_TAG_BYTES: usize = 448;
/// A further entry of a map whose nodes are at least half full.
const NEXT_TAG_BYTES: usize = 112;
/// Room to begin with for what replacements add.
const MENDED_BYTES_MORE: usize = 64;
