//! Random requests drawn from the shapes in `slipring_protocol::schema`: for the tests of the walk and the fuzz corpus.
#![allow(dead_code, reason = "each user takes a part")]

use slipring_protocol::api::APIS;
use slipring_protocol::schema::{Field, REQUESTS, Request, Type};

/// A small deterministic generator (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }
}

/// A request body and where its lengths stand.
#[derive(Clone, Debug, Default)]
pub(crate) struct Body {
    pub(crate) bytes: Vec<u8>,
    pub(crate) lengths: Vec<Length>,
}

/// A length in a body that is not inside a tagged field.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Length {
    pub(crate) at: usize,
    pub(crate) bytes: usize,
    /// Bytes of what it is the length of.
    pub(crate) content: usize,
    pub(crate) nullable: bool,
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    String,
    Long,
}

/// Every key and version that is served.
pub(crate) fn served() -> impl Iterator<Item = (&'static Request, i16)> {
    REQUESTS.iter().flat_map(|request| {
        let api = request.key.info();
        (api.min_served..=api.max).map(move |version| (request, version))
    })
}

/// Draws a valid body. `unknown_tags`: also with tagged fields that nobody knows.
pub(crate) fn body(random: &mut Random, request: &Request, version: i16, unknown_tags: bool) -> Body {
    let flexible = APIS.iter().find(|api| api.key == request.key).unwrap().is_flexible(version);
    let mut draw = Draw { random, version, flexible, unknown_tags, tagged: false, body: Body::default() };
    draw.structure(request.fields);
    draw.body
}

struct Draw<'a> {
    random: &'a mut Random,
    version: i16,
    flexible: bool,
    unknown_tags: bool,
    tagged: bool,
    body: Body,
}

impl Draw<'_> {
    fn structure(&mut self, fields: &[Field]) {
        let version = self.version;
        for field in fields.iter().filter(|field| field.tag.is_none() && field.versions.contains(version)) {
            self.value(&field.ty, field.nullable.contains(version));
        }
        if self.flexible {
            self.tags(fields);
        }
    }

    fn tags(&mut self, fields: &[Field]) {
        let mut tags: Vec<(u32, Vec<u8>)> = Vec::new();
        let version = self.version;
        for field in fields.iter().filter(|field| field.versions.contains(version)) {
            let Some(tag) = field.tag.filter(|_| self.random.chance(2)) else { continue };
            tags.push((tag, self.aside(|draw| draw.value(&field.ty, false))));
        }
        while self.unknown_tags && self.random.chance(3) {
            let tag = tags.last().map_or(100, |(tag, _)| tag + 1).max(100);
            let size = self.random.below(4);
            tags.push((tag, self.aside(|draw| draw.noise(size))));
        }
        self.uvarint(tags.len() as u32);
        for (tag, bytes) in tags {
            self.uvarint(tag);
            self.uvarint(bytes.len() as u32);
            self.body.bytes.extend_from_slice(&bytes);
        }
    }

    /// Draws into bytes of their own, without noting lengths.
    fn aside(&mut self, draw: impl FnOnce(&mut Self)) -> Vec<u8> {
        let body = std::mem::take(&mut self.body);
        let tagged = std::mem::replace(&mut self.tagged, true);
        draw(self);
        self.tagged = tagged;
        std::mem::replace(&mut self.body, body).bytes
    }

    fn value(&mut self, ty: &Type, nullable: bool) {
        match ty {
            // Booleans are written back as 0 or 1.
            Type::Fixed(1) => {
                let byte = self.random.below(2) as u8;
                self.body.bytes.push(byte);
            }
            Type::Fixed(bytes) => self.noise(*bytes),
            Type::String => {
                let text = ["", "a", "topic", "größe", "a.b_c-d", "a topic with a rather long name"];
                let text = text[self.random.below(text.len())];
                if !self.null(nullable, Kind::String) {
                    self.length(text.len(), nullable, Kind::String);
                    self.content(|draw| draw.body.bytes.extend_from_slice(text.as_bytes()));
                }
            }
            Type::Bytes => {
                if !self.null(nullable, Kind::Long) {
                    let bytes = self.random.below(30);
                    self.length(bytes, nullable, Kind::Long);
                    self.content(|draw| draw.noise(bytes));
                }
            }
            Type::Array(element) => {
                if !self.null(nullable, Kind::Long) {
                    let count = self.random.below(4);
                    self.length(count, nullable, Kind::Long);
                    self.content(|draw| (0..count).for_each(|_| draw.value(element, false)));
                }
            }
            Type::Struct(fields) if nullable => {
                let null = self.random.chance(4);
                self.body.bytes.push(if null { 0xff } else { 1 });
                if !null {
                    self.structure(fields);
                }
            }
            Type::Struct(fields) => self.structure(fields),
        }
    }

    fn null(&mut self, nullable: bool, kind: Kind) -> bool {
        let null = nullable && self.random.chance(4);
        if null {
            self.write_length(-1, kind);
        }
        null
    }

    fn length(&mut self, length: usize, nullable: bool, kind: Kind) {
        let at = self.body.bytes.len();
        self.write_length(length as i32, kind);
        if !self.tagged {
            let bytes = self.body.bytes.len() - at;
            self.body.lengths.push(Length { at, bytes, content: 0, nullable, kind });
        }
    }

    /// Draws what stands behind a length.
    fn content(&mut self, draw: impl FnOnce(&mut Self)) {
        let (row, start) = (self.body.lengths.len().checked_sub(1), self.body.bytes.len());
        draw(self);
        let content = self.body.bytes.len() - start;
        if let Some(length) = row.filter(|_| !self.tagged).and_then(|row| self.body.lengths.get_mut(row)) {
            length.content = content;
        }
    }

    fn write_length(&mut self, length: i32, kind: Kind) {
        self.body.bytes.extend(encode_length(length, self.flexible, kind));
    }

    fn noise(&mut self, bytes: usize) {
        let noise: Vec<u8> = (0..bytes).map(|_| self.random.next() as u8).collect();
        self.body.bytes.extend(noise);
    }

    fn uvarint(&mut self, value: u32) {
        self.body.bytes.extend(encode_uvarint(value));
    }
}

/// A length as the wire has it; -1 is null.
pub(crate) fn encode_length(length: i32, flexible: bool, kind: Kind) -> Vec<u8> {
    match kind {
        _ if flexible => encode_uvarint(length.wrapping_add(1) as u32),
        Kind::String => (length as i16).to_be_bytes().to_vec(),
        Kind::Long => length.to_be_bytes().to_vec(),
    }
}

fn encode_uvarint(mut value: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}
