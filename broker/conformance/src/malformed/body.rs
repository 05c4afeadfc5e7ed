//! Request bodies by the sessions' definitions, and where in them every length and count stands, so that each can be lied
//! about.

use slipring_protocol::batch::BatchBuilder;
use slipring_protocol::ids::TimestampMs;

use crate::session::schema::{Field, Kind, Message};

/// A well-formed body that changes nothing on the broker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Body {
    pub(crate) bytes: Vec<u8>,
    pub(crate) points: Vec<Point>,
}

/// A length or count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    /// Its field, as `topics.partitions`; `tags` for a count of tagged fields.
    pub(crate) path: String,
    /// Where it stands and how many bytes it takes.
    pub(crate) at: usize,
    pub(crate) width: usize,
    /// Written as a varint, plus one where it may be null.
    pub(crate) is_varint: bool,
}

/// A lie about a length or count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    Null,
    MinusTwo,
    Lowest,
    Highest,
    Million,
    /// One more than there are bytes left.
    BeyondTheEnd,
    /// A varint that does not end.
    Endless,
}

impl Lie {
    pub(crate) const ALL: [Self; 7] = [
        Self::Null,
        Self::MinusTwo,
        Self::Lowest,
        Self::Highest,
        Self::Million,
        Self::BeyondTheEnd,
        Self::Endless,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::MinusTwo => "-2",
            Self::Lowest => "lowest",
            Self::Highest => "highest",
            Self::Million => "a million",
            Self::BeyondTheEnd => "one beyond the end",
            Self::Endless => "endless",
        }
    }
}

impl Body {
    /// The body of a request in a version.
    pub(crate) fn of(message: &Message, version: i16) -> Self {
        let mut body = Self::default();
        let flexible = message.flexible.contain(version);
        body.fields(&message.fields, version, flexible, "");
        body
    }

    /// The body with one length or count replaced; `None` where the lie cannot be told in so many bytes.
    pub(crate) fn with(&self, point: &Point, lie: Lie) -> Option<Vec<u8>> {
        let rest = (self.bytes.len() - point.at - point.width) as i64;
        let lied = if point.is_varint {
            varint_lie(lie, rest, &point.path)?
        } else {
            plain_lie(lie, rest, point.width)?
        };
        let mut bytes = self.bytes[..point.at].to_vec();
        bytes.extend_from_slice(&lied);
        bytes.extend_from_slice(&self.bytes[point.at + point.width..]);
        (bytes != self.bytes).then_some(bytes)
    }

    fn fields(&mut self, fields: &[Field], version: i16, flexible: bool, path: &str) {
        for field in fields.iter().filter(|field| field.versions.contain(version)) {
            if field.tag_in(version).is_some() {
                continue;
            }
            let path = if path.is_empty() { field.name.clone() } else { format!("{path}.{}", field.name) };
            if field.is_list {
                self.length(1, 4, flexible, &path);
            }
            self.single(field, version, flexible, &path);
        }
        if flexible {
            let path = if path.is_empty() { "tags".to_owned() } else { format!("{path}.tags") };
            self.points.push(Point { path, at: self.bytes.len(), width: 1, is_varint: true });
            self.bytes.push(0);
        }
    }

    fn single(&mut self, field: &Field, version: i16, flexible: bool, path: &str) {
        let number = number(field);
        match field.kind {
            Kind::Bool => self.bytes.push(u8::from(field.name == "validate_only")),
            Kind::Int8 => self.bytes.push(number as u8),
            Kind::Int16 => self.bytes.extend((number as i16).to_be_bytes()),
            Kind::Int32 => self.bytes.extend((number as i32).to_be_bytes()),
            Kind::Int64 => self.bytes.extend(number.to_be_bytes()),
            Kind::Uuid => self.bytes.extend([0; 16]),
            // A transactional id would set the coordinator to work.
            Kind::Text if field.nullable.contain(version) && is_left_out(field) && !field.is_list => {
                self.null(2, flexible);
            }
            Kind::Text => {
                let path = if field.is_list { format!("{path}[]") } else { path.to_owned() };
                let text = if field.name.starts_with("client_software") { "a" } else { TOPIC };
                self.length(text.len(), 2, flexible, &path);
                self.bytes.extend_from_slice(text.as_bytes());
            }
            Kind::Records => {
                let batch = batch();
                self.length(batch.len(), 4, flexible, path);
                self.bytes.extend(batch);
            }
            Kind::Struct => {
                if field.nullable.contain(version) && !field.is_list {
                    self.bytes.push(1);
                }
                self.fields(&field.fields, version, flexible, path);
            }
        }
    }

    fn length(&mut self, length: usize, width: usize, flexible: bool, path: &str) {
        let at = self.bytes.len();
        if flexible {
            put_uvarint(&mut self.bytes, length as u64 + 1);
        } else {
            self.bytes.extend_from_slice(&(length as u32).to_be_bytes()[4 - width..]);
        }
        let width = self.bytes.len() - at;
        self.points.push(Point { path: path.to_owned(), at, width, is_varint: flexible });
    }

    fn null(&mut self, width: usize, flexible: bool) {
        if flexible { self.bytes.push(0) } else { self.bytes.extend_from_slice(&[0xff; 4][..width]) }
    }
}

fn plain_lie(lie: Lie, rest: i64, width: usize) -> Option<Vec<u8>> {
    let value = match (lie, width) {
        (Lie::Null, _) => -1,
        (Lie::MinusTwo, _) => -2,
        (Lie::Lowest, 2) => i64::from(i16::MIN),
        (Lie::Lowest, _) => i64::from(i32::MIN),
        (Lie::Highest, 2) => i64::from(i16::MAX),
        (Lie::Highest, _) => i64::from(i32::MAX),
        (Lie::Million, 2) | (Lie::Endless, _) => return None,
        (Lie::Million, _) => 1_000_000,
        (Lie::BeyondTheEnd, _) => rest + 1,
    };
    Some((value as i32).to_be_bytes()[4 - width..].to_vec())
}

fn varint_lie(lie: Lie, rest: i64, path: &str) -> Option<Vec<u8>> {
    // A count of tagged fields is never null: nothing is added to it.
    let plus = u64::from(!path.ends_with("tags"));
    let value = match lie {
        Lie::Null => 0,
        Lie::MinusTwo => 0xffff_fffe,
        Lie::Lowest => 0x8000_0000,
        Lie::Highest => 0xffff_ffff,
        Lie::Million => 1_000_000,
        Lie::BeyondTheEnd => rest as u64 + 1 + plus,
        Lie::Endless => return Some(vec![0xff; 10]),
    };
    let mut bytes = Vec::new();
    put_uvarint(&mut bytes, value);
    Some(bytes)
}

fn is_left_out(field: &Field) -> bool {
    field.name == "transactional_id" || field.default.as_deref() == Some("null")
}

fn number(field: &Field) -> i64 {
    match field.name.as_str() {
        "acks" | "producer_id" | "producer_epoch" => -1,
        "timeout_ms" | "transaction_timeout_ms" => 1_000,
        "max_bytes" | "partition_max_bytes" => 1_024,
        "resource_type" => 2,
        _ => field.default.as_deref().and_then(|text| text.parse().ok()).unwrap_or(0),
    }
}

/// A batch of one record.
pub(crate) fn batch() -> Vec<u8> {
    BatchBuilder::new().append(TimestampMs(1), None, Some(b"value")).build()
}

pub(crate) fn put_uvarint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// No topic can have this name, so nothing makes it and nothing finds it.
const TOPIC: &str = "a b";

#[cfg(test)]
mod tests {
    use slipring_protocol::api::{advertised, codec_version};
    use slipring_protocol::bounds;

    use super::*;
    use crate::session::schema::Schema;

    #[test]
    fn every_body_is_well_formed_and_every_lie_is_another() {
        let schema = Schema::load();
        for api in advertised() {
            for version in api.min_served..=api.max {
                let body = Body::of(schema.request(api.name), version);
                let version = codec_version(api.key, version);
                bounds::check(api.key, version, &body.bytes).unwrap_or_else(|error| {
                    panic!("{} {version}: {error}", api.name);
                });
                let lies = body.points.iter().flat_map(|point| Lie::ALL.map(|lie| body.with(point, lie)));
                assert!(lies.flatten().all(|lied| lied != body.bytes));
            }
        }
    }

    #[test]
    fn lies_stand_where_the_length_stood() {
        let schema = Schema::load();
        let body = Body::of(schema.request("Metadata"), 1);
        assert_eq!(body.bytes, [0, 0, 0, 1, 0, 3, b'a', b' ', b'b']);
        let [topics, name] = &body.points[..] else { panic!("{:?}", body.points) };
        assert_eq!((topics.path.as_str(), name.path.as_str()), ("topics", "topics.name"));
        assert_eq!(body.with(topics, Lie::Highest).unwrap()[..4], [0x7f, 0xff, 0xff, 0xff]);
        assert_eq!(body.with(name, Lie::BeyondTheEnd).unwrap()[4..6], [0, 4]);
        assert_eq!(body.with(name, Lie::Million), None);
    }
}
